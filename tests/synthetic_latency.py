"""Plausible latency records: eager, two other runtimes, one refused by the check, one skipped, one failed."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpe_bench.declare import Variant, fingerprint
from hpe_bench.records.schema import Absent, Identity, Measurement, RunRecord, Timing
from tests.synthetic_records import digest, provenance

ROUNDS, CALLS = 10, 12


def timing(ms: float, **changes: Any) -> Timing:
    """A row that counts; the same disturbance in every row's rounds, so that ratios of medians are almost exact."""
    rounds = np.random.default_rng(0).normal(1, 0.05, (ROUNDS, 1))
    calls = np.random.default_rng(1).normal(1, 0.002, (ROUNDS, CALLS))
    fields: dict[str, Any] = {
        "runtime": "eager",
        "version": "2.13.0",
        "input_hw": (256, 192),
        "batch": 1,
        "threads": 1,
        "rounds_ms": tuple(tuple(float(v) for v in row) for row in ms * rounds * calls),
        "warmup_calls": 6,
        "deviation": 1e-6,
        "tolerance": 1e-3,
        "peak_rss_bytes": 600 * 2**20,
    }
    return Timing(**{**fields, **changes})


def without_times(runtime: str, status: str, reason: str, threads: int = 1) -> Timing:
    nothing = {"rounds_ms": (), "deviation": None, "tolerance": None, "peak_rss_bytes": None}
    return timing(1.0, runtime=runtime, status=status, reason=reason, threads=threads, **nothing)


def latency(
    slug: str, variant: Variant, ms: float, gmac: float, hrnet: float, extra: tuple[Timing, ...] = (), **changes: Any
) -> RunRecord:
    """`ms` is eager at one thread; OpenVINO takes half of it, two threads 0.6, and the refused bf16 0.4."""
    hw = variant.input_hw
    rows = [
        row
        for threads, factor in ((1, 1.0), (2, 0.6))
        for row in (
            timing(ms * factor, threads=threads, input_hw=hw),
            timing(ms * factor * 0.8, runtime="onnxruntime", version="1.31.1", threads=threads, input_hw=hw),
            timing(ms * factor * 0.5, runtime="openvino", version="2026.4.1", threads=threads, input_hw=hw),
            timing(ms * 0.4 * factor, runtime="bf16", precision="bf16", deviation=0.5, threads=threads, input_hw=hw),
            without_times("compile", "failed", "the compiler <broke> after 180 s", threads),
            without_times("cuda", "skipped", "this machine has no CUDA device", threads),
        )
    ]
    scope = f"one image of {hw[0]}x{hw[1]}"
    measurements = (
        Measurement(key="macs", value=gmac * 1e9, unit="MAC", scope=scope, n=1),
        Measurement(key="macs/hrnet_counter", value=hrnet * 2**30, unit="MAC", scope=scope, n=1),
        Measurement(key="peak/matmul", value=100.0, unit="GMAC/s", scope="1 thread", n=50),
        Measurement(key="peak/conv", value=90.0, unit="GMAC/s", scope="1 thread", n=50),
        Measurement(key="peak/conv", value=180.0, unit="GMAC/s", scope="2 threads", n=50),
    )
    return RunRecord(
        **{
            "id": digest("latency", slug, variant.name, ms)[:16],
            "identity": Identity(
                kind="latency",
                scale="cost",
                paper=slug,
                variant=variant.name,
                variant_hash=fingerprint(variant),
                protocol="latency-v1",
                protocol_hash="l0",
            ),
            "status": "done",
            "provenance": provenance(),
            "measurements": measurements,
            "timings": (*rows, *extra),
            "absent": (Absent(key="energy", reason="no counter can be read"),),
            **changes,
        }
    )
