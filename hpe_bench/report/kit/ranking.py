"""Ranks in words."""

from __future__ import annotations


def rank_text(rank: tuple[int, int] | None) -> str:
    """`2` or `1–3`: the best and the worst rank that a row may have."""
    if rank is None:
        return "–"
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"
