"""Verdicts on claimed differences of accuracy, wherever both sides were measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hpe_bench.declare import Claim, Paper, fingerprint
from hpe_bench.metrics.bootstrap import next_value_interval
from hpe_bench.records import query
from hpe_bench.records.query import ScoringCondition
from hpe_bench.records.schema import RunRecord
from hpe_bench.verdicts import budgets, commands, evidence
from hpe_bench.verdicts.evidence import Estimate, Records
from hpe_bench.verdicts.pairs import Pair, pocket_pair
from hpe_bench.verdicts.pools import SeedPools
from hpe_bench.verdicts.printed import decimals, figure
from hpe_bench.verdicts.readings import hedged
from hpe_bench.verdicts.scores import not_attempted
from hpe_bench.verdicts.sides import full_sides
from hpe_bench.verdicts.verdict import Status, Verdict

# ---------------------------------------------------------------------------------------------------- relations


def judge_relation(claim: Claim, paper: Paper, records: Records, pools: SeedPools) -> list[Verdict]:
    """A claimed difference or direction, under every condition in which both sides were run."""
    verdicts = _miniature(claim, paper, records, pools) + _full_size(claim, paper, records, pools)
    return verdicts or [_relation_not_attempted(claim, paper)]


def _miniature(claim: Claim, paper: Paper, records: Records, pools: SeedPools) -> list[Verdict]:
    pair = pocket_pair(claim, paper)
    if pair is None:
        return []
    verdicts = []
    for where in query.of(records).conditions():
        subject, control = (evidence.arm_runs(records, arm, where) for arm in (pair.subject, pair.control))
        if subject and control:
            label = f"{pair.subject.label or pair.subject.name} against {pair.control.label or pair.control.name}"
            verdict = _relation(claim, where, subject, control, label, pools)
            if verdict.value is not None and (told := _by_budget(claim, paper, pair, records, where, pools)):
                verdict = replace(verdict, reason=f"{verdict.reason} {told}")
            verdict = hedged(verdict, pair.subject.variant)
            verdicts.append(replace(verdict, command=commands.pair(paper, pair, where.protocol)))
    return verdicts


def _by_budget(
    claim: Claim, paper: Paper, pair: Pair, records: Records, where: ScoringCondition, pools: SeedPools
) -> str:
    """At which budgets the claim holds, in a sentence; empty where no study asks or fewer than two were run."""
    study = budgets.study_of(paper, (pair.subject, pair.control))
    if study is None:
        return ""
    found = budgets.curves(study, records, where)
    subject, control = (budgets.curve_of(found, study, arm) for arm in (pair.subject, pair.control))
    if not subject or not control:
        return ""
    key = query.headline_key(next(iter(subject[0].runs.values())))
    return budgets.in_words(budgets.gains(subject, control, key, pools), _claimed_sign(claim))


def _claimed_sign(claim: Claim) -> int:
    return -1 if claim.value is not None and claim.value < 0 else 1


def _full_size(claim: Claim, paper: Paper, records: Records, pools: SeedPools) -> list[Verdict]:
    variant = evidence.declared_variant(paper, paper.slug, claim.variant)
    return [
        hedged(_relation(claim, s.where, s.subject, s.control, s.label, pools), variant)
        for s in full_sides(claim, paper, records)
    ]


def _relation(
    claim: Claim,
    where: ScoringCondition,
    subject: dict[int, RunRecord],
    control: dict[int, RunRecord],
    label: str,
    pools: SeedPools,
) -> Verdict:
    runs = [*subject.values(), *control.values()]
    assert len({r.id for r in runs}) == len(runs), "a record is never held against itself"
    base = _verdict(claim, "not comparable", "-", runs, where.scale, where.protocol)
    if unequal := evidence.unequal_budgets(subject, control):
        return replace(base, reason=unequal)
    key = query.headline_key(runs[0])
    if where.scale == "full" and subject[min(subject)].get(claim.metric) is not None:
        key = claim.metric
    estimate = evidence.difference(subject, control, key, pools)
    if estimate is None:
        return replace(base, reason="The two sides share no seed, so their difference cannot be paired.")
    base = replace(
        base,
        key=key,
        value=estimate.value,
        unit="points",
        interval=estimate.interval,
        n=estimate.images,
        over=_over(estimate),
    )
    if untaught := _not_learned(label, (subject, control), pools):
        return replace(base, status="inconclusive", reason=untaught)
    status, reason = _signed(claim, estimate, key, label, pocket=where.scale != "full")
    if estimate.p_value is None or estimate.seeds < evidence.FEWEST_SEEDS:
        return replace(base, status=status, reason=reason)
    family = fingerprint(
        (key, *(sorted(map(repr, {r.identity.training for r in s.values()})) for s in (subject, control)))
    )
    return replace(base, status=status, reason=reason, p_value=estimate.p_value, family=family)


def _not_learned(label: str, sides: Iterable[dict[int, RunRecord]], pools: SeedPools) -> str:
    """A sentence if a side stays below the mean training pose: then the difference shows nothing."""
    for runs in sides:
        if told := pools.below_mean_pose(list(runs.values())):
            i = next(iter(runs.values())).identity
            return f"{label}: {i.paper}/{i.variant} has not learned under this budget ({told}), so nothing follows."
    return ""


def _signed(claim: Claim, estimate: Estimate, key: str, label: str, pocket: bool) -> tuple[Status, str]:
    """The sign always; the size only at full scale, and only where the paper printed one in points.

    The printed size is the difference of two trainings of theirs: it must lie where that of a further pair would.
    """
    wanted = _claimed_sign(claim)
    what = f"{label}: {estimate.value:+.2f} points of {key}"
    if estimate.interval is None:
        return "inconclusive", f"{what}, from one seed and without an interval."
    low, high = estimate.interval
    span = f"{what}, 95 % interval [{low:+.2f}, {high:+.2f}]"
    only = " Only the sign is tested in miniature." if pocket else ""
    if estimate.seeds < evidence.FEWEST_SEEDS:
        return "inconclusive", f"{span}, from one seed: another training may differ (F24)."
    if not estimate.sign:
        return "inconclusive", f"{span}, covers 0.{only}"
    if estimate.sign != wanted:
        return "differs", f"{span}, lies wholly on the other side of 0.{only}"
    if not pocket and claim.kind == "difference" and claim.value is not None and len(estimate.each) > 1:
        below, above = next_value_interval(estimate.each)
        rounding = 10.0 ** -decimals(claim)  # of two printed figures
        if not below - rounding <= claim.value <= above + rounding:
            further = f"[{below:+.2f}, {above:+.2f}], where 95 % of further pairs of trainings would fall"
            return "differs", f"{span}: the direction holds, but the {figure(claim)} lies outside {further}."
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
