"""Prediction: batches of crops through a model, flip test, decode, back to image pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from hpe_bench.data.augmentation import to_batch
from hpe_bench.data.crops import CropSet, apply_affine
from hpe_bench.declare import Codec

BATCH = 50


@torch.inference_mode()
def predict(
    model: nn.Module,
    crops: CropSet,
    codec: Codec,
    activate: Callable[[Tensor], Tensor],
    *,
    flip_pairs: tuple[tuple[int, int], ...] | None,
    rows: np.ndarray | None = None,
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Joints [N,J,2] in image pixels and scores [N,J] (float32) for the given rows of a crop set.

    `flip_pairs` switches the flip test on: maps of the mirrored crops, brought back by the codec, are averaged with the
    plain ones after activation (F7, F8). Every row is predicted exactly once (F23).
    """
    rows = np.arange(len(crops.joints)) if rows is None else rows
    model.eval()
    joints, scores = [], []
    for start in range(0, len(rows), BATCH):
        chunk = rows[start : start + BATCH]
        images = to_batch(torch.from_numpy(np.ascontiguousarray(crops.pixels[chunk])).to(device))
        maps = merged_maps(model, images, codec, activate, flip_pairs)
        joints_in, peak = codec.decode(maps, crops.input_hw)
        joints.append(apply_affine(crops.to_image[chunk], joints_in.cpu().numpy()))
        scores.append(peak.cpu().numpy())
    if not joints:
        raise ValueError("nothing to predict: the crop set is empty")
    return np.concatenate(joints).astype(np.float32), np.concatenate(scores).astype(np.float32)


@torch.inference_mode()
def largest_maps(
    model: nn.Module,
    crops: CropSet,
    codec: Codec,
    activate: Callable[[Tensor], Tensor],
    *,
    flip_pairs: tuple[tuple[int, int], ...] | None,
    rows: np.ndarray,
    device: str = "cpu",
) -> np.ndarray:
    """The maximum over joints of the maps that `predict` decodes, [R,h,w] float32, for a few rows."""
    model.eval()
    images = to_batch(torch.from_numpy(np.ascontiguousarray(crops.pixels[rows])).to(device))
    maps = merged_maps(model, images, codec, activate, flip_pairs)
    return maps.amax(dim=1).float().cpu().numpy()


def merged_maps(
    model: nn.Module,
    images_B3HW: Tensor,
    codec: Codec,
    activate: Callable[[Tensor], Tensor],
    flip_pairs: tuple[tuple[int, int], ...] | None,
) -> Tensor:
    """Activated heatmaps [B,J,h,w] of the model's final output, flip-averaged if `flip_pairs` is given."""
    images_B3HW = images_B3HW.contiguous(memory_format=torch.channels_last)
    maps = activate(model(images_B3HW)[-1])
    if flip_pairs is None:
        return maps
    mirrored = activate(model(images_B3HW.flip(-1))[-1])
    return 0.5 * (maps + codec.unflip(mirrored, flip_pairs))
