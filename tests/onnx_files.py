"""Small ONNX files, one convolution from an image to maps, and the papers whose networks are exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hpe_bench import catalog

LONG = ("bulat_cascade", "fpd", "hourglass", "hrnet", "lite_hrnet", "lpn", "part_branching")  # 10 s to a minute each
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


def write_simcc(path: Path, joints: int, names: tuple[str, str] = ("simcc_x", "simcc_y"), side: Any = (64, 48)) -> Path:
    """A file in the layout that mmdeploy exports RTMPose in: light's largest value in each column and row of pixels.

    Outputs [N,J,2W] and [N,J,2H]; bin 2k holds pixel k's value, the bin behind it half of it.
    """
    height, width = side
    nodes = [helper.make_node("ReduceMean", ["image"], ["grey"], axes=[1], keepdims=1)]
    constants = [numpy_helper.from_array(np.array([0.5], np.float32), "half")]
    for name, axis, length in ((names[0], 2, width), (names[1], 3, height)):
        bins = numpy_helper.from_array(np.array([0, 1, 2 * length], np.int64), f"{name}-bins")
        last = numpy_helper.from_array(np.array([3], np.int64), f"{name}-last")
        constants += [bins, last]
        n = lambda part, name=name: f"{name}-{part}"  # noqa: E731
        nodes += [
            helper.make_node("ReduceMax", ["grey"], [n("line")], axes=[axis], keepdims=0),
            helper.make_node("Unsqueeze", [n("line"), n("last")], [n("whole")]),
            helper.make_node("Mul", [n("whole"), "half"], [n("less")]),
            helper.make_node("Concat", [n("whole"), n("less")], [n("both")], axis=3),
            helper.make_node("Reshape", [n("both"), n("bins")], [n("one")]),
            helper.make_node("Concat", [n("one")] * joints, [name], axis=1),
        ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ("n", 3, height, width))
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    graph = helper.make_graph(nodes, "simcc", [image], outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), path)
    return path


def write_joints(path: Path, table_1JC: np.ndarray, flat: bool = False) -> Path:
    """A file that always gives the same table [1,J,C], or [1,J*C], whatever the image of 64x48."""
    table = table_1JC.reshape(1, -1) if flat else table_1JC
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["grey"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["grey", "zero"], ["none"]),
        helper.make_node("Add", ["none", "table"], ["joints"]),
    ]
    constants = [
        numpy_helper.from_array(table.astype(np.float32), "table"),
        numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 64, 48))
    outputs = [helper.make_tensor_value_info("joints", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "joints", [image], outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), path)
    return path


def channels_last(path: Path, joints: int, side: tuple[int, int] = (64, 48)) -> Path:
    """The light finder with images [1,H,W,3] in and heatmaps [1,h,w,J] out, as TFLite files have them; for OpenVINO."""
    kernel = numpy_helper.from_array(brightness(joints).astype(np.float32), "w")
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "w"], ["maps"], strides=[4, 4]),
        helper.make_node("Transpose", ["maps"], ["heatmaps"], perm=[0, 2, 3, 1]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, *side, 3))
    outputs = [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "channels last", [image], outputs, [kernel])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), path)
    return path
