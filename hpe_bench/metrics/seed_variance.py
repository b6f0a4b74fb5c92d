"""How much another seed moves a figure, estimated from every setting of a protocol together.

Three seeds know their own variance with 2 degrees of freedom, which makes an interval of t = 4.3 standard errors. Many
settings (model and recipe) trained under one protocol and one budget know it together far better, as far as they are
alike. How alike is estimated as well, after Smyth (Statistical Applications in Genetics and Molecular Biology 3, 2004,
article 3): the settings' true variances are taken to scatter as a scaled inverse chi-squared variable, whose degrees of
freedom d0 are large where they hardly differ, and every setting's own variance is drawn towards the common one with a
weight of d0 against its own degrees of freedom. A setting that is too unsteady to be one of them keeps its own.

K settings; a setting's variance is that between its seeds on the same test images, in points^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

SETTINGS = 5  # fewer with two seeds or more know too little together
OUTLIER = 0.05  # chance under which a variance is too large for the others' distribution
LEAST = 1e-4  # variances below this part of the mean are taken as this: a chance tie has no logarithm


@dataclass(frozen=True)
class Spread:
    """The variance of one figure between seeds, in points^2, and the degrees of freedom it is known with."""

    variance: float
    freedom: float


@dataclass(frozen=True)
class SeedVariance:
    """What the settings of a protocol say together.

    `common` is the centre of the settings' variances, `alike` how many degrees of freedom it is worth beside a
    setting's own (infinite where the settings differ no more than chance lets them), `freedom` of all settings
    together, and `homogeneity_p` that of Bartlett's test of equal variances.
    """

    common: float
    alike: float
    freedom: float
    settings: int
    homogeneity_p: float

    def of(self, values: Sequence[float]) -> Spread:
        """The spread that holds for one setting, given its figures by seed; one seed has the common variance alone."""
        own = len(values) - 1
        known = min(self.alike, self.freedom)
        if own < 1:
            return Spread(self.common, known)
        variance = float(np.var(values, ddof=1))
        if special.fdtrc(own, known, variance / self.common) < OUTLIER:
            return Spread(variance, own)
        if np.isinf(self.alike):
            return Spread(self.common, self.freedom)
        drawn = (self.alike * self.common + own * variance) / (self.alike + own)
        return Spread(drawn, min(self.alike + own, self.freedom))


def fit(settings: Sequence[Sequence[float]]) -> SeedVariance | None:
    """The common seed variance of some settings, each given by its figures by seed, in points.

    None where fewer than `SETTINGS` of them have two seeds, or where no seed moves anything.
    """
    many = [np.asarray(values, dtype=float) for values in settings if len(values) > 1]
    if len(many) < SETTINGS:
        return None
    freedom_K = np.array([len(values) - 1.0 for values in many])
    variance_K = np.array([values.var(ddof=1) for values in many])
    mean = float((freedom_K * variance_K).sum() / freedom_K.sum())
    if mean <= 0:
        return None
    variance_K = np.maximum(variance_K, LEAST * mean)
    log_K = np.log(variance_K) - special.digamma(freedom_K / 2) + np.log(freedom_K / 2)
    excess = float(log_K.var(ddof=1) - special.polygamma(1, freedom_K / 2).mean())
    total, p = float(freedom_K.sum()), bartlett(variance_K, freedom_K)
    if excess <= 0:
        return SeedVariance(mean, np.inf, total, len(many), p)
    alike = 2 * _trigamma_inverse(excess)
    common = float(np.exp(log_K.mean() + special.digamma(alike / 2) - np.log(alike / 2)))
    return SeedVariance(common, alike, total, len(many), p)


def bartlett(variance_K: np.ndarray, freedom_K: np.ndarray) -> float:
    """The p value of Bartlett's test (Proceedings of the Royal Society A 160, 1937) that all variances are equal."""
    total, settings = freedom_K.sum(), len(variance_K)
    mean = (freedom_K * variance_K).sum() / total
    statistic = total * np.log(mean) - (freedom_K * np.log(variance_K)).sum()
    scale = 1 + ((1 / freedom_K).sum() - 1 / total) / (3 * (settings - 1))
    return float(special.chdtrc(settings - 1, statistic / scale))


def _trigamma_inverse(value: float) -> float:
    """The x > 0 with trigamma(x) = value: Newton's method on 1 / trigamma, which is convex and nearly straight."""
    x = 0.5 + 1 / value
    for _ in range(50):
        now = float(special.polygamma(1, x))
        step = now * (1 - now / value) / float(special.polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x
