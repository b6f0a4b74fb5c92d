"""ONNX Runtime on the CPU."""

from __future__ import annotations

import importlib.util
from typing import ClassVar

import torch
from torch import Tensor

from hpe_bench.errors import not_installed
from hpe_bench.timing.runtimes.runtime import Call, Runtime, Workload


class OnnxRuntime(Runtime):
    """ONNX Runtime with its default graph optimisations; its threads stop spinning when a call ends."""

    name = "onnxruntime"
    package = "onnxruntime"
    reads_onnx = True
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)

    def missing(self) -> str:
        return "" if importlib.util.find_spec("onnxruntime") else not_installed("onnxruntime", "onnx")

    def build(self, workload: Workload, threads: int) -> Call:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors come as exceptions
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.force_spinning_stop", "1")  # others are timed in between
        session = onnxruntime.InferenceSession(str(workload.file()), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        outputs = [output.name for output in session.get_outputs()]  # asked for one, it would leave the others out

        def call(images_B3HW: Tensor) -> Tensor:
            return torch.from_numpy(session.run(outputs, {name: images_B3HW.numpy()})[-1])

        return call
