"""Codec ceilings: what a perfect network loses to how its maps are sized, written, merged and read (F9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpe_bench.ceilings.contenders import (
    ARGMAX,
    DARK,
    HEATMAP_HW,
    INPUT_HW,
    QUARTER,
    UNBIASED,
    UNSHIFTED,
    Contender,
)
from hpe_bench.ceilings.measure import BOX_SCALES, BOX_SHIFTS, GRID, DataProtocol, record_id
from hpe_bench.ceilings.oracle import Condition
from hpe_bench.declare import canonical
from hpe_bench.records import query
from hpe_bench.records.schema import Measurement, RunRecord
from hpe_bench.report.kit import plots, svgdraw
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, exact_span
from hpe_bench.report.kit.text import NO_BREAK, exact, metric, number, plural, signed, size, span
from hpe_bench.report.kit.theme import Style
from hpe_bench.report.pages import provenance_view

HIGH, LOW = HEATMAP_HW[0], HEATMAP_HW[-1]
NEGLIGIBLE = 1.0  # points: less than what most papers claim to gain
UNITS = {"ap": "person", "pckh": "joint", "pck": "joint"}  # what a score's n counts

Found = Mapping[str, RunRecord]  # by the contender's name


@dataclass(frozen=True)
class CeilingSection:
    """One data set. `losses` has a table per metric, the headline first; `boxes` one per heatmap size."""

    id: str
    title: str
    summary: tuple[str, ...]
    losses: tuple[Table, ...]
    figures: tuple[Figure, ...]
    flips: Table
    boxes: tuple[Table, ...]


@dataclass(frozen=True)
class CeilingsPage:
    """Everything the template needs."""

    summary: tuple[str, ...]
    sections: tuple[CeilingSection, ...]
    errors: tuple[Table, ...]
    codecs: Table
    environments: Table
    runs: Table

    @property
    def tables(self) -> list[Table]:
        """Every table of the page, for the downloads beside it."""
        own = [t for s in self.sections for t in (*s.losses, s.flips, *s.boxes)]
        return [*own, *self.errors, self.codecs, self.environments, self.runs]


def build(
    contenders: Sequence[Contender], protocols: Iterable[DataProtocol], records: Sequence[RunRecord]
) -> CeilingsPage | None:
    """The page from the records of the codecs as they are declared now; None where there are none."""
    by_id = query.of(records).ceilings()
    grid = {c.name: r for c in contenders if (r := by_id.get(record_id(GRID, c)))}
    found = {p: {c.name: r for c in contenders if (r := by_id.get(record_id(p, c)))} for p in protocols}
    used = [*grid.values(), *(r for rs in found.values() for r in rs.values())]
    if not used:
        return None
    return CeilingsPage(
        summary=_grid_summary(grid) if grid.keys() >= {c.name for c in contenders} else (),
        sections=tuple(_section(p, contenders, rs) for p, rs in found.items() if rs),
        errors=tuple(_error_table(contenders, grid, where) for where in ("", "/inside")) if grid else (),
        codecs=_codec_table(contenders),
        environments=provenance_view.environments(used),
        runs=provenance_view.runs(used),
    )


# ---------------------------------------------------------------------------------------------------- data sets


def _section(protocol: DataProtocol, contenders: Sequence[Contender], found: Found) -> CeilingSection:
    shown = [c for c in contenders if c.name in found]
    keys = [m.key for m in protocol.metrics]
    return CeilingSection(
        id=protocol.name,
        title=protocol.title,
        summary=_summary(shown, found, keys),
        losses=tuple(_loss_table(protocol, shown, found, key) for key in keys),
        figures=tuple(f for key in keys for f in _figures(protocol, shown, found, key)),
        flips=_flip_table(protocol, shown, found, keys[0]),
        boxes=tuple(_box_table(protocol, shown, found, keys[0], hw) for hw in HEATMAP_HW),
    )


def _loss(m: Measurement) -> float:
    """Points lost against perfect joints, which score 100."""
    return 100.0 - m.value


def _lost_interval(m: Measurement) -> tuple[float, float] | None:
    return None if m.interval is None else (100.0 - m.interval[1], 100.0 - m.interval[0])


def _measured(record: RunRecord, key: str, condition: Condition) -> Measurement:
    m = record.get(key, condition.text)
    assert m is not None, f"record {record.id} of this very protocol lacks {key} at {condition.text}"
    return m


def _over(found: Found, key: str) -> str:
    """Of how many persons or joints the scores are."""
    n = _measured(next(iter(found.values())), key, Condition(HIGH)).n
    return plural(n, UNITS[key.partition("@")[0]])


def _loss_table(protocol: DataProtocol, shown: Sequence[Contender], found: Found, key: str) -> Table:
    rows = tuple(
        (_name(c, shown), *(_loss_cell(_measured(found[c.name], key, Condition(hw))) for hw in HEATMAP_HW))
        for c in shown
        if c.role != "control"
    )
    caption = (
        f"Points of {metric(key)} that a perfect network loses, by codec and heatmap size, with 95 % CI; "
        f"{protocol.name}, {_over(found, key)}, input {size(protocol.input_hw)}, ground-truth boxes, no flip."
    )
    return Table(f"{protocol.name}-{key}".replace("@", "-"), caption, _columns(), rows, INTERVALS)


INTERVALS = (
    "Intervals resample images; they have no width where every image has the same score. Nothing else is random here. "
    "A perfect target on whole pixels has equal neighbours, so the quarter step finds nothing to go by. "
    "Joints annotated outside of the extended box are out of reach and count as lost."
)


def _columns() -> tuple[Column, ...]:
    return (Column("Codec"), *(Column(f"Maps of {size(hw)}", numeric=True) for hw in HEATMAP_HW))


def _name(c: Contender, shown: Sequence[Contender]) -> Cell:
    return Cell(c.label, before=svgdraw.swatch(_style(c, shown)))


def _style(c: Contender, shown: Sequence[Contender]) -> Style:
    return Style([s.name for s in shown].index(c.name))


def _loss_cell(m: Measurement) -> Cell:
    interval = _lost_interval(m)
    title = f"{exact(_loss(m), 'points')}, {exact_span(interval)}"
    return Cell(number(_loss(m), 1), title, _loss(m), note=span(interval))


def _figures(protocol: DataProtocol, shown: Sequence[Contender], found: Found, key: str) -> tuple[Figure, Figure]:
    """What is lost by codec and heatmap size: as curves with intervals, and as a grid of numbers."""
    drawn = [c for c in shown if c.role != "control"]
    measured = {c.name: [_measured(found[c.name], key, Condition(hw)) for hw in HEATMAP_HW] for c in drawn}
    rows = [
        plots.Dots(
            c.label,
            _style(c, shown),
            tuple(_loss(m) for m in measured[c.name]),
            tuple(_lost_interval(m) for m in measured[c.name]),
        )
        for c in drawn
    ]
    svg = plots.steps(
        f"fig-{protocol.name}-{key}".replace("@", "-"),
        [size(hw) for hw in HEATMAP_HW],
        rows,
        "heatmap size",
        f"points of {metric(key)} lost",
    )
    caption = f"{protocol.title}: what a perfect network loses, by heatmap size. Bars: 95 % CIs over images."
    curves = Figure(svg, caption, tuple((svgdraw.swatch(_style(c, shown)), c.label) for c in drawn))
    lost = f"Points of {metric(key)} that a perfect network loses, by codec and heatmap size"
    values = [[_loss(m) for m in measured[c.name]] for c in drawn]
    name = f"grid-{protocol.name}-{key}".replace("@", "-")
    shades = plots.grid(name, [c.label for c in drawn], [size(hw) for hw in HEATMAP_HW], values, lost)
    return curves, Figure(shades, f"{protocol.title}: {lost[0].lower()}{lost[1:]}; darker is more.", ())


def _flip_table(protocol: DataProtocol, shown: Sequence[Contender], found: Found, key: str) -> Table:
    pairs = [(Condition(hw), Condition(hw, flip=True)) for hw in HEATMAP_HW]
    rows = tuple((_name(c, shown), *(_change_cell(found[c.name], key, *pair) for pair in pairs)) for c in shown)
    caption = (
        f"Points of {metric(key)} lost by averaging with the maps of the mirrored input, as each codec brings them "
        f"back; {protocol.name}."
    )
    return Table(f"{protocol.name}-flip", caption, _columns(), rows, CHANGES)


CHANGES = "Below each change: what is lost in all, with its 95 % CI. The changes themselves have no interval."


def _change_cell(record: RunRecord, key: str, before: Condition, after: Condition) -> Cell:
    m = _measured(record, key, after)
    change = _loss(m) - _loss(_measured(record, key, before))
    return Cell(
        _signed(change),
        exact(change, "points"),
        change,
        note=f"{number(_loss(m), 1)}{NO_BREAK}{span(_lost_interval(m))}",
    )


def _signed(change: float) -> str:
    """A change in points; nothing has no sign."""
    return signed(change, 1) if abs(change) >= 0.05 else number(0.0, 1)


def _box_table(
    protocol: DataProtocol, shown: Sequence[Contender], found: Found, key: str, hw: tuple[int, int]
) -> Table:
    jitters = {f"Shifted by {100 * s:g} %": Condition(hw, shift=s) for s in BOX_SHIFTS}
    jitters |= {f"Scaled by {s:g}": Condition(hw, scale=s) for s in BOX_SCALES}
    rows = tuple(
        (_name(c, shown), *(_change_cell(found[c.name], key, Condition(hw), j) for j in jitters.values()))
        for c in shown
        if c.role != "control"
    )
    caption = f"Points of {metric(key)} lost by moving or scaling the box, maps of {size(hw)}; {protocol.name}."
    note = (
        "A shift is by that share of the box's width and of its height, diagonally, its direction changing from person "
        f"to person. Boxes are then extended by {protocol.padding:g} as usual. CPN, Princeton and the integral codecs "
        f"draw nothing for joints that fall outside the crop, and lose them. {CHANGES}"
    )
    columns = (Column("Codec"), *(Column(name, numeric=True) for name in jitters))
    return Table(f"{protocol.name}-box-{hw[0]}x{hw[1]}", caption, columns, rows, note)


# ---------------------------------------------------------------------------------------------------- in words


def _summary(shown: Sequence[Contender], found: Found, keys: Sequence[str]) -> tuple[str, ...]:
    """What the numbers of one data set mean, in paragraphs; a sentence whose codecs were not measured is left out.

    The headline metric and the strictest are told; the flip test under the headline alone.
    """
    flip = [_flip_sentence(found, keys[0])] if {DARK, UNSHIFTED} <= found.keys() else []
    told = [_loss_sentences(shown, found, key) for key in dict.fromkeys((keys[0], keys[-1]))]
    return tuple(" ".join(sentences) for sentences in (*told, flip) if sentences)


def _loss_sentences(shown: Sequence[Contender], found: Found, key: str) -> list[str]:
    """The usual codec, the best one, and expectations, under one metric."""
    lost = {c.name: [_loss(_measured(found[c.name], key, Condition(hw))) for hw in HEATMAP_HW] for c in shown}
    labels = {c.name: c.label for c in shown}
    told = []
    if QUARTER in lost:
        told.append(
            f"Read in the usual way (the quarter step of SimpleBaseline and HRNet), perfect maps lose "
            f"{_listed([number(v, 1) for v in lost[QUARTER]])} points of {metric(key)} at "
            f"{_listed([size(hw) for hw in HEATMAP_HW])}."
        )
    if peaks := [c.name for c in shown if c.role == "peak"]:
        best = [min(peaks, key=lambda name: lost[name][i]) for i in range(len(HEATMAP_HW))]
        told.append(_best_sentence(best, lost, labels))
    if expected := [f"{number(lost[c.name][-1], 1)} ({c.label})" for c in shown if c.role == "expectation"]:
        told.append(f"Expectations over the {LOW[0] * LOW[1]} pixels of {size(LOW)} lose {_listed(expected)}.")
    return told


def _best_sentence(best: Sequence[str], lost: Mapping[str, list[float]], labels: Mapping[str, str]) -> str:
    """What the best codec loses at both ends, and from which size on the maps' size alone costs something."""
    values = [lost[name][i] for i, name in enumerate(best)]
    text = (
        f"The best codec that reads a peak loses {number(values[0], 1)} at {size(HIGH)} ({labels[best[0]]}) and "
        f"{number(values[-1], 1)} at {size(LOW)} ({labels[best[-1]]})"
    )
    costly = [(hw, v - values[0]) for hw, v in zip(HEATMAP_HW, values, strict=True) if v - values[0] >= NEGLIGIBLE]
    if not costly:
        return (
            f"{text}: smaller maps by themselves cost less than {NEGLIGIBLE:g} point, and what others lose to them is "
            "the codec's doing, not the resolution's."
        )
    more = [f"{number(v, 1)} more at {size(hw)}" for hw, v in costly]
    return f"{text}. Whichever codec here reads the peak, smaller maps cost at least {_listed(more)}."


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " * (len(words) > 1) + words[-1]


def _flip_sentence(found: Found, key: str) -> str:
    """F7: what the flip test costs with and without the shift by one pixel."""

    def cost(name: str, hw: tuple[int, int]) -> str:
        plain, merged = (_measured(found[name], key, Condition(hw, flip=f)) for f in (False, True))
        return _signed(_loss(merged) - _loss(plain))

    return (
        f"Averaging with the mirrored input changes DARK's loss by {cost(DARK, HIGH)} points at {size(HIGH)} and by "
        f"{cost(DARK, LOW)} at {size(LOW)} with the shift by one pixel, by {cost(UNSHIFTED, HIGH)} and "
        f"{cost(UNSHIFTED, LOW)} without (F7)."
    )


def _grid_summary(grid: Found) -> tuple[str, ...]:
    """What a peak's position is worth in pixels of the input, whatever the data set."""

    def error(name: str, hw: tuple[int, int]) -> str:
        return number(_measured(grid[name], "error/mean", Condition(hw)).value, 1)

    def row(name: str) -> str:
        return _listed([error(name, hw) for hw in HEATMAP_HW])

    return (
        f"Joints anywhere in a crop of {size(INPUT_HW)} come back with a mean error of {row(ARGMAX)} input pixels from "
        f"maps of {_listed([size(hw) for hw in HEATMAP_HW])} if the maximum alone is read, of {row(QUARTER)} with the "
        f"quarter step of SimpleBaseline and HRNet, of {row(DARK)} with DARK and of {row(UNBIASED)} with UDP.",
        f"A ceiling is no forecast. It says what is lost for certain; maps that are not perfect lose more, and the "
        f"coarser the map, the more input pixels one wrong value moves a joint: {INPUT_HW[0] // LOW[0]} to a pixel of "
        f"{size(LOW)}, {INPUT_HW[0] // HIGH[0]} to one of {size(HIGH)}.",
    )


# ---------------------------------------------------------------------------------------------------- positions, codecs


def _error_table(contenders: Sequence[Contender], grid: Found, where: str) -> Table:
    rows = tuple(
        (_name(c, contenders), *(_error_cell(grid[c.name], hw, where) for hw in HEATMAP_HW))
        for c in contenders
        if c.name in grid and c.role != "control"
    )
    region = (
        f"positions at least {GRID.margin_px:g} heatmap pixels from the outer ones (maps of {size(LOW)} have none such)"
        if where
        else "all positions"
    )
    caption = (
        f"Mean error in input pixels of {region} in a crop of {size(GRID.input_hw)}, and below it the largest; "
        f"{GRID.name}."
    )
    note = "Evenly spread positions, exact: no data set, no chance, hence no interval."
    return Table(f"{GRID.name}{where.replace('/', '-')}", caption, _columns(), rows, note)


def _error_cell(record: RunRecord, hw: tuple[int, int], where: str) -> Cell:
    mean, largest = (record.get(f"error/{what}{where}", Condition(hw).text) for what in ("mean", "max"))
    if mean is None or largest is None:
        return Cell(EMPTY)
    title = f"{exact(mean.value, mean.unit)}, over {plural(mean.n, 'position')}"
    return Cell(number(mean.value, 2), title, mean.value, note=f"at most {number(largest.value, 2)}")


def _codec_table(contenders: Sequence[Contender]) -> Table:
    rows = tuple((_name(c, contenders), *(Cell(_fields(c, hw)) for hw in HEATMAP_HW)) for c in contenders)
    columns = (Column("Codec"), *(Column(f"Maps of {size(hw)}") for hw in HEATMAP_HW))
    note = "Lengths (px) are heatmap pixels. A codec without fields has its numbers in its code."
    return Table("codecs", "What each codec is, and what changes with the size of its maps.", columns, rows, note)


def _fields(c: Contender, hw: tuple[int, int]) -> str:
    """A codec's class and fields; for smaller maps what differs from the largest."""
    first, own = canonical(c.codec(HIGH)), canonical(c.codec(hw))
    told = own if hw == HIGH else {k: v for k, v in own.items() if v != first[k]}
    fields = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in told.items() if k != "is")
    return f"{own['is']}: {fields or 'no fields'}" if hw == HIGH else fields or "the same"
