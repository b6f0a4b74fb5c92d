"""Evidence: which records speak about a variant or an arm, and what several seeds say together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hpe_bench.declare import Arm, Paper, Variant, fingerprint
from hpe_bench.metrics import bootstrap
from hpe_bench.records.schema import Measurement, RunRecord

Records = Sequence[RunRecord]


class Condition(NamedTuple):
    """Under which accuracies may be compared: equal in every field, or not at all."""

    scale: str
    protocol: str
    protocol_hash: str
    test_digest: str


def condition(record: RunRecord) -> Condition:
    """The condition an accuracy record was made under."""
    i = record.identity
    return Condition(i.scale, i.protocol, i.protocol_hash, i.test_digest)


def conditions(records: Iterable[RunRecord]) -> list[Condition]:
    """All conditions of the accuracy records, in a fixed order."""
    return sorted({condition(r) for r in records if r.identity.kind == "accuracy"})


def cost_record(records: Records, slug: str, variant: str, declared: Variant | None = None) -> RunRecord | None:
    """The newest finished cost record of a variant; records of an older declaration of it do not count."""
    wanted = None if declared is None else fingerprint(declared)
    found = [
        r
        for r in records
        if r.identity.kind == "cost"
        and r.status == "done"
        and (r.identity.paper, r.identity.variant) == (slug, variant)
        and wanted in (None, r.identity.variant_hash)
    ]
    return max(found, key=lambda r: (r.provenance.started, r.id), default=None)


def declared_variant(paper: Paper, slug: str, name: str) -> Variant | None:
    """A variant by name, from the paper itself or from the arms of its studies; None if neither declares it."""
    own = [v for v in paper.variants if slug == paper.slug and v.name == name]
    arms = [a.variant for s in paper.studies for a in s.arms if (a.paper, a.variant.name) == (slug, name)]
    return next(iter(own + arms), None)


def arm_runs(records: Records, arm: Arm, where: Condition) -> dict[int, RunRecord]:
    """Finished runs of an arm by seed, the newest of each; a changed variant or recipe has another fingerprint."""
    variant, recipe = fingerprint(arm.variant), fingerprint(arm.recipe)
    found = [
        r
        for r in records
        if r.identity.kind == "accuracy"
        and r.status == "done"
        and r.identity.paper == arm.paper
        and (r.identity.variant, r.identity.variant_hash) == (arm.variant.name, variant)
        and (r.identity.recipe, r.identity.recipe_hash) == (arm.recipe.name, recipe)
        and condition(r) == where
    ]
    return by_seed(found)


UNSETTLED = ", warm-up not settled"  # what a latency's scope ends in if its median was still moving


def latencies(record: RunRecord) -> dict[str, Measurement]:
    """Median latencies by scope, single-threaded ones first; whether the warm-up settled is no part of the scope."""
    medians = [m for m in record.measurements if m.key == "latency/median"]
    medians.sort(key=lambda m: "1 thread" not in m.scope)
    return {m.scope.removesuffix(UNSETTLED): m for m in medians}


def by_seed(found: Iterable[RunRecord]) -> dict[int, RunRecord]:
    """Runs by seed in rising order; of several with one seed, the newest."""
    newest = sorted(found, key=lambda r: (r.provenance.started, r.id))
    runs = {r.identity.seed or 0: r for r in newest}
    return dict(sorted(runs.items()))


def headline_key(record: RunRecord) -> str:
    """The headline metric of an accuracy record: its first measurement."""
    return record.measurements[0].key


Rates = tuple[tuple[int, ...], tuple[int, ...]]


def rates(record: RunRecord, key: str) -> Rates | None:
    """Hits and counts per image under a key, or None for metrics that are no mean over images."""
    tally = next((t for t in record.tallies if t.key == key), None)
    return None if tally is None else (tally.hits, tally.counts)


# A page shows an interval in tables, figures and verdicts; each is resampled once.
_pooled_interval = lru_cache(maxsize=None)(bootstrap.pooled_interval)
_paired_difference = lru_cache(maxsize=None)(bootstrap.paired_difference)


@dataclass(frozen=True)
class Estimate:
    """A value over seeds and images with its 95 % interval, and how the interval was made."""

    value: float
    interval: tuple[float, float] | None
    images: int
    seeds: int
    method: str
    each: tuple[float, ...] = ()  # per seed


def pooled(runs: Sequence[RunRecord], key: str) -> Estimate:
    """An arm's accuracy over its seeds: bootstrap over images and seeds where there are tallies (F25)."""
    tables = _tables(runs, key)
    return _estimate(runs, key, _pooled_interval(tuple(tables)) if tables else None)


def pooled_rows(rows: Sequence[Sequence[RunRecord]], key: str) -> list[Estimate]:
    """`pooled` of many arms under one condition, whose images are resampled once for all."""
    tables = [_tables(runs, key) for runs in rows]
    alike: dict[int, list[int]] = {}  # rows by their number of images
    for i, found in enumerate(tables):
        if found:
            alike.setdefault(len(found[0][0]), []).append(i)
    intervals: dict[int, tuple[float, float]] = {}
    for some in alike.values():
        intervals |= zip(some, bootstrap.pooled_intervals([tables[i] for i in some]), strict=True)
    return [_estimate(runs, key, intervals.get(i)) for i, runs in enumerate(rows)]


def _tables(runs: Sequence[RunRecord], key: str) -> list[Rates]:
    """The hits and counts of every run; none at all unless every run has them."""
    found = [t for r in runs if (t := rates(r, key)) is not None]
    return found if len(found) == len(runs) else []


def _estimate(runs: Sequence[RunRecord], key: str, resampled: tuple[float, float] | None) -> Estimate:
    """The mean over seeds with the resampled interval, else with the widest of the seeds' own intervals."""
    measured = [m for r in runs if (m := r.get(key)) is not None]
    each = tuple(m.value for m in measured)
    mean = float(np.mean(each))
    if resampled is not None:
        table = rates(runs[0], key)
        assert table is not None
        return Estimate(mean, resampled, len(table[0]), len(runs), "bootstrap over images and seeds", each)
    intervals = [m.interval for m in measured if m.interval is not None]
    if len(intervals) < len(each):
        return Estimate(mean, None, measured[0].n, len(each), "no interval", each)
    envelope = (min(i[0] for i in intervals), max(i[1] for i in intervals))
    return Estimate(mean, envelope, measured[0].n, len(each), "widest of the seeds' own intervals", each)


def difference(subject: dict[int, RunRecord], control: dict[int, RunRecord], key: str) -> Estimate | None:
    """Subject minus control over their common seeds, paired image by image; None without a common seed.

    Without tallies (AP) the seeds' differences alone give a t-interval, which needs two seeds.
    """
    seeds = [s for s in subject if s in control and subject[s].get(key) and control[s].get(key)]
    if not seeds:
        return None
    ours, theirs = [subject[s] for s in seeds], [control[s] for s in seeds]
    each = tuple(_value(a, key) - _value(b, key) for a, b in zip(ours, theirs, strict=True))
    a = [t for r in ours if (t := rates(r, key)) is not None]
    b = [t for r in theirs if (t := rates(r, key)) is not None]
    if len(a) == len(b) == len(seeds):
        found = _paired_difference(tuple(a), tuple(b))
        how = "paired bootstrap over images and seeds"
        return Estimate(found.value, (found.low, found.high), len(a[0][0]), len(seeds), how, each)
    measured = ours[0].get(key)
    assert measured is not None
    interval = bootstrap.mean_interval(each) if len(each) > 1 else None
    return Estimate(float(np.mean(each)), interval, measured.n, len(seeds), "t-interval over seeds", each)


def _value(record: RunRecord, key: str) -> float:
    measured = record.get(key)
    assert measured is not None
    return measured.value


def unequal_budgets(subject: dict[int, RunRecord], control: dict[int, RunRecord]) -> str:
    """A sentence if the arms did not see the same samples from the same data, else an empty string (F5)."""
    for what, pick in (
        ("samples seen", lambda r: r.identity.samples_seen),
        ("training data", lambda r: r.identity.train_digest),
    ):
        ours, theirs = ({pick(r) for r in runs.values()} for runs in (subject, control))
        if len(ours | theirs) > 1:
            return f"The arms differ in {what}: {_list(ours)} against {_list(theirs)} (F5)."
    return ""


def _list(values: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, values)))
