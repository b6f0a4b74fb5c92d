"""Released weights of papers: listed, fetched, and judged as `reproduce --weights` asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.commands.show import plain_table
from hpe_bench.data.fetch import download_file
from hpe_bench.data.folders import file_sha256
from hpe_bench.declare import Checkpoint
from hpe_bench.files import turn
from hpe_bench.records import store
from hpe_bench.records.provenance import check_device, code_version
from hpe_bench.records.schema import RunRecord
from hpe_bench.run import prediction, released
from hpe_bench.run.pool import Settings
from hpe_bench.run.released import Weights
from hpe_bench.terminal import Board


def print_list(console: Console, slug: str | None = None) -> None:
    """Every checkpoint that papers declare: file, who trained it, its hash, what its scores would decide."""
    papers = [catalog.load(slug)] if slug else catalog.load_all()[0]
    table = plain_table("checkpoint", "paper", "variant", "trained by", "SHA-256", "decides")
    for loaded in papers:
        for c in loaded.checkpoints:
            digest = f"{c.sha256[:8]}..." if c.sha256 else "not published"
            table.add_row(c.name, loaded.paper.slug, c.variant, c.trained_by, digest, escape(decides(loaded, c)))
    console.print(table)


def decides(loaded: LoadedPaper, checkpoint: Checkpoint) -> str:
    """Which claims scores of a checkpoint decide, in words."""
    about = [c for c in loaded.claims if c.variant == checkpoint.variant and c.kind == "value" and c.protocol]
    own = [c for c in about if c.is_of_release(checkpoint.name, checkpoint.trained_by)]
    if not own:
        return checkpoint.note or "nothing that a source reports"
    names = dict.fromkeys(c.protocol for c in own)
    return f"{len(own)} figures under {', '.join(names)}"


def fetch(console: Console, slug: str, variant: str, to: Path, mirror: str | None) -> list[Path]:
    """Download the checkpoints of a variant that have an address; ValueError if one's hash is wrong or there is none.

    What is there already and right is left alone; an interrupted download goes on. `mirror` is an address that holds
    the files in place of their own.
    """
    loaded = catalog.load(slug)
    catalog.find_variant(loaded, variant)
    own = [c for c in loaded.checkpoints if c.variant == variant]
    offered = [c for c in own if c.address]
    if not offered:
        pages = ", ".join(dict.fromkeys(c.page for c in own))
        where = f"; its files are linked from {pages}" if pages else ""
        raise ValueError(f"{slug}/{variant}: no checkpoint of it has an address that can be fetched{where}")
    return [_fetched(console, checkpoint, to, mirror) for checkpoint in offered]


def _fetched(console: Console, checkpoint: Checkpoint, to: Path, mirror: str | None) -> Path:
    path = to / checkpoint.file
    to.mkdir(parents=True, exist_ok=True)
    with turn(path):
        return _in_turn(console, checkpoint, path, mirror)


def _in_turn(console: Console, checkpoint: Checkpoint, path: Path, mirror: str | None) -> Path:
    if path.exists() and checkpoint.is_file(file_sha256(path)):
        return path
    name = PurePosixPath(urlsplit(checkpoint.address).path).name
    url = checkpoint.address if mirror is None else f"{mirror.rstrip('/')}/{name}"
    partial = path.with_name(f".{path.name}.part")
    with Board(console, f"fetching {url}", 1) as board:
        download_file(url, partial, board.set_done)
    found = file_sha256(partial)
    if not checkpoint.is_file(found):
        partial.unlink()
        raise ValueError(
            f"{url}: its SHA-256 is {found}, but that of {checkpoint.name} begins {checkpoint.sha256}; it was removed, "
            "as it is another version or a broken copy"
        )
    partial.replace(path)
    return path


# ---------------------------------------------------------------------------------------------------- judging


def evaluate(
    loaded: LoadedPaper, pairs: Sequence[str], data: str, colours: str | None, settings: Settings, console: Console
) -> list[RunRecord]:
    """The records of released weights under every protocol that claims about them name on a data set.

    What is wrong with the weights or the data is said before anything is predicted.
    """
    check_device(settings.device)
    code_version()
    given = [(w, released.protocols_of(w, data)) for w in released.named(loaded, pairs, colours)]
    for weights, _ in given:
        print_weights(console, weights)
    networks = [released.network_of(w, asked[0].data.skeleton) for w, asked in given]  # one data set, one skeleton
    tasks = {p.name: prediction.task_of_protocol(p, settings.root) for _, asked in given for p in asked}
    made = []
    for (weights, asked), network in zip(given, networks, strict=True):
        for protocol in asked:
            task, kept = tasks[protocol.name], settings.runs / "predictions"
            with Board(console, f"{weights.variant.name} under {protocol.name}, {len(task.boxes):,} boxes", 1) as board:
                record = released.evaluate(weights, network, task, kept, settings.device, board.set_done)
            store.save(record, settings.results)
            headline = record.measurements[0]
            console.print(f"  {protocol.name}: {headline.key} {headline.value:.2f}", highlight=False, markup=False)
            made.append(record)
    return made


def print_weights(console: Console, weights: Weights) -> None:
    """Which declared checkpoint a file is, or that it is none."""
    release = weights.release
    known = f"{release.checkpoint}, trained by {release.trained_by}" if release.checkpoint else "unverified weights"
    text = f"{weights.file}: {known}, for {weights.variant.name}, {release.colours} images; SHA-256 {release.sha256}"
    console.print(text, highlight=False, markup=False)
