"""Results as frames: what a row is, filters, files, and the calls that give frames."""

from __future__ import annotations

import csv
import io
import json
import warnings
from pathlib import Path

import pandas as pd
import pytest

import hpe_bench
from hpe_bench.cli import app
from hpe_bench.commands import answers, listing
from hpe_bench.data import csv_files
from hpe_bench.errors import RecordWarning
from hpe_bench.records import frame, store
from hpe_bench.run import scoring
from tests import test_records
from tests.predicted import answers as predicted
from tests.predicted import of_each, persons
from tests.test_submissions import GOOD, PROTOCOL, TRUTH, file_of, record_of

V1 = Path(__file__).parent / "data" / "records_v1"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The records of version 1, where commands find them."""
    for path in V1.glob("*.json"):
        store.save(store.load(path), tmp_path / "results")
    return tmp_path / "results"


def test_one_row_a_measurement_with_its_fields(results: Path) -> None:
    found = hpe_bench.results(results)
    assert tuple(found.columns) == frame.COLUMNS
    (record,) = (r for r in store.load_all(results) if r.identity.kind == "accuracy")
    rows = found[found["kind"] == "accuracy"]
    assert rows["value"].tolist() == [m.value for m in record.measurements]
    assert rows["key"].tolist() == [m.key for m in record.measurements]
    eye = rows[rows["joint"] == "left_eye"].iloc[0]
    assert (eye["metric"], eye["part"], eye["seed"]) == ("pckh@0.5", "joint", 0)
    assert set(rows.loc[rows["part"] == "stature", "bin"]) >= {"below 122 px"}
    one = found[(found["key"] == "latency/median") & (found["kind"] == "cost") & (found["threads"] == 1)].iloc[0]
    assert (one["runtime"], one["precision"], one["scope"], one["batch"]) == ("eager", "fp32", "network", 1)
    ceiling = found[(found["kind"] == "ceiling") & found["flip"]].iloc[0]
    assert ceiling["heatmap_height"] in (64, 32, 16, 8)
    timed = found[(found["kind"] == "latency") & (found["key"] == "latency/median")]
    assert len(timed) == 3
    assert (timed["interval_low"] <= timed["value"]).all()


def test_filters_take_values_patterns_and_several(results: Path) -> None:
    everything = hpe_bench.results(results)
    some = hpe_bench.results(results, kind=("accuracy", "submission"), key="pckh@0.5*", seed=0)
    wanted = everything[(everything["kind"] == "accuracy") & everything["key"].str.startswith("pckh@0.5")]
    assert some["value"].tolist() == wanted["value"].tolist()
    assert hpe_bench.results(results, paper="nobody").empty
    with pytest.raises(ValueError, match="cannot be filtered by 'colour'"):
        hpe_bench.results(results, colour="red")
    with pytest.raises(ValueError, match="no such folder of results"):
        hpe_bench.results(results / "nowhere")


def test_failed_records_have_no_rows(tmp_path: Path) -> None:
    store.save(test_records.make(), tmp_path)
    failed = test_records.make(id="f", status="failed", reason="memory", measurements=(), tallies=())
    store.save(failed, tmp_path)
    assert hpe_bench.results(tmp_path)["record"].tolist() == ["abc"]


def test_files_hold_the_same_to_the_last_digit(results: Path, tmp_path: Path) -> None:
    found = hpe_bench.results(results)
    for kind in ("csv", "json", "parquet"):
        arguments = ["results", "--results", str(results), f"--{kind}", str(tmp_path / f"x.{kind}")]
        app(arguments, standalone_mode=False)
    assert pd.read_csv(tmp_path / "x.csv")["value"].tolist() == found["value"].tolist()
    assert [row["value"] for row in json.loads((tmp_path / "x.json").read_text())] == found["value"].tolist()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "x.parquet"), found)


def test_the_terminal_shows_the_first_rows_and_says_so(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["results", "--results", str(results), "--kind", "accuracy", "--key", "pckh@0.5"], standalone_mode=False)
    assert "1 measurements of 1 records" in capsys.readouterr().out
    app(["results", "--results", str(results), "--csv", "-", "--key", "params"], standalone_mode=False)
    assert pd.read_csv(io.StringIO(capsys.readouterr().out))["key"].unique().tolist() == ["params"]


@pytest.mark.parametrize("text", ["=1+1", "+cmd|x", "-cmd", "@sum", "\tx", "\rx"])
def test_no_cell_of_a_download_is_a_formula(text: str) -> None:
    made = frame.as_csv(frame.from_flat([{"a": text, "b": 1.5}]))
    (row,) = csv.DictReader(io.StringIO(made, newline=""))
    assert row["a"] == csv_files.harmless(text) != text


def test_whole_numbers_stay_whole_where_some_are_missing() -> None:
    found = frame.from_flat([{"a": 1, "b": None, "c": True}, {"a": None, "b": 0.1, "c": None}])
    assert frame.as_csv(found) == "a,b,c\n1,,True\n,0.1,\n"
    assert json.loads(frame.as_json(found)) == [{"a": 1, "b": None, "c": True}, {"a": None, "b": 0.1, "c": None}]


# ---------------------------------------------------------------------------------------------------- calls


def scored() -> answers.Scored:
    from hpe_bench.report.pages import score_page

    record = record_of("somebody", GOOD)
    page = score_page.build(record, TRUTH, GOOD, None, None)
    return answers.Scored(record, page, TRUTH, file_of(GOOD))


def test_a_score_shows_itself_and_has_a_row_a_person() -> None:
    found = scored()
    html = found._repr_html_()
    assert "somebody under both" in html
    assert html.count("<table") == 1
    assert "pckh@0.5" in html
    assert "/joint/" not in html
    assert found.frame["value"].tolist() == [m.value for m in found.record.measurements]
    rows = found.persons
    wanted = TRUTH.persons.labelled.any(axis=1)
    assert len(rows) == wanted.sum()
    headline = found.record.measurements[0]
    assert 100 * rows["hits"].sum() / rows["labelled"].sum() == pytest.approx(headline.value)
    assert rows["oks"].dropna().between(0, 1).all()


def test_html_of_a_name_is_escaped() -> None:
    found = scored()
    evil = found.record.identity.model_copy(update={"variant": "<script>alert(1)"})
    shown = answers.Profiled((found.record.model_copy(update={"identity": evil}),))
    assert "<script>" not in shown._repr_html_()


def test_a_comparison_gives_accuracies_and_differences() -> None:
    found = hpe_bench.compare("simple_baseline", "fasterpose", path=Path(__file__).parents[1] / "results")
    assert set(found.frame["paper"]) == {"simple_baseline", "fasterpose"}
    dark = found.frame[found.frame["protocol"] == "mannequins-v1-dark"].set_index("paper")["value_percent"]
    gaps = found.differences.set_index("protocol")["difference_points"]
    assert gaps["mannequins-v1-dark"] == pytest.approx(dark["simple_baseline"] - dark["fasterpose"])
    assert "<table" in found._repr_html_()
    with pytest.raises(ValueError, match="at least two"):
        hpe_bench.compare("hrnet", "hrnet")


# ---------------------------------------------------------------------------------------------------- one path


def test_the_same_predictions_give_the_same_keys_trained_or_submitted() -> None:
    truth = persons(20, 8)
    found = predicted(truth, 2.0)
    trained = scoring.scores(PROTOCOL, truth, of_each(truth, found.joints, found.joint_scores))
    submitted = scoring.scores(PROTOCOL, truth, found)
    assert [s.key for s in trained] == [s.key for s in submitted]
    assert len({s.key for s in trained}) == len(trained)
    keys = {s.key for s in trained}
    assert {"pckh@0.5", "ap", "ar_medium", "pckh@0.5/sides/hip", "diagnosis/found", "diagnosis/kind/good"} <= keys


# ---------------------------------------------------------------------------------------------------- the list


def test_the_list_is_judged_once_for_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPE_BENCH_CACHE", str(tmp_path / "cache"))
    results = tmp_path / "results"
    path = store.save(test_records.make(), results)
    (path.parent / "foreign.json").write_text("{}")
    with pytest.warns(RecordWarning, match="foreign"):
        first = listing.listing(results)
    monkeypatch.setattr(listing, "judged", lambda _: pytest.fail("judged again"))
    with pytest.warns(RecordWarning, match="foreign"):
        assert listing.listing(results) == first
    before = listing.digest(results)
    (path.parent / "foreign.json").unlink()
    assert listing.digest(results) != before
    monkeypatch.undo()
    monkeypatch.setenv("HPE_BENCH_CACHE", str(tmp_path / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert listing.listing(results).rows == first.rows
