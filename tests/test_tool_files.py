"""Files as popular tools write them, built here: read as the poses that were put in; nothing is executed."""

from __future__ import annotations

import json
import os
import pickle
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files import read
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import COCO_17, Skeleton
from tests.predicted import BlankImages, answers, persons, results, write_json

MOUSE = Skeleton("mouse", ("snout", "left_ear", "tail_base"), ((1, 1),), (), ())


class Named(BlankImages):
    """Images in folders, two of one name."""

    NAMES = ("day1/frame1.png", "day2/frame1.png", "day2/frame2.png", "day2/IMG_3.jpg")

    def name(self, index: int) -> str:
        return self.NAMES[index]


def mice(count: int = 4) -> PersonSet:
    return replace(persons(count, 4, MOUSE), images=Named(4), image_ids=None)


def same(found: Predictions, wanted: Predictions, truth: PersonSet) -> None:
    np.testing.assert_allclose(found.joints, wanted.joints, atol=1e-4)
    np.testing.assert_allclose(found.joint_scores, wanted.joint_scores, atol=1e-6)
    assert found.image.tolist() == wanted.image.tolist()
    assert len(truth) >= len(found)


# ---------------------------------------------------------------------------------------------------- COCO results


def test_ultralytics_names_images_by_their_stem_and_counts_classes_from_0(tmp_path: Path) -> None:
    truth = persons()
    given = answers(truth)
    rows = results(truth, given)
    for row, d in zip(rows, range(len(given)), strict=True):
        row |= {"image_id": truth.images.name(int(given.image[d])).removesuffix(".png"), "category_id": 0}
        row |= {"bbox": truth.box[d].tolist(), "file_name": "x.png"}
    file = read(write_json(tmp_path / "predictions.json", rows), truth)
    same(file.predictions, given, truth)
    assert "as Ultralytics has them" in file.layout
    rows[0]["image_id"] = "unknown"
    with pytest.raises(ValueError, match=r"predictions\.json: record 0: .*'unknown' is none"):
        read(write_json(tmp_path / "predictions.json", rows), truth)


def test_detectron2_and_mmpose_results_are_coco_results(tmp_path: Path) -> None:
    truth = persons()
    given = answers(truth)
    detectron2 = [row | {"bbox": [0.0, 0.0, 50.0, 60.0]} for row in results(truth, given)]
    mmpose = [row | {"center": [1.0, 2.0], "scale": [0.5, 0.6], "id": 3} for row in results(truth, given)]
    for name, rows in (("coco_instances_results", detectron2), ("result_keypoints", mmpose)):
        same(read(write_json(tmp_path / f"{name}.json", rows), truth).predictions, given, truth)


# ---------------------------------------------------------------------------------------------------- MMPose


class Element:
    """As MMEngine's data elements are pickled: an object with a state."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


Element.__module__, Element.__qualname__ = "mmengine.structures.instance_data", "InstanceData"


def dump(truth: PersonSet, given: Predictions) -> list[dict[str, Any]]:
    samples = []
    for d in range(len(given)):
        instances = {
            "keypoints": given.joints[d : d + 1],
            "keypoint_scores": given.joint_scores[d : d + 1],
            "bbox_scores": np.full(1, 0.5, np.float32),
        }
        number = int(truth.ids[given.image[d]])
        samples.append({"img_id": number, "pred_instances": instances, "ori_shape": (120, 160), "id": d})
    return samples


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_dump_of_mmpose_is_read_without_executing_it(tmp_path: Path, protocol: int) -> None:
    truth = persons()
    given = answers(truth)
    path = tmp_path / "results.pkl"
    path.write_bytes(pickle.dumps(dump(truth, given), protocol=protocol))
    file = read(path, truth)
    same(file.predictions, given, truth)
    np.testing.assert_allclose(file.predictions.score, 0.5 * given.joint_scores.mean(axis=1), rtol=1e-6)


def test_objects_of_mmengine_come_out_as_what_they_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = persons()
    given = answers(truth)
    with monkeypatch.context() as patched:
        for name in ("mmengine", "mmengine.structures", Element.__module__):
            module = types.ModuleType(name)
            module.InstanceData = Element  # type: ignore[attr-defined]
            patched.setitem(sys.modules, name, module)
        samples = dump(truth, given)
        for sample in samples:
            sample["pred_instances"] = Element(**{f"_{k}": v for k, v in sample["pred_instances"].items()})
        path = tmp_path / "results.pkl"
        path.write_bytes(pickle.dumps(samples))
    assert "mmengine" not in sys.modules
    same(read(path, truth).predictions, given, truth)


class Harm:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


def test_a_pickle_that_would_do_something_does_nothing(tmp_path: Path) -> None:
    path = tmp_path / "results.pkl"
    path.write_bytes(pickle.dumps([Harm(tmp_path / "harmed")]))
    with pytest.raises(ValueError, match=r"results\.pkl: refused or damaged \(it names posix\.mkdir"):
        read(path, persons())
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": 1}, "no list of samples"),
        ([{"pred_instances": {}}], "sample 0: has no img_id"),
        ([{"img_id": 100, "pred_instances": {}}], "has no keypoints"),
        ([{"img_id": 100, "pred_instances": {"keypoints": np.zeros((1, 16, 2)), "keypoint_scores": np.zeros((1, 16))}}],
         "expected (persons, 17, 2)"),
    ],
)  # fmt: skip
def test_a_wrong_dump_is_one_sentence(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "r.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"r\.pkl") as told:
        read(path, persons())
    assert words in str(told.value)


# ---------------------------------------------------------------------------------------------------- DeepLabCut


def animals(truth: PersonSet, given: Predictions, individuals: bool) -> pd.DataFrame:
    """DeepLabCut's frame: rows are images, columns scorer, (individuals,) bodyparts, coords."""
    people = ["one", "two"] if individuals else [None]
    names = reversed(truth.skeleton.joints)
    rows: dict[str, dict[tuple[str, ...], float]] = {}
    for d in range(len(given)):
        row = rows.setdefault(f"labeled-data/{truth.images.name(int(given.image[d]))}", {})
        one = people[len(row) // 9] if individuals else None
        for joint in truth.skeleton.joints:
            j = truth.skeleton.index(joint)
            x, y = given.joints[d, j]
            key = ("DLC", one, joint) if one else ("DLC", joint)
            row |= {(*key, "x"): x, (*key, "y"): y, (*key, "likelihood"): given.joint_scores[d, j]}
    levels = ["scorer", "individuals", "bodyparts", "coords"] if individuals else ["scorer", "bodyparts", "coords"]
    whole = [("DLC", p, n) if p else ("DLC", n) for p in people for n in list(names) or truth.skeleton.joints]
    columns = pd.MultiIndex.from_tuples([(*k, c) for k in whole for c in ("x", "y", "likelihood")], names=levels)
    return pd.DataFrame(rows.values(), index=list(rows)).reindex(columns=columns)


@pytest.mark.parametrize("individuals", [False, True])
@pytest.mark.parametrize("kind", ["csv", "table", "fixed"])
def test_deeplabcut(tmp_path: Path, kind: str, individuals: bool) -> None:
    truth = mice()
    if individuals:
        truth = replace(truth, image=np.array([1, 1, 2, 3]))
    given = answers(truth)
    frame = animals(truth, given, individuals)
    path = tmp_path / f"mouseDLC.{'csv' if kind == 'csv' else 'h5'}"
    if kind == "csv":
        frame.to_csv(path)
    else:
        frame.to_hdf(path, key="df_with_missing", format=kind, mode="w")
    file = read(path, truth)
    same(file.predictions, given, truth)
    assert file.layout.startswith("DeepLabCut")
    if not individuals:  # one of each in every image
        assert file.predictions.person is not None
        assert file.predictions.person.tolist() == [0, 1, 2, 3]


def test_joints_without_a_position_are_said_and_score_nothing(tmp_path: Path) -> None:
    truth = mice()
    frame = animals(truth, answers(truth), False)
    frame.iloc[0, :3] = np.nan
    frame.iloc[1, :] = np.nan
    frame.to_csv(tmp_path / "a.csv")
    file = read(tmp_path / "a.csv", truth)
    assert len(file.predictions) == 3
    assert "1 joints without a position at (0, 0)" in file.layout
    assert (file.predictions.joint_scores == 0).sum() == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace("frame2", "frame9"), "frame9.png' is none of the data set's images"),
        (lambda t: t.replace("labeled-data/day1/", ""), "may be any of 2"),
        (lambda t: t.replace("snout", "nose"), "no 'snout'"),
        (lambda t: t.replace("coords", "columns"), "not scorer, (individuals,) bodyparts, coords"),
        (lambda t: t.rstrip().rsplit(",", 1)[0], "8 values, expected 9"),
        (lambda t: t.rstrip()[:-3] + "abc", "is no number"),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path: Path, change: Any, words: str) -> None:
    truth = mice()
    path = tmp_path / "a.csv"
    animals(truth, answers(truth), False).to_csv(path)
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=r"a\.csv") as told:
        read(path, truth)
    assert words in str(told.value)


# ---------------------------------------------------------------------------------------------------- SLEAP


def sleap(path: Path, truth: PersonSet, given: Predictions, version: float, listed: bool) -> Path:
    """A .slp file: one predicted instance a pose, an instance by hand before them, nodes in another order."""
    names = list(reversed(truth.skeleton.joints))
    order = [truth.skeleton.index(name) for name in names]
    about = {
        "nodes": [{"name": name, "weight": 1.0} for name in truth.skeleton.joints],
        "skeletons": [{"nodes": [{"id": j} for j in order]}],
    }
    point = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
    frame = [("frame_id", "u8"), ("video", "u4"), ("frame_idx", "u8")]
    frame += [("instance_id_start", "u8"), ("instance_id_end", "u8")]
    kind = [("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("score", "f4")]
    kind += [("point_id_start", "u8"), ("point_id_end", "u8")]
    shift = 0.5 if version < 1.1 else 0.0
    frames, instances, points = [], [(0, 0, 0, 0.0, 0, 3)], []
    for d in range(len(given)):
        frames.append((d, 0, given.image[d], d, d + 1))
        instances.append((d + 1, 1, d, 0.1 * d + 0.2, 3 * d, 3 * d + 3))
        for j in order:
            x, y = given.joints[d, j] + shift
            points.append((x, y, True, False, given.joint_scores[d, j]))
    backend = {"image_filenames": [f"/data/{n}" for n in Named.NAMES]} if listed else {"filename": "video.mp4"}
    with h5py.File(path, "w") as file:
        file.create_group("metadata").attrs.update({"json": json.dumps(about), "format_id": version})
        file["frames"] = np.array(frames, frame)
        file["instances"] = np.array(instances, kind)
        file["points"] = np.zeros(3, point)
        file["pred_points"] = np.array(points, [*point, ("score", "f8")])
        file["videos_json"] = [json.dumps({"backend": backend}).encode()]
    return path


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("version", [1.0, 1.2])
def test_sleap(tmp_path: Path, version: float, listed: bool) -> None:
    truth = mice()
    given = answers(truth)
    file = read(sleap(tmp_path / "mice.slp", truth, given, version, listed), truth)
    same(file.predictions, given, truth)
    np.testing.assert_allclose(file.predictions.score, [0.2, 0.3, 0.4, 0.5], rtol=1e-6)
    assert file.layout == "SLEAP, predicted instances"


def test_other_and_broken_hdf5_files(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = [1, 2]
    with pytest.raises(ValueError, match=r"a\.h5: holds no table of pandas"):
        read(tmp_path / "a.h5", mice())
    whole = sleap(tmp_path / "b.slp", mice(), answers(mice()), 1.2, True).read_bytes()
    (tmp_path / "b.slp").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"b\.slp: damaged"):
        read(tmp_path / "b.slp", mice())


def test_the_joints_are_told_by_name_whatever_their_spelling(tmp_path: Path) -> None:
    truth = mice()
    given = answers(truth)
    path = sleap(tmp_path / "mice.slp", truth, given, 1.2, True)
    respelled = replace(truth, skeleton=replace(MOUSE, joints=("Snout", "leftEar", "tail base")))
    same(read(path, respelled).predictions, given, respelled)
    with pytest.raises(ValueError, match="no 'nose'"):
        read(path, persons(4, 4, COCO_17))
