"""ONNX files count as the networks that they were exported from; small graphs as the arithmetic says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hpe_bench import catalog
from hpe_bench.cost.dispatched import count_dispatched, on_meta
from hpe_bench.cost.onnx_counts import count_onnx
from tests import onnx_files
from tests.onnx_files import EXPORTED_PAPERS


@pytest.mark.parametrize("slug", EXPORTED_PAPERS)
def test_an_exported_paper_counts_as_its_network_does(slug: str, exported_pocket: Callable[[str], Path]) -> None:
    variant = catalog.find_variant(catalog.load(slug), "pocket")
    with on_meta():
        model = variant.builder(variant.joints)
    ours, files = count_dispatched(model, variant.input_hw), count_onnx(exported_pocket(slug))
    assert files.input_hw == variant.input_hw
    assert (files.macs, files.macs_hrnet_counter) == (ours.macs, ours.macs_hrnet_counter)
    assert files.activations == ours.activations
    assert files.kinds == ours.kinds
    assert sum(m.macs for m in files.modules) == files.macs
    # Exporters fold a batch norm's two parameters a channel into one bias, and keep equal tensors once, such as fresh
    # biases and norms, but no layer's weight.
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))]
    assert sum(m.weight.numel() for m in layers) <= files.params <= ours.params


def graph(
    path: Path,
    nodes: list[Any],
    weights: dict[str, tuple[int, ...]],
    shape: tuple[Any, ...] = (1, 3, 8, 6),
    outputs: tuple[str, ...] = ("y",),
) -> Path:
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    held = [numpy_helper.from_array(np.ones(s, np.float32), name) for name, s in weights.items()]
    out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [image], out, held), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.save(model, path)
    return path


def test_convolutions_by_hand(tmp_path: Path) -> None:
    """8x6 image: depthwise with stride 2, grouped and dilated, transposed with stride 2, and a shared weight."""
    nodes = [
        helper.make_node("Conv", ["x", "a", "bias"], ["h"], group=3, strides=[2, 2], pads=[1, 1, 1, 1]),  # 6 x 4x3
        helper.make_node("Conv", ["h", "b"], ["d"], group=2, dilations=[2, 2], pads=[2, 2, 2, 2]),  # 6 x 4x3
        helper.make_node("ConvTranspose", ["d", "c"], ["u"], strides=[2, 2], pads=[1, 1, 1, 1]),  # 5 x 8x6
        helper.make_node("Conv", ["u", "e"], ["v"]),
        helper.make_node("Conv", ["v", "e"], ["y"]),
    ]
    sizes = {"a": (6, 1, 3, 3), "bias": (6,), "b": (6, 3, 3, 3), "c": (6, 5, 4, 4), "e": (5, 5, 1, 1)}
    cost = count_onnx(graph(tmp_path / "a.onnx", nodes, sizes))
    a, b, c, e = 54 * 12, 162 * 12, 480 * 12, 25 * 48
    assert cost.macs == a + b + c + 2 * e
    assert cost.macs_hrnet_counter == a + b + 4 * c + 2 * e
    assert cost.activations == 6 * 12 + 6 * 12 + 3 * 5 * 48
    assert cost.params == sum(prod(s) for s in sizes.values())  # the shared weight once
    assert cost.weight_bytes == 4 * cost.params
    assert [(k.kind, k.layers, k.macs) for k in cost.kinds] == [
        ("transposed convolution 4x4", 1, c),
        ("convolution 1x1", 2, 2 * e),
        ("grouped convolution 3x3", 1, b),
        ("depthwise convolution 3x3", 1, a),
    ]


def test_matrix_products_normalisation_and_constants_by_hand(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("BatchNormalization", ["x", "s", "t", "mean", "var"], ["n"]),
        helper.make_node("Constant", [], ["factor"], value=numpy_helper.from_array(np.float32([1, 1, 2, 2]))),
        helper.make_node("Resize", ["n", "", "factor"], ["r"], mode="nearest"),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["g"]),
        helper.make_node("Gemm", ["g", "v"], ["y"], transB=1),
    ]
    sizes = {"s": (3,), "t": (3,), "mean": (3,), "var": (3,), "w": (3 * 16 * 12, 10), "v": (2, 10)}
    cost = count_onnx(graph(tmp_path / "a.onnx", nodes, sizes))
    assert cost.macs == cost.macs_hrnet_counter == 5760 + 20
    assert cost.activations == 10 + 2
    assert cost.params == 3 + 3 + 5760 + 20  # neither running statistics nor the factor of a resize
    assert [k.kind for k in cost.kinds] == ["matrix product"]


def test_one_image_is_counted_whatever_the_batch_and_open_sizes_are_filled_in(tmp_path: Path) -> None:
    kernel = onnx_files.brightness(5)
    fixed = onnx_files.write(tmp_path / "a.onnx", kernel, (4, 3, 64, 48))
    assert count_onnx(fixed).macs == kernel.size * 16 * 12
    anything = onnx_files.write(tmp_path / "b.onnx", kernel, ("n", 3, "h", "w"))
    assert count_onnx(anything, (64, 48)) == count_onnx(fixed)
    assert count_onnx(anything, (128, 48)).macs == 2 * count_onnx(fixed).macs


@pytest.mark.parametrize(
    ("shape", "hw", "words"),
    [
        (("n", 3, "h", 48), None, ["input size is open", "256x192"]),
        ((1, 3, 64, 48), (64, 64), ["64x48", "64x64"]),
        ((1, 4, 64, 48), None, ["[1, 4, 64, 48]", "[N, 3, height, width]"]),
        ((1, 3, 64), None, ["expected images"]),
    ],
)
def test_inputs_that_cannot_be_counted(
    tmp_path: Path, shape: tuple[Any, ...], hw: tuple[int, int] | None, words: list[str]
) -> None:
    file = onnx_files.write(tmp_path / "a.onnx", onnx_files.brightness(5), shape)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        count_onnx(file, hw)
    for word in ("a.onnx", *words):
        assert word in str(caught.value)


def test_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        count_onnx(tmp_path / "none.onnx")
    (tmp_path / "b.onnx").write_bytes(b"not a protobuf at all")
    with pytest.raises(ValueError, match=r"b\.onnx: not a readable ONNX file"):
        count_onnx(tmp_path / "b.onnx")
    file = onnx_files.write(tmp_path / "c.onnx", onnx_files.brightness(5))
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"c\.onnx"):
        count_onnx(file)
    two = onnx_files.write(tmp_path / "d.onnx", onnx_files.brightness(5), (1, 3, 64, 48), extra_inputs=1)
    with pytest.raises(ValueError, match="takes 2 inputs"):
        count_onnx(two)


def test_an_unknown_operator_gives_a_lower_bound_with_its_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node("Det", ["h"], ["d"]),
        helper.make_node("FusedConv", ["h", "w"], ["y"], domain="com.microsoft"),
    ]
    file = graph(tmp_path / "a.onnx", nodes, {"w": (3, 3, 1, 1)}, (1, 3, 6, 6))
    model = onnx.load(file)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, file)
    cost = count_onnx(file)
    assert cost.uncounted == ("Det", "com.microsoft.FusedConv")
    assert (cost.macs, cost.params, cost.weight_bytes, cost.activations) == (9 * 36, 9, 36, 3 * 36)


def ints(*values: int) -> Any:
    return numpy_helper.from_array(np.array(values, np.int64))


def constant(name: str, *values: int) -> Any:
    return helper.make_node("Constant", [], [name], value=ints(*values))


def save(path: Path, nodes: list[Any], weights: dict[str, np.ndarray], shape: tuple[Any, ...], opset: int) -> Path:
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    made = helper.make_graph(nodes, "g", [image], [out], held)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def test_sizes_that_a_file_of_opset_11_computes_are_found_by_running_it(tmp_path: Path) -> None:
    """Features resized to those of another branch, whose size is read, cut and joined in the graph."""
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["half"], strides=[2, 2], pads=[1, 1, 1, 1]),  # 4 x 32x24
        helper.make_node("MaxPool", ["half"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),  # 4 x 16x12
        helper.make_node("Shape", ["half"], ["size"]),
        *(constant(name, value) for name, value in (("two", 2), ("four", 4), ("zero", 0))),
        helper.make_node("Slice", ["size", "two", "four", "zero"], ["hw"]),
        helper.make_node("Shape", ["small"], ["own"]),
        helper.make_node("Slice", ["own", "zero", "two", "zero"], ["nc"]),
        helper.make_node("Cast", ["hw"], ["hw64"], to=TensorProto.INT64),
        helper.make_node("Concat", ["nc", "hw64"], ["wanted"], axis=0),
        helper.make_node("Resize", ["small", "none", "none", "wanted"], ["large"], mode="nearest"),
        helper.make_node("Conv", ["large", "b"], ["y"]),  # 5 x 32x24
    ]
    weights = {"a": np.ones((4, 3, 3, 3), np.float32), "b": np.ones((5, 4, 1, 1), np.float32)}
    weights["none"] = np.zeros(0, np.float32)
    for shape, hw in (((1, 3, 64, 48), None), (("n", 3, "h", "w"), (64, 48))):
        cost = count_onnx(save(tmp_path / "a.onnx", nodes, weights, shape, 11), hw)
        assert cost.macs == (108 + 20) * 32 * 24
        assert (cost.params, cost.uncounted) == (128, ())


def test_shapes_that_nothing_tells_leave_a_lower_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["h"]),
        helper.make_node("NonZero", ["h"], ["found"]),
        helper.make_node("Cast", ["found"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["b", "f"], ["y"]),
    ]
    weights = {"a": np.ones((2, 3, 1, 1), np.float32), "b": np.ones((5, 4), np.float32)}
    file = save(tmp_path / "a.onnx", nodes, weights, (1, 3, 8, 6), 13)
    assert count_onnx(file).macs == 6 * 48  # no pixel of a black image is above zero: a product with nothing
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    cost = count_onnx(file)
    assert cost.uncounted == ("MatMul of open shape",)
    assert (cost.macs, cost.params) == (6 * 48, 6 + 20)


def test_flatten_at_opset_13(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["h"]),
        helper.make_node("Flatten", ["h"], ["f"], axis=-3),
        helper.make_node("Gemm", ["f", "b"], ["y"]),
    ]
    weights = {"a": np.ones((2, 3, 1, 1), np.float32), "b": np.ones((96, 5), np.float32)}
    assert count_onnx(save(tmp_path / "a.onnx", nodes, weights, (1, 3, 8, 6), 13)).macs == 6 * 48 + 96 * 5


def test_whole_number_weights_count_as_what_they_stand_for(tmp_path: Path) -> None:
    """Quantise and dequantise around a convolution: int8 weights, their scales and zero points, an int32 bias."""
    scale, zero = {"s": np.float32(0.1), "ws": np.ones(4, np.float32)}, {"z": np.uint8(128), "wz": np.zeros(4, np.int8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"], axis=0),
        helper.make_node("DequantizeLinear", ["bias", "ws", "bz"], ["db"], axis=0),
        helper.make_node("Conv", ["d", "dw", "db"], ["y"], pads=[1, 1, 1, 1]),
    ]
    held = {"w": np.ones((4, 3, 3, 3), np.int8), "bias": np.ones(4, np.int32), "bz": np.zeros(4, np.int32)}
    cost = count_onnx(save(tmp_path / "a.onnx", nodes, {**held, **scale, **zero}, (1, 3, 8, 6), 13))
    assert (cost.macs, cost.params, cost.uncounted) == (108 * 48, 108 + 4, ())
    assert cost.weight_bytes == 108 + 4 * 4 + 4 + 4 * 4  # weights, bias, two floating-point scales


def test_branches_that_only_move_data_are_free(tmp_path: Path) -> None:
    def branch(name: str, kind: str) -> Any:
        out = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(kind, ["x"], [f"{name}_y"])], name, [], [out])

    for kind, unknown in (("Relu", ()), ("Det", ("If",))):
        nodes = [
            helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.bool_(True))),
            helper.make_node("If", ["c"], ["y"], then_branch=branch("a", "Relu"), else_branch=branch("b", kind)),
        ]
        file = save(tmp_path / f"{kind}.onnx", nodes, {}, (1, 3, 6, 6), 13)
        assert count_onnx(file).uncounted == unknown


def test_attention_einsum_and_recurrence_by_hand(tmp_path: Path) -> None:
    """16 tokens of 9 elements in 3 heads, contracted with [9, 5], then one step each through an LSTM of 4."""
    nodes = [
        helper.make_node("Reshape", ["x", "tokens"], ["t"]),
        helper.make_node("Attention", ["t", "t", "t"], ["a"], q_num_heads=3, kv_num_heads=3),
        helper.make_node("Einsum", ["a", "e"], ["f"], equation="nlc,cd->nld"),
        helper.make_node("LSTM", ["f", "w", "r"], ["y"], hidden_size=4),
    ]
    sizes = {"e": (9, 5), "w": (1, 16, 5), "r": (1, 16, 4)}
    weights = {name: np.ones(shape, np.float32) for name, shape in sizes.items()}
    weights["tokens"] = np.array([1, 16, 9], np.int64)
    cost = count_onnx(save(tmp_path / "a.onnx", nodes, weights, (1, 3, 8, 6), 23))
    assert {k.kind: k.macs for k in cost.kinds} == {
        "attention": 2 * 16 * 16 * 9,
        "recurrent layer": 16 * (16 * 5 + 16 * 4),
        "matrix product": 16 * 9 * 5,
    }
    assert cost.activations == (3 * 16 * 16 + 16 * 9) + 16 * 5 + 16 * 2 * 16
    assert (cost.params, cost.uncounted) == (45 + 80 + 64, ())
