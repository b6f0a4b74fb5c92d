"""Papers side by side: what was measured under the same protocol and budget, differences, and full-size costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Arm, fingerprint
from hpe_bench.records import RunRecord
from hpe_bench.report import svgdraw, tables
from hpe_bench.report.studies import Protocols, latency, ordered_conditions, scope_of
from hpe_bench.report.tables import Cell, Column, Table, amount, exact_span, latency_cell
from hpe_bench.report.text import (
    NO_BREAK,
    arm_label,
    exact,
    identifier,
    metric,
    number,
    plural,
    signed,
    size,
    span,
    where,
)
from hpe_bench.report.theme import Style
from hpe_bench.verdicts import evidence, pairs
from hpe_bench.verdicts.evidence import Condition, Records


@dataclass(frozen=True)
class Section:
    """A table as plain text, for a terminal; a column that starts with a space is set right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Comparison:
    """Papers side by side. `missing` says in sentences what could not be compared."""

    papers: tuple[LoadedPaper, ...]
    accuracy: tuple[Table, ...]
    differences: tuple[Table, ...]
    costs: Table | None
    missing: tuple[str, ...]

    @property
    def tables(self) -> list[Table]:
        return [*self.accuracy, *self.differences, *([self.costs] if self.costs else [])]

    @property
    def sections(self) -> list[Section]:
        """The same tables as text."""
        return [_section(t) for t in self.tables]


def _section(table: Table) -> Section:
    columns = tuple(f" {c.name}" if c.numeric else c.name for c in table.columns)
    rows = tuple(tuple(" ".join(filter(None, (c.text, c.note))) for c in row) for row in table.rows)
    return Section(table.caption, columns, rows)


@dataclass(frozen=True)
class Contender:
    """What a paper enters with: the arm of its own that its headline proposes, or else its first own arm."""

    slug: str
    arm: Arm
    style: Style


def contenders(papers: Sequence[LoadedPaper]) -> list[Contender]:
    """One arm a paper, each with a colour of its own."""
    found = []
    for i, loaded in enumerate(papers):
        own = [a for a in (pairs.proposal(loaded.paper), *loaded.paper.headline.arms) if a.paper == loaded.paper.slug]
        if own:
            found.append(Contender(loaded.paper.slug, own[0], Style(i + 1)))
    return found


def build(papers: Sequence[LoadedPaper], records: Records, protocols: Protocols) -> Comparison:
    """Compare two papers or more."""
    entered = contenders(papers)
    accuracy, differences, missing = [], [], []
    for place in ordered_conditions(records, protocols):
        runs = {c.slug: evidence.arm_runs(records, c.arm, place) for c in entered}
        there = [c for c in entered if runs[c.slug]]
        if len(there) >= 2:
            accuracy.append(_accuracy(place, there, runs, records))
            differences.append(_differences(place, there, runs))
        elif there:
            missing.append(f"{where(place)}: only {there[0].slug} was run.")
    if not accuracy:
        names = ", ".join(f"`hpe-bench reproduce {p.paper.slug}`" for p in papers)
        missing.append(f"No protocol has runs of two of these papers yet; {names} make them.")
    return Comparison(tuple(papers), tuple(accuracy), tuple(differences), _costs(papers, records), tuple(missing))


Runs = dict[str, dict[int, RunRecord]]


def _accuracy(place: Condition, there: Sequence[Contender], runs: Runs, records: Records) -> Table:
    key = evidence.headline_key(next(iter(runs[there[0].slug].values())))
    estimates = {c.slug: evidence.pooled(list(runs[c.slug].values()), key) for c in there}
    axis = svgdraw.axis_of([v for e in estimates.values() for v in (e.value, *(e.interval or ()))])
    assert axis is not None
    rows = []
    scope = "not measured"
    for c in there:
        e = estimates[c.slug]
        cost = evidence.cost_record(records, c.arm.paper, c.arm.variant.name, c.arm.variant)
        ms = None if cost is None else latency(cost)
        scope = scope_of(ms) if ms else scope
        seen = sorted({r.identity.samples_seen for r in runs[c.slug].values()})
        rows.append(
            (
                Cell(c.slug, note=arm_label(c.arm), before=svgdraw.swatch(c.style), href=f"../../{c.slug}/index.html"),
                Cell(number(e.value, 1), exact(e.value, "percent"), e.value),
                Cell(
                    span(e.interval),
                    f"{exact_span(e.interval)}, {e.method}",
                    mark=svgdraw.strip(e.value, e.interval, axis, c.style.css),
                ),
                Cell(plural(e.seeds, "seed"), sort=float(e.seeds), note=f"×{NO_BREAK}" + plural(e.images, "image")),
                Cell(" or ".join(f"{s:,}" for s in seen), sort=float(seen[0])),
                amount(None if cost is None else cost.get("macs"), 1e6, 1),
                Cell(tables.EMPTY) if cost is None else latency_cell(cost, ms),
            )
        )
    columns = (
        Column("Paper"),
        Column(f"{metric(key)}, %", numeric=True),
        Column("95 % interval, %"),
        Column("Runs"),
        Column("Training samples", numeric=True),
        Column("MMAC, true count", numeric=True),
        Column("Latency, ms", numeric=True),
    )
    note = f"Intervals resample images and seeds. {tables.LATENCY}; {scope}."
    return Table(
        f"accuracy-{place.scale}-{identifier(place.protocol)}",
        f"{where(place)}: {metric(key)}.",
        columns,
        tuple(rows),
        note,
    )


def _differences(place: Condition, there: Sequence[Contender], runs: Runs) -> Table:
    key = evidence.headline_key(next(iter(runs[there[0].slug].values())))
    rows = []
    for a, b in combinations(there, 2):
        name = Cell(f"{a.slug} {chr(0x2212)} {b.slug}")
        if unequal := evidence.unequal_budgets(runs[a.slug], runs[b.slug]):
            rows.append((name, Cell("not comparable"), Cell(""), Cell(unequal)))
            continue
        gain = evidence.difference(runs[a.slug], runs[b.slug], key)
        if gain is None:
            rows.append((name, Cell("not comparable"), Cell(""), Cell("The papers share no seed.")))
            continue
        rows.append(
            (
                name,
                Cell(signed(gain.value, 2), exact(gain.value, "points"), gain.value),
                Cell(span(gain.interval, 2, sign=True), exact_span(gain.interval)),
                Cell(
                    _reading(gain.interval, a.slug, b.slug),
                    note=f"{plural(gain.seeds, 'seed')} × {plural(gain.images, 'image')}",
                ),
            )
        )
    columns = (
        Column("Papers"),
        Column("Difference, points", numeric=True),
        Column("95 % interval, points"),
        Column("Reading"),
    )
    note = "Paired image by image and seed by seed."
    caption = f"{where(place)}: differences in {metric(key)}."
    return Table(f"differences-{place.scale}-{identifier(place.protocol)}", caption, columns, tuple(rows), note)


def _reading(interval: tuple[float, float] | None, a: str, b: str) -> str:
    if interval is None:
        return "one seed, no interval"
    if interval[0] > 0:
        return f"{a} is more accurate"
    return f"{b} is more accurate" if interval[1] < 0 else "not told apart: the interval covers 0"


def _costs(papers: Sequence[LoadedPaper], records: Records) -> Table | None:
    """The full-size models of these papers."""
    full = {(p.paper.slug, fingerprint(v)): v for p in papers for v in p.paper.variants if v.scale == "full"}
    found = []
    for (slug, _), variant in full.items():
        record = evidence.cost_record(records, slug, variant.name, variant)
        if record is not None:
            found.append(record)
    if not found:
        return None
    inputs = {h: size(v.input_hw) for (_, h), v in full.items()}
    found.sort(key=lambda r: (inputs[r.identity.variant_hash], m.value if (m := r.get("macs")) else 0.0, r.id))
    return tables.cost_table(found, "costs", "Cost at full size, batch 1, by input size.", False, inputs)
