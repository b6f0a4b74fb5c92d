"""What the conductor times: a network in a runtime, and the machine's own peak.

B batch, J joints, H W input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import torch
from torch import Tensor, nn

from hpe_bench.cost.energy import Meter, NvmlMeter
from hpe_bench.records.schema import RuntimeScope
from hpe_bench.timing.check import InBatches, Reference
from hpe_bench.timing.interleave import Player, Rehearsed
from hpe_bench.timing.runtimes import Runtime, Score
from hpe_bench.timing.runtimes.cuda import Cuda
from hpe_bench.timing.runtimes.runtime import host_time_ms
from hpe_bench.timing.scopes import Decoding, flip_call, pose_call


@dataclass(frozen=True)
class NetworkPlayer(Player):
    """A network in a runtime. Its parts are scopes; its facts the deviation and, on a GPU, the peak of memory.

    `errand`, if there is one, is given the network as a module for any number of images.
    """

    runtime: Runtime
    score: Score
    reference: Reference
    threads: int
    scopes: tuple[RuntimeScope, ...]
    decoding: Decoding
    errand: Callable[[nn.Module], Any] | None = None

    def rehearse(self) -> Rehearsed:
        cv2.setNumThreads(self.threads)
        call = self.runtime.build(self.score, self.threads)
        facts = {"deviation": self.reference.deviation(call, self.score.batch)}
        module = InBatches(call, self.score.batch)
        images = self.score.images()
        joints = int(call(images).shape[1])
        parts: dict[str, Callable[[], float]] = {}
        refused: dict[str, str] = {}
        for scope in self.scopes:
            try:
                parts[scope] = self._part(scope, call, module, images, joints)
            except ValueError as error:
                refused[scope] = str(error)
        if isinstance(self.runtime, Cuda):
            facts["peak_device_bytes"] = float(torch.cuda.max_memory_allocated())
        errand = None if self.errand is None else partial(self.errand, module)
        return Rehearsed(parts, refused, facts, errand)

    def _part(
        self, scope: str, call: Callable[[Tensor], Tensor], module: nn.Module, images: Tensor, joints: int
    ) -> Callable[[], float]:
        if scope == "network":
            return partial(self.runtime.time_ms, partial(call, self.runtime.place(images)))
        if scope == "flip":
            work = flip_call(module, images, joints, self.decoding)
        else:
            encoded = scope == "end-to-end"
            work = pose_call(module, self.score.input_hw, self.score.batch, joints, self.decoding, encoded)
        return partial(self.runtime.host_time_ms, work)

    def meter(self) -> Meter | str:
        return NvmlMeter.open() if isinstance(self.runtime, Cuda) else super().meter()


# ---------------------------------------------------------------------------------------------------- peak

PRODUCT_SIDE = 1024  # three matrices of 4 MiB, 1.1 GMAC
CONV_CHANNELS, CONV_SIDE = 256, 48  # a 3x3 convolution of 1.4 GMAC
MACS = {"matmul": PRODUCT_SIDE**3, "conv": CONV_CHANNELS**2 * 9 * CONV_SIDE**2}


@dataclass(frozen=True)
class PeakPlayer(Player):
    """The fastest this machine multiplies in float32: a large matrix product, and a 3x3 convolution, channels last."""

    threads: int

    def rehearse(self) -> Rehearsed:
        torch.set_num_threads(self.threads)
        generator = torch.Generator().manual_seed(0)
        left, right = torch.randn(2, PRODUCT_SIDE, PRODUCT_SIDE, generator=generator)
        image = torch.randn(1, CONV_CHANNELS, CONV_SIDE, CONV_SIDE, generator=generator)
        layer = nn.Conv2d(CONV_CHANNELS, CONV_CHANNELS, 3, padding=1, bias=False)
        layer.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        image = image.contiguous(memory_format=torch.channels_last)
        work: dict[str, Callable[[], object]] = {
            "matmul": partial(torch.mm, left, right),
            "conv": partial(layer, image),
        }
        return Rehearsed({name: partial(host_time_ms, call) for name, call in work.items()})
