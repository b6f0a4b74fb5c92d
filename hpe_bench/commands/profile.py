"""`hpe-bench profile` with runtimes, told as lists of steps: one network, somebody's own, or all papers' timed ones."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.catalog import find_protocol as protocol_named
from hpe_bench.codehash import code_digest
from hpe_bench.commands.show import plain_table
from hpe_bench.commands.submit import run_records
from hpe_bench.cost.macs import one_image
from hpe_bench.cost.onnx_input import input_sizes
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import Protocol, Variant, fingerprint
from hpe_bench.inference import networks
from hpe_bench.inference.weights import read
from hpe_bench.metrics.rates import DistanceRate
from hpe_bench.records.schema import RunRecord, RuntimeScope, Timing
from hpe_bench.run import latency
from hpe_bench.run.latency import OWN, Conditions, LatencyRun, Subject
from hpe_bench.run.pool import Outcome, Settings, finished, keep, restore_missing
from hpe_bench.terminal import Board
from hpe_bench.timing.interleave import Plan
from hpe_bench.timing.runtimes import ALL, ON_CPU, Runtime, named
from hpe_bench.timing.runtimes.eager import Compiled, Eager
from hpe_bench.timing.sources import OfCode, OfVariant
from hpe_bench.timing.statistics import (
    CALLS_FOR_P99,
    alike,
    counts,
    gmacs_per_second,
    images_per_second,
    latency_of,
    peak_of,
    ratio,
    spread_of,
)
from hpe_bench.training.checkpoints import weights_digest

SCOPES: tuple[RuntimeScope, ...] = ("network", "flip", "processed", "end-to-end")
TOGETHER = ("simple_baseline", "hrnet", "fasterpose")  # ratios between these are claimed, so they take turns
SECONDS, ALL_SECONDS = 2.0, 1.0  # of timed calls a row, alone and for --all
ALL_ATTEMPTS = 2  # at a row of wide spread; a second try tells noise from drift, a third would only cost time


@dataclass(frozen=True)
class Asked:
    """What the command line says; empty means the default."""

    subject: str | None = None
    variant: str | None = None
    runtimes: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()
    inputs: tuple[tuple[int, int], ...] = ()
    scopes: tuple[str, ...] = ()
    weights: Path | None = None
    recipe: str | None = None
    protocol: str | None = None
    limit_s: float = 180.0

    @property
    def is_own(self) -> bool:
        """Whether the subject is a file or code rather than a paper."""
        return self.subject is not None and (self.subject.endswith(".onnx") or ":" in self.subject)

    @property
    def counts_only(self) -> bool:
        """Whether nothing about runtimes was said: then a paper's cost records are made."""
        options = (self.runtimes, self.threads, self.batches, self.inputs, self.scopes, self.weights, self.protocol)
        return not self.is_own and not any(options)


def profile(asked: Asked, settings: Settings, console: Console) -> bool:
    """Latency of one network in runtimes; its record and a table. False if a row failed."""
    if asked.subject is None:
        raise ValueError("name a paper, an ONNX file or FILE.py:callable, or give --all")
    runs = [_own_run(asked)] if asked.is_own else _paper_runs(asked, settings)
    plan = Plan(seconds=SECONDS, limit_s=asked.limit_s, turn_limit_s=asked.limit_s, builders=os.cpu_count() or 1)
    made = measured(runs, plan, settings, console)
    for record in made:
        print_latencies(console, record)
    return all(timing.status != "failed" for record in made for timing in record.timings)


def profile_all(limit_s: float, settings: Settings, console: Console) -> bool:
    """The timed variants of all papers in every runtime; what is finished here is not measured again."""
    papers, _ = catalog.load_all()
    runs = {p.paper.slug: _all_runs(p) for p in papers if p.paper.timed}
    groups = [
        [run for slug in TOGETHER for run in runs.pop(slug, [])],
        *([run] for own in runs.values() for run in own),
    ]
    plan = Plan(ALL_SECONDS, ALL_ATTEMPTS, limit_s=limit_s, turn_limit_s=limit_s, builders=os.cpu_count() or 1)
    made = [record for group in groups if group for record in measured(group, plan, settings, console)]
    for record in made:
        print_latencies(console, record)
    return all(timing.status != "failed" for record in made for timing in record.timings)


# ---------------------------------------------------------------------------------------------------- what to run


def _paper_runs(asked: Asked, settings: Settings) -> list[LatencyRun]:
    """A paper's variant, or its timed ones where none is named."""
    assert asked.subject is not None
    loaded = catalog.load(asked.subject)
    names = [asked.variant] if asked.variant else list(loaded.paper.timed)
    if not names:
        raise ValueError(f"name a variant of {asked.subject}; `hpe-bench show {asked.subject}` lists them")
    variants = [catalog.find_variant(loaded, name) for name in names]
    protocol = None if asked.protocol is None else _rate_protocol(asked.protocol)
    if protocol is not None and asked.weights is None:
        raise ValueError(f"{protocol.name} scores a trained network; give its --weights")
    skeleton = None if protocol is None else protocol.data.skeleton
    subjects = [_subject(loaded, v, asked, skeleton, settings) for v in variants]
    return [LatencyRun(s, _conditions(asked, s.input_hw, ON_CPU), protocol, settings.root) for s in subjects]


def _subject(
    loaded: LoadedPaper, variant: Variant, asked: Asked, skeleton: Skeleton | None, settings: Settings
) -> Subject:
    """A variant, calibrated or with the weights of a file."""
    joints = variant.joints if skeleton is None else len(skeleton.joints)
    code = code_digest([variant.builder])
    trained = None
    if asked.weights is not None:
        from hpe_bench.timing.scopes import skeleton_of

        trained = _trained(loaded, variant, asked, skeleton or skeleton_of(joints), settings)
    return Subject(
        paper=loaded.paper.slug,
        name=variant.name,
        variant_hash=fingerprint(variant),
        input_hw=variant.input_hw,
        code=code,
        source=OfVariant(variant, joints),
        trained=trained,
    )


def _trained(
    loaded: LoadedPaper, variant: Variant, asked: Asked, skeleton: Skeleton, settings: Settings
) -> networks.Network:
    """The network with its weights; a run's weights say by their record which activation belongs to them."""
    file = asked.weights
    assert file is not None
    there = run_records(settings)
    digest = weights_digest(read(file))
    owner = there.trained(digest)
    if owner is not None and asked.recipe is None:
        if owner.identity.variant_hash != fingerprint(variant):
            raise ValueError(
                f"{file}: these are weights of {owner.identity.paper}/{owner.identity.variant}, not of "
                f"{loaded.paper.slug}/{variant.name}; name that variant"
            )
        return networks.of_run(file, there, skeleton)
    return networks.of_paper(loaded.paper.slug, variant.name, asked.recipe, file, skeleton)


def _rate_protocol(name: str) -> Protocol:
    protocol = protocol_named(name)
    if not isinstance(protocol.metrics[0], DistanceRate):
        raise ValueError(f"{name}: its first metric is no rate, so runtimes cannot be compared in pairs; take another")
    return protocol


def _own_run(asked: Asked) -> LatencyRun:
    """Somebody's ONNX file or code."""
    assert asked.subject is not None
    if asked.variant or asked.weights or asked.protocol or asked.recipe:
        raise ValueError("--weights, --recipe, --protocol and a variant belong to a paper's network, not to one's own")
    if asked.subject.endswith(".onnx"):
        path = Path(asked.subject)
        readers = tuple(r for r in ALL if r.reads_onnx)
        if others := [name for name in asked.runtimes if name not in [r.name for r in readers]]:
            raise ValueError(f"{others[0]} runs no ONNX files; {', '.join(r.name for r in readers)} do")
        inputs = input_sizes(path, asked.inputs, asked.batches or (1,))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        subject = Subject(OWN, safe_name(path.stem), digest, inputs[0], onnx=path)
        return LatencyRun(subject, _conditions(asked, inputs[0], readers, inputs))
    if not asked.inputs:
        raise ValueError(f"{asked.subject}: say for which input size with --inputs, such as 256x192")
    subject = Subject(
        OWN, safe_name(asked.subject), fingerprint((OWN, asked.subject)), asked.inputs[0], source=OfCode(asked.subject)
    )
    return LatencyRun(subject, _conditions(asked, asked.inputs[0], ON_CPU))


def safe_name(text: str) -> str:
    """A name fit for a file, from a path or `package.module:callable`."""
    name = re.sub(r"[^a-z0-9_.-]+", "-", Path(text).name.lower()).strip("-._")
    return name or OWN


def _conditions(
    asked: Asked, own_hw: tuple[int, int], default: Sequence[Runtime], inputs: Iterable[tuple[int, int]] = ()
) -> tuple[Conditions, ...]:
    """The product of all that was asked."""
    scopes = asked.scopes or ("network",)
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise ValueError(f"no scope {unknown[0]!r}; known are: {', '.join(SCOPES)}")
    chosen = tuple(scope for scope in SCOPES if scope in scopes)
    runtimes = named(list(asked.runtimes)) if asked.runtimes else default
    return tuple(
        Conditions(runtime.name, threads, batch, input_hw, chosen)
        for input_hw, batch, threads, runtime in itertools.product(
            asked.inputs or tuple(inputs) or (own_hw,),
            asked.batches or (1,),
            asked.threads or latency.default_threads(),
            runtimes,
        )
    )


def _all_runs(loaded: LoadedPaper) -> list[LatencyRun]:
    """Every runtime at one thread. At all cores those of `TOGETHER` in every runtime and scope, the others' networks
    alone, eager and in engines; compiling, which takes half a minute a network, is for the former.
    """
    runs = []
    for name in loaded.paper.timed:
        variant = catalog.find_variant(loaded, name)
        subject = Subject(
            paper=loaded.paper.slug,
            name=name,
            variant_hash=fingerprint(variant),
            input_hw=variant.input_hw,
            code=code_digest([variant.builder]),
            source=OfVariant(variant, variant.joints),
        )
        in_full = loaded.paper.slug in TOGETHER
        runs.append(LatencyRun(subject, tuple(_all_conditions(variant.input_hw, in_full))))
    return runs


def _all_conditions(input_hw: tuple[int, int], in_full: bool) -> Iterable[Conditions]:
    """Scopes other than the network's are timed eager, at all cores."""
    *one, most = latency.default_threads()
    for threads in one:
        yield from (Conditions(r.name, threads, 1, input_hw) for r in ON_CPU if not isinstance(r, Compiled))
    for r in ALL:
        eager = type(r) is Eager
        if in_full or eager or r.reads_onnx or r not in ON_CPU:
            yield Conditions(r.name, most, 1, input_hw, SCOPES if in_full and eager else ("network",))


# ---------------------------------------------------------------------------------------------------- running


def measured(runs: list[LatencyRun], plan: Plan, settings: Settings, console: Console) -> list[RunRecord]:
    """The runs' records: those finished here, and the others measured now, in turns with one another."""
    outcome, found = Outcome(), dict[str, RunRecord]()
    todo = []
    for run in runs:
        record = finished(run.id, run.subject.code, settings)
        if record is not None and run.subject.code and latency.is_current(record):
            restore_missing(record, settings)
            found[run.id] = record
            path = settings.runs / "records" / f"{run.id}.json"
            console.print(f"{run.subject.label}: measured before; remove {path} to measure it again", highlight=False)
        else:
            todo.append(run)
    if todo:
        title = "latency of " + ", ".join(run.subject.label for run in todo)
        with Board(console, title, 1) as board:
            made = latency.measure(todo, plan, board.set_done)
        for record in made:
            keep(record, settings, outcome)
            found[record.id] = record
    return [found[run.id] for run in runs]


# ---------------------------------------------------------------------------------------------------- the table


def print_latencies(console: Console, record: RunRecord) -> None:
    """A record's rows, its peaks, what is missing, and where it lies."""
    i = record.identity
    console.print(f"[bold]{escape(i.paper)}/{escape(i.variant)}[/bold]", highlight=False)
    table = plain_table(
        *("runtime", " threads", "scope", " input", " batch", " ms, median", " p90", " p99", " spread", " images/s"),
        *(" GMAC/s", " of peak", " deviation", " MiB", " of eager"),
    )
    for timing in sorted(record.timings, key=lambda t: (t.input_hw, t.batch, t.threads, SCOPES.index(t.scope))):
        if timing.status == "done":
            table.add_row(*_cells(record, timing))
    console.print(table)
    for text in dict.fromkeys(notes(record)):
        console.print(text, highlight=False, markup=False)
    for m in record.measurements:
        if m.unit in ("GMAC/s", "percent", "points"):
            interval = f" [{m.interval[0]:.2f}, {m.interval[1]:.2f}]" if m.interval else ""
            console.print(f"{m.key}, {m.scope}: {m.value:.2f}{interval} {m.unit}", highlight=False, markup=False)
    console.print(f"record: {i.paper}/{record.filename}\n", highlight=False, markup=False)


def _cells(record: RunRecord, timing: Timing) -> list[str]:
    """A row that is done."""
    times = latency_of(timing)
    low, high = times.interval_ms
    size = "x".join(map(str, timing.input_hw))
    macs = record.get("macs", one_image(timing.input_hw))
    base = next((t for t in record.timings if t.runtime == Eager.name and alike(t, timing)), None)
    share = speed = against = ""
    if macs is not None and timing.scope == "network":
        achieved = gmacs_per_second(timing, macs.value)
        speed = f"{achieved:.0f}"
        peak = peak_of(record, timing.threads)
        share = f"{100 * achieved / peak:.0f} %" if peak and timing.precision == "fp32" else ""
    if base is not None and base is not timing:
        value, (below, above) = ratio(timing, base)
        against = f"{value:.2f} \\[{below:.2f}, {above:.2f}]"
    mark = "" if counts(timing) else " (refused)"
    return [
        timing.runtime + mark,
        str(timing.threads),
        timing.scope,
        size,
        str(timing.batch),
        f"{times.median_ms:.2f} \\[{low:.2f}, {high:.2f}]",
        f"{times.percentile_ms(90):.2f}",
        f"{times.percentile_ms(99):.2f}" if times.n >= CALLS_FOR_P99 else "",
        f"{100 * spread_of(timing):.0f} %" + ("" if timing.settled else " !"),
        f"{images_per_second(timing):.1f}",
        speed,
        share,
        "" if timing.deviation is None else f"{timing.deviation:.1e}",
        "" if timing.peak_rss_bytes is None else f"{timing.peak_rss_bytes / 2**20:.0f}",
        against,
    ]


def notes(record: RunRecord) -> Iterable[str]:
    """Rows that have no times or do not count, and what could not be measured, in words."""
    for timing in record.timings:
        where = f"{timing.runtime}, {timing.threads} thread{'s' if timing.threads > 1 else ''}, {timing.scope}"
        if timing.status == "skipped":
            yield f"{timing.runtime} {'' if timing.scope == 'network' else timing.scope + ' '}skipped: {timing.reason}"
        elif timing.status == "failed":
            yield f"{where} failed: {timing.reason}"
        elif not counts(timing):
            yield (
                f"{where} does not count: its maps deviate by {timing.deviation:.1e} from eager float32's, more than "
                f"{timing.tolerance:.0e}"
            )
        elif not timing.settled:
            yield f"{where} (!) did not settle in {timing.attempts} attempts; is something else running?"
    for absent in record.absent:
        yield f"no {absent.key}: {absent.reason}"
