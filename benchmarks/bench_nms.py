"""Pose NMS on 250 images of 20 detections, one thread, beside a plain loop over pairs.

    pytest -o addopts= benchmarks/bench_nms.py

The loop says what the array code must answer; the tests hold the two against each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.inference.oks_nms import oks_nms

IMAGES, DETECTIONS_PER_IMAGE, THRESHOLD = 250, 20, 0.9
K2_J = (2 * np.array(COCO_17.sigmas)) ** 2


def loop_nms(predictions: Predictions, area_D: np.ndarray, threshold: float) -> list[int]:
    """Kept rows, image by image, one pair at a time (the way of the released pose code)."""
    kept = []
    for image in np.unique(predictions.image):
        here = np.flatnonzero(predictions.image == image)
        left = here[np.argsort(-predictions.score[here], kind="stable")].tolist()
        while left:
            best = left.pop(0)
            kept.append(best)
            left = [row for row in left if loop_oks(predictions.joints, area_D, best, row) <= threshold]
    return kept


def loop_oks(joints_DJ2: np.ndarray, area_D: np.ndarray, a: int, b: int) -> float:
    dx, dy = joints_DJ2[b, :, 0] - joints_DJ2[a, :, 0], joints_DJ2[b, :, 1] - joints_DJ2[a, :, 1]
    e = (dx**2 + dy**2) / K2_J / ((area_D[a] + area_D[b]) / 2 + np.spacing(1)) / 2
    return float(np.sum(np.exp(-e)) / len(e))


def clustered(images: int, per_image: int, levels: int = 1000, seed: int = 0) -> tuple[Predictions, np.ndarray]:
    """Detections around three poses an image with scores of so many `levels`, and their areas in px^2."""
    rng, count = np.random.default_rng(seed), images * per_image
    image = np.repeat(np.arange(images), per_image)
    poses = rng.uniform(0, 300, (images, 3, 17, 2))
    error_px = rng.uniform(0, 12, (count, 1, 1))
    joints = poses[image, rng.integers(0, 3, count)] + rng.normal(0, 1, (count, 17, 2)) * error_px
    score = rng.integers(0, levels, count) / levels
    return Predictions(image, joints, np.ones((count, 17)), score), rng.uniform(2000, 40_000, count)


@pytest.fixture(scope="module")
def data() -> tuple[Predictions, np.ndarray]:
    return clustered(IMAGES, DETECTIONS_PER_IMAGE)


@pytest.mark.benchmark(group="nms")
def test_nms_arrays(benchmark: Any, data: tuple[Predictions, np.ndarray]) -> None:
    benchmark(oks_nms, *data, COCO_17.sigmas, THRESHOLD)


@pytest.mark.benchmark(group="nms")
def test_nms_loop(benchmark: Any, data: tuple[Predictions, np.ndarray]) -> None:
    benchmark.pedantic(loop_nms, (*data, THRESHOLD), rounds=3)
