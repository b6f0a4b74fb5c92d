"""LPN: SimpleBaseline with light parts (Zhang, Tang, Wu, 2019): depthwise bottlenecks, global context, no stride 32.

Parameter names are those of the authors' release, so a released state dict loads with `strict=True`.
N images, C channels, H W rows and columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from hpe_bench.nn.resnet import BasicBlock, projection
from hpe_bench.nn.resnet import Layout as ResNetLayout

from ..simple_baseline.model import SimpleBaseline

REDUCTION = 16  # of the channels, inside a context block
SMALLEST_HIDDEN = 16  # channels that a context block keeps at least

Context = Callable[[int], nn.Module]


@dataclass(frozen=True)
class Layout:
    """Every number of a network: blocks and widths of the four stages, the stem, the head, the context block.

    `context` makes what stands at the end of every bottleneck for a number of channels; none leaves it out.
    """

    blocks: tuple[int, int, int, int]
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    stem: int = 64
    head: int = 256
    context: Context | None = None


class LPN(nn.Module):
    """Images [N,3,H,W] to a list of one heatmap stack [N,J,H/4,W/4]; no activation. H and W are multiples of 16.

    The last stage keeps stride 16, so that two up-samplings are enough where SimpleBaseline needs three.
    """

    def __init__(self, layout: Layout, joints: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, layout.stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(layout.stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        w1, w2, w3, w4 = layout.widths
        self.layer1 = stage(layout, 0, layout.stem, stride=1)
        self.layer2 = stage(layout, 1, w1, stride=2)
        self.layer3 = stage(layout, 2, w2, stride=2)
        self.layer4 = stage(layout, 3, w3, stride=1)
        self.deconv_layers = light_deconvolutions(w4, 2, layout.head)
        self.final_layer = nn.Conv2d(layout.head, joints, 1)
        init_weights(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return [self.final_layer(self.deconv_layers(x))]


class LightBottleneck(nn.Module):
    """1x1, BN, ReLU, depthwise 3x3 (stride here), BN, ReLU, 1x1, BN, context, plus shortcut, ReLU; of one width."""

    def __init__(self, channels_in: int, width: int, stride: int, context: Context | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, groups=width, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = projection(channels_in, width, stride)
        self.att = None if context is None else context(width)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        if self.att is not None:
            x = self.att(x)
        return self.relu(x + shortcut)


class GlobalContext(nn.Module):
    """Adds to every position what one attention map over all of them reads (Cao et al., GCNet, 2019).

    [N,C,H,W] to the same shape. A 1x1 convolution scores the positions; their softmax weighs the features to one
    vector, which goes through a small bottleneck (1x1, layer norm, ReLU, 1x1). The weighted mean is elementwise
    arithmetic and a sum, which count no multiply-adds.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = hidden_channels(channels)
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.LayerNorm([hidden, 1, 1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        share = self.conv_mask(x).flatten(2).softmax(-1)  # [N,1,HW]
        context = (x.flatten(2) * share).sum(-1)[:, :, None, None]
        return x + self.channel_add_conv(context)


class SqueezeExcitation(nn.Module):
    """Scales every channel by a gate that reads the mean of all of them (Hu et al., CVPR 2018): [N,C,H,W] to same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = hidden_channels(channels)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(self.avg_pool(x).flatten(1))[:, :, None, None]


def hidden_channels(channels: int) -> int:
    """Width of the bottleneck inside a context block."""
    return max(channels // REDUCTION, SMALLEST_HIDDEN)


def stage(layout: Layout, index: int, channels_in: int, stride: int) -> nn.Sequential:
    """The bottlenecks of one stage; the first one has the stride."""
    width, context = layout.widths[index], layout.context
    first = LightBottleneck(channels_in, width, stride, context)
    rest = (LightBottleneck(width, width, 1, context) for _ in range(layout.blocks[index] - 1))
    return nn.Sequential(first, *rest)


def light_deconvolutions(channels_in: int, count: int, width: int) -> nn.Sequential:
    """`count` times: grouped 4x4 transposed convolution of stride 2, BN, ReLU, 1x1, BN, ReLU.

    As many groups as both widths allow: every output channel sees one or two input channels.
    """
    layers: list[nn.Module] = []
    for _ in range(count):
        groups = math.gcd(channels_in, width)
        layers += [
            nn.ConvTranspose2d(channels_in, width, 4, stride=2, padding=1, groups=groups, bias=False),
            *(nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
            nn.Conv2d(width, width, 1, bias=False),
            *(nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
        ]
        channels_in = width
    return nn.Sequential(*layers)


def init_weights(network: nn.Module) -> None:
    """The authors' initialisation: all convolutions N(0, 0.001) (released code); biases 0, which is ours."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.001)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


# ------------------------------------------------------------------------------------------------------ variants

LPN50 = Layout((3, 4, 6, 3), context=GlobalContext)


def lpn50(joints: int) -> LPN:
    return LPN(LPN50, joints)


def lpn101(joints: int) -> LPN:
    return LPN(replace(LPN50, blocks=(3, 4, 23, 3)), joints)


def lpn152(joints: int) -> LPN:
    return LPN(replace(LPN50, blocks=(3, 8, 36, 3)), joints)


def lpn50_no_context(joints: int) -> LPN:
    return LPN(replace(LPN50, context=None), joints)


def lpn50_se(joints: int) -> LPN:
    return LPN(replace(LPN50, context=SqueezeExcitation), joints)


# ----------------------------------------------------------------------------------------- in miniature

# About half of LPN-50's blocks, a quarter of its widths, an eighth of its stem: at a quarter its 7x7 convolution would
# be half of the network.
POCKET = Layout((1, 2, 3, 1), widths=(16, 32, 64, 128), stem=8, head=32, context=GlobalContext)
PLAIN = ResNetLayout(BasicBlock, blocks=(1, 1, 1, 1), widths=(10, 20, 40, 80), stem=8)
PLAIN_HEAD = 20


def pocket(joints: int) -> LPN:
    """The same network in miniature: 10.1 MMAC at 128x96, 23 % of SimpleBaseline's miniature (in the paper 20 %)."""
    return LPN(POCKET, joints)


def pocket_no_context(joints: int) -> LPN:
    return LPN(replace(POCKET, context=None), joints)


def pocket_se(joints: int) -> LPN:
    return LPN(replace(POCKET, context=SqueezeExcitation), joints)


def pocket_plain(joints: int) -> SimpleBaseline:
    """SimpleBaseline's miniature, narrowed to the multiply-adds of LPN's: 10.2 MMAC."""
    return SimpleBaseline(PLAIN, joints, width=PLAIN_HEAD)
