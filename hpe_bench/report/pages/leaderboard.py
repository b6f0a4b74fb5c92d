"""The leaderboard: measured rows ranked within one protocol and budget, published figures apart, costs apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Claim, LatencyQuestion, Paper, SideBySide, fingerprint
from hpe_bench.metrics.multiplicity import rank_ranges
from hpe_bench.plan import derived
from hpe_bench.records import query
from hpe_bench.records.query import ScoringCondition
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit import pareto, svgdraw, tables
from hpe_bench.report.kit.latency_text import named
from hpe_bench.report.kit.pareto import Dot
from hpe_bench.report.kit.ranking import rank_text
from hpe_bench.report.kit.studies import Protocols, ordered_conditions
from hpe_bench.report.kit.tables import Cell, Column, Table, amount, exact_span, latency_cell, latency_note
from hpe_bench.report.kit.text import (
    NO_BREAK,
    arm_label,
    exact,
    identifier,
    metric,
    number,
    plural,
    size,
    span,
    unit_text,
)
from hpe_bench.report.kit.theme import Style
from hpe_bench.report.pages import (
    choice,
    comparison,
    latency_board,
    latency_multiples,
    latency_question_page,
    latency_view,
    networks,
    side_by_side_page,
    submitted,
)
from hpe_bench.report.pages.choice import Choice
from hpe_bench.report.pages.claims_view import ORIGIN
from hpe_bench.report.pages.entries import Entry, in_runtime
from hpe_bench.report.pages.latency_board import LatencyBoard
from hpe_bench.report.pages.latency_multiples import Multiples
from hpe_bench.report.pages.networks import NetworkEntry
from hpe_bench.report.pages.paper_page import records_of
from hpe_bench.report.pages.provenance_view import anchor
from hpe_bench.timing.rows import EAGER, NetworkTime, NetworkTimes, TimedRow, time_of_row
from hpe_bench.verdicts import Status, Verdict, count, evidence, judge_all
from hpe_bench.verdicts.evidence import Records
from hpe_bench.verdicts.findings import FindingGroup, tested
from hpe_bench.verdicts.pools import SeedPools

MOST_ROWS, FEWEST_ROWS = 600, 25  # of measured models on the page in all, and in one table: a page stays below 3 MB
MOST_LINKS = 20  # to the records of a row
FACETS = (("data", "Data set"), ("protocol", "Protocol"), ("scale", "Scale"), ("by", "Measured by"), ("paper", "Paper"))
TIMED_FACETS = (("runtime", "Runtime"), ("threads", "Threads"), ("batch", "Batch"), ("machine", "Machine"))


@dataclass(frozen=True)
class PaperLine:
    """One paper in the list at the top."""

    loaded: LoadedPaper
    counts: dict[Status, int]
    has_records: bool
    beside: str  # address of its comparison with the yardstick; empty for the yardstick itself
    findings: tuple[FindingGroup, ...]  # what became of the claims that were tested
    yardstick: str = ""  # what readers call that one


@dataclass(frozen=True)
class Group:
    """Comparable rows: a table, the same rows as values, and plots against each cost, by its key."""

    table: Table
    entries: tuple[Entry, ...]
    plots: tuple[tuple[str, str, Markup], ...]  # with the axis' key and, of latencies, the runtime
    unshown: tuple[Entry, ...] = ()  # rows behind those of the table, for the downloads alone

    @property
    def leaders(self) -> list[Entry]:
        """Rows within statistical ties of the best, best score first: their ranks begin at 1."""
        return [e for e in self.entries if e.rank is not None and e.rank[0] == 1]

    def cheapest(self, key: str) -> Entry | None:
        """The leader of the least cost; None where no leader's cost was measured."""
        priced = [(cost, k) for k, e in enumerate(self.leaders) if (cost := e.cost_value(key)) is not None]
        return self.leaders[min(priced)[1]] if priced else None

    def address(self, entry: Entry) -> str:
        """Link to an entry's row on the page."""
        return f"#{self.table.attributes[self.entries.index(entry)]['id']}"


@dataclass(frozen=True)
class Leaderboard:
    """Everything the template needs."""

    papers: tuple[PaperLine, ...]
    measured: tuple[Group, ...]
    costs: Table | None
    published: tuple[Group, ...]
    has_ceilings: bool
    latency_questions: tuple[LatencyQuestion, ...]  # whose pages there are
    has_robustness: bool = False
    submitted: tuple[Group, ...] = ()
    runtimes: LatencyBoard | None = None
    choice: Choice | None = None
    multiples: tuple[Multiples, ...] = ()
    side_by_side: tuple[SideBySide, ...] = ()  # whose pages there are

    @property
    def tables(self) -> list[Table]:
        """Those of the whole board, and those of the first screen."""
        first = self.choice.tables if self.choice else []
        return [*first, *self.board_tables]

    @property
    def board_tables(self) -> list[Table]:
        costs = [self.costs] if self.costs else []
        costs += [self.runtimes.table] if self.runtimes else []
        return [*(g.table for g in (*self.measured, *self.submitted)), *costs, *(g.table for g in self.published)]

    @property
    def entries(self) -> list[Entry]:
        """Every row of every group."""
        return [e for g in (*self.measured, *self.submitted, *self.published) for e in (*g.entries, *g.unshown)]

    @property
    def facets(self) -> list[tuple[str, str, list[str]]]:
        """What the page filters by: key, name and the values there are; by conditions of timing only if they vary."""
        rows = [e.facets for e in self.entries] + list(self.runtimes.table.attributes if self.runtimes else ())
        facets = [
            (key, name, sorted({r[f"data-{key}"] for r in rows if f"data-{key}" in r}, key=_natural))
            for key, name in (*FACETS, *TIMED_FACETS)
        ]
        return [facet for facet in facets if len(facet[2]) > 1 or facet[:2] in FACETS]


def _natural(value: str) -> tuple[int, str]:
    """Numbers by size, before words."""
    return (int(value), "") if value.isdecimal() else (10**9, value)


def build(
    papers: Sequence[LoadedPaper], records: Records, protocols: Protocols, score_pages: Collection[str] = ()
) -> Leaderboard:
    """The leaderboard over all papers and records; `score_pages` are the pages of submissions that there are."""
    records = query.of(records)
    current = _current(papers, records)
    variants = {fingerprint(v): v for p in papers for v in p.paper.variants}
    timed = latency_board.timed_rows(current, variants)
    others = latency_board.in_other_runtimes(timed, variants)
    links = Links(_pages(papers, records), current, others, NetworkTimes(current), _names(papers))
    judged = {p.paper.slug: judge_all(p.claims, p.paper, records) for p in papers}
    full = networks.build(papers, current, links.times, [t.row for t in timed], judged)
    addresses = {r.id: address for r in current if (address := links.to(r))}
    return Leaderboard(
        papers=tuple(_line(p, papers, records, judged[p.paper.slug]) for p in papers),
        measured=tuple(g for w in ordered_conditions(current, protocols) for g in _measured(w, current, links)),
        costs=_costs(papers, current, links),
        published=tuple(_published(papers, links)),
        has_ceilings=bool(records.finished("ceiling")),
        has_robustness=bool(records.finished("robustness")),
        latency_questions=tuple(page.asked for page in latency_question_page.build_all(papers, records)),
        submitted=tuple(Group(*found) for found in submitted.groups(records, score_pages)),
        runtimes=latency_board.build(timed, links.to),
        choice=choice.build(full, addresses),
        multiples=latency_multiples.build(full, addresses),
        side_by_side=tuple(side_by_side_page.asked_of(papers, full)),
    )


def full_size(papers: Sequence[LoadedPaper], records: Records) -> tuple[NetworkEntry, ...]:
    """The full-size networks with their figures and times."""
    current = _current(papers, query.of(records))
    variants = {fingerprint(v): v for p in papers for v in p.paper.variants}
    timed = latency_board.timed_rows(current, variants)
    return networks.build(papers, current, NetworkTimes(current), [t.row for t in timed], {})


def _line(
    loaded: LoadedPaper, papers: Sequence[LoadedPaper], records: Records, verdicts: Sequence[Verdict]
) -> PaperLine:
    counts = count(verdicts)
    pair = comparison.with_yardstick(loaded, papers)
    beside = comparison.address([p.paper.slug for p in pair]) if pair else ""
    has_records = any(r.identity.paper == loaded.paper.slug for r in records)
    findings = tested(loaded.claims, list(verdicts), records)
    return PaperLine(loaded, counts, has_records, beside, findings, pair[0].paper.name if pair else "")


def _current(papers: Sequence[LoadedPaper], records: Records) -> query.Records:
    """Finished records whose variant and recipe are still declared as they were when they ran.

    At full size a declared recipe stands for its shorter budgets as well.
    """
    found = (r.identity for r in query.of(records).finished("accuracy"))
    full = {(i.paper, i.samples_seen) for i in found if i.scale == "full"}
    recipes_of = {p.paper.slug: p.paper.recipes for p in papers}
    shorter = (d for slug, seen in full for r in recipes_of.get(slug, ()) for d in derived(r, seen))
    variants = {(p.paper.slug, fingerprint(v)) for p in papers for v in p.paper.variants}
    recipes = {fingerprint(r) for p in papers for r in p.paper.recipes}
    arms = [a for p in papers for s in p.paper.studies for a in s.arms]
    variants |= {(a.paper, fingerprint(a.variant)) for a in arms}
    recipes |= {fingerprint(a.recipe) for a in arms} | {fingerprint(r) for r in shorter} | {""}
    return query.current(records, variants, recipes)


# ---------------------------------------------------------------------------------------------------- looking up


def _pages(papers: Sequence[LoadedPaper], records: Records) -> dict[str, str]:
    """The paper on whose page a record is listed, by record id: its own paper before others that use it."""
    found: dict[str, str] = {}
    for loaded in papers:
        for r in records_of(loaded.paper, loaded.claims, records)[0]:
            if r.id not in found or r.identity.paper == loaded.paper.slug:
                found[r.id] = loaded.paper.slug
    return found


@dataclass(frozen=True)
class Names:
    """What readers call models: papers, their variants, and the arms of their studies."""

    papers: Mapping[str, Paper]
    arms: Mapping[tuple[str, str, str], str]  # by paper and the hashes of variant and recipe

    def paper(self, slug: str) -> str:
        return self.papers[slug].name if slug in self.papers else slug

    def variant(self, slug: str, variant: str) -> str:
        return self.papers[slug].name_of(variant) if slug in self.papers else f"{slug} {variant}"

    def trained(self, record: RunRecord) -> str:
        """A model as it was trained: by its arm's label where it is one, else by its variant."""
        i = record.identity
        arm = self.arms.get((i.paper, i.variant_hash, i.recipe_hash))
        return self.variant(i.paper, i.variant) if arm is None else f"{self.paper(i.paper)}: {arm}"


def _names(papers: Sequence[LoadedPaper]) -> Names:
    arms = {
        (a.paper, fingerprint(a.variant), fingerprint(a.recipe)): arm_label(a)
        for p in reversed(papers)
        for a in reversed([a for s in p.paper.studies for a in s.arms])
    }
    return Names({p.paper.slug: p.paper for p in papers}, arms)


@dataclass(frozen=True)
class Links:
    """Where records are listed, what speaks about costs, and in which other runtimes a network was timed."""

    pages: Mapping[str, str]
    current: query.Records
    runtimes: Mapping[tuple[str, str, str], Sequence[TimedRow]]
    times: NetworkTimes
    names: Names

    def to(self, record: RunRecord | None) -> str:
        """Address of a record's row on a paper's page; empty if no page lists it."""
        if record is None or record.id not in self.pages:
            return ""
        return f"{self.pages[record.id]}/index.html#{anchor(record.id)}"

    def time(self, cost: RunRecord | None) -> NetworkTime | None:
        """A network's eager latency."""
        if cost is None:
            return None
        i = cost.identity
        return self.times.shown(i.paper, i.variant_hash, tables.counted_hw(cost))

    def in_runtimes(self, time: NetworkTime | None) -> tuple[NetworkTime, ...]:
        """A network's latency in other runtimes on the machine of its eager one."""
        if time is None:
            return ()
        i = time.record.identity
        return tuple(time_of_row(row) for row in self.runtimes.get((i.paper, i.variant_hash, time.machine), ()))


# ---------------------------------------------------------------------------------------------------- measured


@dataclass(frozen=True)
class BoardRow:
    """One model, trained one way, over its seeds."""

    runs: tuple[RunRecord, ...]
    entry: Entry
    method: str  # of the interval
    untaught: str  # the figures that say so, if it has not learned


def _measured(where: ScoringCondition, records: query.Records, links: Links) -> list[Group]:
    """One group for each budget under a condition: rows of unequal budgets are not comparable (F5)."""
    groups: dict[tuple[int, str], dict[query.Training, list[RunRecord]]] = {}
    for r in records.of_models(where):
        budget = (r.identity.samples_seen, r.identity.train_digest)
        groups.setdefault(budget, {}).setdefault(query.training(r), []).append(r)
    return [
        _ranked(where, budget, [list(query.by_seed(r).values()) for r in rows.values()], records, links)
        for (budget, _), rows in sorted(groups.items())
    ]


def _ranked(
    where: ScoringCondition, budget: int, models: list[list[RunRecord]], records: query.Records, links: Links
) -> Group:
    key = query.headline_key(models[0][0])
    pools = SeedPools(records)
    every = _rows(models, key, links, pools)
    rows = every[: max(FEWEST_ROWS, MOST_ROWS // len(records.conditions()))]
    axis = svgdraw.axis_of([v for r in rows for v in (r.entry.value, *(r.entry.interval or ()))])
    assert axis is not None
    pocket = where.scale != "full"
    prefix, power = ("M", 20) if pocket else ("G", 30)
    cells = [(*_score_cells(row, axis, links), *_cost_cells(row.entry, pocket, links)) for row in rows]
    attributes = [row.entry.facets for row in rows]
    mean = records.mean_pose(where)
    if mean is not None:
        cells.append(_mean_pose_row(mean, key, links))
        attributes.append({"data-kept": ""})
    columns = (
        Column("Rank", numeric=True),
        Column("Model"),
        Column("Measured by"),
        Column(f"{metric(key)}, %", numeric=True),
        Column("95 % CI, %"),
        Column("Runs"),
        *_cost_columns(prefix, power),
    )
    note = (
        "Ranks are among all rows of this table, also those a filter hides. A range of ranks is a tie: paired tests do "
        "not tell those rows apart, corrected for the number of pairs (Holm), or they have one seed alone."
    )
    if len(rows) < len(every):
        note += (
            f" Shown are the best {len(rows):,} of {len(every):,} rows; leaderboard.csv and leaderboard.json have all."
        )
    table = Table(
        f"measured-{where.scale}-{identifier(where.protocol)}-{identifier(where.test_digest[:6])}-{budget}",
        f"{where.protocol}, {where.scale} scale, {budget:,} training samples each: {metric(key)}.",
        columns,
        tuple(cells),
        note,
        asides=_latency_asides([r.entry for r in rows]),
    )
    group = _group(table, attributes, [r.entry for r in rows], prefix, [links.to(r.runs[0]) for r in rows])
    return replace(group, unshown=tuple(r.entry for r in every[len(rows) :]))


def _rows(models: list[list[RunRecord]], key: str, links: Links, pools: SeedPools) -> list[BoardRow]:
    """The models of a group, best first, with their ranks."""
    rows = []
    for runs, e in zip(models, evidence.pooled_rows(models, key, pools), strict=True):
        i = runs[0].identity
        entry = Entry(
            by="us",
            scale=i.scale,
            protocol=i.protocol,
            metric=key,
            paper=i.paper,
            variant=i.variant,
            recipe=i.recipe,
            training_samples=i.samples_seen,
            value=e.value,
            interval=e.interval,
            seeds=e.seeds,
            images=e.images,
            records=tuple(r.id for r in runs),
            cost=(cost := links.current.cost_of(i.paper, i.variant_hash)),
            time=(time := links.time(cost)),
            other_times=links.in_runtimes(time),
            called=links.names.trained(runs[0]),
        )
        rows.append(BoardRow(tuple(runs), entry, e.method, pools.below_mean_pose(runs)))
    rows.sort(key=lambda r: (-r.entry.value, r.entry.paper, r.entry.variant, r.entry.recipe))
    ranks = rank_ranges(len(rows), evidence.better_rows([r.runs for r in rows], key, pools))
    return [replace(row, entry=replace(row.entry, rank=rank)) for row, rank in zip(rows, ranks, strict=True)]


def _score_cells(row: BoardRow, axis: svgdraw.Axis, links: Links) -> tuple[Cell, ...]:
    e = row.entry
    return (
        Cell(rank_text(e.rank), sort=None if e.rank is None else float(e.rank[0])),
        Cell(
            e.name,
            href=f"{e.paper}/index.html",
            note=f"{e.paper} {e.variant} · {e.recipe}"
            + (" · has not learned: below the mean pose" if row.untaught else ""),
        ),
        Cell(e.by, note=f"{e.scale}{NO_BREAK}scale"),
        Cell(number(e.value, 1), exact(e.value, "percent"), e.value, href=links.to(row.runs[0])),
        Cell(
            span(e.interval),
            f"{exact_span(e.interval)}, {row.method}",
            mark=svgdraw.strip(e.value, e.interval, axis, Style(1).css),
        ),
        Cell(
            plural(e.seeds, "seed"),
            sort=float(e.seeds),
            note=f"×{NO_BREAK}" + plural(e.images, "image"),
            mark=_seed_links(row.runs, links),
        ),
    )


def _seed_links(runs: Sequence[RunRecord], links: Links) -> Markup:
    """Each seed's record, for rows that pool several."""
    linked = [
        Markup('<a href="{}" title="record {}">{}</a>').format(links.to(r), r.id, r.identity.seed)
        for r in runs[:MOST_LINKS]
        if links.to(r)
    ]
    if len(linked) < 2:
        return Markup("")
    linked += [Markup("…")] if len(runs) > MOST_LINKS else []
    return Markup('<small class="seeds">records {}</small>').format(Markup(" ").join(linked))


def _mean_pose_row(record: RunRecord, key: str, links: Links) -> tuple[Cell, ...]:
    """What a model must beat; it is no model and has no rank."""
    m = record.get(key)
    tally = evidence.rates(record, key)
    value = Cell(tables.EMPTY)
    if m is not None:
        value = Cell(number(m.value, 1), exact(m.value, "percent"), m.value, href=links.to(record))
    return (
        Cell(tables.EMPTY),
        Cell("Mean training pose", note="no model"),
        Cell("us", note=f"{record.identity.scale}{NO_BREAK}scale"),
        value,
        Cell("" if m is None else span(m.interval)),
        Cell("no training", note="" if tally is None else plural(len(tally[0]), "image")),
        *[Cell(tables.EMPTY)] * 4,
    )


def _latency_asides(entries: Sequence[Entry]) -> tuple[tuple[str, str], ...]:
    """What the latency column is, for eager PyTorch and for each runtime that the page may be asked for."""
    return tuple((name, latency_note([e.in_runtime(name) for e in entries])) for name in _runtimes(entries))


def _runtimes(entries: Sequence[Entry]) -> list[str]:
    """The runtimes that latencies of some entries are known in, eager first."""
    others = {named(t.runtime) for e in entries for t in e.other_times}
    return [named(EAGER), *sorted(others - {named(EAGER)})]


def _cost_columns(prefix: str, power: int) -> tuple[Column, ...]:
    return (
        Column(f"{prefix}MAC, true count", numeric=True),
        Column(unit_text(f"HRNet counter, {prefix}MAC/2^{power}"), numeric=True),
        Column("Parameters, M", numeric=True),
        Column("Latency, ms", numeric=True),
    )


def _cost_cells(entry: Entry, pocket: bool, links: Links) -> tuple[Cell, ...]:
    cost = entry.cost
    if cost is None:
        return (Cell(tables.EMPTY),) * 4
    unit, per_2 = (1e6, 2.0**20) if pocket else (1e9, 2.0**30)
    counted = (
        amount(cost.get("macs"), unit, 2),
        amount(cost.get("macs/hrnet_counter"), per_2, 2),
        amount(cost.get("params"), 1e6, 3 if pocket else 1),
    )
    timed = latency_cell(entry.time)
    if entry.time is not None:
        others = tuple((named(t.runtime), latency_board.instead(t, links.to)) for t in entry.other_times)
        timed = replace(timed, href=links.to(entry.time.record), instead=others)
    return (*(cell if cell.sort is None else replace(cell, href=links.to(cost)) for cell in counted), timed)


# ---------------------------------------------------------------------------------------------------- plots


def _group(
    table: Table,
    attributes: Sequence[dict[str, str]],
    entries: Sequence[Entry],
    prefix: str,
    records: Sequence[str],
) -> Group:
    """The table with an id on every row, and a plot against every cost that enough rows have.

    `records` are the addresses that the marks of the plots link to.
    """
    ids = [f"{table.id}-{k}" for k in range(len(table.rows))]
    table = replace(table, attributes=tuple({"id": i, **facets} for i, facets in zip(ids, attributes, strict=True)))
    unit = 1e6 if prefix == "M" else 1e9
    eager = named(EAGER)
    axes = [
        (
            "macs",
            "",
            f"{prefix}MAC, true count",
            [None if (c := e.cost_value("macs")) is None else c / unit for e in entries],
        ),
        *(("latency", name, *_latency_axis(entries, name)) for name in _runtimes(entries)),
        ("params", "", "parameters, M", [None if (c := e.cost_value("params")) is None else c / 1e6 for e in entries]),
    ]
    plots = []
    for key, runtime, label, costs in axes:
        dots = [
            _dot(e, cost, label, href, row)
            for e, cost, href, row in zip(entries, costs, records, ids, strict=False)
            if cost is not None
        ]
        if len(dots) >= pareto.FEWEST:
            y_label = f"{metric(entries[0].metric)}, %"
            which = key if runtime in ("", eager) else f"{key}-{identifier(runtime)}"
            plots.append(
                (key, runtime, pareto.plot(f"plot-{which}-{table.id}".replace(".", "-"), dots, label, y_label))
            )
    return Group(table, tuple(entries), tuple(plots))


def _latency_axis(entries: Sequence[Entry], runtime: str) -> tuple[str, list[float | None]]:
    """Latencies in a runtime, under the conditions that all rows share; each row's own stands in its table."""
    times = [e.in_runtime(runtime) for e in entries]
    scopes = {t.scope for t in times if t is not None}
    shared = [part for part in next(iter(scopes), "").split(", ") if all(part in s.split(", ") for s in scopes)]
    label = f"latency, ms ({', '.join(shared)})" if shared else "latency, ms"
    return label, [None if t is None else t.median_ms for t in times]


def _dot(e: Entry, cost: float, x_label: str, href: str, row: str) -> Dot:
    name = e.name
    measured = "" if e.by == "us" else f", as printed by {e.by}"
    what = ", ".join(filter(None, (name, f"{e.paper} {e.variant}", e.recipe)))
    told = (
        f"{what}: {number(e.value, 1)} % {span(e.interval)}".rstrip()
        + f"{measured} · {number(cost, 2)} {x_label.partition(' (')[0]}"
    )
    return Dot(name, cost, e.value, e.interval, told, href, row)


# ---------------------------------------------------------------------------------------------------- costs, published


def _costs(papers: Sequence[LoadedPaper], records: query.Records, links: Links) -> Table | None:
    """Every full-size model that was measured, cheapest first."""
    full = {fingerprint(v): v for p in papers for v in p.paper.variants if v.scale == "full"}
    found = records.costs_of(full)
    if not found:
        return None
    rows = sorted(found, key=lambda r: (m.value if (m := r.get("macs")) else 0.0, r.identity.paper, r.identity.variant))
    inputs = {h: size(v.input_hw) for h, v in full.items()}
    table = tables.cost_table(
        rows, "costs", "What the full-size models cost, batch 1, cheapest true count first.", False, inputs, links.times
    )
    linked = tuple(
        tuple(c if c.sort is None else replace(c, href=links.to(r)) for c in cells)
        for cells, r in zip(table.rows, rows, strict=True)
    )
    facets = tuple(
        {"data-paper": r.identity.paper, "data-by": "us", "data-scale": "full", **in_runtime(links.time(r))}
        for r in rows
    )
    table = replace(table, rows=linked, attributes=facets)
    table = latency_board.with_memory(table, rows, records, full, links.to)
    return latency_view.with_fastest(table, rows, links.times, lambda r: full[r.identity.variant_hash].input_hw)


def _published(papers: Sequence[LoadedPaper], links: Links) -> list[Group]:
    """Published headline figures by protocol and metric, unranked: they come without intervals."""
    groups: dict[tuple[str, str], list[tuple[str, Claim]]] = {}
    for loaded in papers:
        for claim in loaded.claims:
            if networks.is_headline(claim):
                groups.setdefault((claim.protocol, claim.metric), []).append((loaded.paper.slug, claim))
    return [_published_group(protocol, key, rows, links) for (protocol, key), rows in sorted(groups.items())]


def _published_group(protocol: str, key: str, rows: list[tuple[str, Claim]], links: Links) -> Group:
    rows.sort(key=lambda row: (-(row[1].value or 0.0), row[0], row[1].id))
    entries = [_printed(slug, claim, links) for slug, claim in rows]
    cells = [
        (
            Cell(e.name, href=f"{e.paper}/index.html", note=f"{e.paper} {e.variant} · {claim.statement}"),
            Cell(e.by, note=claim.source),
            Cell(ORIGIN[claim.status]),
            Cell(claim.printed, exact(claim.value, "percent"), claim.value),
            Cell(size(claim.input_hw) or tables.EMPTY),
            *_cost_cells(e, False, links),
        )
        for (_, claim), e in zip(rows, entries, strict=True)
    ]
    columns = (
        Column("Model"),
        Column("Measured by"),
        Column("Status"),
        Column(f"{metric(key)}, %", numeric=True),
        Column("Input, px"),
        *_cost_columns("G", 30),
    )
    note = "No intervals were published, so the rows are not ranked. Costs are our measurements."
    table = Table(
        f"published-{identifier(protocol)}-{identifier(key.replace('@', '-'))}",
        f"{protocol}: {metric(key)} as published.",
        columns,
        tuple(cells),
        note,
        asides=_latency_asides(entries),
    )
    pages = [f"{e.paper}/index.html" for e in entries]
    return _group(table, [e.facets for e in entries], entries, "G", pages)


def _printed(slug: str, claim: Claim, links: Links) -> Entry:
    assert claim.value is not None
    cost = links.current.cost(slug, claim.variant)
    time = links.time(cost)
    return Entry(
        by="the paper" if claim.status == "published" else "others",
        scale="full",
        protocol=claim.protocol,
        metric=claim.metric,
        paper=slug,
        variant=claim.variant or claim.id,
        value=claim.value,
        source=claim.source,
        cost=cost,
        time=time,
        other_times=links.in_runtimes(time),
        called=links.names.variant(slug, claim.variant) if claim.variant else links.names.paper(slug),
    )
