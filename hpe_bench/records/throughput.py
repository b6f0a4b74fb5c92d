"""How long trainings take, from those that were recorded: seconds of one core for a sample, and so hours of a study."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from statistics import median

from hpe_bench.declare import Variant, fingerprint
from hpe_bench.plan import TrainingRun
from hpe_bench.records import query
from hpe_bench.records.schema import RunRecord

SECONDS = "train/seconds"
HOUR = 3600.0


def _uncounted(variant: Variant) -> None:
    """The MACs of no network."""


class Throughput:
    """Seconds a sample of miniatures, which train on one core each.

    Measured where the network was trained by such a recipe, of whatever length; else where it was trained by any; else
    what all networks took for each of their MACs, which light networks exceed. Medians over records, since a machine
    does not always stand idle. `count` gives the MACs of a network that no record counts, or None.
    """

    def __init__(self, records: Iterable[RunRecord], count: Callable[[Variant], float | None] = _uncounted) -> None:
        self._records, self._count = query.of(records), count
        self._by_recipe: dict[tuple[str, str, str], list[float]] = {}
        self._by_variant: dict[tuple[str, str], list[float]] = {}
        per_mac = []
        for r in self._records.finished("accuracy"):
            pace = seconds_a_sample(r)
            if pace is None or r.identity.scale != "pocket":
                continue
            paper, variant = r.identity.paper, r.identity.variant_hash
            self._by_recipe.setdefault((paper, variant, of_any_length(r.identity.recipe)), []).append(pace)
            self._by_variant.setdefault((paper, variant), []).append(pace)
            if macs := self._macs(paper, variant):
                per_mac.append(pace / macs)
        self._per_mac = median(per_mac) if per_mac else None

    def seconds_a_sample(self, paper: str, variant: Variant, recipe: str) -> float | None:
        """Of a training by a recipe of a name; None where no record says anything."""
        hashed = fingerprint(variant)
        measured = self._by_recipe.get((paper, hashed, of_any_length(recipe))) or self._by_variant.get((paper, hashed))
        if measured:
            return median(measured)
        if self._per_mac is None:
            return None
        macs = self._macs(paper, hashed) or self._count(variant)
        return None if macs is None else self._per_mac * macs

    def hours(self, runs: Iterable[TrainingRun]) -> float | None:
        """Core-hours of some trainings; None where nothing says how long one of them takes."""
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


def of_any_length(recipe: str) -> str:
    """A recipe's name without the number of samples that `plan.with_samples` puts behind it."""
    return re.sub(r"-\d+$", "", recipe)
