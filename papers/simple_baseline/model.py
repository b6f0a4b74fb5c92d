"""SimpleBaseline: a ResNet, a few transposed convolutions, a 1x1 convolution (Xiao et al., ECCV 2018, section 2).

Parameter names are those of the authors' release, so a released state dict loads with `strict=True`.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from hpe_bench.nn.resnet import R18, R34, R50, R101, R152, BasicBlock, Layout, ResNet

# kernel -> (padding, output padding) with which a stride-2 transposed convolution exactly doubles the size
PADDING = {4: (1, 0), 3: (1, 1), 2: (0, 0)}

# 32.7 MMAC at 128x96: the shape of ResNet-18 with one block a stage and three eighths of the width
POCKET = Layout(BasicBlock, blocks=(1, 1, 1, 1), widths=(24, 48, 96, 192), stem=16)
POCKET_DECONV_WIDTH = 48  # the deconvolutions are about a quarter of the true MACs, as at full size


class SimpleBaseline(ResNet):
    """Images [N,3,H,W] to a list of one heatmap stack [N,J,h,w]; h = H / 32 * 2^deconvs, no activation."""

    def __init__(self, layout: Layout, joints: int, deconvs: int = 3, kernel: int = 4, width: int = 256) -> None:
        super().__init__(layout)
        self.deconv_layers = deconvolutions(self.channels_out, deconvs, kernel, width)
        self.final_layer = nn.Conv2d(width, joints, 1)
        init_head(self.deconv_layers)
        init_head(self.final_layer)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.final_layer(self.deconv_layers(super().forward(x)[-1]))]


def deconvolutions(channels_in: int, count: int, kernel: int, width: int) -> nn.Sequential:
    """`count` times: transposed convolution of stride 2 without bias, BN, ReLU."""
    padding, output_padding = PADDING[kernel]
    layers: list[nn.Module] = []
    for _ in range(count):
        deconv = nn.ConvTranspose2d(channels_in, width, kernel, 2, padding, output_padding, bias=False)
        layers += [deconv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels_in = width
    return nn.Sequential(*layers)


def init_head(head: nn.Module) -> None:
    """The authors' initialisation of everything behind the trunk: weights N(0, 0.001), biases 0 (released code)."""
    for module in head.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.001)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def r18(joints: int) -> SimpleBaseline:
    return SimpleBaseline(R18, joints)


def r34(joints: int) -> SimpleBaseline:
    return SimpleBaseline(R34, joints)


def r50(joints: int) -> SimpleBaseline:
    return SimpleBaseline(R50, joints)


def r101(joints: int) -> SimpleBaseline:
    return SimpleBaseline(R101, joints)


def r152(joints: int) -> SimpleBaseline:
    return SimpleBaseline(R152, joints)


def r50_two_deconvs(joints: int) -> SimpleBaseline:
    """Table 1, (b): heatmaps at an eighth of the input."""
    return SimpleBaseline(R50, joints, deconvs=2)


def r50_kernel3(joints: int) -> SimpleBaseline:
    """Table 1, (c)."""
    return SimpleBaseline(R50, joints, kernel=3)


def r50_kernel2(joints: int) -> SimpleBaseline:
    """Table 1, (d)."""
    return SimpleBaseline(R50, joints, kernel=2)


def pocket(joints: int) -> SimpleBaseline:
    """The same network in miniature: 43.9 MMAC at 128x96."""
    return SimpleBaseline(POCKET, joints, width=POCKET_DECONV_WIDTH)


def pocket_two_deconvs(joints: int) -> SimpleBaseline:
    return SimpleBaseline(POCKET, joints, deconvs=2, width=POCKET_DECONV_WIDTH)


def pocket_kernel2(joints: int) -> SimpleBaseline:
    return SimpleBaseline(POCKET, joints, kernel=2, width=POCKET_DECONV_WIDTH)


def pocket_deep(joints: int) -> SimpleBaseline:
    """Two blocks a stage in place of one: the depth axis of the paper (ResNet-50, 101, 152) in miniature."""
    return SimpleBaseline(replace(POCKET, blocks=(2, 2, 2, 2)), joints, width=POCKET_DECONV_WIDTH)
