"""Object keypoint similarity (OKS): how alike a detected and an annotated person are, from 0 to 1.

    OKS = 1/n * sum_j exp(-d_j^2 / (2 s^2 k_j^2)) over the n labelled joints;  k_j = 2 sigma_j, s^2 the person's area

(cocodataset.org, keypoints-eval). A person without a labelled joint is compared by how far all joints lie outside of a
box of three times its own width and height (pycocotools). The arithmetic follows pycocotools operation by operation,
so that values are equal to the bit and thresholds fall the same way.

D detections, N persons, J joints, P pairs of a detection and a person. Coordinates are image pixels, areas px^2.
"""

from __future__ import annotations

import numpy as np

from hpe_bench.data.persons import PersonSet

PAIRS_AT_ONCE = 8192  # keeps what is worked on within the processor's cache


def pairs_in_images(image_D: np.ndarray, image_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every detection with every person of its image, as rows (detection_P, person_P): by detection, then person."""
    order_N = np.argsort(image_N, kind="stable")
    first_D, end_D = (np.searchsorted(image_N[order_N], image_D, side) for side in ("left", "right"))
    detection_P, place_P = np.repeat(np.arange(len(image_D)), end_D - first_D), ranges(first_D, end_D)
    return detection_P, order_N[place_P]


def ranges(first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The whole numbers first[0] .. end[0] - 1, then first[1] .. end[1] - 1, and so on."""
    counts = end - first
    return np.arange(counts.sum()) + np.repeat(first - (np.cumsum(counts) - counts), counts)


def variances(sigmas: tuple[float, ...]) -> np.ndarray:
    """k^2 = (2 sigma)^2 of each joint [J]."""
    return (np.array(sigmas) * 2) ** 2


def oks(truth: PersonSet, joints_DJ2: np.ndarray, detection_P: np.ndarray, person_P: np.ndarray) -> np.ndarray:
    """OKS [P] of pairs of a row of `joints_DJ2` and a person; the skeleton must have sigmas."""
    joints_DJ2, k2_J = joints_DJ2.astype(float), variances(truth.skeleton.sigmas)
    labelled_N = truth.labelled.sum(axis=1)
    labelled_first_NJ = np.argsort(~truth.labelled, axis=1, kind="stable")
    oks_P = np.empty(len(person_P))
    for count in np.unique(labelled_N[person_P]):  # equal counts stand in one array, without gaps: sums round alike
        of_count = np.flatnonzero(labelled_N[person_P] == count)
        for start in range(0, len(of_count), PAIRS_AT_ONCE):
            rows = of_count[start : start + PAIRS_AT_ONCE]
            person_R, detected_RJ2 = person_P[rows], joints_DJ2[detection_P[rows]]
            if count:
                joints_RC = labelled_first_NJ[person_R, :count]
                squared_RC, k2_RC = _to_joints(truth, detected_RJ2, person_R, joints_RC), k2_J[joints_RC]
            else:
                squared_RC, k2_RC = _to_enlarged_box(truth.box[person_R].astype(float), detected_RJ2), k2_J
            error_RC = squared_RC / k2_RC / (truth.area[person_R].astype(float) + np.spacing(1))[:, None] / 2
            oks_P[rows] = np.sum(np.exp(-error_RC), axis=1) / error_RC.shape[1]
    return oks_P


def _to_joints(truth: PersonSet, detected_RJ2: np.ndarray, person_R: np.ndarray, joints_RC: np.ndarray) -> np.ndarray:
    """Squared distances [R,C] to the given joints of each person."""
    here_RC2 = np.take_along_axis(detected_RJ2, joints_RC[..., None], axis=1)
    offset_RC2 = here_RC2 - truth.joints[person_R[:, None], joints_RC].astype(float)
    return offset_RC2[..., 0] ** 2 + offset_RC2[..., 1] ** 2


def _to_enlarged_box(box_R4: np.ndarray, detected_RJ2: np.ndarray) -> np.ndarray:
    """Squared distances [R,J] to boxes of three times the width and height about the same centre, 0 inside."""
    low_R12 = (box_R4[:, :2] - box_R4[:, 2:])[:, None]
    high_R12 = (box_R4[:, :2] + box_R4[:, 2:] * 2)[:, None]
    outside_RJ2 = np.maximum(0, low_R12 - detected_RJ2) + np.maximum(0, detected_RJ2 - high_R12)
    return outside_RJ2[..., 0] ** 2 + outside_RJ2[..., 1] ** 2
