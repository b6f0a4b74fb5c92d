"""`hpe-bench profile` with runtimes, told as lists of steps: one network, somebody's own, or all papers' timed ones."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.catalog import find_protocol as protocol_named
from hpe_bench.codehash import code_digest
from hpe_bench.commands.submit import run_records
from hpe_bench.cost.model_cost import Cost
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import Protocol, Variant, fingerprint
from hpe_bench.inference import networks
from hpe_bench.inference.file_runners import SUFFIXES
from hpe_bench.inference.weights import read_weight_file
from hpe_bench.metrics.rates import DistanceRate
from hpe_bench.plan import OWN
from hpe_bench.records.schema import RunRecord, RuntimeScope
from hpe_bench.report.kit.latency_text import high, share_of_peak, verdict
from hpe_bench.report.kit.text import span
from hpe_bench.run import latency
from hpe_bench.run.latency import Conditions, KeptTimes, LatencyRun, TimedNetwork
from hpe_bench.run.pool import Outcome, Settings, finished, keep, restore_missing
from hpe_bench.terminal import Board, plain_table
from hpe_bench.timing.interleave import Plan
from hpe_bench.timing.onnx_input import input_sizes
from hpe_bench.timing.rows import OVER_PEAK, TimedRow, eager_of, rows, time_of_row
from hpe_bench.timing.runtimes import ALL, ON_CPU, Runtime, named
from hpe_bench.timing.runtimes.eager import Compiled, Eager
from hpe_bench.timing.sources import OfCode, OfVariant
from hpe_bench.training.checkpoints import weights_digest

SCOPES: tuple[RuntimeScope, ...] = ("network", "flip", "processed", "end-to-end")
SECONDS, ALL_SECONDS, QUICK_SECONDS = 2.0, 1.0, 0.5  # of timed calls a row, alone, for --all and for --quick
SHARE_S, ALL_SHARE_S, QUICK_SHARE_S = 20.0, 8.0, 3.0  # that a row may take in all; see `timing.interleave.Plan`
ALL_ATTEMPTS = 2  # at a row of wide spread; a second try tells noise from drift, a third would only cost time


@dataclass(frozen=True)
class ProfileRequest:
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
    timing_runs: int = 1
    quick: bool = False

    @property
    def is_own(self) -> bool:
        """Whether the subject is a file or code rather than a paper."""
        return self.subject is not None and (self.subject.endswith(SUFFIXES) or ":" in self.subject)

    @property
    def counts_only(self) -> bool:
        """Whether nothing about runtimes was said: then a paper's cost records are made."""
        options = (self.runtimes, self.threads, self.batches, self.inputs, self.scopes, self.weights, self.protocol)
        return not self.is_own and not self.quick and self.timing_runs == 1 and not any(options)


def profile(asked: ProfileRequest, settings: Settings, console: Console) -> bool:
    """Counts of a network, then its latency in runtimes; its record and a table. False if a row failed."""
    if asked.quick:
        return _quick(_asked_runs(asked, settings), asked, console)
    return _told(profiled(asked, settings, console), console)


def profiled(asked: ProfileRequest, settings: Settings, console: Console) -> list[RunRecord]:
    """The records of one network's latency in runtimes."""
    plan = _plan(SECONDS, SHARE_S, Plan.attempts, asked.limit_s)
    return _in_timing_runs([_asked_runs(asked, settings)], asked.timing_runs, plan, settings, console)


def _asked_runs(asked: ProfileRequest, settings: Settings) -> list[LatencyRun]:
    if asked.subject is None:
        raise ValueError("name a paper, an ONNX file or FILE.py:callable, or give --all")
    return [_own_run(asked)] if asked.is_own else _paper_runs(asked, settings)


def profile_all(limit_s: float, settings: Settings, console: Console, timing_runs: int = 1) -> bool:
    """The timed variants of all papers in every runtime; what is finished here is not measured again."""
    papers, _ = catalog.load_all()
    timed = [p for p in papers if p.paper.timed]
    groups = [[run for p in group for run in _all_runs(p, len(group) > 1)] for group in in_turns(timed)]
    plan = _plan(ALL_SECONDS, ALL_SHARE_S, ALL_ATTEMPTS, limit_s)
    return _told(_in_timing_runs(groups, timing_runs, plan, settings, console), console)


def in_turns(papers: Sequence[LoadedPaper]) -> list[list[LoadedPaper]]:
    """Papers in groups that are timed in turns: those that declare each other, in any order; others stand alone."""
    groups: list[list[LoadedPaper]] = []
    for loaded in papers:
        near = {network.partition("/")[0] for network in loaded.paper.timed_against} | {loaded.paper.slug}
        joined = [g for g in groups if any(_near(p, loaded) or p.paper.slug in near for p in g)]
        groups = [g for g in groups if g not in joined] + [[p for g in joined for p in g] + [loaded]]
    return sorted(groups, key=len, reverse=True)


def _near(other: LoadedPaper, loaded: LoadedPaper) -> bool:
    return loaded.paper.slug in {network.partition("/")[0] for network in other.paper.timed_against}


def _plan(seconds: float, share_s: float, attempts: int, limit_s: float) -> Plan:
    return Plan(seconds, attempts, limit_s=limit_s, turn_limit_s=limit_s, builders=os.cpu_count() or 1, share_s=share_s)


def _in_timing_runs(
    groups: Sequence[Sequence[LatencyRun]], timing_runs: int, plan: Plan, settings: Settings, console: Console
) -> list[RunRecord]:
    """Every group as often as asked for."""
    if timing_runs < 1:
        raise ValueError(f"{timing_runs} timing runs: give at least one")
    made: list[RunRecord] = []
    for again in range(timing_runs):
        for group in groups:
            made += measured([replace(run, timing_run=again) for run in group], plan, settings, console)
    return made


def _told(made: Sequence[RunRecord], console: Console) -> bool:
    """The tables of what was made; False if a row failed."""
    for pooled in _by_network(made):
        print_latencies(console, pooled)
    return all(timing.status != "failed" for record in made for timing in record.timings)


def _by_network(records: Iterable[RunRecord]) -> list[list[RunRecord]]:
    """The timing runs of each network."""
    found: dict[tuple[str, str, str], list[RunRecord]] = {}
    for r in records:
        found.setdefault((r.identity.paper, r.identity.variant_hash, r.machine), []).append(r)
    return list(found.values())


def _quick(runs: Sequence[LatencyRun], asked: ProfileRequest, console: Console) -> bool:
    """Seconds for a look at a network: counts, and one runtime; too short a time to be kept as a record."""
    short = [replace(run, conditions=_one(run.conditions, asked)) for run in runs]
    plan = _plan(QUICK_SECONDS, QUICK_SHARE_S, 1, asked.limit_s)
    with Board(console, "a quick look at " + ", ".join(run.subject.label for run in runs), 1) as board:
        made = latency.measure(
            short, plan, board.set_done, counted=partial(print_sizes, console), peak=False, persons=1
        )
    for record in made:
        print_latencies(console, [record], kept=False)
    return all(timing.status != "failed" for record in made for timing in record.timings)


def _one(conditions: Sequence[Conditions], asked: ProfileRequest) -> tuple[Conditions, ...]:
    """One runtime, the first that is here, at one thread unless others were asked for."""
    here = [c for c in conditions if not named([c.runtime])[0].missing()]
    first = (here or list(conditions))[0]
    like = [c for c in conditions if c.runtime == first.runtime]
    return tuple(like if asked.threads else [c for c in like if c.threads == first.threads])


# ---------------------------------------------------------------------------------------------------- what to run


def _paper_runs(asked: ProfileRequest, settings: Settings) -> list[LatencyRun]:
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
    loaded: LoadedPaper, variant: Variant, asked: ProfileRequest, skeleton: Skeleton | None, settings: Settings
) -> TimedNetwork:
    """A variant, calibrated or with the weights of a file."""
    joints = variant.joints if skeleton is None else len(skeleton.joints)
    code = code_digest([variant.builder])
    trained = None
    if asked.weights is not None:
        from hpe_bench.timing.scopes import skeleton_of

        trained = _trained(loaded, variant, asked, skeleton or skeleton_of(joints), settings)
    return TimedNetwork(
        paper=loaded.paper.slug,
        name=variant.name,
        variant_hash=fingerprint(variant),
        input_hw=variant.input_hw,
        code=code,
        source=OfVariant(variant, joints),
        trained=trained,
    )


def _trained(
    loaded: LoadedPaper, variant: Variant, asked: ProfileRequest, skeleton: Skeleton, settings: Settings
) -> networks.Network:
    """The network with its weights; a run's weights say by their record which activation belongs to them."""
    file = asked.weights
    assert file is not None
    there = run_records(settings)
    digest = weights_digest(read_weight_file(file))
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


def _own_run(asked: ProfileRequest) -> LatencyRun:
    """Somebody's file or code."""
    assert asked.subject is not None
    if asked.variant or asked.weights or asked.protocol or asked.recipe:
        raise ValueError("--weights, --recipe, --protocol and a variant belong to a paper's network, not to one's own")
    if asked.subject.endswith(SUFFIXES):
        path = Path(asked.subject)
        readers = tuple(r for r in ALL if path.suffix in r.suffixes)
        if others := [name for name in asked.runtimes if name not in [r.name for r in readers]]:
            kind = "ONNX" if path.suffix == ".onnx" else path.suffix
            raise ValueError(f"{others[0]} runs no {kind} files; {', '.join(r.name for r in readers)} do")
        inputs = input_sizes(path, asked.inputs, asked.batches or (1,))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        subject = TimedNetwork(OWN, safe_name(path.stem), digest, inputs[0], onnx=path)
        return LatencyRun(subject, _conditions(asked, inputs[0], readers, inputs))
    if not asked.inputs:
        raise ValueError(f"{asked.subject}: say for which input size with --inputs, such as 256x192")
    subject = TimedNetwork(
        OWN, safe_name(asked.subject), fingerprint((OWN, asked.subject)), asked.inputs[0], source=OfCode(asked.subject)
    )
    return LatencyRun(subject, _conditions(asked, asked.inputs[0], ON_CPU))


def safe_name(text: str) -> str:
    """A name fit for a file, from a path or `package.module:callable`."""
    name = re.sub(r"[^a-z0-9_.-]+", "-", Path(text).name.lower()).strip("-._")
    return name or OWN


def _conditions(
    asked: ProfileRequest, own_hw: tuple[int, int], default: Sequence[Runtime], inputs: Iterable[tuple[int, int]] = ()
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


def _all_runs(loaded: LoadedPaper, in_full: bool) -> list[LatencyRun]:
    """Every runtime at one thread. At all cores, networks timed against others (`in_full`) in every runtime and scope,
    the rest eager and in engines; compiling, which takes half a minute a network, is for the former.
    """
    runs = []
    for name in loaded.paper.timed:
        variant = catalog.find_variant(loaded, name)
        subject = TimedNetwork(
            paper=loaded.paper.slug,
            name=name,
            variant_hash=fingerprint(variant),
            input_hw=variant.input_hw,
            code=code_digest([variant.builder]),
            source=OfVariant(variant, variant.joints),
        )
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
            made = latency.measure(
                todo,
                plan,
                board.set_done,
                done=lambda record: keep(record, settings, outcome),
                counted=partial(print_sizes, console),
                kept=KeptTimes(settings.runs / "timing"),
            )
        found |= {record.id: record for record in made}
    return [found[run.id] for run in runs]


# ---------------------------------------------------------------------------------------------------- the table


def print_sizes(console: Console, network: TimedNetwork, cost: Cost) -> None:
    """Parameters and multiply-adds, which are known before anything is timed."""
    at_least = "at least " if cost.is_lower_bound else ""
    console.print(
        f"{network.label}, {'x'.join(map(str, cost.input_hw))}: {cost.params / 1e6:,.2f} M parameters, "
        f"{at_least}{cost.macs / 1e9:,.2f} GMAC (true count)",
        highlight=False,
        markup=False,
    )


def print_latencies(console: Console, records: Sequence[RunRecord], kept: bool = True) -> None:
    """The rows of a network over its timing runs, its peaks, what is missing, and where the records lie."""
    i, found = records[0].identity, rows(records)
    console.print(f"[bold]{escape(i.paper)}/{escape(i.variant)}[/bold]", highlight=False)
    table = plain_table(
        *("runtime", " threads", "scope", " input", " batch", " ms, median", " p90", " p99", " spread", " runs"),
        *(" images/s", " GMAC/s", " of peak", " deviation", " MiB", " of eager"),
    )
    order = sorted(found, key=lambda r: (r.timing.input_hw, r.timing.batch, r.timing.threads, _scope(r)))
    for row in order:
        if row.timed:
            table.add_row(*_cells(found, row))
    console.print(table)
    for text in dict.fromkeys(notes(records)):
        console.print(text, highlight=False, markup=False)
    for record in records:
        for m in record.measurements:
            if m.unit in ("GMAC/s", "percent", "points"):
                interval = f" [{m.interval[0]:.2f}, {m.interval[1]:.2f}]" if m.interval else ""
                console.print(f"{m.key}, {m.scope}: {m.value:.2f}{interval} {m.unit}", highlight=False, markup=False)
    for record in records if kept else ():
        console.print(f"record: {i.paper}/{record.filename}", highlight=False, markup=False)
    console.print()


def _scope(row: TimedRow) -> int:
    return SCOPES.index(row.timing.scope)


def _cells(found: Sequence[TimedRow], row: TimedRow) -> list[str]:
    """A row that is done."""
    t, times, time = row.timing, row.latency, time_of_row(row)
    base = eager_of(found, row)
    against = None if base is None or base is row else row.against(base)
    speed = row.gmacs_per_second
    p90, *p99 = high(time)
    return [
        t.runtime + ("" if row.counts else " (refused)"),
        str(t.threads),
        t.scope,
        "x".join(map(str, t.input_hw)),
        str(t.batch),
        f"{times.median_ms:.2f} {escape(span(times.interval_ms, 2))}",
        p90.split()[-1],
        *(p.split()[-1] for p in p99 or [" -"]),
        f"{100 * times.spread:.0f} %" + ("" if row.settled else " !"),
        str(row.runs),
        f"{row.images_per_second:.1f}",
        "" if speed is None else f"{speed:.0f}",
        share_of_peak(row),
        "" if t.deviation is None else f"{t.deviation:.1e}",
        "" if t.peak_rss_bytes is None else f"{t.peak_rss_bytes / 2**20:.0f}",
        "" if against is None or not against.paired else f"{against.value:.2f} {escape(span(against.interval, 2))}",
    ]


def notes(records: Sequence[RunRecord]) -> Iterable[str]:
    """Rows that have no times or do not count, those that did not settle (in one line), what was not measured."""
    found, unsettled = rows(records), []
    for row in found:
        t = row.timing
        where = f"{t.runtime}, {t.threads} thread{'s' if t.threads > 1 else ''}, {t.scope}"
        if t.status == "skipped":
            yield f"{t.runtime} {'' if t.scope == 'network' else t.scope + ' '}skipped: {t.reason}"
        elif t.status == "failed":
            yield f"{where} failed: {t.reason}"
        elif not row.counts:
            yield f"{where} {verdict(t)}"
        elif not row.settled:
            unsettled.append(where)
    if unsettled:
        yield f"did not settle (!): {'; '.join(unsettled)}. Is something else running?"
    if any((row.share_of_peak or 0) > 100 for row in found if row.timed):
        yield f"*: {OVER_PEAK}"
    for absent in (a for record in records for a in record.absent):
        yield f"no {absent.key}: {absent.reason}"
