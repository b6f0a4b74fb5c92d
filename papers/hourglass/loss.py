"""Losses of the stacked hourglass: Newell's squared error, and the control without intermediate supervision.

The suite's `HeatmapMSE` supervises every stack, too; it differs from Newell's by a factor of one half and by masking
joints that have no annotation.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.declare import STRICT, Batch, Codec, Loss


@dataclass(frozen=True, config=STRICT)
class NewellMSE(Loss):
    """Mean of (z - y)^2 over batch, joints and pixels, summed over the stacks with equal weights (authors' code).

    A joint without annotation is not masked: its target is an empty map.
    """

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        terms = []
        for raw_BJHW in outputs:
            heatmap_hw = (int(raw_BJHW.shape[-2]), int(raw_BJHW.shape[-1]))
            target_BJHW, _ = codec.encode(batch.joints_BJ2, batch.labelled_BJ, batch.input_hw, heatmap_hw)
            terms.append((raw_BJHW - target_BJHW).square().mean())
        return sum(terms[1:], start=terms[0])

    def activate(self, raw_BJHW: Tensor) -> Tensor:
        return raw_BJHW


@dataclass(frozen=True, config=STRICT)
class FinalOnly(Loss):
    """Control: another loss on the last output alone, so that no stack but the last is supervised directly."""

    loss: Loss

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        return self.loss(outputs[-1:], batch, codec)

    def activate(self, raw_BJHW: Tensor) -> Tensor:
        return self.loss.activate(raw_BJHW)
