"""The ten figures of COCO's keypoint evaluation from arrays, their intervals over images, and paired differences.

Equal to pycocotools' (tests hold the two together), many times faster. R replicates, I images, F figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.metrics.bootstrap import (
    LEVEL,
    Difference,
    Interval,
    Resampled,
    Spreads,
    image_weights,
    logit_interval,
    parts_of_mean,
)
from hpe_bench.metrics.matching import AREAS_PX2, Area, match, to_find
from hpe_bench.metrics.precision_recall import PrecisionRecall, curves
from hpe_bench.metrics.seed_variance import Spread

REPLICATES = 500
CELLS = 500_000  # weights x detections that are accumulated at a time


class RateFigure(NamedTuple):
    """One of the ten published figures: a mean over OKS thresholds (rows `at`) of precision or recall."""

    key: str
    area: Area
    table: Literal["precision", "recall"]
    at: slice = slice(None)  # of 0.50, 0.55 .. 0.95


FIGURES = (  # in the order of pycocotools' stats
    RateFigure("ap", "all", "precision"),
    RateFigure("ap50", "all", "precision", slice(0, 1)),
    RateFigure("ap75", "all", "precision", slice(5, 6)),
    RateFigure("ap_medium", "medium", "precision"),
    RateFigure("ap_large", "large", "precision"),
    RateFigure("ar", "all", "recall"),
    RateFigure("ar50", "all", "recall", slice(0, 1)),
    RateFigure("ar75", "all", "recall", slice(5, 6)),
    RateFigure("ar_medium", "medium", "recall"),
    RateFigure("ar_large", "large", "recall"),
)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions matched with the persons of a set, ready to be summarised under any weights of its images."""

    curves: Mapping[Area, PrecisionRecall]
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

    @property
    def detections(self) -> int:
        """Of the area range that counts most."""
        return max(len(part.image_D) for part in self.curves.values())

    def weighted_many(self, weights_WI: np.ndarray) -> np.ndarray:
        """`weighted` under many sets of whole weights at once, [W,F]."""
        tables = {area: part.means(weights_WI) for area, part in self.curves.items()}
        return np.stack([100 * tables[f.area][f.table][:, f.at].mean(axis=1) for f in FIGURES], axis=1)

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
    """95 % intervals over images of the figures that have a value; none for a single image.

    `pooled_intervals` of one training: nothing is said about another.
    """
    return pooled_intervals([evaluation], {}, replicates, seed) if evaluation.concerned_I.sum() > 1 else {}


def pooled_intervals(
    trainings: Sequence[Evaluation], spreads: Mapping[str, Spread], replicates: int = REPLICATES, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of the mean over trainings of every figure that all of them have, over images and seeds.

    Every training is accumulated again under each draw of the images. The variance is put together as in
    `bootstrap.pooled_interval`, from `spreads` where a figure has one; `logit_interval` makes the interval, as the
    percentile interval misses the truth too often where images are few (docs/statistics.md).
    """
    drawn = resample([trainings], replicates, seed)
    return {key: figure_interval(found, 0, spreads.get(key)) for key, found in drawn.items()}


def figure_interval(found: Resampled, model: int, spread: Spread | None) -> Interval:
    """The interval of one model's mean figure."""
    values_S, drawn_RS = found.values[model], found.drawn[model]
    half = parts_of_mean(values_S, drawn_RS, found.images, spread).half_width(1 - LEVEL)
    # A resample of I images varies by (I - 1) / I of what I new images would.
    return logit_interval(float(values_S.mean()), half * float(np.sqrt(found.images / (found.images - 1))))


def paired_difference(
    truth: PersonSet, a: Predictions, b: Predictions, replicates: int = REPLICATES, seed: int = 0
) -> dict[str, Difference]:
    """figure(a) - figure(b) in points on the same images, by figure: interval and two-sided p value.

    `seed_difference` of one training each: it covers other images, not models trained again.
    """
    return seed_difference([evaluate(truth, a)], [evaluate(truth, b)], {}, replicates, seed)


def seed_difference(
    a: Sequence[Evaluation],
    b: Sequence[Evaluation],
    spreads: Mapping[str, Spreads],
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Difference]:
    """Mean figure of a's trainings less that of b's, in points on the same images, over images and seeds.

    Images are resampled jointly (F25) and all trainings accumulated again under each draw; interval and p value as
    `bootstrap.paired_difference` has them, by pairs of seeds for figures without `spreads`; where the numbers of
    trainings differ, such figures are left out, and ValueError says so if none remains.
    """
    drawn = resample([a, b], replicates, seed)
    found = {key: table for key, table in drawn.items() if key in spreads or len(a) == len(b)}
    if not found:
        raise ValueError(f"paired difference: {len(a)} seeds against {len(b)}; give the same seeds for both arms")
    return {key: table.difference(0, 1, spreads.get(key)) for key, table in found.items()}


def resample(
    models: Sequence[Sequence[Evaluation]], replicates: int = REPLICATES, seed: int = 0
) -> dict[str, Resampled]:
    """Every figure that all trainings of all models have, under common draws of the images.

    Drawn from the images that hold a person, or a detection of any training: the others cannot change a figure.
    ValueError for trainings on different images, and where all lies on one image.
    """
    trainings = [evaluation for model in models for evaluation in model]
    if len({len(e.concerned_I) for e in trainings}) > 1:
        raise ValueError("interval: the trainings were scored on different images; compare on the same ones")
    concerned_I = np.any([e.concerned_I for e in trainings], axis=0)
    images = int(concerned_I.sum())
    if images < 2:
        raise ValueError("interval: all persons and detections lie on one image; it needs at least two")
    drawn_TRF = _accumulated(trainings, concerned_I, replicates, seed)
    figures = [evaluation.figures() for evaluation in trainings]
    ends = np.cumsum([len(model) for model in models])[:-1]
    return {
        f.key: Resampled(
            tuple(np.split(np.array([values[f.key] for values in figures]), ends)),
            tuple(np.split(drawn_TRF[:, :, i].T, ends, axis=1)),
            images,
        )
        for i, f in enumerate(FIGURES)
        if all(f.key in values for values in figures)
    }


def _accumulated(trainings: Sequence[Evaluation], concerned_I: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """The ten figures [T,R,F] of every training under common draws of the concerned images; NaN without persons."""
    position_I = np.flatnonzero(concerned_I)
    rows = max(1, CELLS // max(len(concerned_I), *(e.detections for e in trainings)))
    chunks = []
    for drawn in image_weights(len(position_I), replicates, seed):
        for start in range(0, len(drawn), rows):
            weights_WI = np.zeros((len(drawn[start : start + rows]), len(concerned_I)), dtype=np.int64)
            weights_WI[:, position_I] = drawn[start : start + rows]
            chunks.append(np.stack([e.weighted_many(weights_WI) for e in trainings]))
    return np.concatenate(chunks, axis=1)
