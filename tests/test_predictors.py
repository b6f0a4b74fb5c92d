"""Anybody's function as a predictor: every kind finds what is there, and whatever is wrong becomes one sentence."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hpe_bench import Predictor
from hpe_bench.commands import new, profile_predictor
from hpe_bench.data.boxes import every_person
from hpe_bench.data.skeletons import COCO_17, MPII_16
from hpe_bench.inference.predictor_contract import problems, unfilled
from hpe_bench.inference.predictor_process import opened
from hpe_bench.inference.predictors import Estimator, decode_simcc, merged_simcc
from hpe_bench.protocols import COCO_GTBOX
from hpe_bench.run import prediction
from hpe_bench.run.prediction import Task
from tests import own_predictors
from tests.test_predict import PLAIN, lit

FILE = Path(own_predictors.__file__)


def here(name: str) -> Estimator:
    """A predictor in this process, which is quicker."""
    return Estimator(getattr(own_predictors, name)(), name, "0" * 64, "here")


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", own_predictors.GOOD)
def test_every_kind_finds_the_light_where_it_is(name: str, flip: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "CHUNK", 2)
    truth = lit()
    found = prediction.answer(Task(replace(PLAIN, flip_test=flip), truth, every_person(truth)), here(name))
    spots = np.array([truth.images.spots[i] for i in truth.image], float)  # type: ignore[attr-defined]
    assert np.abs(found.joints - spots[:, None]).max() < (5 if name == "heatmaps" else 1.5)
    assert found.person is not None
    assert found.person.tolist() == [0, 1, 2, 3, 4]
    if name == "simcc":  # the smaller of both maxima
        assert np.abs(found.joint_scores - 0.5).max() < 0.02


def test_a_predictor_in_its_own_process_answers_the_same() -> None:
    truth = lit()
    task = Task(PLAIN, truth, every_person(truth))
    estimator = opened(f"{FILE}:in_crop")
    np.testing.assert_array_equal(
        prediction.answer(task, estimator).joints, prediction.answer(task, here("in_crop")).joints
    )
    assert "takes crops of 64x48, gives joints in crop coordinates" in estimator.runtime
    assert len(estimator.weights_sha256) == 64


@pytest.mark.parametrize("name", own_predictors.GOOD)
def test_every_kind_keeps_the_contract(name: str) -> None:
    assert problems(f"{FILE}:{name}") == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", "RuntimeError: no kernel image is available"),
        ("gives_nan", "joint 'left_wrist', are not finite"),
        ("other_shape", "have shape [5, 17, 3], expected [5, 17, 2]"),
        ("other_joints", "are of 16 joints, but 17 are declared"),
        ("one_array", "expected two arrays"),
        ("words", "holds no numbers"),
        ("odd_bins", "50 bins for 48 px"),
        ("maps_of_three_axes", "expected [5, 17, 'h', 'w']"),
        ("few_joints", "no 'right_eye', which coco-17 needs (15 of 17 are missing)"),
    ],
)
def test_what_is_wrong_with_an_answer_is_one_sentence(name: str, words: str) -> None:
    truth = lit()
    with pytest.raises(ValueError, match=name) as told:
        prediction.answer(Task(PLAIN, truth, every_person(truth)), here(name))
    assert words in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hangs", "no answer within 0.5 s, this call seems to hang"),
        ("dies", "its process ended in this call, exit code 7"),
        ("no_predictor", "returned a int; it must return a hpe_bench.Predictor"),
        ("not_loaded", "weights.bin is not here"),
        ("nothing", "has no callable 'nothing'"),
        ("no_weights", "nowhere.bin is not there"),
        ("raises", "no kernel image"),
    ],
)
def test_a_process_that_hangs_or_dies_is_one_sentence(name: str, words: str) -> None:
    found = problems(f"{FILE}:{name}")
    assert len(found) == 1
    assert words in found[0]


def test_a_predictor_without_a_fixed_answer_breaks_the_contract() -> None:
    assert any("second time" in told for told in problems(f"{FILE}:forgets_what_it_is"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"takes": "crop"}, "takes is 'crop'"),
        ({"input_hw": None}, "input_hw"),
        ({"coordinates": "image"}, "crops do not know their image"),
        ({"takes": "images", "gives": "simcc"}, "read in crops"),
        ({"takes": "images", "coordinates": "crop"}, "no crop"),
        ({"joints": ("a", "b", "a")}, "'a' stands twice"),
        ({"joints": ""}, "joints are empty"),
        ({"limit_s": 0.0}, "positive"),
        ({"call": 3}, "give a function"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(fields: dict[str, Any], words: str) -> None:
    whole: dict[str, Any] = {"call": len, "joints": "coco-17", "input_hw": (64, 48)}
    with pytest.raises(ValueError, match="predictor: ") as told:
        Predictor(**(whole | fields))
    assert words in str(told.value)


def test_an_input_of_another_aspect_is_refused_and_whole_images_are_free() -> None:
    truth = lit()
    square = replace(COCO_GTBOX, aspect_wh=(1, 1))
    with pytest.raises(ValueError, match="48x64"):
        prediction.answer(Task(square, truth, every_person(truth)), here("in_crop"))
    found = prediction.answer(Task(square, truth, every_person(truth)), here("of_images"))
    assert len(found)


def test_simcc_is_read_as_rtmpose_writes_it() -> None:
    x, y = np.zeros((1, 2, 384)), np.zeros((1, 2, 512))
    x[0, 0, 101], y[0, 0, 40] = 0.8, 0.6
    x[0, 1, 0], y[0, 1, 511] = 0.3, 0.9
    joints, scores = decode_simcc(x, y, (256, 192))
    assert joints.tolist() == [[[50.5, 20.0], [0.0, 255.5]]]
    assert scores.tolist() == [[0.6, 0.3]]


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_mirrored_vectors_come_back_onto_the_plain_ones(ratio: int) -> None:
    """A pixel i of a crop is W - 1 - i of the mirrored one, left is right, and the mean changes nothing."""
    width, rng = 12, np.random.default_rng(ratio)
    pixel = rng.integers(0, width, (3, 2))
    x, mirrored = np.zeros((3, 2, width * ratio)), np.zeros((3, 2, width * ratio))
    y = rng.uniform(size=(3, 2, 8))
    for n in range(3):
        for j in range(2):
            x[n, j, pixel[n, j] * ratio] = 1
            mirrored[n, 1 - j, (width - 1 - pixel[n, j]) * ratio] = 1
    back = merged_simcc((x, y), (mirrored, y[:, ::-1]), width, ((0, 1),))
    np.testing.assert_array_equal(back[0], x)
    np.testing.assert_array_equal(back[1], y)


# ---------------------------------------------------------------------------------------------------- scaffold


def test_a_new_predictor_runs_and_its_placeholders_are_told(tmp_path: Path) -> None:
    folder = new.new_predictor("my_model", tmp_path)
    assert problems(f"{folder / 'predictor.py'}:my_model") == []
    left = unfilled(folder / "predictor.py")
    assert len(left) == 3
    command = [sys.executable, "-m", "pytest", "-q", str(folder)]
    bare = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # plugins take longer to import than its tests run
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=bare)
    assert "1 failed, 1 passed" in ran.stdout
    text = (folder / "predictor.py").read_text().replace("REPLACE", "done")
    (folder / "predictor.py").write_text(text)
    assert unfilled(folder / "predictor.py") == []
    with pytest.raises(ValueError, match="exists already"):
        new.new_predictor("my_model", tmp_path)
    with pytest.raises(ValueError, match="cannot name a predictor"):
        new.new_predictor("My model", tmp_path)


def test_more_joints_than_needed_are_left_out_by_name() -> None:
    assert here("simcc").order(COCO_17) == list(range(1, 18))
    with pytest.raises(ValueError, match="no 'pelvis', which mpii-16 needs"):
        here("simcc").order(MPII_16)


def test_a_predictor_is_timed_from_image_to_joints() -> None:
    told = io.StringIO()
    console = Console(file=told, width=200)
    assert profile_predictor.profile(f"{FILE}:of_images", (1,), (2,), 60.0, console, share_s=0.5)
    table = told.getvalue()
    assert [line.split()[0] for line in table.splitlines() if line.strip().startswith(("processed", "end-to-end"))]
    assert "persons/s" in table
    assert not profile_predictor.profile(f"{FILE}:raises", (1,), (1,), 60.0, Console(quiet=True), share_s=0.5)
    with pytest.raises(ValueError, match="name the function"):
        profile_predictor.profile("mine.py", (), (), 1.0, console)
