"""Predict: boxes through a network, as a protocol says, into predictions and a file of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from hpe_bench import __version__
from hpe_bench.data import own_images
from hpe_bench.data.boxes import Boxes, boxes_of
from hpe_bench.data.corruptions import Seen, corrupted
from hpe_bench.data.crops import CropSet, apply_affine, build_crops
from hpe_bench.data.mpii_test import MPIITest, ReleasePersons, server_file
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files import Header, coco_results, to_bytes
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.progress import Progress
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import DataSource, Protocol
from hpe_bench.inference.networks import Network
from hpe_bench.inference.oks_nms import oks_nms
from hpe_bench.inference.predictor import predict
from hpe_bench.inference.predictors import Estimator
from hpe_bench.inference.rescoring import rescore
from hpe_bench.protocols import DetectionProtocol, FullProtocol
from hpe_bench.training.world import SOLO, World

CHUNK = 400  # persons whose crops are in memory at a time: 60 MB at 256x192


@dataclass(frozen=True, eq=False)
class Task:
    """What is predicted: the images and persons of `truth`, in `boxes`, under a protocol.

    `numbered` is false for images of one's own: then the file lists their names.
    """

    protocol: Protocol
    truth: PersonSet
    boxes: Boxes
    numbered: bool = True

    @cached_property
    def seen(self) -> Seen:
        """Persons and boxes as the model gets them: those of the task unless the protocol corrupts them."""
        return corrupted(self.protocol, self.truth, self.boxes)


def task_of_protocol(protocol: Protocol, root: str | None, progress: Progress | None = None) -> Task:
    """The test split of a protocol's own data."""
    protocol.data.prepare(protocol.test_split, root, progress)
    truth = protocol.data.load(protocol.test_split, root)
    return Task(protocol, truth, boxes_of(protocol.data, truth, protocol.test_split, root))


def task_of_images(protocol: Protocol, folder: Path, table: Path) -> Task:
    """Images of one's own, cropped and decoded as the protocol says."""
    truth, boxes = own_images.read_own_images(folder, table, protocol.data.skeleton)
    return Task(protocol, truth, boxes, numbered=False)


Model = Network | Estimator
"""Whoever answers: a network that gives heatmaps, or anybody's function."""


def answer(task: Task, model: Model, device: str = "cpu", progress: Progress | None = None) -> Predictions:
    """One prediction a box, then rescored and thinned out where the protocol says so."""
    if isinstance(model, Network):
        return ranked(task, of_boxes(task, model, device, progress), model.input_hw)
    protocol = task.protocol
    aspect_hw = (protocol.aspect_wh[1], protocol.aspect_wh[0]) if isinstance(protocol, FullProtocol) else (1, 1)
    return ranked(task, of_function(task, model, progress), model.input_hw or aspect_hw)


def of_boxes(
    task: Task,
    network: Network,
    device: str = "cpu",
    progress: Progress | None = None,
    crops: CropSet | None = None,
    world: World = SOLO,
) -> Predictions:
    """One prediction a box, in the order of the boxes; each scores the mean of its joint scores (F10).

    `crops` are those of the boxes where they are cut already. Of several processes (`world`) each predicts a part of
    the boxes, each box once (F23), and all of them return the whole.
    """
    protocol, skeleton = task.protocol, task.protocol.data.skeleton
    if isinstance(protocol, FullProtocol):
        protocol.check_input(network.input_hw)
    if not len(task.boxes):
        raise ValueError(f"{protocol.name}: there is no box to predict in; check the split and the data's folder")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # F22
    run = partial(
        predict,
        network.module.to(device),
        codec=protocol.codec,
        activate=network.activate,
        flip_pairs=skeleton.flip_pairs if protocol.flip_test else None,
        device=device,
    )
    if crops is not None:
        own = np.array_split(np.arange(len(crops)), world.size)[world.rank]
        found = run(crops, rows=own)
    else:  # image by image: each is decoded once, but at the borders of chunks
        persons = task.seen.boxes.persons(task.seen.persons)
        own = np.array_split(np.argsort(persons.image, kind="stable"), world.size)[world.rank]
        centres = protocol.between_centres
        cut = partial(build_crops, input_hw=network.input_hw, padding=protocol.padding, between_centres=centres)
        found = _in_chunks(own, lambda rows: run(cut(persons.subset(rows))), progress, len(skeleton.joints))
    rows, joints_BJ2, scores_BJ = (np.concatenate(world.lists(part)) for part in (own, *found))
    order = np.argsort(rows)
    joints_BJ2, scores_BJ = joints_BJ2[order], scores_BJ[order]
    mean_B = scores_BJ.astype(float).mean(axis=1)
    return Predictions(task.boxes.image, joints_BJ2, scores_BJ, mean_B, task.boxes.person)


def _in_chunks(
    rows: np.ndarray,
    predicted: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    progress: Progress | None,
    joints: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Joints and scores of some rows, of which a few are in memory at a time."""
    found = [(np.empty((0, joints, 2), np.float32), np.empty((0, joints), np.float32))]
    for start in range(0, len(rows), CHUNK):
        found.append(predicted(rows[start : start + CHUNK]))
        if progress is not None:
            progress(min(start + CHUNK, len(rows)), len(rows))
    joints_BJ2, scores_BJ = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return joints_BJ2, scores_BJ


def ranked(task: Task, found: Predictions, input_hw: tuple[int, int]) -> Predictions:
    """Predictions of every box, rescored and thinned out where the protocol says so, in pixels of the task's images."""
    seen = task.seen
    if isinstance(task.protocol, DetectionProtocol):
        found = rescored(found, seen.boxes, task.protocol, input_hw)
    return found if seen.back is None else brought_back(found, seen.back)


def brought_back(found: Predictions, back_I23: np.ndarray) -> Predictions:
    """Joints of turned images, in the pixels of the images as they are."""
    joints = apply_affine(back_I23[found.image], found.joints.astype(float))
    return replace(found, joints=joints.astype(found.joints.dtype))


# ---------------------------------------------------------------------------------------------------- functions


def of_function(task: Task, model: Estimator, progress: Progress | None = None) -> Predictions:
    """As `of_boxes`, of anybody's function, which is given crops or whole images with their boxes."""
    protocol, skeleton = task.protocol, task.protocol.data.skeleton
    if isinstance(protocol, FullProtocol) and model.input_hw is not None:
        protocol.check_input(model.input_hw)
    persons = task.seen.boxes.persons(task.seen.persons)
    if not len(persons):
        raise ValueError(f"{protocol.name}: there is no box to predict in; check the split and the data's folder")
    joints_BJ2 = np.empty((len(persons), len(skeleton.joints), 2), np.float32)
    scores_BJ = np.empty(joints_BJ2.shape[:2], np.float32)
    if model.input_hw is None:
        parts = _of_images(skeleton, persons, model)
    else:
        parts = _of_crops(protocol, persons, model, model.input_hw)
    done = 0
    for rows, joints, scores in parts:
        joints_BJ2[rows], scores_BJ[rows] = joints, scores
        done += len(rows)
        if progress is not None:
            progress(done, len(persons))
    mean_B = scores_BJ.astype(float).mean(axis=1)
    return Predictions(task.boxes.image, joints_BJ2, scores_BJ, mean_B, task.boxes.person)


Part = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows, their joints in image pixels, their scores


def _chunks(persons: PersonSet) -> Iterator[np.ndarray]:
    """Rows, so many at a time; each image is decoded once, but at the borders of chunks."""
    by_image = np.argsort(persons.image, kind="stable")
    for start in range(0, len(by_image), CHUNK):
        yield by_image[start : start + CHUNK]


def _of_crops(protocol: Protocol, persons: PersonSet, model: Estimator, input_hw: tuple[int, int]) -> Iterator[Part]:
    """Crops, as the protocol cuts them, to somebody's function."""
    for rows in _chunks(persons):
        crops = build_crops(persons.subset(rows), input_hw, protocol.padding, between_centres=protocol.between_centres)
        what = f"crops of {persons.images.name(int(persons.image[rows[0]]))} and on"
        yield rows, *model.on_crops(crops, protocol.codec, _pairs(protocol), what, protocol.data.skeleton)


def _of_images(skeleton: Skeleton, persons: PersonSet, model: Estimator) -> Iterator[Part]:
    """Whole images, each once with all its boxes, to somebody's function."""
    order = np.argsort(persons.image, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(persons.image[order])) + 1):
        image = int(persons.image[rows[0]])
        pixels, boxes = persons.images.read(image), persons.box[rows].astype(float)
        yield rows, *model.on_image(pixels, boxes, persons.images.name(image), skeleton)


def _pairs(protocol: Protocol) -> tuple[tuple[int, int], ...] | None:
    return protocol.data.skeleton.flip_pairs if protocol.flip_test else None


def box_flags(task: Task) -> dict[str, str]:
    """What a record says of the file that a detector's boxes came from."""
    return {"boxes": f"{len(task.boxes):,}, SHA-256 {task.boxes.sha256}"} if task.boxes.sha256 else {}


def rescored(found: Predictions, boxes: Boxes, protocol: DetectionProtocol, input_hw: tuple[int, int]) -> Predictions:
    """Detections ranked by box and joint scores, near duplicates dropped (F10); an area is that of the padded box."""
    rule = protocol.rescoring
    scored = replace(found, score=rescore(boxes.score, found.joint_scores, rule.visible_over))
    height, width = input_hw
    side_B = np.maximum(boxes.box[:, 2], boxes.box[:, 3] * width / height) * protocol.padding  # as crops.box_to_affine
    sigmas = protocol.data.skeleton.sigmas
    return scored.subset(oks_nms(scored, side_B * side_B * height / width, sigmas, rule.nms_oks))


def as_coco_results(task: Task, predictions: Predictions, model: Model) -> bytes:
    """Predictions as COCO results; images of one's own are numbered from 0 and named beside."""
    truth = task.truth
    names = () if task.numbered else tuple(truth.images.name(i) for i in range(len(truth.images)))
    category = coco_results.PERSON if truth.category_id is None else truth.category_id
    return coco_results.to_bytes(predictions, truth.ids[predictions.image], category, names)


def as_file(task: Task, predictions: Predictions, model: Model) -> bytes:
    """Predictions in our layout, for a file that says what made them."""
    truth = task.truth
    header = Header(
        joints=truth.skeleton.joints,
        creator=f"hpe-bench {__version__}, {model.name}, weights {model.weights_sha256[:16]}, {model.runtime}",
        protocol=task.protocol.name,
        persons=truth.digest() if task.numbered else "",
        images=() if task.numbered else tuple(truth.images.name(i) for i in range(len(truth.images))),
    )
    return to_bytes(predictions, truth.ids[predictions.image], header)


def as_mpii_server_file(task: Task, predictions: Predictions, model: Model) -> bytes:
    """Predictions in MPII's test persons as its server takes them."""
    assert isinstance(task.truth, ReleasePersons)
    assert predictions.person is not None
    return server_file(task.truth, predictions.joints[np.argsort(predictions.person)])


WRITERS = {".npz": as_file, ".json": as_coco_results, ".mat": as_mpii_server_file}
"""What writes a file of predictions, by the end of its name."""


def writer(to: Path, data: DataSource | None) -> Callable[[Task, Predictions, Model], bytes]:
    """What writes this file of predictions in a data set (None: one's own images); ValueError where nothing does."""
    if to.suffix not in WRITERS:
        raise ValueError(f"{to}: predictions are written as .npz, or as COCO results in .json; name it so")
    if to.suffix == ".mat" and not isinstance(data, MPIITest):
        raise ValueError(f"{to}: a .mat is what MPII's server takes (--protocol mpii-test); others are .npz or .json")
    return WRITERS[to.suffix]
