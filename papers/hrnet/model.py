"""HRNet: parallel branches of falling resolution that exchange what they know, again and again (Sun et al., CVPR 2019).

Parameter names are those of the authors' release, so a released state dict loads with `strict=True`. Branch 0 has the
highest resolution (stride 4) and C channels; branch i has half the resolution and twice the channels of branch i-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor, nn

from hpe_bench.nn.resnet import BasicBlock, Bottleneck


@dataclass(frozen=True)
class Layout:
    """Every number of a network.

    `fused` has one entry per module of stages 2, 3 and 4: whether the branches exchange features at its end. All are
    fused in the published network; the ablation of Table 6 switches some off. `head` is the branch that the heatmaps
    are read from, the only one that the very last module fuses into.
    """

    width: int  # C, the channels of branch 0
    stem: int = 64
    bottleneck_width: int = 64  # stage 1; its output has four times as many channels
    bottlenecks: int = 4
    branches: tuple[int, int, int] = (2, 3, 4)
    fused: tuple[tuple[bool, ...], ...] = ((True,), (True,) * 4, (True,) * 3)
    blocks: int = 4  # residual blocks per branch and module
    head: int = 0

    def widths(self, count: int) -> tuple[int, ...]:
        """Channels of the first `count` branches."""
        return tuple(self.width * 2**i for i in range(count))


FINAL_ONLY = ((False,), (False,) * 4, (False, False, True))  # Table 6: 1 fusion
ACROSS_STAGES = ((True,), (False, False, False, True), (False, False, True))  # Table 6: 3 fusions
# Without any fusion nothing but branch 0 reaches the heatmaps, so nothing else is built.
NEVER = ((False,), (False,) * 4, (False,) * 3)
ALONE = (1, 1, 1)  # branches


class HRNet(nn.Module):
    """Images [N,3,H,W] to a list of one heatmap stack [N,J,h,w], h = H / (4 * 2^head); no activation.

    H and W must be multiples of 32, so that the branches' sizes match when they are fused.
    """

    def __init__(self, layout: Layout, joints: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, layout.stem, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(layout.stem)
        self.conv2 = nn.Conv2d(layout.stem, layout.stem, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(layout.stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = bottlenecks(layout)
        stage1 = (layout.bottleneck_width * Bottleneck.expansion,)
        stage2, stage3, stage4 = (layout.widths(count) for count in layout.branches)
        self.transition1 = Transition(stage1, stage2)
        self.stage2 = stage(stage2, layout.blocks, layout.fused[0])
        self.transition2 = Transition(stage2, stage3)
        self.stage3 = stage(stage3, layout.blocks, layout.fused[1])
        self.transition3 = Transition(stage3, stage4)
        self.stage4 = stage(stage4, layout.blocks, layout.fused[2], last_into=(layout.head,))
        self.head = layout.head
        self.final_layer = nn.Conv2d(stage4[layout.head], joints, 1)
        init_weights(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        branches = self.stage2(self.transition1([self.layer1(x)]))
        branches = self.stage3(self.transition2(branches))
        branches = self.stage4(self.transition3(branches))
        return [self.final_layer(branches[self.head])]


class Transition(nn.ModuleDict):
    """From one stage's branches to the next one's: each new branch is made from the last old one.

    Old branches that keep their width pass unchanged; after stage 1 branch 0 changes its width too. Keys are branches.
    """

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        super().__init__()
        for i, width in enumerate(after):
            if i >= len(before):
                self[str(i)] = nn.Sequential(conv_bn(before[-1], width, stride=2, relu=True))
            elif before[i] != width:
                self[str(i)] = conv_bn(before[i], width, stride=1, relu=True)
        self.count = len(after)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        last = branches[-1]
        return [self[str(i)](last) if str(i) in self else branches[i] for i in range(self.count)]


class Exchange(nn.Module):
    """One module of a stage: residual blocks on every branch, then each target branch sums all of them.

    `into` are the branches that receive; the others end here unchanged. Empty: no exchange at all.
    """

    def __init__(self, widths: Sequence[int], blocks: int, into: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(w, w, 1) for _ in range(blocks))) for w in widths)
        self.fuse_layers = nn.ModuleDict({str(i): sources(widths, i) for i in into})
        self.relu = nn.ReLU(inplace=True)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        own = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        return [self._fused(own, i) if str(i) in self.fuse_layers else x for i, x in enumerate(own)]

    def _fused(self, own: list[Tensor], target: int) -> Tensor:
        total = own[target]
        for source, layer in cast(nn.ModuleDict, self.fuse_layers[str(target)]).items():
            total = total + layer(own[int(source)])
        return self.relu(total)


def sources(widths: Sequence[int], target: int) -> nn.ModuleDict:
    """How every other branch is brought to the target's resolution and width. Keys are the source branches."""
    others = [j for j in range(len(widths)) if j != target]
    return nn.ModuleDict(
        {str(j): upward(widths, j, target) if j > target else downward(widths, j, target) for j in others}
    )


def upward(widths: Sequence[int], source: int, target: int) -> nn.Sequential:
    """To higher resolution: 1x1, BN, nearest neighbour."""
    layers = conv_bn(widths[source], widths[target], kernel=1)
    return layers.append(nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"))


def downward(widths: Sequence[int], source: int, target: int) -> nn.Sequential:
    """To lower resolution: 3x3 of stride 2, once a halving; only the last changes the width and has no ReLU."""
    steps = [conv_bn(widths[source], widths[source], stride=2, relu=True) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, conv_bn(widths[source], widths[target], stride=2))


def conv_bn(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1, relu: bool = False) -> nn.Sequential:
    """Convolution without bias, BN and, if asked for, ReLU."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
    layers = nn.Sequential(conv, nn.BatchNorm2d(channels_out))
    return layers.append(nn.ReLU(inplace=True)) if relu else layers


def bottlenecks(layout: Layout) -> nn.Sequential:
    """Stage 1: ResNet bottlenecks at stride 4."""
    width, channels = layout.bottleneck_width, layout.bottleneck_width * Bottleneck.expansion
    rest = (Bottleneck(channels, width, 1) for _ in range(layout.bottlenecks - 1))
    return nn.Sequential(Bottleneck(layout.stem, width, 1), *rest)


def stage(
    widths: Sequence[int], blocks: int, fused: Sequence[bool], last_into: Sequence[int] | None = None
) -> nn.Sequential:
    """The modules of a stage; `last_into` are the branches that the last one fuses into, by default all."""
    everywhere = range(len(widths))
    into: list[Sequence[int]] = [everywhere if f else () for f in fused]
    if last_into is not None and fused[-1]:
        into[-1] = last_into
    return nn.Sequential(*(Exchange(widths, blocks, targets) for targets in into))


def init_weights(network: nn.Module) -> None:
    """The authors' initialisation: convolutions N(0, 0.001), biases 0 (released code)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.001)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


# ------------------------------------------------------------------------------------------------------ variants


def w32(joints: int) -> HRNet:
    return HRNet(Layout(width=32), joints)


def w48(joints: int) -> HRNet:
    return HRNet(Layout(width=48), joints)


def w32_final_only(joints: int) -> HRNet:
    """Table 6: the branches meet once, at the very end."""
    return HRNet(Layout(width=32, fused=FINAL_ONLY), joints)


def w32_across_stages(joints: int) -> HRNet:
    """Table 6: the branches meet at the end of every stage."""
    return HRNet(Layout(width=32, fused=ACROSS_STAGES), joints)


def branch0_only(joints: int) -> HRNet:
    """The high resolution alone, widened to the cost of W32 (7.80 against 7.65 GMAC at 256x192)."""
    return HRNet(Layout(width=60, branches=ALONE, fused=NEVER), joints)


def w32_2x(joints: int) -> HRNet:
    """Figure 5: heatmaps from branch 1, half the resolution."""
    return HRNet(Layout(width=32, head=1), joints)


def w32_4x(joints: int) -> HRNet:
    return HRNet(Layout(width=32, head=2), joints)


def w32_8x(joints: int) -> HRNet:
    return HRNet(Layout(width=32, head=3), joints)


def w48_2x(joints: int) -> HRNet:
    return HRNet(Layout(width=48, head=1), joints)


def w48_4x(joints: int) -> HRNet:
    return HRNet(Layout(width=48, head=2), joints)


# One residual block a branch, one module a stage but for stage 3: 4 fusions where the published network has 8.
POCKET = Layout(
    width=16,
    stem=12,
    bottleneck_width=8,
    bottlenecks=1,
    fused=((True,), (True, True), (True,)),
    blocks=1,
)


def pocket(joints: int) -> HRNet:
    """The same network in miniature: 59.7 MMAC at 128x96."""
    return HRNet(POCKET, joints)


def pocket_final_only(joints: int) -> HRNet:
    return HRNet(replace(POCKET, fused=((False,), (False, False), (True,))), joints)


def pocket_across_stages(joints: int) -> HRNet:
    return HRNet(replace(POCKET, fused=((True,), (False, True), (True,))), joints)


def pocket_branch0_only(joints: int) -> HRNet:
    """The high resolution alone, widened to the same cost: 59.7 MMAC."""
    never = ((False,), (False, False), (False,))
    return HRNet(replace(POCKET, width=30, branches=ALONE, fused=never), joints)


def pocket_2x(joints: int) -> HRNet:
    return HRNet(replace(POCKET, head=1), joints)


def pocket_4x(joints: int) -> HRNet:
    return HRNet(replace(POCKET, head=2), joints)
