"""AUC: the area under the curve of PCKh or PCK over the threshold.

The grid is that of the MPII tables' AUC: thresholds 0.00, 0.01 .. 0.50 of the head size, trapezoids between them, the
area divided by the range. That is the MPII evaluation toolkit (Andriluka et al., CVPR 2014; recalled, not checked
against its source). LSP tables run to 0.20 of the torso. HRNet's evaluator builds the same 51 thresholds with "<=" and
prints two rows of them, no AUC; PyraNet's counts with "<" (F12). Distances in px or other grids make other numbers.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

from hpe_bench.data.persons import PersonSet
from hpe_bench.declare import STRICT, Metric, Score
from hpe_bench.metrics.pckh import PCKh
from hpe_bench.metrics.rates import DistanceRate, rate_scores

STEPS_PER_UNIT = 100  # thresholds are whole hundredths


@dataclass(frozen=True, config=STRICT)
class AUC(Metric):
    """Area under `rate`'s curve from threshold 0 to its own, in percent of the range.

    The trapezoid rule is linear in the hits, so the AUC is a rate too: a joint first reached at grid point k of 0..K
    earns 2 K marks if k = 0 and 2 (K - k) + 1 otherwise, of 2 K. Tallies are such marks, and intervals and paired
    tests work as for any rate.
    """

    rate: DistanceRate = PCKh(0.5)

    def __post_init__(self) -> None:
        steps = round(self.rate.threshold * STEPS_PER_UNIT)
        if steps < 1 or steps / STEPS_PER_UNIT != self.rate.threshold:
            raise ValueError(
                f"AUC: the range ends at {self.rate.threshold}, between two grid points; give whole hundredths"
            )

    @property
    def key(self) -> str:
        """'pckh-auc@0:0.01:0.5' (first threshold, step, last), 'pckh-auc@<0:0.01:0.5' for the strict comparator."""
        strict = "<" if self.rate.comparator == "<" else ""
        return f"{self.rate.key.partition('@')[0]}-auc@{strict}0:{1 / STEPS_PER_UNIT:g}:{self.rate.threshold:g}"

    def evaluate(self, truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> list[Score]:
        """The headline area, its joint groups and its joints; joint scores are not looked at."""
        first_NJ, last = self._first_reached(truth, joints_NJ2), len(grid(self.rate)) - 1
        marks = np.concatenate(([2 * last], 2 * (last - np.arange(1, last + 1)) + 1, [0]))
        return rate_scores(truth, self.key, marks[first_NJ], self.rate.excluded, full_marks=2 * last)

    def curve(self, truth: PersonSet, joints_NJ2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Thresholds [K+1] and the headline rate in percent at each [K+1]: what the area is under."""
        thresholds = grid(self.rate)
        columns = [j for j, name in enumerate(truth.skeleton.joints) if name not in self.rate.excluded]
        first = self._first_reached(truth, joints_NJ2)[:, columns][truth.labelled[:, columns]]
        reached = np.cumsum(np.bincount(first, minlength=len(thresholds))[: len(thresholds)])
        return thresholds, 100 * reached / max(len(first), 1)

    def _first_reached(self, truth: PersonSet, joints_NJ2: np.ndarray) -> np.ndarray:
        """[N,J] position of the first threshold that counts the joint; K + 1 for none and where it is not labelled."""
        side: Literal["left", "right"] = "left" if self.rate.comparator == "<=" else "right"
        return np.searchsorted(grid(self.rate), self.rate.relative_distances(truth, joints_NJ2), side=side)


def grid(rate: DistanceRate) -> np.ndarray:
    """0.00, 0.01 .. the rate's own threshold [K+1]."""
    return np.arange(round(rate.threshold * STEPS_PER_UNIT) + 1) / STEPS_PER_UNIT
