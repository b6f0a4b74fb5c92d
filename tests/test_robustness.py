"""Corruptions: the same for every model, as strong as declared, joints brought back; records, pages, bad input."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from hpe_bench import catalog, cli, protocols
from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.data import corruptions
from hpe_bench.data.boxes import every_person
from hpe_bench.data.corruptions import KINDS, under
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.declare import Corruption, Protocol, fingerprint
from hpe_bench.inference import networks
from hpe_bench.inference.model_file import InputConvention
from hpe_bench.inference.networks import Network
from hpe_bench.metrics import robustness as means
from hpe_bench.metrics.bootstrap import paired_difference
from hpe_bench.metrics.pckh import PCKh
from hpe_bench.records import store
from hpe_bench.records.schema import RunRecord
from hpe_bench.report import site
from hpe_bench.report.pages import robustness as page
from hpe_bench.run import prediction, robustness
from hpe_bench.run.prediction import Task
from tests import onnx_files, small
from tests.test_predict import lit

PLAIN = Protocol(
    name="plain", data=small.DATA, codec=Gaussian(2.0, "exact", "quarter"), metrics=(PCKh(0.5),), flip_test=False
)


@pytest.fixture(scope="module")
def light_finder(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = onnx_files.write(tmp_path_factory.mktemp("light") / "light.onnx", onnx_files.brightness(17))
    found = networks.of_file(path, InputConvention(mean=(0, 0, 0), std=(255, 255, 255)), COCO_17)
    assert isinstance(found, Network)
    return found


def task_under(kind: str, severity: int) -> Task:
    truth = lit()
    return Task(under(PLAIN, corruptions.corruption_of(kind, severity)), truth, every_person(truth))


# ---------------------------------------------------------------------------------------------------- protocols


def test_no_hash_of_a_protocol_changes_and_corrupted_ones_have_hashes_of_their_own() -> None:
    plain = protocols.POCKET["lsp"][0]
    assert fingerprint(plain) == "389dbc0ede8134d6"
    names = {f"{plain.name}+{kind.name}-{s}" for kind in KINDS for s in range(1, 6)}
    found = {catalog.find_protocol(name) for name in names}
    assert len({fingerprint(p) for p in found} | {fingerprint(plain)}) == 5 * len(KINDS) + 1
    assert {p.name for p in found} == names
    one = catalog.find_protocol(f"{plain.name}+jpeg-3")
    assert fingerprint(one) != fingerprint(replace(one, corruption=Corruption("jpeg", 3, 16)))  # another level


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lsp-pc-v1-dark+snow-1", "no corruption 'snow'"),
        ("lsp-pc-v1-dark+jpeg-6", "whole number from 1 to 5"),
        ("lsp-pc-v1-dark+jpeg", "such as motion_blur-3"),
        ("lsp-pc-v1-dank+jpeg-1", "no protocol 'lsp-pc-v1-dank'"),
    ],
)
def test_what_is_no_corrupted_protocol_is_said(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        catalog.find_protocol(name)


def test_a_protocol_says_its_corruption_in_its_name() -> None:
    with pytest.raises(ValueError, match="behind the plus sign"):
        replace(PLAIN, corruption=Corruption("jpeg", 1, 25))


# ---------------------------------------------------------------------------------------------------- what is done


@pytest.mark.parametrize("kind", [k.name for k in KINDS])
def test_every_model_sees_the_same_and_severities_differ_in_strength(kind: str) -> None:
    def distance(severity: int) -> float:
        task = task_under(kind, severity)
        first, again = (replace(task).seen for _ in range(2))
        assert np.array_equal(first.boxes.box, again.boxes.box)
        seen = first.persons.images.read(0)
        assert seen.dtype == np.uint8
        assert np.array_equal(seen, again.persons.images.read(0))
        if kind == "rotation":
            return float(np.abs(first.back[0][0, 1]))
        moved = float(np.abs(first.boxes.box - task.boxes.box).sum())
        return moved + float(np.abs(seen.astype(float) - task.truth.images.read(0)).mean())

    far = [distance(s) for s in (1, 5)]
    assert 0 < far[0] < far[1] or (kind in ("contrast", "jpeg") and 0 <= far[0] <= far[1])


@pytest.mark.parametrize(
    ("kind", "severity"), [("rotation", 5), ("box_jitter", 2), ("box_scale", 3), ("truncation", 1)]
)
def test_light_is_found_where_it_is_in_turned_images_and_moved_boxes(
    light_finder: Network, kind: str, severity: int
) -> None:
    task = task_under(kind, severity)
    found = prediction.answer(task, light_finder)
    spots = np.array([(80, 90), (200, 60), (150, 150)])[task.truth.image]
    assert np.abs(found.joints - spots[:, None]).max() < 7  # half a heatmap pixel is 2 to 5 px, in larger boxes 7


def test_a_box_is_moved_cut_and_scaled_by_as_much_as_its_level_says() -> None:
    plain = every_person(lit()).box
    jittered = task_under("box_jitter", 3).seen.boxes.box
    shift = (jittered - plain)[:, :2] / plain[:, 2:]
    assert np.allclose(np.linalg.norm(shift, axis=1), 0.15)
    assert np.allclose(jittered[:, 2:], plain[:, 2:])
    cut = task_under("truncation", 4).seen.boxes.box
    assert np.allclose(cut[:, 2:].prod(1), 0.6 * plain[:, 2:].prod(1))
    assert (cut[:, :2] >= plain[:, :2] - 1e-9).all()
    assert (cut[:, :2] + cut[:, 2:] <= plain[:, :2] + plain[:, 2:] + 1e-9).all()
    ratio = task_under("box_scale", 5).seen.boxes.box[:, 2] / plain[:, 2]
    assert np.allclose(np.maximum(ratio, 1 / ratio), 1.75)


def test_without_the_library_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    corruptions.library.cache_clear()
    monkeypatch.setattr(corruptions.importlib, "import_module", missing)
    with pytest.raises(ValueError, match=r"albumentations is not installed; .*robustness"):
        corruptions.library()
    assert task_under("box_jitter", 1).seen.boxes is not None  # geometry needs none


def test_kinds_and_severities_are_chosen_by_name() -> None:
    assert len(corruptions.chosen((), ())) == 5 * len(KINDS)
    assert [c.name for c in corruptions.chosen(("fog", "box_jitter"), (5, 1))] == [
        *("box_jitter-1", "box_jitter-5", "fog-1", "fog-5"),
    ]
    with pytest.raises(ValueError, match="no corruption 'snow'"):
        corruptions.chosen(("snow",), ())


# ---------------------------------------------------------------------------------------------------- records, pages


def measured(network: Network, name: str, noise: float) -> RunRecord:
    """A record of a model that finds the light, on persons that are where it is or near."""
    truth = lit()
    spots = np.array([(80, 90), (200, 60), (150, 150)], float)[truth.image]
    away = np.random.default_rng(0).normal(0, noise, truth.joints.shape)
    truth = replace(truth, joints=spots[:, None] + away, head_size=np.full(len(truth), 12.0))
    task = Task(PLAIN, truth, every_person(truth))
    chosen = corruptions.chosen(("box_jitter", "rotation", "low_resolution"), (1, 5))
    found, clean = robustness.measure(task, chosen, robustness.with_model(network, "cpu"), lambda _: None)
    return robustness.record(name, task, "ab" * 32, None, found, clean, datetime(2026, 1, 1, tzinfo=UTC), "cpu")


def test_a_record_holds_all_scores_with_paired_changes_and_the_page_shows_them(
    light_finder: Network, tmp_path: Path
) -> None:
    record = measured(light_finder, "light", 4.0)
    path = store.save(record, tmp_path / "results")
    assert store.load(path) == record
    found = record.robustness
    assert found is not None
    assert [s.kind for s in found.scores[:2]] == ["", "box_jitter"]
    counts = means.unpack(found.counts)
    for s in found.scores:
        assert s.value == pytest.approx(100 * means.unpack(s.hits).sum() / counts.sum())
    tallies = [(means.unpack(found.scores[i].hits), counts) for i in (1, 0)]
    oracle = paired_difference(tallies[:1], tallies[1:])
    assert found.scores[1].change is not None
    assert (found.scores[1].change.value, found.scores[1].change.low) == pytest.approx((oracle.value, oracle.low))
    mean = record.get("pckh@0.5/mean-corruption")
    assert mean is not None
    assert mean.value == pytest.approx(np.mean([s.value for s in found.scores[1:]]))
    store.save(measured(light_finder, "other", 4.0), tmp_path / "results")
    written = site.write_robustness(tmp_path / "results", tmp_path / "reports")
    assert written is not None
    text = written.read_text()
    assert text.count("<svg") > 3
    for words in ("Box moved", "Camera rolled", "Low resolution", "light less other", "Mean corruption score"):
        assert words in text
    assert text.index("Box moved") < text.index("Low resolution")  # what a detector does stands first
    built = page.build(store.load_all(tmp_path / "results"), {})
    assert built is not None
    assert built.sections[0].between is not None
    assert built.sections[0].between.rows[0][2].sort == 0  # the same answers under two names do not differ


def test_no_record_no_page(tmp_path: Path) -> None:
    assert site.write_robustness(tmp_path / "results", tmp_path / "reports") is None


def test_hits_are_packed_without_loss_and_damage_is_said() -> None:
    values = [0, 17, 65535, 3]
    assert means.unpack(means.pack(values)).tolist() == values
    with pytest.raises(ValueError, match="cannot be read"):
        means.unpack("rubbish")
    with pytest.raises(ValueError, match="between 0"):
        means.pack([-1])


# ---------------------------------------------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["x.safetensors", "--protocol", "mannequins-v1-dark+jpeg-1"], "corrupted already"),
        (["x.safetensors", "--protocol", "mannequins-v1-dark", "--corruptions", "snow"], "no corruption 'snow'"),
        (["x.safetensors", "--protocol", "mannequins-v1-dark", "--severities", "9"], "whole number from 1 to 5"),
        (["x.safetensors", "--protocol", "mannequins-v1-dark", "--weights", "y.pth"], "name the model once"),
        (["--protocol", "mannequins-v1-dark"], "name the network"),
        (["gone.onnx", "--protocol", "mannequins-v1-dark", "--severities", "1"], "gone.onnx"),
    ],
)
def test_a_bad_wish_is_one_sentence(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["hpe-bench", "robustness", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())
