"""MPII: the published PCKh through the loader, the released crop rule, one sentence for every fault."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from hpe_bench import catalog, protocols
from hpe_bench.data import check, export
from hpe_bench.data.crops import box_to_affine
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.data.mpii import MPII, read_annotations, with_official_truth
from hpe_bench.data.skeletons import MPII_16
from hpe_bench.run import readiness
from tests.json_faults import cut_or_flipped, faulty, one_sentence, write

# ---------------------------------------------------------------------------------------------------- real files


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real validation annotations in the usual layout, without images."""
    root = tmp_path_factory.mktemp("mpii")
    (root / "mpii" / "annot").mkdir(parents=True)
    for name in ("valid.json", "gt_valid.mat"):
        shutil.copy(shared_data / "mpii_eval_oracle" / name, root / "mpii" / "annot")
    return root


def test_published_pckh_through_the_loader(real: Path, shared_data: Path) -> None:
    """The stacked hourglass's predictions (1-based) under `mpii-val`: 88.035, 28.647 and 32.805."""
    protocol = catalog.find_protocol("mpii-val")
    truth = protocol.data.truth(protocol.test_split, str(real))
    assert (len(truth), len(truth.images)) == (2958, 2729)  # F3
    predicted = np.load(shared_data / "mpii_eval_oracle" / "preds_hourglass.npy").astype(float) - 1
    found = [metric.evaluate(truth, predicted, np.ones((2958, 16)))[0] for metric in protocol.metrics]
    assert [(s.key, round(s.value, 3)) for s in found] == [
        ("pckh@0.5", 88.035),
        ("pckh@0.10", 28.647),
        ("pckh@0.11", 32.805),
    ]


def test_the_jsons_joints_against_the_mats_truth(real: Path) -> None:
    """13 joints of the mat are wrongly 0: 99.97 and not 100, and they are left alone."""
    root = real / "mpii" / "annot"
    listed = read_annotations(root / "valid.json", root)
    truth = MPII().truth("valid", str(real))
    apart = (np.abs(listed.joints - truth.joints).max(axis=-1) > 1) & truth.labelled
    assert apart.sum() == 13
    assert sorted({*np.flatnonzero(apart.any(axis=1))}) == [682, 786, 1081, 1897, 2636, 2739, 2763, 2775, 2897, 2921]
    value = protocols.MPII_VAL.metrics[0].evaluate(truth, listed.joints, np.ones((2958, 16)))[0].value
    assert round(value, 2) == 99.97
    assert truth.labelled.sum() == 44_240
    assert (truth.visible <= truth.labelled).all()


def test_boxes_are_the_released_crop(real: Path) -> None:
    """Centre 1-based and moved down by 15 scale, side 200 * 1.25 scale: the first person by the released rule."""
    first = json.loads((real / "mpii" / "annot" / "valid.json").read_text())[0]
    (x, y), scale = first["center"], first["scale"]
    x, y = x - 1, y + 15 * scale - 1
    box = MPII().truth("valid", str(real)).box[:1]
    affine = box_to_affine(box, (256, 256), protocols.MPII_VAL.padding)[0]
    per_px = 256 / (200 * 1.25 * scale)
    np.testing.assert_allclose(affine, [[per_px, 0, 128 - x * per_px], [0, per_px, 128 - y * per_px]])


def test_images_are_wanted_by_load_alone(real: Path) -> None:
    with pytest.raises(ValueError, match=r"005808361\.jpg: 2729 of 2729 images are missing"):
        MPII().load("valid", str(real))


def test_check_and_readiness_tell_annotations_from_images(real: Path) -> None:
    rows = {row.what: row for row in check.check("mpii", str(real))}
    assert rows["annot/valid.json, persons"].ok
    assert rows["annot/gt_valid.mat"].ok
    assert rows["annot/train.json"].found == "not there"
    assert (rows["valid, images"].found, rows["valid, images"].ok) == ("0", False)
    found = {r.use: r.missing for r in readiness.readiness("mpii", str(real))}
    assert found["score a file"] == ""
    assert "2729 of 2729 images are missing" in found["run a model"]
    assert "train.json: cannot be read" in found["train a model"]


# ---------------------------------------------------------------------------------------------------- made-up files


def person(**fields: Any) -> dict[str, Any]:
    joints = [[30.0 + j, 40.5 + j] for j in range(16)]
    usual = {"image": "a.jpg", "center": [50.0, 60.0], "scale": 0.5, "joints": joints, "joints_vis": [1] * 16}
    return {**usual, **fields}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three persons on two images, with a gt_valid.mat that agrees."""
    write(tmp_path / "valid.json", [person(), person(image="b.jpg"), person()])
    joints = np.array([person()["joints"]] * 3).transpose(1, 2, 0)
    heads = np.tile(np.array([[10.0, 10.0], [13.0, 14.0]])[..., None], (1, 1, 3))
    arrays = {"jnt_missing": np.zeros((16, 3)), "pos_gt_src": joints, "headboxes_src": heads}
    savemat(tmp_path / "gt_valid.mat", arrays)
    return tmp_path


def test_persons_share_images_and_head_sizes_are_06_of_the_diagonal(folder: Path) -> None:
    truth = with_official_truth(read_annotations(folder / "valid.json", folder), folder / "gt_valid.mat")
    assert truth.image.tolist() == [0, 1, 0]
    assert [truth.images.name(i) for i in range(2)] == ["a.jpg", "b.jpg"]
    np.testing.assert_allclose(truth.head_size, 0.6 * 5)
    np.testing.assert_allclose(truth.joints[0, 0], [29, 39.5])


def test_hidden_joints_are_told_where_the_json_tells_them(folder: Path) -> None:
    write(folder / "valid.json", [person(joints_visible=[0] + [1] * 15), person(joints_vis=[0] + [1] * 15)])
    found = read_annotations(folder / "valid.json", folder)
    assert found.labelled[:, 0].tolist() == [True, False]
    assert found.visible[:, 0].tolist() == [False, False]
    assert found.visible[:, 1:].all()


def test_an_export_reads_back(tmp_path: Path) -> None:
    persons = Mannequins(train_persons=1, test_persons=6, joints_as="mpii-16").load("test", str(tmp_path / "cache"))
    export.export_mpii(persons, tmp_path / "out")
    annotations = tmp_path / "out" / export.MPII_JSON
    found = with_official_truth(
        read_annotations(annotations, tmp_path / "out" / "images"), tmp_path / "out" / export.MPII_MAT
    )
    assert np.array_equal(found.labelled, persons.labelled)
    np.testing.assert_allclose(found.joints[found.labelled], persons.joints[persons.labelled], atol=1e-9)
    np.testing.assert_allclose(found.head_size, persons.head_size)
    assert np.array_equal(found.images.read(0), persons.images.read(0))


# ---------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"joints": [[1, 2]] * 14}, "'joints' has 14, expected 16 pairs"),
        ({"joints": [[1, float("nan")]] * 16}, "joint 0: 'joints', value 1 is nan"),
        ({"joints_vis": [1] * 15}, "'joints_vis' has 15 values, expected 16"),
        ({"joints_vis": [2] * 16}, "'joints_vis' has a flag other than 0 and 1"),
        ({"joints_vis": [0] * 16, "joints_visible": [1] * 16}, "marks a joint that 'joints_vis' does not"),
        ({"scale": 0}, "'scale' is 0.0, expected the person's height"),
        ({"center": [5]}, "'center' has 1 values, expected 2"),
        ({"image": "../a.jpg"}, "leads out of the folder"),
    ],
)
def test_faults_are_named_by_file_record_and_field(folder: Path, change: dict[str, Any], words: str) -> None:
    path = folder / "valid.json"
    write(path, [person(), person(**change)])
    with pytest.raises(ValueError, match=rf"valid.json: person 1.*{words}") as caught:
        read_annotations(path, folder)
    one_sentence(caught.value, path)


def test_a_subset_does_not_pass_for_the_split(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "annot").mkdir()
    shutil.move(folder / "valid.json", tmp_path / "annot")
    with pytest.raises(ValueError, match=r"3 persons, but MPII's valid split has 2,958"):
        MPII().truth("valid", str(tmp_path))
    with pytest.raises(ValueError, match=r"no split 'test' with published joints; use one of train, valid"):
        MPII().truth("test", str(tmp_path))
    with pytest.raises(ValueError, match=r"no mpii/annot here"):
        MPII().truth("valid", str(tmp_path / "annot"))


def test_a_mat_of_other_persons_is_refused(folder: Path) -> None:
    persons = read_annotations(folder / "valid.json", folder)
    write(folder / "more.json", [person()] * 4)
    with pytest.raises(ValueError, match=r"jnt_missing is \(16, 3\), expected \(16, 4\)"):
        with_official_truth(read_annotations(folder / "more.json", folder), folder / "gt_valid.mat")
    write(folder / "other.json", [person(), person(joints=[[9.0, 9.0]] * 16), person()])
    with pytest.raises(ValueError, match=r"16 of 48 joints differ .* person 1; the files do not list the same persons"):
        with_official_truth(read_annotations(folder / "other.json", folder), folder / "gt_valid.mat")
    write(folder / "missing.json", [person(), person(), person(joints_vis=[0] * 16)])
    with pytest.raises(ValueError, match=r"person 2 has other joints missing"):
        with_official_truth(read_annotations(folder / "missing.json", folder), folder / "gt_valid.mat")
    assert len(persons.skeleton.joints) == len(MPII_16.joints)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_change_loads_or_is_one_sentence(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "mpii_faults.json"
    write(path, data.draw(faulty([person(), person(image="b.jpg", joints_visible=[1] * 16)])))
    if data.draw(st.booleans()):
        path.write_bytes(cut_or_flipped(path, data.draw))
    try:
        assert len(read_annotations(path, path.parent)) > 0
    except ValueError as error:
        one_sentence(error, path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_of_the_mat_loads_or_is_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    write(folder / "one.json", [person()])
    joints = np.array([person()["joints"]]).transpose(1, 2, 0)
    arrays = {"jnt_missing": np.zeros((16, 1)), "pos_gt_src": joints, "headboxes_src": np.ones((2, 2, 1))}
    arrays["headboxes_src"][1] = 9.0
    path = folder / "faulty.mat"
    savemat(path, arrays, do_compression=data.draw(st.booleans()))
    path.write_bytes(cut_or_flipped(path, data.draw))
    try:
        with_official_truth(read_annotations(folder / "one.json", folder), path)
    except ValueError as error:
        one_sentence(error, path)
