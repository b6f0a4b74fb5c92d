"""What papers' networks cost beside each other: at every input size they share, in miniature, under every counter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Variant, fingerprint
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit.latency_text import IN_PROCESS_NOTE, label
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table
from hpe_bench.report.kit.text import NO_BREAK, exact, number, plural, size, span
from hpe_bench.timing import statistics
from hpe_bench.timing.rows import IN_PROCESS, NetworkTime, NetworkTimes, TimedRow, rows, time_of_row
from hpe_bench.verdicts import evidence
from hpe_bench.verdicts.evidence import Records

# Ratios under the conventions of docs/costs.md: 2^30 and 2x scale both sides alike, so these two counts say it all.
COUNTS = (
    ("macs", "MACs, true count (also in units of 2³⁰, and as FLOPs)", 1e6, "M"),
    ("macs/hrnet_counter", "MACs, HRNet counter", 1e6, "M"),
    ("params", "Parameters", 1e6, "M"),
    ("activations", "Activations", 1e6, "M"),
)


@dataclass(frozen=True)
class Entrant:
    """A paper's network in a cost comparison, with its cost record."""

    slug: str
    variant: Variant
    record: RunRecord

    @property
    def name(self) -> str:
        return f"{self.slug} {self.variant.name}"


@dataclass(frozen=True)
class CostRatio:
    """One quantity of several networks: values in the order of the entrants, None where not measured alike."""

    what: str
    unit: str
    values: tuple[float | None, ...]
    digits: int = 2
    times: tuple[NetworkTime, ...] = ()  # where values are times

    def against(self, k: int, first: int) -> statistics.Ratio | None:
        """The ratio of two networks' times with its interval; None of counts, which are exact."""
        return self.times[k].against(self.times[first]) if self.times else None


def fields(
    papers: Sequence[LoadedPaper], pocket: Sequence[tuple[str, Variant]], records: Records
) -> list[list[Entrant]]:
    """Networks to hold against each other: at each input size with two papers or more the one that most claims are
    about, of several the first declared; then the miniatures that were trained.
    """
    sizes = sorted({v.input_hw for p in papers for v in p.paper.variants if v.scale == "full"})
    found = []
    for hw in sizes:
        chosen = [(p.paper.slug, v) for p in papers if (v := _spoken_of(p, hw, records)) is not None]
        found.append(_entrants(chosen, records))
    found.append(_entrants(pocket, records))
    return [entrants for entrants in found if len(entrants) >= 2]


def _spoken_of(loaded: LoadedPaper, hw: tuple[int, int], records: Records) -> Variant | None:
    about = Counter(c.variant for c in loaded.claims)
    own = [v for v in loaded.paper.variants if v.scale == "full" and v.input_hw == hw]
    counted = [v for v in own if evidence.cost_record(records, loaded.paper.slug, v.name, v)]
    return max(counted, key=lambda v: about[v.name], default=None)


def _entrants(chosen: Sequence[tuple[str, Variant]], records: Records) -> list[Entrant]:
    found = [(slug, v, evidence.cost_record(records, slug, v.name, v)) for slug, v in chosen]
    return [Entrant(slug, v, record) for slug, v, record in found if record is not None]


# ---------------------------------------------------------------------------------------------------- quantities


def ratios(entrants: Sequence[Entrant], records: Records) -> list[CostRatio]:
    """Counts, then times; those only where all networks were timed alike, on one machine."""
    found = []
    for key, what, per, prefix in COUNTS:
        values = [m.value / per if (m := e.record.get(key)) else None for e in entrants]
        found.append(CostRatio(what, prefix, tuple(values)))
    return [*(r for r in found if any(v is not None for v in r.values)), *_timed(entrants, records)]


def _timed(entrants: Sequence[Entrant], records: Records) -> Iterator[CostRatio]:
    """Eager times first, one for each number of threads; then every other row that all entrants have."""
    times = NetworkTimes(records)
    eager = times.together([(e.slug, fingerprint(e.variant), e.variant.input_hw) for e in entrants])
    for threads, first in eager[0].items():
        alike = [e[threads] for e in eager if threads in e]
        if len(alike) == len(entrants) and all(t is first or t.against(first) is not None for t in alike):
            what = first.scope if first.row is not None else f"{first.scope}, {IN_PROCESS}"
            yield _times(what, alike)
    timed = [{_conditions(row): row for row in _rows(e, records)} for e in entrants]
    shared = [place for place in timed[0] if all(place in t for t in timed)]
    asked = next((t.machine for of_network in eager for t in of_network.values()), "")
    machine = max((m for m, _ in shared), key=lambda m: (m == asked, [n for n, _ in shared].count(m)), default="")
    for place in shared:
        if place[0] == machine:
            yield _times(place[1], [time_of_row(t[place]) for t in timed])


def _times(what: str, alike: Sequence[NetworkTime]) -> CostRatio:
    return CostRatio(f"Latency, median; {what}", "ms", tuple(t.median_ms for t in alike), 1, tuple(alike))


def _rows(entrant: Entrant, records: Records) -> list[TimedRow]:
    """A network's counting rows but the eager ones of one image."""
    i = (entrant.slug, fingerprint(entrant.variant))
    own = rows(r for r in records if (r.identity.paper, r.identity.variant_hash) == i)
    eager = ("eager", "network", 1, entrant.variant.input_hw)
    return [
        row
        for row in own
        if row.counts and (row.timing.runtime, row.timing.scope, row.timing.batch, row.timing.input_hw) != eager
    ]


def _conditions(row: TimedRow) -> tuple[str, str]:
    """The machine, and what was timed how."""
    t = row.timing
    runtime = f"{label(t)} ({' '.join(filter(None, (t.version, t.precision)))})"
    where = f"{t.scope}, {size(t.input_hw)}, batch {t.batch}, {plural(t.threads, 'thread')}"
    return row.machine, f"{runtime}, {where}"


# ---------------------------------------------------------------------------------------------------- tables, words


def table(entrants: Sequence[Entrant], found: Sequence[CostRatio]) -> Table:
    """Values of every network with their ratio to the first one's below."""
    pocket = entrants[0].variant.scale == "pocket"
    hw = size(entrants[0].variant.input_hw)
    rows = [(Cell(f"{r.what}, {r.unit}"), *(_cell(r, k) for k in range(len(entrants)))) for r in found]
    columns = (Column("Quantity"), *(Column(f"{e.slug}, {e.variant.name}", numeric=True) for e in entrants))
    what = "the miniatures that were trained" if pocket else f"full size, {hw} px"
    machines = ", ".join(sorted({t.machine for r in found for t in r.times}))
    note = (
        f"Batch 1. Below each value its ratio to {entrants[0].slug}'s, of times with its 95 % CI. Counts are "
        f"exact, times medians{' on ' if machines else ''}{machines}. MACs do not order speed (F20)."
    )
    if any(t.row is None for r in found for t in r.times):
        note += f" {IN_PROCESS_NOTE}."
    return Table(
        f"ratios-{'pocket' if pocket else hw.replace('×', 'x')}",
        f"Cost beside each other: {what}.",
        columns,
        tuple(rows),
        note,
    )


def _cell(r: CostRatio, k: int) -> Cell:
    value, first = r.values[k], r.values[0]
    if value is None:
        return Cell(EMPTY)
    note = "" if k == 0 or not first else f"×{NO_BREAK}{number(value / first, 2)}"
    if k and (against := r.against(k, 0)) is not None:
        note = f"×{NO_BREAK}{number(against.value, 2)} {span(against.interval, 2)}"
    return Cell(number(value, r.digits), exact(value, r.unit), value, note=note)


def sentence(entrants: Sequence[Entrant], found: Sequence[CostRatio]) -> str:
    """Which network is cheapest by true MACs, and which is fastest, if that is another."""
    where = "in miniature" if entrants[0].variant.scale == "pocket" else f"at {size(entrants[0].variant.input_hw)} px"
    macs = found[0].values
    if any(v is None for v in macs):
        return ""
    values = [v for v in macs if v is not None]
    least, most = int(np.argmin(values)), int(np.argmax(values))
    text = f"Cost {where}: {entrants[least].name} needs the fewest MACs (true count), "
    text += f"{number(100 * values[least] / values[most], 0)}{NO_BREAK}% of {entrants[most].name}'s"
    timed = next((r for r in found if r.times), None)
    return f"{text}; {_speed(entrants, timed, least)}." if timed else f"{text}; they were not timed alike."


def _speed(entrants: Sequence[Entrant], timed: CostRatio, cheapest: int) -> str:
    """Which network is the fastest, held against the cheapest or, if that is the fastest, against the slowest.

    A ratio whose interval holds 1 decides nothing.
    """
    times = [t.median_ms for t in timed.times]
    fast, slow = int(np.argmin(times)), int(np.argmax(times))
    other = slow if fast == cheapest else cheapest
    against = timed.against(fast, other)
    assert against is not None
    share = f"×{number(against.value, 2)} {span(against.interval, 2)} of {entrants[other].name}'s time"
    where = timed.what.partition("; ")[2]
    if against.interval[1] >= 1:
        told = "the 95 % CI of its ratio to the slowest includes 1"
        if fast != cheapest:
            told = "none is faster with a 95 % CI that excludes 1"
        return f"{told} ({entrants[fast].name} takes {share}; {where})"
    if fast == cheapest:
        return f"it is also the fastest ({share}; {where})"
    return f"it is not the fastest: {entrants[fast].name} is ({share}; {where})"
