"""pycocotools' own answers: the oracle that the array evaluation is held against, and the reader of official files."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions


def run(truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], sigmas: tuple[float, ...] = ()) -> COCOeval:
    """Matched, accumulated and summarised, without a word on stdout; the arguments are left as they are.

    `sigmas` stand in for those of COCO's 17 joints.
    """
    if any(person["id"] == 0 for person in truth["annotations"]):
        raise ValueError("truth: a person has id 0, which pycocotools takes for 'no match'; number persons from 1")
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = _coco({**truth, "annotations": [dict(person) for person in truth["annotations"]]})
        none_found = _coco({**truth, "annotations": []})
        found = wanted.loadRes([dict(d) for d in detections]) if len(detections) else none_found
        evaluation = COCOeval(wanted, found, iouType="keypoints")
        if sigmas:
            evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        assert evaluation.params.iouType == "keypoints", "F16: an evaluator that scores something else"
        assert evaluation.params.useSegm is None, "F16: useSegm turns OKS into box overlap"
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def run_arrays(truth: PersonSet, predictions: Predictions) -> COCOeval:
    """`run` on persons and detections given as arrays."""
    return run(as_coco(truth), as_detections(truth, predictions), truth.skeleton.sigmas)


def _coco(dataset: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def as_coco(truth: PersonSet) -> dict[str, Any]:
    """The persons in the layout of person_keypoints_*.json; flags 2 visible, 1 labelled only, 0 neither (at 0, 0)."""
    flags_NJ = truth.labelled.astype(int) + truth.visible
    keypoints = _keypoints(np.where(truth.labelled[..., None], truth.joints, 0.0), flags_NJ)
    number_I = _numbers(truth)
    persons = [
        {
            "id": n + 1,
            "image_id": number_I[truth.image[n]],
            "category_id": 1,
            "keypoints": keypoints[n],
            "num_keypoints": int(truth.labelled[n].sum() if truth.wanted is None else truth.wanted[n]),
            "bbox": truth.box[n].tolist(),
            "area": float(truth.area[n]),
            "iscrowd": 0 if truth.crowd is None else int(truth.crowd[n]),
        }
        for n in range(len(truth))
    ]
    category = {"id": 1, "name": "person", "keypoints": list(truth.skeleton.joints)}
    return {"images": [{"id": number} for number in number_I], "annotations": persons, "categories": [category]}


def as_detections(truth: PersonSet, predictions: Predictions) -> list[dict[str, Any]]:
    """The detections in the layout of a COCO result file; joint scores stand where flags are.

    Detections that have an area of their own have a box of it.
    """
    keypoints, number_I = _keypoints(predictions.joints, predictions.joint_scores), _numbers(truth)
    scores = predictions.score.astype(float).tolist()
    found: list[dict[str, Any]] = [
        {"image_id": number_I[image], "category_id": 1, "keypoints": joints, "score": score}
        for image, joints, score in zip(predictions.image, keypoints, scores, strict=True)
    ]
    if predictions.area is None:
        return found
    return [d | {"bbox": [0.0, 0.0, area, 1.0]} for d, area in zip(found, predictions.area.tolist(), strict=True)]


def _keypoints(joints_NJ2: np.ndarray, third_NJ: np.ndarray) -> list[list[float]]:
    """x, y and a third number of each joint, in one row per person."""
    points_NJ3 = np.concatenate((joints_NJ2, third_NJ[..., None]), axis=-1).astype(float)
    return points_NJ3.reshape(len(points_NJ3), 3 * third_NJ.shape[1]).tolist()


def _numbers(truth: PersonSet) -> list[int]:
    """The images' own numbers, else their positions."""
    return list(range(len(truth.images))) if truth.image_ids is None else truth.image_ids.tolist()
