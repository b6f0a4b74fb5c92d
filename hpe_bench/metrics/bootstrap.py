"""95 % intervals over test images and seeds (F25): deterministic array code.

The image is the cluster that is resampled, never the person or the joint. A *tally* is a pair (hits, counts) of
whole numbers per image, its rate is 100 * sum(hits) / sum(counts). I images, R replicates, S seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

REPLICATES = 2000
LEVEL = 0.95
SMALLEST_P = 1e-9  # p values below this are given as this
CHUNK_CELLS = 4_000_000  # replicates x images whose weights are held in memory at a time
TALLIES_AT_A_TIME = 400  # that are resampled together
MANY_SEEDS = 50  # from which on the variances are summed without the matrix of covariances

Tally = tuple[ArrayLike, ArrayLike]
Interval = tuple[float, float]


def image_weights(images: int, replicates: int = REPLICATES, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each image is drawn: chunks [r,I] of `replicates` multinomial rows (float64, each row sums to I)."""
    for drawn in _drawn(images, replicates, seed):
        yield drawn.astype(float)


@lru_cache(maxsize=4)  # a page asks for the same draws hundreds of times
def _drawn(images: int, replicates: int, seed: int) -> tuple[np.ndarray, ...]:
    """The chunks of `image_weights` as uint16."""
    rng = np.random.default_rng(seed)
    chunk = max(1, CHUNK_CELLS // images)
    chunks = []
    for start in range(0, replicates, chunk):
        rows = min(chunk, replicates - start)
        drawn = rng.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * images)
        chunks.append(counts.reshape(rows, images).astype(np.uint16))
    return tuple(chunks)


def rate_interval(hits: ArrayLike, counts: ArrayLike, replicates: int = REPLICATES, seed: int = 0) -> Interval:
    """Percentile bootstrap over images of a rate, in points.

    Covers the choice of test images and nothing else: a model trained again gives another rate. It has no width where
    every image is right or every image is wrong.
    """
    return rate_intervals([(hits, counts)], replicates, seed)[0]


def rate_intervals(tallies: Sequence[Tally], replicates: int = REPLICATES, seed: int = 0) -> list[Interval]:
    """`rate_interval` of several tallies of the same images (such as joint groups), resampled once for all."""
    rates_RT = _resampled_rates(tallies, replicates, seed)
    return [percentile_interval(rates_R) for rates_R in rates_RT.T]


def percentile_interval(values: np.ndarray) -> Interval:
    """Central 95 % of the finite replicates; ValueError where there are none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        raise ValueError("interval: no bootstrap replicate has a value; score more images")
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def pooled_interval(tallies: Sequence[Tally], replicates: int = REPLICATES, seed: int = 0) -> Interval:
    """Interval of the mean rate of several seeds, in points: covers other test images and other seeds.

    The seeds share their test images, so the two sources are crossed. Drawing three seeds with replacement would
    understate their spread (variance times 1 - 1/S, no Student's t), so the parts are added instead:

        half width^2 = t(I-1)^2 * V_images + t(S-1)^2 * V_seeds

    V_seeds = variance between the seeds' rates / S, which holds what seeds do and what seed and image do jointly;
    V_images = mean covariance between two seeds' rates under common resampled images, which holds what images do to
    every seed alike, so nothing is counted twice. The sum of squared half widths (Howe, JASA 69, 1974, approximately)
    is exact where one part dominates; one t with Satterthwaite's degrees of freedom covered only 89-95 % in our
    simulations with two or three seeds, this rule 95-99 %. Never narrower than the image interval with the seeds
    kept. A single seed gives `rate_interval`: then nothing is said about other seeds.
    """
    return pooled_intervals([tallies], replicates, seed)[0]


def pooled_intervals(models: Sequence[Sequence[Tally]], replicates: int = REPLICATES, seed: int = 0) -> list[Interval]:
    """`pooled_interval` of several models scored on the same images, resampled once for many of them."""
    found: list[Interval] = []
    some: list[Sequence[Tally]] = []
    for k, tallies in enumerate(models):
        some.append(tallies)
        if k + 1 == len(models) or sum(map(len, some)) >= TALLIES_AT_A_TIME:
            rates_RT = _resampled_rates([tally for own in some for tally in own], replicates, seed)
            ends = np.cumsum([len(own) for own in some])[:-1]
            found += [_pooled(own, rates) for own, rates in zip(some, np.split(rates_RT, ends, 1), strict=True)]
            some = []
    return found


def _pooled(tallies: Sequence[Tally], resampled_RS: np.ndarray) -> Interval:
    if len(tallies) == 1:
        return percentile_interval(resampled_RS[:, 0])
    _same_images(tallies)
    rates = np.array([rate(*tally) for tally in tallies])
    mean, width = float(rates.mean()), _half_width(rates, resampled_RS, len(np.asarray(tallies[0][0])))(1 - LEVEL)
    return max(mean - width, 0.0), min(mean + width, 100.0)


@dataclass(frozen=True)
class Difference:
    """A difference of mean rates in points with its 95 % interval and the two-sided p value of no difference."""

    value: float
    low: float
    high: float
    p_value: float

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired_difference(
    a: Sequence[Tally], b: Sequence[Tally], replicates: int = REPLICATES, seed: int = 0
) -> Difference:
    """Mean over seeds of rate(a) - rate(b), in points; one tally per seed and arm, on the same images.

    Images are resampled jointly (both arms and all seeds get the same weights) and seeds in pairs: position s of both
    lists is one pair. With several seeds the interval covers other images and other seeds, built as in
    `pooled_interval` from the differences per seed; three seeds mean t = 4.3, the price of knowing their spread badly.
    With one seed it covers other images only. The p value is the level at which the interval just touches 0.
    """
    if len(a) != len(b):
        raise ValueError(f"paired difference: {len(a)} seeds against {len(b)}; give the same seeds for both arms")
    _same_images([*a, *b])
    rates = _resampled_rates([*a, *b], replicates, seed)
    values = np.array([rate(*x) - rate(*y) for x, y in zip(a, b, strict=True)])
    half = _half_width(values, rates[:, : len(a)] - rates[:, len(a) :], len(np.asarray(a[0][0])))
    mean, width = float(values.mean()), half(1 - LEVEL)
    return Difference(mean, mean - width, mean + width, _touching(half, abs(mean)))


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean of a few independent values, such as one per seed; needs two."""
    if len(values) < 2:
        raise ValueError(f"interval of a mean: {len(values)} value(s); give at least two")
    half = special.stdtrit(len(values) - 1, (1 + LEVEL) / 2) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def next_value_interval(values: Sequence[float]) -> Interval:
    """Where a further value would lie with a probability of 95 %, by Student's t; needs two."""
    low, high = mean_interval(values)
    half = (high - low) / 2 * np.sqrt(len(values) + 1)  # s * sqrt(1 + 1/n) in place of s / sqrt(n)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def rate(hits: ArrayLike, counts: ArrayLike) -> float:
    """100 * sum(hits) / sum(counts)."""
    return 100.0 * float(np.sum(hits)) / float(np.sum(counts))


def _same_images(tallies: Sequence[Tally]) -> None:
    """ValueError unless all tallies count the same joints in the same images."""
    for _, counts in tallies[1:]:
        if not np.array_equal(counts, tallies[0][1]):
            raise ValueError("interval: the tallies count different joints; compare runs on the same test images only")


def _resampled_rates(tallies: Sequence[Tally], replicates: int, seed: int) -> np.ndarray:
    """Rates [R,T] of T tallies over the same images, one image resample per row; NaN where no joint was drawn."""
    if not tallies:
        raise ValueError("interval: no tally was given")
    hits_IT, counts_IT = (np.stack([np.asarray(t[part], dtype=float) for t in tallies], axis=1) for part in (0, 1))
    if len(counts_IT) < 2 or not counts_IT.sum(axis=0).all():
        joints = int(counts_IT.sum(axis=0).min())
        raise ValueError(f"interval: {len(counts_IT)} image(s) with {joints} joints; score at least two images")
    table = np.concatenate((hits_IT, counts_IT), axis=1)
    sums = np.concatenate([weights @ table for weights in image_weights(len(table), replicates, seed)])
    with np.errstate(invalid="ignore"):
        return 100.0 * sums[:, : len(tallies)] / sums[:, len(tallies) :]


def _half_width(values_S: np.ndarray, resampled_RS: np.ndarray, images: int) -> Callable[[float], float]:
    """Half width of the interval of the mean of `values_S` under resampled images and other seeds, by its level p."""
    seeds = len(values_S)
    drawn_RS = resampled_RS[np.isfinite(resampled_RS).all(axis=1)]
    if seeds < MANY_SEEDS:
        covariance_SS = np.atleast_2d(np.cov(drawn_RS, rowvar=False))
        total, own = float(covariance_SS.sum()), float(covariance_SS.trace())
    else:
        total, own = float(drawn_RS.sum(axis=1).var(ddof=1)), float(drawn_RS.var(axis=0, ddof=1).sum())
    kept = total / seeds**2  # variance of the mean over seeds when these very seeds are kept
    common = (total - own) / (seeds * (seeds - 1)) if seeds > 1 else kept
    between = float(values_S.var(ddof=1)) / seeds if seeds > 1 else 0.0

    def half(p: float) -> float:
        t_images, t_seeds = -special.stdtrit([images - 1, max(seeds - 1, 1)], p / 2)  # two-sided quantiles of t
        both = t_images**2 * max(common, 0.0) + t_seeds**2 * between
        return float(np.sqrt(max(both, t_images**2 * kept)))

    return half


def _touching(half: Callable[[float], float], distance: float) -> float:
    """The p at which a half width that shrinks with p equals `distance`; 1 and SMALLEST_P at the ends."""
    if distance == 0:
        return 1.0
    if half(SMALLEST_P) <= distance:
        return SMALLEST_P
    from scipy import optimize  # slow to import, and of no use to a training

    return float(optimize.brentq(lambda p: half(p) - distance, SMALLEST_P, 1.0))
