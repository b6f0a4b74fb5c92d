"""What a runtime is: something that executes a network on this machine, and what it is given to execute.

B batch, J joints, H W input, h w heatmap.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from hpe_bench.records.measured import Precision
from hpe_bench.timing.sources import Source

Call = Callable[[Tensor], Tensor]
"""From images [B,3,H,W] float32 (contiguous, in host memory) to the final heatmaps [B,J,h,w] float32."""

FP32_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Workload:
    """What is executed: a network with its weights, for inputs of one size and batch."""

    source: Source | None  # None: somebody's ONNX file, of which there is no module
    weights: Path | None  # state dict that the source's module is filled with
    onnx: Path | None  # the same network as a file, where a runtime was going to need one
    onnx_fault: str  # why there is no file
    input_hw: tuple[int, int]
    batch: int
    ranges: Path | None = None  # images [N,3,H,W], which 8 bits take their ranges from

    def module(self) -> nn.Module:
        """The network in eval mode, in this process."""
        assert self.source is not None, "only runtimes of ONNX files are asked to run an ONNX file"
        module = self.source.fresh()
        if self.weights is not None:
            module.load_state_dict(torch.load(self.weights, mmap=True, weights_only=True))
        return module.eval()

    def file(self) -> Path:
        """The network as an ONNX file; ValueError if it could not be exported."""
        if self.onnx is None:
            raise ValueError(self.onnx_fault)
        return self.onnx

    def images(self) -> Tensor:
        """Standard normal noise, [B,3,H,W], the same every time (M5)."""
        return torch.randn(self.batch, 3, *self.input_hw, generator=torch.Generator().manual_seed(0))


class Runtime(ABC):
    """A way of executing networks. Instances hold no state and travel between processes."""

    name: ClassVar[str]
    package: ClassVar[str] = "torch"  # the distribution that executes
    precision: ClassVar[Precision] = "fp32"
    tolerance: ClassVar[float] = FP32_TOLERANCE  # of the deviation from eager float32, see `timing/check.py`
    reads_onnx: ClassVar[bool] = False
    suffixes: ClassVar[tuple[str, ...]] = ()  # of somebody's files that it runs as they are

    @abstractmethod
    def missing(self) -> str:
        """Why it cannot run on this machine and what would help; empty if it can."""

    @abstractmethod
    def build(self, workload: Workload, threads: int) -> Call:
        """Make it ready in this process, whose thread variables are set; for images of the workload's shape alone."""

    def version(self) -> str:
        """Of the package that executes; empty where it is not installed."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return ""

    def place(self, images: Tensor) -> Tensor:
        """Images where the network wants them, for calls that time the network alone."""
        return images

    def time_ms(self, call: Callable[[], object]) -> float:
        """The time of one call by the clock that suits the device (M6)."""
        return host_time_ms(call)

    def host_time_ms(self, call: Callable[[], object]) -> float:
        """The time of a call that begins and ends in host memory."""
        return host_time_ms(call)


def host_time_ms(call: Callable[[], object]) -> float:
    """The time of one call by the host's clock."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6
