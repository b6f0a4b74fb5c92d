"""Many tests at once: Holm's correction of verdicts on relations, within a paper and over the suite.

Verdicts that rest on the same trainings and ask the same question are one family and count as one test: two decoders of
one training, and claims that one pair of arms stands for. Their p value is the largest among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hpe_bench.metrics.bootstrap import LEVEL
from hpe_bench.metrics.multiplicity import holm_of_families
from hpe_bench.verdicts.verdict import Verdict

ALPHA = 1 - LEVEL


def within_paper(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts of a paper, with p values corrected for the number of its relations that were tested.

    One that is decided alone and not among the others becomes inconclusive.
    """
    tested = _families(verdicts)
    adjusted = holm_of_families(tested)
    return [_corrected(v, adjusted[v.family], len(tested)) if v.p_value is not None else v for v in verdicts]


def over_suite(by_paper: Mapping[str, Sequence[Verdict]]) -> dict[str, list[Verdict]]:
    """The papers' verdicts, with the p values that they have among all relations of the suite. No status changes."""
    tested = _families([v for verdicts in by_paper.values() for v in verdicts])
    adjusted = holm_of_families(tested)
    return {
        slug: [v if v.p_value is None else _in_suite(v, adjusted[v.family], len(tested)) for v in verdicts]
        for slug, verdicts in by_paper.items()
    }


def _families(verdicts: Sequence[Verdict]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for v in verdicts:
        if v.p_value is not None:
            found.setdefault(v.family, []).append(v.p_value)
    return found


def _corrected(v: Verdict, p: float, tests: int) -> Verdict:
    corrected = f"{_p(p)} among the {tests} relations of the paper that were tested" if tests > 1 else ""
    reason = f"{v.reason} {_p(v.p_value)}, {corrected} (Holm)." if corrected else f"{v.reason} {_p(v.p_value)}."
    if v.status not in ("confirmed", "differs") or p < ALPHA:
        return replace(v, reason=reason, p_paper=p)
    return replace(v, status="inconclusive", reason=f"{reason[:-1]}, which decides nothing.", p_paper=p)


def _in_suite(v: Verdict, p: float, tests: int) -> Verdict:
    decided = v.status in ("confirmed", "differs")
    holds = "" if not decided else ", and holds" if p < ALPHA else ", where it would not be decided"
    return replace(v, reason=f"{v.reason} Among the {tests} of the suite {_p(p)}{holds}.", p_suite=p)


def _p(p: float | None) -> str:
    assert p is not None
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
