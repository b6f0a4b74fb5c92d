"""Latency records of the networks that are trained, in every CUDA runtime, through the usual path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.gpu.budget import NETWORKS
from hpe_bench import catalog
from hpe_bench.codehash import code_digest
from hpe_bench.declare import Variant, fingerprint
from hpe_bench.records.schema import RunRecord
from hpe_bench.run.latency import Conditions, LatencyRun, TimedNetwork, measure
from hpe_bench.timing.interleave import Plan
from hpe_bench.timing.runtimes import ON_CUDA
from hpe_bench.timing.sources import OfVariant

SECONDS, ATTEMPTS, BUILDERS = 0.6, 2, 8
LARGE_BATCH = 32
AT_LARGE_BATCH = ("cuda", "cuda_bf16")
WITH_ENERGY = ("cuda_bf16",)
STEADY_SECONDS = 10.0  # of work for a reading of the energy (M9)


def measured(device: str, rehearse: bool) -> Iterator[RunRecord]:
    """A record a network: every runtime at batch 1, the plain ones at batch 32; without energy."""
    names = [runtime.name for runtime in ON_CUDA] if device.startswith("cuda") else ["eager"]
    large = AT_LARGE_BATCH if device.startswith("cuda") else ()
    asked = (*((name, 1) for name in names), *((name, LARGE_BATCH) for name in large))
    yield from measure([_run(slug, v, asked) for slug, v in variants(rehearse)], _plan(rehearse, 0.0), peak=False)


def with_energy(device: str, rehearse: bool) -> Iterator[RunRecord]:
    """A record a network: one runtime at batch 32, with the joules of an image."""
    names = WITH_ENERGY if device.startswith("cuda") else ("eager",)
    asked = tuple((name, LARGE_BATCH) for name in names)
    steady = 0.1 if rehearse else STEADY_SECONDS
    yield from measure([_run(slug, v, asked) for slug, v in variants(rehearse)], _plan(rehearse, steady), peak=False)


def _plan(rehearse: bool, steady: float) -> Plan:
    if rehearse:
        return Plan(0.1, 1, limit_s=120, turn_limit_s=60, builders=2, steady_seconds=steady)
    return Plan(SECONDS, ATTEMPTS, limit_s=60, turn_limit_s=30, builders=BUILDERS, steady_seconds=steady)


def variants(rehearse: bool) -> list[tuple[str, Variant]]:
    """What is timed, with the papers' names."""
    found = []
    for network in NETWORKS:
        loaded = catalog.load(network.paper)
        name = "pocket" if rehearse else loaded.paper.timed[0]
        found.append((network.paper, catalog.find_variant(loaded, name)))
    return found


def _run(slug: str, variant: Variant, asked: Sequence[tuple[str, int]]) -> LatencyRun:
    """A network under pairs of runtime and batch, at one thread."""
    subject = TimedNetwork(
        paper=slug,
        name=variant.name,
        variant_hash=fingerprint(variant),
        input_hw=variant.input_hw,
        code=code_digest([variant.builder]),
        source=OfVariant(variant, variant.joints),
    )
    return LatencyRun(subject, tuple(Conditions(name, 1, batch, variant.input_hw) for name, batch in asked))
