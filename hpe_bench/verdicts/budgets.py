"""What a study says at several budgets: differences at each, at equal costs of training, and for equal accuracy.

Every point is a whole training with its own schedule. Between points accuracy is taken to be linear in the logarithm of
the cost, training by training and image by image; beyond the first and last point nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import log

import numpy as np

from hpe_bench.declare import Ablation, Arm, Curriculum, Paper, Recipe, Variant, fingerprint
from hpe_bench.metrics import bootstrap
from hpe_bench.metrics.multiplicity import holm
from hpe_bench.metrics.seed_variance import Spread
from hpe_bench.plan import points
from hpe_bench.records import query
from hpe_bench.records.query import ScoringCondition
from hpe_bench.records.schema import RunRecord
from hpe_bench.records.throughput import quickest
from hpe_bench.verdicts import evidence
from hpe_bench.verdicts.evidence import Estimate, Records
from hpe_bench.verdicts.pools import SeedPools

SAMPLES, MACS, TIME = "training samples", "training GMACs", "training seconds"
GIGA = 1e9
PASSES = 3  # of a training step, in forward passes: the backward pass needs about two
ALPHA = 1 - bootstrap.LEVEL


@dataclass(frozen=True)
class BudgetPoint:
    """An arm at one budget: its runs by seed, and what its training cost on every axis that is known."""

    samples: int
    arm: Arm
    runs: Mapping[int, RunRecord]
    costs: Mapping[str, float] = field(default_factory=dict)


Curve = tuple[BudgetPoint, ...]
"""An arm's points that were run, rising in samples."""


@dataclass(frozen=True)
class Answer:
    """The difference of two arms where the control's training was as dear, on one axis, as at one of its points."""

    axis: str
    samples: int  # of the control
    cost: float
    gain: Estimate


@dataclass(frozen=True)
class Factor:
    """How many times the control's samples an arm needs for the same accuracy, with a 95 % t-interval over seeds."""

    value: float
    interval: tuple[float, float] | None
    p_value: float | None
    each: tuple[float, ...]


def curves(study: Ablation, records: Records, where: ScoringCondition) -> dict[str, Curve]:
    """Every arm's points under a condition, by its name; an arm of which none was run has an empty one."""
    found: dict[str, list[tuple[int, Arm, dict[int, RunRecord]]]] = {arm.name: [] for arm in study.arms}
    for samples, point in points(study).items():
        for arm in point.arms:
            if runs := evidence.arm_runs(records, arm, where):
                found[arm.name].append((samples, arm, runs))
    paces = quickest({name: [r for *_, runs in own for r in runs.values()] for name, own in found.items()})
    return {
        name: tuple(
            BudgetPoint(samples, arm, runs, _costs(study, arm, paces.get(name), records)) for samples, arm, runs in own
        )
        for name, own in found.items()
    }


def _costs(study: Ablation, arm: Arm, pace: float | None, records: Records) -> dict[str, float]:
    found = {SAMPLES: float(arm.recipe.samples)}
    if (macs := training_macs(arm, records)) is not None:
        found[MACS] = macs / GIGA
    if pace is not None:
        found[TIME] = arm.recipe.samples * pace
    if study.budgets is not None and study.budgets.part:
        found[part_axis(study.budgets.part)] = arm.recipe.samples * share_of(study.budgets.part, arm.recipe)
    return found


def part_axis(part: str) -> str:
    """The axis of the samples that train a child of the models."""
    return f"training samples of the {part}"


def share_of(part: str, recipe: Recipe) -> float:
    """The share of a recipe's samples that train a child of the model: of stages that name it, or train everything."""
    stages = recipe.stages if isinstance(recipe, Curriculum) else ()
    return sum(s.share for s in stages if not s.trains or part in s.trains) if stages else 1.0


def training_macs(arm: Arm, records: Records) -> float | None:
    """MACs of a whole training: three forward passes a sample, and one of the teacher. None if they were not counted.

    What is frozen in a stage is counted as if it were trained, so of stages it is an upper bound.
    """
    own = _macs(arm.paper, arm.variant, records)
    recipe = arm.recipe
    if own is None:
        return None
    taught = recipe.teacher if isinstance(recipe, Curriculum) else None
    teacher = 0.0 if taught is None else _macs(taught.paper, taught.variant, records)
    return None if teacher is None else recipe.samples * (PASSES * own + teacher)


def _macs(paper: str, variant: Variant, records: Records) -> float | None:
    cost = query.of(records).cost_of(paper, fingerprint(variant))
    counted = None if cost is None else cost.get("macs")
    return None if counted is None else counted.value


# ---------------------------------------------------------------------------------------------------- differences


def gains(subject: Curve, control: Curve, key: str, pools: SeedPools) -> dict[int, Estimate]:
    """Subject less control by samples, at every budget that both were run at."""
    ours = {p.samples: p for p in subject}
    found = {
        p.samples: evidence.difference(dict(ours[p.samples].runs), dict(p.runs), key, pools)
        for p in control
        if p.samples in ours and not evidence.unequal_budgets(dict(ours[p.samples].runs), dict(p.runs))
    }
    return {samples: gain for samples, gain in found.items() if gain is not None}


def equal_cost(subject: Curve, control: Curve, axis: str, key: str, pools: SeedPools) -> list[Answer]:
    """The difference at each point of the control, the subject's training being exactly as dear on an axis."""
    found = []
    for p in control:
        if (cost := p.costs.get(axis)) is None:
            continue
        ours = _at_cost(subject, axis, cost, key, pools)
        theirs = _Interpolated.of(p, key, pools)
        if ours is not None and theirs is not None and (gain := ours.less(theirs)) is not None:
            found.append(Answer(axis, p.samples, cost, gain))
    return found


@dataclass(frozen=True)
class _Interpolated:
    """Hits per image [I] by seed, of an arm between two points, and the spread of its seeds."""

    hits: Mapping[int, np.ndarray]
    counts: np.ndarray
    spread: Spread | None

    @staticmethod
    def of(point: BudgetPoint, key: str, pools: SeedPools) -> _Interpolated | None:
        tables = {seed: evidence.rates(r, key) for seed, r in point.runs.items()}
        hits = {seed: np.asarray(t[0], dtype=float) for seed, t in tables.items() if t is not None}
        if len(hits) < len(tables) or not hits:
            return None
        counts = next(np.asarray(t[1]) for t in tables.values() if t is not None)
        return _Interpolated(hits, counts, pools.spread(list(point.runs.values()), key))

    def towards(self, other: _Interpolated, share: float) -> _Interpolated | None:
        """The point at `share` of the way to another one; None where they share no seed."""
        seeds = [s for s in self.hits if s in other.hits]
        if not seeds or not np.array_equal(self.counts, other.counts):
            return None
        spread = None
        if self.spread is not None and other.spread is not None:  # two trainings, independent of each other
            variance = (1 - share) ** 2 * self.spread.variance + share**2 * other.spread.variance
            spread = Spread(variance, min(self.spread.freedom, other.spread.freedom))
        hits = {s: (1 - share) * self.hits[s] + share * other.hits[s] for s in seeds}
        return _Interpolated(hits, self.counts, spread)

    def less(self, other: _Interpolated) -> Estimate | None:
        """This less another arm, as `evidence.difference`; None without common images or seeds."""
        if not np.array_equal(self.counts, other.counts):
            return None
        known = bootstrap.both(self.spread, other.spread)
        seeds = [s for s in self.hits if s in other.hits]
        ours, theirs = (list(self.hits), list(other.hits)) if known is not None else (seeds, seeds)
        if not ours or not theirs:
            return None
        a, b = ([(side.hits[s], side.counts) for s in some] for side, some in ((self, ours), (other, theirs)))
        found = bootstrap.paired_difference(a, b, spreads=known)
        how = "paired bootstrap over images and seeds, interpolated between whole trainings"
        n = min(len(ours), len(theirs))
        return Estimate(found.value, (found.low, found.high), len(self.counts), n, how, p_value=found.p_value)


def _at_cost(curve: Curve, axis: str, cost: float, key: str, pools: SeedPools) -> _Interpolated | None:
    """An arm where its training costs so much; None outside its points."""
    known = [p for p in curve if axis in p.costs]
    for low, high in pairwise(known):
        if low.costs[axis] <= cost <= high.costs[axis]:
            share = log(cost / low.costs[axis]) / log(high.costs[axis] / low.costs[axis])
            ends = [_Interpolated.of(p, key, pools) for p in (low, high)]
            if share in (0.0, 1.0):
                return ends[int(share)]
            return None if ends[0] is None or ends[1] is None else ends[0].towards(ends[1], share)
    return next((_Interpolated.of(p, key, pools) for p in known if p.costs[axis] == cost), None)


# ---------------------------------------------------------------------------------------------------- equal accuracy


def samples_for_equal_accuracy(subject: Curve, control: Curve, key: str) -> Factor | None:
    """How many times the control's samples the subject needs: the geometric mean over the control's accuracies that
    the subject's points enclose, seed by seed. None where no seed has one.
    """
    seeds = sorted({s for p in subject for s in p.runs} & {s for p in control for s in p.runs})
    each = [v for s in seeds if (v := _factor(subject, control, key, s)) is not None]
    if not each:
        return None
    if len(each) < evidence.FEWEST_SEEDS:
        return Factor(float(np.exp(each[0])), None, None, tuple(np.exp(each)))
    low, high = bootstrap.mean_interval(each)
    p = bootstrap.mean_p_value(each)
    return Factor(float(np.exp(np.mean(each))), (float(np.exp(low)), float(np.exp(high))), p, tuple(np.exp(each)))


def _factor(subject: Curve, control: Curve, key: str, seed: int) -> float | None:
    """The mean logarithm over one seed's points."""
    own = list(_accuracies(subject, key, seed))
    logs = []
    for samples, accuracy in _accuracies(control, key, seed):
        for (s0, a0), (s1, a1) in pairwise(own):
            if a0 <= accuracy <= a1 and a1 > a0:
                share = (accuracy - a0) / (a1 - a0)
                logs.append(log(s0) + share * log(s1 / s0) - log(samples))
                break
    return float(np.mean(logs)) if logs else None


def _accuracies(curve: Curve, key: str, seed: int) -> Iterator[tuple[int, float]]:
    for p in curve:
        if seed in p.runs and (m := p.runs[seed].get(key)) is not None:
            yield p.samples, m.value


# ---------------------------------------------------------------------------------------------------- in words


def study_of(paper: Paper, arms: Sequence[Arm]) -> Ablation | None:
    """The study with budgets that asks about some arms, as they are."""
    wanted = {fingerprint((a.paper, a.variant, a.recipe)) for a in arms}
    for study in paper.studies:
        own = {fingerprint((a.paper, a.variant, a.recipe)) for a in study.arms}
        if study.budgets is not None and wanted <= own:
            return study
    return None


def curve_of(found: Mapping[str, Curve], study: Ablation, arm: Arm) -> Curve:
    """The points of an arm, whatever the study calls it."""
    wanted = fingerprint((arm.paper, arm.variant, arm.recipe))
    name = next(a.name for a in study.arms if fingerprint((a.paper, a.variant, a.recipe)) == wanted)
    return found[name]


def in_words(found: Mapping[int, Estimate], wanted: int = 1) -> str:
    """At which budgets a difference is told apart from none, Holm-corrected over them; empty with fewer than two.

    `wanted` is the sign that is claimed.
    """
    if len(found) < 2:
        return ""
    tested = {n: e.p_value for n, e in found.items() if e.p_value is not None and e.seeds >= evidence.FEWEST_SEEDS}
    adjusted = dict(zip(tested, holm([p for p in tested.values() if p is not None]), strict=True))
    sides: dict[str, list[str]] = {"holds": [], "is the other way round": [], "is not told apart from none": []}
    for samples, e in found.items():
        decided = adjusted.get(samples, 1.0) < ALPHA
        side = "is not told apart from none" if not decided else "holds"
        if decided and (e.value > 0) != (wanted > 0):
            side = "is the other way round"
        sides[side].append(f"{samples:,} ({e.value:+.1f})")
    told = "; ".join(f"{side} at {', '.join(which)}" for side, which in sides.items() if which)
    return f"By training samples, each a whole training (points; Holm over {len(found)} budgets): it {told}."
