"""Pose NMS and rescoring against the authors' answers, a plain loop, and properties."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.bench_nms import clustered, loop_nms
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.inference.oks_nms import oks_nms
from hpe_bench.inference.rescoring import rescore

SIGMAS = COCO_17.sigmas


@pytest.mark.parametrize(("threshold", "kept"), [(0.9, "nms_keep_oks09"), (0.5, "nms_keep_oks05")])
def test_what_the_hrnet_code_keeps(threshold: float, kept: str) -> None:
    with np.load(Path(__file__).parent / "data" / "protocol_nms.npz") as file:
        stored = dict(file)
    points = stored["nms_keypoints"]
    predictions = Predictions(np.zeros(len(points), int), points[..., :2], points[..., 2], stored["nms_scores"])
    found = oks_nms(predictions, stored["nms_areas"], SIGMAS, threshold)
    assert found.tolist() == stored[kept].tolist()
    assert len(found) < len(points)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 4), st.integers(1, 12), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_equal_to_the_plain_loop(seed: int, images: int, per_image: int, threshold: float) -> None:
    """Scores of ten levels, so that many are equal, and rows in any order."""
    predictions, area = clustered(images, per_image, 10, seed)
    mixed = np.random.default_rng(seed).permutation(len(predictions))
    predictions, area = predictions.subset(mixed), area[mixed]
    assert oks_nms(predictions, area, SIGMAS, threshold).tolist() == loop_nms(predictions, area, threshold)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.3, 0.95))
def test_what_stays_would_all_stay_again(seed: int, threshold: float) -> None:
    predictions, area = clustered(3, 10, seed=seed)
    kept = oks_nms(predictions, area, SIGMAS, threshold)
    assert oks_nms(predictions.subset(kept), area[kept], SIGMAS, threshold).tolist() == list(range(len(kept)))


def test_a_suppressed_detection_suppresses_nobody() -> None:
    """A chain: each is near the next, the first and the third are not; equal poses go, the first given stays."""
    joints = np.zeros((4, 17, 2))
    joints[1], joints[2] = 8.0, 16.0
    predictions = Predictions(np.zeros(4, int), joints, np.ones((4, 17)), np.array([0.9, 0.8, 0.7, 0.9]))
    assert oks_nms(predictions, np.full(4, 10_000.0), SIGMAS, 0.5).tolist() == [0, 2]
    elsewhere = replace(predictions, image=np.array([3, 1, 3, 1]))
    assert oks_nms(elsewhere, np.full(4, 10_000.0), SIGMAS, 0.5).tolist() == [3, 0, 2]


def test_what_does_not_fit_is_named() -> None:
    predictions, area = clustered(1, 5)
    for areas, sigmas, threshold, words in (
        (area, SIGMAS[:16], 0.9, "16 sigmas for detections of 17 joints"),
        (area[:-1], SIGMAS, 0.9, "an area of at least 0"),
        (-area, SIGMAS, 0.9, "an area of at least 0"),
        (area, SIGMAS, float("nan"), "threshold nan"),
        (area, SIGMAS, 1.5, "threshold 1.5"),
    ):
        with pytest.raises(ValueError, match=words):
            oks_nms(predictions, areas, sigmas, threshold)


def test_rescoring_by_hand() -> None:
    """Only scores above 0.2 are averaged (F10): 0.2 itself is not, and no such joint makes 0."""
    joint_scores = np.array([[0.2, 0.4, 0.8], [0.1, 0.2, 0.0], [1.0, 1.0, -0.3], [0.5, 0.21, 0.2]])
    box_score = np.array([0.5, 1.0, 0.25, 1.0])
    assert rescore(box_score, joint_scores) == pytest.approx([0.3, 0.0, 0.25, 0.355])
    assert rescore(box_score, joint_scores, over=-1.0) == pytest.approx(box_score * joint_scores.mean(axis=1))
    with pytest.raises(ValueError, match="3 box scores for 4 detections"):
        rescore(box_score[:3], joint_scores)
