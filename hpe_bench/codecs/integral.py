"""Integral regression: a joint is the expectation of a distribution over the heatmap's pixels (soft-argmax).

Sun et al., "Integral Human Pose Regression", ECCV 2018; conventions as in the released code: positions are counted
0 .. W-1 and tied to the input by joints_hm = joints_in * size_hm / size_in, without a half-pixel term, so that no
distribution reaches the strip beyond the last pixel. Maps must be distributions: activate with a softmax over each map.
`decode` can be differentiated; the paper's loss compares its joints with the annotated ones.
B batch, J joints, H W heatmap rows and columns; the last axis of coordinates is (x, y).
"""

from __future__ import annotations

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.codecs.maps import outer, unflip_maps
from hpe_bench.declare import STRICT, Codec


@dataclass(frozen=True, config=STRICT)
class Integral(Codec):
    """Targets are the narrowest distributions with the right expectation: up to four pixels, weighted bilinearly.

    The paper has no target maps; these are ours, and what an ideal network would answer. `flip_shift_px` is that of
    `Gaussian` (F7), as the pixels are tied to the input in the same way; the paper's own rule is not known to us.
    """

    flip_shift_px: int = 1  # heatmap pixels

    def __post_init__(self) -> None:
        if self.flip_shift_px < 0:
            raise ValueError(f"Integral codec: flip_shift_px is {self.flip_shift_px}; give 0 or more (F7)")

    def encode(
        self, joints_BJ2: Tensor, labelled_BJ: Tensor, input_hw: tuple[int, int], heatmap_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Distributions [B,J,H,W] and weights [B,J], float32, for joints in input pixels.

        The weight is 0, and the map empty, where a joint is not labelled or lies outside the input. Joints beyond the
        centres of the outer pixels are drawn on them, the nearest that an expectation can come.
        """
        (height, width), (input_height, input_width) = heatmap_hw, input_hw
        joints_BJ2 = torch.where((labelled_BJ > 0)[..., None], joints_BJ2, -1.0).float()
        size_in = torch.tensor((input_width, input_height), device=joints_BJ2.device)
        size_hm = torch.tensor((width, height), device=joints_BJ2.device)
        seen = ((joints_BJ2 >= 0) & (joints_BJ2 < size_in)).all(-1)
        x_BJ, y_BJ = (joints_BJ2 * size_hm / size_in).unbind(-1)
        x_BJW, y_BJH = self._profile(x_BJ, width), self._profile(y_BJ, height)
        return outer(y_BJH, x_BJW * seen[..., None]), seen.float()

    def _profile(self, centre_BJ: Tensor, size: int) -> Tensor:
        """The distribution along one axis, [B,J,size]; the map is the outer product of two of them."""
        grid = torch.arange(size, device=centre_BJ.device)
        return (1 - (grid - centre_BJ.clamp(0, size - 1)[..., None]).abs()).clamp_min(0)

    def decode(self, maps_BJHW: Tensor, input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Joints [B,J,2] in input pixels and scores [B,J] from activated maps.

        The score is 1, as in the released code (an expectation has no peak to be sure of), and 0 for empty maps, whose
        joints lie at (0, 0). ValueError where a map is negative somewhere or has no finite sum.
        """
        maps_BJHW = maps_BJHW.float()  # half precision would round the coordinates
        height, width = maps_BJHW.shape[-2:]
        x_BJW, y_BJH = maps_BJHW.sum(2), maps_BJHW.sum(3)
        mass_BJ = x_BJW.sum(-1)
        _check(maps_BJHW, mass_BJ)
        found = mass_BJ > 0
        columns, rows = (torch.arange(size, device=maps_BJHW.device).float() for size in (width, height))
        joints_hm = torch.stack((x_BJW @ columns, y_BJH @ rows), dim=-1) / torch.where(found, mass_BJ, 1.0)[..., None]
        stride_xy = torch.tensor((input_hw[1] / width, input_hw[0] / height), device=maps_BJHW.device)
        return joints_hm * stride_xy, found.float()

    def unflip(self, maps_BJHW: Tensor, flip_pairs: tuple[tuple[int, int], ...]) -> Tensor:
        """Mirror the maps of a mirrored input back, swap left and right, shift by `flip_shift_px` (F7)."""
        return unflip_maps(maps_BJHW, flip_pairs, self.flip_shift_px)


@dataclass(frozen=True, config=STRICT)
class SpreadIntegral(Integral):
    """The same expectation, of Gaussians: what a network answers that is not sure to the pixel.

    Where the border cuts a Gaussian off, its expectation moves inwards.
    """

    sigma_px: float = 1.0  # heatmap pixels

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigma_px > 0:
            raise ValueError(f"SpreadIntegral codec: sigma_px is {self.sigma_px}; give a positive number of pixels")

    def _profile(self, centre_BJ: Tensor, size: int) -> Tensor:
        grid = torch.arange(size, device=centre_BJ.device)
        away = grid - centre_BJ.clamp(-1, size)[..., None]  # joints outside the input are not drawn
        return torch.softmax(away.square() / (-2 * self.sigma_px**2), dim=-1)


def _check(maps_BJHW: Tensor, mass_BJ: Tensor) -> None:
    """ValueError naming the first map that is no distribution up to a factor."""
    for bad_BJ, problem in (
        (~torch.isfinite(mass_BJ), "has no finite sum: the network or its activation produced NaN or infinity"),
        (maps_BJHW.amin((2, 3)) < 0, "holds negative values: an expectation needs a softmax over each map first (F8)"),
    ):
        if bool(bad_BJ.any()):
            row, joint = torch.nonzero(bad_BJ)[0].tolist()
            raise ValueError(f"decode: the map of joint {joint} in row {row} of the batch {problem}")
