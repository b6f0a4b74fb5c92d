"""Verdicts on what a paper claims of occluded joints: by its sweep of the occlusion dial, where the truth is known.

`<rate>/invisible` claims that the proposal is ahead of the control on hidden joints; `<rate>/invisible/over_visible`
that it is further ahead on them than on visible ones. Both are judged where the dial stands at its last value; what
comes out at the other values is told beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hpe_bench.declare import Arm, Claim, Paper, Protocol, Sweep, fingerprint
from hpe_bench.metrics import bootstrap
from hpe_bench.protocols import turned
from hpe_bench.records import query
from hpe_bench.records.schema import RunRecord
from hpe_bench.verdicts import commands, evidence
from hpe_bench.verdicts.evidence import Estimate, Records
from hpe_bench.verdicts.pairs import Pair, control, proposal
from hpe_bench.verdicts.pools import SeedPools
from hpe_bench.verdicts.readings import hedged
from hpe_bench.verdicts.verdict import Status, Verdict

HIDDEN, VISIBLE = "diagnosis/hidden", "diagnosis/visible"
CLAIMED, OVER_VISIBLE = "/invisible", "/invisible/over_visible"

Runs = Mapping[int, RunRecord]


def occlusion_sweep(claim: Claim, paper: Paper) -> Sweep | None:
    """The sweep that judges a claim; None of a claim about something else, or where the paper has none."""
    if claim.kind == "value" or not claim.metric.endswith((CLAIMED, OVER_VISIBLE)):
        return None
    return next((s for s in paper.sweeps if s.dial == "occlusion" and _pair(s, paper) is not None), None)


def judge_occluded(claim: Claim, paper: Paper, sweep: Sweep, records: Records) -> list[Verdict]:
    """One verdict, on the headline's proposal against its control."""
    pair = _pair(sweep, paper)
    assert pair is not None
    command = commands.study(paper, sweep.name)
    pools = SeedPools(records, "sweep")
    found: dict[float, tuple[Estimate, Runs, Runs]] = {}
    for value in sweep.values:
        protocol = turned(sweep.dial, value)
        subject, other = (swept_runs(records, arm, protocol) for arm in (pair.subject, pair.control))
        estimate = _gain(claim, subject, other, pools)
        if estimate is not None:
            found[value] = (estimate, subject, other)
    label = f"{pair.subject.label or pair.subject.name} against {pair.control.label or pair.control.name}"
    last = sweep.values[-1]
    if last not in found:
        needs = f"Needs `{command}`: evaluations of networks that are trained already, minutes; else their training."
        reason = f"{label}: not both were evaluated at {sweep.dial} {last:g}."
        return [Verdict(claim.id, "not attempted", "pocket", reason, key=claim.metric, needs=needs, command=command)]
    gain, ours, theirs = found[last]
    status, reason = _status(claim, gain, label, last)
    told = ", ".join(f"{e.value:+.1f} at {value:g}" for value, (e, _, _) in found.items() if value != last)
    runs = [*ours.values(), *theirs.values()]
    verdict = Verdict(
        claim.id,
        status,
        "pocket",
        f"{reason} At other values of the dial: {told}." if told else reason,
        protocol=turned(sweep.dial, last).name,
        key=claim.metric,
        value=gain.value,
        unit="points",
        interval=gain.interval,
        n=gain.images,
        over=f"images, {gain.seeds} seed{'s' if gain.seeds != 1 else ''}",
        records=tuple(sorted(r.id for r in runs)),
        command=command,
    )
    if gain.p_value is not None and gain.seeds >= evidence.FEWEST_SEEDS:
        sides = (sorted({repr(r.identity.training) for r in side.values()}) for side in (ours, theirs))
        verdict = replace(verdict, p_value=gain.p_value, family=fingerprint((claim.metric, *sides)))
    return [hedged(verdict, pair.subject.variant)]


def swept_runs(records: Records, arm: Arm, protocol: Protocol) -> dict[int, RunRecord]:
    """The networks of an arm by seed under a setting of a dial."""
    return query.of(records).swept(evidence.trained_as(arm), protocol.name, fingerprint(protocol))


def _pair(sweep: Sweep, paper: Paper) -> Pair | None:
    first, against = proposal(paper), control(paper)
    return Pair(first, against) if first in sweep.arms and against in sweep.arms else None


def _gain(claim: Claim, subject: Runs, other: Runs, pools: SeedPools) -> Estimate | None:
    if not subject or not other:
        return None
    if claim.metric.endswith(OVER_VISIBLE):
        return further_ahead(subject, other)
    return evidence.difference(dict(subject), dict(other), HIDDEN, pools)


def further_ahead(subject: Runs, other: Runs) -> Estimate | None:
    """By how many points more the subject is ahead on hidden joints than on visible ones, seed by seed.

    The four rates are resampled under common images. None without common seeds.
    """
    seeds = [s for s in subject if s in other]
    rates = [[evidence.rates(side[s], key) for s in seeds] for key in (HIDDEN, VISIBLE) for side in (subject, other)]
    if not seeds or any(table is None for tables in rates for table in tables):
        return None
    table = bootstrap.Resampled.of([[t for t in tables if t is not None] for tables in rates])
    (a, b, c, d), (ar, br, cr, dr) = table.values, (table.each(i) for i in range(4))
    found = bootstrap.difference_of(a - b, c - d, ar - br, cr - dr, table.images)
    how = "paired bootstrap over images and seeds"
    each = tuple(float(v) for v in (a - b) - (c - d))
    return Estimate(found.value, (found.low, found.high), table.images, len(seeds), how, each, found.p_value)


def _status(claim: Claim, gain: Estimate, label: str, at: float) -> tuple[Status, str]:
    over = claim.metric.endswith(OVER_VISIBLE)
    what = f"{gain.value:+.2f} points " + ("more on hidden joints than on visible ones" if over else "on hidden joints")
    told = f"{label} at occlusion {at:g}: {what}"
    if gain.interval is None or gain.seeds < evidence.FEWEST_SEEDS:
        return "inconclusive", f"{told}, from one seed: another training may differ (F24)."
    low, high = gain.interval
    told = f"{told}, 95 % interval [{low:+.2f}, {high:+.2f}]"
    if not gain.sign:
        return "inconclusive", f"{told}, covers 0. Only the sign is tested in miniature."
    side: Status = "confirmed" if gain.sign > 0 else "differs"
    return side, f"{told}, wholly on {'the claimed' if gain.sign > 0 else 'the other'} side of 0."
