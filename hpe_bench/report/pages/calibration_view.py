"""How far joint scores are probabilities, as tables and figures: of one record, or of several side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpe_bench.records.schema import Calibration, RunRecord
from hpe_bench.report.kit import plots, svgdraw
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, exact_span
from hpe_bench.report.kit.text import exact, metric, number, span
from hpe_bench.report.kit.theme import Style

Named = Sequence[tuple[str, Calibration]]

NOTE = (
    "A joint's score is taken for the probability that it is right. The expected calibration error is the mean "
    "distance of scores from the share of right joints, in 15 bins by score; its interval resamples images, which "
    "raises it a little. The risk area is the share of wrong joints among the best-scored ones, over all coverages: "
    "lower is better."
)


def named(records: Sequence[RunRecord], name: str = "") -> list[tuple[str, Calibration]]:
    """Records that have it, each by its network's name."""
    return [
        (name or f"{r.identity.paper}/{r.identity.variant}", r.calibration)
        for r in records
        if r.calibration is not None
    ]


def table(found: Named, id: str = "calibration") -> Table | None:
    """A row a network: right, claimed, error, risk, and what a temperature does; None of no network."""
    if not found:
        return None
    columns = (
        *(Column("Network"), Column("Right, %", True), Column("Mean score, %", True)),
        *(Column("Calibration error, %", True), Column("Risk area, %", True)),
        *(Column("Temperature", True), Column("Error without it, %", True), Column("Error with it, %", True)),
    )
    rows = tuple((Cell(name, note=f"right: {metric(c.key)}"), *_whole(c)) for name, c in found)
    note = f"{NOTE} The temperature is fitted on half of the images, and judged on the other half."
    return Table(id, "Joint scores as probabilities.", columns, rows, note)


def _whole(c: Calibration) -> tuple[Cell, ...]:
    p, s = c.parts[0], c.scaling
    scaled = (Cell(EMPTY),) * 3 if s is None else tuple(_cell(v, 2) for v in (s.temperature, s.before, s.after))
    return (_cell(p.right), _cell(p.score), _error(p.error, p.interval), _cell(p.risk_area), *scaled)


def _cell(value: float, digits: int = 1) -> Cell:
    return Cell(number(value, digits), exact(value), value)


def _error(value: float, interval: tuple[float, float] | None) -> Cell:
    return Cell(number(value, 1), f"{exact(value, 'percent')}, {exact_span(interval)}", value, note=span(interval))


def parts_table(found: Named, id: str = "calibration-parts") -> Table | None:
    """The error by visibility and joint, a column a network; below it how many are right and what scores claim."""
    names = list(dict.fromkeys(p.part for _, c in found for p in c.parts if p.part))
    if not names:
        return None
    rows = []
    for name in names:
        own = [next((p for p in c.parts if p.part == name), None) for _, c in found]
        cells = [
            Cell(EMPTY)
            if p is None
            else Cell(
                number(p.error, 1),
                f"{exact(p.error, 'percent')}, {exact_span(p.interval)}, n = {p.n}",
                p.error,
                note=f"right {number(p.right, 0)}, score {number(p.score, 0)}",
            )
            for p in own
        ]
        rows.append((Cell(name.removeprefix("joint/").replace("_", " ")), *cells))
    columns = (Column("Joints"), *(Column(f"{name}, %", True) for name, _ in found))
    return Table(id, "Calibration error by visibility and joint.", columns, tuple(rows))


def tables(found: Named, id: str = "calibration") -> tuple[Table, ...]:
    """Both tables, as far as there are any."""
    return tuple(t for t in (table(found, id), parts_table(found, f"{id}-parts")) if t is not None)


def figures(found: Named, prefix: str = "calibration") -> tuple[Figure, ...]:
    """The reliability diagram, and risk over coverage."""
    if not found:
        return ()
    styles = [Style(1 + i) for i in range(len(found))]
    legend = tuple((svgdraw.swatch(style), name) for style, (name, _) in zip(styles, found, strict=True))
    reliability = [
        (name, style, np.array([b.score for b in c.bins]), np.array([b.right for b in c.bins]))
        for style, (name, c) in zip(styles, found, strict=True)
    ]
    perfect = ("as often right as the score says", Style(0), np.array([0.0, 100.0]), np.array([0.0, 100.0]))
    risk = [
        (name, style, np.array([float(at) for at, _ in c.risk]), np.array([r for _, r in c.risk]))
        for style, (name, c) in zip(styles, found, strict=True)
    ]
    top = max(max(r) for _, _, _, r in risk) * 1.05 or 1.0
    drawn = plots.lines(f"{prefix}-reliability", [perfect, *reliability], "score, %", "right, %", 100)
    risks = plots.lines(f"{prefix}-risk", risk, "coverage: best-scored joints, %", "wrong among them, %", top)
    grey = ((svgdraw.swatch(Style(0)), perfect[0]),)
    return (
        Figure(drawn, "Reliability: joints by score, and how many are right.", (*grey, *legend)),
        Figure(risks, "Risk over coverage: how many of the best-scored joints are wrong.", legend),
    )
