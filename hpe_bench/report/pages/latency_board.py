"""Latency by runtime on the leaderboard: every network in every runtime it was timed in, and its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hpe_bench.cost.macs import one_image
from hpe_bench.declare import Variant
from hpe_bench.records import query
from hpe_bench.records.schema import Measurement, RunRecord, Timing
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, exact_span, mib_cell
from hpe_bench.report.kit.text import NO_BREAK, exact, number, plural, size, span
from hpe_bench.report.pages.entries import Flat
from hpe_bench.report.pages.latency_view import EAGER, label, median_ms, ratio_cell, verdict
from hpe_bench.timing.latency import Latency
from hpe_bench.timing.statistics import (
    CALLS_FOR_P99,
    alike,
    counts,
    gmacs_per_second,
    images_per_second,
    latency_of,
    ratio,
)

PEAK = "memory/activations_peak"
NAMED = 3  # networks that a sentence names; of more it says how many
Link = Callable[[RunRecord], str]


@dataclass(frozen=True)
class Timed:
    """The forward pass of a network in a runtime, under conditions, and the record that says so."""

    record: RunRecord
    timing: Timing
    scale: str  # of the network

    @property
    def counted(self) -> bool:
        """Whether its time may be compared."""
        return counts(self.timing)

    @property
    def eager(self) -> Timing | None:
        """What it is held against: eager float32 in the same turns, under the same conditions."""
        return next(
            (b for b in self.record.timings if b.runtime == EAGER and alike(b, self.timing) and counts(b)), None
        )

    def count(self, key: str) -> Measurement | None:
        """A count of one image of this input size."""
        return self.record.get(key, one_image(self.timing.input_hw))

    @property
    def facets(self) -> dict[str, str]:
        """What the page filters by, as HTML attributes."""
        t = self.timing
        return {
            "data-paper": self.record.identity.paper,
            "data-by": "us",
            "data-scale": self.scale,
            "data-runtime": label(t),
            "data-threads": str(t.threads),
            "data-batch": str(t.batch),
            "data-machine": self.record.provenance.device,
        }

    def flat(self) -> Flat:
        """Every value at full precision under a name that says its unit; of a refused row too, which `counts` tells."""
        i, t = self.record.identity, self.timing
        times = latency_of(t) if t.status == "done" else None
        macs, eager = self.count("macs"), self.eager
        against = ratio(t, eager) if eager is not None and self.counted else None
        return {
            "paper": i.paper,
            "variant": i.variant,
            "scale": self.scale,
            "input_height_px": t.input_hw[0],
            "input_width_px": t.input_hw[1],
            "runtime": t.runtime,
            "runtime_version": t.version,
            "precision": t.precision,
            "threads": t.threads,
            "batch": t.batch,
            "status": t.status,
            "reason": t.reason,
            "counts": self.counted,
            "settled": t.settled,
            "deviation": t.deviation,
            "tolerance": t.tolerance,
            "median_ms": None if times is None else times.median_ms,
            "interval95_low_ms": None if times is None else times.interval_ms[0],
            "interval95_high_ms": None if times is None else times.interval_ms[1],
            "p90_ms": None if times is None else times.percentile_ms(90),
            "calls": None if times is None else times.n,
            "images_per_second": None if times is None else images_per_second(t),
            "gmacs_per_second": None if times is None or macs is None else gmacs_per_second(t, macs.value),
            "ratio_to_eager": None if against is None else against[0],
            "ratio_interval95_low": None if against is None else against[1][0],
            "ratio_interval95_high": None if against is None else against[1][1],
            "process_peak_bytes": t.peak_rss_bytes,
            "activations_peak_bytes": None if (m := activations_peak(self.record, t.input_hw)) is None else m.value,
            "weight_bytes": None if (m := self.count("weight_bytes")) is None else m.value,
            "macs": None if macs is None else macs.value,
            "parameters": None if (m := self.count("params")) is None else m.value,
            "machine": self.record.provenance.device,
            "started": self.record.provenance.started,
            "record": self.record.id,
        }


@dataclass(frozen=True)
class LatencyBoard:
    """The section of the leaderboard: a table of what was timed, and sentences on what was not."""

    rows: tuple[Timed, ...]  # also those without times
    table: Table
    untimed: tuple[str, ...]


def build(rows: Sequence[Timed], to: Link) -> LatencyBoard | None:
    """The section; `to` gives the address of a record. None where nothing was timed."""
    timed = sorted((r for r in rows if r.timing.status == "done"), key=_order)
    without = sorted((r for r in rows if r.timing.status != "done"), key=_order)
    return LatencyBoard((*timed, *without), _table(timed, to), _untimed(without)) if timed else None


def timed_rows(records: Iterable[RunRecord], variants: Mapping[str, Variant]) -> list[Timed]:
    """One row for each network, machine, runtime and conditions: of the record to quote, unless it skipped it there.

    `variants` are the networks by hash. Flip test and decoding are on the papers' pages.
    """
    found = [r for r in query.of(records).finished("latency") if r.identity.variant_hash in variants]
    quoted: dict[tuple[object, ...], Timed] = {}
    for r in query.quoted_rows(found):
        i = r.identity
        for t in r.timings:
            key = (i.paper, i.variant_hash, r.provenance.device, t.runtime, t.input_hw, t.batch, t.threads)
            if t.scope == "network" and (t.status != "skipped" or key not in quoted):
                quoted[key] = Timed(r, t, variants[i.variant_hash].scale)
    return list(quoted.values())


def _order(row: Timed) -> tuple[object, ...]:
    """One thread and one image first; the runtimes of a network together, those that count first, fastest first."""
    i, t = row.record.identity, row.timing
    ms = median_ms(t) if t.status == "done" else 0.0
    network = (row.scale, i.paper, i.variant, t.input_hw, row.record.provenance.device)
    return t.threads, t.batch, network, not row.counted, ms, t.runtime


# ---------------------------------------------------------------------------------------------------- the table

NOTE = (
    "The forward pass alone. Median of single calls with its 95 % interval over rounds; p90, from 100 calls on p99. "
    "GMAC/s: true multiply-adds a second. Of eager: ratio to eager float32 of the same network, threads, batch and "
    "input, timed in the same turns; below 1 is faster. Process: its whole memory at the peak, libraries and weights "
    "included. Activations: the peak that one image needs in eager float32; weights: as stored, float32. Gate: final "
    "maps against eager float32's; a refused time is told and counts for nothing. Not settled: the median still moved "
    "or the spread stayed wide."
)


def _table(rows: Sequence[Timed], to: Link) -> Table:
    varied = len({r.timing.batch for r in rows}) > 1
    columns = (
        Column("Network"),
        Column("Runtime"),
        Column("Threads", numeric=True),
        *([Column("Batch", numeric=True)] if varied else []),
        Column("Median, ms", numeric=True),
        Column("Images/s", numeric=True),
        Column("GMAC/s", numeric=True),
        Column("Of eager", numeric=True),
        Column("Process, MiB", numeric=True),
        Column("Activations, MiB", numeric=True),
        Column("Weights, MiB", numeric=True),
        Column("Gate"),
    )
    machines = sorted({r.record.provenance.device for r in rows})
    cells = tuple(_cells(r, to(r.record), varied, len(machines) > 1) for r in rows)
    attributes = tuple({"id": f"latency-{k}", **r.facets} for k, r in enumerate(rows))
    caption = "Latency by runtime: fewest threads first, the runtimes of a network together, fastest first."
    return Table("latency", caption, columns, cells, f"{NOTE} On {', '.join(machines)}.", attributes=attributes)


def _cells(row: Timed, href: str, name_batch: bool, name_machine: bool) -> tuple[Cell, ...]:
    i, t = row.record.identity, row.timing
    machine = row.record.provenance.device if name_machine else ""
    cells = (
        *_time_cells(row),
        mib_cell(t.peak_rss_bytes),
        mib_cell(None if (m := activations_peak(row.record, t.input_hw)) is None else m.value),
        mib_cell(None if (m := row.count("weight_bytes")) is None else m.value),
    )
    return (
        Cell(
            i.paper, href=f"{i.paper}/index.html", note=" · ".join(filter(None, (i.variant, size(t.input_hw), machine)))
        ),
        Cell(label(t), note=" · ".join(filter(None, (t.precision, t.version)))),
        Cell(str(t.threads), sort=float(t.threads)),
        *([Cell(str(t.batch), sort=float(t.batch))] if name_batch else []),
        *(replace(c, href=href) if c.note or c.sort is not None else c for c in cells),
        _gate_cell(t),
    )


def _time_cells(row: Timed) -> tuple[Cell, ...]:
    """Median, images and GMAC a second, ratio to eager; a refused row tells its median and is never ranked."""
    t = row.timing
    times = latency_of(t)
    over = (span(times.interval_ms, 1), *_high(times), f"n{NO_BREAK}{times.n:,}", "" if t.settled else "not settled")
    title = f"{exact(times.median_ms, 'ms')}, {exact_span(times.interval_ms)}"
    if not row.counted:
        told = (f"refused: {number(times.median_ms, 1)}", *over)
        return Cell(EMPTY, title, note=" · ".join(filter(None, told))), *[Cell(EMPTY)] * 3
    speed, macs = images_per_second(t), row.count("macs")
    gmacs = None if macs is None else gmacs_per_second(t, macs.value)
    return (
        Cell(number(times.median_ms, 1), title, times.median_ms, note=" · ".join(filter(None, over))),
        Cell(number(speed, 1), exact(speed), speed),
        Cell(EMPTY, "not counted") if gmacs is None else Cell(number(gmacs, 0), exact(gmacs, "GMAC/s"), gmacs),
        _against_cell(row),
    )


def _high(times: Latency) -> list[str]:
    """p90, and p99 where there are calls enough."""
    shown = (90, 99) if times.n >= CALLS_FOR_P99 else (90,)
    return [f"p{q}{NO_BREAK}{number(times.percentile_ms(q), 1)}" for q in shown]


def _against_cell(row: Timed) -> Cell:
    eager = row.eager
    if eager is None:
        return Cell(EMPTY, "eager float32 was not timed in the same turns")
    return Cell("1", sort=1.0) if eager is row.timing else ratio_cell(*ratio(row.timing, eager))


def _gate_cell(t: Timing) -> Cell:
    if t.deviation is None or t.tolerance is None:
        return Cell("refused", note="its maps were not checked")
    passed = "passed" if counts(t) else "refused"
    return Cell(passed, verdict(t), note=f"{t.deviation:.0e} of {t.tolerance:.0e}")


def _untimed(rows: Sequence[Timed]) -> tuple[str, ...]:
    """What was skipped or failed: a sentence for each reason, with the runtimes and the networks that share it."""
    networks: dict[tuple[str, str, str], dict[str, None]] = {}
    for r in rows:
        i, t = r.record.identity, r.timing
        networks.setdefault((t.status, t.reason, label(t)), {})[f"{i.paper} {i.variant}"] = None
    runtimes: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (status, reason, runtime), names in sorted(networks.items()):
        runtimes.setdefault((status, reason, tuple(sorted(names))), []).append(runtime)
    return tuple(
        f"{'Failed' if status == 'failed' else 'Skipped'} on {_named(names)}: {'; '.join(found)}. "
        f"{reason[:1].upper()}{reason[1:].rstrip('.')}."
        for (status, reason, names), found in runtimes.items()
    )


def _named(names: Sequence[str]) -> str:
    return plural(len(names), "network") if len(names) > NAMED else ", ".join(names)


# ---------------------------------------------------------------------------------------------------- other tables


def activations_peak(record: RunRecord, input_hw: tuple[int, int]) -> Measurement | None:
    """The peak of activations of one image, in eager float32."""
    return record.get(PEAK, f"{one_image(input_hw)}, eager, fp32")


def in_other_runtimes(
    rows: Iterable[Timed], variants: Mapping[str, Variant]
) -> dict[tuple[str, str, str], list[Timed]]:
    """Counting rows of one image at the declared input size, on the fewest threads of each runtime but eager.

    By paper, hash of the variant, and machine.
    """
    found: dict[tuple[str, str, str], dict[str, Timed]] = {}
    for row in rows:
        i, t = row.record.identity, row.timing
        if t.batch != 1 or t.input_hw != variants[i.variant_hash].input_hw or t.runtime == EAGER or not row.counted:
            continue
        of_network = found.setdefault((i.paper, i.variant_hash, row.record.provenance.device), {})
        if t.runtime not in of_network or t.threads < of_network[t.runtime].timing.threads:
            of_network[t.runtime] = row
    return {key: sorted(of.values(), key=lambda r: label(r.timing)) for key, of in found.items()}


def instead(row: Timed, to: Link) -> tuple[str, Cell]:
    """A runtime's name and its latency, for a column that shows what is asked for."""
    t, times = row.timing, latency_of(row.timing)
    told = (label(t), plural(t.threads, "thread"), span(times.interval_ms, 1), "" if t.settled else "not settled")
    title = f"{exact(times.median_ms, 'ms')}, {exact_span(times.interval_ms)}"
    note = " · ".join(filter(None, told))
    return label(t), Cell(number(times.median_ms, 1), title, times.median_ms, note, href=to(row.record))


def with_memory(
    table: Table, costs: Sequence[RunRecord], records: Iterable[RunRecord], variants: Mapping[str, Variant], to: Link
) -> Table:
    """A table of cost records with each network's weights, and with its peak of activations where one was measured."""
    peaks: dict[tuple[str, str], tuple[RunRecord, Measurement]] = {}
    for r in query.oldest_first(query.of(records).finished("latency")):
        i = r.identity
        if i.variant_hash in variants:
            m = activations_peak(r, variants[i.variant_hash].input_hw)
            if m is not None:
                peaks[i.paper, i.variant_hash] = r, m
    cells = []
    for r in costs:
        weights, peak = r.get("weight_bytes"), peaks.get((r.identity.paper, r.identity.variant_hash))
        cells.append(
            (
                _linked(None if weights is None else weights.value, to(r)),
                _linked(None, "") if peak is None else _linked(peak[1].value, to(peak[0])),
            )
        )
    shown = 2 if peaks else 1
    columns = (Column("Weights, MiB", numeric=True), Column("Peak activations, MiB", numeric=True))[:shown]
    rows = tuple((*row, *more[:shown]) for row, more in zip(table.rows, cells, strict=True))
    note = " Peak activations: what one image needs in eager float32." if peaks else ""
    return replace(
        table, columns=(*table.columns, *columns), rows=rows, note=f"{table.note} Weights as stored, float32.{note}"
    )


def _linked(count_bytes: float | None, href: str) -> Cell:
    cell = mib_cell(count_bytes)
    return cell if cell.sort is None else replace(cell, href=href)
