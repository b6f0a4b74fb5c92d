"""Latency records as a page shows them."""

from __future__ import annotations

from hpe_bench.records import RunRecord


def peak_of(record: RunRecord, threads: int) -> float | None:
    """The machine's peak in float32 GMAC/s: the faster of matrix product and convolution."""
    scope = "1 thread" if threads == 1 else f"{threads} threads"
    peaks = [m.value for m in record.measurements if m.key.startswith("peak/") and m.scope == scope]
    return max(peaks, default=None)
