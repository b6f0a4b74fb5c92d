"""The page of robustness: models under corruptions, by kind, severity and joint, against clean and one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hpe_bench.data import corruptions
from hpe_bench.data.corruptions import KINDS, Kind
from hpe_bench.declare import Paper
from hpe_bench.metrics.robustness import Draws
from hpe_bench.records import query
from hpe_bench.records.schema import CorruptedScore, Robustness, RunRecord
from hpe_bench.report.kit import plots, svgdraw
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, exact_span
from hpe_bench.report.kit.text import exact, identifier, metric, number, plural, signed, span
from hpe_bench.report.kit.theme import Style
from hpe_bench.report.pages import calibration_view, provenance_view
from hpe_bench.run.robustness import draws_of, draws_together

ROBUSTNESS = "robustness"


@dataclass(frozen=True)
class Average:
    """Scores together: their mean with interval, and the paired difference to the clean score."""

    title: str
    value: float
    interval: tuple[float, float] | None
    change: float | None = None
    change_interval: tuple[float, float] | None = None

    @property
    def change_text(self) -> str:
        """The change to clean in words."""
        if self.change is None:
            return ""
        return f"{signed(self.change, 1)} {span(self.change_interval, sign=True)}"


@dataclass(frozen=True)
class RobustnessSection:
    """Models under one protocol and on one test set."""

    id: str
    title: str
    lead: str
    summary: Table
    between: Table | None
    kinds: tuple[Table, ...]
    figures: tuple[Figure, ...]
    pixel_figures: tuple[Figure, ...]
    joints: Table
    calibration: Table | None
    calibration_parts: Table | None
    calibration_figures: tuple[Figure, ...]
    errors: Table | None

    @property
    def tables(self) -> list[Table]:
        """Every table of the section."""
        some = (self.between, self.calibration, self.calibration_parts, self.errors)
        return [self.summary, *self.kinds, self.joints, *(t for t in some if t is not None)]


@dataclass(frozen=True)
class RobustnessPage:
    """Everything the template needs."""

    sections: tuple[RobustnessSection, ...]
    glossary: Table
    environments: Table
    runs: Table

    @property
    def tables(self) -> list[Table]:
        """Every table of the page, for the downloads beside it."""
        return [*(t for s in self.sections for t in s.tables), self.glossary, self.environments, self.runs]


def speaking(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The newest record of each model, protocol and test set."""
    found = {}
    for r in query.oldest_first(query.of(records).finished("robustness")):
        i = r.identity
        found[(i.training, r.weights_sha256 if not i.recipe else "", i.protocol_hash, i.test_digest)] = r
    return sorted(found.values(), key=lambda r: (r.identity.protocol, r.identity.paper, r.filename))


def build(records: Sequence[RunRecord], papers: Mapping[str, Paper]) -> RobustnessPage | None:
    """The page; None where no model was measured under corruptions. `papers` name their networks, by slug."""
    shown = speaking(records)
    if not shown:
        return None
    groups: dict[tuple[str, str, str, str], list[RunRecord]] = {}
    for r in shown:
        assert r.robustness is not None
        key = (r.identity.protocol, r.identity.protocol_hash, r.identity.test_digest, r.robustness.counts)
        groups.setdefault(key, []).append(r)
    sections = [_section(f"robustness-{i}", rs, papers) for i, rs in enumerate(groups.values(), start=1)]
    return RobustnessPage(
        tuple(sections), _glossary(), provenance_view.environments(shown), provenance_view.runs(shown)
    )


# ---------------------------------------------------------------------------------------------------- of one model


def averages(found: Robustness) -> list[Average]:
    """Clean, the mean over all corruptions, then each kind over its severities."""
    draws = draws_of(found)
    return [
        Average("clean", found.scores[0].value, found.scores[0].interval),
        _average("mean corruption score", draws, range(1, len(found.scores))),
        *(_average(kind.title, draws, places) for kind, places in _by_kind(found)),
    ]


def _average(title: str, draws: Draws, places: Sequence[int]) -> Average:
    value, interval = draws.mean(places)
    less = draws.less(places, draws, [0])
    return Average(title, value, interval, less.value, (less.low, less.high))


def _by_kind(found: Robustness) -> list[tuple[Kind, list[int]]]:
    """The kinds that were measured, in their order, with the places of their scores."""
    places = {k: [i for i, s in enumerate(found.scores) if s.kind == k.name] for k in KINDS}
    return [(kind, own) for kind, own in places.items() if own]


def _places(found: Robustness, subject: str) -> list[int]:
    return [i for kind, own in _by_kind(found) if kind.subject == subject for i in own]


# ---------------------------------------------------------------------------------------------------- a section


def model_name(r: RunRecord, papers: Mapping[str, Paper]) -> str:
    """What readers call it; of a training its seed as well."""
    i = r.identity
    if not i.recipe:
        return i.variant
    name = papers[i.paper].name_of(i.variant) if i.paper in papers else f"{i.paper}/{i.variant}"
    return name if i.seed is None else f"{name}, seed {i.seed}"


def _section(id: str, records: Sequence[RunRecord], papers: Mapping[str, Paper]) -> RobustnessSection:
    found = [r.robustness for r in records if r.robustness is not None]
    names, draws = [model_name(r, papers) for r in records], draws_together(found)
    key, where = found[0].key, records[0].identity.protocol
    calibrated = [(n, r.calibration) for n, r in zip(names, records, strict=True) if r.calibration is not None]
    return RobustnessSection(
        id=id,
        title=where,
        lead=f"{metric(key)}, {plural(found[0].scores[0].n, 'joint' if found[0].counts else 'person')}, "
        f"{plural(draws[0].images, 'image')}; every model sees the same corrupted images and boxes.",
        summary=_summary(id, names, found, draws, key),
        between=_between(id, names, found, draws),
        kinds=tuple(
            _kinds(f"{id}-{subject}", caption, names, found, draws, subject)
            for subject, caption in (
                ("box", "What a detector does to a top-down model, and a camera's roll"),
                ("image", "What happens to pixels"),
            )
            if any(_places(f, subject) for f in found)
        ),
        figures=_figures(id, names, found, key, "box"),
        pixel_figures=_figures(id, names, found, key, "image"),
        joints=_joints(id, names, found),
        calibration=calibration_view.table(calibrated, f"{id}-calibration"),
        calibration_parts=calibration_view.parts_table(calibrated, f"{id}-calibration-parts"),
        calibration_figures=calibration_view.figures(calibrated, f"{id}-calibration"),
        errors=_errors(id, names, found),
    )


def _cell(a: Average) -> Cell:
    title = f"{exact(a.value, 'percent')}, {exact_span(a.interval)}"
    return Cell(number(a.value, 1), title, a.value, note=span(a.interval))


def _change(a: Average) -> Cell:
    if a.change is None:
        return Cell(EMPTY)
    title = f"{exact(a.change, 'points')}, {exact_span(a.change_interval)}"
    return Cell(signed(a.change, 1), title, a.change, note=span(a.change_interval, sign=True))


def _summary(id: str, names: Sequence[str], found: Sequence[Robustness], draws: Sequence[Draws], key: str) -> Table:
    rows = []
    for i, (name, f, d) in enumerate(zip(names, found, draws, strict=True)):
        every = _average("", d, range(1, len(f.scores)))
        parts = [
            _cell(_average("", d, own)) if (own := _places(f, subject)) else Cell(EMPTY) for subject in ("box", "image")
        ]
        clean = Average("", f.scores[0].value, f.scores[0].interval)
        kept = 100 * every.value / clean.value if clean.value else 0.0
        rows.append(
            (
                Cell(name, note=plural(len(f.scores) - 1, "corrupted score"), before=svgdraw.swatch(Style(1 + i))),
                *(_cell(clean), _cell(every), _change(every)),
                *(Cell(number(kept, 0), exact(kept), kept), *parts),
            )
        )
    columns = (
        *(Column("Model"), Column("Clean, %", True), Column("Mean corruption score, %", True)),
        *(Column("Change, points", True), Column("Kept, % of clean", True)),
        *(Column("Boxes, %", True), Column("Pixels, %", True)),
    )
    note = (
        "The mean corruption score is the mean over kinds and severities. Intervals resample test images, clean and "
        "corrupted together; they say nothing about the model trained again."
    )
    return Table(f"{id}-summary", f"{metric(key)} clean and corrupted.", columns, tuple(rows), note)


def _between(id: str, names: Sequence[str], found: Sequence[Robustness], draws: Sequence[Draws]) -> Table | None:
    rows = []
    for i, j in combinations(range(len(found)), 2):
        shared = {(s.kind, s.severity) for s in found[i].scores[1:]} & {
            (s.kind, s.severity) for s in found[j].scores[1:]
        }
        if not shared:
            continue
        ours, theirs = ([n for n, s in enumerate(found[k].scores) if (s.kind, s.severity) in shared] for k in (i, j))
        clean, mean = draws[i].less([0], draws[j], [0]), draws[i].less(ours, draws[j], theirs)
        cells = [
            Cell(signed(d.value, 1), exact(d.value, "points"), d.value, note=span((d.low, d.high), sign=True))
            for d in (clean, mean)
        ]
        told = "not told apart" if not mean.decided else names[i] if mean.value > 0 else names[j]
        rows.append((Cell(f"{names[i]} less {names[j]}"), *cells, Cell(told)))
    if not rows:
        return None
    columns = (
        Column("Models"),
        Column("Clean, points", True),
        Column("Corrupted, points", True),
        Column("Ahead when corrupted"),
    )
    note = "Over the corruptions that both were measured under. Not corrected for the number of rows."
    return Table(f"{id}-between", "Models against each other, image by image.", columns, tuple(rows), note)


def _kinds(
    id: str, caption: str, names: Sequence[str], found: Sequence[Robustness], draws: Sequence[Draws], subject: str
) -> Table:
    rows = []
    for kind in (k for k in KINDS if k.subject == subject):
        own = [[i for i, s in enumerate(f.scores) if s.kind == kind.name] for f in found]
        if any(own):
            cells = [_change(_average("", d, o)) if o else Cell(EMPTY) for d, o in zip(draws, own, strict=True)]
            rows.append((Cell(kind.title, note=kind.what), *cells))
    columns = (Column("Corruption"), *(Column(f"{name}, points", True) for name in names))
    note = "The mean over severities less the clean score, paired image by image, with 95 % interval."
    return Table(id, f"{caption}: points lost.", columns, tuple(rows), note)


def _figures(id: str, names: Sequence[str], found: Sequence[Robustness], key: str, subject: str) -> tuple[Figure, ...]:
    """A figure for each kind of one subject: the score by severity."""
    drawn = []
    for kind in (k for k in KINDS if k.subject == subject):
        rows = []
        for i, (name, f) in enumerate(zip(names, found, strict=True)):
            by = {s.severity: s for s in f.scores if s.kind == kind.name}
            if by:
                line: list[CorruptedScore | None] = [f.scores[0], *(by.get(s) for s in range(1, 6))]
                values = tuple(None if s is None else s.value for s in line)
                rows.append(
                    plots.Dots(name, Style(1 + i), values, tuple(None if s is None else s.interval for s in line))
                )
        if rows:
            levels = ["clean", *(f"{level:g}" for level in kind.levels)]
            svg = plots.steps(f"{id}-{identifier(kind.name)}", levels, rows, kind.what, f"{metric(key)}, %")
            drawn.append(Figure(svg, f"{kind.title}.", tuple((svgdraw.swatch(r.style), r.label) for r in rows)))
    return tuple(drawn)


def _joints(id: str, names: Sequence[str], found: Sequence[Robustness]) -> Table:
    clean = [{p.key: p.value for p in f.scores[0].parts} for f in found]
    under = [_part_means(f) for f in found]
    keys = list(dict.fromkeys(k for own in clean for k in own))
    rows = []
    for k in keys:
        cells = []
        for was, now in zip(clean, under, strict=True):
            if k not in was or k not in now:
                cells.append(Cell(EMPTY))
                continue
            change = now[k] - was[k]
            note = f"{number(was[k], 1)} to {number(now[k], 1)}"
            cells.append(Cell(signed(change, 1), exact(change, "points"), change, note=note))
        rows.append((Cell(k.rpartition("/")[2].replace("_", " ")), *cells))
    columns = (Column("Joints"), *(Column(f"{name}, points", True) for name in names))
    return Table(f"{id}-joints", "By joint group and joint: points lost over all corruptions.", columns, tuple(rows))


def _part_means(found: Robustness) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for s in found.scores[1:]:
        for p in s.parts:
            values.setdefault(p.key, []).append(p.value)
    return {key: float(np.mean(own)) for key, own in values.items()}


def _errors(id: str, names: Sequence[str], found: Sequence[Robustness]) -> Table | None:
    """The calibration error by kind, at the severities' mean."""
    if all(f.scores[0].calibration_error is None for f in found):
        return None
    rows = []
    for title, kind in (("clean", ""), *((k.title, k.name) for k in KINDS)):
        cells = []
        for f in found:
            own = [s.calibration_error for s in f.scores if s.kind == kind and s.calibration_error is not None]
            cells.append(Cell(number(v := float(np.mean(own)), 1), exact(v, "percent"), v) if own else Cell(EMPTY))
        if any(c.text != EMPTY for c in cells):
            rows.append((Cell(title), *cells))
    columns = (Column("Corruption"), *(Column(f"{name}, %", True) for name in names))
    return Table(f"{id}-errors", "Calibration error under corruptions, mean over severities.", columns, tuple(rows))


def _glossary() -> Table:
    columns = (Column("Corruption"), Column("What is done"), *(Column(f"Severity {s}", True) for s in range(1, 6)))
    rows = tuple(
        (Cell(k.title, note=k.name), Cell(k.what), *(Cell(f"{v:g}", sort=v) for v in k.levels))
        for k in corruptions.KINDS
    )
    return Table("corruptions", "The corruptions and their levels.", columns, rows)
