"""The command `robustness`, told as steps: a network under corruptions, its record, its row on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hpe_bench.catalog import find_protocol
from hpe_bench.commands import submit
from hpe_bench.data import corruptions
from hpe_bench.inference.file_runners import SUFFIXES
from hpe_bench.records import query, store
from hpe_bench.records.schema import RunRecord
from hpe_bench.report import site
from hpe_bench.report.kit.text import metric, number, span
from hpe_bench.report.pages.robustness import averages
from hpe_bench.run import robustness
from hpe_bench.run.pool import Settings
from hpe_bench.terminal import Board, plain_table

if TYPE_CHECKING:
    from rich.console import Console


def model_of(subject: str | None, model: submit.OutsideModel) -> submit.OutsideModel:
    """The model that options name, or the subject: weights, a file, or FILE.py:function; ValueError for both."""
    if subject is None:
        return model
    if model.files:
        raise ValueError("name the model once: as the argument, or with --weights, --model or --predictor")
    if ".py:" in subject:
        return replace(model, predictor=subject)
    path = Path(subject)
    return replace(model, file=path) if path.suffix in SUFFIXES else replace(model, weights=path)


def measure(
    model: submit.OutsideModel,
    protocol_name: str,
    name: str | None,
    kinds: Sequence[str],
    severities: Sequence[int],
    settings: Settings,
    reports: Path,
    console: Console,
) -> Path:
    """Score a network clean and corrupted; whatever is wrong with the wish is said before anything is predicted."""
    started = datetime.now(UTC)
    protocol = find_protocol(protocol_name)
    if protocol.corruption is not None:
        raise ValueError(
            f"{protocol_name} is corrupted already; give the plain protocol, {protocol_name.split('+')[0]}"
        )
    wanted = corruptions.chosen(kinds, severities)
    if any(c.kind in corruptions.TRANSFORMS for c in wanted):
        corruptions.library()
    network = submit.load(model, protocol.data.skeleton, settings)
    named = submit.checked_name(name or submit.named_after(network))
    task = submit.prepared(protocol, settings, console)
    training = query.of(submit.run_records(settings)).trained(network.weights_sha256)
    with Board(console, f"{network.name} under {len(wanted)} corruptions", 1) as board:
        done = iter(range(len(wanted) + 1))
        found, clean = robustness.measure(
            task,
            wanted,
            robustness.with_model(network, settings.device),
            lambda _: board.set_done(next(done), len(wanted) + 1),
        )
        board.set_done(len(wanted) + 1, len(wanted) + 1)
    with Board(console, f"intervals of {len(found)} scores over test images", 1):  # of AP it takes minutes
        made = robustness.record(named, task, network.weights_sha256, training, found, clean, started, settings.device)
    path = store.save(made, settings.results)
    print_scores(made, console)
    page = site.write_robustness(settings.results, reports)
    console.print(f"record: {path}", highlight=False, markup=False)
    console.print(f"report: {page}", highlight=False, markup=False)
    return path


def print_scores(record: RunRecord, console: Console) -> None:
    """The clean score, then what each kind leaves of it."""
    assert record.robustness is not None
    table = plain_table(f"{metric(record.robustness.key)}, %", " mean", " 95 % interval", " change to clean")
    for row in averages(record.robustness):
        table.add_row(row.title, number(row.value, 1), span(row.interval).replace("[", "\\["), row.change_text)
    console.print(table, "")
