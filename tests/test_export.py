"""Exports are read back with the tools they are meant for."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hpe_bench.data import export
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.data.persons import PersonSet

SMALL = Mannequins(train_persons=1, test_persons=24)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def coco_persons(root: str) -> PersonSet:
    return SMALL.load("test", root)


@pytest.fixture(scope="module")
def mpii_persons(root: str) -> PersonSet:
    return replace(SMALL, joints_as="mpii-16").load("test", root)


def quiet_ap(annotations: Path, joints: np.ndarray, persons: PersonSet) -> float:
    """AP of detections at the given joints [N,17,2], by pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        found = [
            {
                "image_id": int(image) + 1,
                "category_id": 1,
                "keypoints": np.column_stack((xy, np.ones(17))).ravel().tolist(),
                "score": 1.0,
            }
            for image, xy in zip(persons.image, joints, strict=True)
        ]
        evaluation = COCOeval(truth, truth.loadRes(found), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def test_coco_round_trip_through_pycocotools(tmp_path: Path, coco_persons: PersonSet) -> None:
    export.export_coco(coco_persons, tmp_path / "coco")
    path = tmp_path / "coco" / export.COCO_JSON
    assert quiet_ap(path, coco_persons.joints, coco_persons) == pytest.approx(1.0)
    assert quiet_ap(path, coco_persons.joints + 30, coco_persons) < 0.2
    document = json.loads(path.read_text())
    assert len(document["images"]) == len(coco_persons.images)
    for row, annotation in enumerate(document["annotations"]):
        flags = np.array(annotation["keypoints"]).reshape(17, 3)[:, 2]
        assert np.array_equal(flags > 0, coco_persons.labelled[row])
        assert np.array_equal(flags == 2, coco_persons.visible[row])
        assert annotation["num_keypoints"] == coco_persons.labelled[row].sum()
        assert annotation["area"] == coco_persons.area[row]
        assert annotation["iscrowd"] == 0
    assert {1, 2} <= {int(f) for a in document["annotations"] for f in a["keypoints"][2::3]}
    limbs = np.array(document["categories"][0]["skeleton"])
    assert limbs.min() == 1
    assert limbs.max() == 17


def test_exported_images_are_unchanged(tmp_path: Path, coco_persons: PersonSet) -> None:
    export.export_coco(coco_persons, tmp_path / "coco")
    names = [image["file_name"] for image in json.loads((tmp_path / "coco" / export.COCO_JSON).read_text())["images"]]
    for i in (0, len(names) - 1):
        pixels = cv2.imread(str(tmp_path / "coco" / "images" / names[i]))[..., ::-1]
        assert np.array_equal(pixels, coco_persons.images.read(i))


def test_mpii_round_trip(tmp_path: Path, mpii_persons: PersonSet) -> None:
    export.export_mpii(mpii_persons, tmp_path / "mpii")
    rows = json.loads((tmp_path / "mpii" / export.MPII_JSON).read_text())
    joints = np.array([row["joints"] for row in rows]) - 1
    labelled = np.array([row["joints_vis"] for row in rows], bool)
    assert np.array_equal(labelled, mpii_persons.labelled)
    assert np.abs(joints - mpii_persons.joints)[labelled].max() < 1e-9
    assert (joints[~labelled] == -2).all()
    height_px = np.array([row["scale"] for row in rows]) * 200
    assert np.allclose(height_px, mpii_persons.box[:, 2:].max(1))
    assert all((tmp_path / "mpii" / "images" / row["image"]).exists() for row in rows)


def test_mpii_arrays_score_perfect_predictions_at_100(tmp_path: Path, mpii_persons: PersonSet) -> None:
    """PCKh@0.5 as the common evaluators compute it from gt_valid.mat."""
    export.export_mpii(mpii_persons, tmp_path / "mpii")
    mat = scipy.io.loadmat(tmp_path / "mpii" / export.MPII_MAT)
    n = len(mpii_persons)
    assert mat["jnt_missing"].shape == (16, n)
    assert mat["pos_gt_src"].shape == (16, 2, n)
    assert mat["headboxes_src"].shape == (2, 2, n)
    assert [str(name[0]) for name in mat["dataset_joints"][0]][:3] == ["rank", "rkne", "rhip"]
    heads = 0.6 * np.linalg.norm(mat["headboxes_src"][1] - mat["headboxes_src"][0], axis=0)
    assert np.allclose(heads, mpii_persons.head_size)
    predicted = (mpii_persons.joints + 1).transpose(1, 2, 0)
    present = 1 - mat["jnt_missing"]
    error = np.linalg.norm(predicted - mat["pos_gt_src"], axis=1) / heads * present
    assert ((error <= 0.5) * present).sum() == present.sum() == mpii_persons.labelled.sum()


def test_mpii_layout_refuses_another_skeleton(tmp_path: Path, coco_persons: PersonSet) -> None:
    with pytest.raises(ValueError, match="needs the skeleton mpii-16"):
        export.export_mpii(coco_persons, tmp_path / "mpii")
    assert list(tmp_path.iterdir()) == []


def test_target_with_files_is_refused_and_left_alone(tmp_path: Path, coco_persons: PersonSet) -> None:
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco" / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="not an empty folder"):
        export.export_coco(coco_persons, tmp_path / "coco")
    assert [p.name for p in (tmp_path / "coco").iterdir()] == ["mine.txt"]


def test_export_into_an_empty_folder(tmp_path: Path, coco_persons: PersonSet) -> None:
    (tmp_path / "coco").mkdir()
    export.export_coco(coco_persons, tmp_path / "coco")
    assert (tmp_path / "coco" / export.COCO_JSON).exists()


def test_failed_export_leaves_nothing(tmp_path: Path, coco_persons: PersonSet) -> None:
    class Broken:
        """Images of which the fifth cannot be read."""

        def __len__(self) -> int:
            return len(coco_persons.images)

        def name(self, index: int) -> str:
            return coco_persons.images.name(index)

        def digest(self) -> str:
            return "broken"

        def read(self, index: int) -> np.ndarray:
            if index == 4:
                raise ValueError("image 4 is gone")
            return coco_persons.images.read(index)

    with pytest.raises(ValueError, match="image 4 is gone"):
        export.export_coco(replace(coco_persons, images=Broken()), tmp_path / "coco")
    assert list(tmp_path.iterdir()) == []
