"""Speed of the mannequin renderer: `pytest benchmarks/bench_mannequins.py --benchmark-only`.

The plain number is `extra_info["persons_per_s"]` of `bench_scenes`: annotated persons, rendered and with their
truth, per second of CPU time of one process (other load on the machine moves it less than wall time); the median of
three rounds. The depth of a limb stands beside a plain reference.
"""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hpe_bench.data.mannequins import raycast, render

SCENES = range(60)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    cv2.setNumThreads(1)


def limb() -> tuple[raycast.Solids, np.ndarray, np.ndarray]:
    """A thigh of a person 150 px tall: a window of about 30 x 45 pixels."""
    solids = raycast.Solids(
        np.array([(0.1, -0.2, 4.0)]),
        np.array([(0.15, 0.38, 0.1)]),
        np.array([0.09]),
        np.array([-0.03]),
        np.eye(3)[None],
    )
    camera = raycast.Camera(350.0, (144.0, 112.0), (224, 288), np.eye(3))
    x, y = camera.rays()
    x0, y0, x1, y1 = solids.windows(camera)[0]
    return solids, x[None, x0:x1], y[y0:y1, None]


def plain_depth(solids: raycast.Solids, x_1W: np.ndarray, y_H1: np.ndarray, spheres: int = 64) -> np.ndarray:
    """Reference: the nearest of many spheres along the limb."""
    depth = np.full((len(y_H1), x_1W.shape[1]), np.inf)
    dd = x_1W**2 + y_H1**2 + 1
    for s in np.linspace(0, 1, spheres):
        centre, radius = solids.start[0] + s * solids.span[0], solids.radius[0] + s * solids.growth[0]
        dc = x_1W * centre[0] + y_H1 * centre[1] + centre[2]
        disc = dc**2 - dd * (centre @ centre - radius**2)
        depth = np.minimum(depth, np.where(disc > 0, (dc - np.sqrt(np.maximum(disc, 0))) / dd, np.inf))
    return depth


def bench_scenes(benchmark: BenchmarkFixture) -> None:
    rates = []

    def scenes() -> None:
        started = time.process_time()
        persons = sum(int(render(i).annotated.sum()) for i in SCENES)
        rates.append(persons / (time.process_time() - started))

    benchmark.pedantic(scenes, rounds=3, warmup_rounds=1)
    benchmark.extra_info["persons_per_s"] = float(np.median(rates[1:]))
    print(f"\n{benchmark.extra_info['persons_per_s']:.0f} persons/s of CPU time")


def bench_limb_depth(benchmark: BenchmarkFixture) -> None:
    solids, x, y = limb()
    with np.errstate(invalid="ignore"):
        depth = benchmark(raycast.solid_depth, solids, 0, x, y)
    expected = plain_depth(solids, x, y)
    both = np.isfinite(depth) & np.isfinite(expected)
    assert both.sum() > 100
    assert np.median(np.abs(depth[both] - expected[both])) < 1e-3


def bench_limb_depth_plain(benchmark: BenchmarkFixture) -> None:
    solids, x, y = limb()
    benchmark(plain_depth, solids, x, y)
