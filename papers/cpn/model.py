"""Cascaded Pyramid Network: GlobalNet finds the easy joints, RefineNet the hard ones (Chen et al., CVPR 2018, 3.2).

Two published layouts exist. "Identity" follows the first author's TensorFlow code (27.0 M parameters with ResNet-50,
the figure that later papers quote); "projection" follows the common PyTorch port, whose parameter names are used for
both, so its released state dicts load with `strict=True`. They differ in the shortcuts of RefineNet's bottlenecks, in
the convolution before each sum of the pyramid, and in where a predictor's BN stands (see README.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hpe_bench.nn.resnet import R50, R101, Layout, ResNet

from ..simple_baseline.model import POCKET as POCKET_TRUNK

PYRAMID = 256  # channels of every pyramid level
POCKET_PYRAMID = 32
BOTTLENECKS = (3, 2, 1, 0)  # RefineNet's, per level C5..C2 (both codes)


@dataclass(frozen=True)
class Style:
    """What the two published layouts do differently."""

    always_project: bool  # a 1x1 and BN on the shortcut even where the shape stays; else the identity
    merge_bn: bool  # BN behind the 1x1 before each sum; else a bias
    align_corners: bool  # of every bilinear upsampling
    bn_after_resize: bool  # of a predictor's map; else before


IDENTITY = Style(always_project=False, merge_bn=False, align_corners=False, bn_after_resize=False)
PROJECTION = Style(always_project=True, merge_bn=True, align_corners=True, bn_after_resize=True)


class CPN(nn.Module):
    """Images [N,3,H,W] to five heatmap stacks [N,J,H/4,W/4]: GlobalNet's from C5 (coarse) to C2, then RefineNet's.

    All are linear. Every level's map is resized to a quarter of the input before it is compared with its target.
    `bottlenecks` are RefineNet's per level, coarse to fine; fewer than four leave the coarsest levels out of RefineNet.
    """

    def __init__(
        self,
        trunk: Layout,
        joints: int,
        style: Style,
        width: int = PYRAMID,
        bottlenecks: tuple[int, ...] = BOTTLENECKS,
    ) -> None:
        super().__init__()
        self.resnet = ResNet(trunk)
        self.global_net = GlobalNet(trunk.channels[::-1], width, joints, style)
        self.refine_net = RefineNet(width, joints, style, bottlenecks)

    def forward(self, x: Tensor) -> list[Tensor]:
        features, maps = self.global_net(self.resnet(x))
        return [*maps, self.refine_net(features)]


class GlobalOnly(nn.Module):
    """GlobalNet without RefineNet (Tables 3 and 4): four stacks [N,J,H/4,W/4], from C5 to C2."""

    def __init__(self, trunk: Layout, joints: int, style: Style, width: int = PYRAMID) -> None:
        super().__init__()
        self.resnet = ResNet(trunk)
        self.global_net = GlobalNet(trunk.channels[::-1], width, joints, style)

    def forward(self, x: Tensor) -> list[Tensor]:
        _, maps = self.global_net(self.resnet(x))
        return list(maps)


class GlobalNet(nn.Module):
    """A feature pyramid with a 1x1 before each sum, and one predictor a level.

    From the trunk's C2..C5 to the merged features and the heatmaps, both as lists from C5 to C2.
    """

    def __init__(self, channels: Sequence[int], width: int, joints: int, style: Style) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(conv_bn_relu(c, width) for c in channels)
        self.upsamples = nn.ModuleList(merge(width, style) for _ in channels[1:])
        self.predict = nn.ModuleList(Predictor(width, joints, style) for _ in channels)
        init_head(self)

    def forward(self, stages: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        c5, *finer = reversed(stages)
        features = [self.laterals[0](c5)]
        for lateral, up, stage in zip(self.laterals[1:], self.upsamples, finer, strict=True):
            features.append(lateral(stage) + up(features[-1]))
        size = features[-1].shape[-2:]
        maps = [predictor(x, size) for predictor, x in zip(self.predict, features, strict=True)]
        return features, maps


class Predictor(nn.ModuleDict):
    """1x1, BN, ReLU, 3x3 to a map a joint, and BN before or after the map is resized to the output's size.

    Keys are the places of these layers in the port, where the resizing is layer 4.
    """

    def __init__(self, width: int, joints: int, style: Style) -> None:
        conv, norm, relu = conv_bn_relu(width, width)
        predict = nn.Conv2d(width, joints, 3, padding=1, bias=False)
        super().__init__({"0": conv, "1": norm, "2": relu, "3": predict, "5": nn.BatchNorm2d(joints)})
        self.style = style

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        maps = self["3"](self["2"](self["1"](self["0"](x))))
        norm = self["5"]
        if self.style.bn_after_resize:
            return norm(resized(maps, size, self.style))
        return resized(norm(maps), size, self.style)


class RefineNet(nn.Module):
    """More bottlenecks the coarser the level, everything resized to the finest level, concatenated, one more stage."""

    def __init__(self, width: int, joints: int, style: Style, bottlenecks: tuple[int, ...]) -> None:
        super().__init__()
        self.style = style
        self.cascade = nn.ModuleList(
            nn.Sequential(*(Bottleneck(width, width, style.always_project) for _ in range(count)))
            for count in bottlenecks
        )
        self.final_predict = nn.Sequential(
            Bottleneck(len(bottlenecks) * width, width, style.always_project),
            nn.Conv2d(width, joints, 3, padding=1, bias=False),
            nn.BatchNorm2d(joints),
        )
        init_head(self)

    def forward(self, features: list[Tensor]) -> Tensor:
        size = features[-1].shape[-2:]
        used = features[-len(self.cascade) :]
        levels = [resized(blocks(x), size, self.style) for blocks, x in zip(self.cascade, used, strict=True)]
        return self.final_predict(torch.cat(levels, dim=1))


class Bottleneck(nn.Module):
    """1x1 to half the output's channels (a quarter in ResNet's), 3x3, 1x1, plus shortcut, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, always_project: bool) -> None:
        super().__init__()
        width = channels_out // 2
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU(inplace=True)
        project = always_project or channels_in != channels_out
        self.downsample = conv_bn(channels_in, channels_out) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


def merge(width: int, style: Style) -> nn.Sequential:
    """The way down to the next finer level: bilinear x2, 1x1 with BN or with a bias."""
    up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=style.align_corners)
    if style.merge_bn:
        return nn.Sequential(up, *conv_bn(width, width))
    return nn.Sequential(up, nn.Conv2d(width, width, 1))


def conv_bn(channels_in: int, channels_out: int) -> nn.Sequential:
    """1x1, BN."""
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out))


def conv_bn_relu(channels_in: int, channels_out: int) -> nn.Sequential:
    """1x1, BN, ReLU."""
    return conv_bn(channels_in, channels_out).append(nn.ReLU(inplace=True))


def resized(maps: Tensor, size: Sequence[int], style: Style) -> Tensor:
    """Bilinear resampling to `size` (rows, columns)."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=style.align_corners)


def init_head(head: nn.Module) -> None:
    """He-normal by fan-out, biases 0, as the port initialises everything behind the trunk."""
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


# ------------------------------------------------------------------------------------------------------ variants


def r50(joints: int) -> CPN:
    """27.0 M parameters."""
    return CPN(R50, joints, IDENTITY)


def r101(joints: int) -> CPN:
    return CPN(R101, joints, IDENTITY)


def r50_projection(joints: int) -> CPN:
    """27.4 M parameters."""
    return CPN(R50, joints, PROJECTION)


def r101_projection(joints: int) -> CPN:
    return CPN(R101, joints, PROJECTION)


def r50_global_only(joints: int) -> GlobalOnly:
    """Tables 3 and 4: GlobalNet only."""
    return GlobalOnly(R50, joints, IDENTITY)


def r50_concat(joints: int) -> CPN:
    """Table 4: the levels are concatenated without bottlenecks of their own."""
    return CPN(R50, joints, PROJECTION, bottlenecks=(0, 0, 0, 0))


def r50_one_each(joints: int) -> CPN:
    """Table 4: one bottleneck on every level."""
    return CPN(R50, joints, PROJECTION, bottlenecks=(1, 1, 1, 1))


def r50_c2(joints: int) -> CPN:
    """Table 5: RefineNet sees C2 alone."""
    return CPN(R50, joints, PROJECTION, bottlenecks=(0,))


def r50_c2_c3(joints: int) -> CPN:
    """Table 5: RefineNet sees C2 and C3."""
    return CPN(R50, joints, PROJECTION, bottlenecks=(1, 0))


def r50_c2_c4(joints: int) -> CPN:
    """Table 5: RefineNet sees C2 to C4."""
    return CPN(R50, joints, PROJECTION, bottlenecks=(2, 1, 0))


def pocket(joints: int) -> CPN:
    """The same pyramid in miniature, on SimpleBaseline's pocket trunk: 52.6 MMAC at 128x96."""
    return CPN(POCKET_TRUNK, joints, IDENTITY, width=POCKET_PYRAMID)


def pocket_global_only(joints: int) -> GlobalOnly:
    return GlobalOnly(POCKET_TRUNK, joints, IDENTITY, width=POCKET_PYRAMID)
