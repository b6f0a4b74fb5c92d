"""Verdicts on "converges faster": the area under probe accuracy against samples seen, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpe_bench.declare import Claim, Paper
from hpe_bench.metrics import bootstrap
from hpe_bench.records import RunRecord
from hpe_bench.verdicts import commands, evidence
from hpe_bench.verdicts.evidence import Condition, Records
from hpe_bench.verdicts.pairs import Pair, loss_pair
from hpe_bench.verdicts.verdict import Status, Verdict

REACHED = 0.9  # of the control's final accuracy


def judge_convergence(claim: Claim, paper: Paper, records: Records) -> list[Verdict]:
    """One verdict per condition, between two arms of one model whose recipes differ in the loss alone.

    The training curve does not depend on how the test set is decoded, so runs that share their trainings give the
    same verdict under each decoder; it is stated once.
    """
    pair = loss_pair(paper)
    if pair is None:
        reason = "No two arms of ours differ in the loss alone."
        return [_missing(claim, reason, "Needs a study with such arms.", "")]
    found: dict[tuple[float, ...], Verdict] = {}
    for where in evidence.conditions(records):
        subject, control = (evidence.arm_runs(records, arm, where) for arm in (pair.subject, pair.control))
        seeds = [s for s in subject if s in control and subject[s].curve and control[s].curve]
        if seeds:
            command = commands.pair(paper, pair, where.protocol)
            verdict = _judged(claim, pair, where, [subject[s] for s in seeds], [control[s] for s in seeds], command)
            found.setdefault((*(p.probe for s in seeds for p in subject[s].curve),), verdict)
    if found:
        return list(found.values())
    command = commands.pair(paper, pair)
    reason = f"The arms {pair.subject.name} and {pair.control.name} were not both run."
    return [_missing(claim, reason, f"Needs `{command}`, minutes to an hour on a laptop.", command)]


def _missing(claim: Claim, reason: str, needs: str, command: str) -> Verdict:
    return Verdict(claim.id, "not attempted", "pocket", reason, key="convergence", needs=needs, command=command)


@dataclass(frozen=True)
class Curves:
    """Probe accuracy of one arm: seeds S by points P, at the shared `samples`."""

    samples_P: np.ndarray
    probe_SP: np.ndarray

    def means(self) -> np.ndarray:
        """Mean probe accuracy over the budget, per seed: the area under the curve over its width."""
        area = np.trapezoid(self.probe_SP, self.samples_P, axis=1)
        return np.asarray(area / (self.samples_P[-1] - self.samples_P[0]))

    def reached(self, target: float) -> float | None:
        """Samples until the mean curve first reaches `target`, linear between points; None if it never does."""
        mean_P = self.probe_SP.mean(axis=0)
        above = np.flatnonzero(mean_P >= target)
        if not len(above):
            return None
        i = int(above[0])
        if i == 0:
            return float(self.samples_P[0])
        share = (target - mean_P[i - 1]) / (mean_P[i] - mean_P[i - 1])
        return float(self.samples_P[i - 1] + share * (self.samples_P[i] - self.samples_P[i - 1]))


def curves(runs: Sequence[RunRecord]) -> Curves | None:
    """The curves of several seeds; None unless all probe at the same samples and at least twice."""
    grids = {tuple(p.samples for p in r.curve) for r in runs}
    if len(grids) != 1 or len(grid := grids.pop()) < 2:
        return None
    return Curves(np.array(grid, dtype=float), np.array([[p.probe for p in r.curve] for r in runs]))


def _judged(
    claim: Claim, pair: Pair, where: Condition, ours: list[RunRecord], theirs: list[RunRecord], command: str
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
    gains = a.means() - b.means()
    label = f"{pair.subject.label or pair.subject.name} against {pair.control.label or pair.control.name}"
    what = f"{label}: {gains.mean():+.2f} points of mean probe accuracy over the budget"
    base = replace(base, value=float(gains.mean()), unit="points", n=len(gains), over="seeds")
    if len(gains) < 2:
        return replace(base, reason=f"{what}, from one seed; an interval needs two. {_speed(a, b)}")
    low, high = bootstrap.mean_interval(gains.tolist())
    status, verb = _side(low, high)
    reason = f"{what}, t-interval over {len(gains)} seeds [{low:+.2f}, {high:+.2f}], {verb}. {_speed(a, b)}"
    return replace(base, status=status, reason=reason, interval=(low, high))


def _side(low: float, high: float) -> tuple[Status, str]:
    if low <= 0 <= high:
        return "inconclusive", "covers 0"
    return ("confirmed", "lies wholly above 0") if low > 0 else ("differs", "lies wholly below 0")


def _speed(a: Curves, b: Curves) -> str:
    """Samples each arm needs to reach 90 % of the control's final accuracy, in words."""
    target = REACHED * float(b.probe_SP[:, -1].mean())
    told = ["never" if (s := c.reached(target)) is None else f"after {s:,.0f} samples" for c in (a, b)]
    goal = f"{100 * REACHED:.0f} % of the control's final accuracy ({target:.1f})"
    return f"{goal} is reached {told[0]}, by the control {told[1]}."
