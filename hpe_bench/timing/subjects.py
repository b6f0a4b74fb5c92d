"""What is timed: a network in a runtime, and the machine's own peak.

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
from hpe_bench.timing.check import InBatches, ReferenceOutput
from hpe_bench.timing.interleave import Prepared, Subject
from hpe_bench.timing.runtimes import Runtime, Workload
from hpe_bench.timing.runtimes.cuda import Cuda
from hpe_bench.timing.runtimes.runtime import host_time_ms
from hpe_bench.timing.scopes import Decoding, flip_call, pose_call

EXPECTED_GMACS_PER_S = 40.0  # what one core of a server reaches in eager float32; only a guide to how time is shared


@dataclass(frozen=True)
class NetworkSubject(Subject):
    """A network in a runtime. Its parts are scopes; its facts the deviation and, on a GPU, the peak of memory.

    `task`, if there is one, is given the network as a module for any number of images.
    """

    runtime: Runtime
    workload: Workload
    reference: ReferenceOutput
    threads: int
    scopes: tuple[RuntimeScope, ...]
    decoding: Decoding
    task: Callable[[nn.Module], Any] | None = None
    gmacs: float = 0.0  # of one image, where they were counted: how long a call may be expected to be

    def prepare(self) -> Prepared:
        cv2.setNumThreads(self.threads)
        call = self.runtime.build(self.workload, self.threads)
        facts = {"deviation": self.reference.deviation(call, self.workload.batch)}
        module = InBatches(call, self.workload.batch)
        images = self.workload.images()
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
        task = None if self.task is None else partial(self.task, module)
        return Prepared(parts, refused, facts, task)

    def _part(
        self, scope: str, call: Callable[[Tensor], Tensor], module: nn.Module, images: Tensor, joints: int
    ) -> Callable[[], float]:
        if scope == "network":
            return partial(self.runtime.time_ms, partial(call, self.runtime.place(images)))
        if scope == "flip":
            work = flip_call(module, images, joints, self.decoding)
        else:
            encoded = scope == "end-to-end"
            work = pose_call(module, self.workload.input_hw, self.workload.batch, joints, self.decoding, encoded)
        return partial(self.runtime.host_time_ms, work)

    def expected_ms(self) -> float:
        return 1e3 * self.gmacs * self.workload.batch / EXPECTED_GMACS_PER_S

    def meter(self) -> Meter | str:
        return NvmlMeter.open() if isinstance(self.runtime, Cuda) else super().meter()


# ---------------------------------------------------------------------------------------------------- peak

PRODUCT_SIDE = 1024  # three matrices of 4 MiB, 1.1 GMAC
CONV_CHANNELS, CONV_SIDE = 256, 48  # a 3x3 convolution of 1.4 GMAC
MACS = {"matmul": PRODUCT_SIDE**3, "conv": CONV_CHANNELS**2 * 9 * CONV_SIDE**2}


@dataclass(frozen=True)
class PeakSubject(Subject):
    """The fastest this machine multiplies in float32: a large matrix product, and a 3x3 convolution, channels last."""

    threads: int

    def prepare(self) -> Prepared:
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
        return Prepared({name: partial(host_time_ms, call) for name, call in work.items()})
