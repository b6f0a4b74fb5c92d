"""Counting TFLite and IR files, as OpenVINO reads them, by the rules of `counts` and of `onnx_counts`.

OpenVINO's graph holds weights as constants, perhaps in half precision behind a conversion. An operator that is neither
counted nor free is named, and the count is then a lower bound.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

from hpe_bench.cost.dispatched import PRODUCT
from hpe_bench.cost.model_cost import Cost, Layer, ModuleCost, by_kind, convolution_kind
from hpe_bench.errors import first_line
from hpe_bench.inference.exporting import package

# fmt: off
FREE = frozenset({
    "Parameter", "Result", "Constant", "Convert", "ConvertLike", "Reshape", "Transpose", "Squeeze", "Unsqueeze",
    "Concat", "Split", "VariadicSplit", "StridedSlice", "Slice", "Gather", "GatherND", "GatherElements",
    "Broadcast", "Tile", "Pad", "ShapeOf", "Range", "Select", "DepthToSpace", "SpaceToDepth", "ShuffleChannels",
    "FakeQuantize", "NonZero", "OneHot", "Add", "Subtract", "Multiply", "Divide", "Maximum", "Minimum", "Power",
    "Mod", "FloorMod", "SquaredDifference", "Abs", "Negative", "Sqrt", "Exp", "Log", "Erf", "Floor", "Ceiling",
    "Round", "Sign", "Sin", "Cos", "Clamp", "Relu", "PRelu", "Elu", "Gelu", "HSwish", "HSigmoid", "HardSigmoid",
    "Sigmoid", "Swish", "Mish", "Tanh", "SoftPlus", "Softmax", "LogSoftmax", "Selu", "BatchNormInference", "MVN",
    "NormalizeL2", "GRN", "LRN", "MaxPool", "AvgPool", "Interpolate", "AdaptiveAvgPool", "AdaptiveMaxPool",
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "TopK", "CumSum",
    "GridSample", "Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "NotEqual", "LogicalAnd", "LogicalOr",
    "LogicalNot", "ScatterNDUpdate", "ScatterUpdate", "ScatterElementsUpdate", "Identity",
})
# fmt: on
SETTINGS = frozenset({"Interpolate", "Pad", "Power", "FakeQuantize", "Range", "TopK"})  # read constants nobody learns


def count_openvino(path: Path, input_hw: tuple[int, int]) -> Cost:
    """The cost of one image through a file at an input size; ValueError where OpenVINO cannot read or size it."""
    openvino = package("openvino", "openvino")
    try:
        model = openvino.Core().read_model(path)
        height, width = input_hw
        last = model.inputs[0].get_partial_shape()[3] == openvino.Dimension(3)
        model.reshape([1, height, width, 3] if last else [1, 3, height, width])
    except Exception as error:  # openvino's exceptions have no common base
        raise ValueError(f"{path}: OpenVINO cannot count it: {first_line(error)}") from None
    nodes = model.get_ordered_ops()
    work = [n for n in nodes if n.get_type_name() in WORK]
    layers = [(n, WORK[n.get_type_name()](n)) for n in work if _is_static(n)]
    held = [n for n in nodes if _is_learnt(n)]
    unknown = {n.get_type_name() for n in nodes if n.get_type_name() not in WORK and n.get_type_name() not in FREE}
    unknown |= {f"{n.get_type_name()} of open shape" for n in work if not _is_static(n)}
    return Cost(
        input_hw=input_hw,
        params=sum(prod(n.output(0).get_shape()) for n in held),
        weight_bytes=sum(n.get_byte_size() for n in held),
        macs=sum(layer.macs for _, layer in layers),
        macs_hrnet_counter=sum(layer.at_output for _, layer in layers),
        activations=sum(layer.activations for _, layer in layers),
        modules=tuple(_row(n, layer) for n, layer in layers),
        kinds=by_kind(layer for _, layer in layers),
        uncounted=tuple(sorted(unknown)),
    )


def _is_static(node: Any) -> bool:
    ports = (*node.inputs(), *node.outputs())
    return all(port.get_partial_shape().is_static for port in ports)


def _is_learnt(node: Any) -> bool:
    """Whether a node is a constant of weights: of real numbers, or of whole ones that are converted (quantised)."""
    if node.get_type_name() != "Constant":
        return False
    readers = {target.get_node().get_type_name() for target in node.output(0).get_target_inputs()}
    if readers <= SETTINGS:
        return False
    kind = node.output(0).get_element_type()
    return bool(kind.is_real()) or (kind.size == 1 and "Convert" in readers)


def _row(node: Any, layer: Layer) -> ModuleCost:
    name = node.get_friendly_name()
    return ModuleCost(name, node.get_type_name(), 0, layer.macs, layer.at_output, layer.activations)


def _convolution(node: Any) -> Layer:
    """Weights [O,I,k,k], of groups [G,O/G,I/G,k,k], times output positions."""
    image, kernel, written = node.input(0).get_shape(), node.input(1).get_shape(), node.output(0).get_shape()
    groups, size = (kernel[0], kernel[3:]) if "Group" in node.get_type_name() else (1, kernel[2:])
    macs = prod(kernel) * written[0] * prod(written[2:])
    return Layer(convolution_kind(False, groups, image[1], size), macs, macs, prod(written))


def _transposed(node: Any) -> Layer:
    """Truly weights x input positions; weights x output positions by the HRNet counter (F19)."""
    image, kernel, written = node.input(0).get_shape(), node.input(1).get_shape(), node.output(0).get_shape()
    groups, size = (kernel[0], kernel[3:]) if "Group" in node.get_type_name() else (1, kernel[2:])
    kind = convolution_kind(True, groups, image[1], size)
    at_output = prod(kernel) * written[0] * prod(written[2:])
    return Layer(kind, prod(kernel) * image[0] * prod(image[2:]), at_output, prod(written))


def _product(node: Any) -> Layer:
    left, written = node.input(0).get_shape(), node.output(0).get_shape()
    summed = left[-2] if node.get_attributes().get("transpose_a") and len(left) > 1 else left[-1]
    return Layer(PRODUCT, prod(written) * summed, prod(written) * summed, prod(written))


WORK: dict[str, Callable[[Any], Layer]] = {
    "Convolution": _convolution,
    "GroupConvolution": _convolution,
    "ConvolutionBackpropData": _transposed,
    "GroupConvolutionBackpropData": _transposed,
    "MatMul": _product,
}
