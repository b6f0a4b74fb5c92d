"""The page of published costs: every figure appears, with the counter that gives it; orders change as planted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Claim, replace
from hpe_bench.records import store
from hpe_bench.report import site
from hpe_bench.report.pages import costs_page
from hpe_bench.report.pages.costs_page import HOW
from hpe_bench.verdicts.conventions import explain
from tests import synthetic_records
from tests.synthetic_paper import BASE_FULL, FULL, PAPER, PRINTED, macs

G = 2**30
# 5 true GMAC with transposed convolutions, 8 without, 6 without
DECONV = synthetic_records.cost("tiny", PRINTED, 34_000_000, 5_000_000_000, round(8.94 * G), ms=90)
PLAIN = synthetic_records.cost("tiny", FULL, 28_000_000, 8_000_000_000, 8_000_000_000, ms=60)
THEIRS = synthetic_records.cost("base", BASE_FULL, 20_000_000, 6_000_000_000, 6_000_000_000, ms=70)
ALL = [DECONV, PLAIN, THEIRS]


@pytest.mark.parametrize(
    ("changes", "how", "labels"),
    [
        ({}, "to its digits", ["HRNet counter"]),
        ({"printed": "5.0", "value": 5.0}, "to its digits", ["true multiply-adds"]),
        ({"printed": "10", "value": 10.0}, "to its digits", ["2 FLOPs per multiply-add"]),
        ({"printed": "8.99", "value": 8.99}, "within 1 %", ["HRNet counter"]),
        ({"printed": "7.0", "value": 7.0}, "by none", ["HRNet counter"]),
        (
            {"variant": FULL.name, "printed": "7.45", "value": 7.45},
            "to its digits",
            ["HRNet counter", "multiply-adds / 2^30"],  # nothing tells them apart without transposed convolutions
        ),
        ({"variant": ""}, "not counted", []),
        (
            {"kind": "percent change", "baseline": f"tiny/{FULL.name}", "printed": "37.5", "value": -37.5},
            "to its digits",
            ["true multiply-adds", "multiply-adds / 2^30", "2 FLOPs per multiply-add"],
        ),
    ],
)
def test_every_counter_is_tried_whatever_the_claim_says(changes: dict[str, Any], how: str, labels: list[str]) -> None:
    found = explain(macs(convention="unknown", **changes), PAPER, ALL)
    assert found.how == how
    assert [c.label for c in found.counters] == labels
    assert bool(found.reason) == (how == "not counted")


def test_fvcores_default_explains_where_a_record_has_it() -> None:
    """5.00 true GMAC and 5.10 with normalisation: a printed 5.1 was by no counter of the older record."""
    newer = synthetic_records.cost(
        "tiny", PRINTED, 34_000_000, 5_000_000_000, round(8.94 * G), ms=90, fvcore=5_100_000_000
    )
    printed = macs(convention="unknown", printed="5.1", value=5.1)
    assert explain(printed, PAPER, ALL).how == "by none"
    found = explain(printed, PAPER, [newer])
    assert (found.how, [c.label for c in found.counters]) == ("to its digits", ["fvcore's default"])
    built = costs_page.build([LoadedPaper(PAPER, (printed,), Path("tiny"))], [newer])
    assert built is not None
    columns = [c.name for c in built.figures_table.columns]
    assert built.figures_table.rows[0][columns.index("fvcore's default, GFLOP")].text == "5.10"
    assert "explains 1 of the figures" in " ".join(built.summary)
    older = page(printed)
    assert older is not None
    assert "fvcore" not in " ".join(older.summary)
    assert "fvcore's default, GFLOP" not in [c.name for c in older.figures_table.columns]


def page(*claims: Claim) -> costs_page.CostsPage | None:
    named = tuple(replace(c, id=f"c{i}") for i, c in enumerate(claims))
    return costs_page.build([LoadedPaper(PAPER, named, Path("tiny"))], ALL)


def test_an_order_that_the_counter_turned_is_told() -> None:
    """Printed 8.9 and 7.45; in truth 5 and 8; and the dearer one is the faster."""
    built = page(macs(), macs(variant=FULL.name, printed="7.45", value=7.45))
    assert built is not None
    assert built.order is not None
    ranks = [[cell.text for cell in row][2::2] for row in built.order.rows]
    assert ranks == [["1", "2", "1"], ["2", "1", "2"]]
    told = " ".join(built.order_summary)
    assert "1 stand in the opposite order" in told
    assert "1 are ordered otherwise by measured latency" in told
    assert "tiny small is printed with 7.45" in told
    assert "8.00 true GMAC and 5.00 true GMAC" in told
    assert "90 ms and 60 ms" in told.replace("\N{NO-BREAK SPACE}", " ")
    assert built.slopes is not None
    assert "tiny small" in built.slopes.svg


def test_unexplained_and_uncounted_figures_stay_on_the_page() -> None:
    built = page(macs(printed="7.0", value=7.0), macs(variant=""), macs())
    assert built is not None
    assert [row[4].text for row in built.figures_table.rows] == ["HRNet counter", "by none", "not counted"]
    assert "1 by no counter we know" in " ".join(built.summary).replace("and ", "")
    assert page(macs(value=None, status="unknown")) is None


def test_every_published_cost_of_every_paper_appears(committed: Path) -> None:
    papers, _ = catalog.load_all()
    built = costs_page.build(papers, store.load_all(committed / "results"))
    assert built is not None
    shown = [(row[0].text, row[0].note, row[-1].text) for row in built.figures_table.rows]
    claimed = [
        (p.paper.slug, c.statement, c.source)
        for p in papers
        for c in p.claims
        if c.metric == "macs" and c.value is not None
    ]
    assert sorted(shown) == sorted(claimed)
    text = site.render("costs.html.j2", page=built, root="../")
    assert all(row[2].text in text for row in built.figures_table.rows)
    assert {row[4].text for row in built.figures_table.rows} & {HOW[2]}  # the hourglass of HRNet's tables is not ours
