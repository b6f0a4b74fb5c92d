"""Persons and predictions in a few images, for tests of files and of scoring."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import COCO_17, Skeleton


class BlankImages:
    """Grey images of one size."""

    def __init__(self, count: int, hw: tuple[int, int] = (120, 160)) -> None:
        self.count, self.hw = count, hw

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"{index}.png"

    def read(self, index: int) -> np.ndarray:
        return np.full((*self.hw, 3), 40 + index, np.uint8)

    def digest(self) -> str:
        return f"blank{self.count}"


def persons(count: int = 6, images: int = 4, skeleton: Skeleton = COCO_17, seed: int = 0) -> PersonSet:
    """Persons of about 60 px, every joint labelled; image ids 100, 107, 114, ..."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(10, 60, (count, 2))
    joints = low[:, None] + rng.uniform(0, 60, (count, len(skeleton.joints), 2))
    labelled = np.ones((count, len(skeleton.joints)), bool)
    return PersonSet(
        skeleton=skeleton,
        images=BlankImages(images),
        image=np.sort(np.arange(count) % images),
        box=np.concatenate([low, np.full((count, 2), 60.0)], axis=1),
        joints=joints,
        labelled=labelled,
        visible=labelled,
        head_size=np.full(count, 12.0),
        area=np.full(count, 2000.0),
        image_ids=100 + 7 * np.arange(images),
    )


def answers(truth: PersonSet, error_px: float = 2.0, seed: int = 1) -> Predictions:
    """One prediction a person, off by about `error_px`, in single precision."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.1, 1, truth.labelled.shape).astype(np.float32)
    return Predictions(
        image=truth.image,
        joints=(truth.joints + rng.normal(0, error_px, truth.joints.shape)).astype(np.float32),
        joint_scores=scores,
        score=scores.astype(float).mean(axis=1),
        person=np.arange(len(truth)),
    )


def results(truth: PersonSet, predictions: Predictions) -> list[dict[str, object]]:
    """The predictions as COCO results."""
    assert truth.image_ids is not None
    points = np.concatenate([predictions.joints, predictions.joint_scores[..., None]], axis=-1).astype(float)
    return [
        {
            "image_id": int(truth.image_ids[predictions.image[d]]),
            "category_id": 1,
            "keypoints": points[d].ravel().tolist(),
            "score": float(predictions.score[d]),
        }
        for d in range(len(predictions))
    ]


def coco_truth(truth: PersonSet) -> dict[str, object]:
    """The persons as COCO annotations."""
    assert truth.image_ids is not None
    height, width = 120, 160
    images = [
        {"id": int(number), "width": width, "height": height, "file_name": f"{number}.jpg"}
        for number in truth.image_ids
    ]
    annotations = [
        {
            "id": row + 1,
            "image_id": int(truth.image_ids[truth.image[row]]),
            "category_id": 1,
            "bbox": truth.box[row].tolist(),
            "area": float(truth.area[row]),
            "iscrowd": 0,
            "num_keypoints": int(truth.labelled[row].sum()),
            "keypoints": [v for x, y in truth.joints[row].tolist() for v in (x, y, 2)],
        }
        for row in range(len(truth))
    ]
    category = {"id": 1, "name": "person", "keypoints": list(truth.skeleton.joints), "skeleton": []}
    return {"images": images, "annotations": annotations, "categories": [category]}


def write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def of_each(truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> Predictions:
    """One prediction a person, in the order of the persons; it ranks by the mean of its joint scores (F10, F15).

    ValueError unless there is one of each.
    """
    if joints_NJ2.shape != truth.joints.shape:
        raise ValueError(f"predictions have shape {joints_NJ2.shape}, the test persons {truth.joints.shape}")
    mean_N = scores_NJ.astype(float).mean(axis=1)
    return Predictions(truth.image, joints_NJ2, scores_NJ, mean_N, np.arange(len(truth)))
