"""Codec hot paths on 256 persons of 17 maps of 64x48, one CPU thread, each beside a plain loop over joints.

    pytest -o addopts= benchmarks/bench_codecs.py --benchmark-group-by=group

The loops say what the batched code must answer; the tests hold the two against each other.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.codecs.integral import Integral

PERSONS, JOINTS = 256, 17
HEATMAP_HW, INPUT_HW = (64, 48), (256, 192)


# ---------------------------------------------------------------------------------------------------- plain loops


def loop_targets(joints_BJ2: np.ndarray, labelled_BJ: np.ndarray, sigma_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Rounded Gaussian targets, one patch per joint (the rule of the SimpleBaseline and HRNet code)."""
    height, width = HEATMAP_HW
    reach = 3 * sigma_px
    maps = np.zeros((*joints_BJ2.shape[:2], height, width), dtype=np.float32)
    weights = (labelled_BJ > 0).astype(np.float32)
    for b, j in np.ndindex(weights.shape):
        x = int(joints_BJ2[b, j, 0] * width / INPUT_HW[1] + 0.5)
        y = int(joints_BJ2[b, j, 1] * height / INPUT_HW[0] + 0.5)
        if x - reach >= width or y - reach >= height or x + reach + 1 < 0 or y + reach + 1 < 0:
            weights[b, j] = 0
        if weights[b, j]:
            grid = np.arange(2 * reach + 1, dtype=np.float32)  # drawn anew for every joint, as those codes do
            patch = np.exp(-((grid - reach) ** 2 + (grid[:, None] - reach) ** 2) / (2 * sigma_px**2))
            x0, x1 = max(x - reach, 0), max(min(x + reach + 1, width), 0)
            y0, y1 = max(y - reach, 0), max(min(y + reach + 1, height), 0)
            part = patch[y0 - y + reach : y1 - y + reach, x0 - x + reach : x1 - x + reach]
            maps[b, j, y0:y1, x0:x1] = part
    return maps, weights


def loop_quarter(maps_BJHW: np.ndarray) -> np.ndarray:
    """Peaks with a quarter step in heatmap pixels, one joint at a time; (0, 0) where the peak is not positive."""
    height, width = maps_BJHW.shape[-2:]
    found = np.zeros((*maps_BJHW.shape[:2], 2), dtype=np.float32)
    for b, j in np.ndindex(maps_BJHW.shape[:2]):
        heat = maps_BJHW[b, j]
        y, x = divmod(int(np.argmax(heat)), width)
        if heat[y, x] > 0:
            found[b, j] = x, y
            if 1 < x < width - 1 and 1 < y < height - 1:
                step = np.array([heat[y, x + 1] - heat[y, x - 1], heat[y + 1, x] - heat[y - 1, x]])
                found[b, j] += 0.25 * np.sign(step)
    return found


def loop_dark(maps_BJHW: np.ndarray, kernel_px: int) -> np.ndarray:
    """DARK in heatmap pixels, one joint at a time: blur the whole map, rescale, log, Taylor step."""
    height, width = maps_BJHW.shape[-2:]
    edge = kernel_px // 2
    found = np.zeros((*maps_BJHW.shape[:2], 2), dtype=np.float32)
    for b, j in np.ndindex(maps_BJHW.shape[:2]):
        raw = maps_BJHW[b, j]
        y, x = divmod(int(np.argmax(raw)), width)
        if raw[y, x] <= 0:
            continue
        found[b, j] = x, y
        blurred = cv2.GaussianBlur(np.pad(raw, edge).astype(np.float64), (kernel_px, kernel_px), 0)
        blurred = blurred[edge : edge + height, edge : edge + width]
        if 1 < x < width - 2 and 1 < y < height - 2:
            h = np.log(np.maximum(blurred * raw.max() / blurred.max(), 1e-10))
            gradient = np.array([h[y, x + 1] - h[y, x - 1], h[y + 1, x] - h[y - 1, x]]) / 2
            xx = (h[y, x + 2] - 2 * h[y, x] + h[y, x - 2]) / 4
            yy = (h[y + 2, x] - 2 * h[y, x] + h[y - 2, x]) / 4
            xy = (h[y + 1, x + 1] - h[y - 1, x + 1] - h[y + 1, x - 1] + h[y - 1, x - 1]) / 4
            if xx * yy - xy * xy != 0:
                found[b, j] -= np.linalg.inv([[xx, xy], [xy, yy]]) @ gradient
    return found


def loop_integral(maps_BJHW: np.ndarray) -> np.ndarray:
    """Expectations in heatmap pixels, one joint at a time, of maps that need not be normalised."""
    rows, columns = np.mgrid[: maps_BJHW.shape[2], : maps_BJHW.shape[3]]
    found = np.zeros((*maps_BJHW.shape[:2], 2), dtype=np.float32)
    for b, j in np.ndindex(maps_BJHW.shape[:2]):
        heat = maps_BJHW[b, j] / maps_BJHW[b, j].sum()
        found[b, j] = (heat * columns).sum(), (heat * rows).sum()
    return found


# ---------------------------------------------------------------------------------------------------- benchmarks


def persons(count: int = PERSONS, noise: float = 0.01, absent: float = 0.05) -> dict[str, Any]:
    """Joints in input pixels, and noisy maps of them; `absent` is the share of joints whose map is noise alone."""
    rng = np.random.default_rng(0)
    joints = rng.uniform((0, 0), (INPUT_HW[1], INPUT_HW[0]), (count, JOINTS, 2)).astype(np.float32)
    labelled = (rng.random((count, JOINTS)) > absent).astype(np.float32)
    args = torch.from_numpy(joints), torch.from_numpy(labelled), INPUT_HW, HEATMAP_HW
    maps, _ = Gaussian(centre="exact").encode(*args)
    maps += torch.from_numpy(rng.normal(0, noise, tuple(maps.shape)).astype(np.float32))
    return {"joints": joints, "labelled": labelled, "encode": args, "maps": maps}


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return persons()


@pytest.mark.benchmark(group="quarter")
def test_quarter_batched(benchmark: Any, data: dict[str, Any]) -> None:
    benchmark(Gaussian().decode, data["maps"], INPUT_HW)


@pytest.mark.benchmark(group="quarter")
def test_quarter_loop(benchmark: Any, data: dict[str, Any]) -> None:
    benchmark(loop_quarter, data["maps"].numpy())


@pytest.mark.benchmark(group="dark")
def test_dark_batched(benchmark: Any, data: dict[str, Any]) -> None:
    benchmark(Gaussian(decoder="dark").decode, data["maps"], INPUT_HW)


@pytest.mark.benchmark(group="dark")
def test_dark_loop(benchmark: Any, data: dict[str, Any]) -> None:
    benchmark(loop_dark, data["maps"].numpy(), 11)


@pytest.mark.benchmark(group="targets")
def test_targets_batched(benchmark: Any, data: dict[str, Any]) -> None:
    benchmark(Gaussian().encode, *data["encode"])


@pytest.mark.benchmark(group="targets")
def test_targets_loop(benchmark: Any, data: dict[str, Any]) -> None:
    benchmark(loop_targets, data["joints"], data["labelled"], 2)


@pytest.mark.benchmark(group="integral")
def test_integral_batched(benchmark: Any, data: dict[str, Any]) -> None:
    benchmark(Integral().decode, data["maps"].clamp_min(1e-6), INPUT_HW)


@pytest.mark.benchmark(group="integral")
def test_integral_loop(benchmark: Any, data: dict[str, Any]) -> None:
    benchmark(loop_integral, data["maps"].clamp_min(1e-6).numpy())
