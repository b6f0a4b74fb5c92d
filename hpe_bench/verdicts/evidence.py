"""Evidence: what the records that speak about a variant or an arm (`records.query`) say, several seeds together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations
from typing import Protocol

import numpy as np

from hpe_bench.declare import Arm, Paper, Variant, fingerprint
from hpe_bench.metrics import average_precision, bootstrap, match_tables
from hpe_bench.metrics.bootstrap import Difference, Spreads, both
from hpe_bench.metrics.multiplicity import told_apart
from hpe_bench.metrics.seed_variance import Spread
from hpe_bench.records import query
from hpe_bench.records.query import ScoringCondition, Training
from hpe_bench.records.schema import RunRecord

Records = Sequence[RunRecord]


def declared_variant(paper: Paper, slug: str, name: str) -> Variant | None:
    """A variant by name, from the paper itself or from the arms of its studies; None if neither declares it."""
    own = [v for v in paper.variants if slug == paper.slug and v.name == name]
    arms = [a.variant for s in paper.studies for a in s.arms if (a.paper, a.variant.name) == (slug, name)]
    return next(iter(own + arms), None)


def cost_record(records: Records, slug: str, variant: str, declared: Variant | None = None) -> RunRecord | None:
    """The cost of a variant; of one that is declared here, only as it is declared."""
    return query.of(records).cost(slug, variant, None if declared is None else fingerprint(declared))


def arm_runs(records: Records, arm: Arm, where: ScoringCondition) -> dict[int, RunRecord]:
    """The runs of an arm by seed under a condition."""
    return query.of(records).runs(trained_as(arm), where)


def trained_as(arm: Arm) -> Training:
    """What an arm trains; a changed variant or recipe has another fingerprint."""
    return Training(arm.paper, arm.variant.name, fingerprint(arm.variant), arm.recipe.name, fingerprint(arm.recipe))


Rates = tuple[Sequence[int], Sequence[int]]


def rates(record: RunRecord, key: str) -> Rates | None:
    """Hits and counts per image under a key, both hashable, or None for metrics that are no mean over images."""
    return record.counts(key)


# A page shows an interval in tables, figures and verdicts; each is resampled once.
_pooled_interval = lru_cache(maxsize=None)(bootstrap.pooled_interval)
_paired_difference = lru_cache(maxsize=None)(bootstrap.paired_difference)

FEWEST_SEEDS = 2  # of an arm before anything is decided by it: one training says nothing about another (F24)


MOST_PAIRED = 150  # arms of a table, whose pairs are all tested


class Spreading(Protocol):
    """Something that knows how far an arm's seeds lie apart (None where it does not), and whether it has learned."""

    def spread(self, runs: Sequence[RunRecord], key: str) -> Spread | None: ...

    def learned(self, runs: Sequence[RunRecord]) -> bool: ...


@dataclass(frozen=True)
class Estimate:
    """A value over seeds and images with its 95 % interval, and how the interval was made.

    A difference has the two-sided p value of no difference, where it has an interval.
    """

    value: float
    interval: tuple[float, float] | None
    images: int
    seeds: int
    method: str
    each: tuple[float, ...] = ()  # per seed
    p_value: float | None = None

    @property
    def sign(self) -> int:
        """1 or -1 if this difference is told apart from none, else 0: never by images alone (F24)."""
        if self.interval is None or self.seeds < FEWEST_SEEDS:
            return 0
        return 1 if self.interval[0] > 0 else -1 if self.interval[1] < 0 else 0


@lru_cache(maxsize=256)
def _accumulated(models: tuple[tuple[str, ...], ...]) -> dict[str, bootstrap.Resampled]:
    """AP's figures of some arms' trainings under common draws of their images, from tables of matches."""
    return average_precision.resample([[match_tables.unpack(text) for text in trainings] for trainings in models])


def _matches(runs: Sequence[RunRecord], key: str) -> tuple[str, ...]:
    """The tables of matches that a figure of AP can be accumulated from; none at all unless every run has one."""
    if key not in match_tables.KEYS or any(rates(r, key) is not None for r in runs):
        return ()
    found = [m.packed for r in runs for m in r.matches]
    return tuple(found) if len(found) == len(runs) else ()


def pooled(runs: Sequence[RunRecord], key: str, pools: Spreading | None = None) -> Estimate:
    """An arm's accuracy over its seeds: bootstrap over images and seeds where there are tallies (F25), or tables of
    matches, from which AP is accumulated again."""
    tables, spread = _tables(runs, key), _spread(runs, key, pools)
    if not tables and (packed := _matches(runs, key)):
        found = _accumulated((packed,))[key]
        around = average_precision.figure_interval(found, 0, spread)
        plain = _estimate(runs, key, None, spread)
        how = f"AP accumulated again over images and {_seeds(spread)}"
        return replace(plain, interval=around, images=found.images, method=how)
    return _estimate(runs, key, _pooled_interval(tuple(tables), spread=spread) if tables else None, spread)


def pooled_rows(rows: Sequence[Sequence[RunRecord]], key: str, pools: Spreading | None = None) -> list[Estimate]:
    """`pooled` of many arms under one condition, whose images are resampled once for all."""
    tables, spreads = [_tables(runs, key) for runs in rows], [_spread(runs, key, pools) for runs in rows]
    intervals: dict[int, tuple[float, float]] = {}
    for some in _alike(tables):
        found = bootstrap.pooled_intervals([tables[i] for i in some], spreads=[spreads[i] for i in some])
        intervals |= zip(some, found, strict=True)
    return [
        _estimate(runs, key, intervals[i], spreads[i]) if i in intervals else pooled(runs, key, pools)
        for i, runs in enumerate(rows)
    ]


def better_rows(
    rows: Sequence[Sequence[RunRecord]], key: str, pools: Spreading | None = None, fewest: int = FEWEST_SEEDS
) -> set[tuple[int, int]]:
    """Pairs (better, worse) of arms under one condition that paired tests tell apart, Holm-corrected over all pairs.

    Arms of fewer than `fewest` runs are told apart from nothing: files of predictions are what they are and have no
    other seed, for them `fewest` is 1. An arm that has not learned is better than nothing. Arms without tallies cannot
    be paired; they are told apart where intervals do not overlap, and so are all in a table of more than `MOST_PAIRED`.
    """
    enough = [i for i, runs in enumerate(rows) if len(runs) >= fewest]
    paired = enough if len(enough) <= MOST_PAIRED else []
    tables = {i: found for i in paired if (found := _tables(rows[i], key))}
    differences: dict[tuple[int, int], Difference] = {}
    for some in _alike([tables.get(i, []) for i in range(len(rows))]):
        spreads = [_spread(rows[i], key, pools) for i in some]
        table = bootstrap.Resampled.of([tables[i] for i in some])
        pairs = table.every_difference(spreads) if _pairable(rows, some, spreads) else {}
        differences |= {(some[a], some[b]): d for (a, b), d in pairs.items()}
    packed = {i: own for i in paired if i not in tables and (own := _matches(rows[i], key))}
    spreads = [_spread(rows[i], key, pools) for i in packed]
    if len(packed) > 1 and _pairable(rows, list(packed), spreads):
        places, table = list(packed), _accumulated(tuple(packed.values()))[key]
        differences |= {(places[a], places[b]): d for (a, b), d in table.every_difference(spreads).items()}
    left = [(i, j) for i, j in permutations(enough, 2) if (i, j) not in differences and (j, i) not in differences]
    around = [e.interval for e in pooled_rows(rows, key, pools)] if left else []
    unpaired = [(i, j) for i, j in left if _above(around[i], around[j])]
    untaught = {i for i, runs in enumerate(rows) if pools is not None and not pools.learned(runs)}
    return {(i, j) for i, j in (*told_apart(differences), *unpaired) if i not in untaught}


def _above(own: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    return own is not None and other is not None and own[0] > other[1]


def _pairable(rows: Sequence[Sequence[RunRecord]], some: Sequence[int], spreads: Sequence[Spread | None]) -> bool:
    return all(s is not None for s in spreads) or len({len(rows[i]) for i in some}) == 1


def _alike(tables: Sequence[Sequence[Rates]]) -> list[list[int]]:
    """Positions of the rows with tables, by what these count in each image."""
    alike: dict[bytes, list[int]] = {}
    for i, found in enumerate(tables):
        if found:
            alike.setdefault(np.asarray(found[0][1], dtype=np.int64).tobytes(), []).append(i)
    return list(alike.values())


def _spread(runs: Sequence[RunRecord], key: str, pools: Spreading | None) -> Spread | None:
    return None if pools is None else pools.spread(runs, key)


def _tables(runs: Sequence[RunRecord], key: str) -> list[Rates]:
    """The hits and counts of every run; none at all unless every run has them."""
    found = [t for r in runs if (t := rates(r, key)) is not None]
    return found if len(found) == len(runs) else []


def _estimate(
    runs: Sequence[RunRecord], key: str, resampled: tuple[float, float] | None, spread: Spread | None
) -> Estimate:
    """The mean over seeds with the resampled interval, else with the widest of the seeds' own intervals."""
    measured = [m for r in runs if (m := r.get(key)) is not None]
    each = tuple(m.value for m in measured)
    mean = float(np.mean(each))
    if resampled is not None:
        table = rates(runs[0], key)
        assert table is not None
        return Estimate(mean, resampled, len(table[0]), len(runs), f"bootstrap over images and {_seeds(spread)}", each)
    intervals = [m.interval for m in measured if m.interval is not None]
    if len(intervals) < len(each):
        return Estimate(mean, None, measured[0].n, len(each), "no interval", each)
    envelope = (min(i[0] for i in intervals), max(i[1] for i in intervals))
    return Estimate(mean, envelope, measured[0].n, len(each), "widest of the seeds' own intervals", each)


def _seeds(spread: Spread | None) -> str:
    return "seeds" if spread is None else f"seeds, whose variance is known with {spread.freedom:.0f} degrees of freedom"


def difference(
    subject: dict[int, RunRecord], control: dict[int, RunRecord], key: str, pools: Spreading | None = None
) -> Estimate | None:
    """Subject minus control, paired image by image. Where `pools` know both arms' spread of seeds, all runs of both
    count; else their common seeds, pair by pair, and None without one.

    AP is accumulated again from tables of matches; older records have none, and then the seeds' differences alone give
    a t-interval, which needs two seeds.
    """
    ours, theirs = ([r for r in runs.values() if r.get(key)] for runs in (subject, control))
    known = both(_spread(ours, key, pools), _spread(theirs, key, pools))
    a, b = _tables(ours, key), _tables(theirs, key)
    if known is not None and a and b:
        return _tested(a, b, known, f"paired bootstrap over images and {_seeds(known[0])}")
    packed = _matches(ours, key), _matches(theirs, key)
    if known is not None and all(packed):
        return _of_matches(packed, key, known)
    seeds = [s for s in subject if s in control and subject[s].get(key) and control[s].get(key)]
    if not seeds:
        return None
    ours, theirs = [subject[s] for s in seeds], [control[s] for s in seeds]
    each = tuple(_value(a, key) - _value(b, key) for a, b in zip(ours, theirs, strict=True))
    a, b = _tables(ours, key), _tables(theirs, key)
    if a and b:
        return replace(_tested(a, b, None, "paired bootstrap over images and seeds"), each=each)
    if all(packed := (_matches(ours, key), _matches(theirs, key))):
        return replace(_of_matches(packed, key, None), each=each)
    measured = ours[0].get(key)
    assert measured is not None
    interval = bootstrap.mean_interval(each) if len(each) > 1 else None
    p = bootstrap.mean_p_value(each) if len(each) > 1 else None
    return Estimate(float(np.mean(each)), interval, measured.n, len(seeds), "t-interval over seeds", each, p)


def _of_matches(packed: tuple[tuple[str, ...], tuple[str, ...]], key: str, known: Spreads | None) -> Estimate:
    table = _accumulated(packed)[key]
    found = table.difference(0, 1, known)
    seeds = min(map(len, packed))
    how = f"AP accumulated again over images and {_seeds(known[0] if known else None)}"
    return Estimate(found.value, (found.low, found.high), table.images, seeds, how, p_value=found.p_value)


def _tested(a: Sequence[Rates], b: Sequence[Rates], known: Spreads | None, how: str) -> Estimate:
    found = _paired_difference(tuple(a), tuple(b), spreads=known)
    seeds = min(len(a), len(b))
    return Estimate(found.value, (found.low, found.high), len(a[0][0]), seeds, how, p_value=found.p_value)


def _value(record: RunRecord, key: str) -> float:
    measured = record.get(key)
    assert measured is not None
    return measured.value


def unequal_budgets(subject: dict[int, RunRecord], control: dict[int, RunRecord]) -> str:
    """A sentence if the arms did not see the same samples from the same data, in the same way and from the same kind of
    start, else an empty string (F5)."""
    for what, pick in (
        ("samples seen", lambda r: r.identity.samples_seen),
        ("training data", lambda r: r.identity.train_digest),
        ("execution", lambda r: r.identity.execution or "strict float32"),
        ("start", lambda r: "ImageNet weights" if "start" in r.provenance.flags else "random weights"),
    ):
        ours, theirs = ({pick(r) for r in runs.values()} for runs in (subject, control))
        if len(ours | theirs) > 1:
            return f"The arms differ in {what}: {_list(ours)} against {_list(theirs)} (F5)."
    return ""


def _list(values: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, values)))
