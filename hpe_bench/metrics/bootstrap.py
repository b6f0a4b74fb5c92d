"""95 % intervals over test images and seeds (F25): deterministic array code.

The image is the cluster that is resampled, never the person or the joint. A *tally* is a pair (hits, counts) of
whole numbers per image, its rate is 100 * sum(hits) / sum(counts). I images, R replicates, S seeds.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from hpe_bench.metrics.seed_variance import Spread

REPLICATES = 2000
LEVEL = 0.95
SMALLEST_P = 1e-9  # p values below this are given as this
CHUNK_CELLS = 4_000_000  # replicates x images whose weights are held in memory at a time
TALLIES_AT_A_TIME = 400  # that are resampled together
MANY_SEEDS = 50  # from which on sums over the trainings are kept instead of each one's figures: a `Crowd`

HitsAndCounts = tuple[ArrayLike, ArrayLike]
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


def rate_intervals(tallies: Sequence[HitsAndCounts], replicates: int = REPLICATES, seed: int = 0) -> list[Interval]:
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


def pooled_interval(
    tallies: Sequence[HitsAndCounts], replicates: int = REPLICATES, seed: int = 0, spread: Spread | None = None
) -> Interval:
    """Interval of the mean rate of several seeds, in points: covers other test images and other seeds.

    The seeds share their test images, so the two sources are crossed. Drawing three seeds with replacement would
    understate their spread (variance times 1 - 1/S, no Student's t), so the parts are added instead:

        half width^2 = t(I-1)^2 * V_images + t(f)^2 * V_seeds

    V_seeds = variance between seeds / S, which holds what seeds do and what seed and image do jointly: that of
    `spread` with its f degrees of freedom, else that between these S rates with f = S-1;
    V_images = mean covariance between two seeds' rates under common resampled images, which holds what images do to
    every seed alike, so nothing is counted twice. The sum of squared half widths (Howe, JASA 69, 1974, approximately)
    is exact where one part dominates. Never narrower than the image interval with the seeds kept. A single seed
    without a `spread` gives `rate_interval`: then nothing is said about other seeds. docs/statistics.md has what the
    rule covers in simulations.
    """
    return pooled_intervals([tallies], replicates, seed, [spread])[0]


def pooled_intervals(
    models: Sequence[Sequence[HitsAndCounts]],
    replicates: int = REPLICATES,
    seed: int = 0,
    spreads: Sequence[Spread | None] | None = None,
) -> list[Interval]:
    """`pooled_interval` of several models scored on the same images, resampled once for many of them."""
    known = [None] * len(models) if spreads is None else list(spreads)
    found: list[Interval] = []
    first = 0
    for end in range(1, len(models) + 1):
        if end == len(models) or sum(map(len, models[first:end])) >= TALLIES_AT_A_TIME:
            some = Resampled.of(models[first:end], replicates, seed)
            found += [some.interval(i, spread) for i, spread in enumerate(known[first:end])]
            first = end
    return found


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


Spreads = tuple[Spread, Spread]


def paired_difference(
    a: Sequence[HitsAndCounts],
    b: Sequence[HitsAndCounts],
    replicates: int = REPLICATES,
    seed: int = 0,
    spreads: Spreads | None = None,
) -> Difference:
    """Mean over seeds of rate(a) less that of rate(b), in points; one tally per training, on the same images.

    Images are resampled jointly: all trainings get the same weights. The p value is the level at which the interval
    just touches 0.

    Without `spreads` seeds are paired: position s of both lists is one pair, and the interval is built as in
    `pooled_interval` from the differences per seed; three seeds mean t = 4.3, the price of knowing their spread badly.
    With one seed it covers other images only. With the `spreads` of both arms their trainings are independent (a seed
    gives two models nothing in common), may be of any number, and V_seeds is the sum of both arms' parts.
    """
    _same_images([*a, *b])
    return Resampled.of([a, b], replicates, seed).difference(0, 1, spreads)


@dataclass(frozen=True, eq=False)
class Crowd:
    """Many trainings of one model under common resampled images: sums over them, from which all variances follow.

    `total_R` holds the sum of their figures under each of R draws (NaN where one has none), `own` the sum of each
    one's variance over the draws, in points^2.
    """

    total_R: np.ndarray
    own: float
    size: int
    draw: Callable[[], Iterator[np.ndarray]]  # the figures themselves once more, a chunk [R,s] of the trainings each

    @staticmethod
    def of(trainings: Sequence[HitsAndCounts], replicates: int, seed: int) -> Crowd:
        """Of tallies of the same images."""
        chunks = [trainings[k : k + TALLIES_AT_A_TIME] for k in range(0, len(trainings), TALLIES_AT_A_TIME)]
        return Crowd.summed(lambda: (_resampled_rates(chunk, replicates, seed) for chunk in chunks))

    @staticmethod
    def summed(draw: Callable[[], Iterator[np.ndarray]]) -> Crowd:
        """Of figures under draws, chunk by chunk."""
        total_R, own, size = np.zeros(1), 0.0, 0
        for drawn_RS in draw():
            total_R = total_R + drawn_RS.sum(axis=1)
            own += float(_whole(drawn_RS).var(axis=0, ddof=1).sum())
            size += drawn_RS.shape[1]
        return Crowd(total_R, own, size, draw)


Drawn = np.ndarray | Crowd


def _crowd_of(trainings: Sequence[HitsAndCounts], replicates: int, seed: int) -> Crowd:
    """`Crowd.of`, once for what a table, a figure and a verdict ask for."""
    if all(isinstance(part, Hashable) for tally in trainings for part in tally):
        return _known_crowd(tuple(trainings), replicates, seed)
    return Crowd.of(trainings, replicates, seed)


_known_crowd = lru_cache(maxsize=1024)(Crowd.of)


def _crowd(drawn: Drawn) -> Crowd:
    """The sums of figures under draws."""
    return drawn if isinstance(drawn, Crowd) else Crowd.summed(lambda: iter([drawn]))


def _less(a: Drawn, b: Drawn) -> Drawn:
    """Training by training."""
    if isinstance(a, Crowd) and isinstance(b, Crowd):
        ours, theirs = a.draw, b.draw
        return Crowd.summed(lambda: (x_RS - y_RS for x_RS, y_RS in zip(ours(), theirs(), strict=True)))
    assert isinstance(a, np.ndarray)
    assert isinstance(b, np.ndarray)
    return a - b


def _whole(drawn_RS: np.ndarray) -> np.ndarray:
    """The draws under which every training has a figure."""
    return drawn_RS[np.isfinite(drawn_RS).all(axis=1)]


@dataclass(frozen=True, eq=False)
class Resampled:
    """Models of one or more trainings each, scored on the same images, under common resampled images.

    `values` holds every model's figures [S] in percent, `drawn` the same under R draws of the images [R,S], or what
    is left of them where S is large.
    """

    values: tuple[np.ndarray, ...]
    drawn: tuple[Drawn, ...]
    images: int

    @staticmethod
    def of(models: Sequence[Sequence[HitsAndCounts]], replicates: int = REPLICATES, seed: int = 0) -> Resampled:
        """Rates of tallies; ValueError where a model's trainings count different joints."""
        for trainings in models:
            _same_images(trainings)
        few = [tally for trainings in models if len(trainings) < MANY_SEEDS for tally in trainings]
        rates_RT = _resampled_rates(few, replicates, seed) if few else np.empty((replicates, 0))
        drawn: list[Drawn] = []
        first = 0
        for trainings in models:
            if len(trainings) < MANY_SEEDS:
                drawn.append(rates_RT[:, first : first + len(trainings)])
                first += len(trainings)
            else:
                drawn.append(_crowd_of(trainings, replicates, seed))
        values = tuple(np.array([rate(*tally) for tally in trainings]) for trainings in models)
        return Resampled(values, tuple(drawn), len(np.asarray(models[0][0][0])))

    def each(self, i: int) -> np.ndarray:
        """A model's figures under every draw, training by training [R,S]; ValueError where only sums are left."""
        drawn = self.drawn[i]
        if isinstance(drawn, Crowd):
            raise ValueError(f"{drawn.size} trainings: only sums over them are held")
        return drawn

    def interval(self, i: int, spread: Spread | None = None) -> Interval:
        """As `pooled_interval`."""
        values_S, drawn = self.values[i], self.drawn[i]
        if isinstance(drawn, np.ndarray) and len(values_S) == 1 and spread is None:
            return percentile_interval(drawn[:, 0])
        mean = float(values_S.mean())
        width = parts_of_mean(values_S, drawn, self.images, spread).half_width(1 - LEVEL)
        return max(mean - width, 0.0), min(mean + width, 100.0)

    def difference(self, i: int, j: int, spreads: Spreads | None = None) -> Difference:
        """Model i less model j, as `paired_difference`."""
        return difference_of(self.values[i], self.values[j], self.drawn[i], self.drawn[j], self.images, spreads)

    def every_difference(self, spreads: Sequence[Spread | None]) -> dict[tuple[int, int], Difference]:
        """Of every two models i < j. A pair of which one model has no spread is paired by seed."""
        pairs = combinations(range(len(self.values)), 2)
        return {(i, j): self.difference(i, j, both(spreads[i], spreads[j])) for i, j in pairs}


def both(ours: Spread | None, theirs: Spread | None) -> Spreads | None:
    """The spreads of two arms, if both are known."""
    return None if ours is None or theirs is None else (ours, theirs)


def difference_of(
    a_S: np.ndarray,
    b_S: np.ndarray,
    a_RS: Drawn,
    b_RS: Drawn,
    images: int,
    spreads: Spreads | None = None,
) -> Difference:
    """`paired_difference` of figures by training and of the same figures under common resampled images [R,S]."""
    if spreads is None:
        if len(a_S) != len(b_S):
            raise ValueError(f"paired difference: {len(a_S)} seeds against {len(b_S)}; give the same seeds for both")
        parts = parts_of_mean(a_S - b_S, _less(a_RS, b_RS), images)
    else:
        parts = _parts_of_difference(a_RS, b_RS, images, spreads)
    value = float(a_S.mean() - b_S.mean())
    width = parts.half_width(1 - LEVEL)
    return Difference(value, value - width, value + width, _touching(parts.half_width, abs(value)))


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean of a few independent values, such as one per seed; needs two."""
    if len(values) < 2:
        raise ValueError(f"interval of a mean: {len(values)} value(s); give at least two")
    half = special.stdtrit(len(values) - 1, (1 + LEVEL) / 2) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def mean_p_value(values: Sequence[float]) -> float:
    """The two-sided p value of Student's t test that the mean of a few independent values is 0; needs two."""
    if len(values) < 2:
        raise ValueError(f"p value of a mean: {len(values)} value(s); give at least two")
    spread = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    if spread == 0:
        return 1.0 if np.mean(values) == 0 else SMALLEST_P
    p = 2 * float(special.stdtr(len(values) - 1, -abs(float(np.mean(values))) / spread))
    return max(p, SMALLEST_P)


def next_value_interval(values: Sequence[float], spread: Spread | None = None) -> Interval:
    """95 % interval for one more training's figure, after those of a few: mean +- t * sd * sqrt(1 + 1/S).

    The variance is that of `spread`, else that of the values, of which there must be two then. What a paper prints of
    one training is such a figure where its test images are ours.
    """
    if spread is None:
        if len(values) < 2:
            raise ValueError(f"interval for one more training: {len(values)} value(s); give at least two")
        spread = Spread(float(np.var(values, ddof=1)), len(values) - 1)
    quantile = special.stdtrit(spread.freedom, (1 + LEVEL) / 2)
    half = float(quantile * np.sqrt(spread.variance * (1 + 1 / len(values))))
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def logit_interval(value: float, half: float) -> Interval:
    """value +- half in percent, built on the scale of log(value / (100 - value)) so that it stays within 0 and 100.

    To first order the half width on that scale is half / (value * (1 - value / 100)). A figure at either end has no
    such scale; there the ends are cut off.
    """
    share = value / 100
    if not 0 < share < 1:
        return max(value - half, 0.0), min(value + half, 100.0)
    middle, width = special.logit(share), half / 100 / (share * (1 - share))
    low, high = 100 * special.expit([middle - width, middle + width])
    return float(low), float(high)


def rate(hits: ArrayLike, counts: ArrayLike) -> float:
    """100 * sum(hits) / sum(counts)."""
    return 100.0 * _total(hits) / _total(counts)


def _total(values: ArrayLike) -> float:
    """Of whole numbers; those of a record are summed without an array in between."""
    return float(sum(values) if isinstance(values, tuple | array) else np.sum(values))


def _same_images(tallies: Sequence[HitsAndCounts]) -> None:
    """ValueError unless all tallies count the same joints in the same images."""
    for _, counts in tallies[1:]:
        if counts is not tallies[0][1] and not np.array_equal(counts, tallies[0][1]):
            raise ValueError("interval: the tallies count different joints; compare runs on the same test images only")


def _resampled_rates(tallies: Sequence[HitsAndCounts], replicates: int, seed: int) -> np.ndarray:
    """Rates [R,T] of T tallies over the same images, one image resample per row; NaN where no joint was drawn."""
    if not tallies:
        raise ValueError("interval: no tally was given")
    hits_IT = np.stack([np.asarray(hits, dtype=float) for hits, _ in tallies], axis=1)
    alike = all(counts is tallies[0][1] for _, counts in tallies)  # as those of records are that were read
    counted = tallies[:1] if alike else tallies
    counts_IT = np.stack([np.asarray(counts, dtype=float) for _, counts in counted], axis=1)
    if len(counts_IT) < 2 or not counts_IT.sum(axis=0).all():
        joints = int(counts_IT.sum(axis=0).min())
        raise ValueError(f"interval: {len(counts_IT)} image(s) with {joints} joints; score at least two images")
    table = np.concatenate((hits_IT, counts_IT), axis=1)
    sums = np.concatenate([weights @ table for weights in image_weights(len(table), replicates, seed)])
    with np.errstate(invalid="ignore"):
        return 100.0 * sums[:, : len(tallies)] / sums[:, len(tallies) :]


@dataclass(frozen=True)
class Parts:
    """The variance of a figure by source, in points^2, and what each is known with."""

    kept: float  # of other images, with these very trainings
    common: float  # of other images: what they do to every training alike
    between: float  # of other seeds
    images: int
    freedom: float  # of `between`

    def half_width(self, p: float) -> float:
        """Half width in points of the interval that leaves out p in both tails together."""
        t_images, t_seeds = -special.stdtrit([self.images - 1, self.freedom], p / 2)  # two-sided quantiles of t
        both = t_images**2 * max(self.common, 0.0) + t_seeds**2 * self.between
        return float(np.sqrt(max(both, t_images**2 * self.kept)))


def parts_of_mean(values_S: np.ndarray, drawn: Drawn, images: int, spread: Spread | None = None) -> Parts:
    """The parts of the mean of `values_S`, with the same values under resampled images."""
    seeds = len(values_S)
    between = Spread(float(values_S.var(ddof=1)) if seeds > 1 else 0.0, max(seeds - 1, 1)) if spread is None else spread
    if isinstance(drawn, np.ndarray) and seeds < MANY_SEEDS:
        covariance_SS = _covariance(drawn)
        kept, common = float(covariance_SS.mean()), _off_diagonal(covariance_SS)
    else:
        kept, common = _of_crowd(_crowd(drawn))
    return Parts(kept, common, between.variance / seeds, images, between.freedom)


def _of_crowd(crowd: Crowd) -> tuple[float, float]:
    """Variance of the mean, and mean covariance of two trainings (of a single one its variance): as the means of the
    matrix of covariances and of what is off its diagonal.
    """
    seeds, total_R = crowd.size, crowd.total_R[np.isfinite(crowd.total_R)]
    total = float(total_R.var(ddof=1))
    return total / seeds**2, (total - crowd.own) / (seeds * (seeds - 1)) if seeds > 1 else crowd.own


def _parts_of_difference(a_RS: Drawn, b_RS: Drawn, images: int, spreads: Spreads) -> Parts:
    """The parts of mean(a) - mean(b) where every training stands alone and the spreads of both arms are known.

    Degrees of freedom after Satterthwaite (Biometrics Bulletin 2, 1946), yet no more than the better known arm has:
    both spreads may lean on one and the same estimate.
    """
    if isinstance(a_RS, np.ndarray) and isinstance(b_RS, np.ndarray):
        a, b = a_RS.shape[1], b_RS.shape[1]
        covariance = _covariance(np.concatenate((a_RS, b_RS), axis=1))
        ours, theirs, crossed = covariance[:a, :a], covariance[a:, a:], covariance[:a, a:]
        kept = float(ours.mean() + theirs.mean() - 2 * crossed.mean())
        common = _off_diagonal(ours) + _off_diagonal(theirs) - 2 * float(crossed.mean())
    else:
        a, b, kept, common = _crossed(_crowd(a_RS), _crowd(b_RS))
    terms = [spread.variance / seeds for spread, seeds in zip(spreads, (a, b), strict=True)]
    known = [spread.freedom for spread in spreads]
    weights = sum(term**2 / freedom for term, freedom in zip(terms, known, strict=True))
    freedom = min(sum(terms) ** 2 / weights, max(known)) if weights > 0 else max(known)
    return Parts(kept, common, sum(terms), images, freedom)


def _crossed(ours: Crowd, theirs: Crowd) -> tuple[int, int, float, float]:
    """Both sizes, and of the difference of the means: variance, and what images do to all trainings of both alike."""
    means_R2 = np.stack((ours.total_R / ours.size, theirs.total_R / theirs.size), axis=1)
    covariance = _covariance(means_R2)
    crossed = float(covariance[0, 1])
    kept = float(covariance[0, 0] + covariance[1, 1] - 2 * crossed)
    return ours.size, theirs.size, kept, _of_crowd(ours)[1] + _of_crowd(theirs)[1] - 2 * crossed


def _covariance(resampled_RS: np.ndarray) -> np.ndarray:
    """Covariance [S,S] over the replicates that have a value everywhere."""
    return np.atleast_2d(np.cov(_whole(resampled_RS), rowvar=False))


def _off_diagonal(covariance_SS: np.ndarray) -> float:
    """Mean covariance of two different trainings; of a single one its variance."""
    seeds = len(covariance_SS)
    if seeds == 1:
        return float(covariance_SS[0, 0])
    return float((covariance_SS.sum() - covariance_SS.trace()) / (seeds * (seeds - 1)))


def _touching(half: Callable[[float], float], distance: float) -> float:
    """The p at which a half width that shrinks with p equals `distance`; 1 and SMALLEST_P at the ends."""
    if distance == 0:
        return 1.0
    if half(SMALLEST_P) <= distance:
        return SMALLEST_P
    from scipy import optimize  # slow to import, and of no use to a training

    return float(optimize.brentq(lambda p: half(p) - distance, SMALLEST_P, 1.0))
