"""From predictions to what a record keeps of them: scores, counts per image, a few persons to draw.

N persons, J joints.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpe_bench.data.own_skeleton import OwnData
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import LSP_14
from hpe_bench.declare import Metric, Protocol, Score
from hpe_bench.errors import notice
from hpe_bench.files import write_atomically
from hpe_bench.metrics import calibration
from hpe_bench.metrics.ap_by_joint import ap_by_joint
from hpe_bench.metrics.auc import AUC
from hpe_bench.metrics.breakdown import breakdown
from hpe_bench.metrics.diagnosis import KINDS, Diagnosis, crowds, diagnose
from hpe_bench.metrics.oks import oks
from hpe_bench.metrics.oks_ap import OksAP
from hpe_bench.metrics.own_metrics import MeanError, PCKBy
from hpe_bench.metrics.pcp import PCP
from hpe_bench.metrics.rates import DistanceRate, on_threshold, side_means, visibility_scores
from hpe_bench.records.schema import (
    Calibration,
    CalibrationPart,
    Heatmap,
    ImageCounts,
    Matches,
    Measurement,
    ReliabilityBin,
    Sample,
    Scaling,
)

DRAWN = 8  # persons drawn from every run, the same ones for all
WORST = 4  # and the persons with the largest mean error


# ---------------------------------------------------------------------------------------------------- scores


def scores(protocol: Protocol, truth: PersonSet, predictions: Predictions, what: str = "predictions") -> list[Score]:
    """Everything that is said about predictions under a protocol, each key once, the headline first.

    The one path to scores: the same predictions give the same keys, whether a network was trained here, evaluated, or
    its predictions came as a file. The protocol's metrics come first, then joint by joint, by visibility and areas
    under curves, then where the predictions fail (`diagnosis/`). ValueError, beginning with `what`, unless every person
    with a labelled joint has a finite prediction where the metric wants one (F23).
    """
    headline = protocol.metrics[0]
    metrics = protocol.metrics
    unassigned = isinstance(protocol.data, OwnData) and predictions.person is None
    if unassigned and to_persons(truth, predictions) is None:
        notice(f"{what}: {UNASSIGNED}")
        metrics = (headline,)
    found = [score for metric in metrics for score in of_metric(metric, truth, predictions, what)]
    found += _details(headline, truth, predictions, what)
    found += breakdown(headline, *_subjects(headline, truth, predictions, what))
    return list({score.key: score for score in reversed(found)}.values())[::-1]


UNASSIGNED = (
    "its detections are not one a person, so AP alone is scored; PCK, NME and RMSE want one prediction of everyone who "
    "has a labelled joint"
)


def to_persons(truth: PersonSet, predictions: Predictions) -> Predictions | None:
    """Detections that do not say which persons they are of, given to those they are most like.

    None unless every image has as many as persons with a labelled joint. The sum of the OKS in an image is the greatest
    possible.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    wanted = truth.labelled.any(axis=1) & ~crowds(truth)
    if not truth.skeleton.sigmas or not np.isfinite(truth.area[wanted]).all():
        return None
    person = np.full(len(predictions), -1)
    for image in range(len(truth.images)):
        rows, found = np.flatnonzero(wanted & (truth.image == image)), np.flatnonzero(predictions.image == image)
        if len(rows) != len(found):
            return None
        a, b = np.repeat(np.arange(len(found)), len(rows)), np.tile(np.arange(len(rows)), len(found))
        if len(rows):
            alike = oks(truth, predictions.joints, found[a], rows[b]).reshape(len(found), len(rows))
            chosen = linear_sum_assignment(-alike)
            person[found[chosen[0]]] = rows[chosen[1]]
    return replace(predictions, person=person)


@dataclass(frozen=True, eq=False)
class Answered:
    """The persons that were predicted one by one and their predictions, row by row; for metrics without a matching."""

    rows: np.ndarray
    persons: PersonSet
    predictions: Predictions


def answered(truth: PersonSet, found: Predictions, what: str) -> Answered:
    """One prediction a person; ValueError unless every person with a labelled joint has one (F23)."""
    if found.person is None:
        raise ValueError(
            f"{what}: the detections do not say which persons they are of, and the protocol scores person by person; "
            "give a .npz with person rows, or an array with a row a person"
        )
    needed = truth.labelled.any(axis=1) & ~crowds(truth)
    missing = np.setdiff1d(np.flatnonzero(needed), found.person)
    if len(missing):
        raise ValueError(
            f"{what}: no prediction for person {missing[0]} ({len(missing)} of {int(needed.sum())} are missing); the "
            "protocol wants one of every person (F23)"
        )
    order = np.argsort(found.person)
    ordered = replace(found.subset(order), person=np.arange(len(order)))
    return Answered(found.person[order], truth.subset(found.person[order]), ordered)


def _subjects(metric: Metric, truth: PersonSet, found: Predictions, what: str) -> tuple[PersonSet, Predictions]:
    """Persons and predictions, brought into one order where the metric goes person by person."""
    if isinstance(metric, OksAP):
        return truth, found
    one = answered(truth, found, what)
    return one.persons, one.predictions


def of_metric(metric: Metric, truth: PersonSet, found: Predictions, what: str) -> list[Score]:
    """The scores of one metric, its headline first."""
    if isinstance(metric, PCKBy | MeanError) and found.person is None:
        found = to_persons(truth, found) or found
    persons, predictions = _subjects(metric, truth, found, what)
    if isinstance(metric, OksAP):
        return metric.all_figures(persons, predictions)
    return metric.evaluate(persons, predictions.joints, predictions.joint_scores)


def _details(metric: Metric, truth: PersonSet, found: Predictions, what: str) -> list[Score]:
    """What stands beside the protocol's own figures: joint by joint, by visibility, areas under curves."""
    if isinstance(metric, OksAP):
        return ap_by_joint(truth, found)
    if not isinstance(metric, DistanceRate):
        return []
    persons, predictions = _subjects(metric, truth, found, what)
    joints, joint_scores = predictions.joints, predictions.joint_scores
    more: list[Metric] = [AUC(metric), *([PCP()] if persons.skeleton.joints == LSP_14.joints else [])]
    return [
        *side_means(persons.skeleton, metric.key, metric.evaluate(persons, joints, joint_scores)),
        on_threshold(metric, persons, joints),
        *(visibility_scores(metric, persons, joints) if (persons.labelled & ~persons.visible).any() else []),
        *(score for m in more for score in m.evaluate(persons, joints, joint_scores)),
    ]


def calibrated(protocol: Protocol, truth: PersonSet, found: Predictions) -> Calibration | None:
    """How far the joint scores are probabilities; None of detections that are of no known person, and of joint scores
    that say nothing."""
    if found.person is None:
        return None
    order = np.argsort(found.person)
    persons, ordered = truth.subset(found.person[order]), found.subset(order)
    every = calibration.judged(protocol.metrics[0], persons, ordered.joints, ordered.joint_scores)
    if every is None:
        return None
    whole, scaled = every.counted_NJ, calibration.temperature(every)
    score_K, right_K = every.score_NJ[whole], every.right_NJ[whole]
    return Calibration(
        key=every.key,
        bins=tuple(ReliabilityBin(**vars(b)) for b in calibration.bins(score_K, right_K)),
        risk=calibration.risk_coverage(score_K, right_K),
        parts=tuple(_part(every, name, kept) for name, kept in calibration.parts(every, persons).items()),
        scaling=None if scaled is None else _scaling(scaled),
    )


def _scaling(found: calibration.Temperature) -> Scaling:
    return Scaling(temperature=found.value, before=found.before, after=found.after, n=found.n)


def _part(every: calibration.Judged, name: str, kept_NJ: np.ndarray) -> CalibrationPart:
    score_K, right_K = every.score_NJ[kept_NJ], every.right_NJ[kept_NJ]
    return CalibrationPart(
        part=name,
        n=len(score_K),
        right=100 * float(right_K.mean()),
        score=100 * float(score_K.mean()),
        error=calibration.expected_error(score_K, right_K),
        interval=calibration.error_interval(replace(every, counted_NJ=kept_NJ)),
        risk_area=calibration.area_under_risk(score_K, right_K),
    )


# ---------------------------------------------------------------------------------------------------- one by one


def per_person(protocol: Protocol, truth: PersonSet, predictions: Predictions) -> list[dict[str, Any]]:
    """A row a person to find: where it is, whether it was found and how well, in the terms of the protocol.

    `hits` of `labelled` joints are within the headline's threshold, `distance` is their mean distance relative to the
    headline's reference; `oks`, and how many joints are of which kind (`diagnosis.py`), stand where the data set has
    sigmas and areas. Cells that the protocol has no meaning for are None.
    """
    judged = diagnose(truth, predictions) if _diagnosable(truth) else None
    wanted = truth.labelled.any(axis=1) & ~crowds(truth)
    of_person = np.full(len(truth), -1)
    if predictions.person is not None:
        of_person[predictions.person] = np.arange(len(predictions))
    elif judged is not None:
        of_person = judged.detection
    rate = protocol.metrics[0] if isinstance(protocol.metrics[0], DistanceRate) else None
    rows = np.flatnonzero(wanted & (of_person >= 0)) if rate is not None else np.zeros(0, dtype=int)
    relative = {} if rate is None else _relative(rate, truth, predictions, rows, of_person)
    return [
        {
            "person": row,
            "image": int(truth.ids[truth.image[row]]),
            "image_name": truth.images.name(int(truth.image[row])),
            "box_height": float(truth.box[row, 3]),
            "labelled": int(truth.labelled[row].sum()),
            "prediction": int(of_person[row]) if of_person[row] >= 0 else None,
            "score": float(predictions.score[of_person[row]]) if of_person[row] >= 0 else None,
            **_hit_cells(rate, relative.get(row)),
            **_judged_cells(judged, row),
        }
        for row in np.flatnonzero(wanted).tolist()
    ]


def _diagnosable(truth: PersonSet) -> bool:
    return bool(truth.skeleton.sigmas) and bool(np.isfinite(truth.area).all())


def _relative(
    rate: DistanceRate, truth: PersonSet, predictions: Predictions, rows: np.ndarray, of_person: np.ndarray
) -> dict[int, np.ndarray]:
    """Relative distances [J] of each person that was predicted, by row."""
    if not len(rows):
        return {}
    found_NJ = rate.relative_distances(truth.subset(rows), predictions.joints[of_person[rows]])
    return dict(zip(rows.tolist(), found_NJ, strict=True))


def _hit_cells(rate: DistanceRate | None, relative_J: np.ndarray | None) -> dict[str, Any]:
    if rate is None or relative_J is None:
        return {"hits": None, "distance": None}
    known_J = relative_J[np.isfinite(relative_J)]
    hits_J = known_J <= rate.threshold if rate.comparator == "<=" else known_J < rate.threshold
    return {"hits": int(hits_J.sum()), "distance": float(known_J.mean())}


def _judged_cells(judged: Diagnosis | None, row: int) -> dict[str, Any]:
    if judged is None:
        return {"found": None, "oks": None, **dict.fromkeys(KINDS)}
    kinds = {kind: int((judged.kind[row] == k).sum()) for k, kind in enumerate(KINDS)}
    found = bool(judged.found[row])
    return {
        "found": found,
        "oks": float(judged.oks[row]) if found else None,
        **(kinds if found else dict.fromkeys(KINDS)),
    }


# ---------------------------------------------------------------------------------------------------- kept


def as_measured(scores: Sequence[Score], scope: str) -> tuple[tuple[Measurement, ...], tuple[ImageCounts, ...]]:
    """Scores as a record keeps them; `scope` names the protocol."""
    measurements = tuple(
        Measurement(key=s.key, value=s.value, unit=s.unit, scope=scope, n=s.n, interval=s.interval) for s in scores
    )
    return measurements, tuple(_tally(s) for s in scores if s.hits_per_image)


def matches_of(scores: Sequence[Score]) -> tuple[Matches, ...]:
    """What AP can be accumulated from again, as a record keeps it."""
    return tuple(Matches(key=s.key, packed=s.matches) for s in scores if s.matches)


def _tally(score: Score) -> ImageCounts:
    assert score.hits_per_image is not None
    assert score.counts_per_image is not None
    return ImageCounts(key=score.key, hits=score.hits_per_image, counts=score.counts_per_image)


def save_predictions(path: Path, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> str:
    """Store predictions as a compressed npz; returns the SHA-256 of the arrays (not of the file)."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, joints=joints_NJ2, scores=scores_NJ)
    write_atomically(path, buffer.getvalue())
    return hashlib.sha256(joints_NJ2.tobytes() + scores_NJ.tobytes()).hexdigest()


def drawn_rows(truth: PersonSet, joints_NJ2: np.ndarray) -> np.ndarray:
    """A fixed spread of test persons, then the worst by mean error relative to the box diagonal; rows [D]."""
    fixed = np.linspace(0, len(truth) - 1, min(DRAWN, len(truth))).round().astype(int)
    error = np.linalg.norm(joints_NJ2 - truth.joints, axis=-1) / np.linalg.norm(truth.box[:, 2:], axis=-1)[:, None]
    mean_error = np.where(truth.labelled, error, 0).sum(1) / np.maximum(truth.labelled.sum(1), 1)
    mean_error[fixed] = -1
    worst = np.argsort(-mean_error, kind="stable")[: min(WORST, len(truth) - len(fixed))]
    return np.concatenate((fixed, worst))


def samples(
    truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray, heatmaps: Mapping[int, Heatmap] | None = None
) -> tuple[Sample, ...]:
    """The persons to draw, with their heatmaps by row where there are any."""
    drawn = (sample_of(truth, joints_NJ2, scores_NJ, int(row)) for row in drawn_rows(truth, joints_NJ2))
    return tuple(s.model_copy(update={"heatmap": heatmaps[s.row]}) if heatmaps else s for s in drawn)


def heatmap_of(largest_HW: np.ndarray, to_image_23: np.ndarray, input_hw: tuple[int, int]) -> Heatmap:
    """A picture of final maps (their maximum over joints) and where it lies in the image.

    Heatmap pixel i is centred on input pixel i * stride, the convention of most codecs here; another's may be half a
    heatmap pixel off, which no reader of a picture sees. Crops are not rotated at test time.
    """
    (rows, columns), (height, width) = largest_HW.shape, input_hw
    corners_22 = np.array([[-0.5, -0.5], [columns - 0.5, rows - 0.5]]) * (width / columns, height / rows)
    (x, y), (right, bottom) = corners_22 @ to_image_23[:, :2].T + to_image_23[:, 2]
    peak = max(float(largest_HW.max()), 0.0)
    levels_HW = np.clip(largest_HW / (peak or 1.0), 0, 1) * 255
    return Heatmap(
        hw=(rows, columns),
        window=(round(x, 2), round(y, 2), round(right - x, 2), round(bottom - y, 2)),
        peak=round(peak, 4),
        pixels=base64.b64encode(zlib.compress(levels_HW.round().astype(np.uint8).tobytes(), 9)).decode(),
    )


def sample_of(truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray, row: int) -> Sample:
    """One person to draw."""

    def points(values: np.ndarray) -> tuple[tuple[float, float], ...]:
        return tuple((round(float(x), 2), round(float(y), 2)) for x, y in values)

    x, y, w, h = (round(float(v), 2) for v in truth.box[row])
    return Sample(
        row=row,
        image=int(truth.image[row]),
        box=(x, y, w, h),
        truth=points(np.where(truth.labelled[row][:, None], truth.joints[row], 0.0)),
        labelled=tuple(bool(v) for v in truth.labelled[row]),
        predicted=points(joints_NJ2[row]),
        scores=tuple(round(float(v), 3) for v in scores_NJ[row]),
    )
