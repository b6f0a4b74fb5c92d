"""Verdicts on parameters, multiply-adds and latency.

A printed cost is confirmed only if the exact count rounds or truncates to its digits, under the convention its table
follows, and differs only under that one; the true count stands beside it as a note (F19).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from hpe_bench.declare import Claim, Paper, Variant
from hpe_bench.records.schema import RunRecord
from hpe_bench.timing.rows import NetworkTime, NetworkTimes
from hpe_bench.verdicts import commands
from hpe_bench.verdicts.counters import COUNTERS, TRUE, CostCounter, parameters
from hpe_bench.verdicts.evidence import Records, cost_record, declared_variant
from hpe_bench.verdicts.pairs import Pair, pocket_pair
from hpe_bench.verdicts.printed import decimals, deviation_percent, figure, matches
from hpe_bench.verdicts.verdict import Recount, Status, Verdict

NO_VARIANT = "a variant of this paper's that is the printed model; its own paper's page may hold the figure"

CLOSE_PERCENT = 1.0
"""A deviation up to this is told apart in words; it never makes a verdict 'confirmed'."""


@dataclass(frozen=True)
class CostSides:
    """The cost records a claim is about: one for a value, two for a relation."""

    subject: RunRecord
    baseline: RunRecord | None

    @property
    def ids(self) -> tuple[str, ...]:
        return (self.subject.id,) + ((self.baseline.id,) if self.baseline else ())


def judge_cost(claim: Claim, paper: Paper, records: Records) -> list[Verdict]:
    """All verdicts on a cost claim: at full size first, then in miniature for relative claims."""
    found = _full_size(claim, paper, records)
    verdicts = [found] if isinstance(found, Verdict) else _held_against(claim, paper, found, records)
    return verdicts + _miniature(claim, paper, records)


def under_each(
    claim: Claim, paper: Paper, records: Records
) -> tuple[list[tuple[CostCounter, Fraction]], RunRecord | None, str]:
    """The measured counterpart of a MAC claim under every counter, the subject's record; else none and the reason."""
    sides = _full_size(claim, paper, records)
    if isinstance(sides, Verdict):
        return [], None, sides.reason
    found = [(counter, n) for counter in COUNTERS.values() if (n := _number(claim, sides, counter)) is not None]
    return found, sides.subject, "" if found else "The record lacks a count."


def _full_size(claim: Claim, paper: Paper, records: Records) -> CostSides | Verdict:
    """The records at the published size, or the verdict that they are missing."""
    if not claim.variant:
        return _missing(claim, paper, "The printed model is none of this paper's variants.", NO_VARIANT)
    subject = cost_record(records, paper.slug, claim.variant, declared_variant(paper, paper.slug, claim.variant))
    if subject is None:
        return _missing(
            claim, paper, f"{claim.variant} was not measured yet.", f"`{commands.cost(paper)}`, about a minute"
        )
    variant = declared_variant(paper, paper.slug, claim.variant)
    if claim.metric != "params" and (other := _other_input(claim, variant)):
        return _verdict(claim, paper, "not comparable", other, CostSides(subject, None))
    if claim.kind == "value":
        return CostSides(subject, None)
    slug, _, name = claim.baseline.partition("/")
    baseline = cost_record(records, slug, name, declared_variant(paper, slug, name))
    if baseline is None:
        return _missing(
            claim, paper, f"The baseline {claim.baseline} was not measured yet.", f"`{commands.cost(paper)}`"
        )
    return CostSides(subject, baseline)


def _other_input(claim: Claim, variant: Variant | None) -> str:
    if variant is None or claim.input_hw is None or variant.input_hw == claim.input_hw:
        return ""
    (a, b), (c, d) = claim.input_hw, variant.input_hw
    return f"The input sizes differ: {a}x{b} in the paper, {c}x{d} in {variant.name}."


def _held_against(claim: Claim, paper: Paper, sides: CostSides, records: Records) -> list[Verdict]:
    if claim.metric == "latency":
        return [_latency(claim, paper, sides, NetworkTimes(records))]
    if claim.metric == "params":
        return [_under(claim, paper, sides, None)]
    if claim.kind == "direction" or claim.value is None:
        return [_under(claim, paper, sides, TRUE)]
    if claim.convention == "unknown":
        verdict = _unknown_convention(claim, paper, sides)
    else:
        verdict = _under(claim, paper, sides, COUNTERS[claim.convention or "true"])
    if verdict.convention == TRUE.label:
        return [verdict]
    return [replace(verdict, recount=_recount(claim, sides, verdict))]


def _recount(claim: Claim, sides: CostSides, verdict: Verdict) -> Recount | None:
    """Our count beside the paper's: where only theirs agrees, the printed figure is simply another count (F19)."""
    found = _number(claim, sides, TRUE)
    if found is None:
        return None
    status, reason = _digits(claim, found, TRUE)
    if verdict.status == "confirmed" and status == "differs":
        follows = "appears to follow" if claim.convention == "unknown" else "follows"
        reason += f" The printed figure {follows} another count, the {verdict.convention} (F19)."
    return Recount(TRUE.label, float(found), _unit(claim, TRUE), reason)


def _under(claim: Claim, paper: Paper, sides: CostSides, counter: CostCounter | None) -> Verdict:
    found = _number(claim, sides, counter)
    return _missing_count(claim, paper, sides) if found is None else _compared(claim, paper, sides, found, counter)


def _unknown_convention(claim: Claim, paper: Paper, sides: CostSides) -> Verdict:
    """Try every named convention and keep the nearest; one that does not give the printed digits explains nothing."""
    tried = [(n, c) for c in COUNTERS.values() if (n := _number(claim, sides, c)) is not None]
    if not tried:
        return _missing_count(claim, paper, sides)
    nearest = sorted(tried, key=lambda pair: abs(deviation_percent(pair[0], claim)))
    found, counter = next((pair for pair in nearest if matches(pair[0], claim)), nearest[0])
    off = deviation_percent(found, claim)
    if abs(off) <= CLOSE_PERCENT and matches(found, claim):
        verdict = _compared(claim, paper, sides, found, counter)
        return replace(
            verdict,
            reason=f"The paper names no counter; {counter.label} is the one that fits. {verdict.reason}",
            caveat=verdict.caveat or "convention inferred from the fit",
        )
    near = f"the nearest, {counter.label}, is {off:+.{2 if abs(off) <= CLOSE_PERCENT else 1}f} % off"
    to = "gives its digits" if abs(off) <= CLOSE_PERCENT else f"explains the figure to {CLOSE_PERCENT:g} %"
    reason = f"The paper names no counter and none of the known ones {to}; {near}."
    verdict = _verdict(claim, paper, "not comparable", reason, sides)
    return replace(verdict, value=float(found), unit=_unit(claim, counter), convention=f"nearest: {counter.label}")


def _counts(claim: Claim, sides: CostSides, counter: CostCounter | None) -> list[Fraction] | None:
    """The exact counts of the subject and, for relations, the baseline; None where a record lacks one."""
    found = [
        parameters(r, claim) if counter is None else counter.count(r, claim.unit)
        for r in (sides.subject, sides.baseline)
        if r is not None
    ]
    known = [c for c in found if c is not None]
    return known if len(known) == len(found) else None


def _number(claim: Claim, sides: CostSides, counter: CostCounter | None) -> Fraction | None:
    """The measured counterpart of the claim, exactly: a count, a difference, or a change in percent."""
    counts = _counts(claim, sides, counter)
    if counts is None or claim.kind == "value":
        return counts[0] if counts else None
    return counts[0] - counts[1] if claim.kind == "difference" else _change_percent(counts)


def _change_percent(counts: list[Fraction]) -> Fraction:
    return 100 * (counts[0] / counts[1] - 1)


def _unit(claim: Claim, counter: CostCounter | None) -> str:
    if claim.kind in ("percent change", "direction"):
        return "percent"
    return claim.unit if counter is None else counter.unit_like(claim.unit)


def _compared(claim: Claim, paper: Paper, sides: CostSides, found: Fraction, counter: CostCounter | None) -> Verdict:
    relative = claim.kind == "direction" or claim.value is None
    status, reason = _direction(claim, sides, found) if relative else _digits(claim, found, counter)
    verdict = _verdict(claim, paper, status, reason, sides)
    note, caveat = _own_reading(claim, paper, status)
    return replace(
        verdict,
        reason=f"{reason}{note}",
        caveat=caveat,
        convention="" if counter is None else counter.label,
        value=float(found),
        unit=_unit(claim, counter),
    )


def _digits(claim: Claim, found: Fraction, counter: CostCounter | None) -> tuple[Status, str]:
    shown = f"{float(found):.6g} {_unit(claim, counter)}"
    if claim.kind == "percent change":
        shown = f"{float(found):+.{max(decimals(claim), 0) + 1}f} %"
    by = "" if counter is None else f" ({counter.label})"
    if how := matches(found, claim):
        return "confirmed", f"{shown}{by} {how} to the {figure(claim)}."
    off = deviation_percent(found, claim)
    if claim.kind == "percent change":
        return "differs", f"{shown}{by}: {_apart(float(found), claim)} the {figure(claim)}."
    close = (
        f"within {CLOSE_PERCENT:g} %, but not to the printed digits"
        if abs(off) <= CLOSE_PERCENT
        else "not the printed figure"
    )
    return "differs", f"{shown}{by} is {off:+.2f} % from the {figure(claim)}: {close}."


def _apart(change: float, claim: Claim) -> str:
    """How far a change in percent is from the printed one, up to the word before the figure."""
    assert claim.value is not None
    points = f"{abs(change - claim.value):.1f} points"
    if change * claim.value <= 0:
        return f"{points} from"
    what = "a saving" if change < 0 else "an increase"
    return f"{what} {points} {'larger' if abs(change) > abs(claim.value) else 'smaller'} than"


def _direction(claim: Claim, sides: CostSides, change: Fraction) -> tuple[Status, str]:
    """Whether the cost changes to the claimed side; a claim without a number says that the subject costs less."""
    key, per, has, unit = (
        ("params", 10**6, "has", "M") if claim.metric == "params" else ("macs", 10**9, "needs", "GMAC")
    )
    ours, theirs = (
        f"{m.value / per:.2f} {unit}" for r in (sides.subject, sides.baseline) if r is not None and (m := r.get(key))
    )
    what = " parameters" if key == "params" else ""
    reason = (
        f"{sides.subject.identity.variant} {has} {ours}{what} against {theirs} ({float(change):+.1f} %). "
        "The paper gives no size for it; only the direction is tested."
    )
    return ("confirmed" if change * _claimed_sign(claim) > 0 else "differs"), reason


def _claimed_sign(claim: Claim) -> int:
    return 1 if claim.value is not None and claim.value > 0 else -1


def _own_reading(claim: Claim, paper: Paper, status: Status) -> tuple[str, str]:
    """What agreement is worth when the variant is our own reading: it was chosen to fit, so it confirms little."""
    variant = declared_variant(paper, paper.slug, claim.variant)
    if status != "confirmed" or variant is None or variant.reading == "published":
        return "", ""
    chosen = "" if claim.value is None else ", chosen to fit what it prints"
    return (
        f" But {variant.name} is our reading of what the paper leaves open{chosen}: the agreement shows that the "
        "reading is consistent with the claim, it is no independent confirmation.",
        "consistent with our reading",
    )


def _latency(claim: Claim, paper: Paper, sides: CostSides, times: NetworkTimes) -> Verdict:
    """A figure of another machine is shown beside ours; of a relation the direction is tested, on one machine."""
    ours, theirs = _shown(sides, paper, times)
    if ours is None:
        return _missing_count(claim, paper, sides)
    if sides.baseline is None:
        reason = f"Latency belongs to a machine (F20, M1): ours is {ours.machine}, {ours.scope}."
        verdict = _verdict(claim, paper, "not comparable", reason, sides, ours)
        return replace(verdict, value=ours.median_ms, unit="ms", interval=ours.interval_ms, n=ours.n, over="calls")
    against = None if theirs is None else ours.against(theirs)
    if theirs is None or against is None:
        reason = "The two sides were not timed alike: other machine, threads or method (M1, M2)."
        return _verdict(claim, paper, "not comparable", reason, sides)
    low, high = (100 * (end - 1) for end in against.interval)
    how = "in turns" if against.paired else "one after the other"
    reason = (
        f"Only the direction is tested, on {ours.machine}, {ours.scope}, timed {how}: {ours.median_ms:.2f} against "
        f"{theirs.median_ms:.2f} ms, {100 * (against.value - 1):+.1f} %."
    )
    settled = ours.settled and theirs.settled
    verdict = _verdict(claim, paper, _faster(claim, low, high, settled), reason, sides, ours, theirs)
    change = 100 * (against.value - 1)
    return replace(verdict, value=change, unit="percent", interval=(low, high), n=ours.n, over="calls")


def _shown(sides: CostSides, paper: Paper, times: NetworkTimes) -> tuple[NetworkTime | None, NetworkTime | None]:
    """Times of subject and baseline at their declared input sizes: on one machine, if both were timed on one."""
    networks = []
    for record in (sides.subject, sides.baseline):
        if record is not None:
            i = record.identity
            variant = declared_variant(paper, i.paper, i.variant)
            networks.append((i.paper, i.variant_hash, None if variant is None else variant.input_hw))
    ours, *theirs = times.shown_together(networks)
    return ours or times.shown(*networks[0]), theirs[0] if theirs else None


def _faster(claim: Claim, low: float, high: float, settled: bool) -> Status:
    """By the interval of the change in percent, which must lie on one side; what never settled decides nothing."""
    if not settled or low <= 0 <= high:
        return "inconclusive"
    return "confirmed" if low * _claimed_sign(claim) > 0 else "differs"


def _miniature(claim: Claim, paper: Paper, records: Records) -> list[Verdict]:
    """The change between the miniatures, for a relative claim: shown, and held against nothing."""
    if claim.kind == "value" or claim.metric not in ("params", "macs"):
        return []
    pair = pocket_pair(claim, paper)
    sides = None if pair is None else _pair_sides(pair, records)
    if pair is None or sides is None or pair.subject.variant.name == claim.variant:
        return []
    counters = (None,) if claim.metric == "params" else (COUNTERS["hrnet_counter"], TRUE)
    counted = [(c, n) for c in counters if (n := _counts(claim, sides, c)) is not None]
    if not counted:
        return []
    changes = [(counter, float(_change_percent(n))) for counter, n in counted]
    told = ", ".join(f"{x:+.1f} %" + (f" ({c.label})" if c else "") for c, x in changes)
    names = " against ".join(f"{arm.paper}/{arm.variant.name}" for arm in (pair.subject, pair.control))
    reason = f"The miniature's widths are ours, so its change is by construction: {told}, {names}."
    counter, change = changes[-1]
    return [
        replace(
            _verdict(claim, paper, "not comparable", reason, sides),
            scale="pocket",
            value=change,
            unit="percent",
            convention="" if counter is None else counter.label,
        )
    ]


def _pair_sides(pair: Pair, records: Records) -> CostSides | None:
    found = [cost_record(records, arm.paper, arm.variant.name, arm.variant) for arm in (pair.subject, pair.control)]
    return None if found[0] is None or found[1] is None else CostSides(found[0], found[1])


def _verdict(claim: Claim, paper: Paper, status: Status, reason: str, sides: CostSides, *times: NetworkTime) -> Verdict:
    timed = (r for t in times for r in ((t.record.id,) if t.row is None else t.row.records))
    ids = tuple(dict.fromkeys((*sides.ids, *timed)))
    return Verdict(claim.id, status, "cost", reason, key=claim.metric, records=ids, command=commands.cost(paper))


def _missing(claim: Claim, paper: Paper, reason: str, needs: str) -> Verdict:
    return Verdict(
        claim.id,
        "not attempted",
        "cost",
        reason,
        key=claim.metric,
        needs=f"Needs {needs}.",
        command=commands.cost(paper),
    )


def _missing_count(claim: Claim, paper: Paper, sides: CostSides) -> Verdict:
    verdict = _missing(claim, paper, f"The record holds no {claim.metric}.", f"`{commands.cost(paper)}` to measure it")
    return replace(verdict, records=sides.ids)
