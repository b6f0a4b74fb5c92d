"""Published figures of papers beside each other: what they print under one protocol for one input size."""

from __future__ import annotations

from collections.abc import Sequence

from hpe_bench.catalog import LoadedPaper
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table
from hpe_bench.report.kit.text import exact, size
from hpe_bench.report.pages import networks
from hpe_bench.report.pages.networks import Printed, ScoreField

Place = tuple[ScoreField, tuple[int, int]]


def table(papers: Sequence[LoadedPaper]) -> Table | None:
    """A row for each protocol, metric and input size that two papers print, the best figure of each; None without."""
    best: dict[Place, dict[str, tuple[Printed, str]]] = {}
    for loaded in papers:
        for variant in loaded.paper.variants:
            if variant.scale == "full":
                for field, figure in networks.printed(loaded.claims, variant.name).items():
                    row = best.setdefault((field, variant.input_hw), {})
                    before = row.get(loaded.paper.slug)
                    if before is None or before[0].value < figure.value:
                        row[loaded.paper.slug] = figure, loaded.paper.name_of(variant.name)
    shared = [(place, row) for place, row in best.items() if len(row) > 1]
    if not shared:
        return None
    shared.sort(key=lambda pair: (-len(pair[1]), pair[0][0].key, pair[0][1]))
    columns = (
        Column("Protocol"),
        Column("Input, px"),
        *(Column(f"{p.paper.name}, %", numeric=True) for p in papers),
    )
    rows = tuple(
        (
            Cell(field.protocol, note=field.name),
            Cell(size(input_hw)),
            *(_cell(row.get(p.paper.slug)) for p in papers),
        )
        for (field, input_hw), row in shared
    )
    note = "The most accurate network of each paper, as its source printed it. No intervals were published."
    return Table("published", "Published accuracy under the same protocol and input size.", columns, rows, note)


def _cell(found: tuple[Printed, str] | None) -> Cell:
    if found is None:
        return Cell(EMPTY)
    figure, name = found
    source = figure.claim.source + (" (secondary source)" if figure.secondary else "")
    return Cell(figure.claim.printed, exact(figure.value, "percent"), figure.value, note=f"{name} · {source}")
