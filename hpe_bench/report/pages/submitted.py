"""Submitted predictions on the leaderboard: scored from elsewhere, ranked within one protocol and truth.

They are never ranked with runs of ours: nothing is known about what they were trained on, and for how long (F5).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from hpe_bench.metrics.multiplicity import rank_ranges
from hpe_bench.records import query
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit import svgdraw
from hpe_bench.report.kit.ranking import rank_text
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, exact_span
from hpe_bench.report.kit.text import exact, identifier, metric, number, span
from hpe_bench.report.kit.theme import Style
from hpe_bench.report.pages.entries import Entry
from hpe_bench.verdicts import evidence
from hpe_bench.verdicts.evidence import Records


def score_page(record: RunRecord) -> str:
    """Name of a submission's page below `scores/`."""
    return f"{record.identity.variant}--{record.identity.protocol}.html"


def groups(records: Records, pages: Collection[str]) -> list[tuple[Table, tuple[Entry, ...]]]:
    """A table and its entries for each protocol and truth; `pages` are the names of the score pages that exist."""
    return [_group(own, pages) for own in query.of(records).submissions().values()]


def _group(own: Sequence[RunRecord], pages: Collection[str]) -> tuple[Table, tuple[Entry, ...]]:
    key = query.headline_key(own[0])
    scored = [(_entry(r, key), r) for r in own if query.headline_key(r) == key]
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
        Column("Scored against"),
        Column("Predictions"),
    )
    note = (
        "Predictions that came as files, scored here. Intervals and ranks are over images alone: they say which file "
        "is better, not which method. Ranked among each other only: their training data and budgets are not known to "
        "us (F5)."
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
    return table, tuple(e for e, _ in rows)


def _entry(record: RunRecord, key: str) -> Entry:
    i, e = record.identity, evidence.pooled([record], key)
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
        Cell(record.submission.truth),
        Cell(record.predictions_sha256[:12], f"SHA-256 {record.predictions_sha256}", note=record.submission.layout),
    )
