"""Which convention explains a published cost: every one is tried, whatever the claim says about itself (F19)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from hpe_bench.declare import Claim, Paper
from hpe_bench.records.schema import RunRecord
from hpe_bench.verdicts.costs import CLOSE_PERCENT, under_each
from hpe_bench.verdicts.counters import CostCounter
from hpe_bench.verdicts.evidence import Records
from hpe_bench.verdicts.printed import deviation_percent, matches

How = Literal["to its digits", "within 1 %", "by none", "not counted"]


@dataclass(frozen=True)
class Explanation:
    """A published cost and the counters that give it; for one that none gives, the nearest."""

    claim: Claim
    how: How
    counters: tuple[CostCounter, ...] = ()
    value: Fraction | None = None  # under the first of them, in the claim's unit or in percent
    off_percent: float = 0.0
    reason: str = ""  # why it was not counted
    subject: RunRecord | None = None


def explain(claim: Claim, paper: Paper, records: Records) -> Explanation:
    """Exact rounding or truncation to the printed digits comes first, then a deviation of at most 1 %."""
    found, subject, reason = under_each(claim, paper, records)
    if not found:
        return Explanation(claim, "not counted", reason=reason)
    exact = [(counter, value) for counter, value in found if matches(value, claim)]
    ordered = sorted(found, key=lambda pair: abs(deviation_percent(pair[1], claim)))
    value = (exact or ordered)[0][1]
    counters = tuple(counter for counter, other in exact or ordered if other == value)
    off = deviation_percent(value, claim)
    how: How = "to its digits" if exact else "within 1 %" if abs(off) <= CLOSE_PERCENT else "by none"
    return Explanation(claim, how, counters, value, off, subject=subject)
