"""Latency records as pages show them: a table a network, curves where conditions vary, the fastest runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hpe_bench.cost.macs import one_image
from hpe_bench.declare import Paper, Variant, fingerprint
from hpe_bench.records import query
from hpe_bench.records.schema import Measurement, RunRecord, Timing
from hpe_bench.report.kit import plots, svgdraw
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, exact_span, mib_cell
from hpe_bench.report.kit.text import NO_BREAK, exact, identifier, metric, number, plural, signed, size, span
from hpe_bench.report.kit.theme import Style
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

EAGER = "eager"  # what others are held against
SCOPES = ("network", "flip", "processed", "end-to-end")
RUNTIMES = {
    "eager": "PyTorch, eager",
    "channels_last": "PyTorch, channels last",
    "folded": "PyTorch, batch norm folded",
    "bf16": "PyTorch, bfloat16",
    "compile": "torch.compile",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "openvino_bf16": "OpenVINO, bfloat16",
    "cuda": "CUDA",
    "cuda_fp16": "CUDA, float16",
    "cuda_bf16": "CUDA, bfloat16",
    "cuda_graph": "CUDA graph",
}


@dataclass(frozen=True)
class LatencyView:
    """The latency of one network: every row, curves over what was varied, and accuracies where they were taken."""

    table: Table
    figures: tuple[Figure, ...]
    scores: Table | None

    @property
    def tables(self) -> list[Table]:
        return [self.table, *([self.scores] if self.scores else [])]


def current(paper: Paper, records: Iterable[RunRecord]) -> list[RunRecord]:
    """A paper's finished latency records whose variant is still declared as it was, oldest first."""
    return query.of(records).latencies_of(paper.slug, {fingerprint(v) for v in paper.variants})


def views(paper: Paper, records: Iterable[RunRecord]) -> tuple[LatencyView, ...]:
    """One view a record: rows of different records were not timed in turns."""
    return tuple(LatencyView(table_of(r), _curves(r), scores_of(r)) for r in current(paper, records))


def label(timing: Timing) -> str:
    """A runtime as readers know it."""
    return RUNTIMES.get(timing.runtime, timing.runtime)


def fastest(record: RunRecord, input_hw: tuple[int, int], threads: int | None = None) -> Timing | None:
    """The counting row of least latency: network alone, one image, the fewest threads there are unless given."""
    like = ("network", 1, input_hw)
    rows = [t for t in record.timings if (t.scope, t.batch, t.input_hw) == like and counts(t)]
    wanted = min((t.threads for t in rows), default=1) if threads is None else threads
    return min((t for t in rows if t.threads == wanted), key=median_ms, default=None)


def median_ms(timing: Timing) -> float:
    return latency_of(timing).median_ms


# ---------------------------------------------------------------------------------------------------- the table

NOTE = (
    "Median of single calls; below it its 95 % interval over rounds, p90, from 100 calls on p99, the spread "
    "(interquartile range over median) and the calls (n). GMAC/s: true multiply-adds a second, below it the "
    "share of what a matrix product or convolution reaches on the same threads. Of eager: ratio to eager float32, "
    "below 1 is faster. "
    "Deviation of the final maps from eager float32's, in their standard deviations; a row counts only below its "
    "tolerance. Memory: the whole process at its peak. Network: the forward pass alone; flip: with the mirrored pass; "
    "processed: from the decoded image to joints; end-to-end: from JPEG bytes to joints in the image."
)


def table_of(record: RunRecord) -> Table:
    """Every row of a record; what was skipped, failed or refused by the gate is told with its reason."""
    rows = sorted(record.timings, key=_order)
    columns = (
        Column("Runtime"),
        Column("Measured"),
        Column("Threads", numeric=True),
        Column("Median, ms", numeric=True),
        Column("Images/s", numeric=True),
        Column("GMAC/s", numeric=True),
        Column("Of eager", numeric=True),
        Column("Deviation", numeric=True),
        Column("Memory, MiB", numeric=True),
    )
    i = record.identity
    caption = (
        f"Latency of {i.variant} by runtime, {record.provenance.device}, {record.provenance.started[:10]}: rows "
        "timed in turns, round by round."
    )
    note = NOTE
    if absent := [f"no {a.key}: {a.reason}" for a in record.absent]:
        note += f" Not measured: {'; '.join(absent)}."
    cells = tuple(_row(record, t) for t in rows)
    control = tuple(k for k, t in enumerate(rows) if t.runtime == EAGER)
    return Table(f"latency-{identifier(i.variant)}-{record.id[:6]}", caption, columns, cells, note, control)


def _order(t: Timing) -> tuple[object, ...]:
    known = list(RUNTIMES)
    place = known.index(t.runtime) if t.runtime in known else len(known)
    return SCOPES.index(t.scope), t.input_hw, t.batch, t.threads, place, t.runtime


def _row(record: RunRecord, t: Timing) -> tuple[Cell, ...]:
    head = (
        Cell(label(t), note=" · ".join(filter(None, (t.precision, t.version, verdict(t))))),
        Cell(t.scope, note=f"{size(t.input_hw)}, batch {t.batch}"),
        Cell(str(t.threads), sort=float(t.threads)),
    )
    if t.status != "done":
        return (*head, *[Cell(EMPTY)] * 6)
    speed = images_per_second(t)
    return (
        *head,
        median_cell(t),
        Cell(number(speed, 1), exact(speed), speed),
        _speed_cell(record, t),
        _against_cell(record, t),
        Cell(EMPTY) if t.deviation is None else Cell(f"{t.deviation:.0e}", repr(t.deviation), t.deviation),
        Cell(EMPTY) if t.peak_rss_bytes is None else mib_cell(t.peak_rss_bytes),
    )


def verdict(t: Timing) -> str:
    """Why a row has no times, or does not count; empty if it does."""
    if t.status != "done":
        return f"{t.status}: {t.reason}"
    if counts(t):
        return ""
    if t.deviation is None or t.tolerance is None:
        return "does not count: its maps were not checked"
    return f"does not count: its maps deviate by {t.deviation:.0e}, allowed {t.tolerance:.0e}"


def median_cell(t: Timing) -> Cell:
    """The median; below it its interval, high percentiles, the spread and the calls."""
    times = latency_of(t)
    told = [span(times.interval_ms, 1), f"p90{NO_BREAK}{number(times.percentile_ms(90), 1)}"]
    if times.n >= CALLS_FOR_P99:
        told.append(f"p99{NO_BREAK}{number(times.percentile_ms(99), 1)}")
    told.append(f"spread{NO_BREAK}{100 * spread_of(t):.0f}{NO_BREAK}%{'' if t.settled else ', not settled'}")
    told.append(f"n{NO_BREAK}{times.n:,}")
    title = f"{exact(times.median_ms, 'ms')}, {exact_span(times.interval_ms)}"
    return Cell(number(times.median_ms, 1), title, times.median_ms, note=" · ".join(told))


def _speed_cell(record: RunRecord, t: Timing) -> Cell:
    macs = record.get("macs", one_image(t.input_hw))
    if macs is None or t.scope != "network":
        return Cell(EMPTY)
    speed, peak = gmacs_per_second(t, macs.value), peak_of(record, t.threads)
    share = f"{100 * speed / peak:.0f}{NO_BREAK}% of peak" if peak and t.precision == "fp32" else ""
    return Cell(number(speed, 0), exact(speed, "GMAC/s"), speed, note=share)


def _against_cell(record: RunRecord, t: Timing) -> Cell:
    base = next((b for b in record.timings if b.runtime == EAGER and alike(b, t)), None)
    if base is None or base is t:
        return Cell(EMPTY if base is None else "1")
    value, interval = ratio(t, base)
    return ratio_cell(value, interval)


def ratio_cell(value: float, interval: tuple[float, float]) -> Cell:
    """A ratio of medians, its interval below."""
    return Cell(number(value, 2), f"{value!r}, {exact_span(interval)}", value, note=span(interval, 2))


# ---------------------------------------------------------------------------------------------------- accuracy


def scores_of(record: RunRecord) -> Table | None:
    """The protocol's first metric with every runtime's own predictions, if a trained network was scored again."""
    losses = {m.conditions: m for m in record.measurements if m.name.against == EAGER}
    metrics = {loss.name.metric for loss in losses.values()}
    scores = [m for m in record.measurements if m.key in metrics]
    if not scores:
        return None
    protocol = scores[0].conditions.protocol
    columns = (
        Column("Runtime"),
        Column(f"{metric(scores[0].key)}, %", numeric=True),
        Column("Less eager's, points", numeric=True),
    )
    rows = tuple((_runtime_cell(m), _percent_cell(m), _points_cell(losses.get(m.conditions))) for m in scores)
    i = record.identity
    caption = f"What each runtime costs in accuracy: {i.variant} with trained weights under {protocol}."
    note = (
        f"Every runtime predicts the same persons itself ({scores[0].n:,} joints); the difference to eager float32 is "
        "paired over test images, with its 95 % interval."
    )
    control = tuple(k for k, m in enumerate(scores) if m.conditions not in losses)
    return Table(f"runtime-scores-{identifier(i.variant)}-{record.id[:6]}", caption, columns, rows, note, control)


def _runtime_cell(m: Measurement) -> Cell:
    runtime = m.conditions.runtime
    return Cell(RUNTIMES.get(runtime, runtime))


def _percent_cell(m: Measurement) -> Cell:
    return Cell(number(m.value, 2), f"{exact(m.value, '%')}, {exact_span(m.interval)}", m.value, span(m.interval, 2))


def _points_cell(m: Measurement | None) -> Cell:
    """A difference; none for eager itself."""
    if m is None:
        return Cell(EMPTY)
    told = span(m.interval, 2, sign=True)
    return Cell(signed(m.value, 2), f"{exact(m.value, 'points')}, {exact_span(m.interval)}", m.value, told)


# ---------------------------------------------------------------------------------------------------- curves


def _curves(record: RunRecord) -> tuple[Figure, ...]:
    """Time of one image by batch, input size and threads, as far as the record varies them."""
    rows = [t for t in record.timings if t.scope == "network" and counts(t)]
    axes: tuple[tuple[str, Callable[[Timing], tuple[int, ...]], Callable[[Timing], str]], ...] = (
        ("batch", lambda t: (t.batch,), lambda t: f"{size(t.input_hw)}, {plural(t.threads, 'thread')}"),
        ("input size", lambda t: t.input_hw, lambda t: f"batch {t.batch}, {plural(t.threads, 'thread')}"),
        ("threads", lambda t: (t.threads,), lambda t: f"{size(t.input_hw)}, batch {t.batch}"),
    )
    found = []
    for axis, along, fixed in axes:
        groups: dict[str, list[Timing]] = {}
        for t in rows:
            groups.setdefault(fixed(t), []).append(t)
        where, group = max(groups.items(), key=lambda g: len({along(t) for t in g[1]}), default=("", []))
        if len({along(t) for t in group}) > 1:
            found.append(_curve(record, axis, where, group, along))
    return tuple(found)


def _curve(
    record: RunRecord, axis: str, where: str, group: Sequence[Timing], along: Callable[[Timing], tuple[int, ...]]
) -> Figure:
    places = sorted({along(t) for t in group})
    names = ["×".join(map(str, place)) for place in places]
    runtimes = list(dict.fromkeys(label(t) for t in sorted(group, key=_order)))
    rows = []
    for k, runtime in enumerate(runtimes):
        there = {along(t): t for t in group if label(t) == runtime}
        values = tuple(median_ms(there[p]) / there[p].batch if p in there else None for p in places)
        intervals = tuple(_each(there[p]) if p in there else None for p in places)
        rows.append(plots.Dots(runtime, Style(k), values, intervals))
    name = f"latency-{identifier(record.identity.variant)}-{record.id[:6]}-{axis.split()[0]}".replace(".", "-")
    svg = plots.steps(name, names, rows, axis, "ms an image")
    caption = f"Time of one image by {axis}; {record.identity.variant}, {where}. Bars: 95 % intervals."
    return Figure(svg, caption, tuple((svgdraw.swatch(row.style), row.label) for row in rows))


def _each(t: Timing) -> tuple[float, float]:
    low, high = latency_of(t).interval_ms
    return low / t.batch, high / t.batch


# ---------------------------------------------------------------------------------------------------- the leaderboard


def with_fastest(
    table: Table, rows: Sequence[RunRecord], records: Sequence[RunRecord], variants: Mapping[str, Variant]
) -> Table:
    """A table of cost records with each network's fastest counting runtime as its last column, if any was timed.

    `variants` are those of the rows, by hash.
    """
    hashes = [(r.identity.paper, r.identity.variant_hash) for r in rows]
    cells = [_fastest_cell(query.of(records).latency(slug, found), variants[found]) for slug, found in hashes]
    if all(cell.sort is None for cell in cells):
        return table
    columns = (*table.columns, Column("Fastest runtime, ms", numeric=True))
    joined = tuple((*row, cell) for row, cell in zip(table.rows, cells, strict=True))
    note = (
        f"{table.note} Fastest runtime: one image, one thread, network alone, maps as eager float32's within the gate."
    )
    return replace(table, columns=columns, rows=joined, note=note)


def _fastest_cell(record: RunRecord | None, variant: Variant) -> Cell:
    best = None if record is None else fastest(record, variant.input_hw)
    if best is None:
        return Cell(EMPTY)
    told = f"{label(best)}, {plural(best.threads, 'thread')}"
    return replace(median_cell(best), note=f"{told} · {span(latency_of(best).interval_ms, 1)}")
