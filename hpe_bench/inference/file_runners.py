"""Files of networks, opened to be run on the CPU: ONNX by ONNX Runtime, TFLite and IR by OpenVINO.

Both are extras. What a file takes and gives is read from it; arrays go in and come out.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hpe_bench.errors import first_line, not_installed

Side = int | None  # None: open
OF_OPENVINO = (".tflite", ".xml")
_SIGNED = re.compile(r"^serving_default_(.+)_output$")
SUFFIXES = (".onnx", *OF_OPENVINO)


class FileRunner(ABC):
    """A file of one input. `shape` is the input's, None where a side is open; `outputs` are names in order."""

    input_name: str
    shape: tuple[Side, ...]
    outputs: tuple[str, ...]
    version: str  # of what runs it, with its name

    @abstractmethod
    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """The outputs, in order, for one input; raises whatever the package raises."""

    def reshape(self, shape: tuple[int, ...]) -> None:  # noqa: B027
        """Fix the open sides of the input; needed by OpenVINO alone."""


def opened(path: Path) -> FileRunner:
    """A file made ready; ValueError with the reason, or with the line that installs what runs it."""
    if path.suffix.lower() in OF_OPENVINO:
        return _OpenVino(path)
    return _Onnx(path)


class _Onnx(FileRunner):
    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise ValueError(not_installed("onnxruntime", "onnx")) from None
        _require(path, "an ONNX file")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors come as exceptions
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise ValueError(f"{path}: not an ONNX file that onnxruntime can run ({first_line(error)})") from None
        found = self.session.get_inputs()
        _require_one(path, len(found))
        self.input_name = found[0].name
        self.shape = tuple(side if isinstance(side, int) and side > 0 else None for side in found[0].shape)
        if found[0].type != "tensor(float)":
            raise ValueError(
                f"{path}: input {found[0].name!r} is {found[0].type} {found[0].shape}, expected float images "
                "[N, 3, height, width] or [N, height, width, 3]"
            )
        self.outputs = tuple(output.name for output in self.session.get_outputs())
        self.version = f"onnxruntime {metadata.version('onnxruntime')}"

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        return list(self.session.run(list(self.outputs), {self.input_name: images}))


class _OpenVino(FileRunner):
    def __init__(self, path: Path) -> None:
        try:
            import openvino
        except ImportError:
            raise ValueError(not_installed("openvino", "openvino")) from None
        _require(path, "a TFLite file or an IR (.xml, with its .bin beside it)")
        self.path, self.core = path, openvino.Core()
        try:
            self.model = self.core.read_model(path)
        except Exception as error:  # openvino's exceptions have no common base
            raise ValueError(f"{path}: not a file that OpenVINO can read ({first_line(error)})") from None
        _require_one(path, len(self.model.inputs))
        taken = self.model.inputs[0]
        self.input_name = _name(taken, "input")
        self.shape = tuple(side.get_length() if side.is_static else None for side in taken.get_partial_shape())
        if not taken.get_element_type().is_real():
            kind = taken.get_element_type().get_type_name()
            raise ValueError(f"{path}: input {self.input_name!r} is of {kind}, expected float images")
        self.outputs = tuple(_name(output, f"output{k}") for k, output in enumerate(self.model.outputs))
        self.version = f"openvino {metadata.version('openvino')}"
        self._request: Any = None

    def reshape(self, shape: tuple[int, ...]) -> None:
        try:
            self.model.reshape(list(shape))
        except Exception as error:  # likewise
            raise ValueError(f"{self.path}: takes no input {list(shape)} ({first_line(error)})") from None
        self._request = None

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        if self._request is None:
            options = {
                "INFERENCE_PRECISION_HINT": "f32",  # left to itself it takes bfloat16 where the processor can
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            }
            self._request = self.core.compile_model(self.model, "CPU", options).create_infer_request()
        self._request.infer([images])
        return [np.array(self._request.get_output_tensor(k).data) for k in range(len(self.outputs))]


def _name(port: Any, otherwise: str) -> str:
    """A port's name; of an output that LiteRT's converter wrote, the one that the file's signature has for it."""
    names = sorted(port.get_names())
    return _SIGNED.sub(r"\1", names[0]) if names else otherwise


def _require(path: Path, what: str) -> None:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give {what}")


def _require_one(path: Path, inputs: int) -> None:
    if inputs != 1:
        raise ValueError(f"{path}: takes {inputs} inputs, expected one, images [N, 3, height, width]")
