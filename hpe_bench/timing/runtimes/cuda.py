"""PyTorch on an NVIDIA GPU: eager in three precisions, and as one replayed graph. TF32 is off (F22).

Calls that time the network alone start and end on the device, between two device events (M6); the others start and end
in host memory and are timed by the host's clock, which the copy back synchronises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from hpe_bench.inference.exporting import stacks
from hpe_bench.timing.runtimes.eager import BF16_TOLERANCE
from hpe_bench.timing.runtimes.runtime import Call, Precision, Runtime, Workload

FP16_TOLERANCE = 1e-2
GRAPH_WARM_UP = 3  # calls on a side stream before a capture, as PyTorch's notes on CUDA graphs ask for


class Cuda(Runtime):
    """Eager float32, NCHW."""

    name = "cuda"
    dtype: ClassVar[torch.dtype] = torch.float32

    def missing(self) -> str:
        return "" if torch.cuda.is_available() else "this torch sees no CUDA device; run it where there is one"

    def build(self, workload: Workload, threads: int) -> Call:
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        module = workload.module().cuda().to(self.dtype)
        torch.cuda.reset_peak_memory_stats()
        return self.on_device(module, workload)

    def on_device(self, module: nn.Module, workload: Workload) -> Call:
        """From images anywhere to float32 maps on the device."""
        dtype = self.dtype

        @torch.inference_mode()
        def call(images_B3HW: Tensor) -> Tensor:
            return stacks(module(images_B3HW.to("cuda", dtype)))[-1].float()

        return call

    def place(self, images: Tensor) -> Tensor:
        return images.cuda()

    def time_ms(self, call: Callable[[], object]) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    def host_time_ms(self, call: Callable[[], object]) -> float:
        torch.cuda.synchronize()
        return super().host_time_ms(call)


class CudaFp16(Cuda):
    """Eager float16."""

    name = "cuda_fp16"
    precision: ClassVar[Precision] = "fp16"
    tolerance = FP16_TOLERANCE
    dtype = torch.float16


class CudaBf16(Cuda):
    """Eager bfloat16."""

    name = "cuda_bf16"
    precision: ClassVar[Precision] = "bf16"
    tolerance = BF16_TOLERANCE
    dtype = torch.bfloat16


class CudaGraph(Cuda):
    """Float32, recorded once as a CUDA graph and replayed: no time is lost between kernels."""

    name = "cuda_graph"

    def on_device(self, module: nn.Module, workload: Workload) -> Call:
        run = super().on_device(module, workload)
        images = workload.images().cuda()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(GRAPH_WARM_UP):
                run(images)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            maps = run(images)

        @torch.inference_mode()
        def call(images_B3HW: Tensor) -> Tensor:
            images.copy_(images_B3HW)
            graph.replay()
            return maps.clone()

        return call
