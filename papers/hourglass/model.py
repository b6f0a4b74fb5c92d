"""Stacked hourglass (Newell et al., ECCV 2016, section 3): a stem, then hourglasses in a row, each with heatmaps.

Two stems are in use. Newell's keeps 128 channels after the pooling and widens in its last residual; the common PyTorch
port, which the FPD release shares, widens one residual earlier and scales all of the stem with the features.
"""

from __future__ import annotations

from torch import Tensor, nn

from hpe_bench.nn.hourglass import Hourglass, Stem, conv_bn_relu, residuals

from ..simple_baseline.model import init_head

NEWELL_STEM = (64, 128, 128, 256)  # channels of the 7x7 convolution and of the three residuals
PORT_STEM = (64, 128, 256, 256)  # features / 4, features / 2, features, features
POCKET_STEM = (8, 16, 32, 32)  # the ratios of the port's stem
POCKET_DEPTH = 3  # 32x24 is halved three times, to 4x3; the full size is halved four times, to 4x4


class StackedHourglass(nn.Module):
    """Images [N,3,H,W] to a list of `stacks` heatmap stacks [N,J,H/4,W/4], no activation; H, W multiples of 4*2^depth.

    A stack: hourglass, `blocks` residuals, 1x1 convolution with BN and ReLU (the features), 1x1 convolution to maps.
    The next stack's input is this one's, plus the features and the heatmaps, each through a 1x1 convolution.
    """

    def __init__(
        self, stem: tuple[int, int, int, int], stacks: int, joints: int, blocks: int = 1, depth: int = 4
    ) -> None:
        super().__init__()
        width = stem[-1]
        self.stem = Stem(stem)
        self.hourglasses = nn.ModuleList(Hourglass(depth, width, blocks) for _ in range(stacks))
        self.residuals = nn.ModuleList(residuals(blocks, width) for _ in range(stacks))
        self.features = nn.ModuleList(conv_bn_relu(width, width) for _ in range(stacks))
        self.heatmaps = nn.ModuleList(nn.Conv2d(width, joints, 1) for _ in range(stacks))
        self.merge_features = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks - 1))
        self.merge_heatmaps = nn.ModuleList(nn.Conv2d(joints, width, 1) for _ in range(stacks - 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        outputs = []
        for stack, hourglass in enumerate(self.hourglasses):
            features = self.features[stack](self.residuals[stack](hourglass(x)))
            outputs.append(self.heatmaps[stack](features))
            if stack < len(self.merge_features):
                x = x + self.merge_features[stack](features) + self.merge_heatmaps[stack](outputs[-1])
        return outputs


# ----------------------------------------------------------------------------------------- the paper: Newell's stem


def s1(joints: int) -> StackedHourglass:
    return StackedHourglass(NEWELL_STEM, 1, joints)


def s2(joints: int) -> StackedHourglass:
    return StackedHourglass(NEWELL_STEM, 2, joints)


def s4(joints: int) -> StackedHourglass:
    return StackedHourglass(NEWELL_STEM, 4, joints)


def s8(joints: int) -> StackedHourglass:
    return StackedHourglass(NEWELL_STEM, 8, joints)


def s4_b2(joints: int) -> StackedHourglass:
    """Half the stacks of s8, twice the residuals in each: the paper's comparison at equal capacity."""
    return StackedHourglass(NEWELL_STEM, 4, joints, blocks=2)


def s2_b4(joints: int) -> StackedHourglass:
    return StackedHourglass(NEWELL_STEM, 2, joints, blocks=4)


def s1_b8(joints: int) -> StackedHourglass:
    return StackedHourglass(NEWELL_STEM, 1, joints, blocks=8)


# ----------------------------------------------------------------------------------------- the common PyTorch port


def s1_port(joints: int) -> StackedHourglass:
    return StackedHourglass(PORT_STEM, 1, joints)


def s2_port(joints: int) -> StackedHourglass:
    return StackedHourglass(PORT_STEM, 2, joints)


def s4_port(joints: int) -> StackedHourglass:
    return StackedHourglass(PORT_STEM, 4, joints)


def s8_port(joints: int) -> StackedHourglass:
    return StackedHourglass(PORT_STEM, 8, joints)


# ----------------------------------------------------------------------------------------- in miniature


def miniature(stem: tuple[int, int, int, int], stacks: int, joints: int, blocks: int = 1) -> StackedHourglass:
    """A network for inputs of 128x96 whose heatmaps start near zero.

    The full-size networks keep the default initialisation, as the authors do; it begins with large random maps, and a
    budget of thousands of samples rather than millions is half spent before they are forgotten.
    """
    network = StackedHourglass(stem, stacks, joints, blocks, POCKET_DEPTH)
    init_head(network.heatmaps)
    return network


def pocket(joints: int) -> StackedHourglass:
    """Two stacks."""
    return miniature(POCKET_STEM, 2, joints)


def pocket_s1_b2(joints: int) -> StackedHourglass:
    """One stack with two residuals for one: the capacity of `pocket`."""
    return miniature(POCKET_STEM, 1, joints, blocks=2)


def pocket_s1(joints: int) -> StackedHourglass:
    """One stack: half of `pocket` behind the stem."""
    return miniature(POCKET_STEM, 1, joints)
