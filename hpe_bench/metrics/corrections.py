"""What each kind of error costs: AP with the errors of that kind mended, and with everything mended so far.

The order is Ronchi and Perona's (ICCV 2017): joints are put right, then scores, then false positives and false
negatives are taken out. How far right a joint is put is ours, not checked against the paper's rule, and since the AP
that is won depends on it, it is an argument:

- at `similarity` 0.85, the margin, a joint lands where it just begins to be good, on the circle of ks 0.85 around its
  true place, in the direction it was found in. The circle uses k = 2 sigma as OKS does (F18: with sigma it is ks 0.96);
- at 1 it lands on its true place.

The margin is the least that mending can mean and cannot reach AP 100: a pose with all joints at the margin has OKS 0.85
and is wrong at 0.90 and 0.95.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.metrics.average_precision import evaluate
from hpe_bench.metrics.diagnosis import GOOD_KS, KINDS, Diagnosis
from hpe_bench.metrics.oks import oks, pairs_in_images, variances

Error = Literal["miss", "swap", "inversion", "jitter", "score", "false positive", "false negative"]
JOINT_ERRORS: tuple[Error, ...] = ("miss", "swap", "inversion", "jitter")
ERRORS: tuple[Error, ...] = (*JOINT_ERRORS, "score", "false positive", "false negative")  # the order of mending
INSIDE = 1 - 1e-9  # of the circle's radius, so that rounding leaves no joint outside


@dataclass(frozen=True)
class Gain:
    """AP in percent with one kind of error mended (`alone`), and with all kinds up to it mended (`so_far`).

    `errors`: joints, persons or predictions that were mended alone. None for scores: all predictions get another.
    """

    error: Error
    errors: int | None
    alone: float
    so_far: float


@dataclass(frozen=True)
class Gains:
    """`ap` in percent as predicted, what mending wins in the order of ERRORS, and where mended joints were put."""

    ap: float
    similarity: float
    gains: tuple[Gain, ...]

    def won(self, error: Error) -> float:
        """Points of AP that mending this kind of error alone wins; seldom below 0, see `gains`."""
        return next(gain.alone for gain in self.gains if gain.error == error) - self.ap


def gains(truth: PersonSet, predictions: Predictions, diagnosis: Diagnosis, similarity: float = GOOD_KS) -> Gains:
    """AP before and after mending each kind of error, joints put at this similarity, 0.85 .. 1.

    A gain can fall below 0 by a little: COCO matches greedily by score, so a prediction that was made better may take a
    person from another. ValueError where no person was found at all.
    """
    if not diagnosis.found.any():
        raise ValueError(
            "mending: no prediction is near any person (OKS 0.1), so there is nothing to mend; "
            "check that both are in pixels of the same images"
        )

    def ap(errors: Collection[Error]) -> float:
        return evaluate(*mended(truth, predictions, diagnosis, errors, similarity)).figures()["ap"]

    found = [
        Gain(error, _count(diagnosis, error), alone=ap((error,)), so_far=ap(ERRORS[: position + 1]))
        for position, error in enumerate(ERRORS)
    ]
    return Gains(ap(()), similarity, tuple(found))


def mended(
    truth: PersonSet,
    predictions: Predictions,
    diagnosis: Diagnosis,
    errors: Collection[Error],
    similarity: float = GOOD_KS,
) -> tuple[PersonSet, Predictions]:
    """The same task without these kinds of errors.

    Joints are moved as the module says; scores become optimal, the largest OKS with anybody to find; predictions that
    answer for nobody, and persons whom none answers for, are taken out.
    """
    if not GOOD_KS <= similarity <= 1:
        raise ValueError(f"mending: similarity {similarity}; give 0.85 (where good begins) to 1 (the true place)")
    joints = _mended_joints(truth, predictions, diagnosis, errors, similarity)
    better = replace(predictions, joints=joints)
    if "score" in errors:
        better = replace(better, score=optimal_scores(truth, better, diagnosis.wanted))
    if "false positive" in errors:
        # nor those beyond an image's 20 best, which would move up
        better = better.subset(np.flatnonzero(diagnosis.person >= 0))
    kept = truth.subset(np.flatnonzero(~diagnosis.false_negative)) if "false negative" in errors else truth
    return kept, replace(better, person=None)


def optimal_scores(truth: PersonSet, predictions: Predictions, wanted: np.ndarray) -> np.ndarray:
    """[D] the largest OKS of each prediction with a person to find on its image; 0 where there is none."""
    detection_P, person_P = pairs_in_images(predictions.image, truth.image)
    best_D = np.zeros(len(predictions))
    np.maximum.at(best_D, detection_P, oks(truth, predictions.joints, detection_P, person_P) * wanted[person_P])
    return best_D


def margin_px(area: np.ndarray, k2: np.ndarray, similarity: float) -> np.ndarray:
    """Distance in px at which a joint of a person of this area (px^2) has this ks: sqrt(-2 area k^2 ln ks)."""
    return np.sqrt(-2 * (area + np.spacing(1)) * k2 * np.log(similarity))


def _count(diagnosis: Diagnosis, error: Error) -> int | None:
    if error == "score":
        return None
    if error == "false positive":
        return int(diagnosis.false_positive.sum())
    if error == "false negative":
        return int(diagnosis.false_negative.sum())
    return int((diagnosis.kind == KINDS.index(error)).sum())


def _mended_joints(
    truth: PersonSet, predictions: Predictions, diagnosis: Diagnosis, errors: Collection[Error], similarity: float
) -> np.ndarray:
    """Joints [D,J,2] with the erring ones drawn to `similarity` along the line from their true places."""
    joints_DJ2 = predictions.joints.astype(float)
    wrong = [KINDS.index(error) for error in JOINT_ERRORS if error in errors]
    persons, js = np.nonzero(np.isin(diagnosis.kind, wrong))
    rows, true_E2 = diagnosis.detection[persons], truth.joints[persons, js]
    offset_E2 = joints_DJ2[rows, js] - true_E2
    reach_E = INSIDE * margin_px(truth.area[persons], variances(truth.skeleton.sigmas)[js], similarity)
    joints_DJ2[rows, js] = true_E2 + offset_E2 * (reach_E / np.linalg.norm(offset_E2, axis=1))[:, None]
    return joints_DJ2
