"""Who found whom: COCO's greedy matching of detections with persons, for all images at once.

The rules are pycocotools' (`COCOeval.evaluateImg`). Of each image, the 20 detections of highest score count. By falling
score, a detection takes the person of highest OKS that reaches the threshold and is not taken yet; of equals, the last.
Persons who need not be found (crowds, persons without a labelled joint or outside of the area range) are taken only
where no other is left, and crowds any number of times; who takes one of them is neither right nor wrong. The same holds
for a detection without a person whose own area is out of the range.

D detections that count, N persons, P pairs of them, I images, A area ranges, T OKS thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.metrics.oks import oks, pairs_in_images

Area = Literal["all", "medium", "large"]
AREAS_PX2: dict[Area, tuple[float, float]] = {"all": (0, 1e10), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # pycocotools' iouThrs
DETECTIONS_PER_IMAGE = 20  # pycocotools' maxDets for keypoints


@dataclass(frozen=True, eq=False)
class Matching:
    """What became of each detection that counts, by falling score (of equals: by image number, then as given).

    `row_D` rows of the predictions; `image_D` positions of their images, `needed_NA` persons to find.
    """

    row_D: np.ndarray
    image_D: np.ndarray
    matched_DAT: np.ndarray  # bool
    ignored_DAT: np.ndarray  # bool: neither right nor wrong
    needed_NA: np.ndarray  # bool


def match(truth: PersonSet, predictions: Predictions) -> Matching:
    """Match the predictions with the persons in every area range, at every threshold."""
    row_D, rank_D = best_of_each_image(truth, predictions)
    needed_NA = to_find(truth)
    detection_P, person_P = pairs_in_images(predictions.image[row_D], truth.image)
    oks_P = oks(truth, predictions.joints[row_D], detection_P, person_P)
    near = np.flatnonzero(oks_P >= THRESHOLDS[0])
    matched_DAT, ignored_DAT = _take_turns(
        oks_P[near], detection_P[near], person_P[near], rank_D, needed_NA, _crowd(truth)
    )
    area_D = _detected_area(predictions.joints) if predictions.area is None else predictions.area
    outside_DA = ~_in_areas(area_D[row_D])
    ignored_DAT |= ~matched_DAT & outside_DA[:, :, None]
    by_score = np.argsort(-predictions.score[row_D], kind="stable")
    return Matching(
        row_D=row_D[by_score],
        image_D=predictions.image[row_D][by_score],
        matched_DAT=matched_DAT[by_score],
        ignored_DAT=ignored_DAT[by_score],
        needed_NA=needed_NA,
    )


def best_of_each_image(truth: PersonSet, predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the detections that count, by image number and falling score, and their ranks in the image from 0."""
    number_D = predictions.image if truth.image_ids is None else truth.image_ids[predictions.image]
    row_D = np.lexsort((-predictions.score, number_D))
    rank_D = np.arange(len(row_D)) - np.searchsorted(number_D[row_D], number_D[row_D])
    counts_D = rank_D < DETECTIONS_PER_IMAGE
    return row_D[counts_D], rank_D[counts_D]


def to_find(truth: PersonSet) -> np.ndarray:
    """[N,A] bool: the person must be found when this area range is scored."""
    wanted_N = truth.labelled.any(axis=1) if truth.wanted is None else truth.wanted
    return (wanted_N & ~_crowd(truth))[:, None] & _in_areas(truth.area)


def _crowd(truth: PersonSet) -> np.ndarray:
    return np.zeros(len(truth), dtype=bool) if truth.crowd is None else truth.crowd.astype(bool)


def _in_areas(area_px2: np.ndarray) -> np.ndarray:
    """[...,A] bool: within the area range, both ends included."""
    return np.stack([(area_px2 >= low) & (area_px2 <= high) for low, high in AREAS_PX2.values()], axis=-1)


def _detected_area(joints_DJ2: np.ndarray) -> np.ndarray:
    """Area [D] of the box around all joints of a detection, in px^2, as `COCO.loadRes` has it where none is given."""
    extent_D2 = np.ptp(joints_DJ2.astype(float), axis=1)
    return extent_D2[:, 0] * extent_D2[:, 1]


def _take_turns(
    oks_P: np.ndarray,
    detection_P: np.ndarray,
    person_P: np.ndarray,
    rank_D: np.ndarray,
    needed_NA: np.ndarray,
    crowd_N: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """[D,A,T] bool: the detection takes a person, and it takes one who need not be found.

    The detections of one rank choose together: they lie in different images, so that no two want the same person.
    """
    matched_DAT = np.zeros((len(rank_D), len(AREAS_PX2), len(THRESHOLDS)), dtype=bool)
    ignored_DAT, free_NAT = np.zeros_like(matched_DAT), np.ones((len(needed_NA), *matched_DAT.shape[1:]), dtype=bool)
    order_P = np.lexsort((person_P, oks_P, detection_P, rank_D[detection_P]))  # a detection's best choice is its last
    turns = np.searchsorted(rank_D[detection_P[order_P]], np.arange(DETECTIONS_PER_IMAGE + 1))
    for start, end in pairwise(turns):
        if start == end:
            continue
        rows = order_P[start:end]
        detection_R, person_R, place_R = detection_P[rows], person_P[rows], np.arange(end - start)
        chosen_RAT = (oks_P[rows, None] >= THRESHOLDS)[:, None] & (free_NAT[person_R] | crowd_N[person_R, None, None])
        preference_RA = place_R[:, None] + len(rows) * needed_NA[person_R]
        first_of_C = np.flatnonzero(np.diff(detection_R, prepend=-1))
        best_CAT = np.maximum.reduceat(np.where(chosen_RAT, preference_RA[..., None], -1), first_of_C, axis=0)
        detection_C = detection_R[first_of_C]
        matched_DAT[detection_C] = best_CAT >= 0
        ignored_DAT[detection_C] = (best_CAT >= 0) & (best_CAT < len(rows))
        c, a, t = np.nonzero(best_CAT >= 0)
        free_NAT[person_R[best_CAT[c, a, t] % len(rows)], a, t] = False
    return matched_DAT, ignored_DAT
