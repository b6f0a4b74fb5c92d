"""Trainings on COCO's layout obey the whole protocol: whom they learn from, a detector's boxes, rescoring, NMS.

The data are mannequins with crowds, persons without keypoints and a detections file, as val2017 has them.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hpe_bench import protocols
from hpe_bench.commands import full, reproduce, together
from hpe_bench.data import coco, prediction_files
from hpe_bench.data.coco import COCO, DetectionFile
from hpe_bench.declare import fingerprint, replace
from hpe_bench.metrics.oks_ap import OksAP
from hpe_bench.plan import MeanPoseRun, TrainingRun
from hpe_bench.protocols import DetectionProtocol
from hpe_bench.records import store
from hpe_bench.records.schema import RunRecord
from hpe_bench.run import forecast, prediction, scoring, training
from hpe_bench.run.pool import Settings
from tests import small
from tests.test_ranks import begin, free_port
from tests.test_released import SET, as_coco

FORK = multiprocessing.get_context("fork")
VARIANT = replace(small.VARIANT, scale="full")


@dataclass(frozen=True)
class Place:
    """The data set, a training of a few steps on it, and the records it left in one process."""

    root: Path
    run: TrainingRun
    runs: Path
    records: dict[str, RunRecord]

    @property
    def truth(self) -> coco.Annotations:
        return coco.read_annotations(self.root / SET / "annotations" / "person_keypoints_val2017.json", self.root)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, data_cache: Path) -> Place:
    base = tmp_path_factory.mktemp("coco_training")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPE_BENCH_CACHE", str(data_cache))
        annotations, boxes, detections = as_coco(base / SET)
        source = COCO(folder=SET, subset_sha256=annotations)
        in_detections = replace(source, detections=DetectionFile("boxes.json", boxes, detections))
        in_truth = DetectionProtocol(
            name="as-coco-gt",
            data=source,
            codec=small.CODEC,
            metrics=(OksAP(),),
            train_split="val2017",
            test_split="val2017",
        )
        in_boxes = replace(in_truth, name="as-coco-det", data=in_detections, boxes="detector")
        recipe = replace(small.RECIPE, samples=160)
        run = TrainingRun("simple_baseline", VARIANT, recipe, (in_truth, in_boxes), 0)
        made = training.run_training(run, str(base), base / "runs", 1, "cpu", lambda *_: None)
    return Place(base, run, base / "runs", {r.identity.protocol: r for r in made})


@pytest.fixture(autouse=True)
def cached(data_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPE_BENCH_CACHE", str(data_cache))


def test_nobody_learns_from_crowds_and_persons_without_keypoints(place: Place) -> None:
    everybody = place.truth.persons
    taught = everybody.labelled.any(axis=1)
    assert everybody.crowd is not None
    taught &= ~everybody.crowd
    data = training.load_data(place.run.protocols[0], str(place.root), VARIANT.input_hw)
    assert len(data.train) == len(data.test) == len(data.tested) == taught.sum() < len(everybody) == len(data.truth)
    assert data.test_digest == everybody.digest()  # but AP is of all of them
    run = replace(place.run, recipe=replace(small.RECIPE, samples=160))
    height, width = 96, 72  # of a training crop with its margin
    assert forecast.crops_bytes(run, str(place.root)) == 3 * taught.sum() * (height * width + 64 * 48)


@pytest.mark.parametrize("name", ["as-coco-gt", "as-coco-det"])
def test_a_training_scores_as_its_weights_do_by_the_road_of_predictions(place: Place, name: str) -> None:
    protocol = next(p for p in place.run.protocols if p.name == name)
    task = prediction.task_of_protocol(protocol, str(place.root))
    data = training.load_data(protocol, str(place.root), VARIANT.input_hw)
    model = training.build(VARIANT, 17, 0)
    weights = training.checkpoints.load_trained_weights(place.runs / place.run.folder / training.WEIGHTS, model)
    activate = place.run.recipe.loss.activate
    network = prediction.Network(model, VARIANT.input_hw, activate, "small", weights, "torch")
    found = prediction.answer(task, network)
    scores = {s.key: s.value for s in scoring.scores(protocol, task.truth, found)}
    record = place.records[name]
    for key in ("ap", "ap50", "ap75"):
        measured = record.get(key)
        assert measured is not None
        assert measured.value == pytest.approx(scores[key], abs=1e-9)
    path = place.runs / place.run.folder / f"{name}.npz"
    kept = prediction_files.read(path, data.truth)
    assert kept.sha256 == record.predictions_sha256
    assert len(kept.predictions) == len(found)
    np.testing.assert_allclose(np.sort(kept.predictions.score), np.sort(found.score), atol=1e-5)


def test_a_detector_s_boxes_are_rescored_and_thinned_out(place: Place) -> None:
    in_boxes = place.run.protocols[1]
    task = prediction.task_of_protocol(in_boxes, str(place.root))
    record = place.records["as-coco-det"]
    kept = prediction_files.read(place.runs / place.run.folder / "as-coco-det.npz", task.truth).predictions
    assert 0 < len(kept) <= len(task.boxes) > len(place.truth.persons) - 10  # false ones among them
    assert record.provenance.flags["boxes"] == f"{len(task.boxes)}, SHA-256 {task.boxes.sha256}"
    assert "boxes" not in place.records["as-coco-gt"].provenance.flags
    assert not record.samples
    assert len(place.records["as-coco-gt"].samples) == scoring.DRAWN + scoring.WORST


def test_boxes_are_no_part_of_what_was_trained(place: Place) -> None:
    in_truth, in_boxes = place.run.protocols
    assert replace(place.run, protocols=(in_boxes,)).id == place.run.id == replace(place.run, protocols=(in_truth,)).id
    assert place.run.record_id(in_truth) != place.run.record_id(in_boxes)
    with pytest.raises(ValueError, match="as-coco-gt, other: protocols of one training share data, splits and crop"):
        replace(place.run, protocols=(in_truth, replace(in_boxes, name="other", padding=1.1)))


def test_the_mean_pose_is_placed_in_the_boxes_of_each_protocol(place: Place, tmp_path: Path) -> None:
    found = [training.run_mean_pose(MeanPoseRun(VARIANT, p), str(place.root), tmp_path) for p in place.run.protocols]
    assert len({r.predictions_sha256 for r in found}) == 2
    assert all(r.get("ap") is not None for r in found)


def share(number: int, size: int, port: int, run: TrainingRun, settings: Settings) -> None:
    """One of several processes of a whole run."""
    begin(number, size, port)
    together.train([run], settings, Console(quiet=True))
    os._exit(0)


def test_evaluation_in_two_processes_leaves_the_scores_of_one(place: Place, tmp_path: Path) -> None:
    settings = Settings(tmp_path / "results", tmp_path / "runs", root=str(place.root))
    target = settings.runs / place.run.folder
    target.mkdir(parents=True)
    for path in (place.runs / place.run.folder).iterdir():
        if path.name.startswith((training.WEIGHTS, training.HISTORY)):
            (target / path.name).write_bytes(path.read_bytes())
    port = free_port()
    started = [FORK.Process(target=share, args=(n, 2, port, place.run, settings), daemon=True) for n in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
        assert process.exitcode == 0
    found = {r.identity.protocol: r for r in store.load_all(tmp_path / "results")}
    for name, record in place.records.items():
        ours, theirs = found[name].get("ap"), record.get("ap")
        assert ours is not None
        assert theirs is not None
        assert ours.value == pytest.approx(theirs.value, abs=0.05)  # batches are composed otherwise
        assert ours.n == theirs.n


# ---------------------------------------------------------------------------------------------------- what is asked


def test_a_training_on_coco_is_scored_in_both_kinds_of_boxes() -> None:
    asked = full.FullRequest("coco", budget=50_000, init="random")
    (run,) = full.planned("hrnet", asked)
    assert [p.name for p in run.protocols] == ["coco-val2017-gtbox", "coco-val2017-det56"]
    (alone,) = full.planned("hrnet", dataclasses.replace(asked, protocols=("coco-val2017-gtbox",)))
    assert [p.name for p in alone.protocols] == ["coco-val2017-gtbox"]
    assert alone.id == run.id
    cases = {
        "lsp-pc": "measured on lsp, not on coco",
        "mannequins-v1-dark": "measured on mannequins",
        "coco-val2017": "coco-val2017",
    }
    for name, message in cases.items():
        with pytest.raises(ValueError, match=message):
            full.planned("hrnet", dataclasses.replace(asked, protocols=(name,)))
    with pytest.raises(ValueError, match="for miniatures"):
        full.planned("hrnet", full.FullRequest("lsp", budget=50_000, init="random", protocols=("lsp-pc-v1-dark",)))
    with pytest.raises(ValueError, match="crops 1:1"):
        full.planned("hrnet", full.FullRequest("lsp", budget=50_000, init="random", protocols=("lsp-pc",)))


def test_without_the_detections_nothing_begins(place: Place, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / SET).mkdir()
    for name in ("annotations", "val2017"):
        (root / SET / name).symlink_to(place.root / SET / name)
    settings = Settings(tmp_path / "results", tmp_path / "runs", root=str(root))
    with pytest.raises(ValueError, match=r"boxes\.json: no such file; put the detections there.*another protocol"):
        reproduce.prepare([place.run], settings, Console(quiet=True))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_missing_detections_are_named_with_where_they_come_from(tmp_path: Path, place: Place) -> None:
    declared = protocols.DETECTIONS_56
    with pytest.raises(ValueError, match="no such file") as caught:
        coco.read_declared_detections(tmp_path, declared, place.truth.persons)
    for words in ("person_detection_results", "github.com/microsoft", "ground-truth boxes are another protocol"):
        assert words in str(caught.value)
    assert fingerprint(declared) == fingerprint(DetectionFile(declared.file, declared.boxes))
