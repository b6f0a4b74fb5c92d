"""Binary discs: where a part detector is asked to answer yes (Bulat and Tzimiropoulos, ECCV 2016).

Input and heatmap pixels are tied as in `codecs/gaussian.py`: joints_hm = joints_in * size_hm / size_in, without a
half-pixel term. B batch, J joints, H W heatmap rows and columns; the last axis of coordinates is (x, y).
"""

from __future__ import annotations

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.codecs.maps import peaks, unflip_maps
from hpe_bench.declare import STRICT, Codec

SMALLEST_RADIUS_PX = 0.5**0.5  # every point of the map has a pixel centre within this distance


@dataclass(frozen=True, config=STRICT)
class Disc(Codec):
    """Target 1 within `radius_px` of the joint (the rim included), 0 elsewhere; decoded by a centroid.

    The paper draws discs of 10 px for a person of about 200 px, on maps as large as the input. `flip_shift_px` is that
    of `Gaussian`: right is 0 on maps of the input's size and 1 at stride 4 (F7).
    """

    radius_px: float = 10.0  # heatmap pixels
    flip_shift_px: int = 0  # heatmap pixels

    def __post_init__(self) -> None:
        if not self.radius_px >= SMALLEST_RADIUS_PX:
            raise ValueError(
                f"Disc codec: a disc of radius_px {self.radius_px} can fall between the pixels; give at least 0.7072"
            )
        if self.flip_shift_px < 0:
            raise ValueError(f"Disc codec: flip_shift_px is {self.flip_shift_px}; give 0 or more (F7)")

    def encode(
        self, joints_BJ2: Tensor, labelled_BJ: Tensor, input_hw: tuple[int, int], heatmap_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Targets [B,J,H,W] of 0 and 1, and weights [B,J], float32, for joints in input pixels.

        The weight is 0, and the map empty, where a joint is not labelled or its disc holds no pixel of the map.
        """
        (height, width), labelled = heatmap_hw, labelled_BJ > 0
        stride_xy = torch.tensor((width / input_hw[1], height / input_hw[0]), device=joints_BJ2.device)
        centre_BJ2 = torch.where(labelled[..., None], joints_BJ2, 0.0).float() * stride_xy
        inside_BJHW = _square_distance(centre_BJ2, heatmap_hw) <= self.radius_px**2
        target_BJHW = (inside_BJHW & labelled[..., None, None]).float()
        return target_BJHW, target_BJHW.amax((2, 3))

    def decode(self, maps_BJHW: Tensor, input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Joints [B,J,2] in input pixels and the peak values [B,J], from activated maps.

        A disc is flat, so its first maximum lies on its rim: the joint is the mean position of the pixels within one
        diameter of the maximum that reach at least half of it, weighted by their values. A disc that the border cuts
        gives the centre of what is left. Joints whose peak is not positive lie at (0, 0); ValueError for NaN.
        """
        height, width = maps_BJHW.shape[-2:]
        peak_BJ2, value_BJ = peaks(maps_BJHW)
        near = _square_distance(peak_BJ2.float(), (height, width)) <= (2 * self.radius_px) ** 2
        high = maps_BJHW >= 0.5 * value_BJ[..., None, None]
        mass_BJHW = (maps_BJHW * (near & high)).clamp_min(0)
        rows, columns = torch.arange(height, device=maps_BJHW.device), torch.arange(width, device=maps_BJHW.device)
        moment_BJ2 = torch.stack(((mass_BJHW.sum(2) * columns).sum(-1), (mass_BJHW.sum(3) * rows).sum(-1)), dim=-1)
        found = value_BJ > 0
        total_BJ = torch.where(found, mass_BJHW.sum((2, 3)), 1.0)
        stride_xy = torch.tensor((input_hw[1] / width, input_hw[0] / height), device=maps_BJHW.device)
        return moment_BJ2 / total_BJ[..., None] * stride_xy * found[..., None], value_BJ

    def unflip(self, maps_BJHW: Tensor, flip_pairs: tuple[tuple[int, int], ...]) -> Tensor:
        """Mirror the maps of a mirrored input back, swap left and right, shift by `flip_shift_px` (F7)."""
        return unflip_maps(maps_BJHW, flip_pairs, self.flip_shift_px)


def _square_distance(centre_BJ2: Tensor, heatmap_hw: tuple[int, int]) -> Tensor:
    """Squared distance [B,J,H,W] of every pixel centre to a point, in heatmap pixels."""
    height, width = heatmap_hw
    x_BJW = torch.arange(width, device=centre_BJ2.device) - centre_BJ2[..., :1]
    y_BJH = torch.arange(height, device=centre_BJ2.device) - centre_BJ2[..., 1:]
    return y_BJH.square()[..., :, None] + x_BJW.square()[..., None, :]
