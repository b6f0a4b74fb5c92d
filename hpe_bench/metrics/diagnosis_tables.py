"""A diagnosis in numbers: kinds of errors by joint, size, hidden joints and crowding, and errors of detection.

Every table but the one by joint splits the persons to find, so its rows add up to `overall`. Rows without persons are
left out. N persons, J joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.metrics.diagnosis import KINDS, Diagnosis, crowds
from hpe_bench.metrics.oks import pairs_in_images

MEDIUM_PX2, LARGE_PX2 = 32**2, 96**2  # where COCO's keypoint area ranges begin
OVERLAP_IOU = 0.1  # boxes that share this much crowd each other


@dataclass(frozen=True)
class ErrorRow:
    """Persons to find, how many of them were found, and how many of these's labelled joints are of which kind."""

    name: str
    persons: int
    found: int
    good: int
    jitter: int
    inversion: int
    swap: int
    miss: int

    @property
    def joints(self) -> int:
        """Joints judged: the labelled ones of the found persons."""
        return self.good + self.jitter + self.inversion + self.swap + self.miss


@dataclass(frozen=True)
class DetectionErrors:
    """Errors beside those of joints.

    `duplicates` are the false positives near a person to find; the others are on the background (or near somebody whom
    another prediction was made for). `outranked` counts persons whose match has a duplicate that fits better and scores
    lower. `score_order` is Kendall's tau-b between the matched predictions' scores and their OKS: 1 if scores rank them
    perfectly, 0 if they say nothing; None where one of the two does not vary.
    """

    predictions: int
    false_positives: int
    duplicates: int
    persons: int
    false_negatives: int
    outranked: int
    score_order: float | None


def detection_errors(predictions: Predictions, diagnosis: Diagnosis) -> DetectionErrors:
    """Counts over the whole set; predictions that COCO ignores are in none of them."""
    rows = diagnosis.detection[diagnosis.found]
    tau = float("nan")
    if len(rows) > 1:
        from scipy import stats  # slow to import, and of no use to a training

        tau = float(stats.kendalltau(predictions.score[rows], diagnosis.oks[diagnosis.found]).statistic)
    return DetectionErrors(
        predictions=int(diagnosis.counted.sum()),
        false_positives=int(diagnosis.false_positive.sum()),
        duplicates=int(diagnosis.duplicate.sum()),
        persons=int(diagnosis.wanted.sum()),
        false_negatives=int(diagnosis.false_negative.sum()),
        outranked=int(diagnosis.outranked.sum()),
        score_order=tau if np.isfinite(tau) else None,
    )


def overall(diagnosis: Diagnosis) -> ErrorRow:
    """All persons to find and all joints of those found."""
    return _row("all", diagnosis.wanted, diagnosis, diagnosis.kind)


def by_joint(truth: PersonSet, diagnosis: Diagnosis) -> tuple[ErrorRow, ...]:
    """One row a joint, over the persons who have it labelled."""
    rows = [
        _row(name, diagnosis.wanted & truth.labelled[:, j], diagnosis, diagnosis.kind[:, j : j + 1])
        for j, name in enumerate(truth.skeleton.joints)
    ]
    return tuple(row for row in rows if row.persons)


def by_area(truth: PersonSet, diagnosis: Diagnosis) -> tuple[ErrorRow, ...]:
    """COCO's medium and large, and what is smaller; 96^2 px^2 itself, which COCO counts in both, is large here."""
    names = ("small, below 32\N{SUPERSCRIPT TWO} px", "medium", "large, from 96\N{SUPERSCRIPT TWO} px")
    return _split(names, np.digitize(truth.area, (MEDIUM_PX2, LARGE_PX2)), diagnosis)


def by_stature(truth: PersonSet, diagnosis: Diagnosis) -> tuple[ErrorRow, ...]:
    """Thirds of the persons to find by the height of their boxes: for sets whose persons are of one COCO size."""
    return _split(*stature_bands(truth, diagnosis.wanted), diagnosis)


def stature_bands(truth: PersonSet, wanted_N: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the thirds of the wanted persons by the height of their boxes, and everybody's position [N] in them."""
    height_N = truth.box[:, 3]
    low, high = np.quantile(height_N[wanted_N], (1 / 3, 2 / 3)) if wanted_N.any() else (0.0, 0.0)
    names = (f"below {low:.0f} px", f"{low:.0f} to {high:.0f} px", f"from {high:.0f} px")
    return names, np.digitize(height_N, (low, high))


def by_hidden(truth: PersonSet, diagnosis: Diagnosis) -> tuple[ErrorRow, ...]:
    """Persons by the share of their labelled joints that are hidden (bands are ours)."""
    share_N = 1 - truth.visible.sum(axis=1) / np.maximum(truth.labelled.sum(axis=1), 1)
    names = ("no joint hidden", "up to a third hidden", "more than a third hidden")
    return _split(names, np.digitize(share_N, (1e-9, 1 / 3 + 1e-9)), diagnosis)


def by_crowding(truth: PersonSet, diagnosis: Diagnosis) -> tuple[ErrorRow, ...]:
    """Persons by the number of others whose boxes overlap theirs with IoU >= 0.1 (bands are ours)."""
    names = ("nobody else", "one or two others", "three or more others")
    return _split(names, np.digitize(crowding(truth), (1, 3)), diagnosis)


def crowding(truth: PersonSet) -> np.ndarray:
    """[N] number of other persons (crowd regions aside) whose boxes overlap a person's with IoU >= 0.1."""
    single = np.flatnonzero(~crowds(truth))
    one_P, other_P = (single[place_P] for place_P in pairs_in_images(truth.image[single], truth.image[single]))
    near_P = (one_P != other_P) & (box_iou(truth.box[one_P], truth.box[other_P]) >= OVERLAP_IOU)
    return np.bincount(one_P[near_P], minlength=len(truth))


def box_iou(a_P4: np.ndarray, b_P4: np.ndarray) -> np.ndarray:
    """Intersection over union [P] of pairs of boxes (x, y, width, height); 0 where neither has an area."""
    high_P2 = np.minimum(a_P4[:, :2] + a_P4[:, 2:], b_P4[:, :2] + b_P4[:, 2:])
    shared_P = np.maximum(high_P2 - np.maximum(a_P4[:, :2], b_P4[:, :2]), 0).prod(axis=1)
    union_P = a_P4[:, 2:].prod(axis=1) + b_P4[:, 2:].prod(axis=1) - shared_P
    return np.divide(shared_P, union_P, out=np.zeros_like(shared_P), where=union_P > 0)


def _split(names: Sequence[str], band_N: np.ndarray, diagnosis: Diagnosis) -> tuple[ErrorRow, ...]:
    """One row a band that holds persons to find."""
    members = [(name, diagnosis.wanted & (band_N == band)) for band, name in enumerate(names)]
    return tuple(_row(name, own_N, diagnosis, diagnosis.kind[own_N]) for name, own_N in members if own_N.any())


def _row(name: str, persons_N: np.ndarray, diagnosis: Diagnosis, kinds: np.ndarray) -> ErrorRow:
    """The judged ones among `kinds`, counted."""
    counts = np.bincount(kinds[kinds >= 0].astype(int), minlength=len(KINDS)).tolist()
    return ErrorRow(name, int(persons_N.sum()), int((persons_N & diagnosis.found).sum()), *counts)
