"""Somebody's file, whatever it gives: SimCC as mmdeploy writes it, heatmaps either way, joints; IR by OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest

from hpe_bench.cost.onnx_counts import count_onnx
from hpe_bench.cost.openvino_counts import count_openvino
from hpe_bench.data.boxes import every_person
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.inference.model_file import InputConvention, read_convention
from hpe_bench.inference.networks import Network, of_file
from hpe_bench.inference.predictors import Estimator
from hpe_bench.run import prediction
from hpe_bench.run.prediction import Model, Task
from tests import onnx_files
from tests.test_model_file import refused
from tests.test_predict import PLAIN, lit

UNIT = {"mean": [0, 0, 0], "std": [255, 255, 255]}


def light(model: Model, px: float) -> None:
    """The model finds light where it is."""
    truth = lit()
    found = prediction.answer(Task(PLAIN, truth, every_person(truth)), model)
    spots = np.array([truth.images.spots[i] for i in truth.image], float)  # type: ignore[attr-defined]
    assert np.abs(found.joints - spots[:, None]).max() < px


def opened(path: Path, **given: object) -> Model:
    return of_file(path, read_convention(path, **(UNIT | given)), COCO_17)


@pytest.mark.parametrize("names", [("simcc_x", "simcc_y"), ("out0", "out1"), ("y0", "x0")])
def test_an_exported_rtmpose_is_read_as_it_is(tmp_path: Path, names: tuple[str, str]) -> None:
    model = opened(onnx_files.write_simcc(tmp_path / "rtmpose.onnx", 17, names))
    assert isinstance(model, Estimator)
    assert model.predictor.gives == "simcc"
    light(model, 4)


def test_simcc_joints_are_half_the_argmax_and_score_the_smaller_maximum(tmp_path: Path) -> None:
    model = opened(onnx_files.write_simcc(tmp_path / "rtmpose.onnx", 17))
    assert isinstance(model, Estimator)
    crops = np.zeros((1, 64, 48, 3), np.uint8)
    crops[0, 20, 30] = 204  # 0.8
    x, y = model.predictor.call(crops)
    assert (x.shape, y.shape) == ((1, 17, 96), (1, 17, 128))
    assert x[0, 0].argmax() / 2 == 30
    assert y[0, 0].argmax() / 2 == 20
    assert np.minimum(x.max(-1), y.max(-1))[0, 0] == pytest.approx(0.8)


def test_vectors_of_a_square_input_without_names_must_be_told_apart(tmp_path: Path) -> None:
    path = onnx_files.write_simcc(tmp_path / "square.onnx", 17, ("a", "b"), side=(48, 48))
    refused(lambda: opened(path), "square.onnx", "--output")
    (tmp_path / "square.toml").write_text('gives = "simcc"\noutput = "a"\n')
    assert isinstance(opened(path), Estimator)


@pytest.mark.parametrize("as_ir", [False, True])
def test_heatmaps_may_have_their_joints_last(tmp_path: Path, as_ir: bool) -> None:
    path = onnx_files.channels_last(tmp_path / "last.onnx", 17)
    if as_ir:
        openvino.save_model(openvino.Core().read_model(path), tmp_path / "last.xml", compress_to_fp16=False)
        path = tmp_path / "last.xml"
    model = opened(path)
    assert isinstance(model, Network)
    assert model.runtime.startswith("openvino" if as_ir else "onnxruntime")
    light(model, 5)


def test_an_ir_counts_as_the_onnx_file_it_was_made_of(tmp_path: Path) -> None:
    path = onnx_files.write(tmp_path / "m.onnx", onnx_files.brightness(17))
    openvino.save_model(openvino.Core().read_model(path), tmp_path / "m.xml")
    ours, theirs = count_openvino(tmp_path / "m.xml", (64, 48)), count_onnx(path, (64, 48))
    assert (ours.params, ours.macs, ours.activations) == (theirs.params, theirs.macs, theirs.activations)
    assert (ours.params, ours.macs) == (17 * 3 * 16, 17 * 3 * 16 * 16 * 12)
    assert not ours.uncounted


def test_maps_that_could_be_either_way_round_must_be_declared(tmp_path: Path) -> None:
    path = onnx_files.write(tmp_path / "m.onnx", onnx_files.brightness(17), ("n", 3, 64, 68))
    refused(lambda: opened(path), "joints before or behind", "layout")
    (tmp_path / "m.toml").write_text('layout = "nchw"\n')
    assert isinstance(opened(path), Network)


@pytest.mark.parametrize("flat", [False, True])
def test_joints_are_read_in_the_declared_coordinates_and_order(tmp_path: Path, flat: bool) -> None:
    table = np.zeros((1, 17, 3))
    table[0, :, 0], table[0, :, 1], table[0, :, 2] = 0.25, 0.5, np.linspace(0, 1, 17)
    path = onnx_files.write_joints(tmp_path / "movenet.onnx", table, flat)
    refused(lambda: opened(path), "movenet.onnx", "in which coordinates", "movenet.toml")
    (tmp_path / "movenet.toml").write_text('coordinates = "normalised"\norder = "yx"\n')
    model = opened(path)
    assert isinstance(model, Estimator)
    joints, scores = model.predictor.call(np.zeros((2, 64, 48, 3), np.uint8))
    assert joints[1, 3].tolist() == [0.5, 0.25]
    np.testing.assert_allclose(scores[1], table[0, :, 2], atol=1e-6)
    assert model.predictor.coordinates == "normalised"


def test_a_file_of_any_size_takes_the_one_it_is_given(tmp_path: Path) -> None:
    path = onnx_files.write(tmp_path / "any.onnx", onnx_files.brightness(17), ("n", 3, "h", "w"))
    c = read_convention(path, **UNIT)
    refused(lambda: of_file(path, c, COCO_17), "any size", "--inputs")
    model = of_file(path, c, COCO_17, (64, 48))
    assert model.input_hw == (64, 48)
    light(model, 5)
    fixed = onnx_files.write(tmp_path / "fixed.onnx", onnx_files.brightness(17))
    refused(lambda: of_file(fixed, c, COCO_17, (96, 72)), "takes images of 64x48 only, not 96x72")


def test_what_was_guessed_is_said_where_the_prediction_says_who_made_it(tmp_path: Path) -> None:
    path = onnx_files.write(tmp_path / "bare.onnx", onnx_files.brightness(17))
    bare = of_file(path, read_convention(path), COCO_17)
    assert "guessed, as nothing says it: ImageNet's mean and deviation, RGB, the joints and their order" in bare.runtime
    (tmp_path / "bare.toml").write_text('mean = [0, 0, 0]\nstd = [1, 1, 1]\ncolours = "rgb"\njoints = "coco-17"\n')
    assert "guessed" not in of_file(path, read_convention(path), COCO_17).runtime
    (tmp_path / "bare.toml").write_text('said = ["mean"]\n')
    refused(lambda: read_convention(path), "said")
    assert InputConvention().guessed


@pytest.mark.parametrize(
    ("name", "words"), [("x.tflite", "no such file"), ("x.xml", "no such file"), ("broken.tflite", "OpenVINO can read")]
)
def test_missing_and_broken_files_of_openvino(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"TFL3 nothing")
    refused(lambda: of_file(tmp_path / name, InputConvention(), COCO_17), name, words)
