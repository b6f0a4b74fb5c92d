"""Reference outputs of other people's networks, and the rule that gives both sides the same weights.

A case is `tests/data/<name>.json` (parameter names and shapes of a released state dict, input size, gain) and
`<name>.npz` (what the foreign network answers). Weights are drawn by a generator seeded with the CRC-32 of each
parameter's name, the input by one seeded with 0, so that no weights need to be stored.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

DATA = Path(__file__).parent / "data"
TOLERANCE = 1e-4  # of the reference's standard deviation


@dataclass(frozen=True)
class Case:
    """Weights under their released names, the input [1,3,H,W], the reference outputs by name, the parameter count."""

    weights: dict[str, Tensor]
    image: Tensor
    outputs: dict[str, np.ndarray]
    params: int


def load(name: str) -> Case:
    """The stored case `name`, with its weights filled in."""
    case = json.loads((DATA / f"{name}.json").read_text())
    with np.load(DATA / f"{name}.npz") as stored:
        outputs = dict(stored)
    weights = {
        key: torch.from_numpy(fill(key, tuple(shape), case["gain"])) for key, shape in case["state_dict"].items()
    }
    image = np.random.default_rng(0).standard_normal((1, 3, *case["input_hw"])).astype(np.float32)
    return Case(weights, torch.from_numpy(image), outputs, case["params"])


def fill(key: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """Values for one parameter or buffer: unit-scale statistics, and weights of variance gain^2 / fan-in."""
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    shift = key.endswith((".bias", ".running_mean"))
    scale = key.endswith(".running_var") or (len(shape) == 1 and not shift)
    if shift:
        values = 0.1 * rng.standard_normal(shape)
    elif scale:
        values = rng.uniform(0.5, 1.5, shape)
    else:
        values = gain * rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
    return values.astype(np.float32)


def assert_agrees(ours: Tensor, theirs: np.ndarray) -> None:
    """Equal shapes, and no value further apart than `TOLERANCE` standard deviations of the reference."""
    assert tuple(ours.shape) == theirs.shape
    apart = float(np.abs(ours.detach().numpy() - theirs).max())
    assert apart <= TOLERANCE * float(theirs.std()), f"{apart:.3g} apart, standard deviation {theirs.std():.3g}"
