"""A perfect network: it answers every crop with the very maps it would have been trained to answer.

Annotated joints go through crop, encoding, flip merge, decoding and back to the image, as a prediction does; no image
and no network is needed. B persons, J joints, N all persons; coordinates are (x, y), sizes (h, w).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpe_bench.data.crops import apply_affine, box_to_affine, invert_affine
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import Codec

BATCH = 100  # persons whose maps are held at a time


@dataclass(frozen=True)
class Condition:
    """Under what a codec is tried. The box is moved by `shift` of its own size on both axes and then scaled."""

    heatmap_hw: tuple[int, int]
    flip: bool = False
    shift: float = 0.0
    scale: float = 1.0

    @property
    def text(self) -> str:
        """The scope of a measurement: what differs from the annotated box without flip."""
        told = [f"maps of {self.heatmap_hw[0]}x{self.heatmap_hw[1]}"]
        told += ["flip merged"] * self.flip
        told += [f"box shifted by {100 * self.shift:g} %"] if self.shift else []
        told += [f"box scaled by {self.scale:g}"] if self.scale != 1 else []
        return ", ".join(told)


def perfect_maps(
    codec: Codec,
    joints_BJ2: Tensor,
    labelled_BJ: Tensor,
    skeleton: Skeleton,
    input_hw: tuple[int, int],
    heatmap_hw: tuple[int, int],
    flip: bool,
) -> Tensor:
    """Target maps [B,J,h,w] of joints in input pixels; with `flip`, averaged with those of the mirrored input."""
    maps_BJHW, _ = codec.encode(joints_BJ2, labelled_BJ, input_hw, heatmap_hw)
    if not flip:
        return maps_BJHW
    order = list(skeleton.mirrored())
    x_BJ, y_BJ = joints_BJ2[:, order].unbind(-1)
    mirrored_BJ2 = torch.stack((input_hw[1] - 1 - x_BJ, y_BJ), dim=-1)
    mirrored_BJHW, _ = codec.encode(mirrored_BJ2, labelled_BJ[:, order], input_hw, heatmap_hw)
    return 0.5 * (maps_BJHW + codec.unflip(mirrored_BJHW, skeleton.flip_pairs))


def read_back(
    codec: Codec,
    joints_NJ2: np.ndarray,
    labelled_NJ: np.ndarray,
    skeleton: Skeleton,
    input_hw: tuple[int, int],
    condition: Condition,
) -> tuple[np.ndarray, np.ndarray]:
    """Joints [N,J,2] in input pixels and scores [N,J] (float32) that the codec reads from perfect maps of joints."""
    joints, scores = [], []
    for start in range(0, len(joints_NJ2), BATCH):
        rows = slice(start, start + BATCH)
        joints_BJ2 = torch.from_numpy(joints_NJ2[rows].astype(np.float32))
        labelled_BJ = torch.from_numpy(labelled_NJ[rows].astype(np.float32))
        maps_BJHW = perfect_maps(
            codec, joints_BJ2, labelled_BJ, skeleton, input_hw, condition.heatmap_hw, condition.flip
        )
        found_BJ2, peak_BJ = codec.decode(maps_BJHW, input_hw)
        joints.append(found_BJ2.numpy())
        scores.append(peak_BJ.numpy())
    return np.concatenate(joints), np.concatenate(scores)


def oracle_joints(
    persons: PersonSet, codec: Codec, condition: Condition, input_hw: tuple[int, int], padding: float
) -> tuple[np.ndarray, np.ndarray]:
    """Joints [N,J,2] in image pixels and scores [N,J] of a perfect network for every person."""
    boxes_N4 = jittered(persons.box, condition.shift, condition.scale)
    to_input_N23 = box_to_affine(boxes_N4, input_hw, padding)
    joints_img = np.where(persons.labelled[..., None], persons.joints, 0.0)
    joints_in = apply_affine(to_input_N23, joints_img)
    found_in, scores = read_back(codec, joints_in, persons.labelled, persons.skeleton, input_hw, condition)
    return apply_affine(invert_affine(to_input_N23), found_in), scores


def jittered(box_N4: np.ndarray, shift: float, scale: float) -> np.ndarray:
    """Boxes (x, y, w, h) moved by `shift` of their size on both axes and scaled about their centres.

    The four diagonal directions take turns from person to person, so that nothing is random.
    """
    size_N2 = box_N4[:, 2:]
    direction_N2 = np.array([(1, 1), (-1, -1), (1, -1), (-1, 1)])[np.arange(len(box_N4)) % 4]
    centre_N2 = box_N4[:, :2] + size_N2 / 2 + shift * size_N2 * direction_N2
    return np.concatenate([centre_N2 - scale * size_N2 / 2, scale * size_N2], axis=1)
