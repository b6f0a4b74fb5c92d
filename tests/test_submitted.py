"""Submissions on the leaderboard, boards of several results folders, comparisons that the board links."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from hpe_bench import catalog
from hpe_bench.commands import new as scaffold
from hpe_bench.cost.model_cost import one_image
from hpe_bench.declare import Paper
from hpe_bench.records import frame, query, store
from hpe_bench.records.schema import Measurement, RunRecord, Submission, Timing
from hpe_bench.report import site
from hpe_bench.report.pages import entries, leaderboard, submitted
from hpe_bench.run.latency import Conditions, LatencyRun, TimedNetwork
from tests import synthetic_records as make
from tests.synthetic_paper import CONTROL
from tests.synthetic_records import Level
from tests.test_report import ALL, Page, loaded


def submission(name: str, level: float, protocol: str = "mannequins-v1-dark", started: str = "2026-01-05") -> RunRecord:
    """Predictions of somebody, as `score` records them."""
    base = make.accuracy(CONTROL, int(level), Level(level), protocol)
    identity = base.identity.model_copy(
        update={"kind": "submission", "scale": "full", "paper": "submitted", "variant": name, "variant_hash": name,
                "recipe": "", "recipe_hash": "", "seed": None, "samples_seen": 0, "train_digest": ""}
    )  # fmt: skip
    return base.model_copy(
        update={
            "id": make.digest(name, level, protocol)[:16],
            "identity": identity,
            "provenance": make.provenance(f"{started}T10:00:00+00:00"),
            "curve": (),
            "predictions_sha256": make.digest(name, level, protocol),
            "submission": Submission(
                name=name, file="p.npz", layout="npz", truth="mannequins, split test: 150 persons"
            ),
        }
    )


BOB, ANN = submission("bob", 60), submission("ann", 80)


def test_submissions_are_ranked_among_each_other_only() -> None:
    board = leaderboard.build([loaded()], [*ALL, BOB, ANN, submission("cy", 70, "other-v1")], site.suite())
    ours, other = board.submitted
    assert [(e.variant, e.rank, e.by) for e in ours.entries] == [
        ("ann", (1, 1), "submitted"),
        ("bob", (2, 2), "submitted"),
    ]
    assert [e.variant for e in other.entries] == ["cy"]
    plain = leaderboard.build([loaded()], ALL, site.suite())
    assert [g.entries for g in board.measured] == [g.entries for g in plain.measured]
    assert not plain.submitted
    assert "submitted" not in site.render("leaderboard.html.j2", board=plain, root="").partition("</style>")[2]


def test_a_corrected_file_takes_its_predecessors_place() -> None:
    later = submission("bob", 90, started="2026-02-01")
    (group,) = leaderboard.build([], [later, BOB, ANN], site.suite()).submitted
    assert [(e.variant, e.records) for e in group.entries] == [("bob", (later.id,)), ("ann", (ANN.id,))]


def test_a_score_page_is_linked_if_it_is_there() -> None:
    board = leaderboard.build([], [BOB, ANN], site.suite(), {submitted.score_page(ANN)})
    page = Page(site.render("leaderboard.html.j2", board=board, root=""))
    links = [a["href"] for a in page.all("a") if (a.get("href") or "").startswith("scores/")]
    assert links == ["scores/ann--mannequins-v1-dark.html"]


def test_downloads_say_that_a_row_was_submitted() -> None:
    board = leaderboard.build([], [BOB], site.suite())
    (row,) = csv.DictReader(io.StringIO(frame.as_csv(entries.frame_of(board.entries))))
    assert (row["measured_by"], row["variant"], row["training_samples"]) == ("submitted", "bob", "")
    assert float(row["value_percent"]) == BOB.measurements[0].value


def test_hostile_names_of_submissions_stay_text() -> None:
    assert BOB.submission is not None
    evil = BOB.model_copy(update={"submission": BOB.submission.model_copy(update={"creator": "<script>alert(1)"})})
    board = leaderboard.build([], [evil], site.suite())
    assert "<script>alert" not in site.render("leaderboard.html.j2", board=board, root="")


def own_file(sha256: str, macs: float, median_ms: float) -> RunRecord:
    """What `profile` records of somebody's file."""
    network = TimedNetwork("own", f"file-{sha256[:4]}", sha256[:16], (256, 192))
    conditions = (Conditions("openvino", 1, 1, (256, 192)), Conditions("onnxruntime", 1, 1, (256, 192)))
    scope = one_image((256, 192))
    counted = [("macs", macs, "MAC"), ("params", macs / 100, "count")]
    return RunRecord(
        id=make.digest(sha256)[:16],
        identity=LatencyRun(network, conditions).identity,
        status="done",
        provenance=make.provenance(),
        measurements=tuple(Measurement(key=k, value=v, unit=u, scope=scope, n=1) for k, v, u in counted),
        timings=tuple(
            Timing(
                runtime=c.runtime, input_hw=c.input_hw, batch=1, threads=1, turns="t", deviation=1e-6, tolerance=1e-3,
                rounds_ms=((ms, ms * 1.01, ms * 0.99),) * 5,
            )
            for c, ms in zip(conditions, (median_ms, 2 * median_ms), strict=True)
        ),
    )  # fmt: skip


def test_what_a_file_costs_stands_in_the_row_of_its_accuracy() -> None:
    """Found by the SHA-256 of the file; a file that nobody profiled has empty cells, and three make a plot."""
    files = {name: make.digest(name) for name in ("bob", "ann", "cy", "dee")}
    scored = [
        submission(name, 60 + 10 * k).model_copy(update={"weights_sha256": sha})
        for k, (name, sha) in enumerate(files.items())
    ]
    costs = [own_file(files[name], 1e9 * (k + 1), 5.0 * (k + 1)) for k, name in enumerate(("bob", "ann", "cy"))]
    (group,) = leaderboard.build([], [*scored, *costs], site.suite()).submitted
    found = {e.variant: e for e in group.entries}
    assert [found[name].cost_value("macs") for name in files] == [1e9, 2e9, 3e9, None]
    assert found["ann"].cost_value("params") == 2e7
    assert found["ann"].cost_value("latency") == pytest.approx(10.0)
    assert found["ann"].time is not None
    assert found["ann"].time.runtime == "openvino"  # the fastest
    assert found["dee"].time is None
    assert [key for key, _, _ in group.plots] == ["macs", "latency", "params"]
    assert all(svg.count("<circle") == 3 for _, _, svg in group.plots)
    assert query.of(costs).costs_of_file("") == []
    page = site.render("leaderboard.html.j2", board=leaderboard.build([], [*scored, *costs], site.suite()), root="")
    assert "plot-macs-submitted" in page


# ---------------------------------------------------------------------------------------------------- several folders


def test_a_paper_of_ones_own_stands_on_one_board_with_the_suites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of papers and a folder of results of one's own, beside those of the suite."""
    scaffold.new_paper("my_paper", tmp_path / "papers")
    monkeypatch.setenv("HPE_BENCH_PAPERS", str(tmp_path / "papers"))
    papers = {p.paper.slug: p.paper for p in catalog.load_all()[0]}
    mine = proposal_run(papers["my_paper"], 71)
    theirs = proposal_run(papers["fasterpose"], 64)
    for record, folder in ((mine, "mine"), (theirs, "suite")):
        store.save(record, tmp_path / folder)
    site.write_leaderboard(tmp_path / "suite", tmp_path / "alone")
    board = site.board(tmp_path / "suite", tmp_path / "mine")
    assert {e.paper for g in board.measured for e in g.entries} == {"my_paper", "fasterpose"}
    assert "my_paper · " not in (tmp_path / "alone" / "leaderboard.csv").read_text()


def proposal_run(paper: Paper, level: float) -> RunRecord:
    arm = next(a for a in paper.headline.arms if a.paper == paper.slug)
    return make.accuracy(arm, 0, Level(level))


def test_of_a_record_in_two_folders_the_newest_counts(tmp_path: Path) -> None:
    old = make.accuracy(CONTROL, 0, Level(60))
    new = old.model_copy(update={"provenance": make.provenance("2026-03-01T00:00:00+00:00")})
    store.save(new, tmp_path / "a")
    store.save(old, tmp_path / "b")
    for order in (("a", "b"), ("b", "a")):
        (found,) = store.load_folders([tmp_path / name for name in order])
        assert found == new


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        store.load_folders([tmp_path, tmp_path / "nowhere"])
    assert store.load_folders([tmp_path / "nowhere"]) == ()


# ---------------------------------------------------------------------------------------------------- comparisons


def test_every_paper_but_the_yardstick_is_set_beside_it(tmp_path: Path) -> None:
    papers = catalog.load_all()[0]
    board = leaderboard.build(papers, [], site.suite())
    beside = {line.loaded.paper.slug: line.beside for line in board.papers}
    assert beside["simple_baseline"] == ""
    assert beside["hrnet"] == "compare/simple_baseline-vs-hrnet/index.html"
    site.write_paper("hrnet", tmp_path / "results", tmp_path / "reports")
    assert (tmp_path / "reports" / beside["hrnet"]).exists()
    text = (tmp_path / "reports" / "hrnet" / "index.html").read_text()
    assert f'href="../{beside["hrnet"]}"' in text
