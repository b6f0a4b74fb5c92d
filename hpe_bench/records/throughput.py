"""How long trainings take, from those that were recorded: seconds of one core for a sample, and so hours of a study."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import TypeVar

from hpe_bench.declare import Variant, fingerprint
from hpe_bench.plan import TrainingRun
from hpe_bench.records import query
from hpe_bench.records.schema import RunRecord

SECONDS = "train/seconds"
HOUR = 3600.0

K = TypeVar("K")


def _uncounted(variant: Variant) -> None:
    """The MACs of no network."""


class Throughput:
    """Seconds a sample of miniatures, which train on one core each.

    Measured where the network was trained by such a recipe, of whatever length; else where it was trained by any; else
    what all networks took for each of their MACs, which light networks exceed. All of it as `quickest` says. `count`
    gives the MACs of a network that no record counts, or None.
    """

    def __init__(self, records: Iterable[RunRecord], count: Callable[[Variant], float | None] = _uncounted) -> None:
        self._records, self._count = query.of(records), count
        by_recipe: dict[tuple[str, str, str], list[RunRecord]] = {}
        by_variant: dict[tuple[str, str], list[RunRecord]] = {}
        for r in self._records.finished("accuracy"):
            if r.identity.scale == "pocket":
                network = r.identity.paper, r.identity.variant_hash
                by_recipe.setdefault((*network, of_any_length(r.identity.recipe)), []).append(r)
                by_variant.setdefault(network, []).append(r)
        self._by_recipe, self._by_variant = quickest(by_recipe), quickest(by_variant)
        per_mac = [pace / macs for network, pace in self._by_variant.items() if (macs := self._macs(*network))]
        self._per_mac = median(per_mac) if per_mac else None

    def seconds_a_sample(self, paper: str, variant: Variant, recipe: str) -> float | None:
        """Of a training by a recipe of a name; None where no record says anything."""
        hashed = fingerprint(variant)
        measured = self._by_recipe.get((paper, hashed, of_any_length(recipe))) or self._by_variant.get((paper, hashed))
        if measured or self._per_mac is None:
            return measured
        macs = self._macs(paper, hashed) or self._count(variant)
        return None if macs is None else self._per_mac * macs

    def hours(self, runs: Iterable[TrainingRun]) -> float | None:
        """Core-hours of some trainings where nothing else runs; None where nothing says how long one of them takes."""
        total = 0.0
        for run in runs:
            pace = self.seconds_a_sample(run.paper, run.variant, run.recipe.name)
            if pace is None:
                return None
            total += pace * run.recipe.samples / HOUR
        return total

    def is_measured(self, runs: Iterable[TrainingRun]) -> bool:
        """Whether every one of some trainings is of a network that was trained before."""
        return all((run.paper, fingerprint(run.variant)) in self._by_variant for run in runs)

    def _macs(self, paper: str, variant_hash: str) -> float | None:
        cost = self._records.cost_of(paper, variant_hash)
        macs = None if cost is None else cost.get("macs")
        return None if macs is None else macs.value


def seconds_a_sample(record: RunRecord) -> float | None:
    """What a recorded training took, validation on the way left in; None of what was not trained."""
    taken = record.get(SECONDS)
    return None if taken is None or not record.identity.samples_seen else taken.value / record.identity.samples_seen


def quickest(trainings: Mapping[K, Iterable[RunRecord]]) -> dict[K, float]:
    """Seconds of one core a sample: of each one's quickest training, on the processor that most were trained on.

    What is recorded is wall time, which other work on a machine stretches and nothing shortens: so the quickest of the
    trainings of a network, at whatever budget, says most about it.
    """
    found: dict[str, dict[K, list[float]]] = {}
    for name, own in trainings.items():
        for r in own:
            if (pace := seconds_a_sample(r)) is not None:
                found.setdefault(r.provenance.device, {}).setdefault(name, []).append(pace)
    if not found:
        return {}
    _, _, there = max((len(by_name), sum(map(len, by_name.values())), device) for device, by_name in found.items())
    return {name: min(own) for name, own in found[there].items()}


def of_any_length(recipe: str) -> str:
    """A recipe's name without the number of samples that `plan.with_samples` puts behind it."""
    return re.sub(r"-\d+$", "", recipe)
