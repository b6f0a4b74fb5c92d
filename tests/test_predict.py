"""Predict: light is found where it is, boxes of one's own, rescoring, weights and the networks they belong to."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console

from hpe_bench import catalog
from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.commands import submit
from hpe_bench.data.boxes import Boxes, every_person
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files import own
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.declare import Protocol, fingerprint
from hpe_bench.inference import networks, overlays
from hpe_bench.inference.model_file import InputConvention
from hpe_bench.inference.networks import Network
from hpe_bench.metrics.pckh import PCKh
from hpe_bench.protocols import COCO_GTBOX, DetectionProtocol
from hpe_bench.run import prediction
from hpe_bench.run.pool import Settings
from hpe_bench.run.prediction import Task
from hpe_bench.training.checkpoints import save_weights
from tests import onnx_files, small, test_records
from tests.predicted import BlankImages, persons

PLAIN = Protocol(
    name="plain", data=small.DATA, codec=Gaussian(2.0, "exact", "quarter"), metrics=(PCKh(0.5),), flip_test=False
)


class Lights(BlankImages):
    """Black images with one white spot each."""

    def __init__(self, spots: list[tuple[int, int]]) -> None:
        super().__init__(len(spots), (200, 300))
        self.spots = spots

    def read(self, index: int) -> np.ndarray:
        pixels = np.zeros((*self.hw, 3), np.uint8)
        cv2.circle(pixels, self.spots[index], 3, (255, 255, 255), cv2.FILLED)
        return pixels


def lit() -> PersonSet:
    """Five persons on three images, two boxes around a spot on two of them."""
    spots = [(80, 90), (200, 60), (150, 150)]
    image = np.array([2, 0, 1, 0, 1])  # not in the order of the images
    centre = np.array([spots[i] for i in image], float)
    shift = np.array([[0, 0], [5, -10], [-8, 3], [12, 8], [0, 10.0]])
    size = np.array([[60, 80], [60, 90], [40, 60], [90, 90], [50, 80.0]])
    box = np.concatenate([centre + shift - size / 2, size], axis=1)
    truth = persons(5, 3)
    return replace(truth, images=Lights(spots), image=image, box=box)


@pytest.fixture
def light_finder(tmp_path: Path) -> Network:
    path = onnx_files.write(tmp_path / "light.onnx", onnx_files.brightness(17))
    return networks.of_file(path, InputConvention(mean=(0, 0, 0), std=(255, 255, 255)), COCO_17)


@pytest.mark.parametrize("flip", [False, True])
def test_light_is_found_where_it_is_whatever_the_order_of_the_boxes(
    light_finder: Network, monkeypatch: pytest.MonkeyPatch, flip: bool
) -> None:
    monkeypatch.setattr(prediction, "CHUNK", 2)
    truth = lit()
    task = Task(replace(PLAIN, flip_test=flip), truth, every_person(truth))
    found = prediction.answer(task, light_finder)
    spots = np.array([truth.images.spots[i] for i in truth.image], float)  # type: ignore[attr-defined]
    assert np.abs(found.joints - spots[:, None]).max() < 5  # half a heatmap pixel is 2 to 5 px here
    assert found.person is not None
    assert found.person.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.score, found.joint_scores.mean(axis=1), atol=1e-6)


def test_an_input_of_another_aspect_is_refused(light_finder: Network) -> None:
    truth = lit()
    square = replace(COCO_GTBOX, aspect_wh=(1, 1))
    with pytest.raises(ValueError, match="48x64"):
        prediction.answer(Task(square, truth, every_person(truth)), light_finder)


def test_detections_are_rescored_and_near_duplicates_dropped(light_finder: Network) -> None:
    truth = lit()
    image, box = np.array([0, 0, 1]), np.array([[50, 50, 60, 80], [50, 50, 60, 80], [180, 20, 40, 60.0]])
    boxes = Boxes(image, box, np.array([0.5, 0.9, 0.7]))
    found = prediction.answer(Task(COCO_GTBOX, truth, boxes), light_finder)
    assert found.person is None
    assert found.image.tolist() == [0, 1]  # the first two see the same pose, so the one with the better box stays
    over = np.where(found.joint_scores > 0.2, found.joint_scores, 0.0)
    mean = over.sum(axis=1) / np.maximum((over > 0).sum(axis=1), 1)
    np.testing.assert_allclose(found.score, np.array([0.9, 0.7]) * mean, rtol=1e-6)


def test_the_area_of_nms_is_that_of_the_padded_box() -> None:
    """Two poses apart by a distance that is much for a small box and little for a large one."""
    rng = np.random.default_rng(0)
    pose = rng.uniform(0, 50, (17, 2)).astype(np.float32)
    found = Predictions(
        image=np.zeros(2, np.int64),
        joints=np.stack([pose, pose + 3]),
        joint_scores=np.ones((2, 17), np.float32),
        score=np.ones(2),
    )
    protocol = DetectionProtocol("p", small.DATA, small.CODEC, (PCKh(0.5),))
    for side, kept in ((20.0, 2), (400.0, 1)):
        boxes = Boxes(np.zeros(2, np.int64), np.tile([0, 0, side, side], (2, 1)), np.array([0.9, 0.8]))
        assert len(prediction.rescored(found, boxes, protocol, (64, 48))) == kept


# ---------------------------------------------------------------------------------------------------- own images


def write_own_images(folder: Path, rows: list[list[object]], columns: str = "image,x,y,width,height,score") -> Path:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), np.zeros((200, 300, 3), np.uint8))
    cv2.circle(pixels := np.zeros((200, 300, 3), np.uint8), (100, 80), 3, (255, 255, 255), cv2.FILLED)
    cv2.imwrite(str(folder / "b.png"), pixels)
    with (folder / "boxes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns.split(","), *rows])
    return folder / "boxes.csv"


def test_images_of_ones_own(tmp_path: Path, light_finder: Network) -> None:
    table = write_own_images(tmp_path, [["b.png", 60, 40, 80, 90, 0.5], ["a.png", 0, 0, 50, 50, ""]])
    task = prediction.task_of_images(PLAIN, tmp_path, table)
    found = prediction.answer(task, light_finder)
    assert np.abs(found.joints[0] - [100, 80]).max() < 5
    (tmp_path / "p.npz").write_bytes(prediction.as_file(task, found, light_finder))
    header, arrays = own.load(tmp_path / "p.npz")
    assert header.images == ("b.png", "a.png")
    assert arrays["image_ids"].tolist() == [0, 1]
    assert "light.onnx" in header.creator
    assert overlays.draw_all(task.truth.images, found, COCO_17, tmp_path / "drawn") == 2
    drawn = cv2.imread(str(tmp_path / "drawn" / "b.jpg"))
    assert drawn.shape == (200, 300, 3)


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        ([["b.png", 1, 2, 3]], "image,x,y,width", ["boxes.csv", "height"]),
        ([["b.png", 1, 2, 3, "x"]], "image,x,y,width,height", ["boxes.csv:2", "height", "'x'"]),
        ([["b.png", 1, 2, 0, 5]], "image,x,y,width,height", ["boxes.csv:2", "width 0"]),
        ([["c.png", 1, 2, 5, 5]], "image,x,y,width,height", ["c.png", "missing"]),
        ([["b.png", 1, 2, 5, 5, "nan"]], "image,x,y,width,height,score", ["boxes.csv:2", "score"]),
        ([], "image,x,y,width,height", ["no boxes"]),
    ],
)
def test_a_wrong_table_of_boxes_is_named(
    tmp_path: Path, rows: list[list[object]], columns: str, words: list[str]
) -> None:
    table = write_own_images(tmp_path, rows, columns)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        prediction.task_of_images(PLAIN, tmp_path, table)
    for word in words:
        assert word in str(caught.value)


def test_a_drawn_pose_covers_its_limbs_and_little_else() -> None:
    pose = persons(1, 1).joints
    ground = np.full((200, 300, 3), 90, np.uint8)
    drawn = overlays.drawn(ground, pose, COCO_17)
    changed = (drawn != ground).any(axis=-1)
    for x, y in pose[0]:
        assert changed[round(y), round(x)]
    assert 0 < changed.mean() < 0.1
    assert (ground == 90).all()
    overlays.drawn(ground, np.full((1, 17, 2), 1e9), COCO_17)  # far away is no error


# ---------------------------------------------------------------------------------------------------- weights


def test_weights_of_a_paper_and_of_a_run_give_the_same_network(tmp_path: Path) -> None:
    loaded = catalog.load("fasterpose")
    arm = next(a for a in loaded.paper.headline.arms if a.paper == "fasterpose")
    torch.manual_seed(0)
    model = arm.variant.builder(joints=17)
    digest = save_weights(tmp_path / "weights.safetensors", model)
    file = tmp_path / "weights.safetensors"
    by_paper = networks.of_paper("fasterpose", arm.variant.name, arm.recipe.name, file, COCO_17)
    identity = test_records.make().identity.model_copy(
        update={
            "paper": "fasterpose",
            "variant": arm.variant.name,
            "variant_hash": fingerprint(arm.variant),
            "recipe_hash": fingerprint(arm.recipe),
        }
    )
    record = test_records.make(identity=identity, weights_sha256=digest)
    by_run = networks.of_run(file, [record], COCO_17)
    images = torch.rand(1, 3, *arm.variant.input_hw)
    wanted = arm.recipe.loss.activate(model.eval()(images)[-1])
    for network in (by_paper, by_run):
        assert torch.equal(network.activate(network.module.eval()(images)[-1]), wanted)
        assert network.weights_sha256 == digest
        assert network.input_hw == arm.variant.input_hw
    with pytest.raises(ValueError, match="no record"):
        networks.of_run(file, [], COCO_17)
    with pytest.raises(ValueError, match="--recipe"):
        networks.of_paper("fasterpose", arm.variant.name, None, file, COCO_17)
    with pytest.raises(ValueError, match="no recipe 'x'"):
        networks.of_paper("fasterpose", arm.variant.name, "x", file, COCO_17)


def test_the_embedded_data_go_through(light_finder: Network) -> None:
    protocol = Protocol("p", Mannequins(train_persons=4, test_persons=6), small.CODEC, (PCKh(0.5),))
    task = prediction.task_of_protocol(protocol, None)
    found = prediction.answer(task, light_finder)
    assert found.person is not None
    assert sorted(found.person.tolist()) == list(range(6))


# ---------------------------------------------------------------------------------------------------- the command


def test_predictions_as_coco_results_and_targets_that_would_be_lost(tmp_path: Path, light_finder: Network) -> None:
    """What is read back is what was predicted; photographs, tables and files that are there stay as they are."""
    table = write_own_images(tmp_path, [["b.png", 60, 40, 80, 90, 0.5], ["a.png", 0, 0, 50, 50, ""]])
    task = prediction.task_of_images(PLAIN, tmp_path, table)
    found = prediction.answer(task, light_finder)
    listed = json.loads(prediction.WRITERS[".json"](task, found, light_finder))
    assert [(d["image_id"], d["file_name"], d["category_id"]) for d in listed] == [(0, "b.png", 1), (1, "a.png", 1)]
    for d, record in enumerate(listed):
        points = np.array(record["keypoints"]).reshape(17, 3)
        np.testing.assert_array_equal(points[:, :2].astype(np.float32), found.joints[d])
        np.testing.assert_array_equal(points[:, 2].astype(np.float32), found.joint_scores[d])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    quiet, where = Console(quiet=True), Settings(results=tmp_path / "r", runs=tmp_path / "u")
    model = submit.OutsideModel(file=Path(light_finder_file(light_finder)))

    def run(to: str, draw: Path | None = None, force: bool = False) -> None:
        submit.predict(model, "coco-val2017-gtbox", (tmp_path, table), tmp_path / to, draw, where, quiet, force)

    run("p.json", tmp_path / "drawn")
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["a.jpg", "b.jpg"]
    for to, draw, force, words in (
        ("p.json", None, False, "exists already"),
        ("boxes.csv", None, True, "written as .npz"),
        ("q.npz", tmp_path / "drawn", False, "exists already"),
        ("p.txt", None, False, "written as .npz"),
    ):
        with pytest.raises(ValueError, match=words):
            run(to, draw, force)
    assert not (tmp_path / "q.npz").exists()
    run("p.json", tmp_path / "drawn", force=True)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def light_finder_file(network: Network) -> str:
    module: Any = network.module
    return str(module.file.path)
