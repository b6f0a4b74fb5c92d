"""Papers side by side: what was measured under the same protocol and budget, differences, and full-size costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Arm, fingerprint
from hpe_bench.records import query
from hpe_bench.records.query import ScoringCondition
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit import gallery, plots, svgdraw, tables
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.gallery import Images, Person
from hpe_bench.report.kit.protocol_text import differences as differences_of
from hpe_bench.report.kit.studies import Protocols, ordered_conditions
from hpe_bench.report.kit.tables import Cell, Column, Table, amount, exact_span, latency_cell, latency_note
from hpe_bench.report.kit.text import (
    MINUS,
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
from hpe_bench.report.kit.theme import Style
from hpe_bench.report.pages import calibration_view, comparison_costs, comparison_published, diagnosis_view
from hpe_bench.report.pages.diagnosis_view import DiagnosedModel
from hpe_bench.report.pages.entries import Flat
from hpe_bench.timing.rows import Network, NetworkTimes
from hpe_bench.verdicts import evidence, pairs
from hpe_bench.verdicts.evidence import Estimate, Records
from hpe_bench.verdicts.pools import SeedPools


@dataclass(frozen=True)
class ComparisonSection:
    """A table as plain text, for a terminal; a column that starts with a space is set right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Detail:
    """What stands behind a headline comparison: joints, parts of the test set, kinds of errors, the same persons."""

    title: str
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    persons: tuple[Person, ...]
    ground: str  # of the drawn persons


@dataclass(frozen=True)
class ComparisonPage:
    """Papers side by side. `missing` says in sentences what could not be compared."""

    papers: tuple[LoadedPaper, ...]
    accuracy: tuple[Table, ...]
    differences: tuple[Table, ...]
    details: tuple[Detail, ...]
    wins: tuple[str, ...]
    recipes: tuple[Table, ...]
    ratios: tuple[Table, ...]
    costs: Table | None
    missing: tuple[str, ...]
    rows: tuple[Flat, ...] = ()  # accuracies, one a paper and condition: what the downloads are made of
    gaps: tuple[Flat, ...] = ()  # differences, one a pair and condition
    published: Table | None = None  # figures of one protocol and input size that two papers print or more

    @property
    def tables(self) -> list[Table]:
        first = [*([self.published] if self.published else []), *self.ratios, *([self.costs] if self.costs else [])]
        studied = [*self.accuracy, *self.differences, *(t for d in self.details for t in d.tables)]
        return [*first, *studied, *self.recipes]

    @property
    def sections(self) -> list[ComparisonSection]:
        """The same tables as text."""
        return [_section(t) for t in self.tables]


def _section(table: Table) -> ComparisonSection:
    columns = tuple(f" {c.name}" if c.numeric else c.name for c in table.columns)
    rows = tuple(tuple(" ".join(filter(None, (c.text, c.note))) for c in row) for row in table.rows)
    return ComparisonSection(table.caption, columns, rows)


@dataclass(frozen=True)
class ComparedPaper:
    """What a paper enters with: the arm of its own that its headline proposes, or else its first own arm."""

    slug: str
    arm: Arm
    style: Style

    @property
    def network(self) -> Network:
        """Whose times are asked for."""
        return self.arm.paper, fingerprint(self.arm.variant), self.arm.variant.input_hw


def with_yardstick(loaded: LoadedPaper, papers: Sequence[LoadedPaper]) -> tuple[LoadedPaper, ...]:
    """The yardstick and a paper; nothing for the yardstick itself, or where it does not load."""
    found = [p for p in papers if p.paper.baseline and not loaded.paper.baseline]
    return (found[0], loaded) if found else ()


def address(slugs: Sequence[str]) -> str:
    """Where the comparison of some papers lies below the reports."""
    return f"compare/{'-vs-'.join(slugs)}/index.html"


def contenders(papers: Sequence[LoadedPaper]) -> list[ComparedPaper]:
    """One arm a paper, each with a colour of its own."""
    found = []
    for i, loaded in enumerate(papers):
        own = [a for a in (pairs.proposal(loaded.paper), *loaded.paper.headline.arms) if a.paper == loaded.paper.slug]
        if own:
            found.append(ComparedPaper(loaded.paper.slug, own[0], Style(i + 1)))
    return found


def build(
    papers: Sequence[LoadedPaper],
    records: Records,
    protocols: Protocols,
    images: Mapping[str, Images] = MappingProxyType({}),
) -> ComparisonPage:
    """Compare two papers or more; `images` gives pixels by protocol, where they may be shown."""
    entered = contenders(papers)
    records = query.of(records)
    pools = SeedPools(records)
    accuracy, differences, details, wins, missing = [], [], [], [], []
    rows: list[Flat] = []
    gaps: list[Flat] = []
    for place in ordered_conditions(records, protocols):
        runs = {c.slug: evidence.arm_runs(records, c.arm, place) for c in entered}
        there = [c for c in entered if runs[c.slug]]
        if len(there) >= 2:
            rows += _flat_accuracies(place, there, runs, records, pools)
            gaps += _flat_differences(place, there, runs, pools)
            accuracy.append(_accuracy(place, there, runs, records, pools))
            differences.append(_differences(place, there, runs, pools))
            details.append(_detail(place, there, runs, images.get(place.protocol), pools))
            wins += _accuracy_wins(place, there, runs, pools)
        elif there:
            missing.append(f"{where(place)}: only {there[0].slug} was run.")
    if not accuracy:
        names = ", ".join(f"`hpe-bench reproduce {p.paper.slug}`" for p in papers)
        missing.append(f"No protocol has runs of two of these papers yet; {names} make them.")
    fields = comparison_costs.fields(papers, [(c.slug, c.arm.variant) for c in entered], records)
    ratios = [(f, comparison_costs.ratios(f, records)) for f in fields]
    return ComparisonPage(
        papers=tuple(papers),
        accuracy=tuple(accuracy),
        differences=tuple(differences),
        details=tuple(details),
        wins=(*filter(None, (comparison_costs.sentence(*r) for r in ratios)), *wins),
        recipes=tuple(t for a, b in combinations(entered, 2) if (t := _recipes(a, b)) is not None),
        ratios=tuple(comparison_costs.table(*r) for r in ratios),
        costs=_costs(papers, records),
        missing=tuple(missing),
        rows=tuple(rows),
        gaps=tuple(gaps),
        published=comparison_published.table(papers),
    )


Runs = dict[str, dict[int, RunRecord]]


def _flat_place(place: ScoringCondition) -> Flat:
    return {"scale": place.scale, "protocol": place.protocol, "test_digest": place.test_digest}


def _flat_accuracies(
    place: ScoringCondition, there: Sequence[ComparedPaper], runs: Runs, records: query.Records, pools: SeedPools
) -> Iterator[Flat]:
    """A row a paper at full precision, every value under a name that says its unit."""
    key, times = query.headline_key(next(iter(runs[there[0].slug].values()))), NetworkTimes(records)
    for c, timed in zip(there, times.shown_together([c.network for c in there]), strict=True):
        own = list(runs[c.slug].values())
        e = evidence.pooled(own, key, pools)
        low, high = e.interval or (None, None)
        cost = evidence.cost_record(records, c.arm.paper, c.arm.variant.name, c.arm.variant)
        yield {
            **_flat_place(place),
            "paper": c.slug,
            "variant": c.arm.variant.name,
            "recipe": c.arm.recipe.name,
            "metric": key,
            "value_percent": e.value,
            "interval95_low_percent": low,
            "interval95_high_percent": high,
            "seeds": e.seeds,
            "images": e.images,
            "training_samples": own[0].identity.samples_seen,
            "macs": None if cost is None or (m := cost.get("macs")) is None else m.value,
            "parameters": None if cost is None or (m := cost.get("params")) is None else m.value,
            "latency_median_ms": None if timed is None else timed.median_ms,
            "latency_scope": "" if timed is None else timed.scope,
            "records": " ".join(r.id for r in own),
        }


def _flat_differences(
    place: ScoringCondition, there: Sequence[ComparedPaper], runs: Runs, pools: SeedPools
) -> Iterator[Flat]:
    """A row a pair: the first less the second; without a value where they cannot be compared, with the reason."""
    key = query.headline_key(next(iter(runs[there[0].slug].values())))
    for a, b in combinations(there, 2):
        unequal = evidence.unequal_budgets(runs[a.slug], runs[b.slug])
        gain = None if unequal else evidence.difference(runs[a.slug], runs[b.slug], key, pools)
        low, high = (None, None) if gain is None or gain.interval is None else gain.interval
        yield {
            **_flat_place(place),
            "first": a.slug,
            "second": b.slug,
            "metric": key,
            "difference_points": None if gain is None else gain.value,
            "interval95_low_points": low,
            "interval95_high_points": high,
            "seeds": None if gain is None else gain.seeds,
            "images": None if gain is None else gain.images,
            "not_comparable": unequal or ("The papers share no seed." if gain is None else ""),
        }


def _accuracy(
    place: ScoringCondition, there: Sequence[ComparedPaper], runs: Runs, records: Records, pools: SeedPools
) -> Table:
    key = query.headline_key(next(iter(runs[there[0].slug].values())))
    estimates = {c.slug: evidence.pooled(list(runs[c.slug].values()), key, pools) for c in there}
    axis = svgdraw.axis_of([v for e in estimates.values() for v in (e.value, *(e.interval or ()))])
    assert axis is not None
    rows = []
    shown = NetworkTimes(records).shown_together([c.network for c in there])
    times = {c.slug: time for c, time in zip(there, shown, strict=True)}
    for c in there:
        e = estimates[c.slug]
        cost = evidence.cost_record(records, c.arm.paper, c.arm.variant.name, c.arm.variant)
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
                latency_cell(times[c.slug]),
            )
        )
    columns = (
        Column("Paper"),
        Column(f"{metric(key)}, %", numeric=True),
        Column("95 % CI, %"),
        Column("Runs"),
        Column("Training samples", numeric=True),
        Column("MMAC, true count", numeric=True),
        Column("Latency, ms", numeric=True),
    )
    note = f"Intervals resample images and seeds. {latency_note(list(times.values()))}"
    return Table(
        f"accuracy-{place.scale}-{identifier(place.protocol)}",
        f"{where(place)}: {metric(key)}.",
        columns,
        tuple(rows),
        note,
    )


def _differences(place: ScoringCondition, there: Sequence[ComparedPaper], runs: Runs, pools: SeedPools) -> Table:
    key = query.headline_key(next(iter(runs[there[0].slug].values())))
    rows = []
    for a, b in combinations(there, 2):
        name = Cell(f"{a.slug} {chr(0x2212)} {b.slug}")
        if unequal := evidence.unequal_budgets(runs[a.slug], runs[b.slug]):
            rows.append((name, Cell("not comparable"), Cell(""), Cell(unequal)))
            continue
        gain = evidence.difference(runs[a.slug], runs[b.slug], key, pools)
        if gain is None:
            rows.append((name, Cell("not comparable"), Cell(""), Cell("The papers share no seed.")))
            continue
        rows.append(
            (
                name,
                Cell(signed(gain.value, 2), exact(gain.value, "points"), gain.value),
                Cell(span(gain.interval, 2, sign=True), exact_span(gain.interval)),
                Cell(
                    _reading(gain, a.slug, b.slug, _untaught([a, b], runs, pools)),
                    note=f"{plural(gain.seeds, 'seed')} × {plural(gain.images, 'image')}",
                ),
            )
        )
    columns = (
        Column("Papers"),
        Column("Difference, points", numeric=True),
        Column("95 % CI, points"),
        Column("Reading"),
    )
    note = "Paired image by image; how far seeds lie apart is taken from all settings of the protocol together."
    caption = f"{where(place)}: differences in {metric(key)}."
    return Table(f"differences-{place.scale}-{identifier(place.protocol)}", caption, columns, tuple(rows), note)


def _reading(gain: Estimate, a: str, b: str, untaught: Sequence[str]) -> str:
    if untaught:
        return f"{' and '.join(untaught)} stayed below the mean pose: nothing follows"
    if gain.sign:
        return f"{a if gain.sign > 0 else b} is more accurate"
    if gain.seeds < evidence.FEWEST_SEEDS:
        return "one seed: another training may differ (F24)"
    return "no interval" if gain.interval is None else "not told apart: the interval covers 0"


def _untaught(contenders: Sequence[ComparedPaper], runs: Runs, pools: SeedPools) -> list[str]:
    """Those that have not learned."""
    return [c.slug for c in contenders if not pools.learned(list(runs[c.slug].values()))]


# ---------------------------------------------------------------------------------------------------- behind it


def _detail(
    place: ScoringCondition, there: Sequence[ComparedPaper], runs: Runs, images: Images | None, pools: SeedPools
) -> Detail:
    key = query.headline_key(next(iter(runs[there[0].slug].values())))
    models = [DiagnosedModel(c.slug, c.style, runs[c.slug], pools) for c in there]
    name = f"{place.scale}-{identifier(place.protocol)}".replace(".", "-")
    title = where(place)
    kinds = f"{title}: what the labelled joints of found persons are, errors by kind. The rest is good."
    drawn = [
        _by_joint(f"joints-{name}", place, models, key),
        _joint_grid(f"grid-{name}", place, models, key),
        diagnosis_view.kinds_figure(f"kinds-{name}", kinds, models),
    ]
    told = [
        _joint_table(f"joints-{name}", place, models, key),
        diagnosis_view.parts_table(f"parts-{name}", f"{title}: by visibility and size.", models, key),
        diagnosis_view.kinds_table(f"kinds-{name}", f"{title}: kinds of errors.", models),
    ]
    scored = [
        (m.label, first.calibration) for m in models if (first := next(iter(m.runs.values()))).calibration is not None
    ]
    drawn += calibration_view.figures(scored, f"calibration-{name}")
    told += calibration_view.tables(scored, f"calibration-{name}")
    shared = min(set.intersection(*(set(m.runs) for m in models)), default=None)
    persons = [] if shared is None else gallery.beside([(m.label, m.runs[shared]) for m in models], images)
    ground = f"Seed {shared}. " + (
        gallery.RENDERED if persons and all(p.has_pixels for p in persons) else gallery.PLAIN
    )
    return Detail(
        title,
        tuple(f for f in drawn if f is not None),
        tuple(t for t in told if t is not None),
        tuple(persons),
        ground,
    )


def _group_keys(models: Sequence[DiagnosedModel], key: str) -> list[str]:
    """Joint groups that every run of every model has."""
    runs = [r for m in models for r in m.runs.values()]
    groups = [m.key for m in runs[0].measurements if m.key.startswith(f"{key}/") and "/joint/" not in m.key]
    return [g for g in groups if all(r.get(g) for r in runs)]


def _by_joint(name: str, place: ScoringCondition, models: Sequence[DiagnosedModel], key: str) -> Figure | None:
    keys = _group_keys(models, key)
    if not keys:
        return None
    rows = []
    for m in models:
        found = [e for k in keys if (e := m.estimate(k)) is not None]
        rows.append(plots.Dots(m.label, m.style, tuple(e.value for e in found), tuple(e.interval for e in found)))
    names = [k.rpartition("/")[2].replace("_", " ") for k in keys]
    svg = plots.dots(name, names, rows, f"{metric(key)}, %")
    caption = f"{where(place)}: by joint group, mean over seeds with 95 % CIs over images and seeds."
    return Figure(svg, caption, tuple((svgdraw.swatch(m.style), m.label) for m in models))


def _joint_grid(name: str, place: ScoringCondition, models: Sequence[DiagnosedModel], key: str) -> Figure | None:
    """Every joint by every model."""
    runs = [r for m in models for r in m.runs.values()]
    joints = [m.key for m in runs[0].measurements if m.key.startswith(f"{key}/joint/") and m.key.count("/") == 2]
    keys = [k for k in joints if all(r.get(k) for r in runs)]
    if not keys:
        return None
    found = [[m.estimate(k) for m in models] for k in keys]
    names = [k.rpartition("/")[2].replace("_", " ") for k in keys]
    values = [[None if e is None else e.value for e in row] for row in found]
    title = f"{metric(key)} by joint and network, %"
    svg = plots.grid(name, names, [m.label for m in models], values, title)
    return Figure(svg, f"{where(place)}: {title}, mean over seeds; darker is more.", ())


def _joint_table(id: str, place: ScoringCondition, models: Sequence[DiagnosedModel], key: str) -> Table | None:
    """Paired differences of every two models, joint group by joint group, in points."""
    keys, couples = _group_keys(models, key), list(combinations(models, 2))
    if not keys:
        return None
    rows = [
        (Cell(k.rpartition("/")[2].replace("_", " ")), *(_points(diagnosis_view.gain(a, b, k)) for a, b in couples))
        for k in keys
    ]
    columns = (
        Column("Joints"),
        *(Column(f"{a.label} {MINUS} {b.label}, {metric(key)}, points", numeric=True) for a, b in couples),
    )
    note = "Paired image by image and seed by seed; in brackets 95 % CIs, not corrected for the number of rows."
    return Table(id, f"{where(place)}: differences by joint group.", columns, tuple(rows), note)


def _points(gain: Estimate | None) -> Cell:
    if gain is None:
        return Cell(tables.EMPTY)
    return Cell(signed(gain.value, 1), exact(gain.value, "points"), gain.value, note=span(gain.interval, 1, sign=True))


def _accuracy_wins(place: ScoringCondition, there: Sequence[ComparedPaper], runs: Runs, pools: SeedPools) -> list[str]:
    """A sentence for each pair that can be told apart, with the joint groups that differ most either way."""
    key = query.headline_key(next(iter(runs[there[0].slug].values())))
    found = []
    taught = [c for c in there if pools.learned(list(runs[c.slug].values()))]
    for a, b in combinations([DiagnosedModel(c.slug, c.style, runs[c.slug], pools) for c in taught], 2):
        gain = diagnosis_view.gain(a, b, key)
        if gain is None or gain.interval is None:
            continue
        if not gain.sign:
            why = " from one seed" if gain.seeds < evidence.FEWEST_SEEDS else ""
            found.append(f"{where(place)}: {a.label} and {b.label} cannot be told apart in {metric(key)}{why}.")
            continue
        ahead, behind = (a, b) if gain.value > 0 else (b, a)
        groups = [(k, g) for k in _group_keys([a, b], key) if (g := diagnosis_view.gain(ahead, behind, k)) is not None]
        low, high = sorted(abs(end) for end in gain.interval)
        by = f"{number(abs(gain.value), 1)} {span((low, high))} points {metric(key)}, {plural(gain.seeds, 'seed')}"
        text = f"{where(place)}: {ahead.label} leads {behind.label} by {by}"
        if groups:
            best, worst = max(groups, key=lambda g: g[1].value), min(groups, key=lambda g: g[1].value)
            text += f"; most at the {_joint(best[0])} ({signed(best[1].value, 1)})"
            if worst[1].sign < 0:
                text += f", but trails at the {_joint(worst[0])} ({signed(worst[1].value, 1)})"
        found.append(f"{text}.")
    return found


def _joint(key: str) -> str:
    return key.rpartition("/")[2].replace("_", " ")


def _recipes(a: ComparedPaper, b: ComparedPaper) -> Table | None:
    """How the trainings of two contenders differ, field by field; None where they do not."""
    found = [d for d in differences_of(a.arm.recipe, b.arm.recipe) if d.field != "name"]
    rows = tuple((Cell(d.field.replace("_", " ")), Cell(d.first), Cell(d.second)) for d in found)
    columns = (Column("Field of the recipe"), Column(a.slug), Column(b.slug))
    note = "Everything else of the two recipes is equal. The protocol is one and the same in every table above."
    caption = f"How {a.slug} ({a.arm.recipe.name}) and {b.slug} ({b.arm.recipe.name}) were trained differently."
    return Table(f"recipes-{a.slug}-{b.slug}", caption, columns, rows, note) if rows else None


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
    return tables.cost_table(
        found, "costs", "Cost at full size, batch 1, by input size.", False, inputs, NetworkTimes(records)
    )
