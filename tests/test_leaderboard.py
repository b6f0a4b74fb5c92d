"""The board: rows as values, links to records, plots with their fronts, and the script that filters it."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import replace
from hpe_bench.metrics import bootstrap
from hpe_bench.records import frame, store
from hpe_bench.report import site
from hpe_bench.report.kit import pareto
from hpe_bench.report.kit.pareto import Dot, front
from hpe_bench.report.pages import entries, leaderboard
from hpe_bench.report.pages.leaderboard import Leaderboard
from hpe_bench.report.pages.paper_page import build as build_paper
from hpe_bench.verdicts import evidence
from tests import synthetic_records as make
from tests.synthetic_paper import CONTROL, OLD_LOSS, PAPER, PROPOSAL
from tests.synthetic_records import Level
from tests.test_report import ALL, CLAIMS, DARK, LSP, QUARTER, Page, runs

LOADED = LoadedPaper(PAPER, CLAIMS, Path("tiny"))
RECORDS = [*ALL, *runs(QUARTER), *runs(LSP)]


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    return leaderboard.build([LOADED], RECORDS, site.suite())


@pytest.fixture(scope="module")
def text(board: Leaderboard) -> str:
    return site.render("leaderboard.html.j2", board=board, root="")


# ---------------------------------------------------------------------------------------------------- rows


def test_many_rows_are_resampled_at_once_to_the_same_intervals() -> None:
    models = [[make.accuracy(a, s, Level(v)) for s in range(n)] for a, v, n in ((CONTROL, 70, 3), (PROPOSAL, 60, 1))]
    models.append([make.accuracy(OLD_LOSS, 0, Level(50), images=40)])
    assert evidence.pooled_rows(models, "pckh@0.5") == [evidence.pooled(m, "pckh@0.5") for m in models]
    tallies = [[(t.hits, t.counts) for r in m for t in r.tallies[:1]] for m in models[:2]]
    assert bootstrap.pooled_intervals(tallies * 80) == [bootstrap.pooled_interval(t) for t in tallies] * 80


def test_downloads_hold_every_row_in_full_precision(board: Leaderboard) -> None:
    rows = list(csv.DictReader(io.StringIO(frame.as_csv(entries.frame_of(board.entries)))))
    objects = json.loads(frame.as_json(entries.frame_of(board.entries)))
    assert len(rows) == len(objects) == len(board.entries) == 3 * 3 + 1
    made = [r for r in RECORDS if r.identity.protocol == DARK and r.identity.recipe == "rce"]
    (row,) = [r for r in rows if r["protocol"] == DARK and r["recipe"] == "rce"]
    assert float(row["value_percent"]) == sum(r.measurements[0].value for r in made) / 2
    assert row["records"].split() == [r.id for r in made]
    assert row["macs"] == "33100000.0"
    (printed,) = [o for o in objects if o["measured_by"] == "the paper"]
    assert (printed["value_percent"], printed["rank_best"], printed["protocol"]) == (70.4, None, "coco-val2017-det56")


def test_every_measured_number_links_to_a_row_of_a_paper_page(board: Leaderboard, text: str) -> None:
    shown = Page(site.render("paper.html.j2", page=build_paper(PAPER, CLAIMS, RECORDS, site.suite(), {}), root="../"))
    anchors = {attrs["id"] for _, attrs in shown.elements if "id" in attrs}
    links = [a["href"] or "" for a in Page(text).all("a") if "#record-" in (a["href"] or "")]
    assert {link.partition("#")[0] for link in links} == {"tiny/index.html"}
    assert {link.partition("#")[2] for link in links} <= anchors
    for group in board.measured:
        for row in group.table.rows:
            assert all(cell.href for cell, c in zip(row, group.table.columns, strict=True) if c.numeric and cell.title)


def test_a_record_that_only_another_paper_uses_is_linked_there() -> None:
    base = LoadedPaper(replace(PAPER, slug="base", variants=(), headline=replace(PAPER.headline)), (), Path("base"))
    stranger = replace(base.paper, headline=replace(base.paper.headline, arms=(PROPOSAL,), control=PROPOSAL.name))
    found = leaderboard._pages([replace(base, paper=replace(stranger, ablations=())), LOADED], ALL)
    used = next(r for r in ALL if r.identity.paper == "base" and r.identity.kind == "accuracy")
    assert found[used.id] == "tiny"


def test_rows_carry_what_the_page_filters_by(board: Leaderboard) -> None:
    assert [(key, values) for key, _, values in board.facets] == [
        ("data", ["coco", "lsp", "mannequins"]),
        ("protocol", ["coco-val2017-det56", LSP, DARK, QUARTER]),
        ("scale", ["full", "pocket"]),
        ("by", ["the paper", "us"]),
        ("paper", ["base", "tiny"]),
    ]
    (group, *_) = board.measured
    assert [a["data-paper"] for a in group.table.attributes[:-1]] == [e.paper for e in group.entries]
    assert "data-kept" in group.table.attributes[-1]  # the mean pose stays with its table


def test_the_choice_is_among_rows_that_no_other_surely_beats(board: Leaderboard, text: str) -> None:
    ids = {attrs.get("id") for _, attrs in Page(text).elements}
    for group in board.measured:
        unbeaten = [e for e in group.entries if e.rank is not None and e.rank[0] == 1]
        assert group.leaders == unbeaten
        assert all(e.value < group.entries[0].value for e in group.entries if e not in unbeaten)
        assert group.leaders[0] == group.entries[0]
        costs = [e.cost_value("latency") for e in unbeaten]
        chosen = group.cheapest("latency")
        assert chosen is not None
        assert chosen.cost_value("latency") == min(c for c in costs if c is not None)
        assert group.address(chosen).removeprefix("#") in ids
    assert board.published[0].leaders == []
    assert board.published[0].cheapest("macs") is None


def test_a_published_gain_in_points_is_no_score_of_the_board() -> None:
    gain = replace(CLAIMS[0], id="gain", metric="ap", kind="value", value=1.0, unit="points", protocol="coco")
    score = replace(gain, id="score", unit="percent", value=70.0)
    built = leaderboard.build([LoadedPaper(PAPER, (gain, score), Path("tiny"))], [], site.suite())
    assert [e.value for e in built.entries] == [70.0]


# ---------------------------------------------------------------------------------------------------- plots


def dot(cost: float, value: float, name: str = "m") -> Dot:
    return Dot(name, cost, value, (value - 1, value + 1), name, "x", "row")


dots = st.lists(st.builds(dot, st.integers(1, 6).map(float), st.integers(0, 6).map(float)), min_size=1, max_size=12)


@given(dots)
def test_the_front_is_what_nothing_dominates(found: list[Dot]) -> None:
    def beaten(d: Dot) -> bool:
        return any(o.cost <= d.cost and o.value >= d.value and (o.cost < d.cost or o.value > d.value) for o in found)

    assert sorted(front(found)) == [i for i, d in enumerate(found) if not beaten(d)]


@given(dots.filter(lambda found: len(found) >= pareto.FEWEST))
def test_marks_lie_inside_the_plot_and_are_drawn_once(found: list[Dot]) -> None:
    page = Page(str(pareto.plot("p", found, "GMAC", "AP, %")))
    marks = page.all("circle")
    assert len(marks) == len(page.all("a")) == len(found)
    assert all(pareto.LEFT <= float(m["cx"] or 0) <= pareto.WIDTH - pareto.RIGHT for m in marks)
    assert all(pareto.TOP <= float(m["cy"] or 0) <= pareto.HEIGHT - pareto.BOTTOM for m in marks)


@example(low=1.0, width=133334.0)
@given(st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_few_and_inside(low: float, width: float) -> None:
    scale = pareto.AxisScale(low, low + width, 0, 100)
    ticks = scale.ticks
    assert 3 <= len(ticks) <= 9
    assert len({text for _, text in ticks}) == len(ticks)
    assert all(-0.1 <= scale.at(value) <= 100.1 for value, _ in ticks)


def test_a_group_is_plotted_against_each_cost_that_three_rows_have(board: Leaderboard) -> None:
    assert [[key for key, _, _ in g.plots] for g in board.measured] == [["macs", "latency", "params"]] * 3
    assert [g.plots for g in board.published] == [()]
    told = Page(str(board.measured[0].plots[0][1])).all("a")
    assert all("MMAC, true count" in (a["aria-label"] or "") and "[" in (a["aria-label"] or "") for a in told)


# ---------------------------------------------------------------------------------------------------- files


def test_the_board_is_the_same_whatever_the_order_of_records(board: Leaderboard, tmp_path: Path) -> None:
    shuffled = random.Random(0).sample(RECORDS, len(RECORDS))
    again = leaderboard.build([LOADED], shuffled, site.suite())
    assert frame.as_json(entries.frame_of(again.entries)) == frame.as_json(entries.frame_of(board.entries))
    written = site.write_leaderboard(tmp_path / "results", tmp_path)
    assert written.is_file()
    assert (tmp_path / "leaderboard.csv").is_file()
    assert json.loads((tmp_path / "leaderboard.json").read_text())
    assert store.load_all(tmp_path / "results") == ()
