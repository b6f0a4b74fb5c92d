"""Latency on pages: rows with their reasons, ratios with intervals, the fastest runtime, curves, the answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Variant
from hpe_bench.records import store
from hpe_bench.records.schema import Measurement, RunRecord
from hpe_bench.report import site
from hpe_bench.report.kit.tables import Table
from hpe_bench.report.pages import latency_question_page, latency_view, leaderboard, paper_page
from hpe_bench.report.pages.latency_question_page import LatencyQuestionPage
from hpe_bench.timing.rows import rows
from tests.synthetic_latency import latency, timing
from tests.synthetic_paper import FULL, PAPER, PRINTED
from tests.synthetic_records import cost, provenance

ONE = latency("tiny", FULL, 100.0, gmac=4.0, hrnet=3.8)


def texts(table: Table, column: str) -> list[str]:
    k = [c.name for c in table.columns].index(column)
    return [row[k].text for row in table.rows]


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


# ---------------------------------------------------------------------------------------------------- a paper's page


def test_every_row_is_shown_with_what_speaks_against_it() -> None:
    table = latency_view.table_of(rows([ONE]))
    assert len(table.rows) == len(ONE.timings)
    notes = [plain(row[0].note) for row in table.rows]
    assert sum("failed: the compiler <broke> after 180 s" in n for n in notes) == 2
    assert sum("skipped: this machine has no CUDA device" in n for n in notes) == 2
    assert sum("does not count: its maps have deviation 0.5 (limit 0.001)" in n for n in notes) == 2
    assert "no energy: no counter can be read" in table.note
    by_name = {(r[0].text, r[2].text): r for r in table.rows}
    vino = by_name["OpenVINO", "1"]
    assert float(vino[3].text) == pytest.approx(50, rel=0.05)
    assert "p99" in vino[3].note  # 120 calls
    assert "spread 6 % · n 120 · 1 timing run" in plain(vino[3].note)
    assert float(vino[4].text) == pytest.approx(20, rel=0.05)
    assert float(vino[5].text) == pytest.approx(80, rel=0.06)  # 4 GMAC in 50 ms
    assert plain(vino[5].note).endswith("% of peak")
    assert int(plain(vino[5].note).split()[0]) == pytest.approx(80, abs=5)
    assert vino[6].text == "0.50"
    low, high = (float(end) for end in plain(vino[6].note).strip("[]").split(", "))
    assert low <= 0.5 <= high
    assert high - low < 0.02  # rounds are resampled together: the 5 % disturbance cancels
    assert by_name["PyTorch, eager", "1"][6].text == "1"


def test_a_papers_page_carries_its_latency_and_escapes_reasons() -> None:
    page = paper_page.build(PAPER, (), [ONE], site.suite(), {})
    assert page.outdated == 0
    text = site.render("paper.html.j2", page=page, root="../")
    assert "Latency by runtime" in text
    assert "the compiler &lt;broke&gt; after 180 s" in text
    assert [t.id for t in page.tables].count(page.latency[0].table.id) == 1
    empty = site.render("paper.html.j2", page=paper_page.build(PAPER, (), [], site.suite(), {}), root="../")
    assert "hpe-bench profile tiny" in empty


def test_accuracy_in_every_runtime_beside_eagers() -> None:
    def scored(value: float, runtime: str, key: str = "pck@0.2", unit: str = "percent") -> Measurement:
        interval = (value - 0.5, value + 0.5)
        scope = f"lsp-pc-v1-dark, {runtime}"
        return Measurement(key=key, value=value, unit=unit, scope=scope, n=14_000, interval=interval)

    more = (
        scored(50.25, "eager"),
        scored(50.0, "openvino"),
        scored(-0.25, "openvino", "pck@0.2/less_eager", "points"),
    )
    trained = ONE.model_copy(update={"measurements": (*ONE.measurements, *more)})
    (view,) = latency_view.views(PAPER, [trained])
    (scores,) = view.scores
    assert scores.emphasised == (0,)
    assert [[plain(c.text) for c in row] for row in scores.rows] == [
        ["PyTorch, eager", "50.25", "–"],
        ["OpenVINO", "50.00", "−0.25"],
    ]
    assert [plain(row[2].note) for row in scores.rows] == ["", "[−0.75, +0.25]"]
    page = paper_page.build(PAPER, (), [trained], site.suite(), {})
    assert scores.id in {t.id for t in page.tables}
    assert "under lsp-pc-v1-dark" in site.render("paper.html.j2", page=page, root="../")
    assert latency_view.views(PAPER, [ONE])[0].scores == ()


def test_curves_where_conditions_vary() -> None:
    """Batch 1 to 4 at one thread, each image cheaper; the refused runtime draws no line."""
    extra = tuple(timing(100.0 * b * (1 - 0.1 * b), batch=b) for b in (2, 4))
    extra += (timing(9.0, runtime="bf16", deviation=0.5, batch=2),)
    found = {
        f.caption.partition(";")[0]: f
        for f in latency_view.views(PAPER, [latency("tiny", FULL, 100, 4, 4, extra)])[0].figures
    }
    assert list(found) == ["Single calls", "Time of one image by batch", "Time of one image by threads"]
    calls = found["Single calls"]
    assert "batch 1, 1\N{NO-BREAK SPACE}thread" in calls.caption
    told = calls.svg.partition("<desc")[2].partition("</desc>")[0].partition(">")[2]
    medians = {part.partition(": ")[0]: float(part.split()[-1]) for part in told.split("; ")}
    assert list(medians.values()) == sorted(medians.values())  # the fastest first; the refused runtime is not drawn
    assert medians["PyTorch, eager"] == pytest.approx(100, rel=0.06)
    assert "PyTorch, bfloat16" not in medians
    curve = found["Time of one image by batch"]
    assert [label for _, label in curve.legend] == ["PyTorch, eager", "ONNX Runtime", "OpenVINO"]
    told = curve.svg.partition("<desc")[2].partition("</desc>")[0]
    values = [float(part.split()[-1]) for part in told.partition("eager: ")[2].partition(";")[0].split(", ")]
    assert values == pytest.approx([100, 80, 60], rel=0.06)


def test_records_of_an_older_declaration_are_left_out() -> None:
    old = latency("tiny", Variant(FULL.name, FULL.builder, (128, 96)), 50.0, 1, 1)
    assert latency_view.views(PAPER, [old]) == ()


# ---------------------------------------------------------------------------------------------------- the leaderboard


def test_the_leaderboard_names_the_fastest_runtime_that_counts() -> None:
    """bf16 is faster, but its maps are wrong; a smaller input is faster, but is another network's cost."""
    small = timing(3.0, runtime="openvino", input_hw=(64, 48))
    records = [
        cost("tiny", FULL, 10, 4 * 10**9, 4 * 10**9),
        cost("tiny", PRINTED, 10, 5 * 10**9, 5 * 10**9),
        latency("tiny", FULL, 100.0, 4, 4, (small,)),
    ]
    board = leaderboard.build([LoadedPaper(PAPER, (), None)], records, site.suite())  # type: ignore[arg-type]
    assert board.costs is not None
    cells = [row[-1] for row in board.costs.rows]
    assert board.costs.columns[-1].name == "Fastest runtime, ms"
    assert float(cells[0].text) == pytest.approx(50, rel=0.05)
    assert plain(cells[0].note).startswith("OpenVINO, 1 thread · [")
    assert cells[1].text == "–"
    without = leaderboard.build([LoadedPaper(PAPER, (), None)], records[:2], site.suite())  # type: ignore[arg-type]
    assert without.costs is not None
    assert without.costs.columns[-1].name != "Fastest runtime, ms"


# ---------------------------------------------------------------------------------------------------- without a GPU


def trio(ours: float = 90.0, theirs: float = 100.0, hrnet: float = 200.0) -> list[RunRecord]:
    found = []
    for (slug, name), ms, gmac, counted in zip(
        (("fasterpose", "d_r50_256x192"), ("simple_baseline", "r50_256x192"), ("hrnet", "w32_256x192")),
        (ours, theirs, hrnet),
        (4.042, 5.426, 7.645),
        (3.765, 8.991, 7.120),
        strict=True,
    ):
        found.append(latency(slug, catalog.find_variant(catalog.load(slug), name), ms, gmac, counted))
    return found


def built(records: list[RunRecord]) -> LatencyQuestionPage | None:
    pages = latency_question_page.build_all(catalog.load_all()[0], records)
    assert len(pages) <= 1
    return pages[0] if pages else None


def test_the_answer_comes_from_the_numbers() -> None:
    page = built(trio())
    assert page is not None
    told = plain(page.answer[0])
    assert told.startswith("On 1 thread, FasterPose takes 4")
    assert "in its fastest runtime, OpenVINO" in told
    assert "Eager PyTorch takes 2.0" in told
    assert "Against SimpleBaseline it saves 10 % of the time, where it has 26 % fewer" in told
    assert "Against HRNet it saves 55 % of the time, where it has 47 % fewer" in told
    assert "faster, with a 95 % CI that excludes 1, in 3 of 3 runtimes" in told
    assert len(page.answer) == len(page.timings) == 2
    assert [row[0].text for row in page.timings[0].rows] == ["PyTorch, eager", "ONNX Runtime", "OpenVINO"]
    assert texts(page.timings[0], "FasterPose / SimpleBaseline") == ["0.90"] * 3
    assert [plain(c.text) for c in page.counts.rows[1][2:]] == ["−25.5 %", "−58.1 %"]
    assert "−58 %" in plain(page.counts.caption)
    assert page.uncounted is not None
    assert len(page.uncounted.rows) == 3 * 2 * 3
    assert "in turns" in page.timings[0].note


def test_a_loss_is_told_as_a_loss_and_a_tie_is_no_gain() -> None:
    slower = built(trio(ours=120.0))
    assert slower is not None
    assert "it takes 20 % more time" in plain(slower.answer[0])
    assert "in 0 of 3 runtimes" in plain(slower.answer[0])


def test_rows_of_other_times_and_machines() -> None:
    ours, theirs, hrnet = trio()
    apart = theirs.model_copy(update={"provenance": provenance("2026-01-06T10:00:00+00:00")})
    page = built([ours, apart, hrnet])
    assert page is not None
    assert "at different times" in page.timings[0].note
    elsewhere = theirs.provenance.model_copy(update={"device": "Another CPU"})
    page = built([ours, theirs.model_copy(update={"provenance": elsewhere}), hrnet])
    assert page is not None
    assert [c.name for c in page.timings[0].columns] == ["Runtime", "FasterPose, ms", "HRNet, ms", "FasterPose / HRNet"]
    assert built([ours]) is None
    assert built([theirs, hrnet]) is None


@pytest.mark.parametrize(
    ("least", "most", "told"),
    [
        (9.6, 12.4, "saves 10 to 12 % of the time"),
        (-4.0, 12.4, "takes between 4 % more and 12 % less time"),
        (-20.0, -4.0, "takes 4 to 20 % more time"),
    ],
)
def test_savings_in_words(least: float, most: float, told: str) -> None:
    assert plain(latency_question_page.saving(least, most)) == told


def test_the_pages_are_written_and_linked_once_there_is_something_to_say(tmp_path: Path) -> None:
    papers, results, reports = catalog.load_all()[0], tmp_path / "results", tmp_path / "reports"
    results.mkdir()
    (nothing,) = site._latency_pages_of(site.Sources.of(results), reports)
    assert nothing.write() == []
    for record in trio():
        store.save(record, results)
    (told,) = site._latency_pages_of(site.Sources.of(results), reports)
    (page,) = told.write()
    assert page == told.path == reports / "without-a-gpu" / "index.html"
    assert "saves 10\N{NO-BREAK SPACE}% of the time" in page.read_text(encoding="utf-8")
    tables = {p.stem for p in (page.parent / "tables").iterdir()}
    assert {"counts", "environments", "threads-1", "threads-2", "uncounted"} <= tables
    for records, linked in (([], False), (trio(), True)):
        text = site.render("leaderboard.html.j2", board=leaderboard.build(papers, records, site.suite()), root="")
        assert ("without-a-gpu/index.html" in text) == linked
