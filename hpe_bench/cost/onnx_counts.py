"""Counting ONNX files by the rules of `counts`: parameters, MACs under two conventions, activations.

An operator that is neither counted nor free is named, and the count is then a lower bound. Parameters and bytes follow
from the file alone. What an exporter has folded away is gone: a batch normalisation inside a convolution leaves a bias
behind in place of its two parameters a channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from hpe_bench.cost.dispatched import ATTENTION, PRODUCT, RECURRENT
from hpe_bench.cost.einsum import contraction
from hpe_bench.cost.model_cost import Cost, Layer, ModuleCost, by_kind, convolution_kind
from hpe_bench.cost.onnx_shapes import OnnxGraph, Shape

# fmt: off
FREE = frozenset({
    # normalisation
    "BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization",
    "RMSNormalization", "MeanVarianceNormalization", "LRN",
    # activation functions and element-wise arithmetic
    "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh",
    "Softmax", "LogSoftmax", "Hardmax", "Softplus", "Softsign", "Mish", "Gelu", "Swish", "SwiGLU", "ThresholdedRelu",
    "Shrink", "Erf", "Exp", "Log", "Sqrt", "Pow", "Neg", "Abs", "Reciprocal", "Sign", "Ceil", "Floor", "Round", "Mod",
    "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Add", "Sub", "Mul", "Div",
    "Sum", "Mean", "Max", "Min", "And", "Or", "Xor", "Not", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual",
    "IsInf", "IsNaN", "Where", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "RotaryEmbedding",
    # reductions, scans, sorting
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceSumSquare", "ArgMax", "ArgMin", "CumSum", "CumProd", "TopK", "Unique", "NonZero",
    "NonMaxSuppression",
    # pooling and resampling
    "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "MaxUnpool", "MaxRoiPool",
    "RoiAlign", "Resize", "Upsample", "GridSample", "AffineGrid", "DepthToSpace", "SpaceToDepth", "Col2Im",
    # rounding to whole numbers and back
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
    # moving data, shapes, random numbers
    "Identity", "Constant", "ConstantOfShape", "Cast", "CastLike", "BitCast", "Reshape", "Transpose", "Flatten",
    "Squeeze", "Unsqueeze", "Concat", "Split", "Slice", "Gather", "GatherElements", "GatherND", "Scatter",
    "ScatterElements", "ScatterND", "TensorScatter", "Expand", "Tile", "Pad", "CenterCropPad", "Shape", "Size",
    "Dropout", "Range", "EyeLike", "OneHot", "Trilu", "Compress", "ReverseSequence", "SequenceConstruct",
    "SequenceEmpty", "SequenceAt", "SequenceInsert", "SequenceErase", "SequenceLength", "SplitToSequence",
    "ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement", "RandomNormal", "RandomNormalLike",
    "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial", "HannWindow", "HammingWindow", "BlackmanWindow",
})
# fmt: on
SETTINGS = frozenset({"Resize", "Upsample", "Clip", "Pad", "Pow", "QuantizeLinear"})  # read constants nobody learns
WEIGHTS_ALONE = {  # where only some constants are learnt: not statistics, scales and zero points
    "BatchNormalization": (1, 2),
    "DequantizeLinear": (0,),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (0, 3),
    "ConvInteger": (1,),
    "MatMulInteger": (0, 1),
}
OF_WHOLE_NUMBERS = frozenset(WEIGHTS_ALONE) - {"BatchNormalization"}  # read weights that are whole numbers


def count_onnx(path: Path, input_hw: tuple[int, int] | None = None) -> Cost:
    """The cost of one image through a file of fixed input size, or at `input_hw` where the file leaves it open.

    ValueError names the file and what is wrong with it. An operator nobody taught us, or whose shapes not even a run of
    the file gives, is named in the result's `uncounted`.
    """
    opened = OnnxGraph(path, input_hw)
    nodes, constants = opened.nodes, dict(_constants(opened.onnx, opened.graph))
    shapes = opened.shapes(name for node in nodes if _is_work(node) for name in (*node.input, *node.output))
    layers = [_layer(node, shapes, opened.batch) for node in nodes]
    found = [layer for layer in layers if layer is not None]
    learnt = {name for node in nodes for name in _learnt(node, constants)}
    return Cost(
        input_hw=opened.input_hw,
        params=sum(prod(constants[name].shape) for name in learnt),
        weight_bytes=sum(c.bytes for name, c in constants.items() if not c.is_whole or name in learnt),
        macs=sum(layer.macs for layer in found),
        macs_hrnet_counter=sum(layer.at_output for layer in found),
        activations=sum(layer.activations for layer in found),
        modules=tuple(_rows(nodes, layers, constants)),
        kinds=by_kind(found),
        uncounted=tuple(sorted(set(_uncounted(nodes, layers)))),
    )


@dataclass(frozen=True)
class Constant:
    """Numbers in the file: weights, statistics, scales; whole ones are quantised weights, sizes or indices."""

    shape: Shape
    bytes: int
    is_whole: bool


def _constants(onnx: ModuleType, graph: Any) -> Iterator[tuple[str, Constant]]:
    """Tensors of the file by name: initialisers, and those that constant nodes hold."""
    held = ((n.output[0], a.t) for n in graph.node if n.op_type == "Constant" for a in n.attribute if a.name == "value")
    for name, tensor in (*((t.name, t) for t in graph.initializer), *held):
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        yield name, Constant(tuple(tensor.dims), prod(tensor.dims) * kind.itemsize, kind.kind in "iub")


def _learnt(node: Any, constants: Mapping[str, Constant]) -> list[str]:
    """The parameters that a node reads; what several nodes share is counted once, in the total."""
    if node.op_type in SETTINGS:
        return []
    positions = WEIGHTS_ALONE.get(node.op_type, range(len(node.input)))
    named = [node.input[i] for i in positions if i < len(node.input) and node.input[i] in constants]
    return [name for name in named if node.op_type in OF_WHOLE_NUMBERS or not constants[name].is_whole]


# ---------------------------------------------------------------------------------------------------- counting


def _is_work(node: Any) -> bool:
    return node.domain in ("", "ai.onnx") and node.op_type in WORK


def _is_free(node: Any) -> bool:
    """Whether a node costs nothing; one with branches or a body if everything in them does."""
    bodies = [a.g for a in node.attribute if a.HasField("g")]
    if bodies:
        return all(_is_free(inner) for body in bodies for inner in body.node)
    return node.domain in ("", "ai.onnx") and node.op_type in FREE


def _layer(node: Any, shapes: Mapping[str, Shape], batch: int) -> Layer | None:
    """What a node does for one image; None if nothing, or nothing that is known."""
    if not _is_work(node):
        return None
    try:
        layer = WORK[node.op_type](_Node(node, shapes))
    except KeyError:  # a shape that stayed open
        return None
    return Layer(layer.kind, layer.macs // batch, layer.at_output // batch, layer.activations // batch)


def _uncounted(nodes: Iterable[Any], layers: Iterable[Layer | None]) -> Iterator[str]:
    for node, layer in zip(nodes, layers, strict=True):
        name = f"{node.domain}.{node.op_type}".lstrip(".")
        if _is_work(node):
            if layer is None:
                yield f"{name} of open shape"
        elif not _is_free(node):
            yield name


def _rows(
    nodes: Iterable[Any], layers: Iterable[Layer | None], constants: Mapping[str, Constant]
) -> Iterator[ModuleCost]:
    """The nodes that do counted work or hold parameters."""
    for node, layer in zip(nodes, layers, strict=True):
        params = sum(prod(constants[name].shape) for name in _learnt(node, constants))
        macs, at_output, written = (0, 0, 0) if layer is None else (layer.macs, layer.at_output, layer.activations)
        if macs or params:
            yield ModuleCost(node.name, node.op_type, params, macs, at_output, written)


class _Node(NamedTuple):
    """A node and the shapes around it; KeyError for one that is not known."""

    node: Any
    shapes: Mapping[str, Shape]

    def input(self, position: int) -> Shape:
        return self.shapes[self.node.input[position]]

    @property
    def output(self) -> Shape:
        return self.shapes[self.node.output[0]]

    def attribute(self, name: str, default: Any) -> Any:
        found = (a for a in self.node.attribute if a.name == name)
        return next((a.s.decode() if a.s else a.i for a in found), default)


def _conv(weight: int, node: _Node) -> Layer:
    """Weights x output positions; a weight [M, C/groups, k, k] already counts the groups."""
    image, kernel, written = node.input(0), node.input(weight), node.output
    macs = prod(kernel) * written[0] * prod(written[2:])
    kind = convolution_kind(False, node.attribute("group", 1), image[1], kernel[2:])
    return Layer(kind, macs, macs, prod(written))


def _conv_transpose(node: _Node) -> Layer:
    """Truly weights x input positions; weights x output positions by the HRNet counter (F19)."""
    image, kernel, written = node.input(0), node.input(1), node.output
    kind = convolution_kind(True, node.attribute("group", 1), image[1], kernel[2:])
    at_output = prod(kernel) * written[0] * prod(written[2:])
    return Layer(kind, prod(kernel) * image[0] * prod(image[2:]), at_output, prod(written))


def _gemm(node: _Node) -> Layer:
    return _times(node.input(0)[0 if node.attribute("transA", 0) else 1], node)


def _matmul(node: _Node) -> Layer:
    return _times(node.input(0)[-1], node)


def _times(summed: int, node: _Node) -> Layer:
    """A matrix product that sums over so many elements for each that it writes."""
    macs = prod(node.output) * summed
    return Layer(PRODUCT, macs, macs, prod(node.output))


def _einsum(node: _Node) -> Layer:
    shapes = [node.input(k) for k in range(len(node.node.input))]
    macs, written = contraction(node.attribute("equation", ""), shapes)
    return Layer(PRODUCT, macs, macs, written)


def _attention(node: _Node) -> Layer:
    """Query, key, value: [N, heads, L, E] each, or [N, L, heads x E]; keys and values may have fewer heads."""
    query, key, written = node.input(0), node.input(1), node.output
    heads = query[1] if len(query) == 4 else node.attribute("q_num_heads", 1)
    length, keys = query[-2], key[-2]
    macs = (prod(query) + prod(written)) * keys
    return Layer(ATTENTION, macs, macs, query[0] * heads * length * keys + prod(written))


def _recurrent(node: _Node) -> Layer:
    """Input [T, N, F], then the weights of the input and of the state, [directions, rows, columns]."""
    steps = prod(node.input(0)[:2])
    weights = [node.input(1), node.input(2)]
    macs = steps * sum(map(prod, weights))
    return Layer(RECURRENT, macs, macs, steps * sum(w[0] * w[1] for w in weights))


WORK: dict[str, Callable[[_Node], Layer]] = {
    "Conv": lambda node: _conv(1, node),
    "ConvInteger": lambda node: _conv(1, node),
    "QLinearConv": lambda node: _conv(3, node),
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Einsum": _einsum,
    "Attention": _attention,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}
