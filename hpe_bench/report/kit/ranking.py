"""Ranks with ties: rows whose intervals overlap are not told apart (F25)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

Interval = tuple[float, float]


def rank_ranges(intervals: Sequence[Interval | None]) -> list[tuple[int, int] | None]:
    """Best and worst rank each row may have, higher being better; None for rows without an interval.

    A row may rank behind every row whose interval lies wholly above its own, and must not rank behind those whose
    interval lies wholly below.
    """
    lows = sorted(i[0] for i in intervals if i is not None)
    highs = sorted(i[1] for i in intervals if i is not None)
    return [
        None if own is None else (len(lows) - bisect_right(lows, own[1]) + 1, len(highs) - bisect_left(highs, own[0]))
        for own in intervals
    ]


def rank_text(rank: tuple[int, int] | None) -> str:
    """`2` or `1–3`."""
    if rank is None:
        return "–"
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"
