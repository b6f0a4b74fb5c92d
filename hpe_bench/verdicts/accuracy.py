"""Verdicts on claimed differences of accuracy, wherever both sides were measured."""

from __future__ import annotations

from dataclasses import replace

from hpe_bench.declare import Claim, Paper
from hpe_bench.records import query
from hpe_bench.records.query import Condition
from hpe_bench.records.schema import RunRecord
from hpe_bench.verdicts import commands, evidence
from hpe_bench.verdicts.evidence import Estimate, Records
from hpe_bench.verdicts.pairs import pocket_pair
from hpe_bench.verdicts.printed import figure
from hpe_bench.verdicts.readings import hedged
from hpe_bench.verdicts.scores import not_attempted
from hpe_bench.verdicts.verdict import Status, Verdict

# ---------------------------------------------------------------------------------------------------- relations


def judge_relation(claim: Claim, paper: Paper, records: Records) -> list[Verdict]:
    """A claimed difference or direction, under every condition in which both sides were run."""
    verdicts = _miniature(claim, paper, records) + _full_size(claim, paper, records)
    return verdicts or [_relation_not_attempted(claim, paper)]


def _miniature(claim: Claim, paper: Paper, records: Records) -> list[Verdict]:
    pair = pocket_pair(claim, paper)
    if pair is None:
        return []
    verdicts = []
    for where in query.of(records).conditions():
        subject, control = (evidence.arm_runs(records, arm, where) for arm in (pair.subject, pair.control))
        if subject and control:
            label = f"{pair.subject.label or pair.subject.name} against {pair.control.label or pair.control.name}"
            verdict = hedged(_relation(claim, where, subject, control, label), pair.subject.variant)
            verdicts.append(replace(verdict, command=commands.pair(paper, pair, where.protocol)))
    return verdicts


def _full_size(claim: Claim, paper: Paper, records: Records) -> list[Verdict]:
    slug, _, name = claim.baseline.partition("/")
    asked = query.of(records)
    ours, theirs = asked.full_runs(paper.slug, claim.variant), asked.full_runs(slug, name)
    variant = evidence.declared_variant(paper, paper.slug, claim.variant)
    label = f"{claim.variant} against {claim.baseline}"
    verdicts = []
    for where in query.of(ours).conditions():
        subject, control = (query.by_seed(r for r in runs if query.condition(r) == where) for runs in (ours, theirs))
        if subject and control:
            verdicts.append(hedged(_relation(claim, where, subject, control, label), variant))
    return verdicts


def _relation(
    claim: Claim,
    where: Condition,
    subject: dict[int, RunRecord],
    control: dict[int, RunRecord],
    label: str,
) -> Verdict:
    runs = [*subject.values(), *control.values()]
    base = _verdict(claim, "not comparable", "-", runs, where.scale, where.protocol)
    if unequal := evidence.unequal_budgets(subject, control):
        return replace(base, reason=unequal)
    key = query.headline_key(runs[0])
    if where.scale == "full" and subject[min(subject)].get(claim.metric) is not None:
        key = claim.metric
    estimate = evidence.difference(subject, control, key)
    if estimate is None:
        return replace(base, reason="The two sides share no seed, so their difference cannot be paired.")
    status, reason = _signed(claim, estimate, key, label, pocket=where.scale != "full")
    return replace(
        base,
        status=status,
        reason=reason,
        key=key,
        value=estimate.value,
        unit="points",
        interval=estimate.interval,
        n=estimate.images,
        over=_over(estimate),
    )


def _signed(claim: Claim, estimate: Estimate, key: str, label: str, pocket: bool) -> tuple[Status, str]:
    """The sign always; the size only at full scale, and only where the paper printed one in points."""
    wanted = -1 if claim.value is not None and claim.value < 0 else 1
    what = f"{label}: {estimate.value:+.2f} points of {key}"
    if estimate.interval is None:
        return "inconclusive", f"{what}, from one seed and without an interval."
    low, high = sorted(wanted * end for end in estimate.interval)
    span = f"{what}, 95 % interval [{estimate.interval[0]:+.2f}, {estimate.interval[1]:+.2f}]"
    only = " Only the sign is tested in miniature." if pocket else ""
    if pocket and estimate.seeds < 2:
        return "inconclusive", f"{span}, from one seed: another training may differ (F24)."
    if low <= 0 <= high:
        return "inconclusive", f"{span}, covers 0.{only}"
    if high < 0:
        return "differs", f"{span}, lies wholly on the other side of 0.{only}"
    if not pocket and claim.kind == "difference" and claim.value is not None and not low <= abs(claim.value) <= high:
        return "differs", f"{span}: the direction holds, but the {figure(claim)} lies outside."
    return "confirmed", f"{span}, lies wholly on the claimed side of 0.{only}"


def _relation_not_attempted(claim: Claim, paper: Paper) -> Verdict:
    pair = pocket_pair(claim, paper)
    if pair is None:
        return replace(
            not_attempted(claim, paper),
            reason="No study of ours asks this in miniature, and no full-scale run of both sides exists.",
        )
    command = commands.pair(paper, pair)
    reason = "Neither the miniatures nor the full models of both sides were run."
    needs = f"Needs `{command}` for the sign, minutes to an hour on a laptop; a GPU and the data set for the size."
    return Verdict(claim.id, "not attempted", "pocket", reason, key=claim.metric, needs=needs, command=command)


# ---------------------------------------------------------------------------------------------------- shared


def _over(estimate: Estimate) -> str:
    return f"images, {estimate.seeds} seed{'s' if estimate.seeds != 1 else ''}"


def _verdict(claim: Claim, status: Status, reason: str, runs: list[RunRecord], scale: str, protocol: str) -> Verdict:
    return Verdict(
        claim.id,
        status,
        "full" if scale == "full" else "pocket",
        reason,
        key=claim.metric,
        protocol=protocol,
        records=tuple(sorted(r.id for r in runs)),
    )
