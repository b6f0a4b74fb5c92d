"""What papers' networks cost beside each other: at every input size they share, in miniature, under every counter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Variant, fingerprint
from hpe_bench.records import query
from hpe_bench.records.schema import RunRecord, Timing
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table
from hpe_bench.report.kit.text import NO_BREAK, exact, number, plural, size
from hpe_bench.report.pages.latency_view import label, median_ms
from hpe_bench.timing.statistics import counts
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
class Ratio:
    """One quantity of several networks: values in the order of the entrants, None where not measured alike."""

    what: str
    unit: str
    values: tuple[float | None, ...]
    digits: int = 2


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


def ratios(entrants: Sequence[Entrant], records: Records) -> list[Ratio]:
    """Counts, eager latencies by scope and latencies by runtime; times only where all were taken on one machine."""
    found = []
    for key, what, per, prefix in COUNTS:
        values = [m.value / per if (m := e.record.get(key)) else None for e in entrants]
        found.append(Ratio(what, prefix, tuple(values)))
    if len({e.record.provenance.device for e in entrants}) == 1:
        scopes = [set(query.latencies(e.record)) for e in entrants]
        for scope in query.latencies(entrants[0].record):
            if all(scope in s for s in scopes):
                medians = tuple(query.latencies(e.record)[scope].value for e in entrants)
                found.append(Ratio(f"Latency, median; {scope}", "ms", medians, 1))
    return [*(r for r in found if any(v is not None for v in r.values)), *_by_runtime(entrants, records)]


def _by_runtime(entrants: Sequence[Entrant], records: Records) -> Iterator[Ratio]:
    """Rows of latency records that every entrant has, in the order of the first one's."""
    quoted = [query.of(records).latency(e.slug, fingerprint(e.variant)) for e in entrants]
    there = [r for r in quoted if r is not None]
    if len(there) < len(entrants) or len({r.provenance.device for r in there}) > 1:
        return
    timed = [{_conditions(t): t for t in r.timings if counts(t)} for r in there]
    for conditions in timed[0]:
        if all(conditions in t for t in timed):
            medians = tuple(median_ms(t[conditions]) for t in timed)
            yield Ratio(f"Latency, median; {conditions}", "ms", medians, 1)


def _conditions(t: Timing) -> str:
    runtime = f"{label(t)} ({' '.join(filter(None, (t.version, t.precision)))})"
    return f"{runtime}, {t.scope}, {size(t.input_hw)}, batch {t.batch}, {plural(t.threads, 'thread')}"


# ---------------------------------------------------------------------------------------------------- tables, words


def table(entrants: Sequence[Entrant], found: Sequence[Ratio]) -> Table:
    """Values of every network with their ratio to the first one's below."""
    pocket = entrants[0].variant.scale == "pocket"
    hw = size(entrants[0].variant.input_hw)
    rows = [(Cell(f"{r.what}, {r.unit}"), *(_cell(r, k) for k in range(len(entrants)))) for r in found]
    columns = (Column("Quantity"), *(Column(f"{e.slug}, {e.variant.name}", numeric=True) for e in entrants))
    what = "the miniatures that were trained" if pocket else f"full size, {hw} px"
    note = (
        f"Batch 1. Below each value its ratio to {entrants[0].slug}'s. Counts are exact, times medians on "
        f"{entrants[0].record.provenance.device}; the last table has their intervals. MACs do not order speed (F20)."
    )
    return Table(
        f"ratios-{'pocket' if pocket else hw.replace('×', 'x')}",
        f"Cost beside each other: {what}.",
        columns,
        tuple(rows),
        note,
    )


def _cell(r: Ratio, k: int) -> Cell:
    value, first = r.values[k], r.values[0]
    if value is None:
        return Cell(EMPTY)
    note = "" if k == 0 or not first else f"×{NO_BREAK}{number(value / first, 2)}"
    return Cell(number(value, r.digits), exact(value, r.unit), value, note=note)


def sentence(entrants: Sequence[Entrant], found: Sequence[Ratio]) -> str:
    """Which network is cheapest by true MACs, and which is fastest, if that is another."""
    where = "in miniature" if entrants[0].variant.scale == "pocket" else f"at {size(entrants[0].variant.input_hw)} px"
    macs = found[0].values
    if any(v is None for v in macs):
        return ""
    values = [v for v in macs if v is not None]
    least, most = int(np.argmin(values)), int(np.argmax(values))
    text = f"Cost {where}: {entrants[least].name} needs the fewest MACs (true count), "
    text += f"{number(100 * values[least] / values[most], 0)}{NO_BREAK}% of {entrants[most].name}'s"
    timed = next((r for r in found if r.unit == "ms" and None not in r.values), None)
    if timed is None:
        return f"{text}; they were not timed alike."
    times = [v for v in timed.values if v is not None]
    fast = int(np.argmin(times))
    also = "is also the fastest" if fast == least else f"is not the fastest: {entrants[fast].name} is"
    share = f"{number(100 * times[least] / max(times), 0)}{NO_BREAK}% of the slowest's time"
    return f"{text}; it {also} (it takes {share}; {timed.what.partition('; ')[2]})."
