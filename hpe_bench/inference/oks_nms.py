"""Pose NMS: of detections of one image that are nearly the same pose, keep the one that scores highest.

Greedy suppression by the similarity of two detections (released code of SimpleBaseline and HRNet, threshold 0.9; F10):

    OKS(a, b) = mean_j exp(-d_j^2 / (2 s^2 k_j^2)),   s^2 = (area of a + area of b) / 2,   k_j = 2 sigma_j

over all joints, whatever their scores. That code takes as area that of the padded box a detection was cropped from.
Its soft variant, off by default there, has no part in a published number we know of and is left out.

D detections, J joints, P pairs. Coordinates are image pixels, areas px^2.
"""

from __future__ import annotations

import numpy as np

from hpe_bench.data.predictions import Predictions
from hpe_bench.metrics.oks import PAIRS_AT_ONCE, ranges, variances


def oks_nms(
    predictions: Predictions, area_D: np.ndarray, sigmas: tuple[float, ...], threshold: float = 0.9
) -> np.ndarray:
    """Rows of the detections that stay: by image, then by falling score (of equals, the first given comes first).

    A detection goes if its OKS with one that stays and scores higher is above the threshold.
    """
    _check(predictions, area_D, sigmas, threshold)
    row_D = np.lexsort((-predictions.score, predictions.image))
    image_D, joints_DJ2, area_D = predictions.image[row_D], predictions.joints[row_D].astype(float), area_D[row_D]
    last_D = np.searchsorted(image_D, image_D, "right")
    better_P = np.repeat(np.arange(len(row_D)), last_D - np.arange(len(row_D)) - 1)
    worse_P = ranges(np.arange(len(row_D)) + 1, last_D)
    alike = _oks(joints_DJ2, area_D, variances(sigmas), better_P, worse_P) > threshold
    return row_D[_stay(better_P[alike], worse_P[alike], np.arange(len(row_D)) - np.searchsorted(image_D, image_D))]


def _check(predictions: Predictions, area_D: np.ndarray, sigmas: tuple[float, ...], threshold: float) -> None:
    joints = predictions.joint_scores.shape[1]
    if len(sigmas) != joints:
        raise ValueError(f"OKS-NMS: {len(sigmas)} sigmas for detections of {joints} joints; give one per joint")
    if area_D.shape != predictions.score.shape or not (np.isfinite(area_D) & (area_D >= 0)).all():
        raise ValueError("OKS-NMS: give every detection an area of at least 0 px^2, such as that of its padded box")
    if not 0 <= threshold <= 1:
        raise ValueError(f"OKS-NMS: threshold {threshold}; give an OKS from 0 to 1, such as 0.9")


def _oks(joints_DJ2: np.ndarray, area_D: np.ndarray, k2_J: np.ndarray, a_P: np.ndarray, b_P: np.ndarray) -> np.ndarray:
    """Similarity [P] of pairs of detections."""
    oks_P = np.empty(len(a_P))
    for start in range(0, len(a_P), PAIRS_AT_ONCE):
        rows = slice(start, start + PAIRS_AT_ONCE)
        a_R, b_R = a_P[rows], b_P[rows]
        offset_RJ2 = joints_DJ2[b_R] - joints_DJ2[a_R]
        squared_RJ = offset_RJ2[..., 0] ** 2 + offset_RJ2[..., 1] ** 2
        area_R = (area_D[a_R] + area_D[b_R]) / 2 + np.spacing(1)
        oks_P[rows] = np.sum(np.exp(-(squared_RJ / k2_J / area_R[:, None] / 2)), axis=1) / len(k2_J)
    return oks_P


def _stay(better_P: np.ndarray, worse_P: np.ndarray, rank_D: np.ndarray) -> np.ndarray:
    """[D] bool, given the pairs that are alike: the detections of one rank suppress at once, in all images."""
    stay_D = np.ones(len(rank_D), dtype=bool)
    by_rank = np.argsort(rank_D[better_P], kind="stable")
    better_P, worse_P = better_P[by_rank], worse_P[by_rank]
    turns = np.flatnonzero(np.diff(rank_D[better_P])) + 1
    for better_R, worse_R in zip(np.split(better_P, turns), np.split(worse_P, turns), strict=True):
        stay_D[worse_R[stay_D[better_R]]] = False
    return stay_D
