"""COCO's test images: predictions for the server, and nobody to score against."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from hpe_bench import catalog, protocols
from hpe_bench.data.coco import DetectionFile
from hpe_bench.data.coco_test import COCOTest
from hpe_bench.data.folders import file_sha256
from hpe_bench.declare import Protocol, replace
from hpe_bench.run import prediction
from tests.test_predictors import here

IDS = (917, 34)  # in the order of the file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two black images with a light each, three boxes around the lights."""
    folder = tmp_path / "coco"
    for part in ("annotations", "test2017", "person_detection_results"):
        (folder / part).mkdir(parents=True)
    images, boxes = [], []
    for id, (x, y) in zip(IDS, ((60, 50), (80, 70)), strict=True):
        image = np.zeros((120, 160, 3), np.uint8)
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
        cv2.imwrite(str(folder / "test2017" / f"{id:012d}.png"), image)
        images.append({"id": id, "file_name": f"{id:012d}.png", "height": 120, "width": 160})
        boxes.append({"image_id": id, "category_id": 1, "bbox": [x - 30, y - 40, 60, 80], "score": 0.5})
    boxes.append({"image_id": IDS[0], "category_id": 3, "bbox": [0, 0, 9, 9], "score": 0.9})  # no person
    (folder / "annotations" / "image_info_test-dev2017.json").write_text(json.dumps({"images": images}))
    (folder / "person_detection_results" / "d.json").write_text(json.dumps(boxes))
    return tmp_path


def small(root: Path) -> Protocol:
    """The protocol on these images."""
    listed = root / "coco" / "annotations" / "image_info_test-dev2017.json"
    data = COCOTest(subset_sha256=file_sha256(listed), detections=DetectionFile("d.json", boxes=None))
    return replace(protocols.COCO_TEST_DEV, data=data)


def test_predictions_are_written_for_the_server(root: Path) -> None:
    task = prediction.task_of_protocol(small(root), str(root))
    assert len(task.truth) == 0
    model = here("in_crop")
    written = json.loads(prediction.as_coco_results(task, prediction.answer(task, model), model))
    assert [(r["image_id"], r["category_id"]) for r in written] == [(917, 1), (34, 1)]
    for record, spot in zip(written, ((60, 50), (80, 70)), strict=True):
        assert np.abs(np.reshape(record["keypoints"], (17, 3))[:, :2] - spot).max() < 1.5


def test_it_is_predicted_in_and_never_scored(root: Path) -> None:
    name = "coco-test-dev2017-det61"
    assert catalog.find_predicted(name) is protocols.COCO_TEST_DEV
    assert catalog.find_predicted("lsp-pc") is protocols.LSP_PC
    with pytest.raises(ValueError, match=f"server scores it.*predict --protocol {name} --to results.json"):
        catalog.find_protocol(name)
    with pytest.raises(ValueError, match="2 images, but test-dev2017 has 20,288; fetch the official file"):
        prediction.task_of_protocol(protocols.COCO_TEST_DEV, str(root))
    (root / "coco" / "test2017" / f"{34:012d}.png").unlink()
    with pytest.raises(ValueError, match="1 of 2 images are missing"):
        prediction.task_of_protocol(small(root), str(root))
