"""Distances under a data set's own reference: PCK by box, torso or a pair of joints, NME, and RMSE in pixels.

All weigh every labelled joint alike. Persons whose reference is not labelled or has no length are left out of what is
relative to it, and n says so. N persons, J joints, I images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import STRICT, Metric, Score
from hpe_bench.metrics.bootstrap import image_weights, percentile_interval
from hpe_bench.metrics.diagnosis import crowds
from hpe_bench.metrics.rates import Comparator, DistanceRate, check_predictions, threshold_text

BOX = "box"
TORSO = ("left_shoulder", "right_hip")


@dataclass(frozen=True, config=STRICT)
class Reference:
    """What distances are divided by: the longer side of the box, or the distance between two joints."""

    name: str = BOX
    joints: tuple[str, ...] = ()

    def lengths(self, truth: PersonSet) -> np.ndarray:
        """[N] in px; NaN where there is none."""
        if not self.joints:
            length_N = truth.box[:, 2:].max(axis=1).astype(float)
            return np.where(length_N > 0, length_N, np.nan)
        ends = [truth.skeleton.index(name) for name in self.joints]
        length_N = np.linalg.norm(truth.joints[:, ends[0]] - truth.joints[:, ends[1]], axis=-1)
        return np.where(truth.labelled[:, ends].all(axis=1) & (length_N > 0), length_N, np.nan)


def reference(text: str, skeleton: Skeleton) -> Reference:
    """`box`, `torso` (left shoulder to right hip) or two joints, `a,b`; ValueError for joints that do not exist."""
    if text == BOX:
        return Reference()
    names = TORSO if text == "torso" else tuple(name.strip() for name in text.split(","))
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"--by {text}: give box, torso, or two joints such as left_eye,right_eye")
    if missing := [name for name in names if name not in skeleton.joints]:
        raise ValueError(f"--by {text}: there is no joint {missing[0]!r}; the joints are {', '.join(skeleton.joints)}")
    return Reference("torso" if text == "torso" else "-".join(names), names)


@dataclass(frozen=True, config=STRICT)
class PCKBy(DistanceRate):
    """The share of labelled joints within a part of a reference length."""

    by: Reference = Reference()
    threshold: float = 0.2
    comparator: Comparator = "<="

    @property
    def key(self) -> str:
        return f"pck-{self.by.name}{threshold_text(self.threshold, self.comparator)}"

    def reference_lengths(self, truth: PersonSet) -> np.ndarray:
        return self.by.lengths(truth)

    def evaluate(self, truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> list[Score]:
        """As other rates, over the persons that have a reference; no score where nobody has."""
        rows = np.flatnonzero(np.isfinite(self.reference_lengths(truth)) & truth.labelled.any(axis=1))
        return super().evaluate(truth.subset(rows), joints_NJ2[rows], scores_NJ[rows]) if len(rows) else []


@dataclass(frozen=True, config=STRICT)
class MeanError(Metric):
    """NME, the mean distance over the reference, as a ratio; or RMSE, the root of the mean squared distance, in px."""

    kind: Literal["nme", "rmse"] = "rmse"
    by: Reference = Reference()

    @property
    def key(self) -> str:
        return "rmse" if self.kind == "rmse" else f"nme-{self.by.name}"

    def evaluate(self, truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> list[Score]:
        """Over all labelled joints, with an interval over images, then joint by joint."""
        check_predictions(truth, joints_NJ2)
        distance_NJ = np.linalg.norm(joints_NJ2.astype(float) - truth.joints, axis=-1)
        if self.kind == "rmse":
            error_NJ, counted_NJ = distance_NJ**2, truth.labelled & ~crowds(truth)[:, None]
        else:
            error_NJ = distance_NJ / self.by.lengths(truth)[:, None]
            counted_NJ = truth.labelled & np.isfinite(error_NJ) & ~crowds(truth)[:, None]
        every = list(range(len(truth.skeleton.joints)))
        columns = [(self.key, every), *((f"{self.key}/joint/{truth.skeleton.joints[j]}", [j]) for j in every)]
        return [
            self._score(key, truth.image, error_NJ[:, some], counted_NJ[:, some])
            for key, some in columns
            if counted_NJ[:, some].any()
        ]

    def _score(self, key: str, image_N: np.ndarray, error_NC: np.ndarray, counted_NC: np.ndarray) -> Score:
        position_N = np.unique(image_N, return_inverse=True)[1]
        sums_I = np.bincount(position_N, weights=np.where(counted_NC, error_NC, 0.0).sum(axis=1))
        counts_I = np.bincount(position_N, weights=counted_NC.sum(axis=1))
        unit = "px" if self.kind == "rmse" else "ratio"
        interval = self._interval(sums_I, counts_I) if len(sums_I) > 1 and "/" not in key else None
        return Score(key, self._mean([sums_I.sum()], [counts_I.sum()])[0], int(counts_I.sum()), interval, unit=unit)

    def _mean(self, sums: Sequence[float] | np.ndarray, counts: Sequence[float] | np.ndarray) -> list[float]:
        means = np.asarray(sums, float) / np.asarray(counts, float)
        return [float(v) for v in (np.sqrt(means) if self.kind == "rmse" else means)]

    def _interval(self, sums_I: np.ndarray, counts_I: np.ndarray) -> tuple[float, float]:
        """95 % over images, resampled."""
        weights_RI = np.concatenate([np.atleast_2d(block) for block in image_weights(len(sums_I))]).astype(float)
        counts_R = weights_RI @ counts_I
        kept = counts_R > 0
        return percentile_interval(np.array(self._mean((weights_RI @ sums_I)[kept], counts_R[kept])))


def own_metrics(by: Reference) -> tuple[Metric, ...]:
    """What is said of one prediction a person, beside AP."""
    return PCKBy(by), MeanError("nme", by), MeanError("rmse")
