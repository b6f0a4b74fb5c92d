"""The page that asks what FasterPose saves without a GPU: three networks, every runtime, ratios with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpe_bench.catalog import LoadedPaper
from hpe_bench.cost.macs import one_image
from hpe_bench.declare import Claim, Variant, fingerprint
from hpe_bench.records import query
from hpe_bench.records.schema import RunRecord, Timing
from hpe_bench.report.kit import plots, svgdraw
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table
from hpe_bench.report.kit.text import NO_BREAK, exact, number, plural, signed, size, span
from hpe_bench.report.kit.theme import Style
from hpe_bench.report.pages import provenance_view
from hpe_bench.report.pages.claims_view import ORIGIN, published
from hpe_bench.report.pages.latency_view import EAGER, fastest, label, median_cell, ratio_cell, verdict
from hpe_bench.timing.statistics import alike, counts, images_per_second, latency_of, ratio
from hpe_bench.verdicts.evidence import Records

OURS = ("fasterpose", "d_r50_256x192")
RIVALS = (("simple_baseline", "r50_256x192"), ("hrnet", "w32_256x192"))
NAMES = {"fasterpose": "FasterPose", "simple_baseline": "SimpleBaseline", "hrnet": "HRNet"}
CLAIM = "flops-change"


@dataclass(frozen=True)
class Side:
    """One of the networks."""

    name: str
    variant: Variant
    record: RunRecord
    macs: float
    macs_hrnet_counter: float


@dataclass(frozen=True)
class WithoutGpuPage:
    """Everything the template needs."""

    answer: tuple[str, ...]
    counts: Table
    timings: tuple[Table, ...]  # by number of threads
    figures: tuple[Figure, ...]
    uncounted: Table | None
    environments: Table

    @property
    def tables(self) -> list[Table]:
        """Every table of the page, for the downloads beside it."""
        left_out = [self.uncounted] if self.uncounted else []
        return [self.counts, *self.timings, *left_out, self.environments]


def build(papers: Sequence[LoadedPaper], records: Records) -> WithoutGpuPage | None:
    """The page; None until FasterPose and a rival were timed on one machine."""
    loaded = {p.paper.slug: p for p in papers}
    sides = [s for slug, name in (OURS, *RIVALS) if slug in loaded and (s := _side(loaded[slug], name, records))]
    sides = [s for s in sides if s.record.provenance.device == sides[0].record.provenance.device]
    if len(sides) < 2 or sides[0].name != NAMES[OURS[0]]:
        return None
    threads = sorted({t.threads for t in _rows(sides[0]) if t.status == "done"})
    claim = next((c for c in loaded[OURS[0]].claims if c.id == CLAIM), None)
    return WithoutGpuPage(
        answer=tuple(_answer(sides, threads)),
        counts=_counts_table(sides, claim),
        timings=tuple(_timing_table(sides, n) for n in threads),
        figures=tuple(_figure(sides, n) for n in threads),
        uncounted=_uncounted(sides),
        environments=provenance_view.environments([s.record for s in sides]),
    )


def _side(loaded: LoadedPaper, name: str, records: Records) -> Side | None:
    variant = next((v for v in loaded.paper.variants if v.name == name), None)
    record = None if variant is None else query.of(records).latency(loaded.paper.slug, fingerprint(variant))
    if variant is None or record is None:
        return None
    macs, hrnet = (record.get(key, one_image(variant.input_hw)) for key in ("macs", "macs/hrnet_counter"))
    if macs is None or hrnet is None:
        return None
    return Side(NAMES[loaded.paper.slug], variant, record, macs.value, hrnet.value)


def _rows(side: Side) -> list[Timing]:
    """The forward pass of one image."""
    like = ("network", 1, side.variant.input_hw)
    return [t for t in side.record.timings if (t.scope, t.batch, t.input_hw) == like]


def _row(side: Side, runtime: str, threads: int) -> Timing | None:
    return next((t for t in _rows(side) if (t.runtime, t.threads) == (runtime, threads)), None)


def _counted(side: Side, runtime: str, threads: int) -> Timing | None:
    found = _row(side, runtime, threads)
    return found if found is not None and counts(found) else None


# ---------------------------------------------------------------------------------------------------- tables


def _counts_table(sides: Sequence[Side], claim: Claim | None) -> Table:
    """What is claimed and what is counted: FasterPose against each rival."""
    ours = sides[0]
    columns = (
        Column("Network"),
        Column("True GMAC", numeric=True),
        Column("FasterPose needs, true count", numeric=True),
        Column("by the HRNet counter", numeric=True),
    )
    rows = [
        (
            Cell(side.name, note=side.variant.name),
            Cell(number(side.macs / 1e9, 2), exact(side.macs, "MAC"), side.macs),
            *(
                [Cell(EMPTY)] * 2
                if side is ours
                else (
                    _change_cell(ours.macs, side.macs),
                    _change_cell(ours.macs_hrnet_counter, side.macs_hrnet_counter),
                )
            ),
        )
        for side in sides
    ]
    told = (
        "" if claim is None else f" The abstract says {published(claim)} ({ORIGIN[claim.status]}), by no named counter."
    )
    return Table("counts", f"What is saved on paper.{told}", columns, tuple(rows))


def _change_cell(value: float, base: float) -> Cell:
    change = 100 * (value / base - 1)
    return Cell(f"{signed(change, 1)}{NO_BREAK}%", exact(change, "percent"), change)


def _timing_table(sides: Sequence[Side], threads: int) -> Table:
    ours, rivals = sides[0], sides[1:]
    runtimes = list(dict.fromkeys(t.runtime for t in _rows(ours) if t.threads == threads and counts(t)))
    columns = (
        Column("Runtime"),
        *(Column(f"{s.name}, ms", numeric=True) for s in sides),
        *(Column(f"FasterPose / {s.name}", numeric=True) for s in rivals),
    )
    rows = []
    for runtime in runtimes:
        found = [_counted(s, runtime, threads) for s in sides]
        first = found[0]
        assert first is not None
        rows.append(
            (
                Cell(label(first), note=f"{first.precision} · {first.version}".rstrip(" ·")),
                *(Cell(EMPTY) if t is None else median_cell(t) for t in found),
                *(Cell(EMPTY) if t is None else ratio_cell(*ratio(first, t)) for t in found[1:]),
            )
        )
    caption = (
        f"One image of {size(ours.variant.input_hw)}, network alone, {plural(threads, 'thread')}, "
        f"{ours.record.provenance.device}: median with 95 % interval, p90 and calls (n), and ratios of medians."
    )
    return Table(f"threads-{threads}", caption, columns, tuple(rows), _turns(sides))


def _turns(sides: Sequence[Side]) -> str:
    if len({s.record.provenance.at for s in sides}) == 1:
        return (
            "The networks were timed in turns, round by round; the intervals of ratios resample rounds together, so "
            "that what disturbed all of them cancels."
        )
    return "The networks were timed at different times, so that a ratio also holds what changed on the machine between."


def _uncounted(sides: Sequence[Side]) -> Table | None:
    """Rows without times, and rows that the gate refused, with the reason."""
    rows = tuple(
        (
            Cell(label(t)),
            Cell(side.name),
            Cell(str(t.threads), sort=float(t.threads)),
            Cell(EMPTY) if t.status != "done" else median_cell(t),
            Cell(verdict(t)),
        )
        for side in sides
        for t in _rows(side)
        if not counts(t)
    )
    columns = (
        Column("Runtime"),
        Column("Network"),
        Column("Threads", numeric=True),
        Column("Median, ms", numeric=True),
        Column("Why it does not count"),
    )
    return Table("uncounted", "Rows that do not count.", columns, rows) if rows else None


def _figure(sides: Sequence[Side], threads: int) -> Figure:
    """Ratios of FasterPose to each rival, runtime by runtime."""
    ours, rivals = sides[0], sides[1:]
    shown = [t for t in _rows(ours) if t.threads == threads and counts(t)]
    rows = []
    for k, rival in enumerate(rivals):
        pairs = [(t, _counted(rival, t.runtime, threads)) for t in shown]
        ratios = [None if other is None else ratio(t, other) for t, other in pairs]
        values = tuple(None if r is None else r[0] for r in ratios)
        intervals = tuple(None if r is None else r[1] for r in ratios)
        rows.append(plots.Dots(f"against {rival.name}", Style(k + 1), values, intervals))
    svg = plots.dots(f"ratios-{threads}", [label(t) for t in shown], rows, "ratio of times")
    caption = f"FasterPose's time over the others', {plural(threads, 'thread')}; below 1 it is faster."
    caption += " Bars: 95 % intervals."
    return Figure(svg, caption, tuple((svgdraw.swatch(r.style), r.label) for r in rows))


# ---------------------------------------------------------------------------------------------------- in words


def _answer(sides: Sequence[Side], threads: Sequence[int]) -> list[str]:
    """What a reader without a GPU may expect, from the numbers alone."""
    return [text for n in threads if (text := " ".join(_answer_at(sides, n)))]


def _answer_at(sides: Sequence[Side], threads: int) -> list[str]:
    ours, told = sides[0], []
    best, eager = fastest(ours.record, ours.variant.input_hw, threads), _counted(ours, EAGER, threads)
    if best is None:
        return []
    times = latency_of(best)
    told.append(
        f"On {plural(threads, 'thread')}, FasterPose takes {number(times.median_ms, 1)}{NO_BREAK}ms an image "
        f"{span(times.interval_ms, 1)} in its fastest runtime, {label(best)}: {number(images_per_second(best), 1)} "
        "images a second."
    )
    if eager is not None and eager is not best and alike(eager, best):
        value, interval = ratio(eager, best)
        told.append(f"Eager PyTorch takes {number(value, 2)} times as long {span(interval, 2)}.")
    told += [_rival_sentence(ours, rival, threads) for rival in sides[1:]]
    return [t for t in told if t]


def _rival_sentence(ours: Side, rival: Side, threads: int) -> str:
    """Over all runtimes in which both count: the range of what is saved, beside what the counts promise."""
    rows = [t for t in _rows(ours) if t.threads == threads and counts(t)]
    ratios = [ratio(t, other) for t in rows if (other := _counted(rival, t.runtime, threads)) is not None]
    if not ratios:
        return ""
    saved = sorted(100 * (1 - value) for value, _ in ratios)
    sure = sum(high < 1 for _, (_, high) in ratios)
    promised = 100 * (1 - ours.macs / rival.macs)
    return (
        f"Against {rival.name} it {_saving(saved[0], saved[-1])}, where it has {number(promised, 0)}{NO_BREAK}% fewer "
        f"multiply-adds; it is faster beyond doubt in {sure} of {plural(len(ratios), 'runtime')}."
    )


def _saving(least: float, most: float) -> str:
    """A range of savings in percent, in words; what is negative costs time."""
    low, high = number(abs(least), 0), number(abs(most), 0)
    if least < 0 < most:
        return f"takes between {low}{NO_BREAK}% more and {high}{NO_BREAK}% less time"
    few, many = (low, high) if least >= 0 else (high, low)
    extent = few if few == many else f"{few} to {many}"
    return f"saves {extent}{NO_BREAK}% of the time" if least >= 0 else f"takes {extent}{NO_BREAK}% more time"
