"""Several tests at once: p values that keep the chance of any false finding at the level of one test, and ranks."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from hpe_bench.metrics.bootstrap import LEVEL, Difference

Name = TypeVar("Name", bound=Hashable)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (Scandinavian Journal of Statistics 6, 1979), in the order given.

    Holds however the tests depend on each other. At most 1, and never below the p value itself.
    """
    p = np.asarray(p_values, dtype=float)
    if not len(p):
        return []
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"Holm's correction: p values must lie between 0 and 1, got {p.min()} to {p.max()}")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(v) for v in adjusted]


def holm_of_families(families: Mapping[Name, Sequence[float]]) -> dict[Name, float]:
    """Holm's adjusted p value of every family; a family of several p values is one question, and counts once.

    Its p value is the largest: all of them must reject (Berger's intersection-union test, Technometrics 24, 1982),
    which needs no correction of its own.
    """
    adjusted = holm([max(values) for values in families.values()])
    return dict(zip(families, adjusted, strict=True))


def told_apart(differences: Mapping[tuple[int, int], Difference]) -> set[tuple[int, int]]:
    """The pairs (better, worse) that differ after Holm's correction over all the differences of a table (i less j)."""
    adjusted = holm([d.p_value for d in differences.values()])
    decided = [(pair, d) for (pair, d), p in zip(differences.items(), adjusted, strict=True) if p < 1 - LEVEL]
    return {pair if d.value > 0 else (pair[1], pair[0]) for pair, d in decided}


def rank_ranges(models: int, better: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Best and worst rank that each model may have, given pairs (better, worse) that were told apart.

    A model ranks behind those that are better and before those that are worse; between the two it is tied.
    """
    best, worst = [1] * models, [models] * models
    for above, below in better:
        best[below] += 1
        worst[above] -= 1
    return list(zip(best, worst, strict=True))
