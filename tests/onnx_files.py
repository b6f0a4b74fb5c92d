"""Small ONNX files, one convolution from an image to maps, and the papers whose networks are exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hpe_bench import catalog

LONG = ("lite_hrnet", "lpn")  # whose exports take a minute each
EXPORTED_PAPERS = [
    pytest.param(p.paper.slug, marks=pytest.mark.torture) if p.paper.slug in LONG else p.paper.slug
    for p in catalog.load_all()[0]
]
"""The papers whose miniatures are exported in tests; those of `LONG` where there is time."""


def write(
    path: Path,
    kernel_JCkk: np.ndarray,
    input_shape: tuple[Any, ...] = ("n", 3, 64, 48),
    stride: int = 4,
    extra_inputs: int = 0,
    extra_outputs: int = 0,
    kind: int = TensorProto.FLOAT,
) -> Path:
    """A file whose maps [N,J,H/stride,W/stride] are a convolution of its input, without padding."""
    inputs = [helper.make_tensor_value_info("image", kind, input_shape)]
    inputs += [helper.make_tensor_value_info(f"more{i}", TensorProto.FLOAT, [1]) for i in range(extra_inputs)]
    names = ["maps", *(f"other{i}" for i in range(extra_outputs))]
    weights = numpy_helper.from_array(kernel_JCkk.astype(np.float32 if kind == TensorProto.FLOAT else np.float64), "w")
    nodes = [helper.make_node("Conv", ["image", "w"], ["maps"], strides=[stride, stride])]
    nodes += [helper.make_node("Identity", ["maps"], [name]) for name in names[1:]]
    outputs = [helper.make_tensor_value_info(name, kind, None) for name in names]
    graph = helper.make_graph(nodes, "one convolution", inputs, outputs, [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def brightness(joints: int, side: int = 4) -> np.ndarray:
    """A kernel that finds light: every map is the mean over blocks of pixels and over colours."""
    return np.full((joints, 3, side, side), 1 / (3 * side * side))
