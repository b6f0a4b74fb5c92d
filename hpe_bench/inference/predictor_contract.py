"""What every predictor must do, tried out: it answers as it declares, the same twice, and each crop by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.data.crops import CropSet
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.inference.predictor_process import opened
from hpe_bench.inference.predictors import Answered, Estimator

PLACEHOLDER = "REPLACE"
CODEC = Gaussian(sigma_px=2.0, centre="rounded", decoder="quarter")
SAME_PX = 0.5  # by which an answer may depend on what else is in the batch: sums in another order, no more
IMAGE_HW, BOXES = (240, 320), np.array([[40.0, 30, 80, 160], [150.0, 20, 90, 200], [10.0, 5, 60, 60]])


def unfilled(file: Path) -> list[str]:
    """The lines that still hold a placeholder, as `file:line: text`."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [f"{file.name}:{n}: {line.strip()}" for n, line in enumerate(lines, 1) if PLACEHOLDER in line]


def problems(where: str) -> list[str]:
    """What is wrong with the predictor at `FILE.py:function`, in sentences; none if it keeps the contract."""
    try:
        estimator = opened(where)
        answers = [_answer(estimator, rows) for rows in ([0, 1, 2], [0, 1, 2], [1])]
    except ValueError as error:
        return [str(error)]
    (first, scores), (again, _), (alone, _) = answers
    found = []
    if not np.array_equal(first, again):
        found.append("the same input gives another answer the second time; fix its seed, and keep no state")
    if np.abs(alone[0] - first[1]).max() > SAME_PX:
        found.append(f"an answer moves by more than {SAME_PX} px with what else is asked in the same call")
    if (scores < 0).any():
        found.append("a score is negative; scores rise with confidence, from 0 on")
    return found


def _answer(estimator: Estimator, rows: list[int]) -> Answered:
    """Joints and scores of some of three fixed noise inputs."""
    own = Skeleton("its own", estimator.predictor.names, (), (), ())
    if estimator.input_hw is None:
        return estimator.on_image(_noise(1, IMAGE_HW)[0], BOXES[rows], "an image of noise", own)
    pixels, joints = _noise(len(BOXES), estimator.input_hw)[rows], len(own.joints)
    nobody = np.zeros((len(rows), joints), bool)
    plain = np.tile(np.eye(2, 3), (len(rows), 1, 1))
    crops = CropSet(
        pixels, np.zeros((len(rows), joints, 2), np.float32), nobody, nobody, plain, estimator.input_hw, 1.0
    )
    return estimator.on_crops(crops, CODEC, None, "crops of noise", own)


def _noise(count: int, hw: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *hw, 3), np.uint8)
