"""Gaussian heatmaps: the targets and decoders of SimpleBaseline and HRNet, and DARK's unbiased pair.

Input and heatmap pixels are tied by joints_hm = joints_in * size_hm / size_in, without a half-pixel term, as in the
HRNet code. B batch, J joints, H W heatmap rows and columns; the last axis of coordinates is (x, y).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.codecs.dark import dark_step
from hpe_bench.codecs.maps import outer, peaks, read, unflip_maps
from hpe_bench.declare import STRICT, Codec

SUPPORT_SIGMAS = 3  # half width of the target window in sigmas: 13x13 pixels for sigma 2


@dataclass(frozen=True, config=STRICT)
class Gaussian(Codec):
    """Gaussian targets of peak 1 and one of three decoders.

    `centre`: "rounded" puts the target on the pixel int(x + 0.5) and cuts it at 3 sigma (SimpleBaseline, HRNet);
    "exact" keeps the fractional centre and fills the whole map (DARK).
    `decoder`: the plain maximum; a quarter pixel towards the larger neighbour (SimpleBaseline, HRNet); or DARK's
    Taylor step on the log of the map blurred with `dark_kernel_px` taps. The DARK configurations use 11 taps at every
    sigma, except 3 for ResNets and HRNet-W32 at 128x96; the kernel is a number of its own and follows no rule of sigma.
    `flip_shift_px`: how far the maps of a mirrored input move to the right. Mirroring an input of stride s moves a
    joint by (s - 1) / s heatmap pixels against mirroring its map, so at stride 4 the usual shift of 1 leaves a bias of
    1/4 pixel in the mirrored maps (an eighth after averaging) and no shift leaves -3/4 (F7).
    """

    sigma_px: float = 2.0  # heatmap pixels
    centre: Literal["rounded", "exact"] = "rounded"
    decoder: Literal["argmax", "quarter", "dark"] = "quarter"
    flip_shift_px: int = 1  # heatmap pixels
    dark_kernel_px: int = 11  # heatmap pixels, odd

    def __post_init__(self) -> None:
        if not self.sigma_px > 0:
            raise ValueError(f"Gaussian codec: sigma_px is {self.sigma_px}; give a positive number of heatmap pixels")
        if self.flip_shift_px < 0:
            raise ValueError(f"Gaussian codec: flip_shift_px is {self.flip_shift_px}; give 0 or more (F7)")
        if self.dark_kernel_px < 1 or self.dark_kernel_px % 2 == 0:
            raise ValueError(f"Gaussian codec: dark_kernel_px is {self.dark_kernel_px}; give an odd number")

    def encode(
        self, joints_BJ2: Tensor, labelled_BJ: Tensor, input_hw: tuple[int, int], heatmap_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Targets [B,J,H,W] and weights [B,J], float32, for joints in input pixels (F6).

        A joint has weight 0 and an empty map where it is not labelled. The weight is 0, too, where its 3-sigma window
        misses the map; "rounded" tests that as the HRNet code does, where a window that ends one pixel before the
        first row or column still counts (empty map, weight 1).
        """
        (height, width), labelled = heatmap_hw, labelled_BJ > 0
        size_hm = torch.tensor((width, height), device=joints_BJ2.device)
        size_in = torch.tensor((input_hw[1], input_hw[0]), device=joints_BJ2.device)
        centre_BJ2 = torch.where(labelled[..., None], joints_BJ2, 0.0).float() * size_hm / size_in
        if self.centre == "rounded":
            centre_BJ2 = (centre_BJ2 + 0.5).trunc()  # int() of the HRNet code: towards zero
        reach, slack = SUPPORT_SIGMAS * self.sigma_px, 1 if self.centre == "rounded" else 0
        seen = ((centre_BJ2 - reach <= size_hm - 1) & (centre_BJ2 + reach + slack >= 0)).all(-1) & labelled
        x_BJW, y_BJH = self._profile(centre_BJ2[..., 0], width), self._profile(centre_BJ2[..., 1], height)
        return outer(y_BJH, x_BJW.mul_(seen[..., None])), seen.float()

    def _profile(self, centre_BJ: Tensor, size: int) -> Tensor:
        """The Gaussian along one axis, [B,J,size]; the map is the outer product of two of them."""
        grid = torch.arange(size, device=centre_BJ.device)
        if self.centre == "exact":
            return self._bell(grid - centre_BJ[..., None])
        edge = math.floor(SUPPORT_SIGMAS * self.sigma_px) + 1  # whole centres repeat: each is drawn once and looked up
        centre_C = torch.arange(-edge, size + edge, device=centre_BJ.device)
        away_CW = (grid - centre_C[:, None]).to(centre_BJ.dtype)
        bell_CW = self._bell(away_CW) * (away_CW.abs() <= SUPPORT_SIGMAS * self.sigma_px)
        row_BJ = centre_BJ.clamp(-edge, size + edge - 1).long() + edge
        return bell_CW.index_select(0, row_BJ.flatten()).view(*centre_BJ.shape, size)

    def _bell(self, away: Tensor) -> Tensor:
        return torch.exp(away.square() / (-2 * self.sigma_px**2))

    def decode(self, maps_BJHW: Tensor, input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Joints [B,J,2] in input pixels and the peak values [B,J], from activated maps.

        Joints whose peak is not positive lie at (0, 0), as in the HRNet code: raw logits lose joints here (F8).
        ValueError where a map holds NaN or its peak is infinite.
        """
        maps_BJHW = maps_BJHW.float()  # half precision would round the coordinates
        height, width = maps_BJHW.shape[-2:]
        peak_BJ2, value_BJ = peaks(maps_BJHW)
        joints_hm = peak_BJ2.float()
        if self.decoder == "quarter":
            joints_hm = joints_hm + quarter_step(maps_BJHW, peak_BJ2)
        elif self.decoder == "dark":
            joints_hm = joints_hm + dark_step(maps_BJHW, peak_BJ2, value_BJ, self.dark_kernel_px)
        stride_xy = torch.tensor((input_hw[1] / width, input_hw[0] / height), device=joints_hm.device)
        return joints_hm * stride_xy * (value_BJ > 0)[..., None], value_BJ

    def unflip(self, maps_BJHW: Tensor, flip_pairs: tuple[tuple[int, int], ...]) -> Tensor:
        """Mirror the maps of a mirrored input back, swap left and right, shift by `flip_shift_px` (F7)."""
        return unflip_maps(maps_BJHW, flip_pairs, self.flip_shift_px)


def quarter_step(maps_BJHW: Tensor, peak_BJ2: Tensor) -> Tensor:
    """A quarter pixel towards the larger neighbour on each axis, 0 where they are equal; [B,J,2].

    Only for peaks with 1 < x < W-1 and 1 < y < H-1, as in the HRNet code (F8).
    """
    height, width = maps_BJHW.shape[-2:]
    x, y = peak_BJ2.unbind(-1)
    inner = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    x, y = torch.where(inner, x, 1), torch.where(inner, y, 1)
    around = read(maps_BJHW, torch.stack((x + 1, x - 1, x, x), -1), torch.stack((y, y, y + 1, y - 1), -1))
    towards = torch.sign(around[..., 0::2] - around[..., 1::2])
    return 0.25 * towards * inner[..., None]
