"""Targets and decoder of the hourglass group's own PyTorch code: a quarter step that is always taken (F6, F8).

The other published quarter steps are `Gaussian(decoder="quarter")`, guarded at the border and 0 for equal neighbours
(SimpleBaseline, HRNet), and the hourglass authors' Torch code in `papers/hourglass/codec.py`. What happens beside the
border and to peaks that are not positive follows our memory of the code.
B batch, J joints, H W heatmap rows and columns; coordinates are (x, y), pixel centres at whole numbers.
"""

from __future__ import annotations

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.codecs.maps import outer, peaks, read, unflip_maps
from hpe_bench.declare import STRICT, Codec

SIGMA_PX = 1.0
RADIUS_PX = 4  # 9x9 pixels
STEP_PX = 0.25
HALF_PX = 0.5  # what cutting to whole pixels took away on average


@dataclass(frozen=True, config=STRICT)
class Princeton(Codec):
    """A 9x9 Gaussian of 1 px around the joint's position cut to whole pixels; a quarter step on both axes, half back.

    Mirrored maps are not shifted: cells mirror onto cells.
    """

    def encode(
        self, joints_BJ2: Tensor, labelled_BJ: Tensor, input_hw: tuple[int, int], heatmap_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Targets [B,J,H,W] of peak 1 and weights [B,J]; both 0 where the joint is not labelled or outside the map."""
        (height, width), labelled = heatmap_hw, labelled_BJ > 0
        size_hm = torch.tensor((width, height), device=joints_BJ2.device)
        size_in = torch.tensor((input_hw[1], input_hw[0]), device=joints_BJ2.device)
        centre_BJ2 = (torch.where(labelled[..., None], joints_BJ2, -1.0).float() * size_hm / size_in).floor()
        seen = ((centre_BJ2 >= 0) & (centre_BJ2 < size_hm)).all(-1)
        x_BJW, y_BJH = _profile(centre_BJ2[..., 0], width), _profile(centre_BJ2[..., 1], height)
        return outer(y_BJH, x_BJW * seen[..., None]), seen.float()

    def decode(self, maps_BJHW: Tensor, input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Joints [B,J,2] in input pixels and peak values [B,J], from activated maps.

        On each axis a quarter pixel towards the larger neighbour, down where they are equal, then half a pixel up; a
        neighbour beyond the border is the border pixel itself. Peaks that are not positive stay where they are.
        ValueError where a map holds NaN or its peak is infinite.
        """
        maps_BJHW = maps_BJHW.float()  # half precision would round the coordinates
        height, width = maps_BJHW.shape[-2:]
        peak_BJ2, value_BJ = peaks(maps_BJHW)
        x, y = peak_BJ2.unbind(-1)
        right, left = (x + 1).clamp(max=width - 1), (x - 1).clamp(min=0)
        below, above = (y + 1).clamp(max=height - 1), (y - 1).clamp(min=0)
        around = read(maps_BJHW, torch.stack((right, left, x, x), -1), torch.stack((y, y, below, above), -1))
        step_BJ2 = torch.where(around[..., 0::2] > around[..., 1::2], STEP_PX, -STEP_PX) + HALF_PX
        stride_xy = torch.tensor((input_hw[1] / width, input_hw[0] / height), device=maps_BJHW.device)
        return (peak_BJ2 + step_BJ2 * (value_BJ > 0)[..., None]) * stride_xy, value_BJ

    def unflip(self, maps_BJHW: Tensor, flip_pairs: tuple[tuple[int, int], ...]) -> Tensor:
        """Mirror the maps of a mirrored input back and swap left and right."""
        return unflip_maps(maps_BJHW, flip_pairs, 0)


def _profile(centre_BJ: Tensor, size: int) -> Tensor:
    """The kernel along one axis, [B,J,size]."""
    away = torch.arange(size, device=centre_BJ.device) - centre_BJ[..., None]
    return torch.exp(away.square() / (-2 * SIGMA_PX**2)) * (away.abs() <= RADIUS_PX)
