"""PyTorch on the CPU: eager in two memory layouts, with batch norm folded, in bfloat16, and compiled."""

from __future__ import annotations

import shutil
from typing import ClassVar

import torch
from torch import Tensor, nn

from hpe_bench.inference.exporting import stacks
from hpe_bench.timing.runtimes.folding import folded
from hpe_bench.timing.runtimes.runtime import Call, Precision, Runtime, Workload

BF16_TOLERANCE = 0.1  # see `timing/check.py`


class Eager(Runtime):
    """As PyTorch runs a module by default: float32, NCHW."""

    name = "eager"
    layout: ClassVar[torch.memory_format] = torch.contiguous_format

    def missing(self) -> str:
        return ""

    def network(self, workload: Workload) -> nn.Module:
        """The module, before its layout is set."""
        return workload.module()

    def build(self, workload: Workload, threads: int) -> Call:
        torch.set_num_threads(threads)
        module = self.network(workload).to(memory_format=self.layout)  # type: ignore[call-overload]
        layout = self.layout

        @torch.inference_mode()
        def call(images_B3HW: Tensor) -> Tensor:
            return stacks(module(images_B3HW.contiguous(memory_format=layout)))[-1]

        return call


class ChannelsLast(Eager):
    """Channels last in memory, which convolutions on the CPU prefer."""

    name = "channels_last"
    layout = torch.channels_last


class Folded(ChannelsLast):
    """Batch norms folded into the convolutions before them, channels last."""

    name = "folded"

    def network(self, workload: Workload) -> nn.Module:
        return folded(workload.module(), workload.images()[:1])


class Bf16(ChannelsLast):
    """bfloat16 autocast, channels last."""

    name = "bf16"
    precision: ClassVar[Precision] = "bf16"
    tolerance = BF16_TOLERANCE

    def missing(self) -> str:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return "this processor has no AVX-512, which PyTorch's bfloat16 needs; run it on one that has"
        return ""

    def build(self, workload: Workload, threads: int) -> Call:
        call = super().build(workload, threads)

        def cast(images_B3HW: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return call(images_B3HW).float()

        return cast


class Compiled(Folded):
    """torch.compile (inductor) of the folded network, channels last."""

    name = "compile"

    def missing(self) -> str:
        if shutil.which("g++") is None and shutil.which("clang++") is None:
            return "torch.compile needs a C++ compiler; install g++"
        return ""

    def network(self, workload: Workload) -> nn.Module:
        module = super().network(workload)
        return torch.compile(module, dynamic=False)  # type: ignore[return-value]
