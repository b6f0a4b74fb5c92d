"""The paper's first cascade, on VGG: a fully convolutional detector and a regressor of large kernels. A RECOLLECTION.

No code or weights of it were released and the paper's text was not available. A reading note (lixing123, 2017-10-31)
says: fully connected layers turned into convolutions, up-sampling from a stride of 32 to one of 8, a regressor of seven
convolutions with first kernels of 9 to 15 and one transposed convolution. The numbers are remembered, not read; that
the regressor shrinks by 2x2 max pooling behind its first two convolutions is our choice. Nothing is held against it.
N images, J joints, H W rows and columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .model import RGB

VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and 3x3 convolutions before each 2x2 max pooling
WIDE = 4096  # the two fully connected layers, as convolutions


class VggDetector(nn.Module):
    """Images [N,3,H,W] to logits [N,J,H,W]: VGG-16, scores at strides 32, 16 and 8 added up, bilinear by 8."""

    def __init__(self, joints: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        channels_in = RGB
        for channels, depth in VGG16:
            self.stages.append(vgg_stage(channels_in, channels, depth))
            channels_in = channels
        self.wide = nn.Sequential(*conv_relu(channels_in, WIDE, 7), *conv_relu(WIDE, WIDE, 1))
        self.score_8, self.score_16, self.score_32 = (nn.Conv2d(c, joints, 1) for c in (256, 512, WIDE))
        self.up_32, self.up_16 = (nn.ConvTranspose2d(joints, joints, 4, stride=2, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        at_16 = self.score_16(features[3]) + self.up_32(self.score_32(self.wide(features[4])))
        at_8 = self.score_8(features[2]) + self.up_16(at_16)
        return F.interpolate(at_8, scale_factor=8, mode="bilinear", align_corners=False)


class VggCascade(nn.Module):
    """Images [N,3,H,W] to [detection logits, heatmaps], both [N,J,H,W]."""

    def __init__(self, joints: int) -> None:
        super().__init__()
        self.detector = VggDetector(joints)
        self.regressor = nn.Sequential(
            *conv_relu(RGB + joints, 64, 9),
            nn.MaxPool2d(2),
            *conv_relu(64, 64, 13),
            nn.MaxPool2d(2),
            *conv_relu(64, 128, 13),
            *conv_relu(128, 256, 15),
            *conv_relu(256, 512, 1),
            *conv_relu(512, 512, 1),
            nn.Conv2d(512, joints, 1),
            nn.ConvTranspose2d(joints, joints, 8, stride=4, padding=2),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        logits = self.detector(x)
        return [logits, self.regressor(torch.cat((x, logits.sigmoid()), dim=1))]


def vgg_stage(channels_in: int, channels: int, depth: int) -> nn.Sequential:
    """`depth` 3x3 convolutions, each with a ReLU, then 2x2 max pooling."""
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += conv_relu(channels_in if i == 0 else channels, channels, 3)
    return nn.Sequential(*layers, nn.MaxPool2d(2))


def conv_relu(channels_in: int, channels: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]


def cascade_vgg(joints: int) -> VggCascade:
    return VggCascade(joints)
