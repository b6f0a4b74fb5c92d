"""What PCK and PCKh share: distances to the truth, hits, and rates with their per-image tallies.

N persons, J joints, I images that hold at least one person, in order of their position. Coordinates are image pixels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.declare import Score
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


def hits(
    truth: PersonSet, joints_NJ2: np.ndarray, reference_N: np.ndarray, threshold: float, comparator: Comparator
) -> np.ndarray:
    """[N,J] bool: the joint is labelled and its distance / reference length is at most (or below) the threshold."""
    check_predictions(truth, joints_NJ2)
    distance_NJ = np.linalg.norm(
        joints_NJ2.astype(float) - np.where(truth.labelled[..., None], truth.joints, 0), axis=-1
    )
    relative_NJ = distance_NJ / reference_N[:, None]  # divided, not multiplied out: as published evaluators round
    return truth.labelled & (relative_NJ <= threshold if comparator == "<=" else relative_NJ < threshold)


def rate_scores(truth: PersonSet, key: str, hits_NJ: np.ndarray, excluded: tuple[str, ...] = ()) -> list[Score]:
    """The rate over all joints but the excluded ones, then `key/<group>`, then `key/joint/<name>` (F13).

    Rates are weighted by count. The first two kinds carry a 95 % interval over images and tallies (per image the sum
    over its persons; images without a person of the set have no entry). Where nothing is labelled there is no score.
    """
    names = truth.skeleton.joints
    headline = tuple(j for j, name in enumerate(names) if name not in excluded)
    if not truth.labelled[:, headline].any():
        raise ValueError(f"{key}: no person has a labelled joint to score; use a set with annotations")
    keyed = {key: headline, **{f"{key}/{name}": joints for name, joints in truth.skeleton.groups}}
    labelled_J, hits_J = truth.labelled.sum(axis=0), hits_NJ.sum(axis=0)
    per_joint = [
        Score(f"{key}/joint/{name}", rate(hits_J[j], labelled_J[j]), int(labelled_J[j]))
        for j, name in enumerate(names)
        if labelled_J[j]
    ]
    return (
        _with_tallies(truth, hits_NJ, {k: list(j) for k, j in keyed.items() if labelled_J[list(j)].any()}) + per_joint
    )


def _with_tallies(truth: PersonSet, hits_NJ: np.ndarray, joints: dict[str, list[int]]) -> list[Score]:
    """One score per key over its joints, with per-image tallies and, for two images or more, an interval."""
    position_N = np.unique(truth.image, return_inverse=True)[1]

    def per_image(table_NJ: np.ndarray, columns: list[int]) -> np.ndarray:
        return np.bincount(position_N, weights=table_NJ[:, columns].sum(axis=1)).astype(int)

    tallies = [(per_image(hits_NJ, columns), per_image(truth.labelled, columns)) for columns in joints.values()]
    intervals = rate_intervals(tallies) if position_N.max() > 0 else [None] * len(tallies)
    return [
        Score(key, rate(*tally), int(tally[1].sum()), interval, tuple(tally[0].tolist()), tuple(tally[1].tolist()))
        for key, tally, interval in zip(joints, tallies, intervals, strict=True)
    ]


def threshold_text(threshold: float, comparator: Comparator) -> str:
    """'@0.5', '@<0.5' for the strict comparator (F12), '@0.10' so that it cannot be read as the papers' 0.11 (F11)."""
    return f"@{'<' if comparator == '<' else ''}{format(threshold, 'g').ljust(4 if threshold < 0.2 else 0, '0')}"
