"""What one run does, start to end, in the process it was given. The runner starts these in processes of their own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hpe_bench import files
from hpe_bench.data import prediction_files
from hpe_bench.data.boxes import Boxes, annotated_persons, boxes_of
from hpe_bench.data.cache import cache_folder
from hpe_bench.data.crop_store import CropStore
from hpe_bench.data.crops import CropSet, box_to_affine, build_crops, invert_affine
from hpe_bench.data.half_body import upper_body
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.progress import Progress
from hpe_bench.declare import Protocol, Variant, fingerprint
from hpe_bench.files import write_atomically, write_with_digest
from hpe_bench.inference.mean_pose import predict_mean_pose
from hpe_bench.inference.networks import Network
from hpe_bench.inference.predictor import largest_maps, predict
from hpe_bench.plan import MEAN_POSE, MeanPoseRun, TrainingRun
from hpe_bench.protocols import DetectionProtocol
from hpe_bench.records import provenance
from hpe_bench.records.schema import CurvePoint, Identity, Measurement, RunRecord, Sample
from hpe_bench.run import prediction, scoring
from hpe_bench.run.prediction import Task
from hpe_bench.training import checkpoints, engine, imagenet
from hpe_bench.training.feeding import seeded
from hpe_bench.training.loop import Report, Teacher, steps_of, train
from hpe_bench.training.world import SOLO, World

STORED_OVER = 8 << 30  # bytes of training crops that are cached as JPEG instead
TRAIN_CONTEXT = 1.5  # training crops keep half a crop of margin for rotation and scaling
PROBE_PERSONS = 250  # test persons scored on the way, without flip test, for the training curve only
WEIGHTS = "weights.safetensors"
HISTORY = "history.json"


@dataclass(frozen=True)
class Data:
    """Train and test crops of a protocol at one input size.

    `truth` are all annotated test persons, `tested` those whom the test crops show, row by row, in their annotated
    `boxes`: the same where a data set makes no difference.
    """

    truth: PersonSet
    tested: PersonSet
    boxes: Boxes
    train: CropSet
    test: CropSet
    train_digest: str
    test_digest: str


def load_data(
    protocol: Protocol, root: str | None, input_hw: tuple[int, int], progress: Progress | None = None
) -> Data:
    """Persons and cached crops of both splits in annotated boxes; builds what is missing (images decoded once)."""
    _, train_set, _ = annotated_persons(protocol.data, protocol.train_split, root)
    truth, tested, boxes = annotated_persons(protocol.data, protocol.test_split, root)
    cache, centres = cache_folder("crops"), protocol.between_centres
    build = partial(build_crops, input_hw=input_hw, padding=protocol.padding, cache=cache, between_centres=centres)
    return Data(
        truth=truth,
        tested=tested,
        boxes=boxes,
        train=build(train_set, context=TRAIN_CONTEXT, progress=progress, stored_over=STORED_OVER),
        test=build(tested, context=1.0, progress=progress),
        train_digest=train_set.digest(),
        test_digest=truth.digest(),
    )


def build(variant: Variant, joints: int, seed: int) -> nn.Module:
    """The variant's model with weights that depend on the seed alone."""
    torch.manual_seed(int(seeded(seed, 0).integers(2**62)))
    model = variant.builder(joints=joints)
    assert isinstance(model, nn.Module)
    return model


# ---------------------------------------------------------------------------------------------------- accuracy


def run_training(
    run: TrainingRun,
    root: str | None,
    runs: Path,
    threads: int,
    device: str,
    report: Report,
    say: checkpoints.Say = lambda _: None,
    world: World = SOLO,
) -> list[RunRecord]:
    """Train (or go on, or load what is trained), score under every protocol of the run, return the records.

    `say` is told what a person should know on the way. Of several processes (`world`) each predicts a part of the test
    persons, and rank 0 returns the records.
    """
    started = datetime.now(UTC)
    provenance.code_version()
    torch.set_num_threads(threads)
    engine.prepare(run.variant.scale, device)
    folder = runs / run.folder
    data = load_data(run.protocols[0], root, run.variant.input_hw)
    tasks = [task_of(p, data, root) for p in run.protocols]  # before hours are spent: a missing file is said now
    model = build(run.variant, len(data.truth.skeleton.joints), run.seed)
    teacher = None if run.teacher is None else _teacher(run.teacher, data, runs, device)
    curve, train_seconds = _trained(run, model, teacher, data, folder, device, report, say, world)
    weights = checkpoints.load_trained_weights(folder / WEIGHTS, model)
    network = network_of(run, model, weights)
    found = [
        _score(run, task, network, data, curve, train_seconds, folder, device, started, threads, world)
        for task in tasks
    ]
    return [record for record in found if record is not None]


def _teacher(run: TrainingRun, data: Data, runs: Path, device: str) -> Teacher:
    """The heatmaps of a finished training's model."""
    model = build(run.variant, len(data.truth.skeleton.joints), run.seed)
    checkpoints.load_trained_weights(runs / run.folder / WEIGHTS, model)
    model.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @torch.no_grad()
    def teach(images_B3HW: Tensor) -> Tensor:
        return run.recipe.loss.activate(model(images_B3HW)[-1])

    return teach


def network_of(run: TrainingRun, model: nn.Module, weights_sha256: str) -> Network:
    """What predicts with a run's weights."""
    return Network(
        module=model,
        input_hw=run.variant.input_hw,
        activate=run.recipe.loss.activate,
        name=f"{run.paper}/{run.variant.name}",
        weights_sha256=weights_sha256,
        runtime=f"torch {torch.__version__}, recipe {run.recipe.name}",
    )


def _trained(
    run: TrainingRun,
    model: nn.Module,
    teacher: Teacher | None,
    data: Data,
    folder: Path,
    device: str,
    report: Report,
    say: checkpoints.Say,
    world: World,
) -> tuple[list[CurvePoint], float]:
    """Bring the run's weights file into being; returns the training curve and the training's wall time."""
    if not _all_see(folder, world):
        protocol, skeleton = run.protocols[0], data.truth.skeleton
        if run.start is not None:
            say(imagenet.load(model, Path(run.start.file)))
        probe = partial(_probe, run=run, protocol=protocol, data=data, device=device)
        state = train(
            model,
            data.train,
            run.recipe,
            mirrored=skeleton.mirrored(),
            seed=run.seed,
            folder=folder,
            probe=probe,
            report=report,
            teacher=teacher,
            device=device,
            execution=run.execution,
            say=say,
            world=world,
            upper=upper_body(skeleton.joints),
        )
        if world.leads:
            checkpoints.save_weights(folder / WEIGHTS, model)
            history = {"seconds": state.seconds, "curve": [p.model_dump() for p in state.curve]}
            write_with_digest(folder / HISTORY, json.dumps(history).encode())
        world.wait()
    if world.leads:
        checkpoints.remove(folder)
    saved = json.loads((folder / HISTORY).read_bytes())
    return [CurvePoint(**p) for p in saved["curve"]], saved["seconds"]


def _all_see(folder: Path, world: World) -> bool:
    """Whether the run is trained already, as rank 0 finds it: it sets damaged files aside before others look."""
    found = is_trained(folder) if world.leads else False
    return bool(world.total(torch.tensor(float(found), device=world.device)))


def is_trained(folder: Path) -> bool:
    """Whether a run's final weights and history lie in its folder. What is damaged is said and set aside."""
    states = {folder / name: files.state(folder / name) for name in (WEIGHTS, HISTORY)}
    for path in (path for path, found in states.items() if found == "damaged"):
        files.set_aside(path, "and trained again")
    return all(found in ("sound", "unsealed") for found in states.values())


def _probe(model: nn.Module, *, run: TrainingRun, protocol: Protocol, data: Data, device: str) -> float:
    """Headline metric on a fixed spread of test persons, without flip test."""
    rows = np.unique(np.linspace(0, len(data.tested) - 1, PROBE_PERSONS).round().astype(int))
    joints, scores = predict(
        model, data.test, protocol.codec, run.recipe.loss.activate, flip_pairs=None, rows=rows, device=device
    )
    return protocol.metrics[0].evaluate(data.tested.subset(rows), joints, scores)[0].value


def task_of(protocol: Protocol, data: Data, root: str | None) -> Task:
    """What a protocol of a training predicts in: the boxes of a detector where it names one, else the annotated."""
    if protocol.data == protocol.data.annotated:
        return Task(protocol, data.truth, data.boxes)
    return Task(protocol, data.truth, boxes_of(protocol.data, data.truth, protocol.test_split, root))


def check_boxes(protocols: Iterable[Protocol], root: str | None) -> None:
    """ValueError for a file of boxes that is missing or another than declared, before hours are spent."""
    for protocol in protocols:
        if protocol.data != protocol.data.annotated:
            truth = protocol.data.truth(protocol.test_split, root)
            boxes_of(protocol.data, truth, protocol.test_split, root)


def _score(
    run: TrainingRun,
    task: Task,
    network: Network,
    data: Data,
    curve: list[CurvePoint],
    train_seconds: float,
    folder: Path,
    device: str,
    started: datetime,
    threads: int,
    world: World,
) -> RunRecord | None:
    """The record under one protocol, which rank 0 makes of what all predicted."""
    protocol, annotated = task.protocol, task.boxes is data.boxes
    of_boxes = prediction.of_boxes(task, network, device, crops=data.test if annotated else None, world=world)
    if not world.leads:
        return None
    predictions = prediction.ranked(task, of_boxes, network.input_hw)
    found = scoring.scores(protocol, data.truth, predictions)
    measurements, tallies = scoring.as_measured(found, protocol.name)
    seconds = Measurement(key="train/seconds", value=round(train_seconds, 1), unit="s", scope="training", n=1)
    return RunRecord(
        id=run.record_id(protocol),
        identity=_accuracy_identity(run.paper, run.variant, protocol, data).model_copy(
            update={
                "recipe": run.recipe.name,
                "recipe_hash": fingerprint(run.recipe),
                "seed": run.seed,
                "code": run.code,
                "samples_seen": steps_of(run.recipe) * run.recipe.batch,
                "execution": run.execution.words,
            }
        ),
        status="done",
        provenance=provenance.collect(
            started,
            device,
            threads,
            engine.flags(run.execution, device) | _start_flags(run) | _crop_flags(data) | prediction.box_flags(task),
        ),
        measurements=(*measurements, seconds),
        tallies=tallies,
        matches=scoring.matches_of(found),
        curve=tuple(curve),
        samples=_drawn(run, protocol, network, data, of_boxes, device) if annotated else (),
        predictions_sha256=_kept(folder / f"{protocol.name}.npz", task, predictions, network),
        weights_sha256=network.weights_sha256,
        calibration=scoring.calibrated(protocol, data.truth, predictions),
    )


def _drawn(
    run: TrainingRun, protocol: Protocol, network: Network, data: Data, found: Predictions, device: str
) -> tuple[Sample, ...]:
    """A few persons with what was predicted in their annotated boxes, and its heatmaps."""
    rows = scoring.drawn_rows(data.tested, found.joints)
    maps = largest_maps(
        network.module,
        data.test,
        protocol.codec,
        run.recipe.loss.activate,
        flip_pairs=data.truth.skeleton.flip_pairs if protocol.flip_test else None,
        rows=rows,
        device=device,
    )
    heatmaps = {
        int(row): scoring.heatmap_of(found, data.test.to_image[row], data.test.input_hw)
        for row, found in zip(rows, maps, strict=True)
    }
    return scoring.samples(data.tested, found.joints, found.joint_scores, heatmaps)


def _kept(path: Path, task: Task, found: Predictions, network: Network) -> str:
    """Store what was scored; its digest. Where there is not just one prediction a person the file says of whom."""
    if len(found) == len(task.truth) and not isinstance(task.protocol, DetectionProtocol):
        return scoring.save_predictions(path, found.joints, found.joint_scores)
    write_atomically(path, prediction.as_file(task, found, network))
    return prediction_files.read(path, task.truth).sha256


def _crop_flags(data: Data) -> dict[str, str]:
    """Whether the training crops were compressed on the way."""
    return {"training_crops": "JPEG, quality 95"} if isinstance(data.train.pixels, CropStore) else {}


def _start_flags(run: TrainingRun) -> dict[str, str]:
    """What a record says of the weights that a training started from."""
    if run.start is None:
        return {}
    return {"start": f"{Path(run.start.file).name}, SHA-256 {run.start.sha256}"}


def _accuracy_identity(paper: str, variant: Variant, protocol: Protocol, data: Data) -> Identity:
    return Identity(
        kind="accuracy",
        scale=variant.scale,
        paper=paper,
        variant=variant.name,
        variant_hash=fingerprint(variant),
        protocol=protocol.name,
        protocol_hash=fingerprint(protocol),
        train_digest=data.train_digest,
        test_digest=data.test_digest,
    )


def run_mean_pose(run: MeanPoseRun, root: str | None, runs: Path) -> RunRecord:
    """Score the mean training pose."""
    started = datetime.now(UTC)
    data = load_data(run.protocol, root, run.variant.input_hw)
    task = task_of(run.protocol, data, root)
    annotated = task.boxes is data.boxes
    padding, centres = run.protocol.padding, run.protocol.between_centres
    affines_B23 = box_to_affine(task.boxes.box, run.variant.input_hw, padding, between_centres=centres)
    joints, scores = predict_mean_pose(data.train, data.test.to_image if annotated else invert_affine(affines_B23))
    of_boxes = Predictions(task.boxes.image, joints, scores, np.ones(len(joints)), task.boxes.person)
    predictions = prediction.ranked(task, of_boxes, run.variant.input_hw)
    found = scoring.scores(run.protocol, data.truth, predictions)
    measurements, tallies = scoring.as_measured(found, run.protocol.name)
    identity = _accuracy_identity(MEAN_POSE, run.variant, run.protocol, data)
    return RunRecord(
        id=run.id,
        identity=identity.model_copy(update={"variant": MEAN_POSE, "variant_hash": fingerprint(MEAN_POSE)}),
        status="done",
        provenance=provenance.collect(started, "cpu", torch.get_num_threads()),
        measurements=measurements,
        tallies=tallies,
        matches=scoring.matches_of(found),
        samples=scoring.samples(data.tested, joints, scores) if annotated else (),
        predictions_sha256=scoring.save_predictions(
            runs / run.id / f"{run.protocol.name}.npz", predictions.joints, predictions.joint_scores
        ),
    )
