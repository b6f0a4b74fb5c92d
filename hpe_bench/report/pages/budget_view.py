"""A study at several budgets, for its paper's page: curves against samples, MACs and time, and tables of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpe_bench.declare import Ablation, Arm, Paper
from hpe_bench.records import query
from hpe_bench.records.query import ScoringCondition
from hpe_bench.report.kit import plots, svgdraw
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.studies import same, styles
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, exact_span
from hpe_bench.report.kit.text import NO_BREAK, arm_label, exact, metric, number, plural, signed, span, typeset, where
from hpe_bench.report.kit.theme import Style
from hpe_bench.verdicts import budgets, evidence
from hpe_bench.verdicts.budgets import MACS, SAMPLES, TIME, Curve
from hpe_bench.verdicts.evidence import Estimate, Records
from hpe_bench.verdicts.pools import SeedPools

WAYS = {SAMPLES: "equal samples", MACS: "equal training MACs", TIME: "equal training time"}


@dataclass(frozen=True)
class BudgetView:
    """Its parts under one condition."""

    table: Table
    equal: Table | None
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class _Found:
    paper: Paper
    study: Ablation
    curves: Mapping[str, Curve]
    key: str
    pools: SeedPools
    where: ScoringCondition

    @property
    def control(self) -> Curve:
        return self.curves[self.study.control]

    @property
    def run(self) -> list[Arm]:
        """The arms that have points, the control first."""
        there = [a for a in self.study.arms if self.curves[a.name]]
        return sorted(there, key=lambda a: a.name != self.study.control)

    def style(self, arm: Arm) -> Style:
        return styles(self.paper)[same(arm)]

    def accuracy(self, point: budgets.BudgetPoint) -> Estimate:
        return evidence.pooled(list(point.runs.values()), self.key, self.pools)


def view(
    paper: Paper, study: Ablation, curves: Mapping[str, Curve], records: Records, place: ScoringCondition, name: str
) -> BudgetView | None:
    """The study under a condition, from its arms' curves there; None unless an arm was run at two budgets."""
    if not any(len(curve) > 1 for curve in curves.values()):
        return None
    first = next(r for curve in curves.values() for p in curve for r in p.runs.values())
    found = _Found(paper, study, curves, query.headline_key(first), SeedPools(records), place)
    axes = list(dict.fromkeys(axis for curve in curves.values() for p in curve for axis in p.costs))
    drawn = [_figure(found, axis, f"{name}-{i}") for i, axis in enumerate(axes)]
    return BudgetView(_table(found, name), _equal(found, axes, name), tuple(f for f in drawn if f))


def _figure(found: _Found, axis: str, name: str) -> Figure | None:
    rows = []
    for arm in found.run:
        shown = [(p, found.accuracy(p)) for p in found.curves[arm.name] if axis in p.costs]
        marks = tuple(plots.PlotPoint(p.costs[axis], e.value, e.interval) for p, e in shown)
        if marks:
            rows.append(plots.Trace(arm_label(arm), found.style(arm), marks))
    if not rows:
        return None
    ticks = sorted({p.x for row in rows for p in row.points}) if axis == SAMPLES else ()
    svg = plots.traces(name, rows, axis, f"{metric(found.key)}, %", ticks=ticks, log=True)
    seeds = sorted({len(p.runs) for curve in found.curves.values() for p in curve})
    note = {
        MACS: " Three forward passes a sample, as a backward pass takes about two; of a teacher one more of its own.",
        TIME: " Samples times the seconds of one core that the arm's quickest training took for each, all arms on one "
        "kind of processor: other work on a machine stretches wall time.",
    }.get(axis, "")
    caption = (
        f"{where(found.where)}. Every mark is a whole training with its own schedule; bars: 95 % intervals over images "
        f"and seeds, {' or '.join(map(str, seeds))} seeds; logarithmic axis.{note}"
    )
    return Figure(svg, caption, tuple((svgdraw.swatch(found.style(a)), arm_label(a)) for a in found.run))


def _table(found: _Found, name: str) -> Table:
    columns = (
        Column("Training samples", numeric=True),
        Column("Arm"),
        Column(f"{metric(found.key)}, %", numeric=True),
        Column("95 % interval, %"),
        Column("Difference to control, points", numeric=True),
        Column("95 % interval, points"),
        Column("Runs"),
        Column("Training, GMAC", numeric=True),
        Column("Training, core-minutes", numeric=True),
    )
    rows = tuple(_rows(found))
    told = [t for a in found.run if a.name != found.study.control and (t := _told(found, a))]
    caption = f"{where(found.where)}: {metric(found.key)} by training budget; every row is whole trainings."
    return Table(f"budgets-{name}", caption, columns, rows, " ".join(told))


def _rows(found: _Found) -> Iterator[tuple[Cell, ...]]:
    gains = {
        a.name: budgets.gains(found.curves[a.name], found.control, found.key, found.pools)
        for a in found.run
        if a.name != found.study.control
    }
    at = sorted({p.samples for curve in found.curves.values() for p in curve})
    for samples in at:
        for arm in found.run:
            for p in (p for p in found.curves[arm.name] if p.samples == samples):
                yield _row(found, arm, p, gains.get(arm.name, {}).get(samples))


def _row(found: _Found, arm: Arm, p: budgets.BudgetPoint, gain: Estimate | None) -> tuple[Cell, ...]:
    accuracy = found.accuracy(p)
    control = arm.name == found.study.control
    runs = list(p.runs.values())
    untaught = "has not learned: below the mean pose" if found.pools.below_mean_pose(runs) else ""
    minutes = None if TIME not in p.costs else p.costs[TIME] / 60
    return (
        Cell(f"{p.samples:,}", sort=float(p.samples)),
        Cell(arm_label(arm) + (" (control)" if control else ""), before=svgdraw.swatch(found.style(arm))),
        Cell(number(accuracy.value, 1), exact(accuracy.value, "percent"), accuracy.value, note=untaught),
        Cell(span(accuracy.interval), f"{exact_span(accuracy.interval)} percent, {accuracy.method}"),
        *_gain(gain, "control" if control else EMPTY),
        Cell(plural(accuracy.seeds, "seed"), "per seed: " + ", ".join(map(repr, accuracy.each)), float(accuracy.seeds)),
        _amount(p.costs.get(MACS), 0),
        _amount(minutes, 1),
    )


def _gain(gain: Estimate | None, otherwise: str) -> tuple[Cell, Cell]:
    if gain is None:
        return Cell(otherwise), Cell("")
    return (
        Cell(signed(gain.value, 1), exact(gain.value, "points"), gain.value),
        Cell(span(gain.interval, sign=True), f"{exact_span(gain.interval)} points, {gain.method}"),
    )


def _amount(value: float | None, digits: int) -> Cell:
    return Cell(EMPTY) if value is None else Cell(number(value, digits), exact(value), value)


def _told(found: _Found, arm: Arm) -> str:
    """At which budgets an arm is ahead, and how many times the control's samples it needs."""
    ours = found.curves[arm.name]
    words = budgets.in_words(budgets.gains(ours, found.control, found.key, found.pools))
    told = [typeset(f"{arm_label(arm)} ahead of the control: {words[0].lower()}{words[1:]}")] if words else []
    factor = budgets.samples_for_equal_accuracy(ours, found.control, found.key)
    if factor is not None:
        around = span(factor.interval, 2) if factor.interval else "one seed, no interval"
        told.append(
            f"For equal accuracy it needs {factor.value:.2f}{NO_BREAK}times the control's samples ({around}, geometric "
            f"mean over what both reach, {plural(len(factor.each), 'seed')})."
        )
    return " ".join(told)


def _equal(found: _Found, axes: Sequence[str], name: str) -> Table | None:
    """Differences at equal costs: on every axis, at each point of the control."""
    rows = tuple(
        (
            Cell(WAYS.get(axis, f"equal {axis}")),
            Cell(arm_label(arm), before=svgdraw.swatch(found.style(arm))),
            Cell(f"{answer.samples:,}", sort=float(answer.samples)),
            _amount(answer.cost, 0),
            *_gain(answer.gain, EMPTY),
        )
        for arm in found.run
        if arm.name != found.study.control
        for axis in axes
        for answer in budgets.equal_cost(found.curves[arm.name], found.control, axis, found.key, found.pools)
    )
    if not rows:
        return None
    columns = (
        Column("At"),
        Column("Arm"),
        Column("Control's training samples", numeric=True),
        Column("Cost on this axis", numeric=True),
        Column("Difference to control, points", numeric=True),
        Column("95 % interval, points"),
    )
    note = (
        "Between an arm's whole trainings its accuracy is taken to be linear in the logarithm of the cost, image by "
        "image; beyond its first and last one nothing is said."
    )
    caption = f"{where(found.where)}: differences where both trainings cost the same, by three ways to count."
    return Table(f"equal-{name}", caption, columns, rows, note)
