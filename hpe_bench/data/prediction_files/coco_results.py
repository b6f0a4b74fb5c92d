"""COCO keypoint results: a JSON list of {image_id, category_id, keypoints [x, y, score, ...], score}.

The layout of cocodataset.org's results format. A keypoint's third value is taken as its score. Where the first record
has a `bbox`, every detection's area is that of its box, else that of the box around its joints, as pycocotools'
`COCO.loadRes` has it (AP of medium and large persons depends on it). Other fields are left alone.

Detectron2's coco_instances_results.json and MMPose's *.keypoints.json are such files. Ultralytics' predictions.json is
one but for data sets whose images have no numbers: then `image_id` is the file's stem; and its classes may be counted
from 0.

J joints, D detections.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from hpe_bench.data.json_files import Anything, finite_list, parse, shown, whole
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files.gathered import index_of, place_of
from hpe_bench.data.prediction_files.own import PredictionFile, check_finite, content_sha256, positions
from hpe_bench.data.predictions import Predictions

PERSON = 1  # category_id of a person, where the truth does not say another


class ResultRecord(TypedDict):
    """One detection; what is wrong with a field is told by its record."""

    image_id: NotRequired[Anything]
    category_id: NotRequired[Anything]
    keypoints: NotRequired[Anything]
    score: NotRequired[Anything]
    bbox: NotRequired[Anything]
    segmentation: NotRequired[Anything]


RECORDS: TypeAdapter[Any] = TypeAdapter(
    Annotated[list[ResultRecord] | dict[str, Any], Field(union_mode="left_to_right")]
)


def read(path: Path, truth: PersonSet) -> PredictionFile:
    """A COCO results file, for the images of `truth`; ValueError naming record and field."""
    records = _records(path)
    joints, person = truth.skeleton.joints, PERSON if truth.category_id is None else truth.category_id
    tool = _settle(records, truth, person, path)
    for number, record in enumerate(records):
        if problem := _problem(record, len(joints), person):
            raise ValueError(f"{path}: record {number}: {problem}")
    keypoints_DJ3 = _floats(chain.from_iterable(r["keypoints"] for r in records), path, "keypoints")
    keypoints_DJ3 = keypoints_DJ3.reshape(len(records), len(joints), 3)
    scores_D = _floats((r["score"] for r in records), path, "score")
    for name, values in (("keypoints", keypoints_DJ3), ("score", scores_D)):
        check_finite(values, name, joints, path)
    _refuse_repeats(records, path)
    image_ids_D = np.array([whole(r["image_id"]) for r in records], np.int64)
    area_D = _areas(records, path)
    predictions = Predictions(
        image=positions(image_ids_D, truth, path),
        joints=keypoints_DJ3[..., :2],
        joint_scores=keypoints_DJ3[..., 2],
        score=scores_D,
        area=area_D,
    )
    layout = "COCO results" if area_D is None else "COCO results with boxes, which give the detections' areas"
    return PredictionFile(predictions, layout + tool, content_sha256(predictions, image_ids_D, joints))


def to_bytes(
    predictions: Predictions, image_ids_D: np.ndarray, category_id: int = PERSON, names: Sequence[str] = ()
) -> bytes:
    """Predictions as COCO results, one record a line; `names` of images of one's own are added as `file_name`."""
    points_DJ3 = np.concatenate([predictions.joints, predictions.joint_scores[..., None]], axis=-1).astype(float)
    lines = []
    for d, keypoints in enumerate(points_DJ3.reshape(len(predictions), -1).tolist()):
        record = {"image_id": int(image_ids_D[d]), "category_id": category_id, "keypoints": keypoints}
        record["score"] = float(predictions.score[d])
        if len(names):
            record["file_name"] = names[predictions.image[d]]
        lines.append(json.dumps(record))
    return ("[" + ",\n ".join(lines) + "]\n").encode()


def _records(path: Path) -> list[ResultRecord]:
    """The list in the file."""
    found = parse(path, RECORDS, "a COCO results file", {"": "record"})
    if not isinstance(found, list):
        what = "an annotation file" if isinstance(found, dict) and "annotations" in found else "no list"
        raise ValueError(f"{path}: holds {what}; COCO results are a list of detections with keypoints")
    return found


def _settle(records: list[ResultRecord], truth: PersonSet, person: int, path: Path) -> str:
    """Put image numbers in place of names, and the person's category in place of class 0; says what was done."""
    named = [(number, r) for number, r in enumerate(records) if isinstance(r.get("image_id"), str)]
    index = index_of(truth) if named else {}
    for number, record in named:
        at = place_of(str(record["image_id"]), index, f"{path}: record {number}: image_id")
        record["image_id"] = int(truth.ids[at])
    from_0 = bool(records) and person != 0 and all(whole(r.get("category_id")) == 0 for r in records)
    for record in records if from_0 else ():
        record["category_id"] = person
    said = [*(["images by name"] if named else []), *(["classes from 0"] if from_0 else [])]
    return f" ({', '.join(said)}, as Ultralytics has them)" if said else ""


def _areas(records: Sequence[ResultRecord], path: Path) -> np.ndarray | None:
    """Areas [D] of the detections' boxes in px^2; None where they have none, told by the first as pycocotools does."""
    if not records or records[0].get("bbox") in (None, []):
        if records and "segmentation" in records[0]:
            raise ValueError(
                f"{path}: record 0: has a segmentation but no bbox, and pycocotools would take areas from it; leave "
                "it out, or give every detection its bbox"
            )
        return None
    areas = []
    for number, record in enumerate(records):
        box = finite_list(record.get("bbox"), 4)
        if box is None:
            raise ValueError(
                f"{path}: record {number}: bbox is {shown(record.get('bbox'))}, expected (x, y, width, height); give "
                "every detection its box, or none"
            )
        areas.append(box[2] * box[3])
    return np.array(areas)


def _problem(record: ResultRecord, joints: int, person: int) -> str:
    """What is wrong with the form of a record, or nothing."""
    missing = [name for name in ("image_id", "category_id", "keypoints", "score") if name not in record]
    if missing:
        return f"{missing[0]} is missing"
    if whole(record["image_id"]) is None:
        return f"image_id {str(record['image_id'])[:40]!r} is no image number"
    if whole(record["category_id"]) != person:
        return f"category_id is {str(record['category_id'])[:40]!r}, expected {person} (person)"
    if type(record["score"]) not in (int, float):
        return f"score {str(record['score'])[:40]!r} is no number"
    keypoints = record["keypoints"]
    if not isinstance(keypoints, list) or len(keypoints) != 3 * joints:
        count = f"{len(keypoints)} values" if isinstance(keypoints, list) else "no list"
        return f"keypoints: {count}, expected {3 * joints} (x, y, score of {joints} joints)"
    if not set(map(type, keypoints)) <= {int, float}:
        return "keypoints: holds something that is no number"
    return ""


def _floats(values: object, path: Path, field: str) -> np.ndarray:
    """Numbers as float64; ValueError for a whole number that is too large for one."""
    try:
        return np.fromiter(values, np.float64)  # type: ignore[call-overload]
    except OverflowError:
        raise ValueError(f"{path}: {field}: a number is too large; coordinates are image pixels") from None


def _refuse_repeats(records: Sequence[ResultRecord], path: Path) -> None:
    """ValueError for a detection that stands twice: it would count as a false positive, and is a mistake in writing.

    Placeholders, whose keypoints are all 0, may stand as often as they like; they count as pycocotools counts them.
    """
    seen: dict[tuple[object, ...], int] = {}
    for number, record in enumerate(records):
        if not any(record["keypoints"]):
            continue
        other = seen.setdefault((record["image_id"], record["score"], tuple(record["keypoints"])), number)
        if other != number:
            raise ValueError(f"{path}: record {number} repeats record {other}; write every detection once")
