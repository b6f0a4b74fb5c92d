"""Annotations and results in COCO's layout as arrays, for tests of metrics: no images are needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import COCO_17


class Pixels:
    """Images that nobody looks at."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"{index}.png"

    def digest(self) -> str:
        return str(self.count)

    def read(self, index: int) -> np.ndarray:
        raise AssertionError("a metric has no use for pixels")


def read(folder: Path, truth: str, detections: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return json.loads((folder / truth).read_text()), json.loads((folder / detections).read_text())


def persons(truth: dict[str, Any]) -> PersonSet:
    """Every annotation, images in the order of the file."""
    image_ids = np.array([image["id"] for image in truth["images"]])
    points = np.array([p["keypoints"] for p in truth["annotations"]], dtype=float).reshape(-1, 17, 3)
    count = len(points)
    return PersonSet(
        skeleton=COCO_17,
        images=Pixels(len(image_ids)),
        image=positions(image_ids, truth["annotations"]),
        box=np.array([p["bbox"] for p in truth["annotations"]], dtype=float).reshape(count, 4),
        joints=points[..., :2],
        labelled=points[..., 2] > 0,
        visible=points[..., 2] > 1,
        head_size=np.full(count, np.nan),
        area=np.array([p["area"] for p in truth["annotations"]], dtype=float),
        crowd=np.array([p["iscrowd"] for p in truth["annotations"]], dtype=bool),
        image_ids=image_ids,
    )


def detections(image_ids: np.ndarray, found: list[dict[str, Any]]) -> Predictions:
    points = np.array([d["keypoints"] for d in found], dtype=float).reshape(-1, 17, 3)
    scores = np.array([d["score"] for d in found], dtype=float)
    return Predictions(positions(image_ids, found), points[..., :2], points[..., 2], scores)


def positions(image_ids: np.ndarray, rows: list[dict[str, Any]]) -> np.ndarray:
    where = {number: position for position, number in enumerate(image_ids.tolist())}
    return np.array([where[row["image_id"]] for row in rows], dtype=int)
