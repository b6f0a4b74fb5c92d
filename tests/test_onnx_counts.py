"""ONNX files count as the networks that they were exported from; small graphs as the arithmetic says."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from hpe_bench import catalog
from hpe_bench.cost import dispatched

from hpe_bench.cost.onnx_counts import count_onnx
from tests import onnx_files

PAPERS = [p.paper.slug for p in catalog.load_all()[0]]


@pytest.mark.parametrize("slug", PAPERS)
def test_an_exported_paper_counts_as_its_network_does(slug: str, exported_pocket: Callable[[str], Path]) -> None:
    variant = catalog.find_variant(catalog.load(slug), "pocket")
    with torch.device("meta"):
        model = variant.builder(variant.joints)
    ours, files = dispatched.count_dispatched(model, variant.input_hw), count_onnx(exported_pocket(slug))
    assert files.input_hw == variant.input_hw
    assert (files.macs, files.macs_hrnet_counter) == (ours.macs, ours.macs_hrnet_counter)
    assert files.activations == ours.activations
    assert files.kinds == ours.kinds
    assert sum(m.macs for m in files.modules) == files.macs
    # Exporters fold a batch norm's two parameters a channel into one bias, and keep equal biases once.
    assert sum(p.numel() for p in model.parameters() if p.ndim > 1) <= files.params <= ours.params


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


def test_an_unknown_operator_is_an_error_and_not_a_zero(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("CumSum", ["x", "axis"], ["c"]),
        helper.make_node("FusedConv", ["c", "w"], ["y"], domain="com.microsoft"),
    ]
    file = graph(tmp_path / "a.onnx", nodes, {"w": (3, 3, 1, 1), "axis": (1,)})
    model = onnx.load(file)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, file)
    with pytest.raises(UncountedOperatorError, match=r"CumSum, com\.microsoft\.FusedConv"):
        count_onnx(file)
