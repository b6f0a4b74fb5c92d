"""CPN's losses: L2 on every level of GlobalNet, L2 on RefineNet's hardest keypoints (paper, section 3.2; both codes).

B batch, J joints, H W heatmap rows and columns. GlobalNet is asked for visible joints only: the map of a joint that is
occluded or not annotated has an empty target, and all maps count. RefineNet is asked for every annotated joint; the
others are left out (weight 0).
"""

from __future__ import annotations

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.declare import STRICT, Batch, Codec, Loss

GLOBAL_WEIGHT = 0.5  # the first author's code: half of the mean over the levels; the port sums over them


@dataclass(frozen=True, config=STRICT)
class GlobalL2(Loss):
    """GlobalNet alone: its weight times the mean over levels, batch, joints and pixels of (z - y [visible])^2.

    `level_codecs` give the targets of the levels from C5 to C2: the coarser the level, the wider its Gaussian. The
    recipe's own codec decodes. `peak` is the height of the targets; codecs encode peak 1 and `activate` divides it out.
    """

    level_codecs: tuple[Codec, ...]
    peak: float = 255.0

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        return GLOBAL_WEIGHT * global_l2(outputs, batch, self.level_codecs, self.peak)

    def activate(self, raw_BJHW: Tensor) -> Tensor:
        return raw_BJHW / self.peak


@dataclass(frozen=True, config=STRICT)
class GlobalAndRefine(Loss):
    """CPN's loss: GlobalNet's as above, plus RefineNet's mean squared error over the `hard_joints` worst of a person.

    `hard_joints` is the paper's M: 8 of 17 in the published setting; with M = J nothing is mined and the loss is plain
    L2. `global_weight` is 0 where GlobalNet is not supervised (Table 7).
    """

    level_codecs: tuple[Codec, ...]
    hard_joints: int = 8
    global_weight: float = GLOBAL_WEIGHT
    peak: float = 255.0

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        *levels, refined = outputs
        easy = self.global_weight * global_l2(levels, batch, self.level_codecs, self.peak)
        return easy + hard_keypoint_l2(refined, batch, codec, self.peak, self.hard_joints)

    def activate(self, raw_BJHW: Tensor) -> Tensor:
        return raw_BJHW / self.peak


def global_l2(levels: list[Tensor], batch: Batch, codecs: tuple[Codec, ...], peak: float) -> Tensor:
    """Mean over levels, batch, joints and pixels of the squared error to the visible joints' targets."""
    terms = []
    for raw_BJHW, codec in zip(levels, codecs, strict=True):
        target_BJHW, _ = codec.encode(batch.joints_BJ2, batch.labelled_BJ, batch.input_hw, size_hw(raw_BJHW))
        terms.append((raw_BJHW - peak * target_BJHW * batch.visible_BJ[..., None, None]).square().mean())
    return torch.stack(terms).mean()


def hard_keypoint_l2(raw_BJHW: Tensor, batch: Batch, codec: Codec, peak: float, hard_joints: int) -> Tensor:
    """Online hard keypoint mining: per person, the mean of the `hard_joints` largest of its joints' mean errors.

    Joints without a target count as error 0, so a person with fewer than M annotated joints has a smaller loss. Where a
    skeleton has fewer than M joints all are mined (LSP has 14, the paper's M goes to 17).
    """
    target_BJHW, weight_BJ = codec.encode(batch.joints_BJ2, batch.labelled_BJ, batch.input_hw, size_hw(raw_BJHW))
    error_BJ = (raw_BJHW - peak * target_BJHW).square().mean(dim=(2, 3)) * weight_BJ
    return error_BJ.topk(min(hard_joints, error_BJ.shape[1]), dim=1).values.mean()


def size_hw(maps_BJHW: Tensor) -> tuple[int, int]:
    """Rows and columns of the maps."""
    return int(maps_BJHW.shape[-2]), int(maps_BJHW.shape[-1])
