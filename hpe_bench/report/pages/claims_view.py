"""Claims and their verdicts as a page shows them: tested ones in full, the others by what they wait for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from hpe_bench.declare import Claim
from hpe_bench.report.kit.text import NO_BREAK, exact, metric, signed, significant, typeset, unit_text
from hpe_bench.verdicts import STATUSES, Verdict
from hpe_bench.verdicts.printed import decimals

ORIGIN = {
    "published": "published",
    "secondary": "secondary source",
    "measured": "counted from reference code",
    "inferred": "our arithmetic, not the paper's",
    "unknown": "not available",
}


@dataclass(frozen=True)
class VerdictView:
    """One verdict in words."""

    verdict: Verdict
    held: str  # scale, convention or protocol
    measured: str
    exact: str
    interval: str
    over: str
    reason: str


@dataclass(frozen=True)
class ClaimView:
    """One claim with its verdicts."""

    claim: Claim
    published: str
    origin: str
    verdicts: tuple[VerdictView, ...]

    @property
    def statuses(self) -> str:
        """The statuses it received, for filtering."""
        return " ".join(dict.fromkeys(v.verdict.status.replace(" ", "-") for v in self.verdicts))

    @property
    def commands(self) -> list[str]:
        """The command lines that make the records behind its verdicts."""
        return list(dict.fromkeys(v.verdict.command for v in self.verdicts if v.verdict.command))

    @property
    def tested(self) -> bool:
        return any(v.verdict.status != "not attempted" for v in self.verdicts)


@dataclass(frozen=True)
class Waiting:
    """Claims that were not attempted for one and the same reason."""

    reason: str
    claims: tuple[ClaimView, ...]


def views(claims: Sequence[Claim], verdicts: Iterable[Verdict]) -> list[ClaimView]:
    """Claims in their own order, each with its verdicts."""
    by_claim: dict[str, list[Verdict]] = {}
    for v in verdicts:
        by_claim.setdefault(v.claim, []).append(v)
    return [
        ClaimView(c, published(c), ORIGIN[c.status], tuple(verdict_view(v) for v in by_claim.get(c.id, [])))
        for c in claims
    ]


def published(claim: Claim) -> str:
    """What stands in the paper, with its unit; a change carries its sign, a statement without a figure says so."""
    if claim.status == "unknown":
        return "not available"
    if claim.status == "inferred":
        return "not printed"
    unit = unit_text(claim.unit)
    if claim.kind == "percent change" and claim.value is not None:
        return f"{signed(claim.value, max(decimals(claim), 0))}{NO_BREAK}%"
    if not claim.printed:
        return "no figure" if claim.value is None else f"{claim.value:g} {unit}".strip()
    named = not claim.printed[-1].isdigit() or not unit
    return claim.printed if named else f"{claim.printed} {unit}"


def verdict_view(v: Verdict) -> VerdictView:
    """A verdict in the words and digits of the table."""
    held = [f"{v.scale} scale"]
    if v.convention:
        held.append(v.convention)
    if v.protocol and v.status != "not attempted":
        held.append(v.protocol)
    if v.key not in ("params", "macs", "latency", "convergence"):
        held.append(metric(v.key))
    interval = ""
    if v.interval is not None:
        interval = f"[{_digits(v.interval[0], v)}, {_digits(v.interval[1], v)}]"
    value = "" if v.value is None else f"{_digits(v.value, v)}{NO_BREAK}{unit_text(v.unit)}"
    over = f"n = {v.n:,} {v.over}" if v.n else ""
    note = "" if v.recount is None else f" Counted as {v.recount.convention}: {v.recount.reason}"
    return VerdictView(v, " · ".join(held), value, exact(v.value, v.unit), interval, over, typeset(v.reason + note))


def _digits(value: float, v: Verdict) -> str:
    """Relations carry their sign; accuracies two decimals, changes of a cost one; counts four significant figures."""
    if v.unit in ("points", "percent"):
        return signed(value, 2 if v.unit == "points" or v.interval else 1)
    return significant(value)


def waiting(found: Iterable[ClaimView]) -> list[Waiting]:
    """Claims without any test, grouped by the reason, largest group first."""
    untested = sorted((c for c in found if not c.tested), key=lambda c: c.verdicts[0].verdict.reason)
    groups = [Waiting(reason, tuple(g)) for reason, g in groupby(untested, key=lambda c: c.verdicts[0].verdict.reason)]
    return sorted(groups, key=lambda g: (-len(g.claims), g.reason))


def summary(counts: dict[str, int]) -> str:
    """The counts in one sentence."""
    told = [f"{counts[s]} {s}" for s in STATUSES if counts.get(s)]
    if not told:
        return "No claims are recorded for this paper."
    return ", ".join(told[:-1]) + (" and " if told[:-1] else "") + told[-1] + "."
