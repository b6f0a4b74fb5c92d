"""Data with a known truth: tallies of trainings, matched detections of trainings, times of networks.

I images, K settings, S seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from hpe_bench.metrics.average_precision import Evaluation
from hpe_bench.metrics.precision_recall import curves
from hpe_bench.timing.statistics import Rounds

JOINTS = 17  # that an image's tally counts
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of OKS
Tallies = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class RateWorld:
    """Settings trained with several seeds and scored on the same images by a rate.

    The chance of a hit is truth + what the image does to everybody + what it does to the setting + what the seed does.
    All of it but the seed's part is uniform, so that no chance leaves [0, 1] and the truth is exactly the mean.
    Calibrated on pocket trainings: about 1.1 points of half width over 710 images, seeds of 0.4 to 1 point.
    """

    images: int = 710
    difficulty: float = 0.25  # half the range of what an image does to every setting
    taste: float = 0.08  # half the range of what it does to one setting more than to others

    def draw(self, rng: np.random.Generator, truth_K: ArrayLike, seed_sd_K: ArrayLike, seeds: int) -> list[Tallies]:
        """Tallies of every setting and seed; truth and spread of seeds in points."""
        image_I = rng.uniform(-self.difficulty, self.difficulty, self.images)
        counts_I = np.full(self.images, JOINTS)
        found = []
        for truth, sd in zip(np.asarray(truth_K), np.asarray(seed_sd_K), strict=True):
            taste_I = rng.uniform(-self.taste, self.taste, self.images)
            shift_S = rng.normal(0, sd / 100, seeds)
            chance_SI = truth / 100 + image_I + taste_I + shift_S[:, None]
            hits_SI = rng.binomial(JOINTS, np.clip(chance_SI, 0, 1))
            found.append([(hits_I, counts_I) for hits_I in hits_SI])
        return found


def seed_spreads(kind: str, rng: np.random.Generator, settings: int) -> np.ndarray:
    """Standard deviations between seeds in points, as the settings of a protocol may have them.

    "alike": all the same. "scattered": variances of an inverse chi-squared law of 10 degrees of freedom, about what the
    pocket protocols show. "three unsteady": the last three have three times the spread of the others.
    """
    if kind == "alike":
        return np.full(settings, 0.7)
    if kind == "scattered":
        return 0.7 * np.sqrt(8 / rng.chisquare(10, settings))
    if kind == "three unsteady":
        return np.where(np.arange(settings) < settings - 3, 0.6, 1.8)
    raise ValueError(f"no kind of spread {kind!r}")


@dataclass(frozen=True)
class DetectionWorld:
    """Persons found by several trainings of one network, with false alarms: what AP is computed from.

    A detection's OKS is the logistic function of level + the image's ease + the person's + the training's luck with it.
    """

    level: float = 1.6
    false_alarms: float = 0.3  # an image
    seed_sd: float = 0.0  # of the level between seeds

    def draw(self, rng: np.random.Generator, images: int, seeds: int = 1) -> list[Evaluation]:
        """Trainings scored on the same images."""
        persons_I = 1 + rng.poisson(0.8, images)
        image_N = np.repeat(np.arange(images), persons_I)
        ease_N = rng.normal(0, 0.8, images)[image_N] + rng.normal(0, 0.8, len(image_N))
        return [self._training(rng, image_N, persons_I, ease_N) for _ in range(seeds)]

    def _training(
        self, rng: np.random.Generator, image_N: np.ndarray, persons_I: np.ndarray, ease_N: np.ndarray
    ) -> Evaluation:
        latent_N = self.level + rng.normal(0, self.seed_sd) + ease_N + rng.normal(0, 0.6, len(ease_N))
        alarms_I = rng.poisson(self.false_alarms, len(persons_I))
        image_D = np.concatenate((image_N, np.repeat(np.arange(len(persons_I)), alarms_I)))
        score_D = np.concatenate(
            (latent_N + rng.normal(0, 1, len(latent_N)), self.level - 1.5 + rng.normal(0, 1.2, alarms_I.sum()))
        )
        oks_D = np.concatenate((special.expit(latent_N), np.zeros(alarms_I.sum())))
        order_D = np.argsort(-score_D, kind="stable")
        matched_DT = oks_D[order_D, None] >= THRESHOLDS
        every = curves(matched_DT, np.zeros_like(matched_DT), image_D[order_D], persons_I)
        none = curves(matched_DT[:0], matched_DT[:0], image_D[:0], np.zeros_like(persons_I))
        return Evaluation({"all": every, "medium": none, "large": none}, np.ones(len(persons_I), dtype=bool))


def timings(rng: np.random.Generator, ratio: float, rounds: int, calls: int, steady: float) -> tuple[Rounds, Rounds]:
    """Two networks timed in the same turns of one timing run; the true ratio of their medians is `ratio`.

    A turn slows both by the same factor and each by one of its own (`steady`, standard deviation of its logarithm);
    calls scatter to the slow side.
    """
    both = rng.normal(0, 0.05, rounds)

    def row(median_ms: float) -> Rounds:
        turn = both + rng.normal(0, steady, rounds)
        ms = median_ms * np.exp(turn[:, None] + rng.gamma(1, 0.03, (rounds, calls)))
        return tuple(tuple(float(v) for v in round_ms) for round_ms in ms)

    return row(10 * ratio), row(10.0)
