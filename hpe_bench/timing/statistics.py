"""What timed rows say: median, interval, spread, ratios between rows, and whether they count.

A timing run is to latency what a seed is to accuracy. Single calls of one run agree to a few percent; the same row
timed on another day may differ by a quarter. So the time of a row is the mean of its timing runs' medians, and its
interval resamples runs, and within each the rounds of calls (neighbouring calls are not independent): of two or three
runs it reaches from the least to the greatest, of one alone it covers that run's calls and no other day.

K timing runs, R rounds, C calls; B resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

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
        """The mean of the timing runs' medians; of one run its median."""
        return float(np.mean([np.median([ms for calls in run for ms in calls]) for run in self.runs_ms]))

    def percentile_ms(self, q: float) -> float:
        """The time that `q` percent of the calls stay below, e.g. 90 or 99."""
        return float(np.percentile(self.samples_ms, q))

    @property
    def interval_ms(self) -> tuple[float, float]:
        """95 % bootstrap interval of the median over timing runs and rounds."""
        return _interval(self.runs_ms)

    @property
    def spread(self) -> float:
        """Interquartile range over median, of the timing run where it is widest."""
        return max(spread(run) for run in self.runs_ms)


@lru_cache(maxsize=4096)  # a page shows an interval in tables, plots and sentences
def _interval(runs_ms: tuple[Rounds, ...]) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    medians_KB = np.stack([_resampled_medians(run, rng) for run in runs_ms])
    return _central(_over_runs(medians_KB, rng))


def _resampled_medians(run: Rounds, rng: np.random.Generator, picks_BR: np.ndarray | None = None) -> np.ndarray:
    """Medians [B] of one run, its rounds resampled."""
    rounds_RC = np.asarray(run)
    if picks_BR is None:
        picks_BR = rng.integers(len(rounds_RC), size=(RESAMPLES, len(rounds_RC)))
    medians_B: np.ndarray = np.median(rounds_RC[picks_BR].reshape(RESAMPLES, -1), axis=1)
    return medians_B


def _over_runs(values_KB: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means [B] over as many timing runs, drawn with replacement, as there are."""
    runs = len(values_KB)
    if runs == 1:
        return values_KB[0]
    means_B: np.ndarray = values_KB[rng.integers(runs, size=(RESAMPLES, runs)), np.arange(RESAMPLES)[:, None]].mean(1)
    return means_B


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

    Timing runs that both have were timed in turns: within each the ratio is taken, its rounds resampled together so
    that what hit both cancels; over runs it is the geometric mean. Without such a run the times are resampled apart.
    """
    others = dict(theirs)
    shared = tuple((rounds, others[name]) for name, rounds in ours if name in others)
    if shared:
        return _paired(shared)
    return _unpaired(tuple(r for _, r in ours), tuple(r for _, r in theirs))


@lru_cache(maxsize=4096)
def _paired(runs: tuple[tuple[Rounds, Rounds], ...]) -> Ratio:
    rng = np.random.default_rng(0)
    logs, resampled = [], []
    for ours, theirs in runs:
        logs.append(np.log(latency(ours) / latency(theirs)))
        picks_BR = rng.integers(len(ours), size=(RESAMPLES, len(ours)))
        others_BR = picks_BR if len(theirs) == len(ours) else None
        above, below = _resampled_medians(ours, rng, picks_BR), _resampled_medians(theirs, rng, others_BR)
        resampled.append(np.log(above / below))
    interval = _central(np.exp(_over_runs(np.stack(resampled), rng)))
    return Ratio(float(np.exp(np.mean(logs))), interval, True, len(runs))


@lru_cache(maxsize=4096)
def _unpaired(ours: tuple[Rounds, ...], theirs: tuple[Rounds, ...]) -> Ratio:
    rng = np.random.default_rng(0)
    above, below = (
        _over_runs(np.stack([_resampled_medians(run, rng) for run in runs]), rng) for runs in (ours, theirs)
    )
    value = Latency(ours).median_ms / Latency(theirs).median_ms
    return Ratio(value, _central(above / below), False, min(len(ours), len(theirs)))


def latency(run: Rounds) -> float:
    """The median of one timing run's calls, in ms."""
    return float(np.median([ms for calls in run for ms in calls]))
