"""CrowdPose: the published numbers of its example, who counts, one sentence for every fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpe_bench.catalog import find_protocol
from hpe_bench.data import check
from hpe_bench.data.crowdpose import CrowdPose, read_annotations
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files import coco_results
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import CROWDPOSE_14
from hpe_bench.metrics.average_precision import evaluate
from hpe_bench.metrics.crowdpose_ap import CrowdPoseAP


def document(flags: list[int], crowding: float = 0.5) -> dict[str, Any]:
    """One image with one person in a box of 40x100, whose joints have the given flags."""
    keypoints = [value for i, flag in enumerate(flags) for value in (10 + i, 20 + 5 * i, flag)]
    return {
        "images": [{"id": 7, "file_name": "7.jpg", "height": 200, "width": 100, "crowdIndex": crowding}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(CROWDPOSE_14.joints)}],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [0, 0, 40, 100],
                "keypoints": keypoints,
                "num_keypoints": sum(flag > 0 for flag in flags[:12]),
            }
        ],
    }


def read(tmp_path: Path, content: dict[str, Any]) -> PersonSet:
    path = tmp_path / "crowdpose_test.json"
    path.write_text(json.dumps(content))
    return read_annotations(path, tmp_path).persons


def test_published_numbers_of_the_example(shared_data: Path) -> None:
    folder = shared_data / "coco_eval_oracle" / "crowdpose_example"
    truth = read_annotations(folder / "gt.json", folder).persons
    found = CrowdPoseAP().all_figures(truth, coco_results.read(folder / "dets.json", truth).predictions)
    values = {score.key: score.value / 100 for score in found}
    published = json.loads((folder / "expected.json").read_text())["published"]
    names = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ar": "AR", "ar50": "AR50", "ar75": "AR75"}
    for key, name in names.items():
        assert values.pop(key) == pytest.approx(published[name], abs=1e-12)
    for level in ("easy", "medium", "hard"):  # printed to four decimals
        assert round(values.pop(f"ap_crowding_{level}"), 4) == published[f"AP_{level}"]
    assert not values
    assert {s.key: s.n for s in found if "crowding" in s.key} == {
        "ap_crowding_easy": 1,
        "ap_crowding_medium": 5,
        "ap_crowding_hard": 3,
    }


def test_areas_are_a_share_of_boxes_and_images_say_how_crowded_they_are(tmp_path: Path) -> None:
    truth = read(tmp_path, document([2] * 14, crowding=0.25))
    assert truth.area.tolist() == [0.53 * 40 * 100]
    assert truth.crowding is not None
    assert truth.crowding.tolist() == [0.25]


def test_a_person_known_by_head_and_neck_alone_need_not_be_found(tmp_path: Path) -> None:
    assert not read(tmp_path, document([0] * 12 + [1, 1])).labelled.any()
    assert read(tmp_path, document([1] + [0] * 11 + [1, 1])).labelled.sum() == 3


def test_a_level_is_scored_as_if_there_were_no_other_images(tmp_path: Path) -> None:
    """AP within some images equals AP of a file that holds only these."""
    content = document([2] * 14)
    image, person = content["images"][0], content["annotations"][0]
    content["images"] = [{**image, "id": i, "crowdIndex": 0.3 * i} for i in range(4)]
    content["annotations"] = [{**person, "id": i, "image_id": i} for i in range(4)]
    truth = read(tmp_path, content)
    rng = np.random.default_rng(0)
    joints = truth.joints + rng.normal(0, 4, truth.joints.shape)
    predictions = Predictions(np.arange(4), joints, np.ones((4, 14)), rng.random(4))
    chosen = np.array([False, True, True, False])
    part = evaluate(truth, predictions).within(chosen).figures()
    content["images"], content["annotations"] = content["images"][1:3], content["annotations"][1:3]
    alone = Predictions(np.arange(2), joints[1:3], np.ones((2, 14)), predictions.score[1:3])
    assert part == pytest.approx(evaluate(read(tmp_path, content), alone).figures(), abs=1e-12)


def test_faults_are_named(tmp_path: Path) -> None:
    content = document([2] * 14)
    del content["images"][0]["crowdIndex"]
    with pytest.raises(ValueError, match=r"image 0.*crowdIndex"):
        read(tmp_path, content)
    with pytest.raises(ValueError, match=r"image 0: 'crowdIndex' is 1.5"):
        read(tmp_path, document([2] * 14, crowding=1.5))
    content = document([2] * 14)
    content["annotations"][0]["num_keypoints"] = 14
    with pytest.raises(ValueError, match="'num_keypoints' is 14, but 12"):
        read(tmp_path, content)
    with pytest.raises(ValueError, match="how crowded"):
        CrowdPoseAP().all_figures(
            PersonSet(**{**vars(read(tmp_path, document([2] * 14))), "crowding": None}),
            Predictions(np.zeros(0, int), np.zeros((0, 14, 2)), np.zeros((0, 14)), np.zeros(0)),
        )


def test_a_subset_never_passes_for_a_split(tmp_path: Path) -> None:
    folder = tmp_path / "crowdpose" / "json"
    folder.mkdir(parents=True)
    (folder / "crowdpose_test.json").write_text(json.dumps(document([2] * 14)))
    source = find_protocol("crowdpose-test-gtbox").data
    assert isinstance(source, CrowdPose)
    with pytest.raises(ValueError, match="1 images, but test has 8,000"):
        source.truth("test", str(tmp_path))
    with pytest.raises(ValueError, match="no split 'valid'"):
        source.truth("valid", str(tmp_path))
    findings = {f.what: f.ok for f in check.check("crowdpose", str(tmp_path))}
    assert findings["json/crowdpose_test.json, images listed"] is False
    assert findings["json/crowdpose_train.json"] is True  # only needed to train
