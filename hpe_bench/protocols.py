"""The suite's own protocols, named and versioned. A changed protocol gets a new name; none is ever edited (F28)."""

from __future__ import annotations

from typing import Literal

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.data.lsp import LSP
from hpe_bench.data.mannequins import Dials, Mannequins
from hpe_bench.declare import Protocol
from hpe_bench.metrics.oks_ap import OksAP
from hpe_bench.metrics.pck import PCK
from hpe_bench.metrics.pckh import PCKh


def pocket_codec(decoder: Literal["quarter", "dark"]) -> Gaussian:
    """At 32x24 heatmaps: sigma 1 and a blur of 3 taps, as in DarkPose's 128x96 ResNet configurations."""
    return Gaussian(sigma_px=1.0, centre="exact", decoder=decoder, dark_kernel_px=3)


def mannequins(decoder: Literal["quarter", "dark"]) -> Protocol:
    """`mannequins-v1-<decoder>`: the embedded data set, ground-truth boxes, PCKh@0.5 over all 17 joints and OKS-AP."""
    return Protocol(
        name=f"mannequins-v1-{decoder}",
        data=Mannequins(version=1, dials=Dials(occlusion=0.1, crowding=0.2, stature_px=(110.0, 210.0))),
        codec=pocket_codec(decoder),
        metrics=(PCKh(0.5), OksAP()),
    )


def lsp(decoder: Literal["quarter", "dark"]) -> Protocol:
    """`lsp-pc-v1-<decoder>`: Leeds Sports Pose, person-centric, trained on its train split and LSP-extended crops."""
    return Protocol(
        name=f"lsp-pc-v1-{decoder}",
        data=LSP(extended=True),
        codec=pocket_codec(decoder),
        metrics=(PCK(0.2),),
    )


POCKET = {
    "mannequins": (mannequins("dark"), mannequins("quarter")),
    "lsp": (lsp("dark"), lsp("quarter")),
}
"""The pocket protocols by data set. Every training is scored with both decoders, the first being the headline: what a
decoder gains must not pass for what a loss gains (F8)."""
