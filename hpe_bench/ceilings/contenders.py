"""The codecs whose ceilings are measured, as each is written down for every heatmap size.

Sigmas and blur kernels are given per size: 2 px and 11 taps at 64x48 and 1 px and 3 taps at 32x24 are DarkPose's own
(CVPR 2020, its 256x192 and 128x96 configurations); below that 1 px and 3 taps are kept, which is ours, since a narrower
Gaussian leaves a peak's neighbours nothing to tell. Kernels that a code base fixes in heatmap pixels stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.codecs.disc import SMALLEST_RADIUS_PX, Disc
from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.codecs.integral import Integral, SpreadIntegral
from hpe_bench.codecs.princeton import Princeton
from hpe_bench.codecs.udp import UDP
from hpe_bench.declare import PROSE, Codec, check_name

INPUT_HW = (256, 192)
HEATMAP_HW = ((64, 48), (32, 24), (16, 12), (8, 6))
SIGMA_PX = (2.0, 1.0, 1.0, 1.0)  # by heatmap size
BLUR_PX = (11, 3, 3, 3)
DISC_RADIUS_IN = 10.0  # input pixels, as in the paper on maps of the input's size
CPN_KERNEL_PX = 7  # of RefineNet's targets at 64x48


@dataclass(frozen=True)
class Contender:
    """One way to write and read joints: a codec for each size of `HEATMAP_HW`."""

    name: str
    codecs: tuple[Codec, ...]
    label: str = field(metadata=PROSE)
    role: Literal["peak", "expectation", "control"] = field(default="peak", metadata=PROSE)

    def __post_init__(self) -> None:
        check_name(self.name, "codec")
        if len(self.codecs) != len(HEATMAP_HW):
            raise ValueError(f"codec {self.name!r}: {len(self.codecs)} codecs for {len(HEATMAP_HW)} heatmap sizes")

    def codec(self, heatmap_hw: tuple[int, int]) -> Codec:
        """The codec for maps of one size."""
        return self.codecs[HEATMAP_HW.index(heatmap_hw)]


ARGMAX, QUARTER, UNBIASED = "gaussian-exact-argmax", "gaussian-rounded-quarter", "udp"
DARK, UNSHIFTED = "gaussian-exact-dark", "gaussian-exact-dark-unshifted"


def contenders() -> tuple[Contender, ...]:
    """Every codec that is measured, those read at their peak first."""
    udp = tuple(UDP(sigma_px=s, kernel_px=k) for s, k in zip(SIGMA_PX, BLUR_PX, strict=True))
    strides = [INPUT_HW[0] // height for height, _ in HEATMAP_HW]
    discs = tuple(Disc(max(DISC_RADIUS_IN / s, SMALLEST_RADIUS_PX), flip_shift_px=1) for s in strides)
    return (
        _gaussian(ARGMAX, "Gaussian, maximum alone", centre="exact", decoder="argmax"),
        _gaussian(QUARTER, "Gaussian on whole pixels, quarter step", centre="rounded", decoder="quarter"),
        _gaussian("gaussian-exact-quarter", "Gaussian, quarter step", centre="exact", decoder="quarter"),
        _gaussian(DARK, "Gaussian, DARK", centre="exact", decoder="dark"),
        Contender(UNBIASED, udp, "UDP"),
        *(_of_paper(p) for p in catalog.load_all()[0] if p.paper.codec_called),
        _same("princeton", Princeton(), "Princeton, PyTorch"),
        Contender("disc", discs, "Disc, centroid"),
        _same("integral", Integral(), "Integral, ideal", role="expectation"),
        _same("integral-spread", SpreadIntegral(sigma_px=1.0), "Integral, Gaussian of 1 px", role="expectation"),
        _gaussian(
            UNSHIFTED, "Gaussian, DARK, no flip shift", role="control", centre="exact", decoder="dark", flip_shift_px=0
        ),
    )


def _gaussian(
    name: str, label: str, role: Literal["peak", "expectation", "control"] = "peak", **fields: Any
) -> Contender:
    codecs = (Gaussian(sigma_px=s, dark_kernel_px=k, **fields) for s, k in zip(SIGMA_PX, BLUR_PX, strict=True))
    return Contender(name, tuple(codecs), label, role)


def _same(name: str, codec: Codec, label: str, role: Literal["peak", "expectation"] = "peak") -> Contender:
    """A codec that is the same at every size."""
    return Contender(name, (codec,) * len(HEATMAP_HW), label, role)


def _of_paper(loaded: LoadedPaper) -> Contender:
    """The codec that a paper brings, as its first recipe has it."""
    paper = loaded.paper
    return _same(paper.slug, paper.recipes[0].codec, paper.codec_called)
