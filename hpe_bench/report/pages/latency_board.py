"""Latency by runtime on the leaderboard: every network in every runtime it was timed in, and its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hpe_bench.cost.model_cost import one_image
from hpe_bench.declare import Variant
from hpe_bench.records import query
from hpe_bench.records.schema import Measurement, RunRecord, Timing
from hpe_bench.report.kit.latency_text import LATENCY, label, named, verdict
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, latency_cell, mib_cell
from hpe_bench.report.kit.text import exact, number, plural, size
from hpe_bench.report.pages.entries import Flat
from hpe_bench.report.pages.latency_view import against_cell, speed_cell
from hpe_bench.timing.rows import ALONE, EAGER, OVER_PEAK, NetworkTime, TimedRow, eager_of, rows, time_of_row
from hpe_bench.timing.statistics import counts

PEAK = "memory/activations_peak"
NAMED = 3  # networks that a sentence names; of more it says how many
Link = Callable[[RunRecord], str]


@dataclass(frozen=True)
class Timed:
    """The forward pass of a network in a runtime, under conditions, over its timing runs."""

    row: TimedRow
    scale: str  # of the network
    eager: TimedRow | None  # what it is held against: eager float32 under the same conditions

    @property
    def record(self) -> RunRecord:
        return self.row.record

    @property
    def timing(self) -> Timing:
        return self.row.timing

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
            "data-machine": self.row.machine,
        }

    def flat(self) -> Flat:
        """Every value at full precision under a name that says its unit; of a refused row too, which `counts` tells."""
        i, t, row = self.record.identity, self.timing, self.row
        times = row.latency if row.timed else None
        against = row.against(self.eager) if self.eager is not None and row.counts else None
        if against is not None and not against.paired:
            against = None
        counted = {
            key: None if (m := row.count(key)) is None else m.value for key in ("macs", "params", "weight_bytes")
        }
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
            "counts": row.counts,
            "settled": row.settled,
            "deviation": t.deviation,
            "tolerance": t.tolerance,
            "median_ms": None if times is None else times.median_ms,
            "interval95_low_ms": None if times is None else times.interval_ms[0],
            "interval95_high_ms": None if times is None else times.interval_ms[1],
            "p90_ms": None if times is None else times.percentile_ms(90),
            "calls": None if times is None else times.n,
            "timing_runs": None if times is None else row.runs,
            "images_per_second": None if times is None else row.images_per_second,
            "gmacs_per_second": None if times is None else row.gmacs_per_second,
            "ratio_to_eager": None if against is None else against.value,
            "ratio_interval95_low": None if against is None else against.interval[0],
            "ratio_interval95_high": None if against is None else against.interval[1],
            "process_peak_bytes": t.peak_rss_bytes,
            "activations_peak_bytes": None if (m := activations_peak(self.record, t.input_hw)) is None else m.value,
            "weight_bytes": counted["weight_bytes"],
            "macs": counted["macs"],
            "parameters": counted["params"],
            "machine": row.machine,
            "started": self.record.provenance.started,
            "record": " ".join(row.records),
        }


@dataclass(frozen=True)
class LatencyBoard:
    """The section of the leaderboard: a table of what was timed, and sentences on what was not."""

    rows: tuple[Timed, ...]  # also those without times
    table: Table
    untimed: tuple[str, ...]


def build(found: Sequence[Timed], to: Link) -> LatencyBoard | None:
    """The section; `to` gives the address of a record. None where nothing was timed."""
    timed = sorted((r for r in found if r.row.timed), key=_order)
    without = sorted((r for r in found if not r.row.timed), key=_order)
    return LatencyBoard((*timed, *without), _table(timed, to), _untimed(without)) if timed else None


def timed_rows(records: Iterable[RunRecord], variants: Mapping[str, Variant]) -> list[Timed]:
    """One row for each network, machine, runtime and conditions.

    `variants` are the networks by hash. Flip test and decoding are on the papers' pages.
    """
    found = [r for r in rows(records) if r.timing.scope == ALONE and r.record.identity.variant_hash in variants]
    bases = [r for r in found if r.timing.runtime == EAGER and r.counts]
    return [Timed(r, variants[r.record.identity.variant_hash].scale, eager_of(bases, r)) for r in found]


def _order(row: Timed) -> tuple[object, ...]:
    """One thread and one image first; the runtimes of a network together, those that count first, fastest first."""
    i, t = row.record.identity, row.timing
    ms = row.row.median_ms if row.row.timed else 0.0
    network = (row.scale, i.paper, i.variant, t.input_hw, row.row.machine)
    return t.threads, t.batch, network, not row.row.counts, ms, t.runtime


# ---------------------------------------------------------------------------------------------------- the table

NOTE = (
    f"The forward pass alone. {LATENCY}. "
    "GMAC/s: true multiply-adds a second. vs eager: ratio to eager float32 of the same network, threads, batch and "
    "input, within timing runs; below 1 is faster. Process: its whole memory at the peak, libraries and weights "
    "included. Activations: the peak that one image needs in eager float32; weights: as stored, float32. Check: final "
    "maps against eager float32's; a refused time is told and counts for nothing. Not settled: the median still moved, "
    "the spread stayed wide, or the row's share of the time was spent."
)


def _table(found: Sequence[Timed], to: Link) -> Table:
    varied = len({r.timing.batch for r in found}) > 1
    columns = (
        Column("Network"),
        Column("Runtime"),
        Column("Threads", numeric=True),
        *([Column("Batch", numeric=True)] if varied else []),
        Column("Median, ms", numeric=True),
        Column("Images/s", numeric=True),
        Column("GMAC/s", numeric=True),
        Column("vs eager", numeric=True),
        Column("Process, MiB", numeric=True),
        Column("Activations, MiB", numeric=True),
        Column("Weights, MiB", numeric=True),
        Column("Check"),
    )
    machines = sorted({r.row.machine for r in found})
    cells = tuple(_cells(r, to(r.record), varied, len(machines) > 1) for r in found)
    attributes = tuple({"id": f"latency-{k}", **r.facets} for k, r in enumerate(found))
    caption = "Latency by runtime: fewest threads first, the runtimes of a network together, fastest first."
    over = any(r.row.counts and (r.row.share_of_peak or 0) > 100 for r in found)
    note = f"{NOTE}{f' *: {OVER_PEAK}' if over else ''} On {', '.join(machines)}."
    return Table("latency", caption, columns, cells, note, attributes=attributes)


def _cells(row: Timed, href: str, name_batch: bool, name_machine: bool) -> tuple[Cell, ...]:
    i, t = row.record.identity, row.timing
    machine = row.row.machine if name_machine else ""
    cells = (
        *_time_cells(row),
        mib_cell(t.peak_rss_bytes),
        mib_cell(None if (m := activations_peak(row.record, t.input_hw)) is None else m.value),
        mib_cell(None if (m := row.row.count("weight_bytes")) is None else m.value),
    )
    return (
        Cell(
            i.paper, href=f"{i.paper}/index.html", note=" · ".join(filter(None, (i.variant, size(t.input_hw), machine)))
        ),
        Cell(label(t), note=" · ".join(filter(None, (t.precision, t.version)))),
        Cell(str(t.threads), sort=float(t.threads)),
        *([Cell(str(t.batch), sort=float(t.batch))] if name_batch else []),
        *(replace(c, href=href) if c.note or c.sort is not None else c for c in cells),
        _check_cell(t),
    )


def _time_cells(row: Timed) -> tuple[Cell, ...]:
    """Median, images and GMAC a second, ratio to eager; a refused row tells its median and is never ranked."""
    time = latency_cell(time_of_row(row.row), full=True)
    if not row.row.counts:
        told = replace(time, text=EMPTY, sort=None, note=f"refused: {time.text} · {time.note}")
        return told, *[Cell(EMPTY)] * 3
    speed = row.row.images_per_second
    bases = [] if row.eager is None else [row.eager]
    return time, Cell(number(speed, 1), exact(speed), speed), speed_cell(row.row), against_cell(bases, row.row)


def _check_cell(t: Timing) -> Cell:
    if t.deviation is None or t.tolerance is None:
        return Cell("refused", note="its maps were not checked")
    passed = "passed" if counts(t) else "refused"
    return Cell(passed, verdict(t), note=f"deviation {t.deviation:.1g} (limit {t.tolerance:g})")


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
    found: Iterable[Timed], variants: Mapping[str, Variant]
) -> dict[tuple[str, str, str], list[TimedRow]]:
    """Counting rows of one image at the declared input size, on the fewest threads of each runtime but eager.

    By paper, hash of the variant, and machine.
    """
    by_network: dict[tuple[str, str, str], dict[str, TimedRow]] = {}
    for row in (r.row for r in found):
        i, t = row.record.identity, row.timing
        if t.batch != 1 or t.input_hw != variants[i.variant_hash].input_hw or t.runtime == EAGER or not row.counts:
            continue
        of_network = by_network.setdefault((i.paper, i.variant_hash, row.machine), {})
        if t.runtime not in of_network or t.threads < of_network[t.runtime].timing.threads:
            of_network[t.runtime] = row
    return {key: sorted(of.values(), key=lambda r: label(r.timing)) for key, of in by_network.items()}


def instead(time: NetworkTime, to: Link) -> Cell:
    """A network's latency in a runtime, for a column that shows what is asked for."""
    cell = latency_cell(time)
    told = f"{named(time.runtime)} · {plural(time.threads, 'thread')}"
    return replace(cell, note=f"{told} · {cell.note}", href=to(time.record))


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
