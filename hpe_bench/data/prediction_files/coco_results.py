"""COCO keypoint results: a JSON list of {image_id, category_id, keypoints [x, y, score, ...], score}.

The layout of cocodataset.org's results format; other fields are left alone. A keypoint's third value is taken as its
score. J joints, D detections.
"""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files.own import PredictionFile, check_finite, content_sha256, positions
from hpe_bench.data.predictions import Predictions

PERSON = 1  # category_id of a person


def read(path: Path, truth: PersonSet) -> PredictionFile:
    """A COCO results file, for the images of `truth`; ValueError naming record and field."""
    records = _records(path)
    joints = truth.skeleton.joints
    for number, record in enumerate(records):
        if problem := _problem(record, len(joints)):
            raise ValueError(f"{path}: record {number}: {problem}")
    keypoints_DJ3 = _floats(chain.from_iterable(r["keypoints"] for r in records), path, "keypoints")
    keypoints_DJ3 = keypoints_DJ3.reshape(len(records), len(joints), 3)
    scores_D = _floats((r["score"] for r in records), path, "score")
    for name, values in (("keypoints", keypoints_DJ3), ("score", scores_D)):
        check_finite(values, name, joints, path)
    _refuse_repeats(records, path)
    image_ids_D = np.array([r["image_id"] for r in records], np.int64)
    predictions = Predictions(
        image=positions(image_ids_D, truth, path),
        joints=keypoints_DJ3[..., :2],
        joint_scores=keypoints_DJ3[..., 2],
        score=scores_D,
    )
    return PredictionFile(predictions, "COCO results", content_sha256(predictions, image_ids_D, joints))


def _records(path: Path) -> list[Any]:
    """The list in the file."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: truncated or no JSON ({error}); write it again") from None
    if not isinstance(content, list):
        what = "an annotation file" if isinstance(content, dict) and "annotations" in content else "no list"
        raise ValueError(f"{path}: holds {what}; COCO results are a list of detections with keypoints")
    return content


def _problem(record: Any, joints: int) -> str:
    """What is wrong with the form of a record, or nothing."""
    if not isinstance(record, dict):
        return f"is a {type(record).__name__}; a detection has image_id, category_id, keypoints and score"
    missing = [name for name in ("image_id", "category_id", "keypoints", "score") if name not in record]
    if missing:
        return f"{missing[0]} is missing"
    if type(record["image_id"]) is not int or abs(record["image_id"]) >= 2**63:
        return f"image_id {str(record['image_id'])[:40]!r} is no image number"
    if record["category_id"] != PERSON:
        return f"category_id is {str(record['category_id'])[:40]!r}, expected {PERSON} (person)"
    if type(record["score"]) not in (int, float):
        return f"score {str(record['score'])[:40]!r} is no number"
    keypoints = record["keypoints"]
    if not isinstance(keypoints, list) or len(keypoints) != 3 * joints:
        count = f"{len(keypoints)} values" if isinstance(keypoints, list) else "no list"
        return f"keypoints: {count}, expected {3 * joints} (x, y, score of {joints} joints)"
    if not set(map(type, keypoints)) <= {int, float}:
        return "keypoints: holds something that is no number"
    return ""


def _floats(values: Any, path: Path, field: str) -> np.ndarray:
    """Numbers as float64; ValueError for a whole number that is too large for one."""
    try:
        return np.fromiter(values, np.float64)
    except OverflowError:
        raise ValueError(f"{path}: {field}: a number is too large; coordinates are image pixels") from None


def _refuse_repeats(records: list[dict[str, Any]], path: Path) -> None:
    """ValueError for a detection that stands twice: it would count as a false positive, and is a mistake in writing."""
    seen: dict[tuple[Any, ...], int] = {}
    for number, record in enumerate(records):
        other = seen.setdefault((record["image_id"], record["score"], tuple(record["keypoints"])), number)
        if other != number:
            raise ValueError(f"{path}: record {number} repeats record {other}; write every detection once")
