"""Runtimes: the ways in which a network can be executed, a module a family. `runtime.py` says what one is."""

from __future__ import annotations

import difflib

from hpe_bench.timing.runtimes.cuda import Cuda, CudaBf16, CudaFp16, CudaGraph
from hpe_bench.timing.runtimes.eager import Bf16, ChannelsLast, Compiled, Eager, Folded
from hpe_bench.timing.runtimes.eight_bits import OnnxRuntimeInt8, OpenVinoInt8
from hpe_bench.timing.runtimes.onnx_runtime import OnnxRuntime
from hpe_bench.timing.runtimes.open_vino import OpenVino, OpenVinoBf16
from hpe_bench.timing.runtimes.runtime import Call, Runtime, Workload

__all__ = ["ALL", "ON_CPU", "ON_CUDA", "Call", "Runtime", "Workload", "named"]

ON_CPU: tuple[Runtime, ...] = (
    *(Eager(), ChannelsLast(), Folded(), Bf16(), Compiled()),
    *(OnnxRuntime(), OnnxRuntimeInt8(), OpenVino(), OpenVinoBf16(), OpenVinoInt8()),
)
ON_CUDA: tuple[Runtime, ...] = (Cuda(), CudaFp16(), CudaBf16(), CudaGraph())
ALL = ON_CPU + ON_CUDA


def named(names: list[str]) -> tuple[Runtime, ...]:
    """Runtimes by name, in our order; ValueError for an unknown one."""
    known = [runtime.name for runtime in ALL]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise ValueError(
                f"no runtime {name!r}; {f'did you mean {close[0]!r}?' if close else 'known are: ' + ', '.join(known)}"
            )
    return tuple(runtime for runtime in ALL if runtime.name in names)
