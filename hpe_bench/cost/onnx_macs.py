"""Counting ONNX files by the rules of `macs`: parameters, multiply-adds under two conventions, activations.

Shapes come from ONNX's own inference at one input size; nothing is executed. An operator that is neither counted nor
listed as free is an error rather than a zero. What an exporter has folded away is gone: a batch normalisation inside a
convolution leaves a bias behind in place of its two parameters a channel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

from hpe_bench.cost.macs import Cost, ModuleCost, UncountedOperatorError, by_kind, convolution_kind
from hpe_bench.run.exporting import package

# fmt: off
FREE = frozenset({
    # normalisation
    "BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization",
    # activation functions and elementwise arithmetic
    "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Softmax",
    "Softplus", "Mish", "Gelu", "Swish", "Erf", "Exp", "Log", "Sqrt", "Pow", "Neg", "Abs", "Reciprocal", "Add", "Sub",
    "Mul", "Div", "Sum", "Mean", "Max", "Min", "ReduceMean", "ReduceSum", "ReduceMax",
    # pooling and resampling
    "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize", "Upsample", "DepthToSpace",
    "SpaceToDepth",
    # moving data, shapes
    "Identity", "Constant", "ConstantOfShape", "Cast", "CastLike", "Reshape", "Transpose", "Flatten", "Squeeze",
    "Unsqueeze", "Concat", "Split", "Slice", "Gather", "Expand", "Tile", "Pad", "Shape", "Dropout", "Range", "Where",
    "Equal",
})
# fmt: on
SETTINGS = frozenset({"Resize", "Upsample", "Clip", "Pad", "Pow"})  # read constants that nobody learns
STATISTICS = (3, 4)  # inputs of BatchNormalization: running mean and variance

Shape = tuple[int, ...]


def count_onnx(path: Path, input_hw: tuple[int, int] | None = None) -> Cost:
    """The cost of one image through a file of fixed input size, or at `input_hw` where the file leaves it open.

    ValueError names the file and what is wrong with it; `UncountedOperatorError` the operators nobody taught us.
    """
    onnx = package("onnx", "onnx")
    model = _loaded(onnx, path)
    batch, input_hw = _sized(path, model.graph, input_hw)
    graph = _inferred(onnx, path, model, input_hw).graph
    constants = dict(_constants(onnx, graph))
    shapes = dict(_shapes(graph)) | {name: c.shape for name, c in constants.items()}
    _refuse_unknown(path, graph.node)
    rows = [_row(path, node, shapes, constants, batch) for node in graph.node]
    total = sum((work for _, work in rows), Counter[str]())
    learnt = {name for node in graph.node for name in _learnt(node, constants)}
    return Cost(
        input_hw=input_hw,
        params=sum(prod(constants[name].shape) for name in learnt),
        macs=total["macs"],
        macs_hrnet_counter=total["at_output"],
        activations=total["activations"],
        weight_bytes=sum(c.bytes for c in constants.values()),
        modules=tuple(row for row, _ in rows if row.macs or row.params),
        kinds=by_kind(
            (_kind(node, shapes), work["macs"], work["at_output"])
            for node, (_, work) in zip(graph.node, rows, strict=True)
            if work
        ),
    )


@dataclass(frozen=True)
class Constant:
    """Numbers in the file that are no whole numbers: weights, statistics, scales."""

    shape: Shape
    bytes: int


# ---------------------------------------------------------------------------------------------------- reading


def _loaded(onnx: ModuleType, path: Path) -> Any:
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise ValueError(f"{path}: no such file; give an ONNX file")
    try:
        return onnx.load(path)
    except (DecodeError, OSError) as error:
        raise ValueError(f"{path}: not a readable ONNX file ({_first_line(error)})") from None


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


def _inferred(onnx: ModuleType, path: Path, model: Any, input_hw: tuple[int, int]) -> Any:
    """The model with the shape of every value. Shapes that the file states are dropped: its input size may be new."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError) as error:
        size = "x".join(map(str, input_hw))
        raise ValueError(f"{path}: its shapes do not fit images of {size} ({_first_line(error)})") from None


def _constants(onnx: ModuleType, graph: Any) -> Iterator[tuple[str, Constant]]:
    """Floating-point tensors of the file by name: initialisers, and those that constant nodes hold."""
    held = ((n.output[0], a.t) for n in graph.node if n.op_type == "Constant" for a in n.attribute if a.name == "value")
    for name, tensor in (*((t.name, t) for t in graph.initializer), *held):
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        if kind.kind not in "iub":
            yield name, Constant(tuple(tensor.dims), prod(tensor.dims) * kind.itemsize)


def _shapes(graph: Any) -> Iterator[tuple[str, Shape]]:
    """The shapes that are fully known, by name."""
    for tensor in graph.initializer:
        yield tensor.name, tuple(tensor.dims)
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            yield value.name, tuple(dim.dim_value for dim in dims)


# ---------------------------------------------------------------------------------------------------- counting


def _refuse_unknown(path: Path, nodes: Iterable[Any]) -> None:
    names = {f"{n.domain}.{n.op_type}".lstrip(".") for n in nodes if n.domain not in ("", "ai.onnx") or not _known(n)}
    if names:
        raise UncountedOperatorError(
            f"{path}: no known cost for {', '.join(sorted(names))}; count it in hpe_bench/cost/onnx_macs.py or list it "
            "as FREE there"
        )


def _known(node: Any) -> bool:
    return node.op_type in FREE or node.op_type in WORK


def _row(
    path: Path, node: Any, shapes: dict[str, Shape], constants: dict[str, Constant], batch: int
) -> tuple[ModuleCost, Counter[str]]:
    """What a node does for one image, and holds."""
    params = sum(prod(constants[name].shape) for name in _learnt(node, constants))
    work = Counter[str]()
    if node.op_type in WORK:
        needed = (*node.input[:2], node.output[0])
        if missing := [name for name in needed if name not in shapes]:
            raise ValueError(f"{path}: {node.op_type} {node.name!r} works on {missing[0]!r}, whose shape is not fixed")
        left, right, written = (shapes[name] for name in needed)
        macs, at_output = WORK[node.op_type](node, left, right, written)
        work = Counter(macs=macs // batch, at_output=at_output // batch, activations=prod(written) // batch)
    done = ModuleCost(node.name, node.op_type, params, work["macs"], work["at_output"], work["activations"])
    return done, work


def _kind(node: Any, shapes: dict[str, Shape]) -> str:
    if not node.op_type.startswith("Conv"):
        return "matrix product"
    groups = next((int(a.i) for a in node.attribute if a.name == "group"), 1)
    image, weight = (shapes[name] for name in node.input[:2])
    return convolution_kind(node.op_type == "ConvTranspose", groups, image[1], weight[2:])


def _learnt(node: Any, constants: dict[str, Constant]) -> list[str]:
    """The parameters that a node reads; what several nodes share is counted once, in the total."""
    if node.op_type in SETTINGS:
        return []
    left_out = STATISTICS if node.op_type == "BatchNormalization" else ()
    return [name for i, name in enumerate(node.input) if name in constants and i not in left_out]


def _conv(node: Any, image: Shape, weight: Shape, written: Shape) -> tuple[int, int]:
    """Weights x output positions; a weight [M, C/groups, k, k] already counts the groups."""
    macs = prod(weight) * written[0] * prod(written[2:])
    return macs, macs


def _conv_transpose(node: Any, image: Shape, weight: Shape, written: Shape) -> tuple[int, int]:
    """Truly weights x input positions; weights x output positions by the HRNet counter (F19)."""
    return prod(weight) * image[0] * prod(image[2:]), prod(weight) * written[0] * prod(written[2:])


def _gemm(node: Any, left: Shape, right: Shape, written: Shape) -> tuple[int, int]:
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    macs = prod(written) * left[0 if transposed else 1]
    return macs, macs


def _matmul(node: Any, left: Shape, right: Shape, written: Shape) -> tuple[int, int]:
    macs = prod(written) * left[-1]
    return macs, macs


WORK: dict[str, Callable[[Any, Shape, Shape, Shape], tuple[int, int]]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
