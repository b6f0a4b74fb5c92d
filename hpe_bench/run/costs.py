"""Costs of variants: counted, and timed in turns."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from hpe_bench.cost import macs
from hpe_bench.declare import fingerprint
from hpe_bench.plan import COST_PROTOCOL, CostRun
from hpe_bench.records import provenance
from hpe_bench.records.schema import Identity, Measurement, RunRecord
from hpe_bench.timing import latency

Progress = Callable[[int, int], None]

LATENCY_SECONDS = 2.0  # of timed calls per model and thread count
CALLS_FOR_P99 = 100


def run_costs(runs: list[CostRun], progress: Progress) -> Iterator[RunRecord]:
    """Count every variant, then time them all in turns at one thread and at all cores (F20, M2, M8)."""
    started = datetime.now(UTC)
    provenance.code_version()
    thread_counts = sorted({1, os.cpu_count() or 1})
    ticks = itertools.count(1)
    total = len(runs) * latency.TICKS * len(thread_counts)
    networks = {(v.builder, v.joints): v.builder(joints=v.joints) for v in (run.variant for run in runs)}
    models = {run.id: networks[run.variant.builder, run.variant.joints] for run in runs}
    costs = {run.id: macs.count(models[run.id], run.variant.input_hw) for run in runs}
    subjects = {run.id: (models[run.id], run.variant.input_hw) for run in runs}
    timed = [
        latency.measure_interleaved(subjects, threads, LATENCY_SECONDS, lambda: progress(next(ticks), total))
        for threads in thread_counts
    ]
    for run in runs:
        counted = cost_measurements(costs[run.id])
        latencies = [m for group in timed for m in _latency_measurements(group[run.id])]
        yield RunRecord(
            id=run.id,
            identity=Identity(
                kind="cost",
                scale="cost",
                paper=run.paper,
                variant=run.variant.name,
                variant_hash=fingerprint(run.variant),
                protocol=COST_PROTOCOL,
                protocol_hash=fingerprint(COST_PROTOCOL),
                code=run.code,
            ),
            status="done",
            provenance=provenance.collect(started, "cpu", max(thread_counts)),
            measurements=(*counted, *latencies),
        )


def cost_measurements(cost: macs.Cost) -> Iterator[Measurement]:
    """A count as a record keeps it."""
    scope = macs.one_image(cost.input_hw)
    for key, value, unit in (
        ("params", cost.params, "count"),
        ("macs", cost.macs, "MAC"),
        ("macs/hrnet_counter", cost.macs_hrnet_counter, "MAC"),
        ("activations", cost.activations, "count"),
        ("weight_bytes", cost.weight_bytes, "byte"),
    ):
        yield Measurement(key=key, value=float(value), unit=unit, scope=scope, n=1)


def _latency_measurements(timed: latency.Latency) -> Iterator[Measurement]:
    threads = "1 thread" if timed.threads == 1 else f"{timed.threads} threads"
    scope = f"{timed.scope}, {threads}" + ("" if timed.settled else ", warm-up not settled")
    low, high = (round(v, 3) for v in timed.interval_ms)
    yield Measurement(
        key="latency/median", value=round(timed.median_ms, 3), unit="ms", scope=scope, n=timed.n, interval=(low, high)
    )
    for q in (90, 99) if timed.n >= CALLS_FOR_P99 else (90,):
        yield Measurement(
            key=f"latency/p{q}", value=round(timed.percentile_ms(q), 3), unit="ms", scope=scope, n=timed.n
        )
