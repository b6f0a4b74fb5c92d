"""Which record speaks: the one rule by which verdicts, pages and commands choose among records.

1. Only a *finished* run speaks: a failed or skipped record never hides one that is done.
2. It must be *current*: made of the variant, recipe or codec as it is declared now, which their hashes tell. Records of
   an earlier declaration are kept and counted, and say nothing.
3. Of several about one thing the *newest* counts, by the time its run began, compared as time; ties go by id. One thing
   is: a network's cost; one training (variant, recipe, seed) under one condition; one name's submission under one
   protocol; a codec's ceiling; the mean pose under a condition.
4. A timing run is to latency what a seed is to accuracy: of several the rows are pooled (`timing.rows`). Times that
   older cost records hold stand only where no timing run was made.

`Records` holds records with the indexes these questions need, so that a hundred thousand of them are gone through once.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import NamedTuple, TypeVar

from hpe_bench.plan import MEAN_POSE, OWN
from hpe_bench.records.schema import Kind, Measurement, RunRecord

A = TypeVar("A")
B = TypeVar("B")


class ScoringCondition(NamedTuple):
    """Under which accuracies may be compared: equal in every field, or not at all."""

    scale: str
    protocol: str
    protocol_hash: str
    test_digest: str


class Training(NamedTuple):
    """What was trained, by names and hashes; a changed variant or recipe has another hash.

    `execution` is empty for strict float32, the only one that an arm of a study means.
    """

    paper: str
    variant: str
    variant_hash: str
    recipe: str
    recipe_hash: str
    execution: str = ""


class Budget(NamedTuple):
    """What trainings must share for their seeds to be compared."""

    where: ScoringCondition
    samples_seen: int
    train_digest: str


# ---------------------------------------------------------------------------------------------------- one record


def condition(record: RunRecord) -> ScoringCondition:
    """The condition an accuracy record was made under."""
    i = record.identity
    return ScoringCondition(i.scale, i.protocol, i.protocol_hash, i.test_digest)


def training(record: RunRecord) -> Training:
    """What an accuracy record's run trained, whatever its seed."""
    i = record.identity
    return Training(i.paper, i.variant, i.variant_hash, i.recipe, i.recipe_hash, i.execution)


def budget(record: RunRecord) -> Budget:
    """What a training is pooled by."""
    return Budget(condition(record), record.identity.samples_seen, record.identity.train_digest)


def is_mean_pose(record: RunRecord) -> bool:
    """Whether a record is of the mean training pose, which is no model."""
    return record.identity.paper == MEAN_POSE


def age(record: RunRecord) -> tuple[datetime, str]:
    """Greatest for the newest record."""
    return record.provenance.at, record.id


def standing(record: RunRecord) -> tuple[bool, datetime, str]:
    """Greatest for the one to keep of several records of one run: one that is done, then the newest."""
    return record.status == "done", *age(record)


def headline_key(record: RunRecord) -> str:
    """The headline metric of an accuracy record: its first measurement."""
    return record.measurements[0].key


def latencies(record: RunRecord) -> dict[str, Measurement]:
    """A cost record's median latencies by their conditions in words, single-threaded ones first.

    Whether the warm-up settled is no part of the words.
    """
    medians = [m for m in record.measurements if m.key == "latency/median"]
    medians.sort(key=lambda m: m.conditions.threads != 1)
    return {m.conditions.apart: m for m in medians}


# ---------------------------------------------------------------------------------------------------- several


def newest(found: Iterable[RunRecord]) -> RunRecord | None:
    """The newest of some records; None of none."""
    return max(found, key=age, default=None)


def oldest_first(found: Iterable[RunRecord]) -> list[RunRecord]:
    """Records by age, so that the newest of each kind comes last."""
    return sorted(found, key=age)


def by_seed(found: Iterable[RunRecord]) -> dict[int, RunRecord]:
    """Runs by seed in rising order; of several with one seed, the newest."""
    runs = {r.identity.seed or 0: r for r in oldest_first(found)}
    return dict(sorted(runs.items()))


class Records(tuple[RunRecord, ...]):
    """Records to ask; those of a folder also say which files were `passed_over`, a sentence each."""

    passed_over: tuple[str, ...] = ()

    def finished(self, kind: Kind) -> list[RunRecord]:
        """The finished records of a kind, in the order they came in."""
        return self._finished.get(kind, [])

    def conditions(self) -> list[ScoringCondition]:
        """All conditions that finished accuracy records of models were made under, in a fixed order."""
        return sorted(self._of_models)

    def cost(self, paper: str, variant: str, variant_hash: str | None = None) -> RunRecord | None:
        """The cost of a variant by name; with its hash, only of the variant as it is declared."""
        return newest(
            r for r in self._costs.get((paper, variant), ()) if variant_hash in (None, r.identity.variant_hash)
        )

    def costs_of(self, variant_hashes: Container[str]) -> list[RunRecord]:
        """The costs of all variants with some hashes, one a name."""
        found = (newest(r for r in own if r.identity.variant_hash in variant_hashes) for own in self._costs.values())
        return [r for r in found if r is not None]

    def cost_of(self, paper: str, variant_hash: str) -> RunRecord | None:
        """The cost of a variant as it is declared, whatever it was called."""
        return newest(self._costs_by_hash.get((paper, variant_hash), ()))

    def runs(self, of: Training, where: ScoringCondition) -> dict[int, RunRecord]:
        """A training's runs by seed under a condition."""
        return by_seed(self._trainings.get((of, where), ()))

    def of_models(self, where: ScoringCondition) -> list[RunRecord]:
        """The runs of all models under a condition."""
        return self._of_models.get(where, [])

    def full_runs(self, paper: str, variant: str) -> list[RunRecord]:
        """The runs of a variant at full scale, under whatever condition."""
        return self._full.get((paper, variant), [])

    def mean_pose(self, where: ScoringCondition) -> RunRecord | None:
        """The mean-pose baseline under a condition; the scale of a model plays no part in it."""
        return newest(self._mean_poses.get(where[1:], ()))

    def latencies_of(self, paper: str, variant_hashes: Iterable[str]) -> list[RunRecord]:
        """All latency records of some variants, by name and then oldest first."""
        found = (r for h in variant_hashes for r in self._latencies.get((paper, h), ()))
        return sorted(found, key=lambda r: (r.identity.variant, *age(r)))

    def costs_of_file(self, weights_sha256: str) -> list[RunRecord]:
        """What was counted and timed of somebody's file, by the SHA-256 that its accuracy has too; oldest first.

        A cost record of a file is named by the first 16 digits of its hash.
        """
        return self.latencies_of(OWN, [weights_sha256[:16]]) if weights_sha256 else []

    def ceilings(self) -> dict[str, RunRecord]:
        """Codec ceilings by id."""
        return {r.id: r for r in oldest_first(self.finished("ceiling"))}

    def swept(self, of: Training, protocol: str, protocol_hash: str) -> dict[int, RunRecord]:
        """A training's networks by seed under a setting of a dial. They are no part of any comparison but a sweep's."""
        return by_seed(self._swept.get((of, (protocol, protocol_hash)), ()))

    def submissions(self) -> dict[tuple[str, str, str], list[RunRecord]]:
        """The newest submission of each name, by protocol, its hash and the persons: a corrected file takes its
        predecessor's place.
        """
        found: dict[tuple[str, str, str], dict[str, RunRecord]] = {}
        for r in oldest_first(self.finished("submission")):
            i = r.identity
            found.setdefault((i.protocol, i.protocol_hash, i.test_digest), {})[i.variant] = r
        return {key: list(names.values()) for key, names in sorted(found.items())}

    def trained(self, weights_sha256: str) -> RunRecord | None:
        """The training that made some weights: the only kind of record that knows their variant and recipe."""
        return newest(
            r
            for r in self.finished("accuracy")
            if weights_sha256 and r.weights_sha256 == weights_sha256 and r.identity.recipe
        )

    def pools(self, kind: Kind) -> Mapping[Budget, Mapping[Training, list[RunRecord]]]:
        """Finished trainings by what they must share for their seeds to be compared, then by what was trained."""
        if kind not in self._pools:
            found: dict[Budget, dict[Training, list[RunRecord]]] = {}
            for r in self.finished(kind):
                if r.identity.seed is not None and r.identity.recipe:
                    found.setdefault(budget(r), {}).setdefault(training(r), []).append(r)
            self._pools[kind] = found
        return self._pools[kind]

    # ------------------------------------------------------------------------------------------------ indexes

    @cached_property
    def _finished(self) -> Mapping[Kind, list[RunRecord]]:
        found: dict[Kind, list[RunRecord]] = {}
        for r in self:
            if r.status == "done":
                found.setdefault(r.identity.kind, []).append(r)
        return found

    @cached_property
    def _costs(self) -> Mapping[tuple[str, str], list[RunRecord]]:
        return _grouped((r.identity.paper, r.identity.variant, r) for r in self.finished("cost"))

    @cached_property
    def _costs_by_hash(self) -> Mapping[tuple[str, str], list[RunRecord]]:
        return _grouped((r.identity.paper, r.identity.variant_hash, r) for r in self.finished("cost"))

    @cached_property
    def _latencies(self) -> Mapping[tuple[str, str], list[RunRecord]]:
        return _grouped((r.identity.paper, r.identity.variant_hash, r) for r in self.finished("latency"))

    @cached_property
    def _trainings(self) -> Mapping[tuple[Training, ScoringCondition], list[RunRecord]]:
        return _grouped((training(r), condition(r), r) for r in self.finished("accuracy"))

    @cached_property
    def _swept(self) -> Mapping[tuple[Training, tuple[str, str]], list[RunRecord]]:
        found = self.finished("sweep")
        return _grouped((training(r), (r.identity.protocol, r.identity.protocol_hash), r) for r in found)

    @cached_property
    def _of_models(self) -> Mapping[ScoringCondition, list[RunRecord]]:
        found: dict[ScoringCondition, list[RunRecord]] = {}
        for r in self.finished("accuracy"):
            if not is_mean_pose(r):
                found.setdefault(condition(r), []).append(r)
        return found

    @cached_property
    def _pools(self) -> dict[Kind, Mapping[Budget, Mapping[Training, list[RunRecord]]]]:
        return {}

    @cached_property
    def _full(self) -> Mapping[tuple[str, str], list[RunRecord]]:
        full = (r for r in self.finished("accuracy") if r.identity.scale == "full")
        return _grouped((r.identity.paper, r.identity.variant, r) for r in full)

    @cached_property
    def _mean_poses(self) -> Mapping[tuple[str, ...], list[RunRecord]]:
        found: dict[tuple[str, ...], list[RunRecord]] = {}
        for r in filter(is_mean_pose, self.finished("accuracy")):
            found.setdefault(condition(r)[1:], []).append(r)
        return found


def of(records: Iterable[RunRecord]) -> Records:
    """Records to ask; what already is such is given back as it is."""
    return records if isinstance(records, Records) else Records(records)


def _grouped(rows: Iterable[tuple[A, B, RunRecord]]) -> dict[tuple[A, B], list[RunRecord]]:
    found: dict[tuple[A, B], list[RunRecord]] = {}
    for a, b, record in rows:
        found.setdefault((a, b), []).append(record)
    return found


def current(records: Iterable[RunRecord], variants: set[tuple[str, str]], recipes: set[str]) -> Records:
    """Finished records of variants (paper, hash) and recipes (hash) as they are declared, and the mean poses."""
    return Records(
        r
        for r in records
        if r.status == "done"
        and (
            is_mean_pose(r)
            or ((r.identity.paper, r.identity.variant_hash) in variants and r.identity.recipe_hash in recipes)
        )
    )
