"""LPN's decoder: an expectation so sharp that it is nearly the maximum, and the quarter step on top of it.

Targets and pixel convention are those of SimpleBaseline and HRNet. B batch, J joints, H W heatmap rows and columns;
coordinates are (x, y).
"""

from __future__ import annotations

import math

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.codecs.gaussian import Gaussian, quarter_step
from hpe_bench.codecs.maps import peaks, read, unflip_maps
from hpe_bench.declare import STRICT, Codec


@dataclass(frozen=True, config=STRICT)
class BetaSoftArgmax(Codec):
    """Gaussian targets around the rounded joint; decoded as the mean position under softmax(beta * map), and a step.

    The step is HRNet's quarter pixel towards the larger neighbour, taken around the rounded mean, under HRNet's border
    rule (released code). Unlike `Integral`, which expects a softmax and trains through it, this reads linear maps that
    are trained with the squared error. With beta 160 a neighbour counts e^-18.8 of a peak of 1 that it follows by a
    Gaussian of sigma 2; what moves the mean are maps that are lower or flatter than their targets.
    """

    sigma_px: float = 2.0  # heatmap pixels
    beta: float = 160.0  # per unit of the maps, whose targets have peak 1
    flip_shift_px: int = 1  # heatmap pixels

    def __post_init__(self) -> None:
        if not self.sigma_px > 0:
            raise ValueError(f"BetaSoftArgmax codec: sigma_px is {self.sigma_px}; give a positive number of pixels")
        if not 0 < self.beta < math.inf:
            raise ValueError(f"BetaSoftArgmax codec: beta is {self.beta}; give a positive number")
        if self.flip_shift_px < 0:
            raise ValueError(f"BetaSoftArgmax codec: flip_shift_px is {self.flip_shift_px}; give 0 or more (F7)")

    def encode(
        self, joints_BJ2: Tensor, labelled_BJ: Tensor, input_hw: tuple[int, int], heatmap_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Targets [B,J,H,W] and weights [B,J], float32, for joints in input pixels: `Gaussian`'s "rounded" ones."""
        targets = Gaussian(sigma_px=self.sigma_px, centre="rounded")
        return targets.encode(joints_BJ2, labelled_BJ, input_hw, heatmap_hw)

    def decode(self, maps_BJHW: Tensor, input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Joints [B,J,2] in input pixels and scores [B,J]: the map's value at the rounded mean position.

        A flat map gives its centre, not (0, 0). ValueError where a map holds NaN or its peak is infinite.
        """
        maps_BJHW = maps_BJHW.float()  # half precision would round the coordinates
        height, width = maps_BJHW.shape[-2:]
        _, highest_BJ = peaks(maps_BJHW)  # refuses what is not finite
        share_BJHW = (self.beta * (maps_BJHW - highest_BJ[..., None, None])).flatten(2).softmax(-1).view_as(maps_BJHW)
        columns, rows = (torch.arange(size, device=maps_BJHW.device).float() for size in (width, height))
        mean_BJ2 = torch.stack((share_BJHW.sum(2) @ columns, share_BJHW.sum(3) @ rows), dim=-1)
        last = torch.tensor((width - 1, height - 1), device=maps_BJHW.device)
        mean_BJ2 = torch.minimum(mean_BJ2.clamp_min(0), last)
        at_BJ2 = mean_BJ2.round().long()  # ties to even, as NumPy's round in the released code
        score_BJ = read(maps_BJHW, at_BJ2[..., :1], at_BJ2[..., 1:])[..., 0]
        joints_hm = mean_BJ2 + quarter_step(maps_BJHW, (mean_BJ2 + 0.5).floor().long())
        stride_xy = torch.tensor((input_hw[1] / width, input_hw[0] / height), device=maps_BJHW.device)
        return joints_hm * stride_xy, score_BJ

    def unflip(self, maps_BJHW: Tensor, flip_pairs: tuple[tuple[int, int], ...]) -> Tensor:
        """Mirror the maps of a mirrored input back, swap left and right, shift by `flip_shift_px` (F7)."""
        return unflip_maps(maps_BJHW, flip_pairs, self.flip_shift_px)
