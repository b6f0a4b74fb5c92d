"""What the settings of a protocol say together about seeds, and which of them have learned anything.

A setting is a model with a recipe; those under one condition, one budget and one training set are a pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from hpe_bench.metrics.seed_variance import SeedVariance, Spread, fit
from hpe_bench.records import query
from hpe_bench.records.query import Budget, budget
from hpe_bench.records.schema import RunRecord


class SeedPools:
    """The accuracy records of a suite (or those of sweeps), asked for the spread of seeds by protocol and budget."""

    def __init__(self, records: Iterable[RunRecord], kind: Literal["accuracy", "sweep"] = "accuracy") -> None:
        self._records = query.of(records)
        self._runs = self._records.pools(kind)
        self._known: dict[tuple[Budget, str], SeedVariance | None] = {}
        self._arms: dict[Budget, list[list[RunRecord]]] = {}  # those that have learned

    def spread(self, runs: Sequence[RunRecord], key: str) -> Spread | None:
        """The spread of seeds of one arm; None where its pool is too small, or its runs have no common budget."""
        if not runs or len({budget(r) for r in runs}) > 1 or not self.learned(runs):
            return None
        variance = self.variance(runs[0], key)
        values = [m.value for r in runs if (m := r.get(key)) is not None]
        return None if variance is None or len(values) < len(runs) else variance.of(values)

    def variance(self, run: RunRecord, key: str) -> SeedVariance | None:
        """What the pool of a run says; settings that have not learned are no part of it."""
        place = budget(run)
        if (place, key) not in self._known:
            values = [[m.value for r in arm if (m := r.get(key)) is not None] for arm in self._taught(place)]
            self._known[place, key] = fit([v for v in values if v])
        return self._known[place, key]

    def _taught(self, place: Budget) -> list[list[RunRecord]]:
        if place not in self._arms:
            arms = [list(query.by_seed(runs).values()) for _, runs in sorted(self._runs.get(place, {}).items())]
            self._arms[place] = [arm for arm in arms if self.learned(arm)]
        return self._arms[place]

    def learned(self, runs: Sequence[RunRecord]) -> bool:
        """Whether the mean headline accuracy is above the mean training pose's; True where that was not measured."""
        return not self.below_mean_pose(runs)

    def below_mean_pose(self, runs: Sequence[RunRecord]) -> str:
        """The two figures in words if an arm has not learned anything, else an empty string."""
        mean_pose = self._records.mean_pose(query.condition(runs[0])) if runs else None
        if mean_pose is None:
            return ""
        key = query.headline_key(runs[0])
        floor, found = mean_pose.get(key), [m.value for r in runs if (m := r.get(key)) is not None]
        if floor is None or not found or np.mean(found) > floor.value:
            return ""
        return f"{np.mean(found):.2f} against {floor.value:.2f} of the mean training pose"
