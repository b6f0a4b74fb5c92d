"""COCO: golden counts on real files, boxes as the released loaders make them, one sentence for every fault."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpe_bench import catalog, protocols
from hpe_bench.data import check
from hpe_bench.data.boxes import Boxes, boxes_of, every_person
from hpe_bench.data.coco import COCO, DetectionFile, annotated_boxes, counts, read_annotations, read_detections
from hpe_bench.data.crops import build_crops
from hpe_bench.data.folders import file_sha256
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.metrics.oks_ap import OksAP, evaluate_coco
from hpe_bench.run import readiness
from tests.json_faults import cut_or_flipped, faulty, one_sentence, write

MINI = COCO(folder="coco_mini", subset_sha256=protocols.COCO_MINI_SHA256)
FIXTURE = COCO(
    folder="coco_fixture",
    subset_sha256="6dbaa1cc67f0bbe7a761abbaeb7e639c91aacbfc7e34dba146352303a528628f",
    detections=DetectionFile(
        "test_coco_det_AP_H_56.json", 118, "b90eb5046d6add031ee4cd669fccb56e52a6cada42e968443e1e21e9970efa78"
    ),
)

# ---------------------------------------------------------------------------------------------------- real files


def test_golden_counts_of_the_mini_set(shared_data: Path) -> None:
    """F3: 79 images, 118 persons, 68 with keypoints on 32 images, one crowd; whatever they hold is in the truth."""
    truth = MINI.load("val2017", str(shared_data))
    assert list(counts(truth).values()) == [79, 118, 68]
    assert truth.crowd is not None
    assert truth.crowd.sum() == 1
    assert len(np.unique(truth.image[truth.labelled.any(axis=1)])) == 32
    assert truth.images.read(0).shape == (427, 640, 3)


def test_arrays_are_the_files_numbers(shared_data: Path) -> None:
    document = json.loads((shared_data / "coco_mini/annotations/person_keypoints_val2017.json").read_text())
    truth = MINI.load("val2017", str(shared_data))
    assert truth.image_ids is not None
    assert truth.image_ids.tolist() == [image["id"] for image in document["images"]]
    for row, annotation in enumerate(document["annotations"]):
        keypoints = np.array(annotation["keypoints"]).reshape(17, 3)
        np.testing.assert_array_equal(truth.joints[row], keypoints[:, :2])
        np.testing.assert_array_equal(truth.labelled[row].astype(int) + truth.visible[row], keypoints[:, 2])
        np.testing.assert_array_equal(truth.box[row], annotation["bbox"])
        assert truth.image_ids[truth.image[row]] == annotation["image_id"]
        assert truth.area[row] == annotation["area"]
        name = truth.images.name(int(truth.image[row]))
        assert name == f"{annotation['image_id']:012d}.jpg"


def test_predicting_the_truth_in_the_boxes_scores_100(shared_data: Path) -> None:
    """The boxes to predict in are exactly the persons that AP asks for."""
    root = str(shared_data)
    truth = MINI.load("val2017", root)
    boxes = MINI.boxes("val2017", root)
    assert len(boxes) == 68
    persons = boxes.persons(truth)
    assert truth.image_ids is not None
    found = [
        {
            "image_id": int(truth.image_ids[persons.image[row]]),
            "category_id": 1,
            "keypoints": np.column_stack((persons.joints[row], np.ones(17))).ravel().tolist(),
            "score": 1.0,
        }
        for row in range(len(persons))
    ]
    figures = evaluate_coco(shared_data / "coco_mini/annotations/person_keypoints_val2017.json", found)
    assert figures["ap"] == figures["ar"] == 100.0
    assert evaluate_coco(shared_data / "coco_mini/annotations/person_keypoints_val2017.json", found[1:])["ap"] < 100


def test_boxes_of_a_detector(shared_data: Path) -> None:
    """F1: the boxes are the file's, on no person's behalf, and can be cut out; F2: the file is known by its hash."""
    root = str(shared_data)
    truth, boxes = FIXTURE.load("val2017", root), FIXTURE.boxes("val2017", root)
    assert list(counts(truth).values()) == [4, 14, 12]
    assert truth.image_ids is not None
    ids = Counter(truth.image_ids[boxes.image].tolist())
    assert ids == {197388: 37, 196141: 33, 40083: 26, 785: 22}
    assert (boxes.score > 0.5).sum() == 18
    assert boxes.person is None
    assert FIXTURE.detections is not None
    assert boxes.sha256 == FIXTURE.detections.sha256
    np.testing.assert_allclose(boxes.box[0], [277.1183, 45.6997, 225.0913, 333.5603], atol=1e-4)
    persons = boxes.persons(truth)
    assert not persons.labelled.any()
    assert build_crops(persons, (64, 48), 1.25).pixels.shape == (118, 64, 48, 3)


def test_a_subset_does_not_pass_for_val2017(shared_data: Path) -> None:
    """F3, also where a protocol names the official split."""
    root = str(shared_data / "coco_mini")
    with pytest.raises(ValueError, match=r"79 images, 118 .*, but val2017 has 5,000 images, 11,004 .* must not pass"):
        COCO().load("val2017", root)
    with pytest.raises(ValueError, match="this is not val2017"):
        catalog.find_protocol("coco-val2017-gtbox").data.truth("val2017", root)
    with pytest.raises(ValueError, match=r"its SHA-256 is 6dbaa1c.*expected 318ac76"):
        MINI.load("val2017", str(shared_data / "coco_fixture"))


def test_evaluators_oracles_load(shared_data: Path) -> None:
    folder = shared_data / "coco_eval_oracle"
    found = read_annotations(folder / "fakekeypoints100/person_keypoints_val2014_100.json", folder).persons
    assert list(counts(found).values()) == [100, 256, 139]
    assert found.crowd is not None
    assert found.crowd.sum() == 6
    with pytest.raises(ValueError, match=r"gt.json: its category's 'keypoints' are not those of coco-17"):
        read_annotations(folder / "crowdpose_example/gt.json", folder)


def test_published_ap_through_the_loader(shared_data: Path) -> None:
    """cocoapi's example: AP .372, AP50 .636, AP75 .348, AP(M) .384, AP(L) .386, AR .514, on images with nobody, too."""
    folder = shared_data / "coco_eval_oracle" / "fakekeypoints100"
    truth = read_annotations(folder / "person_keypoints_val2014_100.json", folder).persons
    found = json.loads((folder / "person_keypoints_val2014_fakekeypoints100_results.json").read_text())
    assert truth.image_ids is not None
    position = {int(image_id): i for i, image_id in enumerate(truth.image_ids)}
    keypoints = np.array([d["keypoints"] for d in found]).reshape(-1, 17, 3)
    predictions = Predictions(
        image=np.array([position[d["image_id"]] for d in found]),
        joints=keypoints[..., :2].astype(float),
        joint_scores=np.ones(keypoints.shape[:2]),
        score=np.array([d["score"] for d in found]),
    )
    scores = OksAP().evaluate_predictions(truth, predictions)
    wanted = {"ap": 37.2, "ap50": 63.6, "ap75": 34.8, "ap_medium": 38.4, "ap_large": 38.6, "ar": 51.4}
    assert {s.key: round(s.value, 1) for s in scores if s.key in wanted} == wanted


# ---------------------------------------------------------------------------------------------------- made-up files


def person(number: int, image_id: int, labelled: int = 17, **fields: Any) -> dict[str, Any]:
    keypoints = [v for j in range(17) for v in ((10 + j, 20 + j, 1 + j % 2) if j < labelled else (0, 0, 0))]
    usual = {"area": 900.0, "iscrowd": 0, "bbox": [5.0, 6.0, 30.5, 40], "num_keypoints": labelled}
    return {"id": number, "image_id": image_id, "category_id": 1, "keypoints": keypoints, **usual, **fields}


def document(images: int = 2) -> dict[str, Any]:
    """Two persons on the first image, one without keypoints and a crowd on the second."""
    return {
        "images": [{"id": 10 + i, "file_name": f"{i}.jpg", "height": 60, "width": 80} for i in range(images)],
        "annotations": [person(1, 10), person(2, 10, 3), person(3, 11, 0), person(4, 11, 5, iscrowd=1)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.joints)}],
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder laid out like COCO with `document`."""
    write(tmp_path / "annotations" / "person_keypoints_val2017.json", document())
    (tmp_path / "val2017").mkdir()
    for name in ("0.jpg", "1.jpg"):
        cv2.imwrite(str(tmp_path / "val2017" / name), np.zeros((60, 80, 3), np.uint8))
    return tmp_path


def test_the_official_counts_pass_and_one_person_less_does_not(tmp_path: Path) -> None:
    """5,000 images, 11,004 persons, 6,352 with keypoints."""
    full = document(5000)
    full["annotations"] = [person(n + 1, 10 + n % 2693, 17 if n < 6352 else 0) for n in range(11_004)]
    path = tmp_path / "coco" / "annotations" / "person_keypoints_val2017.json"
    write(path, full)
    assert len(COCO().truth("val2017", str(tmp_path))) == 11_004
    write(path, {**full, "annotations": full["annotations"][:-1]})
    with pytest.raises(ValueError, match="11,003 annotated persons"):
        COCO().truth("val2017", str(tmp_path))


def test_truth_needs_no_images_but_load_does(root: Path) -> None:
    pinned = COCO(subset_sha256=file_sha256(root / "annotations" / "person_keypoints_val2017.json"))
    (root / "val2017" / "1.jpg").unlink()
    assert len(pinned.truth("val2017", str(root))) == 4
    assert len(pinned.boxes("val2017", str(root))) == 2
    with pytest.raises(ValueError, match=r"1\.jpg: 1 of 2 images are missing"):
        pinned.load("val2017", str(root))


def test_crowds_and_persons_without_keypoints_are_truth_but_not_predicted(root: Path) -> None:
    found = read_annotations(root / "annotations" / "person_keypoints_val2017.json", root / "val2017")
    assert found.persons.crowd is not None
    assert found.persons.crowd.tolist() == [False, False, False, True]
    boxes = annotated_boxes(found)
    assert boxes.person is not None
    assert boxes.person.tolist() == [0, 1]
    assert boxes.persons(found.persons).labelled.sum(axis=1).tolist() == [17, 3]
    np.testing.assert_allclose(boxes.box[0], [5, 6, 29.5, 39])


def cut_to_image(box: list[float], height: int, width: int) -> list[float] | None:
    """The released loaders' cleaning of a box, number by number; None where they drop it."""
    x, y, w, h = box
    x1, y1 = max(0, x), max(0, y)
    x2, y2 = min(width - 1, x1 + max(0, w - 1)), min(height - 1, y1 + max(0, h - 1))
    return [x1, y1, x2 - x1, y2 - y1] if x2 >= x1 and y2 >= y1 else None


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-50, 120), st.floats(-50, 120), st.floats(0.1, 200), st.floats(0.1, 200)), min_size=1)
)
def test_boxes_are_cut_as_the_released_loaders_cut_them(tmp_path_factory: pytest.TempPathFactory, boxes: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "boxes.json"
    write(path, {**document(), "annotations": [person(i + 1, 10, bbox=list(box)) for i, box in enumerate(boxes)]})
    found = annotated_boxes(read_annotations(path, path.parent))
    wanted = [cut_to_image(list(box), 60, 80) for box in boxes]
    kept = [row for row, box in enumerate(wanted) if box is not None and max(box[2:]) > 0]
    assert found.person is not None
    assert found.person.tolist() == kept
    np.testing.assert_allclose(found.box, np.array([wanted[row] for row in kept]).reshape(-1, 4), atol=1e-12)


def test_other_data_sets_are_predicted_in_every_persons_box(tmp_path: Path) -> None:
    source = Mannequins(train_persons=1, test_persons=3)
    truth = source.load("test", str(tmp_path))
    boxes = boxes_of(source, truth, "test", str(tmp_path))
    assert boxes.person is not None
    assert boxes.person.tolist() == [0, 1, 2]
    assert boxes.persons(truth).digest() == truth.digest() == every_person(truth).persons(truth).digest()


def test_boxes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"box has shape \(2, 3\), expected \(2, 4\)"):
        Boxes(np.zeros(2, int), np.zeros((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match="box or score of box 1 is not finite"):
        Boxes(np.zeros(2, int), np.zeros((2, 4)), np.array([1.0, np.nan]))


# ---------------------------------------------------------------------------------------------------- check


def test_check_accepts_subsets_as_subsets(shared_data: Path) -> None:
    rows = check.check("coco", str(shared_data))
    assert all(row.ok for row in rows), [row for row in rows if not row.ok]
    said = [row.found for row in rows if row.what.endswith("holds")]
    assert len(said) == 2
    assert all("a subset: not val2017" in text for text in said)
    assert any("118 person boxes, SHA-256 b90eb504" in row.found for row in rows)


def test_check_names_what_is_wrong(root: Path) -> None:
    (root / "val2017" / "0.jpg").unlink()
    cv2.imwrite(str(root / "val2017" / "1.jpg"), np.zeros((61, 80, 3), np.uint8))
    wrong = {row.what.rpartition(", ")[2]: row for row in check.check("coco", str(root)) if not row.ok}
    assert wrong["images"].found == "1"
    assert wrong["unreadable images or of another size"].found == "1.jpg"
    (root / "annotations" / "person_keypoints_val2017.json").write_text('{"images": [')
    (row,) = [row for row in check.check("coco", str(root)) if not row.ok]
    assert "not a whole json file" in row.found


def test_readiness_is_what_loading_says(shared_data: Path, tmp_path: Path) -> None:
    """The mini set is enough for its own protocol and for no other."""
    (tmp_path / "coco").symlink_to(shared_data / "coco_mini")
    (tmp_path / "coco_mini").symlink_to(shared_data / "coco_mini")
    found = {(r.protocol, r.use): r.missing for r in readiness.readiness("coco", str(tmp_path))}
    assert found["coco-mini-gtbox", "score a file"] == found["coco-mini-gtbox", "run a model"] == ""
    assert "person_keypoints_train2017.json" in found["coco-mini-gtbox", "train a model"]
    for name in ("coco-val2017-gtbox", "coco-val2017-det56"):
        assert "this is not val2017" in found[name, "score a file"]
        assert "this is not val2017" in found[name, "run a model"]


# ---------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["categories"][0].pop("keypoints"), "0 categories have keypoints.*another task"),
        (lambda d: d.pop("categories"), "another task"),
        (lambda d: d["categories"][0]["keypoints"].pop(), "not those of coco-17"),
        (lambda d: d["annotations"][1].pop("keypoints"), "annotation 1 has no 'keypoints'"),
        (lambda d: d["annotations"][1]["keypoints"].pop(), "annotation 1: 'keypoints' has 50 values, expected 51"),
        (lambda d: d["annotations"][0]["keypoints"].__setitem__(3, float("nan")), "annotation 0: .* value 3 is nan"),
        (lambda d: d["annotations"][0]["keypoints"].__setitem__(2, 3), "flag other than 0, 1 and 2"),
        (lambda d: d["annotations"][0].update(num_keypoints=4), "'num_keypoints' is 4, but 17 are labelled"),
        (lambda d: d["annotations"][0].update(image_id=5), "'image_id' 5 is none of the annotated images"),
        (lambda d: d["annotations"][0].update(category_id=3), "'category_id' is 3, expected 1"),
        (lambda d: d["annotations"][0].update(id=3), "annotations 0 and 2 have the same 'id' 3"),
        (lambda d: d["images"][0].update(id=11), "images 0 and 1 have the same 'id' 11"),
        (lambda d: d["annotations"][0].update(bbox=[5, 6, 0, 9]), "'bbox' is .* with some width and height"),
        (lambda d: d["annotations"][2].update(bbox=[5, 6, -1, 9]), "'bbox' is .* with some width and height"),
        (lambda d: d["annotations"][0].update(area=-2), "'area' is -2"),
        (lambda d: d["images"][0].update(height=0), "expected positive numbers"),
        (lambda d: d["images"][0].update(file_name="../../secret.jpg"), "leads out of the folder"),
    ],
)
def test_faults_are_named_by_file_record_and_field(root: Path, change: Any, words: str) -> None:
    path = root / "annotations" / "person_keypoints_val2017.json"
    damaged = document()
    change(damaged)
    write(path, damaged)
    with pytest.raises(ValueError, match=rf"person_keypoints_val2017.json.*{words}") as caught:
        read_annotations(path, root)
    one_sentence(caught.value, path)


def test_missing_pieces_say_what_belongs_there(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"name the folder that holds coco/ \(annotations/.* with --root"):
        COCO().load("val2017", None)
    with pytest.raises(ValueError, match=r"nowhere: no such folder"):
        COCO().load("val2017", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"val2017: no coco/annotations here"):
        COCO().load("val2017", str(root / "val2017"))
    with pytest.raises(ValueError, match=r"no split 'test2017' with keypoints; use one of train2017, val2017"):
        COCO().load("test2017", str(root))
    with pytest.raises(ValueError, match=r"person_keypoints_train2017.json: cannot be read"):
        COCO().load("train2017", str(root))
    truth = read_annotations(root / "annotations" / "person_keypoints_val2017.json", root).persons
    with pytest.raises(ValueError, match=r"COCO_val2017_detections_AP_H_56_person.json: cannot be read"):
        read_detections(root / protocols.DETECTIONS_56.file, truth)


def test_a_detection_file_is_held_against_its_number_of_boxes(shared_data: Path) -> None:
    wrong = COCO(
        folder="coco_fixture",
        subset_sha256=FIXTURE.subset_sha256,
        detections=DetectionFile("test_coco_det_AP_H_56.json", 104_125),
    )
    with pytest.raises(ValueError, match=r"118 person boxes, expected 104,125; boxes of another detector"):
        wrong.boxes("val2017", str(shared_data))


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_change_loads_or_is_one_sentence(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "coco_faults.json"
    write(path, data.draw(faulty(document())))
    if data.draw(st.booleans()):
        path.write_bytes(cut_or_flipped(path, data.draw))
    try:
        found = read_annotations(path, path.parent)
    except ValueError as error:
        one_sentence(error, path)
    else:
        assert len(found.sizes_hw) == len(found.images)
        assert len(annotated_boxes(found)) <= len(found.persons)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_change_of_a_detection_file_loads_or_is_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "detection_faults.json"
    write(path, document())
    truth = read_annotations(path, path.parent).persons
    boxes = [{"image_id": 10 + i % 2, "category_id": 1, "bbox": [1, 2.5, 30, 40], "score": 0.5} for i in range(3)]
    write(path, data.draw(faulty(boxes)))
    if data.draw(st.booleans()):
        path.write_bytes(cut_or_flipped(path, data.draw))
    try:
        found = read_detections(path, truth)
    except ValueError as error:
        one_sentence(error, path)
    else:
        assert set(found.image.tolist()) <= {0, 1}
