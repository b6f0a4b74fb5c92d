"""DARK's sub-pixel decoding: a Taylor step on the logarithm of a blurred heatmap.

Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation", CVPR 2020; numbers as in the
authors' released code. N maps in a row, H W rows and columns, positions (x, y) in heatmap pixels.
"""

from __future__ import annotations

from functools import cache

import cv2
import torch
from torch import Tensor

FLOOR = 1e-10  # smallest value whose logarithm is taken, after rescaling to the map's own peak
REACH = 2  # the step reads the blurred map up to this far from the peak


@cache
def kernel_taps(kernel_px: int) -> tuple[float, ...]:
    """Blur taps as OpenCV chooses them for sigma 0: 0.3 * ((K - 1) / 2 - 1) + 0.8, fixed tables for small K (F6)."""
    return tuple(cv2.getGaussianKernel(kernel_px, 0)[:, 0].tolist())


def dark_step(maps_BJHW: Tensor, peak_BJ2: Tensor, value_BJ: Tensor, kernel_px: int) -> Tensor:
    """Move [B,J,2] from each peak to the maximum of a parabola through the log of the blurred map; unclamped.

    0 for peaks within two pixels of the border (1 < x < W-2 and 1 < y < H-2 is required), for peaks that are not
    positive, and where the Hessian is singular or the step is not finite. Blurring is zero-padded and only done where
    the step reads, which gives the same numbers as blurring whole maps.
    """
    height, width = maps_BJHW.shape[-2:]
    x, y = peak_BJ2.unbind(-1)
    inner = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2) & (value_BJ > 0)
    rows = torch.nonzero(inner.flatten())[:, 0]
    step = torch.zeros_like(peak_BJ2, dtype=maps_BJHW.dtype)
    step.view(-1, 2)[rows] = _newton(log_window(maps_BJHW, rows, peak_BJ2, value_BJ, kernel_px, REACH, FLOOR))
    return step


def log_window(
    maps_BJHW: Tensor, rows: Tensor, peak_BJ2: Tensor, value_BJ: Tensor, kernel_px: int, reach: int, floor: float
) -> Tensor:
    """Log of the blurred maps, rescaled to their own peaks and at least `floor`, around the peaks.

    [n,2*reach+1,2*reach+1] as (y, x) for the n maps `rows` (B * J counted through), whose peaks must be positive.
    """
    maps_NHW, peak_N2, value_N = maps_BJHW.flatten(0, 1), peak_BJ2.flatten(0, 1)[rows], value_BJ.flatten()[rows]
    window = _blurred_window(maps_NHW, rows, peak_N2, kernel_px, reach)
    scale_N = _rescaling(maps_NHW, rows, value_N, window, kernel_px, floor)
    return (window * scale_N[:, None, None]).clamp_min(floor).log()


def _blurred_window(maps_NHW: Tensor, rows: Tensor, peak_N2: Tensor, kernel_px: int, reach: int) -> Tensor:
    """The blurred maps of `rows` on the pixels up to `reach` from their peaks, [n,S,S] as (y, x), S = 2 * reach + 1."""
    height, width = maps_NHW.shape[-2:]
    patch = reach + kernel_px // 2
    offsets = torch.arange(-patch, patch + 1, device=maps_NHW.device)  # P = side of the patch that the blur needs
    x_NP, y_NP = peak_N2[:, :1] + offsets, peak_N2[:, 1:] + offsets
    start_NP = (rows[:, None] * height + y_NP.clamp(0, height - 1)) * width
    patch_NPP = maps_NHW.take(start_NP[:, :, None] + x_NP.clamp(0, width - 1)[:, None, :])
    blur_SP = _band(2 * reach + 1, kernel_px, maps_NHW)
    blur_y_NSP = blur_SP * ((y_NP >= 0) & (y_NP < height))[:, None, :]  # outside the map counts as 0
    blur_x_NSP = blur_SP * ((x_NP >= 0) & (x_NP < width))[:, None, :]
    return blur_y_NSP @ patch_NPP @ blur_x_NSP.mT


def _band(size: int, kernel_px: int, like: Tensor) -> Tensor:
    """Matrix [size, size + K - 1] that blurs a line of pixels, each row one pixel further on."""
    taps = torch.tensor(kernel_taps(kernel_px), dtype=like.dtype, device=like.device)
    return torch.stack([torch.nn.functional.pad(taps, (i, size - 1 - i)) for i in range(size)])


def _rescaling(
    maps_NHW: Tensor, rows: Tensor, value_N: Tensor, window_NSS: Tensor, kernel_px: int, floor: float
) -> Tensor:
    """Factor that gives each blurred map its original maximum back.

    It is at least 1 and cancels in the step unless a value that the step reads falls under the floor, so only the maps
    of such joints (negative responses beside the peak) are blurred whole.
    """
    scale_N = torch.ones_like(value_N)
    low = torch.nonzero((window_NSS < floor).flatten(1).any(1))[:, 0]
    if len(low):
        (height, width), edge = maps_NHW.shape[-2:], kernel_px // 2
        blur_y_HH = _band(height, kernel_px, maps_NHW)[:, edge : edge + height]
        blur_x_WW = _band(width, kernel_px, maps_NHW)[:, edge : edge + width]
        scale_N[low] = value_N[low] / (blur_y_HH @ (maps_NHW[rows[low]] @ blur_x_WW.mT)).flatten(1).amax(1)
    return scale_N


def _newton(log_N55: Tensor) -> Tensor:
    """-Hessian^-1 gradient at the centre of each window, [N,2]; central differences as in the released code."""
    c = REACH
    dx = (log_N55[:, c, c + 1] - log_N55[:, c, c - 1]) / 2
    dy = (log_N55[:, c + 1, c] - log_N55[:, c - 1, c]) / 2
    dxx = (log_N55[:, c, c + 2] - 2 * log_N55[:, c, c] + log_N55[:, c, c - 2]) / 4
    dyy = (log_N55[:, c + 2, c] - 2 * log_N55[:, c, c] + log_N55[:, c - 2, c]) / 4
    dxy = (
        log_N55[:, c + 1, c + 1] - log_N55[:, c - 1, c + 1] - log_N55[:, c + 1, c - 1] + log_N55[:, c - 1, c - 1]
    ) / 4
    det = dxx * dyy - dxy * dxy
    step = torch.stack((dxy * dy - dyy * dx, dxy * dx - dxx * dy), dim=-1) / det[:, None]
    return torch.where(torch.isfinite(step).all(-1, keepdim=True) & (det != 0)[:, None], step, 0.0)
