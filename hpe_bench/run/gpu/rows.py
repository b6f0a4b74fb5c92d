"""Latency records of the networks that are trained, in every CUDA runtime, through the usual path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hpe_bench import catalog
from hpe_bench.codehash import code_digest
from hpe_bench.declare import Variant, fingerprint, replace
from hpe_bench.records.schema import RunRecord
from hpe_bench.run.gpu.budget import NETWORKS
from hpe_bench.run.latency import Conditions, LatencyRun, Subject, measure
from hpe_bench.timing.interleave import Plan
from hpe_bench.timing.runtimes import ON_CUDA
from hpe_bench.timing.sources import OfVariant

SECONDS, ATTEMPTS, BUILDERS = 1.0, 2, 6
ENERGY_RUNTIME, ENERGY_BATCH = "cuda_bf16", 32
BATCHES = (1, 32)


def measured(device: str, rehearse: bool) -> Iterator[RunRecord]:
    """Records at batch 1 and 32 in every runtime, without energy; then one runtime at 32 with it."""
    variants = _variants(rehearse)
    plan = Plan(SECONDS, ATTEMPTS, limit_s=60, turn_limit_s=30, builders=BUILDERS, steady_seconds=0)
    if rehearse:
        plan = replace(plan, seconds=0.1, attempts=1, builders=2)
    names = [runtime.name for runtime in ON_CUDA] if device.startswith("cuda") else ["eager", "bf16"]
    for batch in BATCHES[: 1 if rehearse else None]:
        yield from measure([_run(slug, v, names, batch) for slug, v in variants], plan)
    if device.startswith("cuda"):
        with_energy = replace(plan, steady_seconds=10.0)
        runs = [_run(slug, v, [ENERGY_RUNTIME], ENERGY_BATCH) for slug, v in variants]
        yield from measure(runs, with_energy)


def _variants(rehearse: bool) -> list[tuple[str, Variant]]:
    found = []
    for network in NETWORKS:
        loaded = catalog.load(network.paper)
        name = "pocket" if rehearse else loaded.paper.timed[0]
        found.append((network.paper, catalog.find_variant(loaded, name)))
    return found


def _run(slug: str, variant: Variant, runtimes: list[str], batch: int) -> LatencyRun:
    subject = Subject(
        paper=slug,
        name=variant.name,
        variant_hash=fingerprint(variant),
        input_hw=variant.input_hw,
        code=code_digest([variant.builder]),
        source=OfVariant(variant, variant.joints),
    )
    return LatencyRun(subject, tuple(Conditions(name, 1, batch, variant.input_hw) for name in runtimes))


def medians(record: RunRecord) -> dict[str, Any]:
    """Median ms by runtime and batch, or why there is none."""
    found: dict[str, Any] = {}
    for timing in record.timings:
        key = f"{timing.runtime}, batch {timing.batch}"
        if timing.status != "done":
            found[key] = timing.reason
            continue
        found[key] = round(float(np.median([ms for calls in timing.rounds_ms for ms in calls])), 3)
        if timing.joules_per_image is not None:
            found[f"{key}, J/image"] = timing.joules_per_image
    return found
