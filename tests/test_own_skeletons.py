"""Data sets of one's own: joints, sigmas and metrics from their files; mappings between skeletons; whole bodies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console

from hpe_bench import cli, protocols
from hpe_bench.commands import submit
from hpe_bench.data import check, coco_like
from hpe_bench.data.joint_subsets import read_mapping, restricted
from hpe_bench.data.known_skeletons import ALL
from hpe_bench.data.own_skeleton import read_sigmas, read_skeleton
from hpe_bench.data.prediction_files import Header, content_sha256, to_bytes
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import COCO_17, LSP_14, MPII_16, Skeleton
from hpe_bench.data.whole_body import AIC_14, HALPE_136, WHOLE_BODY_133
from hpe_bench.declare import fingerprint
from hpe_bench.metrics.own_metrics import MeanError, PCKBy, Reference, reference
from hpe_bench.metrics.parts_ap import PartsAP
from hpe_bench.run.pool import Settings
from tests.predicted import answers, coco_truth, persons, results, write_json

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
HAND = Skeleton("hand", ("wrist", *(f"{f}_{k}" for f in FINGERS for k in range(1, 5))), (), (), ())
SIGMAS = tuple(float(v) for v in np.linspace(0.02, 0.1, 21))
QUIET = Console(quiet=True)


def hands(folder: Path, **category: Any) -> tuple[Path, Path]:
    """A hand-like data set of 21 joints in COCO's layout, and COCO results for it."""
    truth = persons(8, 5, HAND)
    document = coco_truth(truth)
    document["categories"][0] |= {"name": "hand", **category}  # type: ignore[index]
    return (
        write_json(folder / "hands.json", document),
        write_json(folder / "mine.json", results(truth, answers(truth, 3.0))),
    )


def settings(folder: Path) -> Settings:
    return Settings(folder / "results", folder / "runs")


def reference_ap(truth: Path, found: Path, sigmas: tuple[float, ...]) -> np.ndarray:
    annotations = COCO(str(truth))
    judge = COCOeval(annotations, annotations.loadRes(str(found)), "keypoints")
    judge.params.kpt_oks_sigmas = np.array(sigmas)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return np.array(judge.stats) * 100


@pytest.mark.parametrize("given", [True, False])
def test_a_hand_of_21_joints_is_scored_as_pycocotools_does_with_its_sigmas(tmp_path: Path, given: bool) -> None:
    truth, mine = hands(tmp_path)
    sigmas = write_json(tmp_path / "sigmas.json", list(SIGMAS)) if given else None
    wish = submit.ScoreRequest(mine, None, "hands", truth, sigmas=sigmas)
    found = submit.scored_file(wish, settings(tmp_path), QUIET)
    wanted = reference_ap(truth, mine, SIGMAS if given else (1 / 21,) * 21)
    m = {m.key: m for m in found.record.measurements}
    for key, value in zip(("ap", "ap50", "ap75", "ap_medium"), wanted[:4], strict=True):
        if value >= 0:
            assert m[key].value == pytest.approx(value, abs=1e-9)
    assert found.record.submission is not None
    assert ("sigmas of sigmas.json" if given else "sigmas all 1/21") in found.record.submission.truth
    assert found.record.identity.protocol.startswith("own-21-joints.truth-")
    true, told = persons(8, 5, HAND), answers(persons(8, 5, HAND), 3.0)
    distance = np.linalg.norm(told.joints.astype(float) - true.joints, axis=-1)
    assert m["rmse"].value == pytest.approx(np.sqrt((distance**2).mean()), rel=1e-6)
    assert (m["rmse"].unit, m["nme-box"].unit) == ("px", "ratio")
    assert m["nme-box"].value == pytest.approx((distance / 60).mean(), rel=1e-6)
    assert m["pck-box@0.2"].value == pytest.approx(100 * (distance <= 12).mean(), rel=1e-6)
    low, high = m["rmse"].interval or (0, 0)
    assert low < m["rmse"].value < high


def test_a_data_set_of_ones_own_end_to_end(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    truth, mine = hands(tmp_path)
    monkeypatch.chdir(tmp_path)
    arguments = ["hpe-bench", "score", str(mine), "--truth", str(truth), "--by", "wrist,middle_1", "--name", "mine"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    told = capsys.readouterr().out
    assert "sigmas all 1/21" in told
    assert "pck-wrist-middle_1@0.2" in told
    page = "".join(p.read_text() for p in (tmp_path / "reports" / "scores").glob("mine--*.html"))
    assert "21 joints, sigmas all 1/21" in page
    assert "rmse, px" in page.lower()


def test_without_one_detection_a_person_ap_stands_alone(tmp_path: Path) -> None:
    truth, mine = hands(tmp_path)
    mine.write_text(json.dumps(json.loads(mine.read_text())[1:]))
    with pytest.warns(UserWarning, match="not one a person"):
        found = submit.scored_file(submit.ScoreRequest(mine, None, "x", truth), settings(tmp_path), QUIET)
    keys = {m.key for m in found.record.measurements}
    assert "ap" in keys
    assert "rmse" not in keys


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[0.1, 0.2]", "2 of them, expected 21"),
        (json.dumps([0.1] * 20 + [0]), "sigma of 'pinky_4' is 0; it must be positive"),
        (json.dumps({"wrist": 0.1}), "has none for 'thumb_1'"),
        (json.dumps({"sigmas": {**dict.fromkeys(HAND.joints, 0.1), "toe": 0.1}}), "names no joint 'toe'"),
        ("[0.1", "no JSON"),
    ],
)
def test_wrong_sigmas_are_one_sentence(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ValueError, match=r"s\.json") as told:
        read_sigmas(tmp_path / "s.json", HAND.joints)
    assert words in str(told.value)


def test_sigmas_by_name_in_toml(tmp_path: Path) -> None:
    rows = "\n".join(f"{name} = {value}" for name, value in reversed(list(zip(HAND.joints, SIGMAS, strict=True))))
    (tmp_path / "s.toml").write_text(f"[sigmas]\n{rows}\n")
    assert read_sigmas(tmp_path / "s.toml", HAND.joints) == SIGMAS


def category(folder: Path, **fields: Any) -> Path:
    return write_json(folder / "c.json", {"categories": [{"id": 1, "name": "x", **fields}]})


def test_the_category_tells_pairs_limbs_and_sigmas(tmp_path: Path) -> None:
    names = ["LeftEye", "RightEye", "nose", "L_hand", "R_hand", "tail-left", "tail-right", "Larm"]
    found = read_skeleton(category(tmp_path, keypoints=names, skeleton=[[1, 2], [3, 1]], sigmas=[0.1] * 8), None)
    assert found.skeleton.flip_pairs == ((0, 1), (3, 4), (5, 6))
    assert found.skeleton.limbs == ((0, 1), (2, 0))
    assert found.sigmas_from == "sigmas of its category"
    given = category(tmp_path, keypoints=["a", "b", "c"], flip_pairs=[["a", "c"]])
    assert read_skeleton(given, None).skeleton.flip_pairs == ((0, 2),)
    known = read_skeleton(category(tmp_path, keypoints=list(COCO_17.joints)), None)
    assert known.skeleton.sigmas == COCO_17.sigmas
    assert known.skeleton.flip_pairs == COCO_17.flip_pairs
    assert "coco-17" in known.sigmas_from


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "0 categories have 'keypoints'"),
        ({"keypoints": ["a", "a"]}, "name 'a' twice"),
        ({"keypoints": ["a", 3]}, "expected names"),
        ({"keypoints": ["a", "b"], "skeleton": [[0, 1]]}, "pairs of joints from 1 to 2"),
        ({"keypoints": ["a", "b"], "flip_pairs": [[0, 2]]}, "'flip_pairs'"),
        ({"keypoints": ["a", "b"], "flip_pairs": [[0, 1], [1, 0]]}, "'flip_pairs'"),
        ({"keypoints": ["a", "b"], "sigmas": [0.1]}, "1 of them, expected 2"),
    ],
)
def test_a_wrong_category_is_one_sentence(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"c\.json") as told:
        read_skeleton(category(tmp_path, **fields), None)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"protocol": None}, "--protocol, or a data set of one's own"),
        ({"protocol": "lsp-pc", "by": "box"}, "leave --protocol out"),
        ({"protocol": "lsp-pc", "mapping": "coco-17:mpii-16"}, "not of mpii-16"),
        ({"protocol": None, "truth": True, "by": "wrist,elbow"}, "no joint 'elbow'"),
        ({"protocol": None, "truth": True, "by": "torso"}, "no joint 'left_shoulder'"),
        ({"protocol": None, "truth": True, "by": "wrist"}, "two joints"),
        ({"protocol": None, "truth": True, "mapping": "a:b"}, "name it with --protocol"),
    ],
)
def test_wishes_that_contradict_themselves(tmp_path: Path, wish: dict[str, Any], words: str) -> None:
    truth, mine = hands(tmp_path)
    if wish.get("truth"):
        wish = wish | {"truth": truth}
    with pytest.raises(ValueError, match=r".") as told:
        submit.asked_truth(submit.ScoreRequest(mine, **wish), settings(tmp_path), QUIET)
    assert words in str(told.value)


def test_persons_without_a_reference_are_left_out_and_counted() -> None:
    truth = persons(4, 2)
    labelled = truth.labelled.copy()
    labelled[1, 1] = False
    truth = replace(truth, labelled=labelled, visible=labelled)
    by = reference("left_eye,right_eye", COCO_17)
    found = PCKBy(by).evaluate(truth, truth.joints, np.ones(labelled.shape))[0]
    assert (found.value, found.n) == (100.0, 3 * 17)
    assert MeanError("nme", by).evaluate(truth, truth.joints + 1, np.ones(labelled.shape))[0].n == 3 * 17
    assert MeanError("rmse", Reference()).evaluate(truth, truth.joints + np.array([3, 4]), np.ones(labelled.shape))[
        0
    ].value == pytest.approx(5)


# ---------------------------------------------------------------------------------------------------- mapping


def test_joints_of_one_skeleton_are_scored_on_another(tmp_path: Path) -> None:
    """The same answers in COCO's joints and in those that both have give the same rates on MPII-like persons."""
    mapping = read_mapping("coco-17:mpii-16")
    assert [a for a, _ in mapping.pairs] == [j for j in MPII_16.joints if j in COCO_17.joints]
    assert len(mapping.pairs) == 12
    protocol = protocols.mapped(protocols.MPII_VAL, mapping)
    assert protocol.name == "mpii-val.from-coco-17"
    assert fingerprint(protocol) != fingerprint(protocols.MPII_VAL)
    truth = persons(5, 3, MPII_16)
    from hpe_bench.data.joint_subsets import Mapped, persons_of
    from hpe_bench.run.truths import Truth

    data = protocol.data
    assert isinstance(data, Mapped)
    kept = persons_of(truth, data.columns, data.skeleton.name)
    joints = np.zeros((5, 17, 2))
    for place, (_, source) in enumerate(mapping.pairs):
        joints[:, COCO_17.index(source)] = kept.joints[:, place] + 1
    array = tmp_path / "coco.npy"
    np.save(array, joints)
    file = submit.read_predictions(array, Truth(protocol, kept), 0)
    assert np.abs(file.predictions.joints - kept.joints - 1).max() < 1e-9
    assert "joints of coco-17" in file.layout
    assert len(kept.skeleton.flip_pairs) == 6


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text('source = ["skull", "lw", "rw"]\nname = "mine"\ntarget = "lsp-14"\n[joints]\nhead_top = "skull"\n'
                    'left_wrist = "lw"\n')  # fmt: skip
    found = read_mapping(str(path))
    assert found.pairs == (("left_wrist", "lw"), ("head_top", "skull"))
    assert found.columns == [1, 0]
    assert protocols.mapped(protocols.LSP_PC, found).data.skeleton.joints == ("left_wrist", "head_top")


@pytest.mark.parametrize(
    ("text", "table", "words"),
    [
        ("coco-17", None, "source:target"),
        ("coco-18:mpii-16", None, "no skeleton 'coco-18'"),
        ("none.toml", None, "no such file"),
        ("m.toml", "x = ", "no TOML"),
        ("m.toml", 'source = "coco-17"\n', "needs source, target"),
        ("m.toml", 'source = "coco-17"\ntarget = "lsp-14"\n[joints]\nneck = "chin"\n', "no joint 'chin'"),
        ("m.toml", 'source = "coco-17"\ntarget = "lsp-14"\n[joints]\ntail = "nose"\n', "lsp-14 has no joint 'tail'"),
        ("m.toml", 'source = "coco-17"\ntarget = "lsp-14"\n[joints]\nneck = "nose"\nhead_top = "nose"\n', "for two"),
    ],
)
def test_a_wrong_mapping_is_one_sentence(tmp_path: Path, text: str, table: str | None, words: str) -> None:
    path = tmp_path / text
    if table is not None:
        path.write_text(table)
    with pytest.raises(ValueError, match=r".") as told:
        read_mapping(str(path) if text.endswith(".toml") else text)
    assert words in str(told.value)


# ---------------------------------------------------------------------------------------------------- whole bodies


@pytest.mark.parametrize("skeleton", list(ALL.values()), ids=list(ALL))
def test_skeletons_are_sound(skeleton: Skeleton) -> None:
    assert len(set(skeleton.joints)) == len(skeleton.joints)
    mirrored = skeleton.mirrored()
    assert [mirrored[j] for j in mirrored] == list(range(len(mirrored)))
    for a, b in skeleton.flip_pairs:
        names = skeleton.joints[a], skeleton.joints[b]
        assert (
            names[0].replace("left", "right") == names[1]
            or names[1].replace("left", "right") == names[0]
            or (names[0].startswith("face-") and names[1].startswith("face-"))
        )
    assert not skeleton.sigmas or len(skeleton.sigmas) == len(skeleton.joints)


def test_the_number_of_joints_and_their_parts() -> None:
    assert [len(s.joints) for s in (WHOLE_BODY_133, HALPE_136, AIC_14)] == [133, 136, 14]
    assert [len(j) for _, j in WHOLE_BODY_133.groups] == [17, 6, 68, 21, 21]
    assert [len(j) for _, j in HALPE_136.groups] == [20, 6, 68, 21, 21]
    assert WHOLE_BODY_133.joints[91] == "left_hand_root"
    assert restricted(WHOLE_BODY_133, list(range(17)), "body").joints == COCO_17.joints


def whole_body(folder: Path, count: int = 4) -> coco_like.CocoLike:
    """A few persons as COCO-WholeBody's file has them."""
    truth = persons(count, 3, WHOLE_BODY_133)
    document = coco_truth(truth)
    for record in document["annotations"]:  # type: ignore[attr-defined]
        values, at = record["keypoints"], 17 * 3
        record["keypoints"], record["num_keypoints"] = values[:at], 17
        for name, joints, valid in coco_like.PARTS:
            record[name], record[valid] = values[at : at + 3 * joints], True
            at += 3 * joints
    document["annotations"][0]["lefthand_valid"] = False  # type: ignore[index]
    document["categories"][0]["keypoints"] = list(COCO_17.joints)  # type: ignore[index]
    (folder / "coco" / "annotations").mkdir(parents=True)
    source = replace(coco_like.WHOLE_BODY, image_count=3)
    write_json(folder / "coco" / source.annotations, document)
    return source


def test_whole_bodies_are_read_part_by_part(tmp_path: Path) -> None:
    source = whole_body(tmp_path)
    truth = source.truth("val", str(tmp_path))
    wanted = persons(4, 3, WHOLE_BODY_133)
    np.testing.assert_allclose(truth.joints, wanted.joints)
    hand = list(dict(WHOLE_BODY_133.groups)["left_hand"])
    assert not truth.labelled[0, hand].any()
    assert truth.labelled[1:].all()
    with pytest.raises(ValueError, match="3 images, but coco-wholebody's val has 5,000"):
        coco_like.WHOLE_BODY.truth("val", str(tmp_path))
    rows = check.check_coco_like(source, str(tmp_path))
    assert next(r for r in rows if "images listed" in r.what).ok


def test_ap_of_parts_is_ap_of_these_joints_alone() -> None:
    truth = persons(6, 4, WHOLE_BODY_133)
    found = answers(truth, 2.0)
    scores = {s.key: s for s in PartsAP().all_figures(truth, found)}
    assert {"ap", "ap_body", "ap_foot", "ap_face", "ap_left_hand", "ar_right_hand"} <= set(scores)
    perfect = {s.key: s.value for s in PartsAP().all_figures(truth, replace(found, joints=truth.joints))}
    assert perfect["ap_face"] == pytest.approx(100)
    moved = truth.joints.copy()
    moved[:, list(dict(WHOLE_BODY_133.groups)["face"])] += 500
    face_lost = {s.key: s.value for s in PartsAP().all_figures(truth, replace(found, joints=moved))}
    assert face_lost["ap_face"] == 0
    assert face_lost["ap_body"] == pytest.approx(100)


@pytest.mark.parametrize("source", [s for s in coco_like.ALL if not s.parts], ids=lambda s: s.name)
def test_the_other_sets_are_read_as_they_lie(tmp_path: Path, source: coco_like.CocoLike) -> None:
    truth = persons(4, 3, source.joints)
    path = tmp_path / source.folder / source.annotations
    path.parent.mkdir(parents=True)
    write_json(path, coco_truth(truth))
    small = replace(source, image_count=3)
    np.testing.assert_allclose(small.truth("val", str(tmp_path)).joints, truth.joints)
    with pytest.raises(ValueError, match="must not pass for it"):
        source.truth("val", str(tmp_path))
    with pytest.raises(ValueError, match="--root names"):
        source.truth("val", str(tmp_path / "nowhere"))
    assert {"ochuman": "ochuman-val", "halpe": "halpe-val", "aic": "aic-val"}[source.name] in protocols.every()


def test_our_own_layout_of_21_joints_goes_person_by_person(tmp_path: Path) -> None:
    truth_file, _ = hands(tmp_path)
    skeleton = read_skeleton(truth_file, None).skeleton
    from hpe_bench.run import truths

    truth = truths.of_own_data(truth_file, None, None, "box")
    given = answers(truth.persons)
    ids = truth.persons.ids[given.image]
    header = Header(skeleton.joints, "me", truth.label, truth.persons.digest())
    (tmp_path / "p.npz").write_bytes(to_bytes(given, ids, header))
    found = submit.scored_file(
        submit.ScoreRequest(tmp_path / "p.npz", None, "p", truth_file), settings(tmp_path), QUIET
    )
    assert found.record.predictions_sha256 == content_sha256(given, ids, skeleton.joints)
    assert isinstance(found.file.predictions, Predictions)
    assert LSP_14.joints != skeleton.joints
    assert {"rmse", "pck-box@0.2"} <= {m.key for m in found.record.measurements}
