"""What a row of a latency record says: median, interval, spread, ratios between rows, and whether it counts."""

from __future__ import annotations

import numpy as np

from hpe_bench.records.schema import RunRecord, Timing
from hpe_bench.timing.interleave import spread
from hpe_bench.timing.latency import RESAMPLES, Latency

CALLS_FOR_P99 = 100


def latency_of(timing: Timing) -> Latency:
    """The times of a row that is done, with their median, interval and percentiles."""
    return Latency(timing.input_hw, timing.threads, timing.rounds_ms, timing.warmup_calls, timing.settled)


def spread_of(timing: Timing) -> float:
    """Interquartile range over median."""
    return spread(timing.rounds_ms)


def counts(timing: Timing) -> bool:
    """Whether a row may be compared: done, and its maps are those of eager float32."""
    if timing.status != "done" or timing.deviation is None or timing.tolerance is None:
        return False
    return timing.deviation <= timing.tolerance


def alike(a: Timing, b: Timing) -> bool:
    """Both done, under the same conditions but for the runtime."""
    conditions = [(t.status, t.scope, t.input_hw, t.batch, t.threads) for t in (a, b)]
    return conditions[0] == conditions[1] and a.status == "done"


def images_per_second(timing: Timing) -> float:
    """At the median."""
    return 1e3 * timing.batch / latency_of(timing).median_ms


def gmacs_per_second(timing: Timing, macs: float) -> float:
    """Achieved GMAC/s of a network of `macs` multiply-adds an image, at the median."""
    return images_per_second(timing) * macs / 1e9


def peak_of(record: RunRecord, threads: int) -> float | None:
    """The machine's peak in float32 GMAC/s: the faster of matrix product and convolution."""
    peaks = [m.value for m in record.measurements if m.key.startswith("peak/") and m.conditions.threads == threads]
    return max(peaks, default=None)


def ratio(timing: Timing, to: Timing) -> tuple[float, tuple[float, float]]:
    """Median over another row's median, with a 95 % interval; below 1 is faster.

    Rows that were timed in the same turns are resampled together, round by round, so that what hit both cancels.
    """
    value = latency_of(timing).median_ms / latency_of(to).median_ms
    rng = np.random.default_rng(0)
    ours, theirs = np.asarray(timing.rounds_ms), np.asarray(to.rounds_ms)
    picks = rng.integers(len(ours), size=(RESAMPLES, len(ours)))
    others = picks if len(theirs) == len(ours) else rng.integers(len(theirs), size=(RESAMPLES, len(theirs)))
    medians = [np.median(r[p].reshape(RESAMPLES, -1), axis=1) for r, p in ((ours, picks), (theirs, others))]
    low, high = np.percentile(medians[0] / medians[1], (2.5, 97.5))
    return value, (float(low), float(high))
