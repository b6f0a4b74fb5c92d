"""What the records say about the arms of a study under one condition: accuracy, difference to the control, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hpe_bench.declare import Ablation, Arm, Paper, Protocol, Sweep, fingerprint
from hpe_bench.plan import arms_of
from hpe_bench.records import query
from hpe_bench.records.query import ScoringCondition
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit.text import plural
from hpe_bench.report.kit.theme import Style
from hpe_bench.timing.rows import NetworkTime, NetworkTimes
from hpe_bench.verdicts import evidence, pairs
from hpe_bench.verdicts.evidence import Estimate, Records
from hpe_bench.verdicts.pools import SeedPools

Protocols = Mapping[str, Protocol]


@dataclass(frozen=True)
class ArmResult:
    """One arm under one condition. `accuracy` is None where it was not run; `gain` is None for the control."""

    arm: Arm
    style: Style
    is_control: bool
    runs: tuple[RunRecord, ...]
    accuracy: Estimate | None
    gain: Estimate | None
    unequal: str  # why there is no difference to the control, if the budgets differ
    untaught: str  # the figures that say so, if it has not learned
    cost: RunRecord | None
    time: NetworkTime | None


@dataclass(frozen=True)
class StudyResult:
    """A study under one condition."""

    study: Ablation
    where: ScoringCondition
    key: str
    arms: tuple[ArmResult, ...]
    mean_pose: RunRecord | None
    pools: SeedPools

    @property
    def run(self) -> list[ArmResult]:
        """The arms that were run."""
        return [a for a in self.arms if a.accuracy is not None]


@lru_cache(maxsize=32)
def styles(paper: Paper) -> dict[str, Style]:
    """A look for every arm of a paper, the same in all its figures: headline control, proposal, then the others."""
    first = [pairs.control(paper), pairs.proposal(paper)]
    studies: tuple[Ablation | Sweep, ...] = (*paper.studies, *paper.sweeps)
    order = dict.fromkeys(same(arm) for arm in (*first, *(a for s in studies for a in s.arms)))
    found = {key: Style(i) for i, key in enumerate(order)}
    for study in paper.studies:
        names = {arm.name: found[same(arm)] for arm in study.arms}
        for arm in arms_of(study):  # an arm looks the same at every budget
            found.setdefault(same(arm), names[arm.name])
    return found


def same(arm: Arm) -> str:
    """Key under which arms of several studies are one and the same."""
    return fingerprint((arm.paper, arm.variant, arm.recipe))


def study_result(
    paper: Paper,
    study: Ablation,
    records: Records,
    where: ScoringCondition,
    times: NetworkTimes | None = None,
    pools: SeedPools | None = None,
) -> StudyResult | None:
    """The study under a condition, or None if no arm of it was run there; `times` and `pools` are the records'."""
    runs = {arm.name: evidence.arm_runs(records, arm, where) for arm in study.arms}
    done = [r for by_seed in runs.values() for r in by_seed.values()]
    if not done:
        return None
    key, look = query.headline_key(done[0]), styles(paper)
    control, pools = runs[study.control], SeedPools(records) if pools is None else pools
    timed = NetworkTimes(records) if times is None else times
    shown = timed.shown_together([(a.paper, fingerprint(a.variant), a.variant.input_hw) for a in study.arms])
    arms = tuple(
        _arm_result(arm, arm.name == study.control, runs[arm.name], control, key, look, records, time, pools)
        for arm, time in zip(study.arms, shown, strict=True)
    )
    return StudyResult(study, where, key, arms, query.of(records).mean_pose(where), pools)


def _arm_result(
    arm: Arm,
    is_control: bool,
    runs: dict[int, RunRecord],
    control: dict[int, RunRecord],
    key: str,
    look: Mapping[str, Style],
    records: Records,
    time: NetworkTime | None,
    pools: SeedPools,
) -> ArmResult:
    unequal = evidence.unequal_budgets(runs, control) if runs and control else ""
    comparable = bool(runs and control) and not is_control and not unequal
    return ArmResult(
        arm=arm,
        style=look[same(arm)],
        is_control=is_control,
        runs=tuple(runs.values()),
        accuracy=evidence.pooled(list(runs.values()), key, pools) if runs else None,
        gain=evidence.difference(runs, control, key, pools) if comparable else None,
        unequal=unequal,
        untaught=pools.below_mean_pose(list(runs.values())),
        cost=evidence.cost_record(records, arm.paper, arm.variant.name, arm.variant),
        time=time,
    )


def ordered_conditions(records: Records, protocols: Protocols) -> list[ScoringCondition]:
    """Conditions with finished runs: the suite's protocols in their own order, then any others."""
    order = list(protocols)
    return sorted(
        query.of(records).conditions(),
        key=lambda c: (order.index(c.protocol) if c.protocol in order else len(order), c),
    )


def sample_size(runs: Sequence[RunRecord], key: str) -> str:
    """Images and joints behind a score, where images are resampled; else what it counts."""
    sizes = {(None if (t := evidence.rates(r, key)) is None else len(t[0]), m.n) for r in runs if (m := r.get(key))}
    told = [
        f"{plural(n, 'person')}" if images is None else f"{plural(images, 'image')}, {plural(n, 'joint')}"
        for images, n in sorted(sizes, key=lambda s: (s[0] or 0, s[1]))
    ]
    resampled = " (the image is what is resampled)" if any(images is not None for images, _ in sizes) else ""
    return " or ".join(told) + resampled


def group_keys(results: Sequence[ArmResult], key: str) -> list[str]:
    """The joint groups measured under the headline metric, in the order of the records; single joints left out."""
    keys = (m.key for a in results for r in a.runs for m in r.measurements if m.key.startswith(f"{key}/"))
    return [k for k in dict.fromkeys(keys) if not k.startswith(f"{key}/joint/")]
