"""How fast this machine is at what a training asks of it: arithmetic, decoding of stored crops, writing to the disk.

`reproduce --scale full --dry-run` measures the training itself, where these say what holds it up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from hpe_bench.data.crop_store import QUALITY
from hpe_bench.data.crops import crop_hw
from hpe_bench.files import workspace
from hpe_bench.run.training import TRAIN_CONTEXT
from hpe_bench.timing.subjects import MACS, PeakSubject

SECONDS = 0.7  # of each measurement
WRITTEN_BYTES = 256 * 2**20
CROP_OF = (256, 192)  # the input whose stored crops are decoded


def gmacs_per_s(threads: int) -> float:
    """Of a 3x3 convolution in float32, on so many threads."""
    before = torch.get_num_threads()
    try:
        conv = PeakSubject(threads).prepare().parts["conv"]
        return MACS["conv"] / 1e9 / seconds_a_call(conv)
    finally:
        torch.set_num_threads(before)


def gpu_gmacs_per_s(device: str = "cuda") -> float:
    """Of a bfloat16 matrix product that fills a GPU."""
    side = 8192
    left, right = torch.randn(2, side, side, device=device, dtype=torch.bfloat16)

    def product() -> None:
        torch.mm(left, right)
        torch.cuda.synchronize()

    return side**3 / 1e9 / seconds_a_call(product)


def decodes_per_s() -> float:
    """Stored training crops that one core decodes in a second."""
    height, width = crop_hw(CROP_OF, TRAIN_CONTEXT)
    coarse = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    _, data = cv2.imencode(".jpg", cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), QUALITY)
    return 1 / seconds_a_call(lambda: cv2.imdecode(data, cv2.IMREAD_COLOR))


def written_bytes_per_s(folder: Path) -> float:
    """To a file in a folder, until it lies on the disk."""
    block = np.random.default_rng(0).bytes(2**20)
    with workspace(folder) as room:
        began = time.perf_counter()
        with (room / "written").open("wb") as file:
            for _ in range(WRITTEN_BYTES // len(block)):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        return WRITTEN_BYTES / (time.perf_counter() - began)


def seconds_a_call(call: Callable[[], object]) -> float:
    """The median of calls within `SECONDS`, after one to warm up."""
    call()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times))
