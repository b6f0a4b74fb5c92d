"""Calibration: is a joint with score 0.8 right 80 % of the time, and do scores tell right from wrong?

A joint is right where it is within the headline's threshold; under OKS, where its own similarity
exp(-d^2 / (2 s^2 k^2)) is at least 0.5. Scores are taken for probabilities, those outside of 0 to 1 for the nearer end.

- Reliability: labelled joints in 15 bins of equal width by score; the expected calibration error is the mean distance
  of a bin's share of right joints from its mean score, weighted by its joints (Guo et al., ICML 2017, 1706.04599).
- Risk and coverage: the share of wrong joints among the best-scored ones; the area under it is least for scores that
  put all right joints before all wrong ones (Geifman and El-Yaniv, NeurIPS 2017, arXiv:1705.08500).
- Temperature: scores p become sigmoid(logit(p) / T), T being what makes the scores of one half of the images likeliest;
  the error before and after is that of the other half.

N persons, J joints, K joints that count, I images, B bins. Errors and shares are in percent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from hpe_bench.data.persons import PersonSet
from hpe_bench.declare import Metric
from hpe_bench.metrics.bootstrap import Interval, image_weights, percentile_interval
from hpe_bench.metrics.oks import variances
from hpe_bench.metrics.oks_ap import OksAP
from hpe_bench.metrics.rates import DistanceRate, check_predictions

BINS = 15
COVERAGES = tuple(range(5, 101, 5))  # percent, at which the risk is kept
SIMILAR = 0.5  # from which on a joint is right under OKS
CLOSEST = 1e-6  # that a score comes to 0 or 1 when its logit is taken
LOG_T = (-4.0, 4.0)  # where the logarithm of the temperature is looked for


@dataclass(frozen=True, eq=False)
class Judged:
    """Joints one by one: `right` and `score` [N,J], which of them count, and the image of each person [N]."""

    key: str
    right_NJ: np.ndarray
    score_NJ: np.ndarray
    counted_NJ: np.ndarray
    image_N: np.ndarray


def judged(metric: Metric, truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> Judged | None:
    """What a metric says of every labelled joint; None where it judges no single joints, or scores are all alike."""
    if isinstance(metric, DistanceRate):
        key, right_NJ = metric.key, metric.hits(truth, joints_NJ2)
    elif isinstance(metric, OksAP) and truth.skeleton.sigmas and np.isfinite(truth.area).all():
        key, right_NJ = f"similarity@{SIMILAR:g}", _similar(truth, joints_NJ2)
    else:
        return None
    counted = truth.labelled
    if truth.crowd is not None:
        counted = counted & ~truth.crowd[:, None]
    if not counted.any() or np.ptp(scores_NJ[counted]) == 0 or not np.isfinite(scores_NJ[counted]).all():
        return None
    return Judged(key, right_NJ, np.clip(scores_NJ.astype(float), 0, 1), counted, truth.image)


def _similar(truth: PersonSet, joints_NJ2: np.ndarray) -> np.ndarray:
    check_predictions(truth, joints_NJ2)
    squared_NJ = ((joints_NJ2.astype(float) - truth.joints) ** 2).sum(-1)
    spread_NJ = 2 * (truth.area[:, None] + np.spacing(1)) * variances(truth.skeleton.sigmas)
    return np.exp(-squared_NJ / spread_NJ) >= SIMILAR


# ---------------------------------------------------------------------------------------------------- reliability


@dataclass(frozen=True)
class Bin:
    """Joints of like scores: how many, their mean score and how many percent of them are right."""

    n: int
    score: float
    right: float


def bins(score_K: np.ndarray, right_K: np.ndarray) -> tuple[Bin, ...]:
    """The bins that hold a joint, by rising score."""
    of_K = _bin_of(score_K)
    found = []
    for b in np.unique(of_K):
        here = of_K == b
        found.append(Bin(int(here.sum()), 100 * float(score_K[here].mean()), 100 * float(right_K[here].mean())))
    return tuple(found)


def _bin_of(score_K: np.ndarray) -> np.ndarray:
    return np.minimum((score_K * BINS).astype(int), BINS - 1)


def expected_error(score_K: np.ndarray, right_K: np.ndarray) -> float:
    """The expected calibration error in percent."""
    found = bins(score_K, right_K)
    return sum(b.n * abs(b.score - b.right) for b in found) / len(score_K)


def error_interval(found: Judged) -> Interval | None:
    """95 % percentiles of the expected calibration error over resampled images; None of a single image.

    An error is never below 0, so that resampling raises it a little: the interval is no test of calibration.
    """
    position_N, images = _positions(found)
    if images < 2:
        return None
    row_K, _ = np.nonzero(found.counted_NJ)
    cell_K = position_N[row_K] * BINS + _bin_of(found.score_NJ[found.counted_NJ])
    gap_K = found.score_NJ[found.counted_NJ] - found.right_NJ[found.counted_NJ]
    gap_IB = np.bincount(cell_K, weights=gap_K, minlength=images * BINS).reshape(images, BINS)
    n_I = np.bincount(position_N[row_K], minlength=images)
    drawn = [np.abs(w @ gap_IB).sum(axis=1) / np.maximum(w @ n_I, 1) for w in image_weights(images)]
    return percentile_interval(100 * np.concatenate(drawn))


def _positions(found: Judged) -> tuple[np.ndarray, int]:
    names, position_N = np.unique(found.image_N, return_inverse=True)
    return position_N, len(names)


# ---------------------------------------------------------------------------------------------------- risk and coverage


def risks(score_K: np.ndarray, right_K: np.ndarray) -> np.ndarray:
    """The percentage of wrong joints among the k best-scored ones, k = 1 .. K; of equal scores all come as one."""
    order = np.argsort(-score_K, kind="stable")
    ranked, wrong_K = score_K[order], np.cumsum(~right_K[order])
    last_K = np.searchsorted(-ranked, -ranked, side="right") - 1  # where the joints of this very score end
    first_K = np.searchsorted(-ranked, -ranked, side="left")
    before_K = np.where(first_K > 0, wrong_K[first_K - 1], 0)
    place_K = np.arange(1, len(ranked) + 1)
    shared_K = before_K + (wrong_K[last_K] - before_K) * (place_K - first_K) / (last_K + 1 - first_K)
    return 100 * shared_K / place_K


def risk_coverage(score_K: np.ndarray, right_K: np.ndarray) -> tuple[tuple[int, float], ...]:
    """(coverage, risk) in percent at a few coverages."""
    risk_K = risks(score_K, right_K)
    return tuple((c, float(risk_K[max(int(np.ceil(c / 100 * len(risk_K))), 1) - 1])) for c in COVERAGES)


def area_under_risk(score_K: np.ndarray, right_K: np.ndarray) -> float:
    """The mean risk over all coverages, in percent."""
    return float(risks(score_K, right_K).mean())


# ---------------------------------------------------------------------------------------------------- temperature


@dataclass(frozen=True)
class Temperature:
    """T from one half of the images, and the error of the other half's n joints with and without it, in percent."""

    value: float
    before: float
    after: float
    n: int


def tempered(score: np.ndarray, temperature: float) -> np.ndarray:
    """sigmoid(logit(score) / T)."""
    found: np.ndarray = special.expit(special.logit(np.clip(score, CLOSEST, 1 - CLOSEST)) / temperature)
    return found


def temperature(found: Judged) -> Temperature | None:
    """Fitted on the images of even position, judged on the others; None of fewer than two images with joints."""
    from scipy import optimize  # slow to import

    position_N, _ = _positions(found)
    even_NJ = (position_N % 2 == 0)[:, None] & found.counted_NJ
    odd_NJ = found.counted_NJ & ~even_NJ
    if not even_NJ.any() or not odd_NJ.any():
        return None
    logit = special.logit(np.clip(found.score_NJ[even_NJ], CLOSEST, 1 - CLOSEST))
    sign = np.where(found.right_NJ[even_NJ], 1.0, -1.0)

    def surprise(log_t: float) -> float:
        return float(-special.log_expit(sign * logit / np.exp(log_t)).mean())

    best = float(np.exp(optimize.minimize_scalar(surprise, bounds=LOG_T, method="bounded").x))
    score, right = found.score_NJ[odd_NJ], found.right_NJ[odd_NJ]
    after = expected_error(tempered(score, best), right)
    return Temperature(best, expected_error(score, right), after, int(odd_NJ.sum()))


# ---------------------------------------------------------------------------------------------------- parts


def parts(found: Judged, truth: PersonSet) -> dict[str, np.ndarray]:
    """The joints [N,J] that count, as a whole (""), by visibility and by joint; parts without joints are left out."""
    every = {"": found.counted_NJ}
    if (truth.labelled & ~truth.visible).any():
        every |= {"visible": found.counted_NJ & truth.visible, "hidden": found.counted_NJ & ~truth.visible}
    for j, name in enumerate(truth.skeleton.joints):
        every[f"joint/{name}"] = found.counted_NJ & (np.arange(len(truth.skeleton.joints)) == j)
    return {name: kept for name, kept in every.items() if kept.any()}
