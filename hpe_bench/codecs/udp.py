"""UDP's unbiased pixel convention with Gaussian targets and its variant of DARK's decoder.

Huang et al., "The Devil Is in the Details: Delving Into Unbiased Data Processing for Human Pose Estimation", CVPR 2020;
numbers as in the released code (the `gaussian` target, not the offset maps). Lengths are measured from the first to the
last pixel centre: joints_hm = joints_in * (size_hm - 1) / (size_in - 1). A mirrored input (x -> W - 1 - x) then
mirrors its maps exactly, so nothing is shifted (F7).
B batch, J joints, H W heatmap rows and columns; the last axis of coordinates is (x, y).
"""

from __future__ import annotations

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.codecs.dark import log_window
from hpe_bench.codecs.gaussian import SUPPORT_SIGMAS
from hpe_bench.codecs.maps import outer, peaks, unflip_maps
from hpe_bench.declare import STRICT, Codec

FLOOR = 1e-3  # smallest value whose logarithm is taken
RIDGE = float(torch.finfo(torch.float32).eps)  # added to the Hessian's diagonal


@dataclass(frozen=True, config=STRICT)
class UDP(Codec):
    """Fractional Gaussian targets cut at 3 sigma around the rounded centre; one Newton step to decode."""

    sigma_px: float = 2.0  # heatmap pixels
    kernel_px: int = 11  # taps of the blur before decoding, odd

    def __post_init__(self) -> None:
        if not self.sigma_px > 0:
            raise ValueError(f"UDP codec: sigma_px is {self.sigma_px}; give a positive number of heatmap pixels")
        if self.kernel_px < 1 or self.kernel_px % 2 == 0:
            raise ValueError(f"UDP codec: kernel_px is {self.kernel_px}; give an odd number")

    def encode(
        self, joints_BJ2: Tensor, labelled_BJ: Tensor, input_hw: tuple[int, int], heatmap_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Targets [B,J,H,W] and weights [B,J], float32, for joints in input pixels.

        Weight 0 and an empty map where a joint is not labelled or its window misses the map (tested as in
        `Gaussian.encode` with rounded centres).
        """
        (height, width), labelled, reach = heatmap_hw, labelled_BJ > 0, SUPPORT_SIGMAS * self.sigma_px
        last_hm = torch.tensor((width - 1, height - 1), device=joints_BJ2.device)
        last_in = torch.tensor((input_hw[1] - 1, input_hw[0] - 1), device=joints_BJ2.device)
        centre_BJ2 = torch.where(labelled[..., None], joints_BJ2, 0.0).float() * last_hm / last_in
        pixel_BJ2 = (centre_BJ2 + 0.5).trunc()
        seen = ((pixel_BJ2 - reach <= last_hm) & (pixel_BJ2 + reach + 1 >= 0)).all(-1) & labelled
        x_BJW, y_BJH = (
            self._profile(centre_BJ2[..., axis], pixel_BJ2[..., axis], size)
            for axis, size in enumerate((width, height))
        )
        return outer(y_BJH, x_BJW * seen[..., None]), seen.float()

    def _profile(self, centre_BJ: Tensor, pixel_BJ: Tensor, size: int) -> Tensor:
        """The Gaussian along one axis, [B,J,size]; the map is the outer product of two of them."""
        grid = torch.arange(size, device=centre_BJ.device)
        value = torch.exp((grid - centre_BJ[..., None]).square() / (-2 * self.sigma_px**2))
        return value * ((grid - pixel_BJ[..., None]).abs() <= SUPPORT_SIGMAS * self.sigma_px)

    def decode(self, maps_BJHW: Tensor, input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Joints [B,J,2] in input pixels and the peak values [B,J], from activated maps.

        Joints whose peak is not positive lie at (0, 0) (F8). ValueError where a map holds NaN or its peak is infinite.
        """
        maps_BJHW = maps_BJHW.float()  # half precision would round the coordinates
        height, width = maps_BJHW.shape[-2:]
        peak_BJ2, value_BJ = peaks(maps_BJHW)
        joints_hm = peak_BJ2 + udp_step(maps_BJHW, peak_BJ2, value_BJ, self.kernel_px)
        stride = ((input_hw[1] - 1) / (width - 1), (input_hw[0] - 1) / (height - 1))
        return joints_hm * torch.tensor(stride, device=joints_hm.device) * (value_BJ > 0)[..., None], value_BJ

    def unflip(self, maps_BJHW: Tensor, flip_pairs: tuple[tuple[int, int], ...]) -> Tensor:
        """Mirror the maps of a mirrored input back and swap left and right, without a shift."""
        return unflip_maps(maps_BJHW, flip_pairs, 0)


def udp_step(maps_BJHW: Tensor, peak_BJ2: Tensor, value_BJ: Tensor, kernel_px: int) -> Tensor:
    """Move [B,J,2] from each peak to the maximum of a parabola through the log of the blurred map; unclamped.

    Unlike DARK's, it uses second differences of one pixel and is taken at the border, too, where the log map is
    continued by its own edge. 0 for peaks that are not positive and where the step is not finite. (The released code
    also cuts maps at 50, which heatmaps of peak 1 never reach.)
    """
    rows = torch.nonzero((value_BJ > 0).flatten())[:, 0]
    log_N33 = log_window(maps_BJHW, rows, peak_BJ2, value_BJ, kernel_px, 1, FLOOR)
    for axis in (1, 2):  # y, x
        at_N = peak_BJ2.flatten(0, 1)[rows, 2 - axis]
        beside = torch.tensor((-1, 0, 1), device=at_N.device) + at_N[:, None]
        inside_N3 = beside.clamp(0, maps_BJHW.shape[axis + 1] - 1) - at_N[:, None] + 1
        index = inside_N3[:, :, None] if axis == 1 else inside_N3[:, None, :]
        log_N33 = log_N33.gather(axis, index.expand_as(log_N33))
    step = torch.zeros_like(peak_BJ2, dtype=maps_BJHW.dtype)
    step.view(-1, 2)[rows] = _newton(log_N33)
    return step


def _newton(log_N33: Tensor) -> Tensor:
    """-(Hessian + RIDGE)^-1 gradient at the centre of each window, [N,2]; differences as in the released code."""
    (nw, n, _), (w, c, e), (_, s, se) = ([log_N33[:, y, x] for x in range(3)] for y in range(3))
    dx, dy = (e - w) / 2, (s - n) / 2
    dxx, dyy = e - 2 * c + w + RIDGE, s - 2 * c + n + RIDGE
    dxy = (se - e - s + 2 * c - w - n + nw) / 2
    step = torch.stack((dxy * dy - dyy * dx, dxy * dx - dxx * dy), dim=-1) / (dxx * dyy - dxy * dxy)[:, None]
    return torch.where(torch.isfinite(step).all(-1, keepdim=True), step, 0.0)
