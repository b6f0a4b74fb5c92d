"""What PCK and PCKh share: distances to the truth, hits, and rates with their per-image tallies.

N persons, J joints, C columns of what is counted (joints or limbs), I images that hold at least one person, in order of
their position. Coordinates are image pixels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import Metric, Score
from hpe_bench.metrics.bootstrap import rate, rate_intervals

Comparator = Literal["<=", "<"]


def check_predictions(truth: PersonSet, joints_NJ2: np.ndarray) -> None:
    """ValueError unless every person has a finite prediction for every joint: a NaN would pass for a miss (F23)."""
    if joints_NJ2.shape != truth.joints.shape:
        raise ValueError(
            f"predictions have shape {joints_NJ2.shape}, the persons {truth.joints.shape}; give one row per person"
        )
    bad = np.argwhere(~np.isfinite(joints_NJ2).all(axis=-1))
    if len(bad):
        person, joint = bad[0]
        raise ValueError(
            f"prediction of person {person}, joint {truth.skeleton.joints[joint]!r} is {joints_NJ2[person, joint]}: "
            f"not finite ({len(bad)} such joints in all); every joint needs a position"
        )


class DistanceRate(Metric):
    """The share of labelled joints whose distance to the truth is within a part of the person's reference length."""

    threshold: float
    comparator: Comparator
    excluded: tuple[str, ...] = ()  # joints that the headline leaves out (F13)

    @abstractmethod
    def reference_lengths(self, truth: PersonSet) -> np.ndarray:
        """What distances are relative to, [N] in px; ValueError naming a person that has none."""

    def relative_distances(self, truth: PersonSet, joints_NJ2: np.ndarray) -> np.ndarray:
        """Distance / reference length [N,J]; NaN where the joint is not labelled."""
        reference_N = self.reference_lengths(truth)
        check_predictions(truth, joints_NJ2)
        distance_NJ = np.linalg.norm(joints_NJ2.astype(float) - truth.joints, axis=-1)
        relative_NJ = distance_NJ / reference_N[:, None]  # divided, not multiplied out: as published evaluators round
        return np.where(truth.labelled, relative_NJ, np.nan)

    def hits(self, truth: PersonSet, joints_NJ2: np.ndarray) -> np.ndarray:
        """[N,J] bool: the joint is labelled and its relative distance is at most (or below) the threshold."""
        relative_NJ = self.relative_distances(truth, joints_NJ2)
        return relative_NJ <= self.threshold if self.comparator == "<=" else relative_NJ < self.threshold

    def evaluate(self, truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> list[Score]:
        """The headline rate, its joint groups and its joints, in percent; joint scores are not looked at."""
        return rate_scores(truth, self.key, self.hits(truth, joints_NJ2), self.excluded)


def rate_scores(
    truth: PersonSet, key: str, hits_NJ: np.ndarray, excluded: tuple[str, ...] = (), full_marks: int = 1
) -> list[Score]:
    """The rate over all joints but the excluded ones, then `key/<group>`, then `key/joint/<name>` (F13).

    Rates are weighted by count. The first two kinds carry a 95 % interval over images and tallies (per image the sum
    over its persons; images without a person of the set have no entry). Where nothing is labelled there is no score.
    A joint counts `full_marks` and can hit as often: 1, or more where it may be right in part.
    """
    names = truth.skeleton.joints
    headline = tuple(j for j, name in enumerate(names) if name not in excluded)
    if not truth.labelled[:, headline].any():
        raise ValueError(f"{key}: no person has a labelled joint to score; use a set with annotations")
    keyed = {key: headline, **{f"{key}/{name}": joints for name, joints in truth.skeleton.groups}}
    labelled_J, hits_J = truth.labelled.sum(axis=0), hits_NJ.sum(axis=0)
    per_joint = [
        Score(f"{key}/joint/{name}", rate(hits_J[j], full_marks * labelled_J[j]), int(labelled_J[j]))
        for j, name in enumerate(names)
        if labelled_J[j]
    ]
    return tallied_scores(truth.image, truth.labelled, hits_NJ, keyed, full_marks) + per_joint


def tallied_scores(
    image_N: np.ndarray,
    counted_NC: np.ndarray,
    hits_NC: np.ndarray,
    keyed: Mapping[str, Sequence[int]],
    full_marks: int = 1,
) -> list[Score]:
    """One score per key over its columns, with per-image tallies and, for two images or more, an interval.

    `counted_NC` bool says what is there to be hit; a key with nothing to hit has no score.
    """
    position_N = np.unique(image_N, return_inverse=True)[1]

    def per_image(table_NC: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        return np.bincount(position_N, weights=table_NC[:, list(columns)].sum(axis=1)).astype(int)

    found = {key: (per_image(hits_NC, c), full_marks * per_image(counted_NC, c)) for key, c in keyed.items()}
    tallies = {key: tally for key, tally in found.items() if tally[1].any()}
    intervals = rate_intervals(list(tallies.values())) if tallies and position_N.max() > 0 else [None] * len(tallies)
    return [
        Score(key, rate(h, c), int(c.sum()) // full_marks, interval, tuple(h.tolist()), tuple(c.tolist()))
        for (key, (h, c)), interval in zip(tallies.items(), intervals, strict=True)
    ]


def side_means(skeleton: Skeleton, key: str, scores: Sequence[Score]) -> list[Score]:
    """`key/sides/<group>`: the groups as the MPII tables print them, the mean of the rates of left and right joint.

    `key/<group>` pools the joints instead; the two differ where the sides are not labelled equally often. A group with
    a joint that has no score is left out. There is no interval: the mean of two rates is no rate of one tally.
    """
    by_key = {score.key: score for score in scores}
    found = []
    for name, joints in skeleton.groups:
        sides = [by_key.get(f"{key}/joint/{skeleton.joints[j]}") for j in joints]
        known = [side for side in sides if side is not None]
        if len(known) == len(sides):
            value = float(np.mean([side.value for side in known]))
            found.append(Score(f"{key}/sides/{name}", value, sum(side.n for side in known)))
    return found


def on_threshold(metric: DistanceRate, truth: PersonSet, joints_NJ2: np.ndarray) -> Score:
    """`key/on-threshold`: the share of the headline's joints exactly on the threshold, its tally their number (F12).

    These are the joints that count under "<=" and not under "<"; whole-pixel predictions have many, others hardly any.
    """
    columns = [j for j, name in enumerate(truth.skeleton.joints) if name not in metric.excluded]
    key = f"{metric.key}/on-threshold"
    if not truth.labelled[:, columns].any():
        raise ValueError(f"{key}: no person has a labelled joint to score; use a set with annotations")
    on_NJ = metric.relative_distances(truth, joints_NJ2) == metric.threshold
    return tallied_scores(truth.image, truth.labelled, on_NJ, {key: columns})[0]


def visibility_scores(metric: DistanceRate, truth: PersonSet, joints_NJ2: np.ndarray) -> list[Score]:
    """`key/visible` and `key/hidden`, each with its groups and joints: the joints that can be seen, and those that are
    labelled though hidden. A half without labelled joints is left out, as where the data set labels visible ones only.
    """
    hits_NJ = metric.hits(truth, joints_NJ2)
    headline = [j for j, name in enumerate(truth.skeleton.joints) if name not in metric.excluded]
    scores: list[Score] = []
    for half, kept_NJ in (("visible", truth.visible), ("hidden", truth.labelled & ~truth.visible)):
        if kept_NJ[:, headline].any():
            part = replace(truth, labelled=kept_NJ, visible=truth.visible & kept_NJ)
            scores += rate_scores(part, f"{metric.key}/{half}", hits_NJ & kept_NJ, metric.excluded)
    return scores


def threshold_text(threshold: float, comparator: Comparator) -> str:
    """'@0.5', '@<0.5' for the strict comparator (F12), '@0.10' so that it cannot be read as the papers' 0.11 (F11)."""
    return f"@{'<' if comparator == '<' else ''}{format(threshold, 'g').ljust(4 if threshold < 0.2 else 0, '0')}"
