"""The page that sorts out published GFLOPs: which counter explains each figure, and what that does to rankings."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Claim, Variant
from hpe_bench.records import query
from hpe_bench.records.schema import Measurement, RunRecord
from hpe_bench.report.kit import plots, svgdraw
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, amount, latency_cell, latency_note
from hpe_bench.report.kit.text import NO_BREAK, exact, number, plural, signed, significant, size, unit_text
from hpe_bench.report.kit.theme import Style
from hpe_bench.report.pages.claims_view import ORIGIN, published
from hpe_bench.timing.rows import NetworkTime, NetworkTimes
from hpe_bench.timing.statistics import peak_of
from hpe_bench.verdicts import evidence
from hpe_bench.verdicts.conventions import Explanation, How, explain
from hpe_bench.verdicts.counters import COUNTERS
from hpe_bench.verdicts.evidence import Records

HOW: tuple[How, ...] = ("to its digits", "within 1 %", "by none", "not counted")
HEADINGS = ("published", "true GMAC", "latency")
FVCORE = "macs/fvcore_default"


@dataclass(frozen=True)
class CostsPage:
    """Everything the template needs."""

    summary: tuple[str, ...]
    figures_table: Table
    order: Table | None
    order_summary: tuple[str, ...]
    slopes: Figure | None
    speeds: Figure | None
    speed_summary: str

    @property
    def tables(self) -> list[Table]:
        """Every table of the page, for the downloads beside it."""
        return [t for t in (self.figures_table, self.order) if t is not None]


@dataclass(frozen=True)
class Figured:
    """A published cost, its paper and what explains it."""

    loaded: LoadedPaper
    found: Explanation


@dataclass(frozen=True)
class CostedModel:
    """A network with a printed figure, a count and a time."""

    slug: str
    variant: Variant
    claim: Claim
    record: RunRecord
    latency: NetworkTime
    explained: bool  # by a known counter

    @property
    def label(self) -> str:
        """Without the input size, which is everybody's."""
        return f"{self.slug} {self.short}"

    @property
    def short(self) -> str:
        return self.variant.name.removesuffix("_" + "x".join(map(str, self.variant.input_hw)))

    @property
    def values(self) -> tuple[float, float, float]:
        """As printed, true GMAC, median latency in ms."""
        assert self.claim.value is not None
        macs = self.record.get("macs")
        assert macs is not None
        return self.claim.value, macs.value / 1e9, self.latency.median_ms


def build(papers: Sequence[LoadedPaper], records: Records) -> CostsPage | None:
    """The page; None where no paper has a published cost."""
    claims = [(p, c) for p in papers for c in p.claims if c.metric == "macs" and c.value is not None]
    if not claims:
        return None
    rows = [Figured(p, explain(c, p.paper, records)) for p, c in claims]
    times = NetworkTimes(records)
    models = _models(rows, times)
    styles = {p.paper.slug: Style(i) for i, p in enumerate(papers)}
    return CostsPage(
        summary=tuple(_summary(rows)),
        figures_table=_table(rows),
        order=_order_table(models) if models else None,
        order_summary=tuple(_order_summary(models)),
        slopes=_slopes(models, styles) if models else None,
        speeds=_speeds(papers, records, styles, times),
        speed_summary=_speed_summary(_timed(papers, records, times)),
    )


# ---------------------------------------------------------------------------------------------------- every figure


def _table(rows: Sequence[Figured]) -> Table:
    with_default = any(_count(r, FVCORE) is not None for r in rows)  # older records lack it
    columns = (
        Column("Figure"),
        Column("Input, px"),
        Column("Published", numeric=True),
        Column("Counter named by the source"),
        Column("Explained by"),
        Column("Under it", numeric=True),
        Column("Off, %", numeric=True),
        Column("True GMAC", numeric=True),
        *([Column("fvcore's default, GFLOP", numeric=True)] if with_default else []),
        Column("Source"),
    )
    ordered = sorted(rows, key=lambda r: (HOW.index(r.found.how), r.loaded.paper.slug))
    note = (
        "Every known counter is tried on every figure. A figure is explained to its digits if the exact count rounds "
        "or truncates to what is printed; several counters may coincide where nothing tells them apart."
    )
    return Table(
        "published-costs",
        f"Published costs of networks, {plural(len(rows), 'figure')}, and the counters that give them.",
        columns,
        tuple(_row(r, with_default) for r in ordered),
        note,
    )


def _count(r: Figured, key: str) -> Measurement | None:
    """A count of the network that a figure is about; relations are about two."""
    found = r.found
    return None if found.subject is None or found.claim.kind != "value" else found.subject.get(key)


def _row(r: Figured, with_default: bool) -> tuple[Cell, ...]:
    claim, found = r.found.claim, r.found
    named = "not named" if claim.convention in ("", "unknown") else COUNTERS[claim.convention].label
    return (
        Cell(r.loaded.paper.slug, href=f"../{r.loaded.paper.slug}/index.html", note=claim.statement),
        Cell(_input(r) or EMPTY),
        Cell(published(claim), exact(claim.value, claim.unit), claim.value),
        Cell(named),
        Cell(found.how if found.how in ("by none", "not counted") else _names(found), note=_detail(found)),
        _under_cell(found),
        Cell(EMPTY)
        if found.value is None
        else Cell(signed(found.off_percent, 2), repr(found.off_percent), found.off_percent),
        amount(_count(r, "macs"), 1e9, 2),
        *([amount(_count(r, FVCORE), 1e9, 2)] if with_default else []),
        Cell(claim.source, note=ORIGIN[claim.status]),
    )


def _input(r: Figured) -> str:
    declared = next((v for v in r.loaded.paper.variants if v.name == r.found.claim.variant), None)
    return size(r.found.claim.input_hw or (declared.input_hw if declared else None))


def _names(found: Explanation) -> str:
    return " = ".join(unit_text(c.label) for c in found.counters)


def _detail(found: Explanation) -> str:
    if found.how == "not counted":
        return found.reason
    return f"nearest: {_names(found)}" if found.how == "by none" else found.how


def _under_cell(found: Explanation) -> Cell:
    if found.value is None:
        return Cell(EMPTY)
    value = float(found.value)
    relative = found.claim.kind == "percent change"
    unit = "percent" if relative else found.counters[0].unit_like(found.claim.unit)
    shown = signed(value, 1) if relative else significant(value)
    return Cell(f"{shown}{NO_BREAK}{unit_text(unit)}", exact(value, unit), value)


def _summary(rows: Sequence[Figured]) -> list[str]:
    """How many figures which counter explains, and the one lesson."""
    how = Tally(r.found.how for r in rows)
    counted = len(rows) - how["not counted"]
    told = [
        f"{plural(len(rows), 'published cost')} of {plural(len({r.loaded.paper.slug for r in rows}), 'paper')}: of the "
        f"{counted} whose network is among ours, {how['to its digits']} are explained to the printed digits, "
        f"{how['within 1 %']} within 1{NO_BREAK}%, and {how['by none']} by no counter we know."
    ]
    true = [r for r in rows if r.found.how in HOW[:2]]
    plain = sum(any(c.convention == "true" for c in r.found.counters) for r in true)
    if true:
        told.append(
            f"Of the {len(true)} explained figures, {plain} {'is' if plain == 1 else 'are'} what they all seem to be: "
            "billions of multiply-adds. The others divide by 2³⁰ (7.4 % less), charge transposed convolutions by their "
            "output (four times too much at stride 2), or count the addition apart (2×)."
        )
    if any(_count(r, FVCORE) is not None for r in rows):
        by_default = sum(any(c.convention == "fvcore_default" for c in r.found.counters) for r in true)
        told.append(
            "fvcore by itself, and with it mmpose since version 1, also counts normalisation, resizing and pooling: "
            f"that explains {by_default or 'none'} of the figures."
        )
    return told


# ---------------------------------------------------------------------------------------------------- orders


def _models(rows: Sequence[Figured], times: NetworkTimes) -> list[CostedModel]:
    """Networks of one input size with all three values: the size that most have, the paper's own figure first.

    All were timed alike: on the machine and by the method that most were.
    """
    found: dict[tuple[str, str], CostedModel] = {}
    for r in sorted(rows, key=lambda r: r.found.claim.status != "published"):
        claim, record = r.found.claim, r.found.subject
        variant = next((v for v in r.loaded.paper.variants if v.name == claim.variant), None)
        timed = None
        if record is not None and variant is not None:
            timed = times.shown(r.loaded.paper.slug, record.identity.variant_hash, variant.input_hw)
        if claim.kind != "value" or variant is None or record is None or timed is None or claim.unit.startswith("M"):
            continue
        explained = r.found.how in HOW[:2]
        model = CostedModel(r.loaded.paper.slug, variant, claim, record, timed, explained)
        found.setdefault((model.slug, variant.name), model)
    by_size: dict[tuple[int, int], list[CostedModel]] = {}
    for model in found.values():
        by_size.setdefault(model.variant.input_hw, []).append(model)
    most = max(by_size.values(), key=len, default=[])
    methods = Tally(_method(m) for m in most).most_common(1)
    shown = [m for m in most if _method(m) == methods[0][0]]
    return sorted(shown, key=lambda m: (m.values[0], m.values[1]))


def _method(m: CostedModel) -> tuple[str, int, bool]:
    """How a network was timed."""
    return m.latency.machine, m.latency.threads, m.latency.row is None


def _ranks(models: Sequence[CostedModel], which: int) -> list[int]:
    """1 for the least; ties go by the order of the models."""
    order = sorted(range(len(models)), key=lambda i: (models[i].values[which], i))
    ranks = [0] * len(models)
    for rank, i in enumerate(order, 1):
        ranks[i] = rank
    return ranks


def _order_table(models: Sequence[CostedModel]) -> Table:
    ranks = [_ranks(models, k) for k in range(3)]
    columns = (
        Column("Network"),
        Column("Published", numeric=True),
        Column("Rank", numeric=True),
        Column("True GMAC", numeric=True),
        Column("Rank", numeric=True),
        Column("Latency, ms", numeric=True),
        Column("Rank", numeric=True),
    )
    rows = tuple(
        (
            Cell(m.label, note=m.variant.name),
            Cell(published(m.claim), exact(m.claim.value, m.claim.unit), m.claim.value),
            _rank_cell(ranks[0][i]),
            amount(m.record.get("macs"), 1e9, 2),
            _rank_cell(ranks[1][i]),
            latency_cell(m.latency),
            _rank_cell(ranks[2][i]),
        )
        for i, m in enumerate(models)
    )
    caption = (
        f"The same networks, input {size(models[0].variant.input_hw)}, ordered by what was published, by true "
        f"multiply-adds and by measured latency; {models[0].latency.scope}, {models[0].latency.machine}."
    )
    return Table("orders", caption, columns, rows, latency_note([m.latency for m in models]))


def _rank_cell(rank: int) -> Cell:
    return Cell(str(rank), sort=float(rank))


def _slopes(models: Sequence[CostedModel], styles: dict[str, Style]) -> Figure:
    ranks = list(zip(*(_ranks(models, k) for k in range(3)), strict=True))
    rows = [plots.Ranked(m.label, m.short, styles[m.slug], r) for m, r in zip(models, ranks, strict=True)]
    svg = plots.slopes(
        "orders-slopes", HEADINGS, rows, "Order of the networks by published figure, true count, latency"
    )
    caption = "Cheapest at the top. Lines that cross are networks whose order depends on what is asked."
    return Figure(svg, caption, tuple((svgdraw.swatch(styles[s]), s) for s in dict.fromkeys(m.slug for m in models)))


def _order_summary(models: Sequence[CostedModel]) -> list[str]:
    """How many pairs change places, and the pair that does so most."""
    pairs = list(combinations(models, 2))
    if not pairs:
        return []
    turned = [(a, b) for a, b in pairs if _opposed(a, b, 0, 1)]
    slower = [(a, b) for a, b in pairs if _opposed(a, b, 1, 2) and _apart(a.latency, b.latency)]
    told = [
        f"Of {plural(len(pairs), 'pair')} of networks, {len(turned)} stand in the opposite order once multiply-adds "
        f"are counted alike, and {len(slower)} are ordered otherwise by measured latency than by true multiply-adds "
        "(their intervals apart)."
    ]
    by_counter_alone = [(a, b) for a, b in turned if a.explained and b.explained]
    for which, found in ((0, by_counter_alone), (1, slower)):
        if found:
            told.append(_pair_sentence(*max(found, key=lambda pair: _contrast(pair[0], pair[1], which)), which))
    return told


def _opposed(a: CostedModel, b: CostedModel, first: int, second: int) -> bool:
    return (a.values[first] - b.values[first]) * (a.values[second] - b.values[second]) < 0


def _apart(a: NetworkTime, b: NetworkTime) -> bool:
    """Whether one is surely faster: the interval of their ratio does not hold 1."""
    found = a.against(b)
    return found is not None and (found.interval[1] < 1 or found.interval[0] > 1)


def _contrast(a: CostedModel, b: CostedModel, which: int) -> float:
    """How far apart a pair is under both orders: the smaller of the two ratios."""
    ratios = [a.values[k] / b.values[k] for k in (which, which + 1)]
    return min(max(r, 1 / r) for r in ratios)


def _pair_sentence(a: CostedModel, b: CostedModel, which: int) -> str:
    if a.values[which] > b.values[which]:
        a, b = b, a
    units = (("", 1), (" true GMAC", 2), (f"{NO_BREAK}ms", 0))
    shown = [[f"{number(m.values[k], units[k][1])}{units[k][0]}" for k in (which, which + 1)] for m in (a, b)]
    first = [published(m.claim) if which == 0 else text[0] for m, text in zip((a, b), shown, strict=True)]
    verb = "is printed with" if which == 0 else "needs"
    return f"{a.label} {verb} {first[0]} and {b.label} with {first[1]}; they take {shown[0][1]} and {shown[1][1]}."


# ---------------------------------------------------------------------------------------------------- speeds


def _timed(
    papers: Sequence[LoadedPaper], records: Records, times: NetworkTimes
) -> list[tuple[str, Variant, float, float]]:
    """Full-size networks with slug, variant, true GMAC and achieved GMAC/s: eager, one image, one thread."""
    found = []
    for loaded in papers:
        for variant in loaded.paper.variants:
            record = evidence.cost_record(records, loaded.paper.slug, variant.name, variant)
            if variant.scale != "full" or record is None or (macs := record.get("macs")) is None:
                continue
            timed = times.shown(loaded.paper.slug, record.identity.variant_hash, variant.input_hw)
            if timed is not None and timed.threads == 1:
                found.append((loaded.paper.slug, variant, macs.value / 1e9, macs.value / timed.median_ms / 1e6))
    return found


def _speeds(
    papers: Sequence[LoadedPaper], records: Records, styles: dict[str, Style], times: NetworkTimes
) -> Figure | None:
    timed = _timed(papers, records, times)
    if not timed:
        return None
    points = [(f"{slug} {v.name}", styles[slug], gmac, speed) for slug, v, gmac, speed in timed]
    roof = max((p for r in query.of(records).finished("latency") if (p := peak_of(r, 1)) is not None), default=None)
    svg = plots.speeds("speeds", points, roof, "true GMAC an image", "GMAC/s achieved, one thread")
    ceiling = "" if roof is None else " The dashed line is the fastest that one thread of this machine multiplied."
    caption = f"Eager PyTorch, one image at a time, every full-size network.{ceiling}"
    return Figure(svg, caption, tuple((svgdraw.swatch(styles[s]), s) for s in dict.fromkeys(t[0] for t in timed)))


def _speed_summary(timed: Sequence[tuple[str, Variant, float, float]]) -> str:
    if len(timed) < 2:
        return ""
    slow, fast = min(timed, key=lambda t: t[3]), max(timed, key=lambda t: t[3])
    return (
        f"A multiply-add is not worth the same everywhere: {fast[0]} {fast[1].name} gets {number(fast[3], 0)} billion "
        f"of them a second out of one thread, {slow[0]} {slow[1].name} {number(slow[3], 0)}, "
        f"{number(fast[3] / slow[3], 1)} times fewer. That is why a count cannot order latencies (F20)."
    )
