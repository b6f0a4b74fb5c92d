"""Part-based branching network, our reading: stacked hourglasses whose ends branch into groups of related joints.

The trunk of every stage is shared by all joints, each group has layers and features of its own behind it, and the next
stage starts from the features and the heatmaps of all groups. No code is public; stem, hourglass and re-injection are
Newell's, with `hpe_bench.papers.hourglass` as the network that one group amounts to.
N images, C channels, J joints, G joints of a group, H W rows and columns.
"""

from __future__ import annotations

from itertools import pairwise
from math import lcm

import torch
from torch import Tensor, nn

from hpe_bench.nn.hourglass import Hourglass, Residual, Stem, conv_bn_relu

from . import groups
from .groups import Groups

NEWELL_STEM = (64, 128, 128, 256)
POCKET_STEM = (8, 16, 32, 32)  # the pocket hourglass's
SOURCE_OF = {17: "coco", 16: "mpii", 14: "lsp"}  # whose annotations the groups of so many joints come from
POCKET_SOURCE_OF = {17: "mannequins", 16: "mpii", 14: "lsp"}


class Branch(nn.Module):
    """Features [N,C,H,W] to a group's own features [N,width,H,W] and its heatmaps [N,G,H,W]."""

    def __init__(self, channels_in: int, width: int, depth: int, joints: int) -> None:
        super().__init__()
        widths = (channels_in, *[width] * depth)
        residuals = (Residual(a, b) for a, b in pairwise(widths))
        self.features = nn.Sequential(*residuals, conv_bn_relu(width, width))
        self.heatmaps = nn.Conv2d(width, joints, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.features(x)
        return x, self.heatmaps(x)


class Stage(nn.Module):
    """Features [N,C,H,W] to all branches' features [N,K*width,H,W] and heatmaps [N,J,H,W] in the skeleton's order.

    A joint that stands in several groups has the mean of their heatmaps.
    """

    def __init__(self, channels: int, hourglass_depth: int, split: Groups, width: int, depth: int) -> None:
        super().__init__()
        self.hourglass = Hourglass(hourglass_depth, channels)
        self.branches = nn.ModuleList(Branch(channels, width, depth, len(group)) for group in split)
        self.sources = sources(split)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shared = self.hourglass(x)
        features, heatmaps = zip(*(branch(shared) for branch in self.branches), strict=True)
        laid = torch.cat(heatmaps, dim=1).split(1, dim=1)
        orders = [torch.cat([laid[i] for i in source], dim=1) for source in self.sources]
        return torch.cat(features, dim=1), orders[0] if len(orders) == 1 else torch.stack(orders).mean(0)


def sources(split: Groups) -> list[list[int]]:
    """For each joint, where it stands in the groups laid end to end; as lists of J whose mean is the joint's heatmap.

    One list where no joint stands twice; else as many as give every joint's places equal weight.
    """
    laid = [joint for group in split for joint in group]
    assert sorted(set(laid)) == list(range(max(laid) + 1)), f"groups leave out a joint: {split}"
    places = [[i for i, joint in enumerate(laid) if joint == wanted] for wanted in range(max(laid) + 1)]
    return [[of_joint[i % len(of_joint)] for of_joint in places] for i in range(lcm(*map(len, places)))]


class PartBranching(nn.Module):
    """Images [N,3,H,W] to a list of one heatmap stack [N,J,H/4,W/4] a stage, no activation.

    The next stage's input is this one's, plus all branches' features and the heatmaps, each through a 1x1 convolution.
    """

    def __init__(
        self, stem: tuple[int, int, int, int], stages: int, split: Groups, width: int, depth: int, hourglass_depth: int
    ) -> None:
        super().__init__()
        channels, joints = stem[-1], 1 + max(joint for group in split for joint in group)
        self.stem = Stem(stem)
        self.stages = nn.ModuleList(Stage(channels, hourglass_depth, split, width, depth) for _ in range(stages))
        merges = range(stages - 1)
        self.merge_features = nn.ModuleList(nn.Conv2d(len(split) * width, channels, 1) for _ in merges)
        self.merge_heatmaps = nn.ModuleList(nn.Conv2d(joints, channels, 1) for _ in merges)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        outputs = []
        for index, stage in enumerate(self.stages):
            features, heatmaps = stage(x)
            outputs.append(heatmaps)
            if index < len(self.merge_features):
                x = x + self.merge_features[index](features) + self.merge_heatmaps[index](heatmaps)
        return outputs


def found(joints: int, count: int, source_of: dict[int, str]) -> Groups:
    """The groups found for a skeleton of so many joints; ValueError where no data set of ours has it."""
    if joints not in source_of:
        known = ", ".join(map(str, sorted(source_of)))
        raise ValueError(
            f"no groups for {joints} joints, only for {known}; find them with papers/part_branching/grouping.py"
        )
    return groups.found(source_of[joints], count)


def _full(stages: int, split: Groups, width: int = 128, depth: int = 1) -> PartBranching:
    return PartBranching(NEWELL_STEM, stages, split, width, depth, hourglass_depth=4)


def s8(joints: int) -> PartBranching:
    return _full(8, found(joints, 5, SOURCE_OF))


def s3(joints: int) -> PartBranching:
    """Three stages, as in the paper's ablations."""
    return _full(3, found(joints, 5, SOURCE_OF))


def s1(joints: int) -> PartBranching:
    """The single-stage network."""
    return _full(1, found(joints, 5, SOURCE_OF))


def s3_single(joints: int) -> PartBranching:
    """One branch of the trunk's width for all joints: the stacked hourglass."""
    return _full(3, groups.single(joints), width=256)


def _pocket(split: Groups, width: int, depth: int = 1, stages: int = 1) -> PartBranching:
    """One stage; 32x24 is halved three times, to 4x3."""
    return PartBranching(POCKET_STEM, stages, split, width, depth, hourglass_depth=3)


def pocket(joints: int) -> PartBranching:
    """Five groups found in the data that the pocket studies train on: 68,449 parameters, 33.9 MMAC at 128x96."""
    return _pocket(found(joints, 5, POCKET_SOURCE_OF), width=32)


def pocket_single(joints: int) -> PartBranching:
    """One branch for all joints, wide enough to cost what the five do: 68,254 parameters, 34.4 MMAC."""
    return _pocket(groups.single(joints), width=70)


def pocket_body(joints: int) -> PartBranching:
    return _pocket(groups.BODY[joints], width=32)


def pocket_random(joints: int) -> PartBranching:
    """Groups as large as the ones found."""
    return _pocket(groups.shuffled(found(joints, 5, POCKET_SOURCE_OF), seed=0), width=32)


def pocket_overlapping(joints: int) -> PartBranching:
    return _pocket(groups.overlapping(POCKET_SOURCE_OF[joints], 5), width=32)


def pocket_k2(joints: int) -> PartBranching:
    """The width of two, three and six branches is chosen for the cost of `pocket`, within 2 %."""
    return _pocket(found(joints, 2, POCKET_SOURCE_OF), width=48)


def pocket_k3(joints: int) -> PartBranching:
    return _pocket(found(joints, 3, POCKET_SOURCE_OF), width=38)


def pocket_k6(joints: int) -> PartBranching:
    return _pocket(found(joints, 6, POCKET_SOURCE_OF), width=26)


def pocket_single_narrow(joints: int) -> PartBranching:
    """One branch as wide as one of the five: the hourglass itself."""
    return _pocket(groups.single(joints), width=32)


def pocket_narrow(joints: int) -> PartBranching:
    return _pocket(found(joints, 5, POCKET_SOURCE_OF), width=16)


def pocket_deep(joints: int) -> PartBranching:
    return _pocket(found(joints, 5, POCKET_SOURCE_OF), width=32, depth=2)


def pocket_s2(joints: int) -> PartBranching:
    """Two stages of half the branch width."""
    return _pocket(found(joints, 5, POCKET_SOURCE_OF), width=16, stages=2)
