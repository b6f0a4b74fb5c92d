"""Verdicts on "converges faster": samples seen until a mark of probe accuracy is reached, seed by seed.

The words can mean two things, and an arm that ends higher may pass one test and fail the other: reaching a given
accuracy sooner (the mark is 90 % of the control's final accuracy), and settling sooner (90 % of the arm's own). A
verdict needs both.

A curve is of a learning rate that has not come down yet, and a loss may only do well while it is high. So it is judged
on annealed points as well, where a study has them: the samples that whole trainings need for an equal accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpe_bench.declare import Claim, Paper, fingerprint
from hpe_bench.metrics import bootstrap
from hpe_bench.records import query
from hpe_bench.records.query import ScoringCondition
from hpe_bench.records.schema import RunRecord
from hpe_bench.verdicts import budgets, commands, evidence
from hpe_bench.verdicts.evidence import Records
from hpe_bench.verdicts.pairs import Pair, loss_pair
from hpe_bench.verdicts.pools import SeedPools
from hpe_bench.verdicts.readings import hedged
from hpe_bench.verdicts.verdict import Status, Verdict

REACHED = 0.9  # of a final accuracy
SEEDS = 3  # fewer give a t-interval that says nothing


def judge_convergence(claim: Claim, paper: Paper, records: Records, pools: SeedPools) -> list[Verdict]:
    """One verdict per condition, between two arms of one model whose recipes differ in the loss alone.

    The training curve does not depend on how the test set is decoded, so runs that share their trainings give the
    same verdict under each decoder; it is stated once.
    """
    pair = loss_pair(paper)
    if pair is None:
        reason = "No two arms of ours differ in the loss alone."
        return [_missing(claim, reason, "Needs a study with such arms.", "")]
    found: dict[tuple[float, ...], Verdict] = {}
    for where in query.of(records).conditions():
        subject, control = (evidence.arm_runs(records, arm, where) for arm in (pair.subject, pair.control))
        seeds = [s for s in subject if s in control and subject[s].curve and control[s].curve]
        if seeds and not evidence.unequal_budgets(subject, control):
            command = commands.pair(paper, pair, where.protocol)
            ours, theirs = ([runs[s] for s in seeds] for runs in (subject, control))
            verdict = _judged(claim, pair, where, ours, theirs, command)
            if untaught := next((t for runs in (ours, theirs) if (t := pools.below_mean_pose(runs))), ""):
                reason = f"{_label(pair)}: one has not learned under this budget ({untaught}), so nothing follows."
                verdict = replace(verdict, status="inconclusive", reason=reason, p_value=None, family="")
            found.setdefault(
                (*(p.probe for s in seeds for p in subject[s].curve),), hedged(verdict, pair.subject.variant)
            )
    annealed = _annealed(claim, paper, pair, records, pools)
    if found or annealed:
        return [*found.values(), *annealed]
    command = commands.pair(paper, pair)
    reason = f"{_label(pair)}: not both were run."
    return [_missing(claim, reason, f"Needs `{command}`, minutes to an hour on a laptop.", command)]


def _annealed(claim: Claim, paper: Paper, pair: Pair, records: Records, pools: SeedPools) -> list[Verdict]:
    """One verdict per condition on the samples that the arms' whole trainings need for an equal accuracy."""
    study = budgets.study_of(paper, (pair.subject, pair.control))
    verdicts = []
    for where in query.of(records).conditions() if study is not None else ():
        assert study is not None
        found = budgets.curves(study, records, where)
        ours, theirs = (budgets.curve_of(found, study, arm) for arm in (pair.subject, pair.control))
        if len(ours) > 1 and theirs:
            verdict = _judged_annealed(claim, pair, where, ours, theirs, commands.study(paper, study.name))
            runs = [list(p.runs.values()) for p in (*ours, *theirs)]
            if untaught := next((t for r in runs if (t := pools.below_mean_pose(r))), ""):
                reason = f"{_label(pair)}: one has not learned at some budget ({untaught}), so nothing follows."
                verdict = replace(verdict, status="inconclusive", reason=reason, p_value=None, family="")
            verdicts.append(hedged(verdict, pair.subject.variant))
    return verdicts


def _judged_annealed(
    claim: Claim, pair: Pair, where: ScoringCondition, ours: budgets.Curve, theirs: budgets.Curve, command: str
) -> Verdict:
    runs = [r for p in (*ours, *theirs) for r in p.runs.values()]
    key = query.headline_key(runs[0])
    base = Verdict(
        claim.id,
        "inconclusive",
        "full" if where.scale == "full" else "pocket",
        f"{_label(pair)}: no accuracy of one lies between two of the other.",
        protocol=where.protocol,
        key="convergence",
        over="seeds",
        records=tuple(sorted(r.id for r in runs)),
        command=command,
    )
    factor = budgets.samples_for_equal_accuracy(ours, theirs, key)
    if factor is None:
        return base
    at = ", ".join(f"{p.samples:,}" for p in theirs)
    percent, n = 100 * (factor.value - 1), len(factor.each)
    what = f"{_label(pair)}: {percent:+.0f} % samples for equal {key} after whole trainings of {at} samples"
    base = replace(base, value=percent, unit="percent", n=n)
    if factor.interval is None or n < SEEDS:
        return replace(base, reason=f"{what}; a verdict needs {SEEDS} seeds.")
    low, high = (100 * (end - 1) for end in factor.interval)
    side: Status = "inconclusive" if low <= 0 <= high else "confirmed" if high < 0 else "differs"
    reason = f"{what} (95 % t-interval [{low:+.0f}, {high:+.0f}])."
    sides = (sorted({repr(r.identity.training) for p in curve for r in p.runs.values()}) for curve in (ours, theirs))
    family = fingerprint(("annealed", *sides))
    return replace(base, status=side, reason=reason, interval=(low, high), p_value=factor.p_value, family=family)


def _missing(claim: Claim, reason: str, needs: str, command: str) -> Verdict:
    return Verdict(claim.id, "not attempted", "pocket", reason, key="convergence", needs=needs, command=command)


@dataclass(frozen=True)
class TrainingCurves:
    """Probe accuracy of one arm: seeds S by points P, at the shared `samples`."""

    samples_P: np.ndarray
    probe_SP: np.ndarray

    def final(self) -> np.ndarray:
        """Probe accuracy [S] at the end of the budget."""
        return self.probe_SP[:, -1]

    def reached(self, target_S: np.ndarray) -> np.ndarray:
        """Samples [S] until each curve first reaches its target, linear between points; infinite if it never does."""
        return np.array([self._reached(p, t) for p, t in zip(self.probe_SP, target_S, strict=True)])

    def _reached(self, probe_P: np.ndarray, target: float) -> float:
        above = np.flatnonzero(probe_P >= target)
        if not len(above):
            return float("inf")
        i = int(above[0])
        if i == 0:
            return float(self.samples_P[0])
        share = (target - probe_P[i - 1]) / (probe_P[i] - probe_P[i - 1])
        return float(self.samples_P[i - 1] + share * (self.samples_P[i] - self.samples_P[i - 1]))


def curves(runs: Sequence[RunRecord]) -> TrainingCurves | None:
    """The curves of several seeds; None unless all probe at the same samples and at least twice."""
    grids = {tuple(p.samples for p in r.curve) for r in runs}
    if len(grids) != 1 or len(grid := grids.pop()) < 2:
        return None
    return TrainingCurves(np.array(grid, dtype=float), np.array([[p.probe for p in r.curve] for r in runs]))


def _judged(
    claim: Claim, pair: Pair, where: ScoringCondition, ours: list[RunRecord], theirs: list[RunRecord], command: str
) -> Verdict:
    records = tuple(sorted(r.id for r in ours + theirs))
    base = Verdict(
        claim.id,
        "inconclusive",
        "full" if where.scale == "full" else "pocket",
        "-",
        protocol=where.protocol,
        key="convergence",
        records=records,
        command=command,
    )
    a, b = curves(ours), curves(theirs)
    if a is None or b is None or not np.array_equal(a.samples_P, b.samples_P):
        return replace(base, status="not comparable", reason="The arms were not probed at the same samples seen (F5).")
    marks = [
        _compared("the control's final accuracy", a, b, b.final(), b.final()),
        _compared("its own final accuracy", a, b, a.final(), b.final()),
    ]
    what = f"{_label(pair)}: " + "; ".join(m.told for m in marks)
    base = replace(base, value=marks[0].percent, unit="percent", n=len(ours), over="seeds")
    if len(ours) < SEEDS:
        return replace(base, reason=f"{what}; a verdict needs {SEEDS} seeds.")
    sides = {m.side for m in marks}
    status = sides.pop() if len(sides) == 1 else "inconclusive"
    split = " The two tests do not agree." if status == "inconclusive" else ""
    base = replace(base, status=status, reason=f"{what}.{split}", interval=marks[0].interval)
    p_values = [m.p_value for m in marks if m.p_value is not None]
    if len(p_values) < len(marks):
        return base
    family = fingerprint(("convergence", *(sorted({repr(r.identity.training) for r in s}) for s in (ours, theirs))))
    return replace(base, p_value=max(p_values), family=family)  # both marks must agree


@dataclass(frozen=True)
class Mark:
    """How many more samples (percent, negative is fewer) the subject needs to a mark than the control."""

    percent: float | None
    interval: tuple[float, float] | None
    side: Status
    told: str
    p_value: float | None = None


def _compared(of: str, a: TrainingCurves, b: TrainingCurves, a_final_S: np.ndarray, b_final_S: np.ndarray) -> Mark:
    """Ratio of samples to the mark, paired by seed: geometric mean with a 95 % t-interval of its logarithm."""
    times = a.reached(REACHED * a_final_S), b.reached(REACHED * b_final_S)
    mark = f"{100 * REACHED:.0f} % of {of}"
    if not np.isfinite(times[0]).all():
        return Mark(None, None, "differs", f"{mark} is not reached by every seed")
    shown = f"{mark} after {times[0].mean():,.0f} samples against {times[1].mean():,.0f}"
    ratios = np.log(times[0] / times[1])
    percent = 100 * float(np.expm1(ratios.mean()))
    if len(ratios) < 2:
        return Mark(percent, None, "inconclusive", f"{shown} ({percent:+.0f} %)")
    low, high = (100 * float(np.expm1(end)) for end in bootstrap.mean_interval(ratios.tolist()))
    side: Status = "inconclusive" if low <= 0 <= high else "confirmed" if high < 0 else "differs"
    told = f"{shown} ({percent:+.0f} %, 95 % t-interval [{low:+.0f}, {high:+.0f}])"
    return Mark(percent, (low, high), side, told, bootstrap.mean_p_value(ratios.tolist()))


def _label(pair: Pair) -> str:
    return f"{pair.subject.label or pair.subject.name} against {pair.control.label or pair.control.name}"
