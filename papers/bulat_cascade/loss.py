"""Detection on discs and regression on Gaussians: two outputs with targets of their own.

The losses are the paper's (per-pixel sigmoid cross-entropy; squared error), known through a reading note. How they are
added up is our reading: means over batch, joints and pixels with equal weight. Sums over pixels and means over joints,
as we recollect the paper, have the same ratio.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.codecs.disc import Disc
from hpe_bench.declare import STRICT, Batch, Codec, Loss
from hpe_bench.training.losses import mean_over_maps

Occluded = Literal["absent", "drawn"]
"""Whether a joint that is labelled but not visible has a disc. The paper wants the detector unsure of occluded parts,
so that the regressor leans on context (abstract); "absent" is our reading of how: its map is empty."""


@dataclass(frozen=True, config=STRICT)
class DiscCrossEntropy(Loss):
    """A detector alone: sigmoid cross-entropy of every pixel of every output with the joint's disc."""

    disc: Disc
    occluded: Occluded = "absent"

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        """The targets come from `disc`; `codec`, the recipe's, is what the maps are decoded with."""
        terms = [self._of_one(logits_BJHW, batch) for logits_BJHW in outputs]
        return sum(terms[1:], start=terms[0])

    def _of_one(self, logits_BJHW: Tensor, batch: Batch) -> Tensor:
        heatmap_hw = (int(logits_BJHW.shape[-2]), int(logits_BJHW.shape[-1]))
        target_BJHW, weight_BJ = self.disc.encode(batch.joints_BJ2, batch.labelled_BJ, batch.input_hw, heatmap_hw)
        if self.occluded == "absent":
            target_BJHW = target_BJHW * batch.visible_BJ[..., None, None]
        per_pixel = F.binary_cross_entropy_with_logits(logits_BJHW, target_BJHW, reduction="none")
        return (per_pixel * weight_BJ[..., None, None]).mean()

    def activate(self, raw_BJHW: Tensor) -> Tensor:
        return raw_BJHW.sigmoid()


@dataclass(frozen=True, config=STRICT)
class DetectionPart(Loss):
    """`detection` on every output but the last."""

    detection: DiscCrossEntropy

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        return self.detection(outputs[:-1], batch, codec)

    def activate(self, raw_BJHW: Tensor) -> Tensor:
        """The last output is no heatmap yet; it is only looked at to draw the training's curve."""
        return raw_BJHW


@dataclass(frozen=True, config=STRICT)
class RegressionPart(Loss):
    """Squared error with the recipe's codec on the last output."""

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        return mean_over_maps(lambda z, y: (z - y).square(), outputs[-1:], batch, codec)

    def activate(self, raw_BJHW: Tensor) -> Tensor:
        return raw_BJHW


@dataclass(frozen=True, config=STRICT)
class CascadeLoss(Loss):
    """Both parts, with equal weights: the loss of joint training."""

    detection: DiscCrossEntropy

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        assert len(outputs) > 1, "a cascade returns detection maps before its heatmaps"
        return DetectionPart(self.detection)(outputs, batch, codec) + RegressionPart()(outputs, batch, codec)

    def activate(self, raw_BJHW: Tensor) -> Tensor:
        return raw_BJHW
