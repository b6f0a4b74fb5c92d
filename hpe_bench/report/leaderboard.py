"""The leaderboard: measured rows ranked within one protocol and budget, published figures apart, costs apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Claim, fingerprint
from hpe_bench.plan import MEAN_POSE
from hpe_bench.records import RunRecord
from hpe_bench.report import svgdraw, tables
from hpe_bench.report.claims_view import ORIGIN
from hpe_bench.report.ranking import rank_ranges, rank_text
from hpe_bench.report.studies import Protocols, latency, mean_pose, ordered_conditions, scope_of
from hpe_bench.report.tables import Cell, Column, Table, amount, exact_span, latency_cell
from hpe_bench.report.text import NO_BREAK, exact, metric, number, plural, size, span, unit_text
from hpe_bench.report.theme import Style
from hpe_bench.verdicts import Status, count, evidence, judge_all
from hpe_bench.verdicts.evidence import Condition, Estimate, Records

HEADLINES = ("ap", "pckh@0.5", "pck@0.2")


@dataclass(frozen=True)
class PaperLine:
    """One paper in the list at the top."""

    loaded: LoadedPaper
    counts: dict[Status, int]
    has_records: bool


@dataclass(frozen=True)
class Leaderboard:
    """Everything the template needs."""

    papers: tuple[PaperLine, ...]
    measured: tuple[Table, ...]
    costs: Table | None
    published: tuple[Table, ...]
    has_ceilings: bool

    @property
    def tables(self) -> list[Table]:
        return [*self.measured, *([self.costs] if self.costs else []), *self.published]


def build(papers: Sequence[LoadedPaper], records: Records, protocols: Protocols) -> Leaderboard:
    """The leaderboard over all papers and records."""
    current = _current(papers, records)
    return Leaderboard(
        papers=tuple(_line(p, records) for p in papers),
        measured=tuple(t for w in ordered_conditions(current, protocols) for t in _measured(w, current)),
        costs=_costs(papers, current),
        published=tuple(_published(papers, current)),
        has_ceilings=any(r.identity.kind == "ceiling" for r in records),
    )


def _line(loaded: LoadedPaper, records: Records) -> PaperLine:
    counts = count(judge_all(loaded.claims, loaded.paper, records))
    return PaperLine(loaded, counts, any(r.identity.paper == loaded.paper.slug for r in records))


def _current(papers: Sequence[LoadedPaper], records: Records) -> list[RunRecord]:
    """Finished records whose variant and recipe are still declared as they were when they ran."""
    variants = {(p.paper.slug, fingerprint(v)) for p in papers for v in p.paper.variants}
    recipes = {fingerprint(r) for p in papers for r in p.paper.recipes}
    arms = [a for p in papers for s in p.paper.studies for a in s.arms]
    variants |= {(a.paper, fingerprint(a.variant)) for a in arms}
    recipes |= {fingerprint(a.recipe) for a in arms} | {""}
    return [
        r
        for r in records
        if r.status == "done"
        and (
            r.identity.paper == MEAN_POSE
            or ((r.identity.paper, r.identity.variant_hash) in variants and r.identity.recipe_hash in recipes)
        )
    ]


# ---------------------------------------------------------------------------------------------------- measured


@dataclass(frozen=True)
class Row:
    """One model, trained one way, over its seeds."""

    first: RunRecord
    estimate: Estimate
    cost: RunRecord | None


def _measured(where: Condition, records: Records) -> list[Table]:
    """One table for each budget under a condition: rows of unequal budgets are not comparable (F5)."""
    groups: dict[tuple[int, str], dict[tuple[str, ...], list[RunRecord]]] = {}
    for r in records:
        i = r.identity
        if i.kind == "accuracy" and i.paper != MEAN_POSE and evidence.condition(r) == where:
            row = (i.paper, i.variant, i.variant_hash, i.recipe, i.recipe_hash)
            groups.setdefault((i.samples_seen, i.train_digest), {}).setdefault(row, []).append(r)
    return [
        _ranked(where, budget, [_row(found, records) for found in rows.values()], mean_pose(records, where))
        for (budget, _), rows in sorted(groups.items())
    ]


def _row(found: Iterable[RunRecord], records: Records) -> Row:
    runs = list(evidence.by_seed(found).values())
    i = runs[0].identity
    costs = [
        r
        for r in records
        if r.identity.kind == "cost" and (r.identity.paper, r.identity.variant_hash) == (i.paper, i.variant_hash)
    ]
    cost = max(costs, key=lambda r: (r.provenance.started, r.id), default=None)
    return Row(runs[0], evidence.pooled(runs, evidence.headline_key(runs[0])), cost)


def _ranked(where: Condition, budget: int, rows: list[Row], mean: RunRecord | None) -> Table:
    rows.sort(
        key=lambda r: (-r.estimate.value, r.first.identity.paper, r.first.identity.variant, r.first.identity.recipe)
    )
    ranks = rank_ranges([r.estimate.interval for r in rows])
    axis = svgdraw.axis_of([v for r in rows for v in (r.estimate.value, *(r.estimate.interval or ()))])
    assert axis is not None
    key = evidence.headline_key(rows[0].first)
    pocket = where.scale != "full"
    prefix, unit, power = ("M", 1e6, 20) if pocket else ("G", 1e9, 30)
    cells = []
    for row, rank in zip(rows, ranks, strict=True):
        i, e = row.first.identity, row.estimate
        cells.append(
            (
                Cell(rank_text(rank), sort=None if rank is None else float(rank[0])),
                Cell(i.paper, href=f"{i.paper}/index.html", note=f"{i.variant} · {i.recipe}"),
                Cell("us", note=f"{i.scale}{NO_BREAK}scale"),
                Cell(number(e.value, 1), exact(e.value, "percent"), e.value),
                Cell(
                    span(e.interval),
                    f"{exact_span(e.interval)}, {e.method}",
                    mark=svgdraw.strip(e.value, e.interval, axis, Style(1).css),
                ),
                Cell(plural(e.seeds, "seed"), sort=float(e.seeds), note=f"×{NO_BREAK}" + plural(e.images, "image")),
                *_cost_cells(row.cost, unit, power, 3 if pocket else 1),
            )
        )
    if mean is not None:
        cells.append(_mean_pose_row(mean, key))
    columns = (
        Column("Rank", numeric=True),
        Column("Model"),
        Column("Measured by"),
        Column(f"{metric(key)}, %", numeric=True),
        Column("95 % interval, %"),
        Column("Runs"),
        *_cost_columns(prefix, power),
    )
    caption = f"{where.protocol}, {where.scale} scale, {budget:,} training samples each: {metric(key)}."
    note = f"A range of ranks is a tie: those rows' intervals overlap. {_latency_note([r.cost for r in rows])}"
    return Table(
        f"measured-{where.scale}-{where.protocol}-{where.test_digest[:6]}-{budget}",
        caption,
        columns,
        tuple(cells),
        note,
    )


def _mean_pose_row(record: RunRecord, key: str) -> tuple[Cell, ...]:
    """What a model must beat; it is no model and has no rank."""
    m = record.get(key)
    tally = evidence.rates(record, key)
    return (
        Cell(tables.EMPTY),
        Cell("Mean training pose", note="no model"),
        Cell("us", note=f"{record.identity.scale}{NO_BREAK}scale"),
        Cell(tables.EMPTY) if m is None else Cell(number(m.value, 1), exact(m.value, "percent"), m.value),
        Cell("" if m is None else span(m.interval)),
        Cell("no training", note="" if tally is None else plural(len(tally[0]), "image")),
        *[Cell(tables.EMPTY)] * 4,
    )


def _latency_note(costs: Sequence[RunRecord | None]) -> str:
    scopes = sorted({scope_of(m) for c in costs if c and (m := latency(c))})
    return f"{tables.LATENCY}; {'; '.join(scopes) or 'not measured yet'}."


def _cost_columns(prefix: str, power: int) -> tuple[Column, ...]:
    return (
        Column(f"{prefix}MAC, true count", numeric=True),
        Column(unit_text(f"HRNet counter, {prefix}MAC/2^{power}"), numeric=True),
        Column("Parameters, M", numeric=True),
        Column("Latency, ms", numeric=True),
    )


def _cost_cells(cost: RunRecord | None, unit: float, power: int, digits: int) -> tuple[Cell, ...]:
    if cost is None:
        return (Cell(tables.EMPTY),) * 4
    return (
        amount(cost.get("macs"), unit, 2),
        amount(cost.get("macs/hrnet_counter"), float(2**power), 2),
        amount(cost.get("params"), 1e6, digits),
        latency_cell(cost, latency(cost)),
    )


# ---------------------------------------------------------------------------------------------------- costs, published


def _costs(papers: Sequence[LoadedPaper], records: Records) -> Table | None:
    """Every full-size model that was measured, cheapest first."""
    full = {fingerprint(v): v for p in papers for v in p.paper.variants if v.scale == "full"}
    found = [r for r in records if r.identity.kind == "cost" and r.identity.variant_hash in full]
    newest = {
        (r.identity.paper, r.identity.variant): r for r in sorted(found, key=lambda r: (r.provenance.started, r.id))
    }
    if not newest:
        return None
    rows = sorted(
        newest.values(), key=lambda r: (m.value if (m := r.get("macs")) else 0.0, r.identity.paper, r.identity.variant)
    )
    inputs = {h: size(v.input_hw) for h, v in full.items()}
    return tables.cost_table(
        rows, "costs", "What the full-size models cost, batch 1, cheapest true count first.", False, inputs
    )


def _published(papers: Sequence[LoadedPaper], records: Records) -> list[Table]:
    """Published headline figures by protocol and metric, unranked: they come without intervals."""
    groups: dict[tuple[str, str], list[tuple[str, Claim]]] = {}
    for loaded in papers:
        for claim in loaded.claims:
            if (
                claim.kind == "value"
                and claim.status in ("published", "secondary")
                and claim.metric in HEADLINES
                and claim.protocol
            ):
                groups.setdefault((claim.protocol, claim.metric), []).append((loaded.paper.slug, claim))
    return [_published_table(protocol, key, rows, records) for (protocol, key), rows in sorted(groups.items())]


def _published_table(protocol: str, key: str, rows: list[tuple[str, Claim]], records: Records) -> Table:
    rows.sort(key=lambda row: (-(row[1].value or 0.0), row[0], row[1].id))
    costs = [evidence.cost_record(records, slug, c.variant) for slug, c in rows]
    cells = [
        (
            Cell(slug, href=f"{slug}/index.html", note=claim.statement),
            Cell("the paper" if claim.status == "published" else "others", note=claim.source),
            Cell(ORIGIN[claim.status]),
            Cell(claim.printed, exact(claim.value, "percent"), claim.value),
            Cell(size(claim.input_hw) or tables.EMPTY),
            *_cost_cells(cost, 1e9, 30, 1),
        )
        for (slug, claim), cost in zip(rows, costs, strict=True)
    ]
    columns = (
        Column("Model"),
        Column("Measured by"),
        Column("Status"),
        Column(f"{metric(key)}, %", numeric=True),
        Column("Input, px"),
        *_cost_columns("G", 30),
    )
    note = "No intervals were published, so the rows are not ranked. Costs are our measurements. " + _latency_note(
        costs
    )
    return Table(
        f"published-{protocol}-{key}".replace("@", "-"),
        f"{protocol}: {metric(key)} as published.",
        columns,
        tuple(cells),
        note,
    )
