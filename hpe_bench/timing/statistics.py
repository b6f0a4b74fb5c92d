"""What timed rows say: median, interval, spread, ratios between rows, and whether they count.

A timing run is to latency what a seed is to accuracy. Single calls of one run agree to a few percent; the same row
timed on another day may differ by a quarter. So the time of a row is the geometric mean of its timing runs' medians,
and its interval is Student's t on their logarithms, whose scatter holds that of the calls too: what it covers is
another day. Of two runs it is wide, as two days say little of a third. The interval of one run alone resamples its
rounds of calls (neighbouring calls are not independent), and covers that run's calls and no other day.

K timing runs, R rounds, C calls; B resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy import special

from hpe_bench.metrics.bootstrap import LEVEL
from hpe_bench.records.schema import RunRecord, Timing

RESAMPLES = 2000
CALLS_FOR_P99 = 100
Rounds = tuple[tuple[float, ...], ...]


def spread(rounds_ms: Sequence[Sequence[float]]) -> float:
    """Interquartile range over median of all calls."""
    low, middle, high = np.percentile([ms for calls in rounds_ms for ms in calls], (25, 50, 75))
    return float((high - low) / middle)


@dataclass(frozen=True)
class Latency:
    """Times of single calls in ms: timing run by timing run, round by round, in the order they were taken."""

    runs_ms: tuple[Rounds, ...]

    @cached_property
    def samples_ms(self) -> tuple[float, ...]:
        """All calls."""
        return tuple(ms for run in self.runs_ms for calls in run for ms in calls)

    @property
    def n(self) -> int:
        return len(self.samples_ms)

    @property
    def median_ms(self) -> float:
        """The geometric mean of the timing runs' medians; of one run its median."""
        medians = [median_of(run) for run in self.runs_ms]
        return medians[0] if len(medians) == 1 else float(np.exp(np.mean(np.log(medians))))

    def percentile_ms(self, q: float) -> float:
        """The time that `q` percent of the calls stay below, e.g. 90 or 99."""
        return float(np.percentile(self.samples_ms, q))

    @property
    def interval_ms(self) -> tuple[float, float]:
        """95 % interval of the median: Student's t over timing runs, or of one run its rounds resampled."""
        return _interval(self.runs_ms)

    @property
    def spread(self) -> float:
        """Interquartile range over median, of the timing run where it is widest."""
        return max(spread(run) for run in self.runs_ms)


@lru_cache(maxsize=4096)  # a page shows an interval in tables, plots and sentences
def _interval(runs_ms: tuple[Rounds, ...]) -> tuple[float, float]:
    if len(runs_ms) == 1:
        return _central(_resampled_medians(runs_ms[0], np.random.default_rng(0)))
    return _student(np.log([median_of(run) for run in runs_ms]))


def _student(*sides: np.ndarray) -> tuple[float, float]:
    """95 % interval of exp(mean of the first's logarithms - mean of the second's, if there is one: Welch's then)."""
    means, squares, freedoms = zip(*((np.mean(x), np.var(x, ddof=1) / len(x), len(x) - 1) for x in sides), strict=True)
    error = float(np.sum(squares))
    freedom = error**2 / sum(v**2 / f for v, f in zip(squares, freedoms, strict=True)) if error else min(freedoms)
    half = special.stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(error)
    middle = means[0] - sum(means[1:])
    return float(np.exp(middle - half)), float(np.exp(middle + half))


def _resampled_medians(run: Rounds, rng: np.random.Generator, picks_BR: np.ndarray | None = None) -> np.ndarray:
    """Medians [B] of one run, its rounds resampled."""
    rounds_RC = np.asarray(run)
    if picks_BR is None:
        picks_BR = rng.integers(len(rounds_RC), size=(RESAMPLES, len(rounds_RC)))
    medians_B: np.ndarray = np.median(rounds_RC[picks_BR].reshape(RESAMPLES, -1), axis=1)
    return medians_B


def _central(values_B: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values_B, (2.5, 97.5))
    return float(low), float(high)


# ---------------------------------------------------------------------------------------------------- one timing run


def latency_of(timing: Timing) -> Latency:
    """The times of one timing run's row that is done."""
    return Latency((timing.rounds_ms,))


def counts(timing: Timing) -> bool:
    """Whether a row may be compared: done, and its maps are those of eager float32."""
    if timing.status != "done" or timing.deviation is None or timing.tolerance is None:
        return False
    return timing.deviation <= timing.tolerance


def images_per_second(timing: Timing) -> float:
    """Of one timing run's row that is done, at the median."""
    return 1e3 * timing.batch / latency_of(timing).median_ms


def alike(a: Timing, b: Timing) -> bool:
    """Both done, under the same conditions but for the runtime."""
    conditions = [(t.status, t.scope, t.input_hw, t.batch, t.threads) for t in (a, b)]
    return conditions[0] == conditions[1] and a.status == "done"


def peak_of(record: RunRecord, threads: int) -> float | None:
    """The processor's peak in float32 GMAC/s: the faster of matrix product and convolution."""
    peaks = [m.value for m in record.measurements if m.key.startswith("peak/") and m.conditions.threads == threads]
    return max(peaks, default=None)


# ---------------------------------------------------------------------------------------------------- ratios


@dataclass(frozen=True)
class Ratio:
    """One time over another; below 1 is faster. `paired`: timed in turns with each other, in so many timing runs."""

    value: float
    interval: tuple[float, float]
    paired: bool
    runs: int


def ratio(ours: Sequence[tuple[str, Rounds]], theirs: Sequence[tuple[str, Rounds]]) -> Ratio:
    """The ratio of two rows' medians with a 95 % interval; each is a list of timing runs, by name, and their calls.

    Timing runs that both have were timed in turns: within each the ratio is taken, and of several the interval is
    Student's t on its logarithms; of one alone its rounds are resampled together, so that what hit both cancels.
    Without a common run it is Welch's t on the two rows' logarithms, or, where one has a single run, that of calls.
    """
    others = dict(theirs)
    shared = tuple((rounds, others[name]) for name, rounds in ours if name in others)
    if shared:
        return _paired(shared)
    return _unpaired(tuple(r for _, r in ours), tuple(r for _, r in theirs))


@lru_cache(maxsize=4096)
def _paired(runs: tuple[tuple[Rounds, Rounds], ...]) -> Ratio:
    logs = np.log([median_of(ours) / median_of(theirs) for ours, theirs in runs])
    interval = _student(logs) if len(runs) > 1 else _in_turns(*runs[0])
    return Ratio(float(np.exp(np.mean(logs))), interval, True, len(runs))


def _in_turns(ours: Rounds, theirs: Rounds) -> tuple[float, float]:
    """Of the ratio within one timing run: the rounds of both are resampled together, if they have as many."""
    rng = np.random.default_rng(0)
    picks_BR = rng.integers(len(ours), size=(RESAMPLES, len(ours)))
    above_B = _resampled_medians(ours, rng, picks_BR)
    return _central(above_B / _resampled_medians(theirs, rng, picks_BR if len(theirs) == len(ours) else None))


@lru_cache(maxsize=4096)
def _unpaired(ours: tuple[Rounds, ...], theirs: tuple[Rounds, ...]) -> Ratio:
    value = Latency(ours).median_ms / Latency(theirs).median_ms
    fewest = min(len(ours), len(theirs))
    if fewest > 1:
        interval = _student(*(np.log([median_of(run) for run in runs]) for runs in (ours, theirs)))
    else:
        rng = np.random.default_rng(0)
        above, below = (
            np.exp(np.mean([np.log(_resampled_medians(run, rng)) for run in runs], 0)) for runs in (ours, theirs)
        )
        interval = _central(above / below)
    return Ratio(value, interval, False, fewest)


def median_of(run: Rounds) -> float:
    """The median of one timing run's calls, in ms."""
    return float(np.median([ms for calls in run for ms in calls]))
