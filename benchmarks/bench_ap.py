"""OKS-AP of 40,000 detections on 5,000 images, one thread, beside pycocotools.

    pytest -o addopts= benchmarks/bench_ap.py

Both start from arrays and end with the ten figures; the tests hold them equal. For a replicate of the bootstrap, the
reference accumulates pycocotools' own matches of the drawn images again.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.metrics.ap_pycocotools import run_arrays
from hpe_bench.metrics.average_precision import Evaluation, evaluate, intervals

IMAGES, PERSONS, DETECTIONS = 5000, 11_000, 40_000
REPLICATES, PLAIN_REPLICATES = 1000, 5


class NoPixels:
    """As many images as are asked for, with nothing in them."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> np.ndarray:
        raise AssertionError("a metric has no use for pixels")

    def digest(self) -> str:
        return str(self.count)


def made(images: int, persons: int, detections: int, seed: int = 0) -> tuple[PersonSet, Predictions]:
    """Like COCO: two persons in five without labels, some crowds; half of the detections near a person."""
    rng = np.random.default_rng(seed)
    image, side, corner = (
        np.sort(rng.integers(0, images, persons)),
        rng.uniform(20, 300, persons),
        rng.uniform(0, 400, (persons, 2)),
    )
    joints = np.round(corner[:, None] + rng.random((persons, 17, 2)) * side[:, None, None])
    labelled = (rng.random((persons, 17)) < 0.7) & (rng.random(persons) < 0.6)[:, None]
    truth = PersonSet(
        skeleton=COCO_17,
        images=NoPixels(images),
        image=image,
        box=np.column_stack((corner, side, side)),
        joints=joints,
        labelled=labelled,
        visible=labelled,
        head_size=np.full(persons, np.nan),
        area=0.6 * side**2,
        crowd=rng.random(persons) < 0.02,
    )
    near, far = rng.integers(0, persons, detections // 2), detections - detections // 2
    error_px = side[near] * rng.uniform(0, 0.12, len(near))
    found = joints[near] + rng.normal(0, 1, (len(near), 17, 2)) * error_px[:, None, None]
    alarm = rng.uniform(0, 400, (far, 1, 2)) + rng.random((far, 17, 2)) * rng.uniform(20, 300, (far, 1, 1))
    score = np.concatenate((rng.random(len(near)) ** 0.5, rng.random(far) ** 2))
    order = rng.permutation(detections)
    predictions = Predictions(
        image=np.concatenate((image[near], rng.integers(0, images, far)))[order],
        joints=np.concatenate((found, alarm))[order],
        joint_scores=np.ones((detections, 17)),
        score=np.round(score, 3)[order],
    )
    return truth, predictions


@pytest.fixture(scope="module")
def data() -> tuple[PersonSet, Predictions]:
    return made(IMAGES, PERSONS, DETECTIONS)


@pytest.mark.benchmark(group="figures")
def test_figures_arrays(benchmark: Any, data: tuple[PersonSet, Predictions]) -> None:
    benchmark(lambda: evaluate(*data).figures())


@pytest.mark.benchmark(group="figures")
def test_figures_pycocotools(benchmark: Any, data: tuple[PersonSet, Predictions]) -> None:
    benchmark.pedantic(run_arrays, data, rounds=1)


@pytest.mark.benchmark(group="1000 replicates")
def test_replicates_arrays(benchmark: Any, data: tuple[PersonSet, Predictions]) -> None:
    benchmark.pedantic(intervals, (evaluate(*data), REPLICATES), rounds=1)


@pytest.mark.benchmark(group="5 replicates")
def test_five_replicates_arrays(benchmark: Any, data: tuple[PersonSet, Predictions]) -> None:
    benchmark.pedantic(some_replicates, (evaluate(*data),), rounds=3)


@pytest.mark.benchmark(group="5 replicates")
def test_five_replicates_pycocotools(benchmark: Any, data: tuple[PersonSet, Predictions]) -> None:
    benchmark.pedantic(plain_replicates, (run_arrays(*data),), rounds=1)


def some_replicates(evaluation: Evaluation) -> None:
    rng = np.random.default_rng(0)
    for _ in range(PLAIN_REPLICATES):
        evaluation.weighted(rng.multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES)))


def plain_replicates(evaluation: COCOeval) -> None:
    rng, whole = np.random.default_rng(0), evaluation.evalImgs
    for _ in range(PLAIN_REPLICATES):
        drawn = rng.integers(IMAGES, size=IMAGES)
        evaluation.evalImgs = [whole[area * IMAGES + i] for area in range(3) for i in drawn]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
            evaluation.summarize()
    evaluation.evalImgs = whole
