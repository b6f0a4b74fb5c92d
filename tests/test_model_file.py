"""Somebody's ONNX file under the suite's conventions: pixels, colours, joints, batches, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto

from hpe_bench.data.augmentation import to_batch
from hpe_bench.data.skeletons import COCO_17, Skeleton
from hpe_bench.inference.model_file import IMAGENET_MEAN, FileNetwork, InputConvention, read_convention
from hpe_bench.inference.networks import Network, of_file
from tests import onnx_files
from tests.onnx_files import brightness

THREE = Skeleton("three", ("a", "b", "c"), (), (), ())
CHANNELS = np.eye(3)[:, :, None, None]  # map i is what the file gets as channel i, at every fourth pixel


def images(count: int = 5) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 64, 48, 3), np.uint8))


def maps(path: Path, convention: InputConvention, pixels: torch.Tensor) -> np.ndarray:
    return network(path, convention).module(to_batch(pixels))[-1].numpy()


def network(path: Path, convention: InputConvention = InputConvention(), skeleton: Skeleton = THREE) -> Network:
    found = of_file(path, convention, skeleton)
    assert isinstance(found, Network)
    assert isinstance(found.module, FileNetwork)
    return found


@pytest.mark.parametrize(
    "convention",
    [
        InputConvention(),
        InputConvention(mean=(0, 0, 0), std=(255, 255, 255)),
        InputConvention(mean=(104.0, 117.0, 123.0), std=(1.0, 2.0, 3.0), colours="bgr"),
    ],
)
def test_the_file_gets_the_pixels_it_wants(tmp_path: Path, convention: InputConvention) -> None:
    pixels = images()
    found = maps(onnx_files.write(tmp_path / "m.onnx", CHANNELS), convention, pixels)
    ordered = pixels.numpy()[:, ::4, ::4, :: -1 if convention.colours == "bgr" else 1].astype(float)
    wanted = (ordered - convention.mean) / convention.std
    np.testing.assert_allclose(found, wanted.transpose(0, 3, 1, 2), atol=1e-4)


def test_maps_come_in_the_skeletons_order(tmp_path: Path) -> None:
    path, pixels = onnx_files.write(tmp_path / "m.onnx", CHANNELS), images()
    own, turned = (maps(path, InputConvention(joints=names), pixels) for names in (("a", "b", "c"), ("c", "a", "b")))
    np.testing.assert_array_equal(turned, own[:, [1, 2, 0]])


def test_superfluous_maps_are_left_out(tmp_path: Path) -> None:
    path = onnx_files.write(tmp_path / "m.onnx", np.concatenate([CHANNELS, CHANNELS]))
    found = maps(path, InputConvention(joints=("x", "y", "z", "a", "b", "c")), images())
    np.testing.assert_array_equal(
        found, maps(onnx_files.write(tmp_path / "n.onnx", CHANNELS), InputConvention(), images())
    )


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_fixed_batch_changes_nothing(tmp_path: Path, batch: int) -> None:
    any_size = maps(onnx_files.write(tmp_path / "m.onnx", CHANNELS), InputConvention(), images())
    fixed = onnx_files.write(tmp_path / "f.onnx", CHANNELS, input_shape=(batch, 3, 64, 48))
    np.testing.assert_allclose(maps(fixed, InputConvention(), images()), any_size, atol=1e-6)


def test_the_input_size_is_the_files(tmp_path: Path) -> None:
    path = onnx_files.write(tmp_path / "m.onnx", CHANNELS, input_shape=("n", 3, 96, 72))
    assert network(path).input_hw == (96, 72)


def refused(call: Any, *words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("options", "convention", "words"),
    [
        ({"input_shape": ("n", 3, "h", "w")}, InputConvention(), ["any size", "--inputs"]),
        ({"input_shape": ("n", 1, 64, 48)}, InputConvention(), ["['side0', 1, 64, 48]", "[N, 3, height, width]"]),
        ({"input_shape": (3, 64, 48)}, InputConvention(), ["onnxruntime can run"]),
        ({"kind": TensorProto.DOUBLE}, InputConvention(), ["onnxruntime can run"]),
        ({"extra_inputs": 1}, InputConvention(), ["2 inputs"]),
        ({"extra_outputs": 1}, InputConvention(), ["maps, other0", "--output"]),
        ({"extra_outputs": 1}, InputConvention(output="heat"), ["'heat'", "maps, other0"]),
        ({}, InputConvention(joints=("a", "b")), ["'c'"]),
        ({}, InputConvention(joints=("a", "b", "c", "d")), ["[1, 3, 16, 12]", "[1, 4, h, w]"]),
        ({"kernel_JCkk": np.full((3, 3, 1, 1), np.inf)}, InputConvention(), ["not finite"]),
    ],
)
def test_an_unfit_file_is_refused(
    tmp_path: Path, options: dict[str, Any], convention: InputConvention, words: list[str]
) -> None:
    path = onnx_files.write(tmp_path / "m.onnx", **{"kernel_JCkk": CHANNELS, **options})
    refused(lambda: network(path, convention), "m.onnx", *words)


def test_wrong_number_of_maps_for_the_protocols_joints(tmp_path: Path) -> None:
    path = onnx_files.write(tmp_path / "m.onnx", brightness(16))
    refused(lambda: network(path, skeleton=COCO_17), "[1, 16, 16, 12]", "[1, 17, h, w]", "--joints")


def test_broken_and_missing_files(tmp_path: Path) -> None:
    path = onnx_files.write(tmp_path / "m.onnx", CHANNELS)
    refused(lambda: network(tmp_path / "none.onnx"), "none.onnx", "no such file")
    path.write_bytes(path.read_bytes()[:60])
    refused(lambda: network(path), "m.onnx", "onnxruntime can run")


def test_without_onnxruntime_the_line_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = onnx_files.write(tmp_path / "m.onnx", CHANNELS)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    refused(lambda: network(path), "-e '.[onnx]'")


# ---------------------------------------------------------------------------------------------------- TOML


def test_a_toml_beside_the_file_and_the_command_line_over_it(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('mean = [1, 2, 3]\ncolours = "bgr"\njoints = "coco-17"\n')
    found = read_convention(tmp_path / "m.onnx", colours=None, mean=["4", "5", "6"])
    assert found == InputConvention(mean=(4, 5, 6), colours="bgr", joints=COCO_17.joints)
    assert read_convention(tmp_path / "other.onnx") == InputConvention()
    assert read_convention(tmp_path / "other.onnx", joints="a, b").joints == ("a", "b")
    assert InputConvention().mean == IMAGENET_MEAN


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mean = [1, 2]", ["m.toml", "mean"]),
        ('colours = "grey"', ["m.toml", "colours", "rgb"]),
        ("std = [0, 1, 1]", ["std", "positive"]),
        ("flip = true", ["m.toml", "flip", "mean, std, colours"]),
        ("mean = [1", ["m.toml", "no TOML"]),
    ],
)
def test_a_wrong_convention_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "m.toml").write_text(text)
    refused(lambda: read_convention(tmp_path / "m.onnx"), *words)
