"""ResNet trunk with torchvision's parameter names, narrow or full size.

He et al., Deep Residual Learning, CVPR 2016, tables 1 and 5; the stride of a bottleneck sits in its 3x3 convolution, as
in torchvision and in the pose papers that start from torchvision's ImageNet weights. A pose network derives from
`ResNet`, so its trunk keys are exactly those of an ImageNet file (`conv1.weight`, `layer1.0.bn2.bias`, ...).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """3x3, BN, ReLU, 3x3, BN, plus shortcut, ReLU."""

    expansion = 1

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = projection(channels_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, BN, ReLU, 3x3 (stride here), BN, ReLU, 1x1 to 4 x width, BN, plus shortcut, ReLU."""

    expansion = 4

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        channels_out = width * self.expansion
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = projection(channels_in, channels_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


def projection(channels_in: int, channels_out: int, stride: int) -> nn.Sequential | None:
    """The 1x1 convolution and BN on a shortcut whose two ends differ in shape; None where they agree."""
    if stride == 1 and channels_in == channels_out:
        return None
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out))


@dataclass(frozen=True)
class Layout:
    """Every number of a trunk: the block, how many per stage, their widths, and the channels of the 7x7 stem."""

    block: type[BasicBlock] | type[Bottleneck]
    blocks: tuple[int, int, int, int]
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    stem: int = 64

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the four stages' outputs."""
        return tuple(width * self.block.expansion for width in self.widths)


R18 = Layout(BasicBlock, (2, 2, 2, 2))
R34 = Layout(BasicBlock, (3, 4, 6, 3))
R50 = Layout(Bottleneck, (3, 4, 6, 3))
R101 = Layout(Bottleneck, (3, 4, 23, 3))
R152 = Layout(Bottleneck, (3, 8, 36, 3))


class ResNet(nn.Module):
    """The trunk without pooling and classifier: images [N,3,H,W] to the four stages' features, strides 4 to 32."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, layout.stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(layout.stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        c1, c2, c3, c4 = layout.channels
        self.layer1 = stage(layout, 0, layout.stem, stride=1)
        self.layer2 = stage(layout, 1, c1, stride=2)
        self.layer3 = stage(layout, 2, c2, stride=2)
        self.layer4 = stage(layout, 3, c3, stride=2)
        self.channels_out = c4
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        c2 = self.layer1(x)
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return [c2, c3, c4, self.layer4(c4)]


def stage(layout: Layout, index: int, channels_in: int, stride: int) -> nn.Sequential:
    """The blocks of one stage; the first one has the stride."""
    width, channels = layout.widths[index], layout.channels[index]
    first = layout.block(channels_in, width, stride)
    return nn.Sequential(first, *(layout.block(channels, width, 1) for _ in range(layout.blocks[index] - 1)))
