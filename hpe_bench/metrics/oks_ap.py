"""COCO keypoint AP through pycocotools, with a bootstrap interval over images.

AP is no mean over images (F25): per replicate, pycocotools' matches are accumulated again with the weights of the
resampled images. T OKS thresholds, D detections by falling score, I images, R = 101 recall thresholds, J joints.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pydantic.dataclasses import dataclass as declared

from hpe_bench.data.persons import PersonSet
from hpe_bench.declare import STRICT, Metric, Score
from hpe_bench.metrics.bootstrap import Interval, image_weights, percentile_interval
from hpe_bench.metrics.rates import check_predictions

REPLICATES = 500
RECALLS = np.linspace(0.0, 1.0, 101)  # pycocotools' recThrs
Area = Literal["all", "medium", "large"]  # COCO's keypoint ranges: any, 32^2 to 96^2, from 96^2 px^2 on


class Figure(NamedTuple):
    """One of the ten published figures: a mean over OKS thresholds (rows `at`) of precision or recall."""

    key: str
    area: Area
    table: Literal["precision", "recall"]
    at: slice = slice(None)  # of 0.50, 0.55 .. 0.95


FIGURES = (  # in the order of pycocotools' stats
    Figure("ap", "all", "precision"),
    Figure("ap50", "all", "precision", slice(0, 1)),
    Figure("ap75", "all", "precision", slice(5, 6)),
    Figure("ap_medium", "medium", "precision"),
    Figure("ap_large", "large", "precision"),
    Figure("ar", "all", "recall"),
    Figure("ar50", "all", "recall", slice(0, 1)),
    Figure("ar75", "all", "recall", slice(5, 6)),
    Figure("ar_medium", "medium", "recall"),
    Figure("ar_large", "large", "recall"),
)
REPORTED = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar")


# ---------------------------------------------------------------------------------------------------- one evaluation


def evaluate_coco(truth: Mapping[str, Any] | Path, detections: Sequence[Mapping[str, Any]] | Path) -> dict[str, float]:
    """The ten COCO keypoint figures in percent, keys as in FIGURES; a figure over an area without persons is left out.

    `truth` has the layout of person_keypoints_*.json, `detections` that of a COCO result file; all images count. No
    score is cut off (F15), at most 20 detections per image count.
    """
    return _figures(_run(_read(truth), _read(detections)))


def _read(source: Any) -> Any:
    return json.loads(source.read_text()) if isinstance(source, Path) else source


def _run(truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], sigmas: tuple[float, ...] = ()) -> COCOeval:
    """Matched, accumulated and summarised, without a word on stdout; the arguments are left as they are."""
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


def _coco(dataset: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _figures(evaluation: COCOeval) -> dict[str, float]:
    return {f.key: 100 * float(v) for f, v in zip(FIGURES, evaluation.stats, strict=True) if v > -1}  # -1: no person


# ---------------------------------------------------------------------------------------------------- resampling


@dataclass(frozen=True, eq=False)
class Matches:
    """Who matched whom in one area range. Detections that COCO ignores are neither right nor wrong."""

    right_TD: np.ndarray  # bool
    wrong_TD: np.ndarray  # bool
    image_D: np.ndarray  # position of each detection's image
    persons_I: np.ndarray  # persons to find per image

    def accumulate(self, weights_I: np.ndarray) -> dict[str, np.ndarray] | None:
        """`precision` [T,R] and `recall` [T] with image i standing `weights_I[i]` times in the set; None if no person.

        Equal to pycocotools on a set that holds the copies: their intermediate points lie under the envelope.
        """
        persons = float(weights_I @ self.persons_I)
        if persons == 0:
            return None
        weights_D = weights_I[self.image_D]
        right_TD, wrong_TD = np.cumsum(self.right_TD * weights_D, axis=1), np.cumsum(self.wrong_TD * weights_D, axis=1)
        recall_TD, precision_TD = right_TD / persons, right_TD / (wrong_TD + right_TD + np.spacing(1))
        envelope_TD = np.maximum.accumulate(precision_TD[:, ::-1], axis=1)[:, ::-1]
        reached_TD = np.pad(envelope_TD, ((0, 0), (0, 1)))  # precision 0 at recalls that are never reached
        at_TR = [recall_D.searchsorted(RECALLS) for recall_D in recall_TD]
        recall_T = recall_TD[:, -1] if recall_TD.shape[1] else np.zeros(len(recall_TD))
        return {"precision": np.take_along_axis(reached_TD, np.stack(at_TR), axis=1), "recall": recall_T}


def _matches(evaluation: COCOeval) -> dict[Area, Matches]:
    """The match table of each area range."""
    images = len(evaluation.params.imgIds)
    assert len(evaluation.params.catIds) == 1, "one category"
    areas: tuple[Area, ...] = ("all", "medium", "large")
    assert tuple(evaluation.params.areaRngLbl) == areas
    return {
        area: _one_area(evaluation.evalImgs[i * images : (i + 1) * images], len(evaluation.params.iouThrs))
        for i, area in enumerate(areas)
    }


def _one_area(per_image: list[dict[str, Any] | None], thresholds: int) -> Matches:
    """One area's table; detections in pycocotools' order (stable by score, F15)."""
    found = [(i, e) for i, e in enumerate(per_image) if e is not None]
    nothing = np.zeros((thresholds, 0), dtype=bool)
    scores_D = np.concatenate([[], *(e["dtScores"] for _, e in found)])
    order_D = np.argsort(-scores_D, kind="mergesort")
    matched_TD = np.concatenate([nothing, *(e["dtMatches"] != 0 for _, e in found)], axis=1)[:, order_D]
    ignored_TD = np.concatenate([nothing, *(e["dtIgnore"] for _, e in found)], axis=1)[:, order_D]
    persons_I = np.zeros(len(per_image), dtype=int)
    for i, e in found:
        persons_I[i] = np.count_nonzero(e["gtIgnore"] == 0)
    return Matches(
        right_TD=matched_TD & ~ignored_TD,
        wrong_TD=~matched_TD & ~ignored_TD,
        image_D=np.repeat([i for i, _ in found], [len(e["dtScores"]) for _, e in found])[order_D].astype(int),
        persons_I=persons_I,
    )


def _summarise(matches: dict[Area, Matches], weights_I: np.ndarray) -> dict[str, float]:
    """The ten figures in percent with weighted images, NaN where no person is in the range."""
    tables = {area: match.accumulate(weights_I) for area, match in matches.items()}
    return {
        f.key: 100 * float(table[f.table][f.at].mean()) if (table := tables[f.area]) else float("nan") for f in FIGURES
    }


def _intervals(matches: dict[Area, Matches], keys: Sequence[str], replicates: int) -> dict[str, Interval]:
    """Percentile bootstrap intervals over images, as `rate_interval` gives for rates."""
    images = len(matches["all"].persons_I)
    drawn = [_summarise(matches, row) for chunk in image_weights(images, replicates) for row in chunk]
    return {key: percentile_interval(np.array([figures[key] for figures in drawn])) for key in keys}


# ---------------------------------------------------------------------------------------------------- the metric


@declared(frozen=True, config=STRICT)
class OksAP(Metric):
    """COCO keypoint AP and AR in percent (Lin et al., ECCV 2014; evaluator: pycocotools), one detection per person.

    A detection's score is the mean of its joint scores, with no floor (F15) and, as boxes are given, no box score
    (F10). Images of the set without persons cannot change it, since only persons of the set are predicted.
    """

    @property
    def key(self) -> str:
        return "ap"

    def evaluate(self, truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> list[Score]:
        """ap, ap50, ap75, ap_medium, ap_large, ar; `n` is the number of persons to find, intervals are over images."""
        _check(truth, joints_NJ2, scores_NJ)
        dataset, detections = _as_coco(truth), _as_detections(truth, joints_NJ2, scores_NJ)
        evaluation = _run(dataset, detections, truth.skeleton.sigmas)
        figures, matches = _figures(evaluation), _matches(evaluation)
        images = len(matches["all"].persons_I)
        again = _summarise(matches, np.ones(images))
        assert all(abs(again[key] - value) < 1e-9 for key, value in figures.items()), "not pycocotools' accumulation"
        keys = [key for key in REPORTED if key in figures]
        intervals = _intervals(matches, keys, REPLICATES) if images > 1 else {}
        persons = {f.key: int(matches[f.area].persons_I.sum()) for f in FIGURES}
        return [Score(key, figures[key], persons[key], intervals.get(key)) for key in keys]


def _check(truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> None:
    """ValueError with what is missing for OKS."""
    check_predictions(truth, joints_NJ2)
    if not truth.skeleton.sigmas:
        raise ValueError(f"ap: skeleton {truth.skeleton.name!r} defines no OKS sigmas; score it with PCK or PCKh")
    if scores_NJ.shape != truth.labelled.shape or not np.isfinite(scores_NJ).all():
        raise ValueError(f"ap: joint scores must be finite and of shape {truth.labelled.shape}, one per joint")
    bad = np.flatnonzero(~np.isfinite(truth.area))
    if len(bad):
        raise ValueError(f"ap: person {bad[0]} has no area ({len(bad)} such persons in all), which OKS is relative to")
    if not truth.labelled.any():
        raise ValueError("ap: no person has a labelled joint to score; use a set with annotations")


def _as_coco(truth: PersonSet) -> dict[str, Any]:
    """The persons in COCO's layout; flags 2 visible, 1 labelled only, 0 neither (then at 0, 0)."""
    flags_NJ = truth.labelled.astype(int) + truth.visible
    points_NJ2 = np.where(truth.labelled[..., None], truth.joints, 0.0)
    keypoints = np.concatenate((points_NJ2, flags_NJ[..., None]), axis=-1).reshape(len(truth), -1).tolist()
    persons = [
        {
            "id": n + 1,
            "image_id": int(truth.image[n]),
            "category_id": 1,
            "keypoints": keypoints[n],
            "num_keypoints": int(truth.labelled[n].sum()),
            "bbox": truth.box[n].tolist(),
            "area": float(truth.area[n]),
            "iscrowd": 0,
        }
        for n in range(len(truth))
    ]
    images = [{"id": int(i)} for i in np.unique(truth.image)]
    category = {"id": 1, "name": "person", "keypoints": list(truth.skeleton.joints)}
    return {"images": images, "annotations": persons, "categories": [category]}


def _as_detections(truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> list[dict[str, Any]]:
    """One detection per person, scored by the mean of its joint scores."""
    points = np.concatenate((joints_NJ2, np.ones((*joints_NJ2.shape[:2], 1))), axis=-1)
    keypoints, scores = points.astype(float).reshape(len(truth), -1).tolist(), scores_NJ.astype(float).mean(axis=1)
    return [
        {"image_id": int(truth.image[n]), "category_id": 1, "keypoints": keypoints[n], "score": float(scores[n])}
        for n in range(len(truth))
    ]
