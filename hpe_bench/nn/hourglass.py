"""Hourglass parts: pre-activation bottleneck, stem, the recursive hourglass itself.

Newell, Yang, Deng, ECCV 2016, section 3.1 and the authors' code. All convolutions have a bias. The parts keep the width
they are given throughout; nothing here knows about joints, which belong to the heads that a paper puts behind.
N images, C channels, H W rows and columns.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """BN, ReLU, 1x1 to half the output width; BN, ReLU, 3x3; BN, ReLU, 1x1; plus skip. [N,C,H,W] to [N,C',H,W].

    The skip sees the raw input; where the widths differ it is a bare 1x1 convolution (`skip.weight`, `skip.bias`).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        half = channels_out // 2
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, half, 1)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, channels_out, 1)
        self.relu = nn.ReLU(inplace=True)  # in place on what BN wrote, never on x
        self.skip = nn.Identity() if channels_in == channels_out else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.relu(self.bn1(x)))
        y = self.conv2(self.relu(self.bn2(y)))
        y = self.conv3(self.relu(self.bn3(y)))
        return y + self.skip(x)


def residuals(count: int, features: int) -> nn.Sequential:
    """`count` residuals of one width in a row (`0.bn1.weight`, ...)."""
    return nn.Sequential(*(Residual(features, features) for _ in range(count)))


def conv_bn_relu(channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Convolution with bias (`0`), BN (`1`), ReLU; the size is kept but for the stride."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


class Stem(nn.Module):
    """Images [N,3,H,W] to features [N,widths[3],H/4,W/4].

    7x7 convolution of stride 2 to widths[0], BN, ReLU; residual to widths[1]; 2x2 max pooling; residuals to widths[2]
    and widths[3]. Newell's widths are 64, 128, 128, 256.
    """

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        w0, w1, w2, w3 = widths
        self.conv = conv_bn_relu(3, w0, kernel=7, stride=2)
        self.res1 = Residual(w0, w1)
        self.res2 = Residual(w1, w2)
        self.res3 = Residual(w2, w3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.res1(self.conv(x))
        return self.res3(self.res2(F.max_pool2d(x, 2)))


class Hourglass(nn.Module):
    """`depth` times down by 2x2 max pooling and up again by nearest neighbours, with a skip branch at each size.

    Every branch is `blocks` residuals of `features` channels: `up1` on the skip, `low1` after the pooling, `low2` the
    hourglass within (residuals at the innermost), `low3` before the up-sampling; the names are those of the authors'
    code. [N,features,H,W] to the same shape; H and W are multiples of 2^depth.
    """

    def __init__(self, depth: int, features: int, blocks: int = 1) -> None:
        super().__init__()
        self.up1 = residuals(blocks, features)
        self.low1 = residuals(blocks, features)
        self.low2 = Hourglass(depth - 1, features, blocks) if depth > 1 else residuals(blocks, features)
        self.low3 = residuals(blocks, features)

    def forward(self, x: Tensor) -> Tensor:
        low = self.low3(self.low2(self.low1(F.max_pool2d(x, 2))))
        return self.up1(x) + F.interpolate(low, scale_factor=2.0, mode="nearest")
