"""torch's own switches for a training: strict and repeatable for miniatures, fast for full size, all of it recorded."""

from __future__ import annotations

import os
from typing import Literal

import torch

from hpe_bench.training.execution import Execution

CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
CUBLAS_FIXED = ":4096:8"  # buffers of a fixed size, without which cuBLAS may sum in another order (PyTorch's notes)


def prepare(scale: Literal["full", "pocket"], device: str) -> None:
    """Set what torch leaves open. To be called before anything touches the device.

    TF32 is off at every scale (F22). On a GPU at full size cuDNN picks its fastest kernels; everywhere else kernels are
    deterministic.
    """
    os.environ.setdefault(CUBLAS_WORKSPACE, CUBLAS_FIXED)
    fast = scale == "full" and device.startswith("cuda")
    torch.use_deterministic_algorithms(not fast)
    torch.backends.cudnn.benchmark = fast
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def flags(execution: Execution, device: str) -> dict[str, str]:
    """What a record says about a training's execution beside torch's own switches."""
    cublas = {"cublas_workspace": os.environ.get(CUBLAS_WORKSPACE, "")} if device.startswith("cuda") else {}
    return execution.flags | {"memory_format": "channels_last"} | cublas
