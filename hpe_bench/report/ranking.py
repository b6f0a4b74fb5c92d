"""Ranks with ties: rows whose intervals overlap are not told apart (F25)."""

from __future__ import annotations

from collections.abc import Sequence

Interval = tuple[float, float]


def rank_ranges(intervals: Sequence[Interval | None]) -> list[tuple[int, int] | None]:
    """Best and worst rank each row may have, higher being better; None for rows without an interval.

    A row may rank behind every row whose interval lies wholly above its own, and must not rank behind those whose
    interval lies wholly below.
    """
    known = [i for i in intervals if i is not None]
    ranges: list[tuple[int, int] | None] = []
    for own in intervals:
        if own is None:
            ranges.append(None)
            continue
        above = sum(other[0] > own[1] for other in known)
        below = sum(other[1] < own[0] for other in known)
        ranges.append((above + 1, len(known) - below))
    return ranges


def rank_text(rank: tuple[int, int] | None) -> str:
    """`2` or `1–3`."""
    if rank is None:
        return "–"
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"
