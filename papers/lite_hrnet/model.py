"""Lite-HRNet: HRNet's parallel branches out of light blocks, which weigh channels across resolutions (Yu et al., 2021).

Parameter names are those of the authors' release without the prefixes of its backbone and head (`weights.py`). Branch 0
has stride 4; branch i has half the resolution and twice the channels of branch i-1.
N images, C channels, H W rows and columns; a list of maps is one a branch, finest first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hpe_bench.nn.resnet import BasicBlock

ACROSS_REDUCTION = 8  # of all branches' channels, inside the cross-resolution weighting
SPATIAL_REDUCTION = 4  # of a branch's channels, inside its spatial weighting

Blocks = Callable[[Sequence[int], int], nn.Module]
"""From the branches' widths and a number of blocks to a module that takes and gives a list of maps."""


@dataclass(frozen=True)
class Layout:
    """Every number of a network: what its modules are made of, how many a stage has, and the branches' widths.

    `repeats` is how often the path down from branch 0 to another one is computed in every fusion. It always counts
    twice; the release computes it twice, which gives the same maps as doubling it (see `Exchange`).
    """

    blocks: Blocks
    widths: tuple[int, int, int, int] = (40, 80, 160, 320)
    modules: tuple[int, int, int] = (2, 4, 2)  # of the stages with 2, 3 and 4 branches
    depth: int = 2  # blocks a module
    stem: int = 32
    repeats: int = 2

    def __post_init__(self) -> None:
        if self.repeats not in (1, 2):
            raise ValueError(f"Lite-HRNet: repeats is {self.repeats}; the path from branch 0 is computed once or twice")


class LiteHRNet(nn.Module):
    """Images [N,3,H,W] to a list of one heatmap stack [N,J,H/4,W/4]; no activation. H and W are multiples of 32."""

    def __init__(self, layout: Layout, joints: int) -> None:
        super().__init__()
        w, stem = layout.widths, layout.stem
        self.stem = Stem(stem)
        self.transition0 = Transition((stem,), w[:2])
        self.stage0 = stage(layout, 0)
        self.transition1 = Transition(w[:2], w[:3])
        self.stage1 = stage(layout, 1)
        self.transition2 = Transition(w[:3], w)
        self.stage2 = stage(layout, 2)
        self.head_layer = IterativeHead(w)
        self.final_layer = nn.Conv2d(w[0], joints, 1)
        init_weights(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        branches = self.stage0(self.transition0([self.stem(x)]))
        branches = self.stage1(self.transition1(branches))
        branches = self.stage2(self.transition2(branches))
        return [self.final_layer(self.head_layer(branches))]


# -------------------------------------------------------------------------------------------------------- layers


def conv(channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size but for the stride."""
    return nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)


def depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    return conv(channels, channels, 3, stride, groups=channels)


def normed(convolution: nn.Conv2d, relu: bool = False) -> nn.Sequential:
    """Convolution (`conv`), BN (`bn`) and, if asked for, ReLU."""
    layers = OrderedDict[str, nn.Module](conv=convolution, bn=nn.BatchNorm2d(convolution.out_channels))
    if relu:
        layers["activate"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)


def separable(channels_in: int, channels_out: int, stride: int = 1, relu: bool = False) -> nn.Sequential:
    """Depthwise 3x3, BN, 1x1, BN and, if asked for, ReLU; numbered `0` to `4`."""
    layers = nn.Sequential(
        *(depthwise(channels_in, stride), nn.BatchNorm2d(channels_in)),
        *(conv(channels_in, channels_out), nn.BatchNorm2d(channels_out)),
    )
    return layers.append(nn.ReLU(inplace=True)) if relu else layers


def shuffled(x: Tensor) -> Tensor:
    """The two halves of the channels dealt out in turns: [N,C,H,W] to the same shape."""
    count, channels, height, width = x.shape
    return x.view(count, 2, channels // 2, height, width).transpose(1, 2).reshape(x.shape)


class Stem(nn.Module):
    """3x3 convolution of stride 2, then a shuffle unit of stride 2: [N,3,H,W] to [N,C,H/4,W/4]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = normed(conv(3, channels, 3, stride=2), relu=True)
        self.branch1 = nn.Sequential(normed(depthwise(half, stride=2)), normed(conv(half, half), relu=True))
        self.expand_conv = normed(conv(half, channels), relu=True)
        self.depthwise_conv = normed(depthwise(channels, stride=2))
        self.linear_conv = normed(conv(channels, half), relu=True)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.conv1(x).chunk(2, dim=1)
        second = self.linear_conv(self.depthwise_conv(self.expand_conv(second)))
        return shuffled(torch.cat((self.branch1(first), second), dim=1))


class Transition(nn.ModuleDict):
    """From one stage's branches to the next one's: each new branch is made from the last old one. Keys are branches."""

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        super().__init__()
        for i, width in enumerate(after):
            if i >= len(before):
                self[str(i)] = nn.Sequential(separable(before[-1], width, stride=2, relu=True))
            elif before[i] != width:
                self[str(i)] = separable(before[i], width, relu=True)
        self.count = len(after)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        last = branches[-1]
        return [self[str(i)](last) if str(i) in self else branches[i] for i in range(self.count)]


# -------------------------------------------------------------------------------------------------------- blocks


class CrossResolutionWeighting(nn.Module):
    """A weight for every channel of every branch, at the resolution of the coarsest, from all branches together."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = list(widths)
        total = sum(widths)
        hidden = total // ACROSS_REDUCTION
        self.conv1 = normed(conv(total, hidden), relu=True)
        self.conv2 = normed(conv(hidden, total))
        self.gate = nn.Sigmoid()

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        *finer, coarsest = branches
        height, width = coarsest.shape[-2:]
        pooled = [F.adaptive_avg_pool2d(x, (height, width)) for x in finer]
        weights = self.gate(self.conv2(self.conv1(torch.cat((*pooled, coarsest), dim=1)))).split(self.widths, dim=1)
        return [x * F.interpolate(w, x.shape[-2:], mode="nearest") for x, w in zip(branches, weights, strict=True)]


class SpatialWeighting(nn.Module):
    """A weight for every channel of one branch, from the means of its channels: [N,C,H,W] to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // SPATIAL_REDUCTION
        self.global_avgpool = nn.AdaptiveAvgPool2d(1)
        self.conv1 = nn.Sequential(OrderedDict(conv=nn.Conv2d(channels, hidden, 1), activate=nn.ReLU(inplace=True)))
        self.conv2 = nn.Sequential(OrderedDict(conv=nn.Conv2d(hidden, channels, 1), activate=nn.Sigmoid()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv2(self.conv1(self.global_avgpool(x)))


class ConditionalChannelWeighting(nn.Module):
    """A shuffle unit over all branches whose 1x1 convolutions are replaced by weights computed from the features.

    Half of each branch's channels pass; the others are weighted across resolutions, go through a depthwise 3x3 and are
    weighted by their own means; then the halves are shuffled. `across` and `spatial` say which weights there are.
    """

    def __init__(self, widths: Sequence[int], across: bool = True, spatial: bool = True) -> None:
        super().__init__()
        halves = [width // 2 for width in widths]
        self.cross_resolution_weighting = CrossResolutionWeighting(halves) if across else nn.Identity()
        self.depthwise_convs = nn.ModuleList(normed(depthwise(half)) for half in halves)
        self.spatial_weighting = nn.ModuleList(SpatialWeighting(half) if spatial else nn.Identity() for half in halves)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        passing, taken = zip(*(x.chunk(2, dim=1) for x in branches), strict=True)
        weighted = self.cross_resolution_weighting(list(taken))
        filtered = [layer(x) for layer, x in zip(self.depthwise_convs, weighted, strict=True)]
        filtered = [layer(x) for layer, x in zip(self.spatial_weighting, filtered, strict=True)]
        return [shuffled(torch.cat(halves, dim=1)) for halves in zip(passing, filtered, strict=True)]


class ShuffleUnit(nn.Module):
    """ShuffleNet V2's unit (Ma et al., ECCV 2018): half of the channels pass, half see 1x1, depthwise 3x3, 1x1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch2 = nn.Sequential(
            normed(conv(half, half), relu=True), normed(depthwise(half)), normed(conv(half, half), relu=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        passing, taken = x.chunk(2, dim=1)
        return shuffled(torch.cat((passing, self.branch2(taken)), dim=1))


class PerBranch(nn.ModuleList):
    """Modules for one branch each: a list of maps to a list of the same shapes."""

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        return [module(x) for module, x in zip(self, branches, strict=True)]


def weighting(widths: Sequence[int], depth: int) -> nn.Module:
    """Lite-HRNet's blocks."""
    return nn.Sequential(*(ConditionalChannelWeighting(widths) for _ in range(depth)))


def across_only(widths: Sequence[int], depth: int) -> nn.Module:
    return nn.Sequential(*(ConditionalChannelWeighting(widths, spatial=False) for _ in range(depth)))


def spatial_only(widths: Sequence[int], depth: int) -> nn.Module:
    return nn.Sequential(*(ConditionalChannelWeighting(widths, across=False) for _ in range(depth)))


def unweighted(widths: Sequence[int], depth: int) -> nn.Module:
    return nn.Sequential(*(ConditionalChannelWeighting(widths, False, False) for _ in range(depth)))


def shuffle(widths: Sequence[int], depth: int) -> nn.Module:
    """The naive Lite-HRNet's blocks."""
    return PerBranch(nn.Sequential(*(ShuffleUnit(width) for _ in range(depth))) for width in widths)


def residual(widths: Sequence[int], depth: int) -> nn.Module:
    """HRNet's blocks."""
    return PerBranch(nn.Sequential(*(BasicBlock(width, width, 1) for _ in range(depth))) for width in widths)


# ------------------------------------------------------------------------------------------------- the network


class Exchange(nn.Module):
    """One module of a stage: its blocks, then every branch sums itself and all others, brought to its size.

    Two things differ from HRNet's exchange, and released weights depend on both. Branch 0 takes itself twice and hands
    its sum, before the ReLU, to the other branches. These take what comes from branch 0 twice: the release computes
    that path twice to add it twice, `repeats` 1 computes it once and doubles it.
    """

    def __init__(self, widths: Sequence[int], layout: Layout) -> None:
        super().__init__()
        self.repeats = layout.repeats
        self.layers = layout.blocks(widths, layout.depth)
        self.fuse_layers = nn.ModuleDict({str(i): sources(widths, i) for i in range(len(widths))})
        self.relu = nn.ReLU()

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        own: list[Tensor] = self.layers(branches)
        own = [self._sum(own[0] + own[0], own, 0), *own[1:]]
        fused = (self._sum(self._from_branch_0(own[0], i), own, i) for i in range(1, len(own)))
        return [self.relu(x) for x in (own[0], *fused)]

    def _from_branch_0(self, x: Tensor, target: int) -> Tensor:
        path = cast(nn.ModuleDict, self.fuse_layers[str(target)])["0"]
        first = path(x)
        return first + (path(x) if self.repeats == 2 else first)

    def _sum(self, total: Tensor, own: list[Tensor], target: int) -> Tensor:
        """`total` and what comes from all branches but branch 0, in their order."""
        layers = cast(nn.ModuleDict, self.fuse_layers[str(target)])
        for source in range(1, len(own)):
            total = total + (own[source] if source == target else layers[str(source)](own[source]))
        return total


def sources(widths: Sequence[int], target: int) -> nn.ModuleDict:
    """How every other branch is brought to the target's resolution and width. Keys are the source branches."""
    others = [j for j in range(len(widths)) if j != target]
    return nn.ModuleDict(
        {str(j): upward(widths, j, target) if j > target else downward(widths, j, target) for j in others}
    )


def upward(widths: Sequence[int], source: int, target: int) -> nn.Sequential:
    """To higher resolution: 1x1, BN, nearest neighbour."""
    scale = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
    return nn.Sequential(conv(widths[source], widths[target]), nn.BatchNorm2d(widths[target]), scale)


def downward(widths: Sequence[int], source: int, target: int) -> nn.Sequential:
    """To lower resolution: a separable convolution a halving; only the last changes the width and has no ReLU."""
    width, steps = widths[source], target - source
    halvings = [separable(width, width, stride=2, relu=True) for _ in range(steps - 1)]
    return nn.Sequential(*halvings, separable(width, widths[target], stride=2))


def stage(layout: Layout, index: int) -> nn.Sequential:
    """The modules of a stage, which has `index` + 2 branches."""
    widths = layout.widths[: index + 2]
    return nn.Sequential(*(Exchange(widths, layout) for _ in range(layout.modules[index])))


class IterativeHead(nn.Module):
    """From the coarsest branch up: separable convolution to the next one's width, bilinear up-sampling, sum."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        upwards = list(reversed(widths))
        self.projects = nn.ModuleList(
            nn.Sequential(
                OrderedDict(
                    depthwise_conv=normed(depthwise(width)), pointwise_conv=normed(conv(width, following), relu=True)
                )
            )
            for width, following in zip(upwards, (*upwards[1:], upwards[-1]), strict=True)
        )

    def forward(self, branches: list[Tensor]) -> Tensor:
        coarsest, *finer = reversed(branches)
        x: Tensor = self.projects[0](coarsest)
        for own, project in zip(finer, list(self.projects)[1:], strict=True):
            x = project(own + F.interpolate(x, own.shape[-2:], mode="bilinear", align_corners=True))
        return x


def init_weights(network: nn.Module) -> None:
    """The authors' initialisation: convolutions N(0, 0.001), biases 0 (released code)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.001)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


# ------------------------------------------------------------------------------------------------------ variants

LITE18 = Layout(weighting)
NAIVE18 = Layout(shuffle, widths=(30, 60, 120, 240))


def lite18(joints: int) -> LiteHRNet:
    return LiteHRNet(LITE18, joints)


def lite30(joints: int) -> LiteHRNet:
    return LiteHRNet(replace(LITE18, modules=(3, 8, 3)), joints)


def naive18(joints: int) -> LiteHRNet:
    return LiteHRNet(NAIVE18, joints)


def wider_naive18(joints: int) -> LiteHRNet:
    return LiteHRNet(replace(NAIVE18, widths=LITE18.widths), joints)


def lite18_once(joints: int) -> LiteHRNet:
    """The same network without computing anything twice: the same weights give the same maps."""
    return LiteHRNet(replace(LITE18, repeats=1), joints)


# ----------------------------------------------------------------------------------------- in miniature

# Half of the modules and of the stem, four fifths of the widths, nothing computed twice.
POCKET = Layout(weighting, widths=(32, 64, 128, 256), modules=(1, 2, 1), stem=16, repeats=1)
POCKET_SHUFFLE = replace(POCKET, blocks=shuffle, widths=(26, 52, 104, 208))
POCKET_RESIDUAL = replace(POCKET, blocks=residual, widths=(7, 14, 28, 56))


def pocket(joints: int) -> LiteHRNet:
    """The same network in miniature: 18.8 MMAC at 128x96."""
    return LiteHRNet(POCKET, joints)


def pocket_shuffle(joints: int) -> LiteHRNet:
    """Shuffle units, narrowed to about the same cost: 19.2 MMAC."""
    return LiteHRNet(POCKET_SHUFFLE, joints)


def pocket_residual(joints: int) -> LiteHRNet:
    """HRNet's residual blocks, narrowed to about the same cost: 19.5 MMAC."""
    return LiteHRNet(POCKET_RESIDUAL, joints)


def pocket_wider_shuffle(joints: int) -> LiteHRNet:
    """Shuffle units of the full width, which costs more: 27.1 MMAC."""
    return LiteHRNet(replace(POCKET, blocks=shuffle), joints)


def pocket_across_only(joints: int) -> LiteHRNet:
    return LiteHRNet(replace(POCKET, blocks=across_only), joints)


def pocket_spatial_only(joints: int) -> LiteHRNet:
    return LiteHRNet(replace(POCKET, blocks=spatial_only), joints)


def pocket_unweighted(joints: int) -> LiteHRNet:
    """Depthwise convolutions and nothing else between the fusions."""
    return LiteHRNet(replace(POCKET, blocks=unweighted), joints)
