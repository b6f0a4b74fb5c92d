"""The mean-pose baseline: one fixed pose, the training set's mean in crop coordinates, placed in every test crop."""

from __future__ import annotations

import numpy as np

from hpe_bench.data.crops import CropSet, apply_affine


def mean_pose(train: CropSet) -> np.ndarray:
    """Mean position [J,2] of each joint where it is labelled, in input pixels from the centre of the crop."""
    labelled = train.labelled[..., None]
    centre = np.array([train.pixels.shape[2], train.pixels.shape[1]]) / 2
    total = np.where(labelled, train.joints - centre, 0.0).sum(axis=0)
    return total / np.maximum(labelled.sum(axis=0), 1)


def predict_mean_pose(train: CropSet, to_image_N23: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints [N,J,2] in image pixels and constant scores [N,J] for every test crop, by its affine to the image."""
    height, width = train.input_hw
    pose = mean_pose(train) + np.array([width, height]) / 2
    joints_in = np.broadcast_to(pose, (len(to_image_N23), *pose.shape))
    joints_img = apply_affine(to_image_N23, joints_in).astype(np.float32)
    return joints_img, np.ones(joints_img.shape[:2], np.float32)
