"""A sweep on its paper's page: accuracy of visible and of hidden joints as a dial of the data is turned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hpe_bench.declare import Arm, Paper, Protocol, Sweep
from hpe_bench.protocols import turned
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit import plots, svgdraw
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.studies import same, styles
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, exact_span
from hpe_bench.report.kit.text import arm_label, exact, metric, number, plural, signed, span
from hpe_bench.verdicts import commands, evidence
from hpe_bench.verdicts.evidence import Estimate, Records
from hpe_bench.verdicts.occluded import HIDDEN, VISIBLE, swept_runs
from hpe_bench.verdicts.pools import SeedPools

AXES = {
    "occlusion": "occlusion dial (0: nothing before people)",
    "crowding": "crowding dial (0: one person a scene)",
    "stature": "stature of people in the image, px",
}


@dataclass(frozen=True)
class SweepView:
    """Question, figures and table, or the command that would make them."""

    name: str
    question: str
    figures: tuple[Figure, ...]
    table: Table | None
    missing: str  # arms without any evaluation
    command: str


@dataclass(frozen=True)
class _Found:
    """Runs by arm name and dial value; only what is there."""

    sweep: Sweep
    runs: Mapping[str, Mapping[float, dict[int, RunRecord]]]
    key: str
    pools: SeedPools
    paper: Paper

    @property
    def arms(self) -> list[Arm]:
        """Those with evaluations, the control first."""
        return sorted((a for a in self.sweep.arms if self.runs[a.name]), key=lambda a: a.name != self.sweep.control)

    def value(self, arm: Arm, at: float, key: str) -> Estimate | None:
        runs = self.runs[arm.name].get(at)
        if not runs or not all(r.get(key) for r in runs.values()):
            return None
        return evidence.pooled(list(runs.values()), key, self.pools)

    def gain(self, arm: Arm, at: float, key: str) -> Estimate | None:
        ours, theirs = (self.runs[name].get(at) for name in (arm.name, self.sweep.control))
        if not ours or not theirs or arm.name == self.sweep.control:
            return None
        return evidence.difference(ours, theirs, key, self.pools)


def view(paper: Paper, sweep: Sweep, records: Records) -> SweepView:
    """What the records say about a sweep."""
    protocols: dict[float, Protocol] = {value: turned(sweep.dial, value) for value in sweep.values}
    runs = {
        arm.name: {v: by_seed for v, p in protocols.items() if (by_seed := swept_runs(records, arm, p))}
        for arm in sweep.arms
    }
    missing = "; ".join(arm_label(a) for a in sweep.arms if not runs[a.name])
    command = commands.study(paper, sweep.name)
    every = [r for by_value in runs.values() for of_seed in by_value.values() for r in of_seed.values()]
    if not every:
        return SweepView(sweep.name, sweep.question, (), None, missing, command)
    key = every[0].measurements[0].key
    found = _Found(sweep, runs, key, SeedPools(records, "sweep"), paper)
    drawn = (
        _figure(found, VISIBLE, f"{metric(key)} of visible joints, %", "visible"),
        _figure(found, HIDDEN, f"{metric(key)} of hidden joints, %", "hidden"),
    )
    return SweepView(
        sweep.name, sweep.question, tuple(f for f in drawn if f is not None), _table(found), missing, command
    )


def _figure(found: _Found, key: str, y_label: str, name: str) -> Figure | None:
    look = styles(found.paper)
    rows = [
        plots.Trace(
            arm_label(arm),
            look[same(arm)],
            tuple(
                plots.PlotPoint(at, e.value, e.interval)
                for at in found.sweep.values
                if (e := found.value(arm, at, key)) is not None
            ),
        )
        for arm in found.arms
    ]
    rows = [row for row in rows if row.points]
    if not rows:
        return None
    svg = plots.traces(
        f"sweep-{found.sweep.name}-{name}", rows, AXES[found.sweep.dial], y_label, ticks=found.sweep.values
    )
    seeds = sorted({len(by_seed) for by_value in found.runs.values() for by_seed in by_value.values()})
    caption = (
        "Mannequins; the networks are those of the studies, trained at one setting of the dials and not anew. "
        f"Bars: 95 % intervals over images and seeds, {' or '.join(map(str, seeds))} seeds an arm."
    )
    return Figure(svg, caption, tuple((svgdraw.swatch(look[same(a)]), arm_label(a)) for a in found.arms))


def _table(found: _Found) -> Table:
    columns = (
        Column(found.sweep.dial.capitalize(), numeric=True),
        Column("Arm"),
        Column("Visible joints, %", numeric=True),
        Column("95 % interval, %"),
        Column("Hidden joints, %", numeric=True),
        Column("95 % interval, %"),
        Column("Difference to control on hidden joints, points", numeric=True),
        Column("95 % interval, points"),
        Column("Runs"),
    )
    caption = f"{metric(found.key)} of visible and of hidden joints by {found.sweep.dial}; decoded with DARK."
    note = (
        "Hidden joints lie behind the own body, another person or a thing; joints outside the image do not count. The "
        "dial changes which persons are annotated, so rows of one value are compared with each other only."
    )
    return Table(f"sweep-{found.sweep.name}", caption, columns, tuple(_rows(found)), note)


def _rows(found: _Found) -> Iterator[tuple[Cell, ...]]:
    look = styles(found.paper)
    for at in found.sweep.values:
        for arm in found.arms:
            if at in found.runs[arm.name]:
                control = arm.name == found.sweep.control
                seeds = len(found.runs[arm.name][at])
                yield (
                    Cell(f"{at:g}", sort=at),
                    Cell(arm_label(arm) + (" (control)" if control else ""), before=svgdraw.swatch(look[same(arm)])),
                    *_cells(found.value(arm, at, VISIBLE)),
                    *_cells(found.value(arm, at, HIDDEN)),
                    *_difference(found.gain(arm, at, HIDDEN), "control" if control else EMPTY),
                    Cell(plural(seeds, "seed"), sort=float(seeds)),
                )


def _cells(e: Estimate | None) -> tuple[Cell, Cell]:
    if e is None:
        return Cell(EMPTY), Cell("")
    return (
        Cell(number(e.value, 1), exact(e.value, "percent"), e.value),
        Cell(span(e.interval), f"{exact_span(e.interval)} percent, {e.method}"),
    )


def _difference(e: Estimate | None, otherwise: str) -> tuple[Cell, Cell]:
    if e is None:
        return Cell(otherwise), Cell("")
    return (
        Cell(signed(e.value, 1), exact(e.value, "points"), e.value),
        Cell(span(e.interval, sign=True), f"{exact_span(e.interval)} points, {e.method}"),
    )
