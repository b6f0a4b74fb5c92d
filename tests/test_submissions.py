"""Submissions: published numbers to the digit, truth that says what it is, one name a prediction, and the page."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpe_bench.catalog import find_protocol
from hpe_bench.cli import app
from hpe_bench.commands import submit
from hpe_bench.data import prediction_files
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.data.prediction_files import Header, PredictionFile, to_bytes
from hpe_bench.data.predictions import Predictions
from hpe_bench.declare import Protocol, Score, fingerprint
from hpe_bench.metrics.oks_ap import OksAP, evaluate_coco
from hpe_bench.metrics.pckh import PCKh
from hpe_bench.records import schema, store
from hpe_bench.report import site
from hpe_bench.report.pages import score_page
from hpe_bench.report.pages.score_page import Rival
from hpe_bench.run import scoring, submission, truths
from hpe_bench.run.scoring import save_predictions
from hpe_bench.run.truths import Truth
from tests import onnx_files, small
from tests.predicted import answers, persons

MADE = datetime(2026, 1, 1, tzinfo=UTC)
PROTOCOL = Protocol("both", small.DATA, small.CODEC, (PCKh(0.5), OksAP()))
TRUTH = Truth(PROTOCOL, persons(30, 12))


def file_of(predictions: Predictions, truth: Truth = TRUTH) -> PredictionFile:
    """Predictions as if read from a file."""
    ids = truth.persons.ids[predictions.image]
    sha256 = prediction_files.content_sha256(predictions, ids, truth.persons.skeleton.joints)
    return PredictionFile(predictions, "hpe-bench npz", sha256, "a test")


def scores_of(truth: Truth, file: PredictionFile, what: str) -> list[Score]:
    return scoring.scores(truth.protocol, truth.persons, file.predictions, what)


def record_of(name: str, predictions: Predictions, truth: Truth = TRUTH) -> schema.RunRecord:
    file = file_of(predictions, truth)
    return submission.record(name, Path("p.npz"), truth, file, scores_of(truth, file, "p.npz"), MADE)


GOOD, BAD = answers(TRUTH.persons, 1.0), answers(TRUTH.persons, 5.0)


# ---------------------------------------------------------------------------------------------------- oracles


def scored(protocol: str, truth: Path, path: Path, origin: Any = None) -> dict[str, float]:
    found = truths.of_file(find_protocol(protocol), truth, None)
    file = prediction_files.read(path, found.persons, origin)
    return {s.key: s.value for s in scores_of(found, file, str(path))}


@pytest.mark.parametrize(
    ("folder", "truth", "file", "digits"),
    [
        (
            "fakekeypoints100",
            "person_keypoints_val2014_100.json",
            "person_keypoints_val2014_fakekeypoints100_results.json",
            3,
        ),
        ("one_image_128dets", "gt.json", "dets.json", 5),
    ],
)
def test_published_ap_to_the_digit(shared_data: Path, folder: str, truth: str, file: str, digits: int) -> None:
    published = {
        "fakekeypoints100": [0.372, 0.636, 0.348, 0.384, 0.386, 0.514, 0.734, 0.504, 0.508, 0.522],
        "one_image_128dets": [0.50488, 0.72277, 0.63366, 0.46634, 0.75050, 0.51818, 0.72727, 0.63636, 0.46667, 0.75],
    }[folder]
    base = shared_data / "coco_eval_oracle" / folder
    found = scored("coco-val2017-gtbox", base / truth, base / file)
    values = [v for k, v in found.items() if "/" not in k]
    assert [round(v / 100, digits) for v in values] == published
    assert {k: v for k, v in found.items() if "/" not in k} == pytest.approx(
        evaluate_coco(base / truth, base / file), abs=1e-12
    )


@pytest.mark.parametrize("truth", ["valid.json", "gt_valid.mat"])
def test_published_pckh_of_the_hourglass_to_the_digit(shared_data: Path, truth: str) -> None:
    base = shared_data / "mpii_eval_oracle"
    found = scored("mpii-val", base / truth, base / "preds_hourglass.npy", 1)
    expected = json.loads((base / "expected.json").read_text())
    for key, name in (("pckh@0.5", "PCKh@0.5"), ("pckh@0.10", "PCKh@0.1"), ("pckh@0.11", "PCKh@0.11")):
        assert round(found[key], 4) == expected[name]["mean"]
    groups = {k: v for k, v in expected["PCKh@0.5"].items() if k != "mean"}
    assert {g: round(found[f"pckh@0.5/sides/{g}"], 4) for g in groups} == groups


def test_hrnets_own_numbers_to_the_digit(shared_data: Path) -> None:
    base = shared_data.parent / "parity"
    if not base.is_dir():
        pytest.skip(f"no {base}")
    found = scored("mpii-val", base / "mpii_gt_valid.mat", base / "mpii_pred_0based.npy", 0)
    expected = json.loads((base / "mpii_pckh.json").read_text())
    assert found["pckh@0.5"] == pytest.approx(expected.pop("Mean"), abs=1e-12)
    assert found["pckh@0.11"] == pytest.approx(expected.pop("Mean@0.1"), abs=1e-12)  # F11
    for name, value in expected.items():
        assert found[f"pckh@0.5/sides/{name.lower()}"] == pytest.approx(value, abs=1e-12)


# ---------------------------------------------------------------------------------------------------- truth


def test_a_truth_file_never_passes_for_the_protocol(shared_data: Path) -> None:
    protocol = find_protocol("coco-val2017-gtbox")
    mini = shared_data / "coco_mini" / "annotations" / "person_keypoints_val2017.json"
    found = truths.of_file(protocol, mini, None)
    assert found.label != protocol.name
    assert found.protocol_hash != fingerprint(protocol)
    assert f"SHA-256 {found.sha256}, 118 persons" in found.described
    with pytest.raises(ValueError, match="not val2017"):
        truths.of_protocol(protocol, str(shared_data / "coco_mini"))


def test_a_truth_file_of_another_data_set_is_refused(tmp_path: Path, shared_data: Path) -> None:
    with pytest.raises(ValueError, match="--root only"):
        truths.of_file(find_protocol("lsp-pc"), shared_data / "lsp" / "joints.mat", None)
    with pytest.raises(ValueError, match="jnt_missing"):
        truths.of_file(find_protocol("mpii-val"), shared_data / "lsp" / "joints.mat", None)
    with pytest.raises(ValueError, match="not those of coco-17"):
        truths.of_file(
            find_protocol("coco-val2017-gtbox"),
            shared_data / "coco_eval_oracle" / "crowdpose_example" / "gt.json",
            None,
        )


# ---------------------------------------------------------------------------------------------------- records


def test_a_record_survives_and_says_what_was_handed_in(tmp_path: Path) -> None:
    made = record_of("somebody", GOOD)
    assert store.load(store.save(made, tmp_path)) == made
    assert made.submission is not None
    assert made.submission.truth == "mannequins, split test: 30 persons on 12 images"
    assert (made.identity.kind, made.identity.paper, made.identity.variant) == ("submission", "submitted", "somebody")
    by_key = {m.key: m for m in made.measurements}
    assert {"pckh@0.5", "ap", "ar_large", "pckh@0.5/wrist", "pckh-auc@0:0.01:0.5"} - set(by_key) <= {"ar_large"}
    assert by_key["pckh@0.5"].interval is not None
    assert next(t for t in made.tallies if t.key == "pckh@0.5").counts == tuple(np.bincount(TRUTH.persons.image) * 17)


def test_only_a_submission_says_what_was_handed_in() -> None:
    made = record_of("somebody", GOOD).model_dump()
    with pytest.raises(ValueError, match="submission"):
        schema.RunRecord(**{**made, "submission": None})


def test_committed_records_still_load() -> None:
    assert len(store.load_all(Path(__file__).parents[1] / "results")) > 100


def test_the_same_predictions_under_another_name_are_noticed() -> None:
    first, second = record_of("first", GOOD), record_of("second", GOOD)
    assert submission.under_another_name(first, [first]) is None
    assert submission.under_another_name(second, [first]) == first
    assert submission.under_another_name(record_of("second", BAD), [first]) is None


def test_predictions_of_a_run_of_ours_are_recognised(tmp_path: Path) -> None:
    digest = save_predictions(tmp_path / "p.npz", GOOD.joints, GOOD.joint_scores)
    run = record_of("run", BAD).model_copy(update={"predictions_sha256": digest})
    assert submission.same_run(TRUTH, file_of(GOOD), [run]) is run
    assert submission.same_run(TRUTH, file_of(BAD), [run]) is None


def test_every_person_needs_a_prediction() -> None:
    some = file_of(GOOD.subset(np.arange(28)))
    with pytest.raises(ValueError, match=r"p.npz: no prediction for person 28 \(2 of 30 are missing\).*F23"):
        scores_of(TRUTH, some, "p.npz")
    with pytest.raises(ValueError, match="person by person"):
        scores_of(TRUTH, file_of(replace(GOOD, person=None)), "p.npz")


def test_the_order_of_the_rows_changes_nothing() -> None:
    turned = file_of(GOOD.subset(np.arange(30)[::-1]))
    assert scores_of(TRUTH, turned, "p") == scores_of(TRUTH, file_of(GOOD), "p")


def test_differences_are_paired() -> None:
    same = submission.differences(TRUTH, file_of(GOOD), file_of(GOOD), ("a", "a"))
    assert all((d.value, d.p_value) == (0.0, 1.0) for d in same.values())
    found = submission.differences(TRUTH, file_of(GOOD), file_of(BAD), ("a", "b"))
    values = [{s.key: s.value for s in scores_of(TRUTH, file_of(p), "p")} for p in (GOOD, BAD)]
    for key in ("pckh@0.5", "ap"):
        assert found[key].value == pytest.approx(values[0][key] - values[1][key])
        assert found[key].low > 0
        assert found[key].p_value < 0.01


def test_what_is_stored_reads_back_as_the_same_predictions(tmp_path: Path) -> None:
    file = file_of(replace(GOOD, joints=GOOD.joints + 1 / 3))
    (tmp_path / "s.npz").write_bytes(submission.stored(TRUTH, file))
    assert prediction_files.read(tmp_path / "s.npz", TRUTH.persons).sha256 == file.sha256


# ---------------------------------------------------------------------------------------------------- the page


def test_the_page_holds_the_figures_and_is_the_same_every_time(tmp_path: Path) -> None:
    made = record_of("somebody", GOOD)
    rival = Rival("other", BAD, submission.differences(TRUTH, file_of(GOOD), file_of(BAD), ("a", "b")))
    page = score_page.build(made, TRUTH, GOOD, rival, None)
    path = site.write_score(page, tmp_path)
    assert path == tmp_path / "scores" / "somebody--both.html"
    text = "".join(p.read_text() for p in sorted(path.parent.glob("*.html")))  # with what its folds hold
    value = made.measurements[0].value
    assert f"PCKh@0.5 {value:.2f} %" in text
    for words in ("somebody less other", "PCKh AUC, thresholds 0 to 0.5", "Person ", "Joint by joint"):
        assert words in text
    assert "None" not in re.sub(r"<style>.*?</style>|<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="https?:', text)
    assert set(re.findall(r'href="([^"]+\.csv)"', text)) == {
        str(p.relative_to(path.parent)) for p in path.parent.rglob("*.csv")
    }
    before = path.read_bytes()
    assert site.write_score(score_page.build(made, TRUTH, GOOD, rival, None), tmp_path).read_bytes() == before


@pytest.mark.parametrize("count", [0, 30])
def test_a_page_of_predictions_that_found_nobody(tmp_path: Path, count: int) -> None:
    truth = Truth(replace(PROTOCOL, name="ap", metrics=(OksAP(),)), TRUTH.persons)
    lost = replace(GOOD, joints=GOOD.joints + 5000, person=None).subset(np.arange(count))
    made = record_of("lost", lost, truth)
    assert made.measurements[0].value == 0
    text = site.write_score(score_page.build(made, truth, lost, None, None), tmp_path).read_text()
    assert "Nothing to mend" in text
    assert "No person was found" in text


def test_the_worst_case_comes_first() -> None:
    joints = GOOD.joints.copy()
    joints[17] += 40
    cases, photographs = score_page.worst_cases(TRUTH.persons, replace(GOOD, joints=joints), None)
    assert cases[0].title.startswith("Person 17 in ")
    assert photographs


# ---------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def oracle(shared_data: Path) -> Path:
    return shared_data / "coco_eval_oracle" / "fakekeypoints100"


def hpe_bench(*arguments: str) -> None:
    """The command line in this process; what it would say in a sentence is raised."""
    app(list(arguments), standalone_mode=False)


def test_score_in_one_command(
    tmp_path: Path, oracle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(oracle / "person_keypoints_val2014_fakekeypoints100_results.json", "fake.json")
    arguments = ["--protocol", "coco-val2017-gtbox", "--truth", str(oracle / "person_keypoints_val2014_100.json")]
    hpe_bench("score", "fake.json", *arguments)
    assert re.search(r"^AP +37\.22 +\[", capsys.readouterr().out, re.MULTILINE)
    made = store.load_all(Path("results"))
    assert [r.identity.variant for r in made] == ["fake"]
    assert Path(f"runs/predictions/{made[0].predictions_sha256}.npz").exists()
    assert [p.name for p in Path("reports/scores").glob("fake--*.html") if ".part." not in p.name] == [
        f"fake--{made[0].identity.protocol}.html"
    ]
    with pytest.raises(ValueError, match=r"scored before as 'fake'.*F26.*--name fake, or remove results/submitted/"):
        hpe_bench("score", "fake.json", *arguments, "--name", "another")
    assert re.search(r"^AP +37\.22 +\[", capsys.readouterr().out, re.MULTILINE)  # the score all the same
    assert len(store.load_all(Path("results"))) == 1
    assert not list(Path("reports/scores").glob("another*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("score none.npz --protocol mannequins-v2", ["mannequins-v2", "mannequins-v1"]),
        ("score none.npz --protocol coco-val2017-gtbox", ["--root"]),
        ("score B.npz --protocol lsp-pc", ["--name"]),
        ("predict --protocol lsp-pc --to x.npz", ["--model", "--predictor", "--weights"]),
        ("predict --protocol lsp-pc --to x.npz --predictor mine.py", ["FILE.py:function"]),
        ("evaluate --protocol lsp-pc --predictor mine.py:build", ["mine.py", "no such file"]),
        ("score a.json --protocol lsp-pc --map coco-17:lsp-15", ["no skeleton 'lsp-15'"]),
        ("score a.json --truth none.json", ["none.json"]),
        ("score a.json", ["--protocol", "--truth"]),
        ("predict --protocol lsp-pc --to x.txt --onnx n.onnx", [".npz", ".json"]),
        ("predict --protocol lsp-pc --to x.npz --onnx n.onnx", ["n.onnx", "no such file"]),
        ("predict --protocol lsp-pc --to x.npz --onnx n.onnx --images .", ["--boxes"]),
        ("evaluate --protocol lsp-pc --weights w.pth --paper hrnet", ["--variant"]),
    ],
)
def test_bad_commands_get_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        hpe_bench(*arguments.split())
    for word in words:
        assert word in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_evaluate_predicts_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = Protocol("tiny", Mannequins(train_persons=4, test_persons=12), small.CODEC, (PCKh(0.5), OksAP()))
    for find in ("find_protocol", "find_predicted"):
        monkeypatch.setattr(submit, find, {"tiny": tiny}.__getitem__)
    onnx_files.write(Path("light.onnx"), onnx_files.brightness(17))
    hpe_bench("evaluate", "--protocol", "tiny", "--onnx", "light.onnx", "--name", "light")
    hpe_bench("predict", "--protocol", "tiny", "--onnx", "light.onnx", "--to", "p.npz", "--draw", "drawn")
    hpe_bench("score", "p.npz", "--protocol", "tiny", "--name", "light", "--against", "p.npz")
    assert "not told apart" in " ".join(capsys.readouterr().out.split())
    (made,) = store.load_all(Path("results"))  # evaluate and predict + score leave the same record
    assert made.weights_sha256 == ""  # of a file of predictions nobody knows the weights
    assert list(Path("drawn").rglob("*.jpg"))


def header_of(truth: Truth) -> Header:
    return Header(truth.persons.skeleton.joints, "a test", truth.protocol.name, truth.persons.digest())


def test_a_file_of_ours_goes_through(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(to_bytes(GOOD, TRUTH.persons.ids[GOOD.image], header_of(TRUTH)))
    file = prediction_files.read(path, TRUTH.persons)
    assert file.sha256 == file_of(GOOD).sha256
