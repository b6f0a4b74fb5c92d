"""What a verdict is worth where the model is not the paper's but our reading of what it leaves open."""

from __future__ import annotations

from dataclasses import replace

from hpe_bench.declare import Variant
from hpe_bench.verdicts.verdict import Verdict

DECIDED = ("confirmed", "differs", "inconclusive")


def hedged(verdict: Verdict, subject: Variant | None) -> Verdict:
    """The verdict with its caveat, whatever its status; unchanged where the subject is as published."""
    if subject is None or subject.reading == "published":
        return verdict
    pocket = verdict.scale == "pocket"
    what = "The model is our reading and the network is a miniature" if pocket else "The model is our reading"
    note = f" {what}: this says what our reading shows under this budget; it neither refutes nor confirms the paper."
    return replace(
        verdict,
        reason=verdict.reason + (note if verdict.status in DECIDED else ""),
        caveat="our reading, in miniature" if pocket else "our reading",
    )
