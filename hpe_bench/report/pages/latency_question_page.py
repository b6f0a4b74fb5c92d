"""The page that answers a paper's question about latency: its network against others, every runtime, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Claim, LatencyQuestion, Variant, fingerprint
from hpe_bench.records import query
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit import plots, svgdraw
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.latency_text import LATENCY, label, verdict
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, latency_cell
from hpe_bench.report.kit.text import NO_BREAK, exact, number, plural, signed, size, span
from hpe_bench.report.kit.theme import Style
from hpe_bench.report.pages import networks, provenance_view
from hpe_bench.report.pages.claims_view import ORIGIN, published
from hpe_bench.report.pages.latency_view import ratio_cell
from hpe_bench.report.pages.networks import Printed, ScoreField
from hpe_bench.timing.rows import ALONE, EAGER, TimedRow, rows, time_of_row
from hpe_bench.timing.statistics import Ratio
from hpe_bench.verdicts.evidence import Records


@dataclass(frozen=True)
class Side:
    """One of the networks: the rows of its forward pass of one image, on one machine."""

    name: str
    variant: Variant
    rows: tuple[TimedRow, ...]
    macs: float
    macs_hrnet_counter: float
    called: str  # the variant, as readers call it
    printed: Mapping[ScoreField, Printed]

    @property
    def machine(self) -> str:
        return self.rows[0].machine

    @property
    def records(self) -> dict[str, RunRecord]:
        """The records behind it, by id."""
        return {r.id: r for row in self.rows for r, _ in row.found}

    def row(self, runtime: str, threads: int) -> TimedRow | None:
        """The row of a runtime, if it counts."""
        like = (runtime, threads)
        return next((r for r in self.rows if (r.timing.runtime, r.timing.threads) == like and r.counts), None)


@dataclass(frozen=True)
class LatencyQuestionPage:
    """Everything the template needs."""

    asked: LatencyQuestion
    answer: tuple[str, ...]
    accuracy: Table
    counts: Table
    timings: tuple[Table, ...]  # by number of threads
    figures: tuple[Figure, ...]
    uncounted: Table | None
    environments: Table

    @property
    def tables(self) -> list[Table]:
        """Every table of the page, for the downloads beside it."""
        left_out = [self.uncounted] if self.uncounted else []
        return [self.accuracy, self.counts, *self.timings, *left_out, self.environments]


def build_all(papers: Sequence[LoadedPaper], records: Records) -> list[LatencyQuestionPage]:
    """The pages of all papers that ask something and were timed."""
    asking = [p for p in papers if p.paper.latency_question is not None]
    found = rows(records) if asking else []
    return [page for loaded in asking if (page := build(loaded, papers, found)) is not None]


def build(loaded: LoadedPaper, papers: Sequence[LoadedPaper], found: Sequence[TimedRow]) -> LatencyQuestionPage | None:
    """The page of one paper; None until its network and another were timed on one machine."""
    asked = loaded.paper.latency_question
    assert asked is not None
    by_slug = {p.paper.slug: p for p in papers}
    names = [(loaded.paper.slug, loaded.paper.timed[0]), *(tuple(n.split("/")) for n in loaded.paper.timed_against)]
    machines = dict.fromkeys(row.machine for row in sorted(found, key=lambda r: query.age(r.record), reverse=True))
    sides = max((_sides(names, by_slug, found, machine) for machine in machines), key=_told, default=[])
    if len(sides) < 2 or sides[0].name != loaded.paper.name:
        return None
    threads = sorted({r.timing.threads for r in sides[0].rows if r.timed})
    claim = next((c for c in loaded.claims if c.id == asked.claim), None)
    behind = {i: r for s in sides for i, r in s.records.items()}
    return LatencyQuestionPage(
        asked=asked,
        answer=tuple(_answer(sides, threads)),
        accuracy=_accuracy_table(sides, threads),
        counts=_counts_table(sides, claim),
        timings=tuple(_timing_table(sides, n) for n in threads),
        figures=tuple(_figure(sides, n) for n in threads),
        uncounted=_uncounted(sides),
        environments=provenance_view.environments(list(behind.values())),
    )


def _sides(
    names: Sequence[tuple[str, ...]], by_slug: Mapping[str, LoadedPaper], found: Sequence[TimedRow], machine: str
) -> list[Side]:
    """What was timed on one machine."""
    there = [row for row in found if row.machine == machine]
    return [s for slug, name in names if slug in by_slug and (s := _side(by_slug[slug], name, there))]


def _told(sides: Sequence[Side]) -> tuple[int, int]:
    """How much a machine tells: how many networks were timed there, and in how many rows."""
    return len(sides), sum(len(s.rows) for s in sides)


def _side(loaded: LoadedPaper, name: str, found: Sequence[TimedRow]) -> Side | None:
    """A network's rows, all of one machine."""
    variant = next((v for v in loaded.paper.variants if v.name == name), None)
    if variant is None:
        return None
    wanted = (loaded.paper.slug, fingerprint(variant), ALONE, 1, variant.input_hw)
    own = [r for r in found if _asked(r) == wanted]
    if not own:
        return None
    last = max(own, key=lambda r: query.age(r.record))
    macs, hrnet = (last.count(key) for key in ("macs", "macs/hrnet_counter"))
    if macs is None or hrnet is None:
        return None
    return Side(
        name=loaded.paper.name,
        variant=variant,
        rows=tuple(own),
        macs=macs.value,
        macs_hrnet_counter=hrnet.value,
        called=loaded.paper.name_of(variant.name),
        printed=networks.printed(loaded.claims, variant.name),
    )


def _asked(row: TimedRow) -> tuple[object, ...]:
    i, t = row.record.identity, row.timing
    return i.paper, i.variant_hash, t.scope, t.batch, t.input_hw


# ---------------------------------------------------------------------------------------------------- tables


def _accuracy_table(sides: Sequence[Side], threads: Sequence[int]) -> Table:
    """Published accuracy beside the least latency at every number of threads."""
    count = {f: sum(f in s.printed for s in sides) for s in sides for f in s.printed}
    fields = sorted((f for f in count if count[f] > 1), key=lambda f: (-count[f], f.key))
    columns = (
        Column("Network"),
        *(Column(f"{f.name}, %, {f.protocol}", numeric=True) for f in fields),
        *(Column(f"Latency, ms, {plural(n, 'thread')}", numeric=True) for n in threads),
    )
    cells = [
        (Cell(s.called, note=s.variant.name), *(_printed(s, f) for f in fields), *(_least(s, n) for n in threads))
        for s in sides
    ]
    note = "Accuracy as each source printed it, under its protocol; none was measured here. Latency: fastest runtime."
    return Table("accuracy", "Published accuracy beside measured latency.", columns, tuple(cells), note)


def _printed(side: Side, field: ScoreField) -> Cell:
    figure = side.printed.get(field)
    if figure is None:
        return Cell(EMPTY, note="none published")
    source = figure.claim.source + (" (secondary source)" if figure.secondary else "")
    return Cell(figure.claim.printed, source, figure.value, note=source)


def _least(side: Side, threads: int) -> Cell:
    best = min(_shown(side, threads), key=lambda r: r.median_ms, default=None)
    if best is None:
        return Cell(EMPTY)
    cell = latency_cell(time_of_row(best))
    return replace(cell, note=f"{label(best.timing)} · {cell.note}")


def _counts_table(sides: Sequence[Side], claim: Claim | None) -> Table:
    """What is claimed and what is counted: the network against each other one."""
    ours = sides[0]
    columns = (
        Column("Network"),
        Column("True GMAC", numeric=True),
        Column(f"{ours.name} needs, true count", numeric=True),
        Column("by the HRNet counter", numeric=True),
    )
    cells = [
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
    told = ""
    if claim is not None:
        told = f" The paper says {published(claim)} ({ORIGIN[claim.status]})"
        told += ", by no named counter." if claim.convention in ("", "unknown") else "."
    return Table("counts", f"What is saved on paper.{told}", columns, tuple(cells))


def _change_cell(value: float, base: float) -> Cell:
    change = 100 * (value / base - 1)
    return Cell(f"{signed(change, 1)}{NO_BREAK}%", exact(change, "percent"), change)


def _shown(side: Side, threads: int) -> list[TimedRow]:
    """The counting rows at a number of threads."""
    return [r for r in side.rows if r.timing.threads == threads and r.counts]


def _timing_table(sides: Sequence[Side], threads: int) -> Table:
    ours, others = sides[0], sides[1:]
    columns = (
        Column("Runtime"),
        *(Column(f"{s.name}, ms", numeric=True) for s in sides),
        *(Column(f"{ours.name} / {s.name}", numeric=True) for s in others),
    )
    cells, ratios = [], []
    for first in _shown(ours, threads):
        t = first.timing
        found = [s.row(t.runtime, threads) for s in sides]
        against = [None if other is None else first.against(other) for other in found[1:]]
        ratios += [r for r in against if r is not None]
        cells.append(
            (
                Cell(label(t), note=f"{t.precision} · {t.version}".rstrip(" ·")),
                *(Cell(EMPTY) if r is None else latency_cell(time_of_row(r), full=True) for r in found),
                *(Cell(EMPTY) if r is None else ratio_cell(r) for r in against),
            )
        )
    caption = (
        f"One image of {size(ours.variant.input_hw)}, network alone, {plural(threads, 'thread')}, {ours.machine}: "
        "medians with what they rest on, and ratios of medians."
    )
    return Table(f"threads-{threads}", caption, columns, tuple(cells), f"{LATENCY}. {_turns(ratios)}")


def _turns(ratios: Sequence[Ratio]) -> str:
    if all(r.paired for r in ratios):
        return (
            "The networks were timed in turns, round by round, and ratios are taken within timing runs, so that what "
            "disturbed all networks cancels. Intervals are Student's t over runs, or of one run its rounds resampled."
        )
    return (
        "Some networks were timed at different times, so that a ratio also holds what changed on the machine between."
    )


def _uncounted(sides: Sequence[Side]) -> Table | None:
    """Rows without times, and rows that the numerical check refused, with the reason."""
    cells = tuple(
        (
            Cell(label(row.timing)),
            Cell(side.name),
            Cell(str(row.timing.threads), sort=float(row.timing.threads)),
            latency_cell(time_of_row(row), full=True) if row.timed else Cell(EMPTY),
            Cell(verdict(row.timing)),
        )
        for side in sides
        for row in side.rows
        if not row.counts
    )
    columns = (
        Column("Runtime"),
        Column("Network"),
        Column("Threads", numeric=True),
        Column("Median, ms", numeric=True),
        Column("Why it does not count"),
    )
    return Table("uncounted", "Rows that do not count.", columns, cells) if cells else None


def _figure(sides: Sequence[Side], threads: int) -> Figure:
    """Ratios of the network to each other one, runtime by runtime."""
    ours, others = sides[0], sides[1:]
    shown = _shown(ours, threads)
    lines = []
    for k, other in enumerate(others):
        pairs = [(row, other.row(row.timing.runtime, threads)) for row in shown]
        ratios = [None if there is None else row.against(there) for row, there in pairs]
        values = tuple(None if r is None else r.value for r in ratios)
        intervals = tuple(None if r is None else r.interval for r in ratios)
        lines.append(plots.Dots(f"against {other.name}", Style(k + 1), values, intervals))
    svg = plots.dots(f"ratios-{threads}", [label(row.timing) for row in shown], lines, "ratio of times")
    caption = f"{ours.name}'s time over the others', {plural(threads, 'thread')}; below 1 it is faster."
    caption += " Bars: 95 % CIs."
    return Figure(svg, caption, tuple((svgdraw.swatch(r.style), r.label) for r in lines))


# ---------------------------------------------------------------------------------------------------- in words


def _answer(sides: Sequence[Side], threads: Sequence[int]) -> list[str]:
    """What a reader may expect, from the numbers alone."""
    return [text for n in threads if (text := " ".join(_answer_at(sides, n)))]


def _answer_at(sides: Sequence[Side], threads: int) -> list[str]:
    ours, told = sides[0], []
    best = min(_shown(ours, threads), key=lambda r: r.median_ms, default=None)
    if best is None:
        return []
    times, eager = best.latency, ours.row(EAGER, threads)
    told.append(
        f"On {plural(threads, 'thread')}, {ours.name} takes {number(times.median_ms, 1)}{NO_BREAK}ms an image "
        f"{span(times.interval_ms, 1)} in its fastest runtime, {label(best.timing)}: "
        f"{number(best.images_per_second, 1)} images a second ({plural(best.runs, 'timing run')})."
    )
    if eager is not None and eager is not best:
        found = eager.against(best)
        told.append(f"Eager PyTorch takes {number(found.value, 2)} times as long {span(found.interval, 2)}.")
    told += [_other_sentence(ours, other, threads) for other in sides[1:]]
    return [t for t in told if t]


def _other_sentence(ours: Side, other: Side, threads: int) -> str:
    """Over all runtimes in which both count: the range of what is saved, beside what the counts promise."""
    pairs = [(row, other.row(row.timing.runtime, threads)) for row in _shown(ours, threads)]
    ratios = [row.against(there) for row, there in pairs if there is not None]
    if not ratios:
        return ""
    saved = sorted(100 * (1 - r.value) for r in ratios)
    sure = sum(r.interval[1] < 1 for r in ratios)
    promised = 100 * (1 - ours.macs / other.macs)
    fewer = f"{number(abs(promised), 0)}{NO_BREAK}% {'fewer' if promised >= 0 else 'more'}"
    return (
        f"Against {other.name} it {saving(saved[0], saved[-1])}, where it has {fewer} "
        f"MACs; it is faster, with a 95 % CI that excludes 1, in {sure} of {plural(len(ratios), 'runtime')}."
    )


def saving(least: float, most: float) -> str:
    """A range of savings in percent, in words; what is negative costs time."""
    low, high = number(abs(least), 0), number(abs(most), 0)
    if least < 0 < most:
        return f"takes between {low}{NO_BREAK}% more and {high}{NO_BREAK}% less time"
    few, many = (low, high) if least >= 0 else (high, low)
    extent = few if few == many else f"{few} to {many}"
    return f"saves {extent}{NO_BREAK}% of the time" if least >= 0 else f"takes {extent}{NO_BREAK}% more time"
