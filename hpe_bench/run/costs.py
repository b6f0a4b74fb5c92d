"""Costs of variants: counted, and their forward pass timed in turns."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from hpe_bench.cost.count_cache import cached_count
from hpe_bench.declare import fingerprint
from hpe_bench.plan import COST_PROTOCOL, CostRun
from hpe_bench.records import provenance
from hpe_bench.records.schema import Identity, RunRecord
from hpe_bench.run.counting import cost_absences, cost_measurements
from hpe_bench.run.latency import Conditions, LatencyRun, TimedNetwork, default_threads
from hpe_bench.timing.interleave import Plan
from hpe_bench.timing.rows import EAGER
from hpe_bench.timing.sources import OfVariant

SECONDS, SHARE_S, ATTEMPTS = 1.0, 1.2, 2  # of timed calls a row, of its share in all; see `timing.interleave.Plan`
CHECKED_PERSONS = 1  # eager PyTorch is checked against itself, in another process


def run_counts(runs: Sequence[CostRun], progress: Callable[[float, float], None]) -> Iterator[RunRecord]:
    """Count every variant."""
    provenance.code_version()
    for at, run in enumerate(runs):
        started = datetime.now(UTC)
        progress(at, len(runs))
        variant = run.variant
        model = variant.builder(joints=variant.joints)
        cost = cached_count(variant.builder, variant.joints, variant.input_hw, model)
        yield RunRecord(
            id=run.id,
            identity=Identity(
                kind="cost",
                scale="cost",
                paper=run.paper,
                variant=variant.name,
                variant_hash=fingerprint(variant),
                protocol=COST_PROTOCOL,
                protocol_hash=fingerprint(COST_PROTOCOL),
                code=run.code,
            ),
            status="done",
            provenance=provenance.collect(started, "cpu", 1),
            measurements=tuple(cost_measurements(cost)),
            absent=tuple(cost_absences(cost)),
        )


def latency_run(run: CostRun) -> LatencyRun:
    """The latency of a variant that stands beside its counts (F20): eager, one image, at one thread and at all."""
    v = run.variant
    network = TimedNetwork(
        paper=run.paper,
        name=v.name,
        variant_hash=fingerprint(v),
        input_hw=v.input_hw,
        code=run.code,
        source=OfVariant(v, v.joints),
    )
    return LatencyRun(network, tuple(Conditions(EAGER, threads, 1, v.input_hw) for threads in default_threads()))


def plan() -> Plan:
    """How long the rows of a cost stage may take: a short share, since there are many."""
    return Plan(SECONDS, ATTEMPTS, builders=os.cpu_count() or 1, share_s=SHARE_S)
