"""Latency as a paper's page shows it: a table a network, curves where conditions vary, accuracies by runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from hpe_bench.declare import Paper, fingerprint
from hpe_bench.records import query
from hpe_bench.records.schema import Measurement, RunRecord
from hpe_bench.report.kit import plots, svgdraw
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.latency_text import LATENCY, RUNTIMES, SCOPES, label, share_of_peak, verdict
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, exact_span, latency_cell, mib_cell
from hpe_bench.report.kit.text import exact, identifier, metric, number, plural, signed, size, span
from hpe_bench.report.kit.theme import Style
from hpe_bench.timing.rows import EAGER, OVER_PEAK, NetworkTimes, TimedRow, eager_of, rows, time_of_row
from hpe_bench.timing.statistics import Ratio


@dataclass(frozen=True)
class LatencyView:
    """The latency of one network on one machine: every row, curves over what was varied, and accuracies where taken."""

    table: Table
    figures: tuple[Figure, ...]
    scores: tuple[Table, ...]

    @property
    def tables(self) -> list[Table]:
        return [self.table, *self.scores]


def current(paper: Paper, records: Iterable[RunRecord]) -> list[RunRecord]:
    """A paper's finished latency records whose variant is still declared as it was, oldest first."""
    return query.of(records).latencies_of(paper.slug, {fingerprint(v) for v in paper.variants})


def views(paper: Paper, records: Iterable[RunRecord]) -> tuple[LatencyView, ...]:
    """One view for each network and machine, that of most rows first; timing runs of one row are pooled."""
    by_network: dict[tuple[str, str], list[RunRecord]] = {}
    for r in current(paper, records):
        by_network.setdefault((r.identity.variant, r.machine), []).append(r)
    return tuple(sorted(map(_view, by_network.values()), key=lambda view: -len(view.table.rows)))


def _view(records: Sequence[RunRecord]) -> LatencyView:
    found = rows(records)
    scores = (scores_of(r) for r in records)
    figures = (*_spreads(found), *_curves(found))
    return LatencyView(table_of(found), figures, tuple(t for t in scores if t is not None))


def _name(row: TimedRow) -> str:
    """Of the network on its machine, as part of an id."""
    return identifier(f"{row.record.identity.variant}-{row.machine}")


# ---------------------------------------------------------------------------------------------------- the table

NOTE = (
    f"{LATENCY}; from 100 calls on p99 as well, and the spread: interquartile range over median, where it is widest. "
    "GMAC/s: true multiply-adds a second, below it the share of what a matrix product or convolution reaches on the "
    "same threads. vs eager: ratio to eager float32, below 1 is faster, taken within timing runs. "
    "Deviation of the final maps from eager float32's, in their standard deviations; a row counts only below its "
    "tolerance. Memory: the whole process at its peak. Network: the forward pass alone; flip: with the mirrored pass; "
    "processed: from the decoded image to joints; end-to-end: from JPEG bytes to joints in the image."
)


def table_of(found: Sequence[TimedRow]) -> Table:
    """Every row of a network; what was skipped, failed or refused by the numerical check is told with its reason."""
    ordered = sorted(found, key=_order)
    columns = (
        Column("Runtime"),
        Column("Measured"),
        Column("Threads", numeric=True),
        Column("Median, ms", numeric=True),
        Column("Images/s", numeric=True),
        Column("GMAC/s", numeric=True),
        Column("vs eager", numeric=True),
        Column("Deviation", numeric=True),
        Column("Memory, MiB", numeric=True),
    )
    row = ordered[0]
    caption = (
        f"Latency of {row.record.identity.variant} by runtime, {row.machine}, {_days(found)}: rows timed in turns, "
        "round by round."
    )
    records = {r.id: r for row in found for r, _ in row.found}
    note = NOTE
    if any((row.share_of_peak or 0) > 100 for row in found if row.timed):
        note += f" *: {OVER_PEAK}"
    if absent := [f"no {a.key}: {a.reason}" for r in records.values() for a in r.absent]:
        note += f" Not measured: {'; '.join(dict.fromkeys(absent))}."
    cells = tuple(_row(found, r) for r in ordered)
    control = tuple(k for k, r in enumerate(ordered) if r.timing.runtime == EAGER)
    return Table(f"latency-{_name(row)}", caption, columns, cells, note, control)


def _days(found: Sequence[TimedRow]) -> str:
    """When its timing runs were, first and last."""
    days = sorted({r.provenance.started[:10] for row in found for r, _ in row.found})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _order(row: TimedRow) -> tuple[object, ...]:
    t, known = row.timing, list(RUNTIMES)
    place = known.index(t.runtime) if t.runtime in known else len(known)
    return SCOPES.index(t.scope), t.input_hw, t.batch, t.threads, place, t.runtime


def _row(found: Sequence[TimedRow], row: TimedRow) -> tuple[Cell, ...]:
    t = row.timing
    head = (
        Cell(label(t), note=" · ".join(filter(None, (t.precision, t.version, verdict(t))))),
        Cell(t.scope, note=f"{size(t.input_hw)}, batch {t.batch}"),
        Cell(str(t.threads), sort=float(t.threads)),
    )
    if not row.timed:
        return (*head, *[Cell(EMPTY)] * 6)
    speed = row.images_per_second
    return (
        *head,
        latency_cell(time_of_row(row), full=True),
        Cell(number(speed, 1), exact(speed), speed),
        speed_cell(row),
        against_cell(found, row),
        Cell(EMPTY) if t.deviation is None else Cell(f"{t.deviation:.0e}", repr(t.deviation), t.deviation),
        Cell(EMPTY) if t.peak_rss_bytes is None else mib_cell(t.peak_rss_bytes),
    )


def speed_cell(row: TimedRow) -> Cell:
    """Multiply-adds a second, below it the share of the peak."""
    speed = row.gmacs_per_second
    if speed is None:
        return Cell(EMPTY, "not counted" if row.count("macs") is None else "")
    share = share_of_peak(row)
    return Cell(number(speed, 0), exact(speed, "GMAC/s"), speed, note=share and f"{share} of peak")


def against_cell(found: Iterable[TimedRow], row: TimedRow) -> Cell:
    """A row's ratio to eager float32, where both were timed in turns."""
    base = eager_of(found, row)
    if base is row:
        return Cell("1", sort=1.0)
    against = None if base is None else row.against(base)
    if against is None or not against.paired:
        return Cell(EMPTY, "eager float32 was not timed in the same turns")
    return ratio_cell(against)


def ratio_cell(found: Ratio) -> Cell:
    """A ratio of medians, its interval below."""
    title = f"{found.value!r}, {exact_span(found.interval)}"
    return Cell(number(found.value, 2), title, found.value, note=span(found.interval, 2))


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
        "paired over test images, with its 95 % CI."
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


FEWEST_SPREAD = 2  # runtimes whose single calls are drawn beside each other


def _spreads(found: Sequence[TimedRow]) -> tuple[Figure, ...]:
    """The single calls of every runtime that counts: one image, the network alone, at the fewest threads."""
    shown = [r for r in found if r.timing.scope == "network" and r.counts and r.timing.batch == 1]
    if not shown:
        return ()
    input_hw, threads = shown[0].timing.input_hw, min(r.timing.threads for r in shown)
    alike = [r for r in shown if (r.timing.input_hw, r.timing.threads) == (input_hw, threads)]
    alike.sort(key=lambda r: r.median_ms)
    if len(alike) < FEWEST_SPREAD:
        return ()
    drawn = [(label(r.timing), [ms for _, t in r.found for calls in t.rounds_ms for ms in calls]) for r in alike]
    svg = plots.spreads(f"spreads-{_name(alike[0])}".replace(".", "-"), drawn, "ms a call")
    where = f"{alike[0].record.identity.variant}, {size(input_hw)}, batch 1, {plural(threads, 'thread')}"
    caption = f"Single calls; {where}. Box: the middle half with the median; whiskers: 5 to 95 %."
    return (Figure(svg, caption, ()),)


def _curves(found: Sequence[TimedRow]) -> tuple[Figure, ...]:
    """Time of one image by batch, input size and threads, as far as they vary."""
    shown = [row for row in found if row.timing.scope == "network" and row.counts]
    axes: tuple[tuple[str, Callable[[TimedRow], tuple[int, ...]], Callable[[TimedRow], str]], ...] = (
        ("batch", lambda r: (r.timing.batch,), lambda r: f"{_size(r)}, {_threads(r)}"),
        ("input size", lambda r: r.timing.input_hw, lambda r: f"batch {r.timing.batch}, {_threads(r)}"),
        ("threads", lambda r: (r.timing.threads,), lambda r: f"{_size(r)}, batch {r.timing.batch}"),
    )
    figures = []
    for axis, along, fixed in axes:
        groups: dict[str, list[TimedRow]] = {}
        for row in shown:
            groups.setdefault(fixed(row), []).append(row)
        where, group = max(groups.items(), key=lambda g: len({along(r) for r in g[1]}), default=("", []))
        if len({along(r) for r in group}) > 1:
            figures.append(_curve(axis, where, group, along))
    return tuple(figures)


def _size(row: TimedRow) -> str:
    return size(row.timing.input_hw)


def _threads(row: TimedRow) -> str:
    return plural(row.timing.threads, "thread")


def _curve(axis: str, where: str, group: Sequence[TimedRow], along: Callable[[TimedRow], tuple[int, ...]]) -> Figure:
    places = sorted({along(row) for row in group})
    names = ["×".join(map(str, place)) for place in places]
    runtimes = list(dict.fromkeys(label(row.timing) for row in sorted(group, key=_order)))
    lines = []
    for k, runtime in enumerate(runtimes):
        there = {along(row): row for row in group if label(row.timing) == runtime}
        values = tuple(there[p].median_ms / there[p].timing.batch if p in there else None for p in places)
        intervals = tuple(_each(there[p]) if p in there else None for p in places)
        lines.append(plots.Dots(runtime, Style(k), values, intervals))
    variant = group[0].record.identity.variant
    name = f"latency-{_name(group[0])}-{axis.split()[0]}".replace(".", "-")
    svg = plots.steps(name, names, lines, axis, "ms an image")
    caption = f"Time of one image by {axis}; {variant}, {where}. Bars: 95 % CIs."
    return Figure(svg, caption, tuple((svgdraw.swatch(row.style), row.label) for row in lines))


def _each(row: TimedRow) -> tuple[float, float]:
    low, high = row.latency.interval_ms
    return low / row.timing.batch, high / row.timing.batch


# ---------------------------------------------------------------------------------------------------- the leaderboard


def with_fastest(
    table: Table,
    shown: Sequence[RunRecord],
    times: NetworkTimes,
    inputs: Callable[[RunRecord], tuple[int, int]],
) -> Table:
    """A table of cost records with each network's fastest counting runtime as its last column, if any was timed."""
    cells = [_fastest_cell(times.fastest(r.identity.paper, r.identity.variant_hash, inputs(r))) for r in shown]
    if all(cell.sort is None for cell in cells):
        return table
    columns = (*table.columns, Column("Fastest runtime, ms", numeric=True))
    joined = tuple((*row, cell) for row, cell in zip(table.rows, cells, strict=True))
    note = (
        f"{table.note} Fastest runtime: one image, one thread, network alone, maps as eager float32's within the "
        "numerical check."
    )
    return replace(table, columns=columns, rows=joined, note=note)


def _fastest_cell(best: TimedRow | None) -> Cell:
    if best is None:
        return Cell(EMPTY)
    cell = latency_cell(time_of_row(best))
    return replace(cell, note=f"{label(best.timing)}, {_threads(best)} · {cell.note}")
