"""Tables of the pages: plain values first, rendered by one template macro, downloadable as CSV.

Every column of numbers says its unit; every cell that is rounded carries full precision in its title.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hpe_bench.data import csv_files
from hpe_bench.metrics.breakdown import PREFIX
from hpe_bench.records.schema import Measurement, RunRecord
from hpe_bench.report.kit import svgdraw
from hpe_bench.report.kit.latency_text import IN_PROCESS_NOTE, LATENCY, over
from hpe_bench.report.kit.studies import ArmResult, StudyResult, sample_size
from hpe_bench.report.kit.svgdraw import Axis, strip
from hpe_bench.report.kit.text import (
    NO_BREAK,
    arm_label,
    change,
    exact,
    metric,
    number,
    plural,
    signed,
    size,
    span,
    where,
)
from hpe_bench.timing.rows import NetworkTime, NetworkTimes
from hpe_bench.verdicts import evidence

HRNET_UNIT = 2**30
MIB = 2**20
EMPTY = "–"
MOST_SEEDS = 50  # whose own values a cell names


@dataclass(frozen=True)
class Cell:
    """One cell. `sort` is what its column sorts by; `mark` a drawing beside the text; `note` a second line."""

    text: str
    title: str = ""
    sort: float | None = None
    note: str = ""
    mark: Markup = Markup("")
    before: Markup = Markup("")
    href: str = ""
    instead: tuple[tuple[str, Cell], ...] = ()  # what stands here when the page is asked for a runtime, by its name


@dataclass(frozen=True)
class Column:
    """A column's name with its unit, and how it is set."""

    name: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a caption that says what was measured and how."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    emphasised: tuple[int, ...] = ()  # rows set apart, such as the control
    attributes: tuple[dict[str, str], ...] = ()  # HTML attributes of each row, such as its id
    asides: tuple[tuple[str, str], ...] = ()  # notes on one runtime's latencies, by its name: the first stands at first

    def csv(self) -> str:
        """The table as CSV, full precision where a cell has it; a cell's second line is a column of its own."""
        noted = [any(row[i].note for row in self.rows) for i in range(len(self.columns))]
        names = [[c.name, f"{c.name}: note"][: 1 + noted[i]] for i, c in enumerate(self.columns)]
        rows: list[list[object]] = [[name for pair in names for name in pair]]
        for row in self.rows:
            cells = [[c.text if c.sort is None else c.sort, c.note][: 1 + noted[i]] for i, c in enumerate(row)]
            rows.append([cell for pair in cells for cell in pair])
        return csv_files.text(rows)


# ---------------------------------------------------------------------------------------------------- accuracy


def accuracy_table(result: StudyResult, id: str) -> Table:
    """The arms of a study under one condition, the control first, the mean pose last."""
    ordered = sorted(result.arms, key=lambda a: not a.is_control)
    axis = svgdraw.axis_of(
        [v for a in result.run if a.accuracy for v in (a.accuracy.value, *(a.accuracy.interval or ()))]
    )
    gains = svgdraw.axis_of(
        [v for a in result.run if a.gain for v in (a.gain.value, *(a.gain.interval or ()))], zero=True
    )
    columns = (
        Column("Arm"),
        Column(f"{metric(result.key)}, %", numeric=True),
        Column("95 % CI, %"),
        Column("Difference to control, points", numeric=True),
        Column("95 % CI, points"),
        Column("Runs"),
        Column("MMAC, true count", numeric=True),
        Column("Latency, ms", numeric=True),
    )
    rows = [_arm_row(a, axis, gains) for a in ordered if a.accuracy is not None]
    if result.mean_pose is not None:
        rows.append(_mean_pose_row(result.mean_pose, result.key))
    caption = f"{where(result.where)}: {metric(result.key)} over all test persons, {_scope_of(result)}"
    note = (
        "Intervals are over images and seeds; how far seeds lie apart is taken from all settings of the protocol "
        "together, where enough were run. Differences are paired image by image."
    )
    if any(a.time for a in result.run):
        note += f" {latency_note([a.time for a in result.run])} MACs do not order speed (F20)."
    if missing := [arm_label(a.arm) for a in ordered if a.accuracy is None]:
        note += f" Not run yet: {'; '.join(missing)}."
    return Table(id, caption, columns, tuple(rows), note, emphasised=(0,) if ordered[0].accuracy else ())


def _scope_of(result: StudyResult) -> str:
    seen = sorted({r.identity.samples_seen for a in result.run for r in a.runs})
    budget = " or ".join(f"{s:,}" for s in seen)
    counted = sample_size([r for a in result.run for r in a.runs], result.key)
    return f"{counted}, {budget} training samples an arm."


def _arm_row(a: ArmResult, axis: Axis | None, gains: Axis | None) -> tuple[Cell, ...]:
    name = Cell(
        arm_label(a.arm) + (" (control)" if a.is_control else ""),
        note=f"{a.arm.paper}/{a.arm.variant.name} · {a.arm.recipe.name}",
        before=svgdraw.swatch(a.style),
    )
    assert a.accuracy is not None
    assert axis is not None
    value = Cell(
        number(a.accuracy.value, 1),
        exact(a.accuracy.value, "percent"),
        a.accuracy.value,
        note="has not learned: below the mean pose" if a.untaught else "",
    )
    interval = Cell(
        span(a.accuracy.interval),
        f"{exact_span(a.accuracy.interval)} percent, {a.accuracy.method}",
        mark=strip(a.accuracy.value, a.accuracy.interval, axis, a.style.css),
    )
    runs = Cell(
        plural(a.accuracy.seeds, "seed"),
        "per seed: " + ", ".join(repr(v) for v in a.accuracy.each[:MOST_SEEDS]),
        float(a.accuracy.seeds),
        note=f"×{NO_BREAK}" + plural(a.accuracy.images, "image"),
    )
    return (name, value, interval, *_gain_cells(a, gains), runs, *_costs(a))


def _gain_cells(a: ArmResult, axis: Axis | None) -> tuple[Cell, Cell]:
    if a.gain is None or axis is None:
        return Cell("control" if a.is_control else EMPTY, a.unequal, note=a.unequal), Cell("")
    return (
        Cell(signed(a.gain.value, 1), exact(a.gain.value, "points"), a.gain.value),
        Cell(
            span(a.gain.interval, sign=True),
            f"{exact_span(a.gain.interval)} points, {a.gain.method}",
            mark=strip(a.gain.value, a.gain.interval, axis, a.style.css),
        ),
    )


def _mean_pose_row(record: RunRecord, key: str) -> tuple[Cell, ...]:
    m = record.get(key)
    tally = evidence.rates(record, key)
    images = "" if tally is None else plural(len(tally[0]), "image")
    return (
        Cell("Mean training pose", note="no model: what a model must beat"),
        Cell(EMPTY) if m is None else Cell(number(m.value, 1), exact(m.value, "percent"), m.value),
        Cell("" if m is None else span(m.interval)),
        Cell(EMPTY),
        Cell(""),
        Cell("no training", note=images),
        Cell(EMPTY),
        Cell(EMPTY),
    )


def exact_span(interval: tuple[float, float] | None) -> str:
    """An interval at full precision."""
    return "no interval" if interval is None else f"[{interval[0]!r}, {interval[1]!r}]"


def mib_cell(count_bytes: float | None) -> Cell:
    """Memory, bytes in full in the title."""
    if count_bytes is None:
        return Cell(EMPTY, "not measured")
    return Cell(
        number(count_bytes / MIB, 0 if count_bytes >= 10 * MIB else 1), exact(count_bytes, "byte"), count_bytes / MIB
    )


def _costs(a: ArmResult) -> tuple[Cell, Cell]:
    macs = None if a.cost is None else a.cost.get("macs")
    return amount(macs, 1e6, 1), latency_cell(a.time)


def amount(m: Measurement | None, unit: float, digits: int, base: Measurement | None = None) -> Cell:
    """A measurement in a unit, its full value in the title; its change to `base`, if there is one, below."""
    if m is None:
        return Cell(EMPTY)
    note = "" if base is None else change(m.value, base.value)
    return Cell(number(m.value / unit, digits), exact(m.value, m.unit), m.value / unit, note=note)


def latency_cell(time: NetworkTime | None, base: NetworkTime | None = None, full: bool = False) -> Cell:
    """Median latency; below it the change to `base`, if both were timed alike, and what `latency_text.over` tells."""
    if time is None:
        return Cell(EMPTY, "not measured")
    against = None if base is None or base is time else time.against(base)
    told = ["" if against is None else change(against.value, 1.0), *over(time, full)]
    title = (
        f"{exact(time.median_ms, 'ms')}, {exact_span(time.interval_ms)}, {time.scope}, {time.n} calls, {time.machine}"
    )
    return Cell(number(time.median_ms, 1), title, time.median_ms, note=" · ".join(filter(None, told)))


def latency_note(times: Sequence[NetworkTime | None]) -> str:
    """What latencies of a table are, in sentences: what is told, what was timed, which times are of older records."""
    there = [t for t in times if t is not None]
    scopes = "; ".join(sorted({t.scope for t in there})) or "not measured yet"
    machines = f"; on {', '.join(sorted({t.machine for t in there}))}" if there else ""
    older = f" {IN_PROCESS_NOTE}." if any(t.row is None for t in there) else ""
    return f"{LATENCY}; {scopes}{machines}.{older}"


def metrics_table(result: StudyResult, id: str, joints: bool) -> Table | None:
    """Every accuracy key of the arms that were run, mean over seeds; single joints in a table of their own."""
    measured = [m.key for a in result.run for r in a.runs for m in r.measurements if m.unit == "percent"]
    keys = [k for k in measured if ("/joint/" in k) == joints and not k.startswith(PREFIX)]
    if not keys:
        return None
    columns = (Column("Metric, %"), *(Column(arm_label(a.arm), numeric=True) for a in result.run))
    rows = []
    for key in dict.fromkeys(keys):
        cells = [Cell(metric(key), key)]
        for a in result.run:
            runs = [r for r in a.runs if r.get(key)]
            if not runs:
                cells.append(Cell(EMPTY))
                continue
            e = evidence.pooled(runs, key, result.pools)
            cells.append(
                Cell(number(e.value, 1), f"{exact(e.value, 'percent')}, {e.method}", e.value, note=span(e.interval))
            )
        rows.append(tuple(cells))
    what = "joint by joint" if joints else "every metric"
    caption = f"{where(result.where)}: {what}, mean over seeds with 95 % CI."
    return Table(id, caption, columns, tuple(rows))


# ---------------------------------------------------------------------------------------------------- cost


def cost_table(
    records: Sequence[RunRecord],
    id: str,
    title: str,
    pocket: bool,
    inputs: dict[str, str],
    times: NetworkTimes,
    baselines: Sequence[RunRecord] = (),
) -> Table:
    """Cost records as rows: both counting conventions, and always the measured latency beside them (F19, F20).

    `baselines` come first and are set apart; against a single one, the other rows give their changes.
    """
    base = baselines[0] if len(baselines) == 1 else None
    shown = (*baselines, *records)
    of_networks = times.together([(r.identity.paper, r.identity.variant_hash, counted_hw(r)) for r in shown])
    timed = {r.id: found for r, found in zip(shown, of_networks, strict=True)}
    threads = sorted({n for found in timed.values() for n in found})
    prefix, unit, per_2 = ("M", 1e6, 2**20) if pocket else ("G", 1e9, HRNET_UNIT)
    columns = (
        Column("Model"),
        Column("Input, px"),
        Column("Parameters, M", numeric=True),
        Column(f"{prefix}MAC, true count", numeric=True),
        Column(f"HRNet counter, {prefix}MAC/{'2²⁰' if pocket else '2³⁰'}", numeric=True),
        Column("Activations, M", numeric=True),
        *(Column(f"Latency, ms ({plural(n, 'thread')})", numeric=True) for n in threads),
    )
    rows = []
    for r in shown:
        i = r.identity
        against = None if r is base else base
        rows.append(
            (
                Cell(i.variant + (" (baseline)" if r in baselines else ""), note=i.paper),
                Cell(inputs.get(i.variant_hash) or _counted_size(r)),
                *(
                    amount(r.get(key), per, digits, None if against is None else against.get(key))
                    for key, per, digits in (
                        ("params", 1e6, 3 if pocket else 2),
                        ("macs", unit, 2),
                        ("macs/hrnet_counter", per_2, 2),
                        ("activations", 1e6, 2),
                    )
                ),
                *(latency_cell(timed[r.id].get(n), None if base is None else timed[base.id].get(n)) for n in threads),
            )
        )
    note = (
        "True count: each layer at its own cost, transposed convolutions at input resolution. HRNet counter: "
        "transposed convolutions at output resolution, as published tables of that line print them. Never compare "
        "across columns. "
        f"{latency_note([t for found in timed.values() for t in found.values()])}"
    )
    if base is not None:
        note += " Percentages are changes against the baseline."
    return Table(id, title, columns, tuple(rows), note, emphasised=tuple(range(len(baselines))))


def counted_hw(record: RunRecord) -> tuple[int, int] | None:
    """The input size that a model was counted at."""
    m = record.get("macs") or record.get("params")
    return None if m is None else m.conditions.input_hw


def _counted_size(record: RunRecord) -> str:
    """The same in words, for a model of another paper."""
    return size(counted_hw(record)) or EMPTY
