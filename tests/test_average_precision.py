"""COCO's keypoint AP from arrays, held against pycocotools, published numbers, hand calculation and properties."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import COCO_17, LSP_14
from hpe_bench.metrics import match_tables
from hpe_bench.metrics.ap_by_joint import ap_by_joint
from hpe_bench.metrics.ap_pycocotools import as_coco, as_detections, run, run_arrays
from hpe_bench.metrics.average_precision import (
    FIGURES,
    evaluate,
    intervals,
    paired_difference,
    pooled_intervals,
    seed_difference,
)
from hpe_bench.metrics.oks import oks
from hpe_bench.metrics.oks_ap import OksAP, evaluate_coco
from hpe_bench.metrics.seed_variance import Spread
from tests import coco_arrays
from tests.coco_arrays import Pixels
from tests.test_metrics import fake_coco, guesses, people

EXACT = 1e-12  # of percent


# ---------------------------------------------------------------------------------------------------- persons


def crowded(seed: int, images: int = 4, persons: int = 8, detections: int = 20) -> tuple[PersonSet, Predictions]:
    """Few images on a coarse grid, so that everything happens: equal scores and similarities, crowds, persons without
    a label, areas at the ends of their ranges, images without persons or detections, image numbers out of order."""
    rng = np.random.default_rng(seed)
    joints = rng.integers(0, 4, (persons, 17, 2)) * 20.0
    labelled = (rng.random((persons, 17)) < rng.choice([0.2, 0.7, 1.0])) & (rng.random(persons) < 0.8)[:, None]
    labelled[0, 0] = True
    crowd = rng.random(persons) < 0.2
    crowd[0] = False
    truth = PersonSet(
        skeleton=COCO_17,
        images=Pixels(images),
        image=rng.integers(0, images, persons),
        box=rng.integers(0, 60, (persons, 4)).astype(float),
        joints=np.where(labelled[..., None], joints, np.nan),
        labelled=labelled,
        visible=labelled & (rng.random(labelled.shape) < 0.5),
        head_size=np.full(persons, np.nan),
        area=rng.choice([0.0, 500.0, 1024.0, 5000.0, 9216.0, 20_000.0], persons),
        crowd=crowd,
        image_ids=rng.permutation(100)[:images],
    )
    answered = rng.integers(0, persons, detections)
    offset = rng.integers(-1, 2, (detections, 17, 2)) * rng.choice([0.0, 1.0, 4.0, 12.0], (detections, 1, 1))
    predictions = Predictions(
        image=np.where(rng.random(detections) < 0.8, truth.image[answered], rng.integers(0, images, detections)),
        joints=joints[answered] + offset,
        joint_scores=rng.random((detections, 17)),
        score=rng.choice([0.1, 0.5, 0.7, 0.9], detections),
    )
    return truth, predictions


def spread(
    seed: int, images: int = 40, error_px: float = 10.0, false_alarms: int = 20
) -> tuple[PersonSet, Predictions]:
    """Persons of `people`, one detection for each and false alarms, no two of equal score."""
    truth, rng = people(seed, count=2 * images, images=images), np.random.default_rng(seed + 1)
    truth = replace(truth, images=Pixels(images))
    found, scores = guesses(truth, seed, error_px)
    image = np.concatenate((truth.image, rng.integers(0, images, false_alarms)))
    joints = np.concatenate((found, rng.uniform(0, 200, (false_alarms, 17, 2))))
    joint_scores = np.concatenate((scores, rng.random((false_alarms, 17))))
    return truth, Predictions(image, joints, joint_scores, joint_scores.mean(axis=1))


def official(truth: PersonSet, predictions: Predictions) -> dict[str, float]:
    """pycocotools' figures in percent."""
    stats = run_arrays(truth, predictions).stats
    return {f.key: 100 * float(v) for f, v in zip(FIGURES, stats, strict=True) if v > -1}


def empty(joints: int = 17) -> Predictions:
    return Predictions(np.zeros(0, int), np.zeros((0, joints, 2)), np.zeros((0, joints)), np.zeros(0))


# ---------------------------------------------------------------------------------------------------- oracles


def test_published_figures_from_arrays(shared_data: Path) -> None:
    """Crowds, ignored persons and images without detections; then 128 detections on one image."""
    folder = shared_data / "coco_eval_oracle"
    truth, found = fake_coco(shared_data)
    expected = json.loads((folder / "fakekeypoints100" / "expected.json").read_text())
    persons = coco_arrays.persons(truth)
    figures = evaluate(persons, coco_arrays.detections(persons.image_ids, found)).figures()
    assert [round(value / 100, 3) for value in figures.values()] == list(expected["published"].values())
    assert figures == pytest.approx(evaluate_coco(truth, found), abs=EXACT)

    truth, found = coco_arrays.read(folder / "one_image_128dets", "gt.json", "dets.json")
    expected = json.loads((folder / "one_image_128dets" / "expected.json").read_text())["published_full_precision"]
    persons = coco_arrays.persons(truth)
    figures = evaluate(persons, coco_arrays.detections(persons.image_ids, found)).figures()
    assert [value / 100 for value in figures.values()] == pytest.approx(list(expected.values()), abs=1e-12)


@pytest.mark.parametrize("error_px", [0.0, 3.0, 10.0])
def test_real_annotations_with_made_detections(shared_data: Path, error_px: float) -> None:
    """79 images of val2017, 47 of them without a person that has keypoints."""
    truth = json.loads((shared_data / "coco_mini" / "annotations" / "person_keypoints_val2017.json").read_text())
    persons, rng = coco_arrays.persons(truth), np.random.default_rng(0)
    chosen = rng.integers(0, len(persons), 400)
    joints = persons.joints[chosen] + rng.normal(0, 1, (400, 17, 2)) * error_px
    image = np.where(rng.random(400) < 0.8, persons.image[chosen], rng.integers(0, 79, 400))
    predictions = Predictions(image, joints, np.ones((400, 17)), np.round(rng.random(400), 2))
    figures = evaluate(persons, predictions).figures()
    assert figures == pytest.approx(official(persons, predictions), abs=EXACT)
    assert figures == pytest.approx(evaluate_coco(truth, as_detections(persons, predictions)), abs=EXACT)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 12), st.integers(0, 60))
def test_equal_to_pycocotools_on_anything(seed: int, images: int, persons: int, detections: int) -> None:
    """Figures and whole tables, with more than 20 detections an image now and then."""
    truth, predictions = crowded(seed, images, persons, detections)
    ours, theirs = evaluate(truth, predictions), run_arrays(truth, predictions)
    assert ours.figures() == pytest.approx(official(truth, predictions), abs=EXACT)
    for a, curves in enumerate(ours.curves.values()):
        tables = curves.accumulate(np.ones(images, dtype=int))
        if tables is None:
            assert (theirs.eval["precision"][:, :, 0, a, 0] == -1).all()
            continue
        assert np.abs(tables["precision"] - theirs.eval["precision"][:, :, 0, a, 0]).max() < 1e-14
        assert np.abs(tables["recall"] - theirs.eval["recall"][:, 0, a, 0]).max() < 1e-14


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_pycocotools_in_continuous_positions(seed: int) -> None:
    truth, predictions = spread(seed, images=60, false_alarms=100)
    assert evaluate(truth, predictions).figures() == pytest.approx(official(truth, predictions), abs=EXACT)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_a_weight_of_k_equals_k_copies_of_the_image(seed: int, images: int) -> None:
    """Scores are equal across images only: within one, pycocotools would count one copy before the other."""
    truth, predictions = crowded(seed, images)
    place = np.arange(len(predictions)) - np.searchsorted(np.sort(predictions.image), np.sort(predictions.image))
    apart = np.empty(len(predictions))
    apart[np.argsort(predictions.image, kind="stable")] = 1.0 / (1 + place)
    truth, predictions = replace(truth, image_ids=None), replace(predictions, score=apart)
    weights = np.random.default_rng(seed).integers(0, 4, images)
    weights[truth.image[0]] += 1  # somebody is left to find
    image_of_copy = np.repeat(np.arange(images), weights)

    def copies(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and their new images."""
        pairs = [(row, c) for c, old in enumerate(image_of_copy) for row in np.flatnonzero(image == old)]
        return np.array([p[0] for p in pairs], dtype=int), np.array([p[1] for p in pairs], dtype=int)

    kept, image = copies(truth.image)
    copied = replace(truth.subset(kept), image=image, images=Pixels(len(image_of_copy)))
    kept, image = copies(predictions.image)
    weighted = evaluate(truth, predictions).weighted(weights)
    expected = evaluate(copied, replace(predictions.subset(kept), image=image)).figures()
    assert {f.key: v for f, v in zip(FIGURES, weighted, strict=True) if np.isfinite(v)} == pytest.approx(expected)
    assert expected == pytest.approx(official(copied, replace(predictions.subset(kept), image=image)), abs=EXACT)


def test_scores_of_one_detection_per_person_are_what_they_were() -> None:
    """Values and numbers that the evaluation through pycocotools gave, as committed records hold them; the intervals
    are those of docs/statistics.md, from the same 500 draws."""
    truth = people(3)
    found = {s.key: (s.value, s.n, *s.interval) for s in OksAP().evaluate(truth, *guesses(truth, 3, 8))}
    expected = {
        "ap": (34.08566966328932, 60, 24.41934994898176, 45.285714804936454),
        "ap50": (67.2468299461525, 60, 49.855404143188395, 80.91542571570211),
        "ap75": (28.37595832716286, 60, 14.896311944490142, 47.27718674038881),
        "ap_medium": (31.18811881188119, 11, 18.755202494223315, 47.08623499682301),
        "ap_large": (38.84767685442693, 45, 28.66995718290975, 50.100716359204156),
        "ar": (50.16666666666667, 60, 42.12745206709736, 58.197273201351216),
    }
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, abs=1e-9)


# ---------------------------------------------------------------------------------------------------- the rules


def test_oks_by_its_definition() -> None:
    truth = people(2, count=30)
    found, _ = guesses(truth)
    each = np.arange(30)
    squared = np.square(found - truth.joints).sum(-1)
    similarity = np.exp(-squared / (2 * truth.area[:, None] * (2 * np.array(COCO_17.sigmas)) ** 2))
    expected = (similarity * truth.labelled).sum(1) / truth.labelled.sum(1)
    assert oks(truth, found, each, each) == pytest.approx(expected, abs=1e-12)


def one_image(count: int, **known: Any) -> PersonSet:
    """Persons on one image, all of them with the pose of zeros, in boxes of 10 px at (100, 100)."""
    arrays = {
        "box": np.tile([100.0, 100.0, 10.0, 10.0], (count, 1)),
        "joints": np.zeros((count, 17, 2)),
        "labelled": np.ones((count, 17), dtype=bool),
        "area": np.full(count, 5000.0),
    } | known
    unseen = {"visible": arrays["labelled"], "head_size": np.full(count, np.nan)}
    return PersonSet(COCO_17, Pixels(1), np.zeros(count, int), **arrays, **unseen)


def poses(*corner_px: float) -> Predictions:
    """Detections on image 0 by falling score, all joints of each at (c, c)."""
    joints = np.broadcast_to(np.array(corner_px)[:, None, None], (len(corner_px), 17, 2)).astype(float)
    return Predictions(np.zeros(len(joints), int), joints, np.ones((len(joints), 17)), np.linspace(1, 0.5, len(joints)))


def test_a_person_is_found_once_and_a_crowd_as_often_as_you_like() -> None:
    twice = poses(0.0, 0.0)
    truth = one_image(2, joints=np.stack((np.zeros((17, 2)), np.full((17, 2), 500.0))))
    assert evaluate(truth, twice).figures()["ap"] == pytest.approx(100 * 51 / 101)  # half found, then a false alarm
    crowd = replace(truth, joints=np.zeros((2, 17, 2)), crowd=np.array([False, True]))
    assert evaluate(crowd, poses(0.0, 0.0, 0.0, 0.0)).figures()["ap"] == pytest.approx(100)


def test_a_person_without_labels_hides_detections_within_three_times_its_box() -> None:
    """The box is 10 px at (100, 100), thrice that reaches from 90 to 120."""
    labelled = np.ones((2, 17), dtype=bool)
    labelled[1] = False
    truth = one_image(2, labelled=labelled, area=np.array([5000.0, 50.0]))
    # the detection beside the person ranks first: a false alarm halves the precision, an ignored one does not
    for corner, precision in ((90.0, 100), (120.0, 100), (60.0, 50), (150.0, 50)):
        assert evaluate(truth, poses(corner, 0.0)).figures()["ap"] == pytest.approx(precision)


def test_only_twenty_detections_of_an_image_count() -> None:
    truth = one_image(1)
    assert evaluate(truth, poses(*[900.0] * 19, 0.0)).figures()["ar"] == 100
    assert evaluate(truth, poses(*[900.0] * 20, 0.0)).figures()["ar"] == 0


def test_false_alarms_on_images_without_persons_cost_precision() -> None:
    truth, predictions = spread(0, images=40)
    truth = replace(truth, images=Pixels(41))
    more = predictions.subset(np.append(np.arange(len(predictions)), 0))
    more.image[-1], more.score[-1] = 40, 2.0
    before, after = (evaluate(truth, p).figures() for p in (predictions, more))
    assert after["ap"] < before["ap"]
    assert after["ar"] == before["ar"]
    assert after == pytest.approx(official(truth, more), abs=EXACT)


def test_no_detection_at_all_scores_zero() -> None:
    truth, _ = spread(1)
    assert evaluate(truth, empty()).figures() == dict.fromkeys([f.key for f in FIGURES], 0.0)
    assert all(score.interval == (0, 0) for score in OksAP().evaluate_predictions(truth, empty()))


def test_one_detection_per_person_goes_the_same_way() -> None:
    truth = people(4)
    joints, scores = guesses(truth, 4)
    predictions = Predictions(truth.image, joints, scores, scores.mean(axis=1))
    assert OksAP().evaluate(truth, joints, scores) == OksAP().evaluate_predictions(truth, predictions)
    bystanders = replace(truth, images=Pixels(500))  # images with neither persons nor detections
    found = [OksAP().evaluate_predictions(bystanders, predictions), OksAP().evaluate(truth, joints, scores)]
    with_others, alone = ([replace(score, matches="") for score in scores] for scores in found)
    assert with_others == alone  # the tables of matches number the images of their set


def test_what_does_not_fit_is_named() -> None:
    truth, predictions = spread(0, images=10)
    bare = replace(truth, labelled=np.zeros_like(truth.labelled), visible=np.zeros_like(truth.labelled))
    boxless = truth.box.copy()
    boxless[4] = np.nan
    unlabelled = truth.labelled.copy()
    unlabelled[4] = False
    half = replace(truth, labelled=unlabelled, visible=truth.visible & unlabelled, box=boxless)
    wrong_image = predictions.image.copy()
    wrong_image[3] = 10
    for persons, found, words in (
        (people(skeleton=LSP_14), empty(14), "no OKS sigmas"),
        (
            replace(truth, area=np.where(np.arange(len(truth)) == 2, np.nan, truth.area)),
            predictions,
            "person 2 has no ar",
        ),
        (bare, predictions, "no person has a labelled joint"),
        (replace(truth, crowd=np.ones(len(truth), dtype=bool)), predictions, "no person has a labelled joint"),
        (half, predictions, "person 4 has neither a labelled joint nor a box"),
        (truth, empty(14), "detections have 14 joints"),
        (truth, replace(predictions, image=wrong_image), r"detection 3 .*none of the set's 10 images"),
    ):
        with pytest.raises(ValueError, match=words):
            OksAP().evaluate_predictions(persons, found)


# ---------------------------------------------------------------------------------------------------- resampling


def test_intervals_hold_the_value_and_one_image_has_none() -> None:
    evaluation = evaluate(*spread(2))
    around, figures = intervals(evaluation, 100), evaluation.figures()
    assert around == intervals(evaluation, 100)
    assert around.keys() == figures.keys()
    assert all(low <= figures[key] <= high for key, (low, high) in around.items())
    truth = one_image(1)
    assert intervals(evaluate(truth, poses(0.0))) == {}
    with pytest.raises(ValueError, match="at least two"):
        paired_difference(truth, poses(0.0), poses(1.0))


def test_the_same_predictions_differ_by_exactly_nothing() -> None:
    truth, predictions = spread(0)
    for found in paired_difference(truth, predictions, predictions, 50).values():
        assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_a_difference_is_antisymmetric_and_p_agrees_with_the_interval(seed: int) -> None:
    truth, a = spread(seed, error_px=9)
    b = replace(a, joints=a.joints + np.random.default_rng(seed).normal(0, 2, a.joints.shape))
    forth, back = paired_difference(truth, a, b, 60), paired_difference(truth, b, a, 60)
    first, second = (evaluate(truth, p).figures() for p in (a, b))
    assert forth.keys() == back.keys() == first.keys()
    for key, found in forth.items():
        assert found.value == pytest.approx(first[key] - second[key], abs=1e-12)
        assert (found.low, found.high) == pytest.approx((-back[key].high, -back[key].low))
        assert found.p_value == pytest.approx(back[key].p_value)
        assert found.decided == (found.p_value < 0.05)


def test_pairing_removes_what_the_images_share() -> None:
    """F25: intervals of their own overlap widely where the paired difference is decided."""
    truth, a = spread(5, images=120, error_px=9)
    b = replace(a, joints=a.joints + np.random.default_rng(0).normal(0, 2, a.joints.shape))
    found = paired_difference(truth, a, b, 200)["ap"]
    own_a, own_b = (intervals(evaluate(truth, p), 200)["ap"] for p in (a, b))
    assert found.decided
    assert found.value > 0
    assert own_a[0] < own_b[1]
    assert found.high - found.low < 0.8 * (own_a[1] - own_a[0])


def test_the_paired_interval_covers_the_truth() -> None:
    """Images of a large population in samples of 50: nominal 95 %."""
    truth, a = spread(11, images=1500, error_px=9, false_alarms=500)
    b = replace(a, joints=a.joints + np.random.default_rng(1).normal(0, 1.5, a.joints.shape))
    expected = evaluate(truth, a).figures()["ap"] - evaluate(truth, b).figures()["ap"]
    covered, trials = 0, 30
    for start in range(0, 50 * trials, 50):
        inside, found = (np.flatnonzero((i >= start) & (i < start + 50)) for i in (truth.image, a.image))
        part = replace(truth.subset(inside), image=truth.image[inside] - start, images=Pixels(50))
        arms = (replace(p.subset(found), image=p.image[found] - start) for p in (a, b))
        difference = paired_difference(part, *arms, replicates=100)["ap"]
        covered += difference.low <= expected <= difference.high
    assert covered >= 26  # of 30; fewer than that has a chance below 2 % at 95 %


# ---------------------------------------------------------------------------------------------------- joints


def test_ap_by_joint_is_the_evaluation_without_the_other_labels() -> None:
    """The definition, carried out by pycocotools on annotations from which labels were removed."""
    truth, predictions = spread(6, images=20)
    truth = replace(truth, crowd=np.arange(len(truth)) % 9 == 0)
    scores = {score.key: score for score in ap_by_joint(truth, predictions)}
    assert len(scores) == 34
    found = as_detections(truth, predictions)
    for j, name in ((0, "nose"), (9, "left_wrist"), (12, "right_hip")):
        for kind, kept in (("joint", [j]), ("without", [k for k in range(17) if k != j])):
            dataset = as_coco(truth)
            for person in dataset["annotations"]:
                flags = [person["keypoints"][3 * k + 2] * (k in kept) for k in range(17)]
                person["keypoints"][2::3] = flags
                person["num_keypoints"] = sum(flag > 0 for flag in flags)
            score = scores[f"ap/{kind}/{name}"]
            assert score.value == pytest.approx(100 * run(dataset, found, COCO_17.sigmas).stats[0], abs=EXACT)
            wanted = truth.labelled[:, kept].any(axis=1) & ~truth.crowd
            assert score.n == wanted.sum()


def test_a_spoiled_joint_is_the_one_that_ap_by_joint_names() -> None:
    truth = people(8, count=80, images=40)
    joints, scores = guesses(truth, 8, error_px=2)
    wrist = COCO_17.index("left_wrist")
    joints[:, wrist] += 150
    predictions = Predictions(truth.image, joints, scores, scores.mean(axis=1))
    found = {score.key: score.value for score in ap_by_joint(truth, predictions)}
    alone = {key: value for key, value in found.items() if key.startswith("ap/joint/")}
    without = {key: value for key, value in found.items() if key.startswith("ap/without/")}
    assert min(alone, key=alone.__getitem__) == "ap/joint/left_wrist"
    assert max(without, key=without.__getitem__) == "ap/without/left_wrist"


def test_a_joint_nobody_labelled_has_no_ap() -> None:
    truth, predictions = spread(9, images=10)
    labelled = truth.labelled.copy()
    labelled[:, 9] = False
    keys = [s.key for s in ap_by_joint(replace(truth, labelled=labelled, visible=labelled), predictions)]
    assert "ap/joint/left_wrist" not in keys
    assert "ap/without/left_wrist" in keys
    only = np.zeros_like(labelled)
    only[:, 0] = True
    keys = [s.key for s in ap_by_joint(replace(truth, labelled=only, visible=only), predictions)]
    assert keys == ["ap/joint/nose", *(f"ap/without/{name}" for name in COCO_17.joints if name != "nose")]


# ---------------------------------------------------------------------------------------------------- many weights


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 6))
def test_many_weights_at_once_are_one_after_the_other(seed: int, images: int) -> None:
    truth, predictions = crowded(seed, images)
    weights = np.random.default_rng(seed).integers(0, 4, (5, len(truth.images)))
    evaluation = evaluate(truth, predictions)
    alone = [evaluation.weighted(w) for w in weights]
    assert np.allclose(evaluation.weighted_many(weights), alone, rtol=0, atol=1e-10, equal_nan=True)


def test_the_mean_of_several_trainings_covers_images_and_seeds() -> None:
    trainings = [evaluate(*spread(0, error_px=error)) for error in (8.0, 10.0, 12.0)]
    one, three = intervals(trainings[1], 100)["ap"], pooled_intervals(trainings, {}, 100)["ap"]
    assert np.ptp(three) > np.ptp(one)  # three trainings far apart
    known = pooled_intervals(trainings, {"ap": Spread(0.01, 40.0)}, 100)["ap"]
    assert np.ptp(known) < np.ptp(three)
    mean = np.mean([e.figures()["ap"] for e in trainings])
    assert known[0] < mean < known[1]


def test_a_difference_over_seeds_is_antisymmetric_and_pairs_images() -> None:
    ours, theirs = ([evaluate(*spread(0, error_px=e)) for e in errors] for errors in ((8.0, 8.5), (9.0, 9.5)))
    forth, back = seed_difference(ours, theirs, {}, 100)["ap"], seed_difference(theirs, ours, {}, 100)["ap"]
    assert forth.value == pytest.approx(-back.value)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    spreads = {"ap": (Spread(0.1, 40.0), Spread(0.1, 40.0))}
    apart = np.ptp(pooled_intervals(ours, {}, 100)["ap"])
    found = seed_difference(ours, theirs[:1], spreads, 100)[
        "ap"
    ]  # other numbers of trainings, as their spread is known
    assert found.high - found.low < apart
    with pytest.raises(ValueError, match="2 seeds against 1"):
        seed_difference(ours, theirs[:1], {}, 100)


def test_trainings_on_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="different images"):
        pooled_intervals([evaluate(*spread(0)), evaluate(*spread(0, images=41))], {}, 50)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_a_table_of_matches_gives_the_same_figures_under_any_weights(seed: int, images: int) -> None:
    truth, predictions = crowded(seed, images)
    evaluation = evaluate(truth, predictions)
    again = match_tables.unpack(match_tables.pack(evaluation))
    weights = np.random.default_rng(seed).integers(0, 4, len(truth.images))
    kept = [i for i, f in enumerate(FIGURES) if f.key in match_tables.KEYS]
    for w in (weights, np.ones_like(weights)):
        assert np.array_equal(again.weighted(w)[kept], evaluation.weighted(w)[kept], equal_nan=True)
    assert np.array_equal(again.concerned_I, evaluation.concerned_I)


def test_a_damaged_table_of_matches_is_one_sentence() -> None:
    text = match_tables.pack(evaluate(*spread(0)))
    for damaged in ("", "no table", text[:-8], base64.b64encode(zlib.compress(bytes(16) + b"x")).decode()):
        with pytest.raises(ValueError, match="the table of matches cannot be read"):
            match_tables.unpack(damaged)


def test_the_score_of_ap_carries_its_table() -> None:
    truth, predictions = spread(0)
    found = {s.key: s for s in OksAP().evaluate_predictions(truth, predictions)}
    assert [key for key, s in found.items() if s.matches] == ["ap"]
    again = match_tables.unpack(found["ap"].matches).figures()
    assert again["ap"] == found["ap"].value
