"""FasterPose, our reading: a ResNet kept at stride 32 and a head of 1x1 convolutions that unfolds heatmaps from it.

Only the abstract is public (see README.md): which head the authors used is unknown. D is our default; A, B, I and K are
the alternatives that fit the printed saving about as well. All give heatmaps at a quarter of the input, like
SimpleBaseline, as raw logits.
"""

from __future__ import annotations

from torch import Tensor, nn

from hpe_bench.nn.resnet import R50, R101, R152, Layout, ResNet

from ..simple_baseline.model import POCKET, POCKET_DECONV_WIDTH, deconvolutions, init_head

STRIDE_32_TO_4 = 8


class FasterPose(ResNet):
    """Images [N,3,H,W] to a list of one stack of logits [N,J,H/4,W/4]."""

    def __init__(self, layout: Layout, head: nn.Module) -> None:
        super().__init__(layout)
        self.head = head
        init_head(self.head)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.head(super().forward(x)[-1])]


def pointwise(channels_in: int, width: int) -> nn.Sequential:
    """1x1, BN, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


def unfold(channels_in: int, joints: int, factor: int) -> nn.Sequential:
    """1x1 to factor^2 channels a joint, which PixelShuffle lays out as a map `factor` times larger."""
    return nn.Sequential(nn.Conv2d(channels_in, joints * factor**2, 1), nn.PixelShuffle(factor))


def head_a(layout: Layout, joints: int) -> nn.Module:
    """One 1x1 to 64 channels a joint, PixelShuffle(8)."""
    return unfold(layout.channels[-1], joints, STRIDE_32_TO_4)


def head_b(layout: Layout, joints: int) -> nn.Module:
    """One 1x1 to a channel a joint, bilinear x8."""
    return nn.Sequential(
        nn.Conv2d(layout.channels[-1], joints, 1),
        nn.Upsample(scale_factor=STRIDE_32_TO_4, mode="bilinear", align_corners=False),
    )


def head_d(layout: Layout, joints: int, width: int) -> nn.Module:
    """1x1 to `width`, BN, ReLU, 1x1 to 64 channels a joint, PixelShuffle(8): the default."""
    return nn.Sequential(pointwise(layout.channels[-1], width), unfold(width, joints, STRIDE_32_TO_4))


def head_i(layout: Layout, joints: int, width: int) -> nn.Module:
    """PixelShuffle(2), 1x1 to `width`, BN, ReLU, 1x1 to 16 channels a joint, PixelShuffle(4)."""
    return nn.Sequential(
        nn.PixelShuffle(2),
        pointwise(layout.channels[-1] // 4, width),
        unfold(width, joints, STRIDE_32_TO_4 // 2),
    )


def head_k(layout: Layout, joints: int, width: int) -> nn.Module:
    """1x1 to `width`, BN, ReLU, bilinear x8, 1x1 to a channel a joint."""
    return nn.Sequential(
        pointwise(layout.channels[-1], width),
        nn.Upsample(scale_factor=STRIDE_32_TO_4, mode="bilinear", align_corners=False),
        nn.Conv2d(width, joints, 1),
    )


def head_deconv(layout: Layout, joints: int, width: int, count: int) -> nn.Module:
    """`count` deconvolutions of SimpleBaseline, then 1x1 and PixelShuffle for the rest of the way to a quarter.

    The axis from low to high resolution with one and the same output grid. Its ends have models of their own:
    head D for no deconvolution (a 1x1 of the same width takes the deconvolution's place), SimpleBaseline for three.
    """
    return nn.Sequential(
        deconvolutions(layout.channels[-1], count, kernel=4, width=width),
        unfold(width, joints, STRIDE_32_TO_4 // 2**count),
    )


def d_r50(joints: int) -> FasterPose:
    return FasterPose(R50, head_d(R50, joints, width=256))


def d_r101(joints: int) -> FasterPose:
    return FasterPose(R101, head_d(R101, joints, width=256))


def d_r152(joints: int) -> FasterPose:
    return FasterPose(R152, head_d(R152, joints, width=256))


def a_r50(joints: int) -> FasterPose:
    return FasterPose(R50, head_a(R50, joints))


def b_r50(joints: int) -> FasterPose:
    return FasterPose(R50, head_b(R50, joints))


def i_r50(joints: int) -> FasterPose:
    return FasterPose(R50, head_i(R50, joints, width=256))


def k_r50(joints: int) -> FasterPose:
    return FasterPose(R50, head_k(R50, joints, width=256))


def lr1_r50(joints: int) -> FasterPose:
    return FasterPose(R50, head_deconv(R50, joints, width=256, count=1))


def lr2_r50(joints: int) -> FasterPose:
    return FasterPose(R50, head_deconv(R50, joints, width=256, count=2))


def d_pocket(joints: int) -> FasterPose:
    """Head D on SimpleBaseline's pocket trunk: 33.5 MMAC at 128x96."""
    return FasterPose(POCKET, head_d(POCKET, joints, width=POCKET_DECONV_WIDTH))


def a_pocket(joints: int) -> FasterPose:
    return FasterPose(POCKET, head_a(POCKET, joints))


def b_pocket(joints: int) -> FasterPose:
    return FasterPose(POCKET, head_b(POCKET, joints))


def i_pocket(joints: int) -> FasterPose:
    return FasterPose(POCKET, head_i(POCKET, joints, width=POCKET_DECONV_WIDTH))


def k_pocket(joints: int) -> FasterPose:
    return FasterPose(POCKET, head_k(POCKET, joints, width=POCKET_DECONV_WIDTH))


def lr1_pocket(joints: int) -> FasterPose:
    return FasterPose(POCKET, head_deconv(POCKET, joints, width=POCKET_DECONV_WIDTH, count=1))


def lr2_pocket(joints: int) -> FasterPose:
    return FasterPose(POCKET, head_deconv(POCKET, joints, width=POCKET_DECONV_WIDTH, count=2))
