"""The ten figures of COCO's keypoint evaluation from arrays, their intervals over images, and paired differences.

Equal to pycocotools' (tests hold the two together), many times faster. R replicates, I images, F figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from scipy import special

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.metrics.bootstrap import (
    LEVEL,
    SMALLEST_P,
    Difference,
    Interval,
    image_weights,
    percentile_interval,
)
from hpe_bench.metrics.matching import AREAS_PX2, Area, match, to_find
from hpe_bench.metrics.precision_recall import Curves, curves

REPLICATES = 500


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


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions matched with the persons of a set, ready to be summarised under any weights of its images."""

    curves: Mapping[Area, Curves]
    concerned_I: np.ndarray  # bool: the image holds a person or a detection; the others cannot change a figure

    def figures(self) -> dict[str, float]:
        """The ten figures in percent, keys as in FIGURES; those of an area range without persons are left out."""
        values_F = self.weighted(self.concerned_I.astype(int))
        return {f.key: float(v) for f, v in zip(FIGURES, values_F, strict=True) if np.isfinite(v)}

    def persons(self) -> dict[str, int]:
        """Number of persons to find, by figure."""
        return {f.key: int(self.curves[f.area].persons_I[self.concerned_I].sum()) for f in FIGURES}

    def within(self, images_I: np.ndarray) -> Evaluation:
        """The same matches on the images [I] that are marked, as if there were no others."""
        return replace(self, concerned_I=self.concerned_I & images_I)

    def weighted(self, weights_I: np.ndarray) -> np.ndarray:
        """The ten figures [F] in percent with weighted images, NaN where no person is in the range."""
        tables = {area: part.accumulate(weights_I) for area, part in self.curves.items()}
        return np.array([np.nan if (t := tables[f.area]) is None else 100 * t[f.table][f.at].mean() for f in FIGURES])


def evaluate(truth: PersonSet, predictions: Predictions) -> Evaluation:
    """Match and count; all images of the set count, those without persons or without detections too.

    ValueError where something is missing for OKS.
    """
    check(truth, predictions)
    matching = match(truth, predictions)
    images = len(truth.images)
    parts = {
        area: curves(
            matching.matched_DAT[:, a],
            matching.ignored_DAT[:, a],
            matching.image_D,
            np.bincount(truth.image[matching.needed_NA[:, a]], minlength=images),
        )
        for a, area in enumerate(AREAS_PX2)
    }
    concerned_I = np.zeros(images, dtype=bool)
    concerned_I[truth.image] = concerned_I[predictions.image] = True
    return Evaluation(parts, concerned_I)


def check(truth: PersonSet, predictions: Predictions) -> None:
    """ValueError with what is missing for OKS, or with a detection that does not fit the set."""
    skeleton = truth.skeleton
    if not skeleton.sigmas:
        raise ValueError(f"ap: skeleton {skeleton.name!r} defines no OKS sigmas; score it with PCK or PCKh")
    _refuse(~np.isfinite(truth.area), "person {} has no area ({} such persons in all), which OKS is relative to")
    bare_N = ~truth.labelled.any(axis=1)
    _refuse(
        bare_N & ~np.isfinite(truth.box).all(axis=1),
        "person {} has neither a labelled joint nor a box ({} such persons in all); give it a box or leave it out",
    )
    if not to_find(truth).any():
        raise ValueError("ap: no person has a labelled joint to score; use a set with annotations")
    joints, images = predictions.joint_scores.shape[1], len(truth.images)
    if joints != len(skeleton.joints):
        raise ValueError(f"ap: detections have {joints} joints, {skeleton.name!r} has {len(skeleton.joints)}")
    _refuse(
        (predictions.image < 0) | (predictions.image >= images),
        f"detection {{}} ({{}} such detections in all) is on none of the set's {images} images, counted from 0",
    )


def _refuse(bad: np.ndarray, sentence: str) -> None:
    """ValueError if any is bad, with the first and how many there are filled in."""
    if bad.any():
        raise ValueError("ap: " + sentence.format(int(bad.argmax()), int(bad.sum())))


# ---------------------------------------------------------------------------------------------------- resampling


def intervals(evaluation: Evaluation, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Interval]:
    """Percentile bootstrap intervals over images of the figures that have a value; none for a single image.

    Drawn from the images with persons or detections: the others cannot change a figure.
    """
    if evaluation.concerned_I.sum() < 2:
        return {}
    drawn_RF = np.stack([evaluation.weighted(w) for w in _draws(evaluation.concerned_I, replicates, seed)])
    keys = evaluation.figures()
    return {f.key: percentile_interval(drawn_RF[:, i]) for i, f in enumerate(FIGURES) if f.key in keys}


def paired_difference(
    truth: PersonSet, a: Predictions, b: Predictions, replicates: int = REPLICATES, seed: int = 0
) -> dict[str, Difference]:
    """figure(a) - figure(b) in points on the same images, by figure: interval and two-sided p value.

    Images are resampled jointly (F25). The interval is value +- t(I-1) * standard deviation of the replicates'
    differences and the p value the level at which it just touches 0, as `bootstrap.paired_difference` has them for one
    seed: it covers other images, not models trained again.
    """
    found = [evaluate(truth, predictions) for predictions in (a, b)]
    concerned_I = found[0].concerned_I | found[1].concerned_I
    if concerned_I.sum() < 2:
        raise ValueError("paired difference: persons and detections lie on one image; compare on at least two")
    drawn_RF = np.stack([found[0].weighted(w) - found[1].weighted(w) for w in _draws(concerned_I, replicates, seed)])
    first, second = (evaluation.figures() for evaluation in found)
    freedom = int(concerned_I.sum()) - 1
    return {
        f.key: _difference(first[f.key] - second[f.key], drawn_RF[:, i], freedom)
        for i, f in enumerate(FIGURES)
        if f.key in first
    }


def _draws(concerned_I: np.ndarray, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Whole weights [I] of all images, one array per replicate; images that are not concerned weigh nothing."""
    for chunk in image_weights(int(concerned_I.sum()), replicates, seed):
        for drawn in chunk.astype(int):
            weights_I = np.zeros(len(concerned_I), dtype=int)
            weights_I[concerned_I] = drawn
            yield weights_I


def _difference(value: float, drawn_R: np.ndarray, freedom: int) -> Difference:
    """Student's t with the spread of the replicates that have a value."""
    spread = float(drawn_R[np.isfinite(drawn_R)].std(ddof=1))
    if spread == 0:
        return Difference(value, value, value, 1.0 if value == 0 else SMALLEST_P)
    half = float(special.stdtrit(freedom, (1 + LEVEL) / 2)) * spread
    p_value = 2 * float(special.stdtr(freedom, -abs(value) / spread))
    return Difference(value, value - half, value + half, max(p_value, SMALLEST_P))
