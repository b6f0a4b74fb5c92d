"""ONNX files opened, their input fixed to one size, and the shapes of their values.

Shapes come from ONNX's own inference. What it leaves open, such as behind sizes that a file computes from its input's
(`Shape`, `Slice`, `Concat` and `Resize` in files of opset 11), is read off one run in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hpe_bench.errors import first_line
from hpe_bench.inference.exporting import package

Shape = tuple[int, ...]


class OnnxGraph:
    """A file whose input has one size: `input_hw`, `batch` images a call, its nodes and the shapes of values."""

    def __init__(self, path: Path, input_hw: tuple[int, int] | None) -> None:
        self.path = path
        self.onnx = package("onnx", "onnx")
        self._model = _loaded(self.onnx, path)
        self.batch, self.input_hw = _sized(path, self._model.graph, input_hw)
        _forget_shapes(self._model.graph)
        inferred, fault = self._inferred()
        self.graph = inferred.graph
        self.nodes = list(self.graph.node)
        self._shapes = dict(_stated(self.graph))
        if fault:  # inference cannot follow the file, or the file does not take this size: running it tells
            self._run([], fault)

    def shapes(self, names: Iterable[str]) -> dict[str, Shape]:
        """The shapes of values, by name; those that not even a run gives are left out."""
        wanted = [name for name in dict.fromkeys(names) if name]
        if missing := [name for name in wanted if name not in self._shapes]:
            self._run(missing, "")
        return {name: self._shapes[name] for name in wanted if name in self._shapes}

    def _inferred(self) -> tuple[Any, str]:
        """The model with what inference finds, and what is wrong with it, if anything is."""
        infer = self.onnx.shape_inference.infer_shapes
        try:
            return infer(self._model, strict_mode=True, data_prop=True), ""
        except (self.onnx.shape_inference.InferenceError, RuntimeError) as error:
            fault = first_line(error)
        try:
            return infer(self._model, strict_mode=False, data_prop=False), fault
        except (self.onnx.shape_inference.InferenceError, RuntimeError):
            return self._model, fault

    def _run(self, names: list[str], fault: str) -> None:
        """Learn shapes by running the file once on black images; ValueError if that fails where inference did too."""
        try:
            self._shapes |= self._found_by_running(names)
        except Exception as error:  # onnxruntime's exceptions have no common base
            if fault:
                size = "x".join(map(str, self.input_hw))
                raise ValueError(
                    f"{self.path}: its shapes do not fit images of {size} ({fault}; {first_line(error)})"
                ) from None

    def _found_by_running(self, names: list[str]) -> dict[str, Shape]:
        import onnxruntime

        model = self.onnx.ModelProto()
        model.CopyFrom(self._model)
        del model.graph.output[:]
        names = names or [output.name for output in self._model.graph.output]
        model.graph.output.extend(self.onnx.ValueInfoProto(name=name) for name in names)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors come as exceptions
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        image = _images(self._model.graph)
        kind = self.onnx.helper.tensor_dtype_to_np_dtype(image.type.tensor_type.elem_type)
        pixels = np.zeros([dim.dim_value for dim in image.type.tensor_type.shape.dim], kind)
        given = session.run(names, {image.name: pixels})
        return {name: tuple(np.shape(value)) for name, value in zip(names, given, strict=True)}


def _loaded(onnx: ModuleType, path: Path) -> Any:
    """The model, with functions of its own written out."""
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise ValueError(f"{path}: no such file; give an ONNX file")
    try:
        model = onnx.load(path)
    except (DecodeError, OSError) as error:
        raise ValueError(f"{path}: not a readable ONNX file ({first_line(error)})") from None
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _images(graph: Any) -> Any:
    """The only input that is no weight."""
    weights = {tensor.name for tensor in graph.initializer}
    return next(value for value in graph.input if value.name not in weights)


def _sized(path: Path, graph: Any, input_hw: tuple[int, int] | None) -> tuple[int, tuple[int, int]]:
    """Fix the only input's size in the graph; returns images a call and (h, w)."""
    weights = {tensor.name for tensor in graph.initializer}
    found = [value for value in graph.input if value.name not in weights]
    if len(found) != 1:
        raise ValueError(f"{path}: takes {len(found)} inputs, expected one, images [N, 3, height, width]")
    dims = found[0].type.tensor_type.shape.dim
    sides: list[Any] = [dim.dim_value or None for dim in dims]
    if len(sides) != 4 or sides[1] not in (3, None):
        shown = [side or dim.dim_param or "?" for side, dim in zip(sides, dims, strict=True)]
        raise ValueError(f"{path}: input {found[0].name!r} is {shown}, expected images [N, 3, height, width]")
    if input_hw is None and None in sides[2:]:
        raise ValueError(f"{path}: its input size is open; say which to count, such as 256x192")
    wanted: tuple[int, int] = input_hw or (sides[2], sides[3])
    for dim, side, given in zip(dims, sides, (sides[0] or 1, 3, *wanted), strict=True):
        if side not in (None, given):
            own = "x".join(str(s or "any") for s in sides[2:])
            raise ValueError(f"{path}: takes images of {own}, not {wanted[0]}x{wanted[1]}")
        dim.dim_value = given
    batch: int = sides[0] or 1
    return batch, wanted


def _forget_shapes(graph: Any) -> None:
    """Drop the shapes that the file states: its input size may be new."""
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")


def _stated(graph: Any) -> Iterator[tuple[str, Shape]]:
    """The shapes that are fully known, by name."""
    for tensor in graph.initializer:
        yield tensor.name, tuple(tensor.dims)
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            yield value.name, tuple(dim.dim_value for dim in dims)
