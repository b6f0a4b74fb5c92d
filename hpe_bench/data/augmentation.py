"""Random flip, scale, rotation and colour of training crops, and normalisation, batched where the pixels are.

The rule is SimpleBaseline's and HRNet's (see `declare.Augmentation`), done as one warp from the context crop to the
network input: about the box centre, mirror, rotate, divide by the scale factor (a larger factor is a larger box, hence
a smaller person). What lies outside the context crop is black, as it is outside the image.

B batch, J joints, h w context crop, H W network input; coordinates are (x, y), pixel centres at whole numbers.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from hpe_bench.declare import Augmentation, Batch

# Mean and standard deviation of ImageNet's RGB values in [0, 1], as torchvision and the released pose codes use them.
IMAGENET_MEAN_RGB = (0.485, 0.456, 0.406)
IMAGENET_STD_RGB = (0.229, 0.224, 0.225)


def augment(
    pixels_BhwC: Tensor,
    joints_BJ2: Tensor,
    labelled_BJ: Tensor,
    visible_BJ: Tensor,
    *,
    mirrored: tuple[int, ...],
    augmentation: Augmentation,
    input_hw: tuple[int, int],
    generator: torch.Generator,
) -> Batch:
    """A training batch from context crops (uint8) and joints in their pixels, decided by the generator alone.

    `mirrored` is the skeleton's; joints that leave the input stay labelled (the codec weighs them).
    """
    linear_B22, flip_B = sample_linear(len(pixels_BhwC), augmentation, generator)
    gain_B3 = sample_gain(len(pixels_BhwC), augmentation, generator)
    return transform(
        pixels_BhwC, joints_BJ2, labelled_BJ, visible_BJ, linear_B22, flip_B, mirrored, input_hw, gain_B3=gain_B3
    )


def transform(
    pixels_BhwC: Tensor,
    joints_BJ2: Tensor,
    labelled_BJ: Tensor,
    visible_BJ: Tensor,
    linear_B22: Tensor,
    flip_B: Tensor,
    mirrored: tuple[int, ...],
    input_hw: tuple[int, int],
    shift_B2: Tensor | None = None,
    gain_B3: Tensor | None = None,
) -> Batch:
    """Context crops as a training batch by maps and flips already drawn (`sample_linear`), which may lie on the CPU.

    `shift_B2` moves the point about which a crop is mapped away from its centre, in crop pixels; colour channels are
    multiplied by `gain_B3`.
    """
    device = pixels_BhwC.device
    to_crop_B22 = torch.linalg.inv(linear_B22)
    to_crop_B22, linear_B22, flip_B = (on_device(t, device) for t in (to_crop_B22, linear_B22, flip_B))
    if shift_B2 is not None:
        shift_B2 = on_device(shift_B2, device)
    images_B3HW = warp(pixels_BhwC, to_crop_B22, input_hw, shift_B2)
    if gain_B3 is not None:
        images_B3HW.mul_(on_device(gain_B3, device)[:, :, None, None]).clamp_(max=255.0)

    centre_in, centre_crop = _centre(input_hw, device), _centre(pixels_BhwC.shape[1:3], device)
    if shift_B2 is not None:
        centre_crop = (centre_crop + shift_B2)[:, None]
    joints_BJ2 = (joints_BJ2 - centre_crop) @ linear_B22.mT + centre_in
    swapped_BJ = [t.index_select(1, _indices(mirrored, device)) for t in (joints_BJ2, labelled_BJ, visible_BJ)]
    return Batch(
        images_B3HW=normalise_(images_B3HW),
        joints_BJ2=torch.where(flip_B[:, None, None], swapped_BJ[0], joints_BJ2),
        labelled_BJ=torch.where(flip_B[:, None], swapped_BJ[1], labelled_BJ).float(),
        visible_BJ=torch.where(flip_B[:, None], swapped_BJ[2], visible_BJ).float(),
    )


def on_device(values: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on a device; from host memory to a GPU without waiting for what the GPU is doing."""
    if values.device.type == "cpu" and torch.device(device).type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def to_batch(pixels_BHWC: Tensor) -> Tensor:
    """Crops as they are (uint8 RGB) as normalised network input [B,3,H,W] float32."""
    return normalise_(pixels_BHWC.permute(0, 3, 1, 2).contiguous().float())


def sample_linear(count: int, augmentation: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Maps [B,2,2] from offsets to the crop's centre to offsets to the input's, and which of them mirror [B]."""
    device = generator.device
    flip_turn_2B = torch.rand(2, count, generator=generator, device=device)
    scale_angle_2B = torch.randn(2, count, generator=generator, device=device)
    flip_B = flip_turn_2B[0] < augmentation.flip_p
    scale_B = (1.0 + augmentation.scale * scale_angle_2B[0]).clamp(1.0 - augmentation.scale, 1.0 + augmentation.scale)
    limit_deg = 2.0 * augmentation.rotation_deg
    angle_deg_B = (augmentation.rotation_deg * scale_angle_2B[1]).clamp(-limit_deg, limit_deg)
    angle_B = torch.deg2rad(torch.where(flip_turn_2B[1] < augmentation.rotation_p, angle_deg_B, 0.0))
    cos_B, sin_B = angle_B.cos() / scale_B, angle_B.sin() / scale_B
    mirror_B = torch.where(flip_B, -1.0, 1.0)
    rows = [torch.stack([mirror_B * cos_B, -sin_B], -1), torch.stack([mirror_B * sin_B, cos_B], -1)]
    return torch.stack(rows, -2), flip_B


def sample_gain(count: int, augmentation: Augmentation, generator: torch.Generator) -> Tensor | None:
    """Factors [B,3] of the colour channels, uniform about 1; nothing is drawn where the rule changes no colours."""
    if not augmentation.colour:
        return None
    return 1.0 + augmentation.colour * (2.0 * torch.rand(count, 3, generator=generator, device=generator.device) - 1.0)


def warp(pixels_BhwC: Tensor, to_crop_B22: Tensor, input_hw: tuple[int, int], shift_B2: Tensor | None = None) -> Tensor:
    """Bilinear samples [B,3,H,W], 0..255, of the crop at offsets `to_crop` @ (offset to the input's centre) + shift."""
    height, width = input_hw
    crop_h, crop_w = pixels_BhwC.shape[1:3]
    device = pixels_BhwC.device
    # grid_sample with align_corners=False puts the centre of pixel x of w at (2x + 1) / w - 1.
    per_pixel_2 = _constant((2.0 / crop_w, 2.0 / crop_h), device)
    half_pixel_2 = 0.5 * per_pixel_2  # the crop's centre is at x = w / 2, so (w + 1) / w - 1 = 1 / w
    columns_W = torch.arange(width, device=device) - width / 2.0
    rows_H = torch.arange(height, device=device) - height / 2.0
    # Two outer products and one sum cost a quarter of affine_grid's matrix product.
    columns_BW2 = columns_W[:, None] * (to_crop_B22[:, None, :, 0] * per_pixel_2)
    rows_BH2 = rows_H[:, None] * (to_crop_B22[:, None, :, 1] * per_pixel_2) + half_pixel_2
    if shift_B2 is not None:
        rows_BH2 = rows_BH2 + (shift_B2 * per_pixel_2)[:, None]
    grid_BHW2 = rows_BH2[:, :, None] + columns_BW2[:, None]
    values_B3hw = pixels_BhwC.permute(0, 3, 1, 2).float()  # keeps the strides: no transposing copy
    return F.grid_sample(values_B3hw, grid_BHW2, mode="bilinear", padding_mode="zeros", align_corners=False)


def normalise_(images_B3HW: Tensor) -> Tensor:
    """Subtract ImageNet's mean and divide by its deviation, in place; values come in 0..255."""
    mean = _constant(IMAGENET_MEAN_RGB, images_B3HW.device).view(3, 1, 1) * 255.0
    std = _constant(IMAGENET_STD_RGB, images_B3HW.device).view(3, 1, 1) * 255.0
    return images_B3HW.sub_(mean).div_(std)


def _centre(size_hw: tuple[int, int] | torch.Size, device: torch.device) -> Tensor:
    """Middle (x, y) of a crop in the convention of `crops`: half of its size."""
    return _constant((size_hw[1] / 2.0, size_hw[0] / 2.0), device)


@lru_cache(maxsize=64)
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Numbers on a device, copied there once: a copy from the host makes it wait for the device (M6)."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device)


@lru_cache(maxsize=16)
def _indices(values: tuple[int, ...], device: torch.device) -> Tensor:
    """Likewise, whole numbers."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device)
