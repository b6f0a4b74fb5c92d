"""Targets and decoding of the authors' Torch code, neither the suite's Gaussian nor the paper's words (F6, F8).

B batch, J joints, H W heatmap rows and columns; coordinates are (x, y), pixel centres at whole numbers.
"""

from __future__ import annotations

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.codecs.maps import peaks, read, unflip_maps
from hpe_bench.declare import STRICT, Codec

SIGMA_PX = 1.75  # "sigma 1" draws a kernel of 7 pixels whose library default is a quarter of that
RADIUS_PX = 3  # half of the kernel


@dataclass(frozen=True, config=STRICT)
class Newell(Codec):
    """A 7x7 Gaussian of 1.75 px around the joint's position cut to whole pixels; a quarter step and half a pixel back.

    Mirrored maps are not shifted. What follows in the authors' code, cutting the result to whole image pixels, happens
    behind the inverse crop and is left out.
    """

    def encode(
        self, joints_BJ2: Tensor, labelled_BJ: Tensor, input_hw: tuple[int, int], heatmap_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Targets [B,J,H,W] of peak 1 and weights [B,J]: 1 where the joint is labelled and its kernel meets the map."""
        (height, width), labelled = heatmap_hw, labelled_BJ > 0
        size_hm = torch.tensor((width, height), device=joints_BJ2.device)
        size_in = torch.tensor((input_hw[1], input_hw[0]), device=joints_BJ2.device)
        centre_BJ2 = (torch.where(labelled[..., None], joints_BJ2, 0.0).float() * size_hm / size_in).trunc()
        seen = ((centre_BJ2 - RADIUS_PX < size_hm) & (centre_BJ2 + RADIUS_PX >= 0)).all(-1) & labelled
        x_BJW = _profile(centre_BJ2[..., 0], width) * seen[..., None]
        y_BJH = _profile(centre_BJ2[..., 1], height)
        return y_BJH[..., :, None] * x_BJW[..., None, :], seen.float()

    def decode(self, maps_BJHW: Tensor, input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Joints [B,J,2] in input pixels and peak values [B,J]: the peak, a quarter pixel towards the larger neighbour
        on each axis if the peak is no border pixel, and the half pixel that cutting took away on average."""
        height, width = maps_BJHW.shape[-2:]
        peak_BJ2, value_BJ = peaks(maps_BJHW)
        x, y = peak_BJ2.unbind(-1)
        inner = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
        x, y = torch.where(inner, x, 1), torch.where(inner, y, 1)
        around = read(maps_BJHW, torch.stack((x + 1, x - 1, x, x), -1), torch.stack((y, y, y + 1, y - 1), -1))
        step_BJ2 = 0.25 * torch.sign(around[..., 0::2] - around[..., 1::2]) * inner[..., None]
        stride_xy = torch.tensor((input_hw[1] / width, input_hw[0] / height), device=maps_BJHW.device)
        return (peak_BJ2 + step_BJ2 + 0.5) * stride_xy, value_BJ

    def unflip(self, maps_BJHW: Tensor, flip_pairs: tuple[tuple[int, int], ...]) -> Tensor:
        """Mirror the maps of a mirrored input back and swap left and right."""
        return unflip_maps(maps_BJHW, flip_pairs, shift_px=0)


def _profile(centre_BJ: Tensor, size: int) -> Tensor:
    """The kernel along one axis, [B,J,size]."""
    away = torch.arange(size, device=centre_BJ.device) - centre_BJ[..., None]
    return torch.exp(away.square() / (-2 * SIGMA_PX**2)) * (away.abs() <= RADIUS_PX)
