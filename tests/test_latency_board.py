"""Latency by runtime on the leaderboard: which rows, in what order, what is refused, unsettled, skipped and linked."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import fingerprint
from hpe_bench.records import frame
from hpe_bench.records.schema import Measurement, Provenance, RunRecord
from hpe_bench.report import site
from hpe_bench.report.kit import pareto
from hpe_bench.report.kit.tables import Cell
from hpe_bench.report.pages import entries, leaderboard, paper_page
from hpe_bench.report.pages.latency_board import LatencyBoard
from hpe_bench.report.pages.leaderboard import Leaderboard
from hpe_bench.timing.rows import Network, NetworkTimes
from tests.synthetic_latency import latency, timing, without_times
from tests.synthetic_paper import FULL, PAPER, POCKET
from tests.synthetic_records import provenance
from tests.test_report import ALL, Page

LOADED = LoadedPaper(PAPER, (), Path("tiny"))
WOBBLY = timing(30.0, runtime="channels_last", settled=False)
PEAK = Measurement(
    key="memory/activations_peak", value=12.0 * 2**20, unit="byte", scope="one image of 256x192, eager, fp32", n=1
)
ONE = latency("tiny", FULL, 100.0, 4.0, 3.8, (WOBBLY,))
ONE = ONE.model_copy(update={"measurements": (*ONE.measurements, PEAK)})


def board_of(*found: RunRecord) -> Leaderboard:
    return leaderboard.build([LOADED], [*ALL, *found], site.suite())


def section(*found: RunRecord) -> LatencyBoard:
    runtimes = board_of(*found).runtimes
    assert runtimes is not None
    return runtimes


def column(runtimes: LatencyBoard, name: str) -> list[Cell]:
    k = [c.name for c in runtimes.table.columns].index(name)
    return [row[k] for row in runtimes.table.rows]


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


# ---------------------------------------------------------------------------------------------------- rows


def test_rows_are_by_threads_then_fastest_first_and_refused_ones_last() -> None:
    found = section(ONE)
    assert [c.text for c in column(found, "Threads")] == ["1"] * 5 + ["2"] * 4
    names = [c.text for c in column(found, "Runtime")]
    assert names[:5] == ["PyTorch, channels last", "OpenVINO", "ONNX Runtime", "PyTorch, eager", "PyTorch, bfloat16"]
    assert [c.sort for c in column(found, "Median, ms")][:4] == pytest.approx([30, 50, 80, 100], rel=0.05)
    assert [c.sort for c in column(found, "vs eager")][:4] == pytest.approx([0.3, 0.5, 0.8, 1], rel=0.001)
    assert column(found, "GMAC/s")[1].sort == pytest.approx(80, rel=0.06)
    assert {c.text for c in column(found, "Activations, MiB")} == {"12"}
    assert {c.text for c in column(found, "Weights, MiB")} == {"–"}  # this record does not say


def test_a_refused_row_tells_its_time_and_is_in_no_order() -> None:
    (refused,) = [row for row in section(ONE).table.rows[:5] if row[1].text == "PyTorch, bfloat16"]
    assert refused[3].text == "–"
    assert plain(refused[3].note).startswith("refused: 40.")
    assert [c.sort for c in refused[3:7]] == [None] * 4
    assert refused[-1].text == "refused"
    assert refused[-1].note == "deviation 0.5 (limit 0.001)"
    assert refused[7].sort is not None  # its memory is a fact


def test_what_did_not_settle_says_so() -> None:
    notes = [c.note for c in column(section(ONE), "Median, ms")]
    assert ["not settled" in n for n in notes] == [True, *[False] * 8]


def test_what_was_not_timed_is_said_once_with_its_reason() -> None:
    assert section(ONE).untimed == (
        "Failed on tiny small_256x192: torch.compile. The compiler <broke> after 180 s.",
        "Skipped on tiny small_256x192: CUDA. This machine has no CUDA device.",
    )
    assert board_of().runtimes is None


def test_several_batches_and_machines_are_told_apart() -> None:
    assert "Batch" not in [c.name for c in section(ONE).table.columns]
    wide = latency("tiny", FULL, 100.0, 4.0, 3.8, (timing(300.0, batch=4),), id="b")
    elsewhere = ONE.model_copy(
        update={"id": "c", "provenance": provenance().model_copy(update={"device": "Another CPU"})}
    )
    found = section(wide, elsewhere)
    assert {c.text for c in column(found, "Batch")} == {"1", "4"}
    assert {c.note.rpartition(" · ")[2] for c in column(found, "Network")} == {"Another CPU", "Example CPU"}
    facets = {key: values for key, _, values in board_of(wide, elsewhere).facets}
    assert facets["threads"] == ["1", "2"]
    assert facets["batch"] == ["1", "4"]
    assert facets["machine"] == ["Another CPU", "Example CPU"]
    assert "OpenVINO" in facets["runtime"]
    assert "machine" not in {key for key, _, _ in board_of(ONE).facets}


def test_timing_runs_are_pooled_and_what_one_skipped_another_tells() -> None:
    later = provenance("2026-02-01T00:00:00+00:00")
    few = latency("tiny", FULL, 200.0, 4.0, 3.8, id="few", provenance=later)
    few = few.model_copy(update={"timings": tuple(t for t in few.timings if t.runtime == "eager")})
    found = {(r.timing.runtime, r.timing.threads): r.row for r in section(few, ONE).rows}
    assert found["eager", 1].records == (ONE.id, "few")
    assert (found["eager", 1].runs, found["openvino", 1].runs) == (2, 1)
    assert found["eager", 1].median_ms == pytest.approx((100 * 200) ** 0.5, rel=0.05)
    low, high = found["eager", 1].latency.interval_ms
    assert low < 110 < 190 < high  # of two days, more than either
    notes = {(r[1].text, r[2].text): plain(r[3].note) for r in section(few, ONE).table.rows}
    assert "2 timing runs" in notes["PyTorch, eager", "1"]
    assert "1 timing run" in notes["OpenVINO", "1"]
    channels_last = timing(150.0, runtime="channels_last")
    again = latency("tiny", FULL, 200.0, 4.0, 3.8, (channels_last,), id="later", provenance=later)
    rows = [t for t in again.timings if (t.runtime, t.threads) != ("openvino", 1)]
    skipped = without_times("openvino", "skipped", "openvino is not installed")
    again = again.model_copy(update={"timings": (*rows, skipped)})
    found = {(r.timing.runtime, r.timing.threads): r.row for r in section(again, ONE).rows}
    assert found["eager", 1].records == (ONE.id, "later")
    assert found["openvino", 1].records == (ONE.id,)
    assert found["openvino", 2].records == (ONE.id, "later")
    assert "openvino" not in " ".join(section(again, ONE).untimed)


def on(instructions: str, started: str = "2026-02-01T00:00:00+00:00") -> Provenance:
    """A processor of the usual name with some instructions."""
    made = provenance(started)
    return made.model_copy(update={"flags": {**made.flags, "cpu_capability": instructions}})


def test_processors_of_one_name_are_two_machines_where_their_instructions_differ() -> None:
    old = latency("tiny", FULL, 100.0, 4.0, 3.8, id="old", provenance=on("AVX512"))
    new = latency("tiny", FULL, 200.0, 4.0, 3.8, id="new", provenance=on("AVX2", "2026-03-01T00:00:00+00:00"))
    found = [r for r in section(old, new).rows if (r.timing.runtime, r.timing.threads) == ("eager", 1)]
    assert {(r.row.machine, r.row.runs) for r in found} == {("Example CPU (AVX512)", 1), ("Example CPU (AVX2)", 1)}
    cuda = latency("tiny", FULL, 9.0, 4.0, 3.8, (timing(1.0, runtime="cuda"),), provenance=on("AVX512"))
    assert cuda.machine == "Example CPU"  # an accelerator's name says all


def test_networks_beside_each_other_speak_with_times_of_one_machine() -> None:
    later = on("AVX2", "2026-03-01T00:00:00+00:00")
    times = NetworkTimes(
        [
            latency("a", FULL, 100.0, 4.0, 3.8, id="a-512", provenance=on("AVX512")),
            latency("b", FULL, 110.0, 4.0, 3.8, id="b-512", provenance=on("AVX512")),
            latency("b", FULL, 210.0, 4.0, 3.8, id="b-2", provenance=later),
            latency("c", FULL, 220.0, 4.0, 3.8, id="c-2", provenance=later),
            latency("d", FULL, 230.0, 4.0, 3.8, id="d-2", provenance=later),
            latency("e", FULL, 9.0, 4.0, 3.8, id="e-neon", provenance=on("NEON")),
        ]
    )
    a, b, c, d, e = ((slug, fingerprint(FULL), FULL.input_hw) for slug in "abcde")

    def told(*networks: Network) -> list[str]:
        return [of_one[1].record.id if of_one else "" for of_one in times.together(networks)]

    assert told(a, b) == ["a-512", "b-512"]
    assert told(b, c) == ["b-2", "c-2"]
    assert told(b) == ["b-2"]  # where most were timed
    assert told(a, b, c, d) == ["", "b-2", "c-2", "d-2"]
    assert told(a, e) == ["a-512", ""]
    assert told(e) == ["e-neon"]
    assert times.fastest(*b).machine == "Example CPU (AVX2)"


# ---------------------------------------------------------------------------------------------------- files, links


def test_downloads_hold_every_row_refused_and_skipped_ones_too(tmp_path: Path) -> None:
    found = section(ONE)
    listed = list(csv.DictReader(io.StringIO(frame.as_csv(entries.frame_of(found.rows)))))
    objects = json.loads(frame.as_json(entries.frame_of(found.rows)))
    assert len(listed) == len(objects) == len(ONE.timings)
    (refused,) = [o for o in objects if (o["runtime"], o["threads"]) == ("bf16", 1)]
    assert (refused["counts"], refused["ratio_to_eager"]) == (False, None)
    assert refused["median_ms"] == pytest.approx(40, rel=0.05)
    (vino,) = [o for o in objects if (o["runtime"], o["threads"]) == ("openvino", 1)]
    assert vino["interval95_low_ms"] <= vino["median_ms"] <= vino["interval95_high_ms"] <= 1.2 * vino["p90_ms"]
    assert vino["images_per_second"] == pytest.approx(1000 / vino["median_ms"])
    assert (vino["macs"], vino["activations_peak_bytes"], vino["record"]) == (4e9, 12 * 2**20, ONE.id)
    assert {r["reason"] for r in listed if r["status"] == "skipped"} == {"this machine has no CUDA device"}


def test_every_number_leads_to_its_record() -> None:
    page = paper_page.build(PAPER, (), [ONE], site.suite(), {})
    anchors = {a["id"] for _, a in Page(site.render("paper.html.j2", page=page, root="../")).elements if "id" in a}
    for row in section(ONE).table.rows:
        for cell in (c for c in row[3:-1] if c.sort is not None or c.note):
            file, _, anchor = cell.href.partition("#")
            assert file == "tiny/index.html"
            assert anchor in anchors


# ---------------------------------------------------------------------------------------------------- other tables


def test_memory_stands_beside_the_cost_of_full_size_models() -> None:
    costs = board_of(ONE).costs
    assert costs is not None
    names = [c.name for c in costs.columns]
    by_name = {row[0].text: row for row in costs.rows}
    weights, peak = (names.index(n) for n in ("Weights, MiB", "Peak activations, MiB"))
    assert float(by_name["small_256x192"][weights].text) == pytest.approx(4 * 24_311_000 / 2**20, abs=0.5)
    assert by_name["small_256x192"][peak].text == "12"
    assert (by_name["printed_256x192"][peak].text, by_name["printed_256x192"][peak].title) == ("–", "not measured")
    without = board_of().costs
    assert without is not None
    assert "Peak activations, MiB" not in [c.name for c in without.columns]


def test_pooled_is_what_executed_the_same() -> None:
    """Another version of a runtime is another row's time, and so is other code of the network: the newest stands."""
    later = provenance("2026-02-01T00:00:00+00:00")
    newer = latency("tiny", FULL, 200.0, 4.0, 3.8, id="newer", provenance=later)
    vino = [t.model_copy(update={"version": "2027.0"}) if t.runtime == "openvino" else t for t in newer.timings]
    newer = newer.model_copy(update={"timings": tuple(vino)})
    found = {(r.timing.runtime, r.timing.threads): r.row for r in section(newer, ONE).rows}
    assert (found["openvino", 1].records, found["onnxruntime", 1].records) == (("newer",), (ONE.id, "newer"))
    recoded = newer.model_copy(update={"identity": newer.identity.model_copy(update={"code": "other"})})
    kept = {r.row.records for r in section(recoded, ONE).rows if r.row.counts and r.timing.runtime != "channels_last"}
    assert kept == {("newer",)}


def test_ranked_rows_carry_their_latency_in_other_runtimes_that_count() -> None:
    """Not in the refused one; on the machine of the timing run, whose eager time then stands."""
    timed = latency("tiny", POCKET, 4.0, 0.03, 0.03)
    expected = {"OpenVINO", "ONNX Runtime"}
    for device in ("Example CPU", "Another CPU"):
        moved = timed.model_copy(update={"provenance": provenance().model_copy(update={"device": device})})
        (group, *_) = board_of(moved).measured
        for entry, row in zip(group.entries, group.table.rows, strict=False):
            assert entry.facets["data-runtime"] == "PyTorch, eager"
            assert entry.time is not None
            assert (entry.time.row is not None, "timed in process" in row[-1].note) == (
                (True, False) if entry.paper == "tiny" else (False, True)
            )
            assert {name for name, _ in row[-1].instead} == (expected if entry.paper == "tiny" else set())
            for name, cell in row[-1].instead:
                assert plain(cell.note).startswith(f"{name} · 1 thread · [")
                assert cell.sort == pytest.approx({"OpenVINO": 2.0, "ONNX Runtime": 3.2}[name], rel=0.05)


def test_the_axis_of_latency_names_its_runtime() -> None:
    (group, *_) = board_of().measured
    plot = Page(str(next(svg for key, runtime, svg in group.plots if key == "latency")))
    assert "latency, ms (network only, batch 1, eager fp32, 1 thread)" in plot.words
    assert all((a["aria-label"] or "").endswith(" latency, ms") for a in plot.all("a"))


def test_the_runtime_that_is_asked_for_has_its_own_note_and_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models are timed in OpenVINO as well: a plot of their times there, and a note that names it."""
    monkeypatch.setattr(pareto, "FEWEST", 2)
    (group, *_) = board_of(latency("tiny", POCKET, 4.0, 0.03, 0.03)).measured
    assert [name for name, _ in group.table.asides] == ["PyTorch, eager", "ONNX Runtime", "OpenVINO"]
    notes = dict(group.table.asides)
    assert "network only, batch 1, eager fp32, 1 thread" in notes["PyTorch, eager"]
    assert "network only, batch 1, openvino fp32, 1 thread" in notes["OpenVINO"]
    drawn = {runtime: svg for key, runtime, svg in group.plots if key == "latency"}
    assert set(drawn) == {"PyTorch, eager", "ONNX Runtime", "OpenVINO"}
    assert "openvino fp32" in Page(str(drawn["OpenVINO"])).words
    assert len({a["id"] for svg in drawn.values() for a in Page(str(svg)).all("title") if "id" in a}) == 3
