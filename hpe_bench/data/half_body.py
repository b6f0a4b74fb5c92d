"""Half-body crops: now and then the upper or the lower body of a person is cropped in place of the whole.

The rule of the released HRNet code (`half_body_transform`), its odd draw included: it compares a *normal* number with
0.5 where a uniform one was meant, so the upper body is picked in 69 % of the cases (F4). The crop is 1.5 times the
joints' extent, brought to the input's aspect. Ours reads it from the stored crop of the person, which has the pixel
density of the whole body: the released code goes back to the image, so its half bodies are sharper.

B batch, J joints; coordinates are (x, y) in pixels of the context crop.
"""

from __future__ import annotations

import numpy as np

MORE_THAN = 8  # labelled joints, for a person to be cropped so (released code)
FEW = 2  # joints of a half; with no more the other half is taken
PADDING = 1.5  # of the joints' extent
LOWER = ("hip", "knee", "ankle", "pelvis")


def upper_body(joints: tuple[str, ...]) -> tuple[int, ...]:
    """The joints above the hips, which the released code names by number for COCO and MPII."""
    return tuple(i for i, name in enumerate(joints) if not any(word in name for word in LOWER))


def half_bodies(
    joints_BJ2: np.ndarray,
    labelled_BJ: np.ndarray,
    upper: tuple[int, ...],
    chosen_B: np.ndarray,
    normal_B: np.ndarray,
    input_hw: tuple[int, int],
    crop_hw: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Where each crop's centre moves [B,2], and how large it becomes [B], in units of the whole body's.

    `chosen_B` are the persons that chance has chosen, `normal_B` the numbers that decide which half.
    """
    shift_B2, size_B = np.zeros((len(joints_BJ2), 2), np.float32), np.ones(len(joints_BJ2), np.float32)
    middle_2 = np.array(crop_hw[::-1], np.float32) / 2
    is_upper_J = np.isin(np.arange(joints_BJ2.shape[1]), upper)
    for row in np.flatnonzero(chosen_B & (labelled_BJ.sum(1) > MORE_THAN)):
        picked_J = _picked(labelled_BJ[row], is_upper_J, float(normal_B[row]))
        size = _size(joints_BJ2[row][picked_J], input_hw)
        if size > 0:
            shift_B2[row] = joints_BJ2[row][picked_J].mean(0) - middle_2
            size_B[row] = PADDING * size
    return shift_B2, size_B


def _picked(labelled_J: np.ndarray, is_upper_J: np.ndarray, normal: float) -> np.ndarray:
    """The joints of one half, [J] bool."""
    upper_J, lower_J = labelled_J & is_upper_J, labelled_J & ~is_upper_J
    if normal < 0.5 and upper_J.sum() > FEW:
        return upper_J
    return lower_J if lower_J.sum() > FEW else upper_J


def _size(joints_K2: np.ndarray, input_hw: tuple[int, int]) -> float:
    """The extent of some joints at the input's aspect, in units of the input's width; 0 for fewer than two."""
    if len(joints_K2) < 2:
        return 0.0
    (width, height), (rows, columns) = np.ptp(joints_K2, axis=0), input_hw
    return float(max(width / columns, height / rows))
