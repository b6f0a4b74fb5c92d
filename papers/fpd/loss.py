"""The distillation loss: heatmaps of a student against those of its teacher and against the ground truth.

The teacher's final heatmaps are a target of every stack of the student, beside the ground truth (Figure 1; the authors'
released code).

B batch, J joints, H W heatmap rows and columns.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.declare import STRICT, Batch, Codec, Loss


@dataclass(frozen=True, config=STRICT)
class DistillationMSE(Loss):
    """alpha * MSE(student, teacher) + (1 - alpha) * MSE(student, ground truth), summed over the student's stacks.

    Each MSE is 0.5 * mean over batch, joints and pixels, as in `HeatmapMSE`. Joints that the codec gives no weight are
    masked out of both terms (released code). An image without a single labelled joint counts as unlabelled: there the
    teacher speaks alone, on every joint and with weight 1.
    """

    needs_teacher: ClassVar[bool] = True
    alpha: float = 0.5  # weight of the teacher

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"distillation: alpha is {self.alpha}; give the teacher's weight, between 0 and 1")

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        """Scalar loss of the student's raw outputs; they must be of the size of the teacher's heatmaps."""
        teacher_BJHW = batch.teacher_BJHW
        assert teacher_BJHW is not None, "the batch carries no teacher's heatmaps"
        heatmap_hw = (int(teacher_BJHW.shape[-2]), int(teacher_BJHW.shape[-1]))
        target_BJHW, weight_BJ = codec.encode(batch.joints_BJ2, batch.labelled_BJ, batch.input_hw, heatmap_hw)
        labelled_B1 = batch.labelled_BJ.any(dim=1, keepdim=True)
        by_teacher_BJ = torch.where(labelled_B1, self.alpha * weight_BJ, 1.0)[..., None, None]
        by_truth_BJ = ((1 - self.alpha) * weight_BJ)[..., None, None]
        fixed_BJHW = teacher_BJHW.detach()
        terms = []
        for raw_BJHW in outputs:
            assert raw_BJHW.shape == fixed_BJHW.shape, "student and teacher differ in the size of their heatmaps"
            from_teacher, from_truth = (raw_BJHW - fixed_BJHW).square(), (raw_BJHW - target_BJHW).square()
            terms.append(0.5 * (by_teacher_BJ * from_teacher + by_truth_BJ * from_truth).mean())
        return sum(terms[1:], start=terms[0])

    def activate(self, raw_BJHW: Tensor) -> Tensor:
        """The student's output is the heatmap itself."""
        return raw_BJHW
