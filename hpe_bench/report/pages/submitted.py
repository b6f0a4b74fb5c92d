"""Submitted predictions on the leaderboard: scored from elsewhere, ranked within one protocol and truth.

They are never ranked with runs of ours: nothing is known about what they were trained on, and for how long (F5). What
their files cost, if they were counted and timed here, is found by the SHA-256 of the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from markupsafe import Markup

from hpe_bench.metrics.multiplicity import rank_ranges
from hpe_bench.plan import OWN
from hpe_bench.records import query
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit import pareto, svgdraw
from hpe_bench.report.kit.pareto import Dot
from hpe_bench.report.kit.ranking import rank_text
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, amount, exact_span, latency_cell
from hpe_bench.report.kit.text import exact, identifier, metric, number, span
from hpe_bench.report.kit.theme import Style
from hpe_bench.report.pages.entries import Entry
from hpe_bench.timing.rows import NetworkTimes, time_of_row
from hpe_bench.verdicts import evidence
from hpe_bench.verdicts.evidence import Records

LATENCY = "latency, ms (network only, fastest runtime)"


def score_page(record: RunRecord) -> str:
    """Name of a submission's page below `scores/`."""
    return f"{record.identity.variant}--{record.identity.protocol}.html"


Plots = tuple[tuple[str, str, Markup], ...]  # with the axis' key and, of latencies, the runtime


def groups(records: Records, pages: Collection[str]) -> list[tuple[Table, tuple[Entry, ...], Plots]]:
    """A table, its entries and their plots for each protocol and truth; `pages` are the score pages that exist."""
    found = query.of(records)
    times = NetworkTimes(found)
    return [_group(own, pages, found, times) for own in found.submissions().values()]


def _group(
    own: Sequence[RunRecord], pages: Collection[str], records: query.Records, times: NetworkTimes
) -> tuple[Table, tuple[Entry, ...], Plots]:
    key = query.headline_key(own[0])
    scored = [(_entry(r, key, records, times), r) for r in own if query.headline_key(r) == key]
    scored.sort(key=lambda pair: (-pair[0].value, pair[0].variant))
    ranks = rank_ranges(len(scored), evidence.better_rows([[r] for _, r in scored], key, fewest=1))
    rows = [(replace(e, rank=rank), r) for (e, r), rank in zip(scored, ranks, strict=True)]
    axis = svgdraw.axis_of([v for e, _ in rows for v in (e.value, *(e.interval or ()))])
    assert axis is not None
    i = own[0].identity
    columns = (
        Column("Rank", numeric=True),
        Column("Submission"),
        Column("Measured by"),
        Column(f"{metric(key)}, %", numeric=True),
        Column("95 % CI, %"),
        Column("GMAC, true count", numeric=True),
        Column("Parameters, M", numeric=True),
        Column("Latency, ms", numeric=True),
        Column("Scored against"),
        Column("Predictions"),
    )
    note = (
        "Predictions that came as files, scored here. Intervals and ranks are over images alone: they say which file "
        "is better, not which method. Ranked among each other only: their training data and budgets are not known to "
        "us (F5). Costs are those of the file with the same SHA-256, where `hpe-bench profile FILE` measured it here; "
        "a pose takes as many passes as its predictor makes."
    )
    id = f"submitted-{identifier(i.protocol)}-{identifier(i.test_digest[:6])}"
    table = Table(
        id,
        f"{i.protocol}: {metric(key)} of submitted predictions.",
        columns,
        tuple(_cells(e, r, axis, pages) for e, r in rows),
        note,
        attributes=tuple({"id": f"{id}-{k}", **e.facets} for k, (e, _) in enumerate(rows)),
    )
    entries = tuple(e for e, _ in rows)
    links = [f"scores/{page}" if (page := score_page(r)) in pages else f"#{id}-{k}" for k, (_, r) in enumerate(rows)]
    return table, entries, tuple(_plots(id, entries, links))


def _plots(id: str, entries: Sequence[Entry], links: Sequence[str]) -> Iterator[tuple[str, str, Markup]]:
    """Accuracy against each cost that enough rows have."""
    for axis, per, label in (
        ("macs", 1e9, "GMAC, true count"),
        ("latency", 1, LATENCY),
        ("params", 1e6, "parameters, M"),
    ):
        dots = [
            Dot(e.variant, cost / per, e.value, e.interval, _told(e, cost / per, label), links[k], f"{id}-{k}")
            for k, e in enumerate(entries)
            if (cost := e.cost_value(axis)) is not None
        ]
        if len(dots) >= pareto.FEWEST:
            name = f"plot-{axis}-{id}".replace(".", "-")
            yield axis, "", pareto.plot(name, dots, label, f"{metric(entries[0].metric)}, %")


def _told(e: Entry, cost: float, label: str) -> str:
    return f"{e.variant}: {number(e.value, 1)} % {span(e.interval)}".rstrip() + f" · {number(cost, 2)} {label}"


def _entry(record: RunRecord, key: str, records: query.Records, times: NetworkTimes) -> Entry:
    i, e = record.identity, evidence.pooled([record], key)
    cost = query.newest(records.costs_of_file(record.weights_sha256))
    fastest = None
    if cost is not None and cost.timings:
        fastest = times.fastest(OWN, cost.identity.variant_hash, cost.timings[0].input_hw)
    return Entry(
        by="submitted",
        scale=i.scale,
        protocol=i.protocol,
        metric=key,
        paper=i.paper,
        variant=i.variant,
        value=e.value,
        interval=e.interval,
        images=e.images,
        records=(record.id,),
        cost=cost,
        time=None if fastest is None else time_of_row(fastest),
    )


def _cells(e: Entry, record: RunRecord, axis: svgdraw.Axis, pages: Collection[str]) -> tuple[Cell, ...]:
    assert record.submission is not None
    page = score_page(record)
    return (
        Cell(rank_text(e.rank), sort=None if e.rank is None else float(e.rank[0])),
        Cell(e.variant, href=f"scores/{page}" if page in pages else "", note=record.submission.creator),
        Cell("submitted", note="scored from elsewhere"),
        Cell(number(e.value, 1), exact(e.value, "percent"), e.value),
        Cell(
            span(e.interval) or EMPTY,
            exact_span(e.interval),
            mark=svgdraw.strip(e.value, e.interval, axis, Style(1).css),
        ),
        amount(None if e.cost is None else e.cost.get("macs"), 1e9, 2),
        amount(None if e.cost is None else e.cost.get("params"), 1e6, 1),
        latency_cell(e.time),
        Cell(record.submission.truth),
        Cell(record.predictions_sha256[:12], f"SHA-256 {record.predictions_sha256}", note=record.submission.layout),
    )
