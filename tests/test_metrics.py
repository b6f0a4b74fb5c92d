"""PCKh, PCK and OKS-AP against stored results of published evaluators, brute force, and properties."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import COCO_17, LSP_14, MPII_16, Skeleton
from hpe_bench.declare import Metric, Score
from hpe_bench.metrics.bootstrap import paired_difference
from hpe_bench.metrics.oks_ap import FIGURES, OksAP, evaluate_coco
from hpe_bench.metrics.pck import PCK
from hpe_bench.metrics.pckh import PCKh

GROUPS = ("head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")


class Pixels:
    """Images that nobody looks at."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"{index}.png"

    def digest(self) -> str:
        return str(self.count)

    def read(self, index: int) -> np.ndarray:
        raise AssertionError("a metric has no use for pixels")


def person_set(skeleton: Skeleton, joints: np.ndarray, labelled: np.ndarray, **known: np.ndarray) -> PersonSet:
    n = len(joints)
    defaults = {
        "image": np.arange(n),
        "box": np.tile([0.0, 0.0, 200.0, 200.0], (n, 1)),
        "visible": labelled,
        "head_size": np.full(n, 20.0),
        "area": np.full(n, 10_000.0),
    }
    arrays = {**defaults, **known}
    return PersonSet(skeleton, Pixels(int(arrays["image"].max()) + 1), joints=joints, labelled=labelled, **arrays)


def people(seed: int = 0, count: int = 60, images: int = 25, skeleton: Skeleton = COCO_17) -> PersonSet:
    """Persons of uneven size on some of the images, four joints in five labelled, none of them all bare."""
    rng = np.random.default_rng(seed)
    joints = rng.uniform(0, 200, (count, len(skeleton.joints), 2))
    labelled = rng.random(joints.shape[:2]) < 0.8
    return person_set(
        skeleton,
        joints,
        labelled,
        image=rng.integers(0, images, count),
        visible=labelled & (rng.random(labelled.shape) < 0.7),
        head_size=rng.uniform(10, 40, count),
        area=rng.uniform(500, 30_000, count),
    )


def guesses(truth: PersonSet, seed: int = 1, error_px: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    spread = error_px * rng.uniform(0.1, 2.0, (len(truth), 1, 1))
    return truth.joints + spread * rng.normal(size=truth.joints.shape), rng.random(truth.labelled.shape)


def run(metric: Metric, truth: PersonSet, joints: np.ndarray, scores: np.ndarray | None = None) -> dict[str, Score]:
    found = metric.evaluate(truth, joints, np.ones(truth.labelled.shape) if scores is None else scores)
    assert found[0].key == metric.key
    assert len({score.key for score in found}) == len(found)
    return {score.key: score for score in found}


def side_means(scores: dict[str, Score], key: str) -> dict[str, float]:
    """The groups of the MPII tables: the mean of the rates of the left and the right joint."""
    values = {n: [scores[f"{key}/joint/{MPII_16.joints[j]}"].value for j in js] for n, js in MPII_16.groups}
    return {name: float(np.mean(sides)) for name, sides in values.items()}


# ---------------------------------------------------------------------------------------------------- PCKh oracles


def mpii_persons(joints: np.ndarray, missing: np.ndarray, headbox: np.ndarray) -> PersonSet:
    head_size = 0.6 * np.linalg.norm(headbox[:, 1] - headbox[:, 0], axis=1)
    return person_set(MPII_16, joints, missing == 0, head_size=head_size)


@pytest.fixture(scope="module")
def hourglass(shared_data: Path) -> tuple[PersonSet, np.ndarray, dict[str, Any]]:
    """MPII validation, predictions of the stacked hourglass, and its PCKh (all 1-based)."""
    folder = shared_data / "mpii_eval_oracle"
    file = loadmat(folder / "gt_valid.mat")
    fields = (file["pos_gt_src"], file["jnt_missing"], file["headboxes_src"])
    truth = mpii_persons(*(np.moveaxis(field, -1, 0).astype(float) for field in fields))
    predicted = np.load(folder / "preds_hourglass.npy").astype(float)
    return truth, predicted, json.loads((folder / "expected.json").read_text())


@pytest.mark.parametrize(
    ("threshold", "key", "table"), [(0.5, "@0.5", "0.5"), (0.1, "@0.10", "0.1"), (0.11, "@0.11", "0.11")]
)
def test_mpii_validation_to_every_printed_digit(hourglass: Any, threshold: float, key: str, table: str) -> None:
    truth, predicted, expected = hourglass
    scores = run(PCKh(threshold), truth, predicted)
    printed = expected[f"PCKh@{table}"]
    assert round(scores[f"pckh{key}"].value, 4) == printed["mean"]
    assert {n: round(v, 4) for n, v in side_means(scores, f"pckh{key}").items()} == {n: printed[n] for n in GROUPS}
    for name in GROUPS:  # ours pool the sides
        assert scores[f"pckh{key}/{name}"].value == pytest.approx(printed[name], abs=2e-3)


def test_mpii_validation_per_joint_and_with_a_shifted_origin(hourglass: Any) -> None:
    truth, predicted, expected = hourglass
    joints = [score for key, score in run(PCKh(0.5), truth, predicted).items() if "/joint/" in key]
    assert [round(score.value, 4) for score in joints] == list(expected["PCKh@0.5_per_joint"].values())
    assert [score.n for score in joints] == list(expected["annotated_joints"].values())
    shifted = expected["with_plus_one_offset"]
    for threshold, name in ((0.5, "0.5"), (0.1, "0.1"), (0.11, "0.11")):
        mean = PCKh(threshold).evaluate(truth, predicted + 1, np.ones((len(truth), 16)))[0]
        assert round(mean.value, 4) == shifted[f"PCKh@{name}_mean"]


def test_mpii_joint_sets_and_comparators(hourglass: Any) -> None:
    """F13: the mean over all 16 joints is another number. F12: whole-pixel predictions make '<' another number."""
    truth, predicted, expected = hourglass
    per_joint = np.array(list(expected["PCKh@0.5_per_joint"].values()))
    counts = np.array(list(expected["annotated_joints"].values()))
    everything = PCKh(0.5, excluded=())
    assert everything.key == "pckh-all@0.5"
    assert run(everything, truth, predicted)["pckh-all@0.5"].value == pytest.approx(
        per_joint @ counts / counts.sum(), abs=1e-4
    )
    strict = run(PCKh(0.5, comparator="<"), truth, predicted)["pckh@<0.5"].value
    assert strict <= run(PCKh(0.5), truth, predicted)["pckh@0.5"].value


def test_what_the_hrnet_evaluator_answers() -> None:
    """200 synthetic persons, predictions 0-based, truth 1-based; its 'Mean@0.1' is threshold 0.11 (F11)."""
    with np.load(Path(__file__).parent / "data" / "metrics_mpii_pckh.npz") as file:
        stored = dict(file)
    truth = mpii_persons(stored["joints_1based"] - 1, stored["missing"], stored["headbox"])
    scores = run(PCKh(0.5), truth, stored["predicted_0based"])
    assert scores["pckh@0.5"].value == pytest.approx(float(stored["mean"]), abs=1e-9)
    for name, value in side_means(scores, "pckh@0.5").items():
        assert value == pytest.approx(float(stored[name]), abs=1e-9)
    assert run(PCKh(0.11), truth, stored["predicted_0based"])["pckh@0.11"].value == pytest.approx(
        float(stored["mean_at_0.1"]), abs=1e-9
    )


# ---------------------------------------------------------------------------------------------------- rates


def test_keys_spell_out_what_is_counted() -> None:
    assert [PCKh(0.5).key, PCKh(0.1).key, PCKh(0.11).key, PCKh(0.25).key] == [
        "pckh@0.5",
        "pckh@0.10",
        "pckh@0.11",
        "pckh@0.25",
    ]
    assert PCKh(0.5, "<").key == "pckh@<0.5"
    assert PCKh(0.5, excluded=("pelvis",)).key == "pckh-without-pelvis@0.5"
    assert [PCK().key, PCK(0.1).key, OksAP().key] == ["pck@0.2", "pck@0.10", "ap"]


def test_the_threshold_itself_is_a_hit_only_for_at_most() -> None:
    """F12, in whole pixels: heads of 20 px, distances of 10 (3-4-5 triangles) at threshold 0.5."""
    truth = person_set(COCO_17, np.zeros((2, 17, 2)), np.ones((2, 17), dtype=bool))
    predicted = np.zeros((2, 17, 2)) + np.array([6.0, 8.0])
    assert run(PCKh(0.5), truth, predicted)["pckh@0.5"].value == 100
    assert run(PCKh(0.5, "<"), truth, predicted)["pckh@<0.5"].value == 0


@pytest.mark.parametrize("metric", [PCKh(0.5), PCKh(0.01), PCK(0.05), OksAP()])
def test_perfect_predictions_score_100(metric: Metric) -> None:
    truth = people()
    if isinstance(metric, PCK):
        truth = people(skeleton=LSP_14)
        truth = replace(truth, labelled=np.ones_like(truth.labelled))
    found = metric.evaluate(truth, truth.joints, np.ones(truth.labelled.shape))
    assert all(score.value == pytest.approx(100) for score in found)
    assert all(score.interval is None or score.interval == pytest.approx((100, 100)) for score in found)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(-500, 500),
    st.integers(-500, 500),
    st.integers(-4, 4),
    st.floats(0.05, 1.5),
)
def test_pckh_ignores_origin_and_unit(seed: int, dx: int, dy: int, log2_scale: int, threshold: float) -> None:
    """Coordinates on a quarter-pixel grid and scales that are powers of two, so that nothing is rounded."""
    truth = people(seed, count=12, images=6)
    truth = replace(truth, joints=np.round(truth.joints * 4) / 4, head_size=np.round(truth.head_size * 4) / 4)
    predicted = np.round(guesses(truth, seed)[0] * 4) / 4
    scale, shift = 2.0**log2_scale, np.array([dx, dy], dtype=float)
    moved = replace(truth, joints=(truth.joints + shift) * scale, head_size=truth.head_size * scale)
    here, there = run(PCKh(threshold), truth, predicted), run(PCKh(threshold), moved, (predicted + shift) * scale)
    assert here == there


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.02, 2.0), st.floats(0.0, 1.0), st.sampled_from(["<=", "<"]))
def test_pckh_grows_with_the_threshold(seed: int, threshold: float, more: float, comparator: Any) -> None:
    truth = people(seed, count=10, images=5)
    predicted, scores = guesses(truth, seed)
    low = PCKh(threshold, comparator).evaluate(truth, predicted, scores)
    high = PCKh(threshold + more, comparator).evaluate(truth, predicted, scores)
    for small, large in zip(low, high, strict=True):
        assert small.value <= large.value
        assert small.n == large.n
        assert all(a <= b for a, b in zip(small.hits_per_image or (), large.hits_per_image or (), strict=True))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12))
def test_tallies_per_image_add_up_to_the_value(seed: int, count: int, images: int) -> None:
    truth = people(seed, count, images)
    predicted, scores = guesses(truth, seed)
    found = run(PCKh(0.5), truth, predicted, scores)
    occupied = np.unique(truth.image)
    for key, score in found.items():
        if "/joint/" in key:
            assert score.hits_per_image is None
            continue
        assert score.hits_per_image is not None
        assert score.counts_per_image is not None
        assert len(score.hits_per_image) == len(score.counts_per_image) == len(occupied)
        assert score.n == sum(score.counts_per_image)
        assert score.value == 100 * sum(score.hits_per_image) / score.n
        assert (score.interval is None) == (len(occupied) < 2)
        assert score.interval is None or score.interval[0] <= score.value <= score.interval[1]
    headline = found["pckh@0.5"]
    distance = np.linalg.norm(predicted - truth.joints, axis=-1) / truth.head_size[:, None]
    right = truth.labelled & (distance <= 0.5)
    for position, hits, counts in zip(occupied, headline.hits_per_image, headline.counts_per_image, strict=True):
        assert hits == right[truth.image == position].sum()
        assert counts == truth.labelled[truth.image == position].sum()


def test_a_group_nobody_labelled_has_no_score() -> None:
    truth = people()
    labelled = truth.labelled.copy()
    labelled[:, [9, 10]] = False
    truth = replace(truth, labelled=labelled, visible=truth.visible & labelled)
    found = run(PCKh(0.5), truth, truth.joints)
    assert "pckh@0.5/wrist" not in found
    assert "pckh@0.5/joint/left_wrist" not in found
    assert "pckh@0.5/elbow" in found


def test_unlabelled_joints_count_nowhere_even_if_their_truth_is_nan() -> None:
    truth = people()
    joints = np.where(truth.labelled[..., None], truth.joints, np.nan)
    predicted, scores = guesses(truth)
    for metric in (PCKh(0.5), OksAP()):
        assert metric.evaluate(replace(truth, joints=joints), predicted, scores) == metric.evaluate(
            truth, predicted, scores
        )


def test_pck_is_relative_to_the_torso_of_the_person() -> None:
    joints = np.zeros((2, 14, 2))
    joints[:, LSP_14.index("left_shoulder")] = [[30, 40], [3, 4]]  # torsos of 50 and 5 px, right hips at 0
    truth = person_set(LSP_14, joints, np.ones((2, 14), dtype=bool))
    found = run(PCK(0.2), truth, joints + np.array([8.0, 6.0]))  # every joint 10 px off: 0.2 and 2 torsos
    assert found["pck@0.2"].value == 50
    assert found["pck@0.2"].hits_per_image == (14, 0)
    assert set(found) >= {f"pck@0.2/{name}" for name in GROUPS}


# ---------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("metric", [PCKh(0.5), OksAP()])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_is_named(metric: Metric, value: float) -> None:
    truth = people()
    predicted, scores = guesses(truth)
    predicted[7, 3, 1] = value
    with pytest.raises(ValueError, match=r"person 7, joint 'left_ear'.*not finite"):
        metric.evaluate(truth, predicted, scores)


@pytest.mark.parametrize("metric", [PCKh(0.5), OksAP()])
def test_every_person_needs_one_prediction(metric: Metric) -> None:
    truth = people()
    predicted, scores = guesses(truth)
    with pytest.raises(ValueError, match="one row per person"):
        metric.evaluate(truth, predicted[:-1], scores[:-1])


@pytest.mark.parametrize(
    ("metric", "change", "words"),
    [
        (PCKh(0.5), {"head_size": np.nan}, "person 3 has head size nan"),
        (PCKh(0.5), {"head_size": 0.0}, "person 3 has head size 0"),
        (OksAP(), {"area": np.nan}, "person 3 has no area"),
    ],
)
def test_missing_references_are_named(metric: Metric, change: dict[str, float], words: str) -> None:
    truth = people()
    ((name, value),) = change.items()
    column = getattr(truth, name).copy()
    column[3] = value
    with pytest.raises(ValueError, match=words):
        metric.evaluate(replace(truth, **{name: column}), *guesses(truth))


def test_other_requirements_are_named() -> None:
    coco, lsp = people(), people(skeleton=LSP_14)
    bare = replace(coco, labelled=np.zeros_like(coco.labelled), visible=np.zeros_like(coco.labelled))
    with pytest.raises(ValueError, match="no OKS sigmas"):
        OksAP().evaluate(lsp, *guesses(lsp))
    with pytest.raises(ValueError, match="torso of person"):
        PCK().evaluate(lsp, *guesses(lsp))
    with pytest.raises(ValueError, match="must be finite"):
        OksAP().evaluate(coco, coco.joints, np.full(coco.labelled.shape, np.nan))
    for metric in (PCKh(0.5), OksAP()):
        with pytest.raises(ValueError, match="no person has a labelled joint"):
            metric.evaluate(bare, *guesses(bare))
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="positive share"):
            PCKh(wrong)
        with pytest.raises(ValueError, match="positive share"):
            PCK(wrong)


# ---------------------------------------------------------------------------------------------------- OKS-AP


def test_published_figures_of_the_coco_example(shared_data: Path) -> None:
    """cocoapi's val2014_fake_eval_res.txt, three decimals."""
    folder = shared_data / "coco_eval_oracle" / "fakekeypoints100"
    detections = folder / "person_keypoints_val2014_fakekeypoints100_results.json"
    found = evaluate_coco(folder / "person_keypoints_val2014_100.json", detections)
    expected = json.loads((folder / "expected.json").read_text())
    assert [round(value / 100, 3) for value in found.values()] == list(expected["published"].values())
    assert [round(value / 100, 6) for value in found.values()] == list(expected["recomputed"].values())


def test_published_figures_of_a_crowded_image(shared_data: Path) -> None:
    """128 detections on one image, more than the 20 that count; full precision."""
    folder = shared_data / "coco_eval_oracle" / "one_image_128dets"
    found = evaluate_coco(folder / "gt.json", folder / "dets.json")
    expected = json.loads((folder / "expected.json").read_text())["published_full_precision"]
    assert [value / 100 for value in found.values()] == pytest.approx(list(expected.values()), abs=1e-12)


def fake_coco(shared_data: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    folder = shared_data / "coco_eval_oracle" / "fakekeypoints100"
    detections = folder / "person_keypoints_val2014_fakekeypoints100_results.json"
    truth = json.loads((folder / "person_keypoints_val2014_100.json").read_text())
    return truth, json.loads(detections.read_text())


def test_evaluation_is_silent_and_leaves_its_arguments_alone(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, detections = fake_coco(shared_data)
    before = json.dumps([truth, detections])
    evaluate_coco(truth, detections)
    assert json.dumps([truth, detections]) == before
    assert capsys.readouterr() == ("", "")


def test_no_detection_at_all_scores_zero(shared_data: Path) -> None:
    truth, _ = fake_coco(shared_data)
    assert evaluate_coco(truth, []) == dict.fromkeys([figure.key for figure in FIGURES], 0.0)


def test_a_person_numbered_zero_is_refused(shared_data: Path) -> None:
    """pycocotools would count every match with it as a false alarm."""
    truth, detections = fake_coco(shared_data)
    truth["annotations"][0]["id"] = 0
    with pytest.raises(ValueError, match="number persons from 1"):
        evaluate_coco(truth, detections)


def oks_by_hand(truth: PersonSet, joints: np.ndarray) -> np.ndarray:
    """OKS [N] of each person's own prediction, from the definition on cocodataset.org."""
    squared = np.square(joints - np.where(truth.labelled[..., None], truth.joints, 0)).sum(-1)
    k_J = 2 * np.array(COCO_17.sigmas)
    similarity = np.exp(-squared / (2 * truth.area[:, None] * k_J**2))
    return (similarity * truth.labelled).sum(1) / truth.labelled.sum(1)


def test_ap_by_hand_with_one_person_an_image() -> None:
    """No competition for matches: AP50 follows from the sorted scores alone."""
    truth = people(3, count=40)
    truth = replace(truth, image=np.arange(40), images=Pixels(40))
    predicted, scores = guesses(truth, error_px=8)
    right = (oks_by_hand(truth, predicted) >= 0.5)[np.argsort(-scores.mean(1))]
    precision, recall = np.cumsum(right) / np.arange(1, 41), np.cumsum(right) / 40
    expected = [max(precision[recall >= r - 1e-12], default=0.0) for r in np.linspace(0, 1, 101)]
    found = run(OksAP(), truth, predicted, scores)
    assert found["ap50"].value == pytest.approx(100 * np.mean(expected), abs=1e-9)
    assert 20 < found["ap50"].value < 95
    assert found["ap"].n == 40


def test_ap_reports_what_the_areas_hold() -> None:
    truth = people()
    medium = replace(truth, area=np.full(len(truth), 5_000.0))
    found = run(OksAP(), medium, *guesses(medium))
    assert list(found) == ["ap", "ap50", "ap75", "ap_medium", "ar"]  # no person is large: no figure rather than -1
    small = run(OksAP(), replace(truth, area=np.full(len(truth), 500.0)), *guesses(truth))
    assert list(small) == ["ap", "ap50", "ap75", "ar"]
    mixed = run(OksAP(), truth, *guesses(truth))
    assert mixed["ap_medium"].n == ((truth.area >= 32**2) & (truth.area <= 96**2)).sum()
    assert mixed["ap_medium"].n + mixed["ap_large"].n < mixed["ap"].n == len(truth)


def test_persons_without_joints_are_ignored_not_missed() -> None:
    truth = people(count=30)
    labelled = truth.labelled.copy()
    labelled[:10] = False
    truth = replace(truth, labelled=labelled, visible=truth.visible & labelled)
    found = run(OksAP(), truth, truth.joints)
    assert found["ap"].value == pytest.approx(100)
    assert found["ap"].n == 20


def test_images_outside_the_set_change_nothing() -> None:
    truth = people()
    predicted, scores = guesses(truth)
    more = replace(truth, images=Pixels(500))
    for metric in (PCKh(0.5), OksAP()):
        found, wanted = (
            [dataclasses.replace(score, matches="") for score in metric.evaluate(persons, predicted, scores)]
            for persons in (more, truth)  # the table of matches has a place for every image
        )
        assert found == wanted


def test_intervals_of_ap_are_reproducible_and_shrink_with_more_images() -> None:
    few, many = people(count=40, images=40), people(count=360, images=360)
    small, large = run(OksAP(), few, *guesses(few, error_px=8)), run(OksAP(), many, *guesses(many, error_px=8))
    assert small == run(OksAP(), few, *guesses(few, error_px=8))
    for found in (small, large):
        low, high = found["ap"].interval
        assert low < found["ap"].value < high
    assert 2 < np.ptp(small["ap"].interval) / np.ptp(large["ap"].interval) < 5  # three, for nine times the images


def test_one_image_has_no_interval() -> None:
    truth = people(count=5, images=1)
    for metric in (PCKh(0.5), OksAP()):
        assert all(score.interval is None for score in metric.evaluate(truth, *guesses(truth)))


def test_tallies_feed_the_paired_difference() -> None:
    truth = people(count=200, images=100)
    arms = [run(PCKh(0.5), truth, guesses(truth, 5, error_px=e)[0])["pckh@0.5"] for e in (8, 12)]
    found = paired_difference(*([(score.hits_per_image, score.counts_per_image)] for score in arms))
    assert found.value == pytest.approx(arms[0].value - arms[1].value)
    assert found.decided
