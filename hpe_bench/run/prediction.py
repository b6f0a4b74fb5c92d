"""Predict: boxes through a network, as a protocol says, into predictions and a file of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from hpe_bench import __version__
from hpe_bench.data import own_images
from hpe_bench.data.boxes import Boxes, boxes_of
from hpe_bench.data.corruptions import Seen, corrupted
from hpe_bench.data.crops import apply_affine, build_crops
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files import Header, coco_results, to_bytes
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import Protocol
from hpe_bench.inference.networks import Network
from hpe_bench.inference.oks_nms import oks_nms
from hpe_bench.inference.predictor import predict
from hpe_bench.inference.predictors import Estimator
from hpe_bench.inference.rescoring import rescore
from hpe_bench.protocols import DetectionProtocol, FullProtocol

CHUNK = 400  # persons whose crops are in memory at a time: 60 MB at 256x192

Progress = Callable[[int, int], None]


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
    truth, boxes = own_images.read(folder, table, protocol.data.skeleton)
    return Task(protocol, truth, boxes, numbered=False)


Model = Network | Estimator
"""Whoever answers: a network that gives heatmaps, or anybody's function."""


def answer(task: Task, model: Model, device: str = "cpu", progress: Progress | None = None) -> Predictions:
    """One prediction a box, then rescored and thinned out where the protocol says so.

    Without rescoring a detection's score is the mean of its joint scores (F10).
    """
    protocol, skeleton = task.protocol, task.protocol.data.skeleton
    if isinstance(protocol, FullProtocol) and model.input_hw is not None:
        protocol.check_input(model.input_hw)
    seen = task.seen
    persons = seen.boxes.persons(seen.persons)
    if not len(persons):
        raise ValueError(f"{protocol.name}: there is no box to predict in; check the split and the data's folder")
    joints_BJ2 = np.empty((len(persons), len(skeleton.joints), 2), np.float32)
    scores_BJ = np.empty(joints_BJ2.shape[:2], np.float32)
    if isinstance(model, Network):
        parts = _of_network(protocol, persons, model, device)
    elif model.input_hw is None:
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
    found = Predictions(persons.image, joints_BJ2, scores_BJ, mean_B, task.boxes.person)
    if isinstance(protocol, DetectionProtocol):
        found = rescored(found, seen.boxes, protocol, model.input_hw or protocol.aspect_wh[::-1])
    return found if seen.back is None else brought_back(found, seen.back)


def brought_back(found: Predictions, back_I23: np.ndarray) -> Predictions:
    """Joints of turned images, in the pixels of the images as they are."""
    joints = apply_affine(back_I23[found.image], found.joints.astype(float))
    return replace(found, joints=joints.astype(found.joints.dtype))


Part = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows, their joints in image pixels, their scores


def _in_chunks(persons: PersonSet) -> Iterator[np.ndarray]:
    """Rows, so many at a time; each image is decoded once, but at the borders of chunks."""
    by_image = np.argsort(persons.image, kind="stable")
    for start in range(0, len(by_image), CHUNK):
        yield by_image[start : start + CHUNK]


def _of_network(protocol: Protocol, persons: PersonSet, network: Network, device: str) -> Iterator[Part]:
    """Crops through a network, flip test, decoding."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # F22
    module, pairs = network.module.to(device), _pairs(protocol)
    for rows in _in_chunks(persons):
        crops = build_crops(persons.subset(rows), network.input_hw, protocol.padding)
        yield rows, *predict(module, crops, protocol.codec, network.activate, flip_pairs=pairs, device=device)


def _of_crops(protocol: Protocol, persons: PersonSet, model: Estimator, input_hw: tuple[int, int]) -> Iterator[Part]:
    """Crops, as the protocol cuts them, to somebody's function."""
    for rows in _in_chunks(persons):
        crops = build_crops(persons.subset(rows), input_hw, protocol.padding)
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


WRITERS = {".npz": as_file, ".json": as_coco_results}
"""What writes a file of predictions, by the end of its name."""
