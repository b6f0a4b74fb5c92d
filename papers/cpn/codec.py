"""CPN's targets and decoder, as both codes have them: heatmap cells, OpenCV's blur, the way to the second maximum.

A cell covers `stride` input pixels: joints are floored into it on the way in and come back as its centre, stride * (x +
1/2). B batch, J joints, H W heatmap rows and columns; coordinates are (x, y).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.codecs.maps import peaks, read, unflip_maps
from hpe_bench.declare import STRICT, Codec

DECODE_BLUR_PX = 21  # heatmap pixels; OpenCV's automatic sigma, 3.5
STEP_PX = 0.25  # from the maximum towards the second one
CONFIDENCE_OFFSET = 0.5  # both codes add it before they average the 17 confidences (F10)


@dataclass(frozen=True, config=STRICT)
class BlurredCell(Codec):
    """Target: 1 in the joint's cell, blurred by OpenCV with `kernel_px` taps and automatic sigma, rescaled to peak 1.

    OpenCV's kernels of up to 7 taps are fixed tables, not the documented formula, and its mirrored border can push the
    peak of a joint in the second row or column onto the first (F6). The flip test does not shift (F7).
    """

    kernel_px: int  # heatmap pixels, odd: 15, 11, 9, 7 for 64x48 maps and 23, 17, 13, 9 for 96x72

    def __post_init__(self) -> None:
        if self.kernel_px < 1 or self.kernel_px % 2 == 0:
            raise ValueError(f"BlurredCell codec: kernel_px is {self.kernel_px}; give an odd number of heatmap pixels")

    def encode(
        self, joints_BJ2: Tensor, labelled_BJ: Tensor, input_hw: tuple[int, int], heatmap_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Targets [B,J,H,W] and weights [B,J]; both 0 where the joint is not labelled or lies outside the input."""
        (height, width), device = heatmap_hw, joints_BJ2.device
        scale = torch.tensor((width / input_hw[1], height / input_hw[0]), device=device)
        cell_BJ2 = (joints_BJ2.float().nan_to_num(-1.0) * scale).floor()
        size = torch.tensor((width, height), device=device)
        seen_BJ = ((cell_BJ2 >= 0) & (cell_BJ2 < size)).all(-1) & (labelled_BJ > 0)
        column_BJ, row_BJ = torch.where(seen_BJ[..., None], cell_BJ2, 0).long().unbind(-1)
        x_BJW = blurred_cells(width, self.kernel_px).to(device)[column_BJ]
        y_BJH = blurred_cells(height, self.kernel_px).to(device)[row_BJ]
        maps_BJHW = y_BJH[..., :, None] * x_BJW[..., None, :]
        return maps_BJHW * seen_BJ[..., None, None], seen_BJ.float()

    def decode(self, maps_BJHW: Tensor, input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Joints [B,J,2] in input pixels and confidences [B,J] (map value + 0.5) from maps of peak 1.

        A quarter of a cell from the maximum of the blurred map towards its second maximum, the unit vector between
        them. Maps are divided by their maximum first, where that is positive.
        """
        height, width = maps_BJHW.shape[-2:]
        _, value_BJ = peaks(maps_BJHW)  # refuses what is not finite
        smooth = blur(maps_BJHW / torch.where(value_BJ > 0, value_BJ, 1.0)[..., None, None])
        first_BJ2, _ = peaks(smooth)
        index_BJ = first_BJ2[..., 1] * width + first_BJ2[..., 0]
        rest = smooth.flatten(2).scatter(2, index_BJ[..., None], 0.0).view_as(smooth)
        second_BJ2, _ = peaks(rest)
        apart_BJ2 = (second_BJ2 - first_BJ2).to(maps_BJHW.dtype)
        step_BJ2 = STEP_PX * F.normalize(apart_BJ2, dim=-1)  # 0 where the two coincide
        limit = torch.tensor((width - 1, height - 1), device=maps_BJHW.device)
        cell_BJ2 = torch.minimum((first_BJ2 + step_BJ2).clamp(min=0), limit.to(step_BJ2.dtype))
        x_BJ, y_BJ = (cell_BJ2 + 0.5).long().unbind(-1)
        confidence_BJ = read(maps_BJHW, x_BJ[..., None], y_BJ[..., None])[..., 0] + CONFIDENCE_OFFSET
        stride = torch.tensor((input_hw[1] / width, input_hw[0] / height), device=maps_BJHW.device)
        return (cell_BJ2 + 0.5) * stride.to(cell_BJ2.dtype), confidence_BJ

    def unflip(self, maps_BJHW: Tensor, flip_pairs: tuple[tuple[int, int], ...]) -> Tensor:
        """Mirror and swap without a shift: cells mirror onto cells."""
        return unflip_maps(maps_BJHW, flip_pairs, 0)


@lru_cache(maxsize=32)
def blurred_cells(size: int, kernel_px: int) -> Tensor:
    """Row c: a 1 at position c of `size`, blurred by OpenCV and rescaled to maximum 1. [size, size] float32."""
    rows = cv2.GaussianBlur(np.eye(size, dtype=np.float32), (kernel_px, 1), 0)
    return torch.from_numpy(rows / rows.max(axis=1, keepdims=True))


def blur(maps_BJHW: Tensor) -> Tensor:
    """Gaussian blur of 21 taps with zeros around the map."""
    taps = torch.from_numpy(cv2.getGaussianKernel(DECODE_BLUR_PX, 0)).to(maps_BJHW)
    flat = maps_BJHW.flatten(0, 1)[:, None]
    flat = F.conv2d(flat, taps.view(1, 1, 1, -1), padding=(0, DECODE_BLUR_PX // 2))
    return F.conv2d(flat, taps.view(1, 1, -1, 1), padding=(DECODE_BLUR_PX // 2, 0)).view_as(maps_BJHW)
