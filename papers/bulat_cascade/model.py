"""Cascade of a part detector (ResNet-152) and a heatmap regressor (hourglass), as in the released model.

The layout is read off the released weights through third parties that load them (see README.md): every layer but the
regressor's last two is determined. All convolutions carry a bias, also in front of a BN. Our own parameter names: the
release is a Torch7 file without any.
N images, C channels, J joints, H W rows and columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hpe_bench.nn.hourglass import Residual, conv_bn_relu, residuals
from hpe_bench.nn.resnet import R152, BasicBlock, Layout, ResNet, stage

RGB = 3

# 28.0 MMAC at 128x96; the wide one, 53.3, costs what the whole pocket cascade costs (52.9)
POCKET = Layout(BasicBlock, blocks=(1, 1, 1, 1), widths=(16, 28, 40, 56), stem=16)
POCKET_WIDE = Layout(BasicBlock, blocks=(1, 1, 1, 1), widths=(24, 40, 56, 80), stem=24)
POCKET_STRIDE = 4


class Detector(ResNet):
    """Images [N,3,H,W] to a list of one stack of logits [N,J,H/stride,W/stride]: is the pixel on the part?

    A ResNet whose last stages stay at `trunk_stride` (16 or 8), a 1x1 convolution to one channel a joint, and one
    transposed convolution from there to the size of the maps, whose kernel equals its stride. So a cell of the trunk
    has one number a joint to draw its patch with: the disc should not be much smaller than the cell.
    """

    def __init__(self, layout: Layout, joints: int, stride: int, trunk_stride: int) -> None:
        super().__init__(layout)
        self.layer3 = stage(layout, 2, layout.channels[1], stride=trunk_stride // 8)
        self.layer4 = stage(layout, 3, layout.channels[2], stride=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                module.bias = nn.Parameter(torch.zeros(module.out_channels))
        self.score = nn.Conv2d(layout.channels[3], joints, 1)
        self.upsample = enlarge(joints, trunk_stride // stride)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.upsample(self.score(super().forward(x)[-1]))]


class GrowingHourglass(nn.Module):
    """`depth` times down by 2x2 max pooling and up again by 2x2 transposed convolutions; [N,C,H,W] to [N,2C,H,W].

    Unlike Newell's, it doubles the width on the skips and at the bottom, up-samples by learned kernels, and follows
    every addition but the outermost by a residual.
    """

    def __init__(self, depth: int, features: int, blocks: int) -> None:
        super().__init__()
        wide = 2 * features
        self.skip = nn.Sequential(*residuals(blocks - 1, features), Residual(features, wide))
        self.down = residuals(blocks, features)
        bottom = GrowingHourglass(depth - 1, features, blocks) if depth > 1 else Residual(features, wide)
        self.within = nn.Sequential(bottom, Residual(wide, wide))
        self.up = enlarge(wide, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.up(self.within(self.down(F.max_pool2d(x, 2))))


class Regressor(nn.Module):
    """Image and part maps [N,C,h,w] to heatmaps [N,J,h,w]; `factor` is how much smaller the stem makes them."""

    def __init__(self, stem: nn.Module, depth: int, features: int, blocks: int, joints: int, factor: int) -> None:
        super().__init__()
        self.stem = stem
        self.hourglass = GrowingHourglass(depth, features, blocks)
        self.head = nn.Sequential(
            conv_bn_relu(2 * features, 2 * features),
            conv_bn_relu(2 * features, features),
            nn.Conv2d(features, joints, 1),
        )
        self.upsample = enlarge(joints, factor) if factor > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        heatmaps: Tensor = self.upsample(self.head(self.hourglass(self.stem(x))))
        return heatmaps


class Cascade(nn.Module):
    """Images [N,3,H,W] to [detection logits, heatmaps], both [N,J,H/stride,W/stride].

    The regressor sees the image first and the detector's probabilities after it (the channel order of the release).
    Where maps are smaller than the image, its pixels are folded into channels so that none is lost.
    """

    def __init__(self, detector: Detector, regressor: Regressor, stride: int) -> None:
        super().__init__()
        self.detector = detector
        self.fold = nn.PixelUnshuffle(stride)
        self.regressor = regressor

    def forward(self, x: Tensor) -> list[Tensor]:
        (logits,) = self.detector(x)
        return [logits, self.regressor(torch.cat((self.fold(x), logits.sigmoid()), dim=1))]


class RegressionOnly(nn.Module):
    """The paper's control without detection: the same regressor on the image alone, [N,3,H,W] to [heatmaps]."""

    def __init__(self, regressor: Regressor, stride: int) -> None:
        super().__init__()
        self.fold = nn.PixelUnshuffle(stride)
        self.regressor = regressor

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.regressor(self.fold(x))]


def enlarge(channels: int, factor: int) -> nn.ConvTranspose2d:
    """A transposed convolution whose kernel equals its stride: each pixel becomes a patch of its own."""
    return nn.ConvTranspose2d(channels, channels, factor, stride=factor)


def released_stem(channels_in: int) -> nn.Sequential:
    """7x7 of stride 2, residual, 2x2 max pooling, three residuals: a quarter of the size, 256 channels."""
    return nn.Sequential(
        conv_bn_relu(channels_in, 64, kernel=7, stride=2),
        Residual(64, 128),
        nn.MaxPool2d(2),
        Residual(128, 128),
        Residual(128, 128),
        Residual(128, 256),
    )


def released_regressor(channels_in: int, joints: int) -> Regressor:
    """17,370,528 parameters for 19 channels and 16 joints. The last 1x1 and the enlargement by 4 are our inference."""
    return Regressor(released_stem(channels_in), depth=4, features=256, blocks=3, joints=joints, factor=4)


def pocket_regressor(channels_in: int, joints: int) -> Regressor:
    """In miniature: the maps are at a quarter already, so the stem keeps the size."""
    stem = nn.Sequential(conv_bn_relu(channels_in, 28), Residual(28, 28))
    return Regressor(stem, depth=3, features=28, blocks=1, joints=joints, factor=1)


def detector_r152(joints: int) -> Detector:
    return Detector(R152, joints, stride=1, trunk_stride=16)


def cascade_r152(joints: int) -> Cascade:
    return Cascade(detector_r152(joints), released_regressor(RGB + joints, joints), stride=1)


def regression_only(joints: int) -> RegressionOnly:
    return RegressionOnly(released_regressor(RGB, joints), stride=1)


def pocket_detector(joints: int) -> Detector:
    """The trunk stays at stride 8, where a cell is to a person what it is at full size (10 px disc, 16 px cell)."""
    return Detector(POCKET, joints, POCKET_STRIDE, trunk_stride=8)


def pocket_detector_wide(joints: int) -> Detector:
    return Detector(POCKET_WIDE, joints, POCKET_STRIDE, trunk_stride=8)


def pocket_cascade(joints: int) -> Cascade:
    regressor = pocket_regressor(RGB * POCKET_STRIDE**2 + joints, joints)
    return Cascade(pocket_detector(joints), regressor, POCKET_STRIDE)


def pocket_regression_only(joints: int) -> RegressionOnly:
    return RegressionOnly(pocket_regressor(RGB * POCKET_STRIDE**2, joints), POCKET_STRIDE)
