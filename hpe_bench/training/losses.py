"""Losses shared by several papers, and the reduction they have in common.

B batch, J joints, H W heatmap rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.declare import STRICT, Batch, Codec, Loss

__all__ = ["HeatmapMSE", "mean_over_maps"]


def mean_over_maps(
    per_pixel: Callable[[Tensor, Tensor], Tensor], outputs: list[Tensor], batch: Batch, codec: Codec
) -> Tensor:
    """Mean of `per_pixel(raw, target)` over batch, joints and pixels, summed over the outputs.

    Targets are encoded at each output's own size. Joints without a target count as zero loss in the mean: the weight
    multiplies the loss, never the raw output, for which zero would be a statement (a probability of one half).
    """
    terms = []
    for raw_BJHW in outputs:
        heatmap_hw = (int(raw_BJHW.shape[-2]), int(raw_BJHW.shape[-1]))
        target_BJHW, weight_BJ = codec.encode(batch.joints_BJ2, batch.labelled_BJ, batch.input_hw, heatmap_hw)
        terms.append((per_pixel(raw_BJHW, target_BJHW) * weight_BJ[..., None, None]).mean())
    return sum(terms[1:], start=terms[0])


@dataclass(frozen=True, config=STRICT)
class HeatmapMSE(Loss):
    """Half the squared error of a linear output: 0.5 * mean (z - y)^2 (SimpleBaseline, released code)."""

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        return mean_over_maps(lambda z, y: 0.5 * (z - y).square(), outputs, batch, codec)

    def activate(self, raw_BJHW: Tensor) -> Tensor:
        return raw_BJHW
