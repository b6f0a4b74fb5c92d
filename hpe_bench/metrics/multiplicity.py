"""Several tests at once: p values that keep the chance of any false finding at the level of one test."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

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
