"""COCO keypoint AP as a metric: of one prediction per person, of free detections, and of official files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.declare import STRICT, Metric, Score
from hpe_bench.metrics import match_tables
from hpe_bench.metrics.average_precision import FIGURES, evaluate, intervals
from hpe_bench.metrics.rates import check_predictions


@dataclass(frozen=True, config=STRICT)
class OksAP(Metric):
    """COCO keypoint AP and AR in percent (Lin et al., ECCV 2014; equal to pycocotools), at most 20 detections an image.

    Intervals are over images with persons or detections; the others cannot change a figure.
    """

    keys: ClassVar[tuple[str, ...]] = tuple(f.key for f in FIGURES)  # all figures
    reported: ClassVar[tuple[str, ...]] = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar")  # in records of ours

    @property
    def key(self) -> str:
        return "ap"

    def evaluate(self, truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> list[Score]:
        """As `evaluate_predictions`, of one detection per person.

        A detection's score is the mean of its joint scores, with no floor (F15) and, as boxes are given, no box score
        (F10). Images of the set without persons cannot change it, since only persons of the set are predicted.
        """
        check_predictions(truth, joints_NJ2)
        if scores_NJ.shape != truth.labelled.shape or not np.isfinite(scores_NJ).all():
            raise ValueError(f"ap: joint scores must be finite and of shape {truth.labelled.shape}, one per joint")
        mean_N = scores_NJ.astype(float).mean(axis=1)
        answered_N = np.arange(len(truth))
        return self.evaluate_predictions(truth, Predictions(truth.image, joints_NJ2, scores_NJ, mean_N, answered_N))

    def evaluate_predictions(self, truth: PersonSet, predictions: Predictions) -> list[Score]:
        """The figures of `reported` of detections that rank by `score`, on all images of the set."""
        return [score for score in self.all_figures(truth, predictions) if score.key in self.reported]

    def all_figures(self, truth: PersonSet, predictions: Predictions) -> list[Score]:
        """The figures of `keys`. `n` is the number of persons to find; an area range without persons has no figure."""
        evaluation = evaluate(truth, predictions)
        figures, persons, around = evaluation.figures(), evaluation.persons(), intervals(evaluation)
        matches = {self.key: match_tables.pack(evaluation)}  # said once: the other figures follow from the same table
        return [
            Score(key, figures[key], persons[key], around.get(key), matches=matches.get(key, ""))
            for key in self.keys
            if key in figures
        ]


def evaluate_coco(truth: Mapping[str, Any] | Path, detections: Sequence[Mapping[str, Any]] | Path) -> dict[str, float]:
    """The ten COCO keypoint figures in percent, keys as in FIGURES; a figure over an area without persons is left out.

    pycocotools' own answer. `truth` has the layout of person_keypoints_*.json, `detections` that of a COCO result file;
    all images count. No score is cut off (F15), at most 20 detections per image count.
    """
    from hpe_bench.metrics import ap_pycocotools  # here alone, so that trainings do without pycocotools

    stats = ap_pycocotools.run(_read(truth), _read(detections)).stats
    return {f.key: 100 * float(v) for f, v in zip(FIGURES, stats, strict=True) if v > -1}  # -1: no person


def _read(source: Any) -> Any:
    return json.loads(source.read_text()) if isinstance(source, Path) else source
