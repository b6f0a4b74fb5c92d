"""OpenVINO on the CPU. Left to itself it computes in bfloat16 where the processor can; here the precision is set."""

from __future__ import annotations

import importlib.util
from typing import ClassVar

import torch
from torch import Tensor

from hpe_bench.errors import not_installed
from hpe_bench.timing.runtimes.eager import BF16_TOLERANCE
from hpe_bench.timing.runtimes.runtime import Call, Precision, Runtime, Workload


class OpenVino(Runtime):
    """OpenVINO in float32, one stream, for latency."""

    name = "openvino"
    package = "openvino"
    reads_onnx = True
    suffixes: ClassVar[tuple[str, ...]] = (".onnx", ".tflite", ".xml")
    hint: ClassVar[str] = "f32"

    def missing(self) -> str:
        return "" if importlib.util.find_spec("openvino") else not_installed("openvino", "openvino")

    def build(self, workload: Workload, threads: int) -> Call:
        import openvino

        core = openvino.Core()
        model = core.read_model(workload.file())
        shape = model.inputs[0].get_partial_shape()
        channels_last = shape.rank.get_length() == 4 and shape[3] == openvino.Dimension(3)
        height, width = workload.input_hw
        sides = (height, width, 3) if channels_last else (3, height, width)
        model.reshape([workload.batch, *sides])
        options = {
            "INFERENCE_PRECISION_HINT": self.hint,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # no other runtime pins its threads to cores
        }
        request = core.compile_model(model, "CPU", options).create_infer_request()
        last = len(model.outputs) - 1

        def call(images_B3HW: Tensor) -> Tensor:
            images = images_B3HW.permute(0, 2, 3, 1).contiguous() if channels_last else images_B3HW
            request.infer([images.numpy()], share_inputs=True)
            return torch.from_numpy(request.get_output_tensor(last).data)

        return call


class OpenVinoBf16(OpenVino):
    """OpenVINO in bfloat16."""

    name = "openvino_bf16"
    precision: ClassVar[Precision] = "bf16"
    tolerance = BF16_TOLERANCE
    hint = "bf16"

    def missing(self) -> str:
        if absent := super().missing():
            return absent
        import openvino

        if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            return "OpenVINO sees no bfloat16 instructions in this processor; run it on one with AVX-512 BF16 or AMX"
        return ""
