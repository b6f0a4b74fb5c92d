"""Planted errors come back as what they are; classes split the joints; mending does what it says."""

from __future__ import annotations

import contextlib
import io
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import COCO_17, MPII_16
from hpe_bench.metrics import diagnosis_tables as tables
from hpe_bench.metrics.ap_pycocotools import as_coco, as_detections
from hpe_bench.metrics.corrections import ERRORS, JOINT_ERRORS, Error, gains, margin_px, mended
from hpe_bench.metrics.diagnosis import (
    GOOD,
    INVERSION,
    JITTER,
    KINDS,
    MISS,
    SWAP,
    Diagnosis,
    classify,
    diagnose,
    joint_similarity,
)
from hpe_bench.metrics.oks_ap import OksAP
from tests.test_metrics import guesses, oks_by_hand, people, person_set

AREA = 10_000.0
SIGMAS = np.array(COCO_17.sigmas)
K2 = (2 * SIGMAS) ** 2
NOSE, LEFT_WRIST, RIGHT_WRIST, LEFT_KNEE = (
    COCO_17.index(name) for name in ("nose", "left_wrist", "right_wrist", "left_knee")
)


def crowd_scene(images: int = 4) -> PersonSet:
    """Two persons an image, all joints at least 60 px from one another: beyond the reach of ks 0.5 for all joints."""
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(6)), axis=-1).reshape(-1, 2) * 60.0
    order = np.random.default_rng(0).permutation(34)
    joints = np.tile(grid[order].reshape(2, 17, 2), (images, 1, 1))
    n = 2 * images
    return person_set(
        COCO_17,
        joints,
        np.ones((n, 17), dtype=bool),
        image=np.repeat(np.arange(images), 2),
        area=np.full(n, AREA),
        box=np.tile([0.0, 0.0, 300.0, 300.0], (n, 1)),
    )


def free(truth: PersonSet, joints: np.ndarray, score: np.ndarray | None = None) -> Predictions:
    """Detections of their own, in the order and on the images of the persons."""
    n = len(joints)
    score = np.linspace(1, 0.5, n) if score is None else score
    return Predictions(truth.image.copy(), joints.astype(float), np.ones(joints.shape[:2]), score)


def given_persons(truth: PersonSet, joints: np.ndarray) -> Predictions:
    return replace(free(truth, joints), person=np.arange(len(truth)))


def at_similarity(truth: PersonSet, person: int, joint: int, ks: float, angle: float = 0.7) -> np.ndarray:
    """A place with this ks to a true joint, from the definition of OKS solved for the distance."""
    distance = np.sqrt(-2 * truth.area[person] * (2 * SIGMAS[joint]) ** 2 * np.log(ks))
    return truth.joints[person, joint] + distance * np.array([np.cos(angle), np.sin(angle)])


# ---------------------------------------------------------------------------------------------------- planted errors


@pytest.mark.parametrize("made", [free, given_persons])
def test_planted_errors_come_back(made: Any) -> None:
    truth = crowd_scene()
    joints = truth.joints.copy()
    joints[0, NOSE] = at_similarity(truth, 0, NOSE, 0.86)
    joints[0, 1] = at_similarity(truth, 0, 1, 0.84)
    joints[0, 5] = at_similarity(truth, 0, 5, 0.51)
    joints[0, 6] = at_similarity(truth, 0, 6, 0.49)
    joints[1, [LEFT_WRIST, RIGHT_WRIST]] = truth.joints[1, [RIGHT_WRIST, LEFT_WRIST]]
    joints[2, LEFT_KNEE] = truth.joints[3, LEFT_KNEE]
    joints[2, LEFT_WRIST] = truth.joints[3, RIGHT_WRIST]  # the neighbour's, and mirrored
    joints[3, NOSE] = -5000.0
    joints[4, NOSE] = truth.joints[4, LEFT_KNEE]  # near a joint, but of no like kind
    expected = np.full((8, 17), GOOD)
    expected[0, [1, 5]], expected[0, 6] = JITTER, MISS
    expected[1, [LEFT_WRIST, RIGHT_WRIST]] = INVERSION
    expected[2, [LEFT_KNEE, LEFT_WRIST]] = SWAP
    expected[3, NOSE] = expected[4, NOSE] = MISS
    found = diagnose(truth, made(truth, joints))
    assert np.array_equal(found.kind, expected)
    assert found.ks[0, [NOSE, 1, 5, 6]] == pytest.approx([0.86, 0.84, 0.51, 0.49])
    assert tables.overall(found) == tables.ErrorRow("all", 8, 8, good=8 * 17 - 9, jitter=2, inversion=2, swap=2, miss=3)
    assert found.detection.tolist() == list(range(8))
    assert not found.false_positive.any()


def test_the_limits_belong_to_the_better_kind() -> None:
    """F18: exactly 0.85 is good, exactly 0.5 is near; where inversion and swap both hold, the nearer place decides."""
    own = [0.85, np.nextafter(0.85, 0), 0.5, np.nextafter(0.5, 0), 0.1, 0.1, 0.1, 0.1, 0.9]
    inverted = [0.0, 0.0, 0.9, 0.5, 0.7, 0.6, 0.7, 0.49, 0.9]
    swapped = [0.0, 0.9, 0.9, 0.0, 0.6, 0.7, 0.7, 0.49, 0.9]
    kinds = classify(np.array(own), np.array(inverted), np.array(swapped))
    assert [KINDS[k] for k in kinds] == [
        "good",
        "jitter",
        "jitter",
        "inversion",
        "inversion",
        "swap",
        "inversion",
        "miss",
        "good",
    ]


def test_a_central_joint_is_never_inverted_and_a_hidden_neighbour_is_no_lure() -> None:
    truth = crowd_scene(1)
    joints = truth.joints.copy()
    joints[0, NOSE] = truth.joints[1, NOSE]
    assert diagnose(truth, free(truth, joints)).kind[0, NOSE] == SWAP
    labelled = truth.labelled.copy()
    labelled[1, NOSE] = False
    alone = replace(truth, labelled=labelled, visible=labelled)
    found = diagnose(alone, free(truth, joints))
    assert found.kind[0, NOSE] == MISS
    assert found.kind[1, NOSE] == -1
    assert np.isnan(found.ks[1, NOSE])


def test_a_neighbours_joint_is_near_by_the_neighbours_size() -> None:
    """The same place is a swap with a large neighbour and a miss with a small one."""
    truth = crowd_scene(1)
    joints = truth.joints.copy()
    joints[0, LEFT_WRIST] = at_similarity(truth, 1, LEFT_WRIST, 0.6)
    assert diagnose(truth, free(truth, joints)).kind[0, LEFT_WRIST] == SWAP
    small = replace(truth, area=np.array([AREA, AREA / 4]))
    assert diagnose(small, free(truth, joints)).kind[0, LEFT_WRIST] == MISS


# ---------------------------------------------------------------------------------------------------- matching


def test_false_alarms_missed_persons_and_duplicates() -> None:
    truth = crowd_scene(3)
    joints = truth.joints.copy()
    joints[1] += 5000  # nobody is there: a false positive, and person 1 is missed
    twice = Predictions(
        image=np.append(truth.image, [0, 2]),
        joints=np.concatenate((joints, truth.joints[[0]] + 3, truth.joints[[4]] - 4000)),
        joint_scores=np.ones((8, 17)),
        score=np.append(np.linspace(1, 0.5, 6), [0.1, 0.1]),
    )
    found = diagnose(truth, twice)
    assert np.flatnonzero(found.false_positive).tolist() == [1, 6, 7]
    assert np.flatnonzero(found.duplicate).tolist() == [6]
    assert np.flatnonzero(found.false_negative).tolist() == [1]
    assert not found.outranked.any()
    errors = tables.detection_errors(twice, found)
    assert (errors.predictions, errors.false_positives, errors.duplicates) == (8, 3, 1)
    assert (errors.persons, errors.false_negatives, errors.outranked) == (6, 1, 0)
    assert (found.kind[1] == -1).all()


def test_the_better_of_two_scored_lower_is_a_score_error() -> None:
    truth = crowd_scene(2)
    worse = truth.joints + 6.0
    both = Predictions(
        image=np.append(truth.image, [0]),
        joints=np.concatenate((worse, truth.joints[[1]])),
        joint_scores=np.ones((5, 17)),
        score=np.array([0.9, 0.8, 0.7, 0.6, 0.3]),
    )
    found = diagnose(truth, both)
    assert np.flatnonzero(found.outranked).tolist() == [1]
    assert np.flatnonzero(found.duplicate).tolist() == [4]
    assert tables.detection_errors(both, found).score_order is None  # all matched ones are equally good
    first = diagnose(truth, replace(both, score=np.array([0.9, 0.8, 0.7, 0.6, 0.85])))
    assert not first.outranked.any()
    assert first.detection[1] == 4
    assert first.duplicate[1]


def test_scores_that_rank_like_oks_have_order_1() -> None:
    truth = crowd_scene(4)
    joints = truth.joints + np.arange(8)[:, None, None]
    for score, order in ((np.linspace(1, 0.5, 8), 1), (np.linspace(0.5, 1, 8), -1)):
        predictions = free(truth, joints, score)
        assert tables.detection_errors(predictions, diagnose(truth, predictions)).score_order == pytest.approx(order)


def test_a_prediction_for_a_given_person_answers_for_nobody_else() -> None:
    """Boxes given: a pose on the neighbour is near neither its own person nor free to take the other."""
    truth = crowd_scene(1)
    joints = truth.joints[[1, 1]]
    found = diagnose(truth, given_persons(truth, joints))
    assert found.detection.tolist() == [-1, 1]
    assert found.false_negative.tolist() == [True, False]
    assert found.false_positive.tolist() == [True, False]
    assert found.duplicate.tolist() == [True, False]
    assert not found.outranked.any()


def test_the_match_begins_at_oks_one_tenth() -> None:
    truth = crowd_scene(1).subset(np.array([0]))
    for ks, expected in ((0.1 + 1e-9, True), (0.1 - 1e-9, False)):
        joints = np.stack([at_similarity(truth, 0, j, ks) for j in range(17)])[None]
        for made in (free, given_persons):
            assert diagnose(truth, made(truth, joints)).found[0] == expected


def test_who_is_not_to_be_found_is_not_missed_and_excuses_what_is_on_it() -> None:
    """A crowd region takes any number of detections, a person without joints one, by its box, as in COCO."""
    truth = crowd_scene(2)
    labelled = truth.labelled.copy()
    labelled[[1, 3]] = False
    box = truth.box.copy()
    box[[1, 3]] = [2000, 2000, 100, 100]
    crowd = np.array([False, True, False, False])
    truth = replace(truth, labelled=labelled, visible=labelled, crowd=crowd, box=box)
    inside = np.full((17, 2), 2050.0)
    joints = np.stack([truth.joints[0], inside, inside + 1, truth.joints[2], inside, inside + 1])
    predictions = Predictions(np.array([0, 0, 0, 1, 1, 1]), joints, np.ones((6, 17)), np.linspace(1, 0.5, 6))
    found = diagnose(truth, predictions)
    assert found.wanted.tolist() == [True, False, True, False]
    assert found.counted.tolist() == [True, False, False, True, False, True]
    assert np.flatnonzero(found.false_positive).tolist() == [5]
    assert not found.false_negative.any()


def test_only_the_20_best_detections_of_an_image_count() -> None:
    truth = crowd_scene(1)
    far = np.tile(truth.joints[0] + 5000, (24, 1, 1))
    far[23] = truth.joints[0]
    many = Predictions(np.zeros(24, dtype=int), far, np.ones((24, 17)), np.linspace(1, 0, 24))
    found = diagnose(truth, many)
    assert found.counted.sum() == 20
    assert not found.found.any()
    _, better = mended(truth, many, found, ("false positive",))
    assert len(better) == 0  # the one beyond the 20 has not moved up


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(1, 80), st.integers(0, 80))
def test_free_detections_match_as_pycocotools_does_at_one_tenth(seed: int, error: float, more: int) -> None:
    """With crowds, persons without joints, tied scores and images of more than 20 detections."""
    truth = people(seed, count=20, images=3)
    rng = np.random.default_rng(seed)
    labelled = truth.labelled & (rng.random(20) < 0.8)[:, None]
    truth = replace(truth, labelled=labelled, visible=truth.visible & labelled, crowd=rng.random(20) < 0.2)
    predictions = detections_of(truth, seed, error, more)
    with contextlib.redirect_stdout(io.StringIO()):
        source = COCO()
        source.dataset = as_coco(truth)
        source.createIndex()
        evaluation = COCOeval(source, source.loadRes(as_detections(truth, predictions)), "keypoints")
        evaluation.params.iouThrs = np.array([0.1])
        evaluation.evaluate()
    person, counted = np.full(len(predictions), -1), np.zeros(len(predictions), dtype=bool)
    for image in (e for e in evaluation.evalImgs[:3] if e is not None):  # of all sizes
        rows = np.array(image["dtIds"]) - 1
        counted[rows] = ~image["dtIgnore"][0].astype(bool)
        person[rows] = np.where(counted[rows], image["dtMatches"][0].astype(int) - 1, -1)
    found = diagnose(truth, predictions)
    assert np.array_equal(found.counted, counted)
    assert np.array_equal(found.person, person)


# ---------------------------------------------------------------------------------------------------- properties


def detections_of(truth: PersonSet, seed: int, error_px: float, more: int) -> Predictions:
    """A noisy pose for every person with joints of left, right and others mixed up, and some poses of nobody's."""
    rng = np.random.default_rng(seed)
    joints, _ = guesses(truth, seed, error_px)
    mixed = rng.random(truth.labelled.shape) < 0.2
    joints = np.where(mixed[..., None], joints[:, list(COCO_17.mirrored())], joints)
    joints[rng.random(truth.labelled.shape) < 0.1] += 300
    image = np.append(truth.image, rng.integers(0, len(truth.images), more))
    joints = np.concatenate((joints, rng.uniform(0, 200, (more, 17, 2))))
    score = rng.integers(0, 10, len(image)) / 10  # ties
    return Predictions(image, joints, np.ones((len(image), 17)), score.astype(float))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(1, 80), st.integers(0, 12), st.booleans())
def test_kinds_split_the_labelled_joints_of_found_persons(seed: int, error: float, more: int, boxes: bool) -> None:
    truth = people(seed, count=14, images=5)
    predictions = detections_of(truth, seed, error, more)
    if boxes:
        kept = np.arange(len(truth))
        predictions = given_persons(truth, predictions.joints[kept])
    found = diagnose(truth, predictions)
    judged = truth.labelled & found.found[:, None]
    assert ((found.kind >= 0) == judged).all()
    assert (np.isfinite(found.ks) == judged).all()
    assert ((found.kind == GOOD) == (judged & (found.ks >= 0.85))).all()
    assert ((found.kind == JITTER) == (judged & (found.ks >= 0.5) & (found.ks < 0.85))).all()
    assert np.nanmean(np.append(found.oks, 1.0)) >= 0.1
    assert found.oks[found.found] == pytest.approx([np.nanmean(row) for row in found.ks[found.found]])
    matched = np.flatnonzero(found.person >= 0)
    assert (found.detection[found.person[matched]] == matched).all()
    assert (truth.image[found.person[matched]] == predictions.image[matched]).all()
    whole = tables.overall(found)
    assert whole.joints == judged.sum()
    splits = [
        table(truth, found) for table in (tables.by_area, tables.by_stature, tables.by_hidden, tables.by_crowding)
    ]
    for rows in splits:
        for field in fields(whole)[1:]:
            assert sum(getattr(row, field.name) for row in rows) == getattr(whole, field.name)
    assert sum(row.joints for row in tables.by_joint(truth, found)) == whole.joints


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(1, 80))
def test_a_diagnosis_does_not_depend_on_the_order_of_images_or_persons(seed: int, error: float) -> None:
    truth = people(seed, count=14, images=5)
    predictions = replace(detections_of(truth, seed, error, 4), score=np.random.default_rng(seed).random(18))
    shuffled = np.random.default_rng(seed + 1).permutation(14)
    here, there = diagnose(truth, predictions), diagnose(truth.subset(shuffled), predictions)
    assert np.array_equal(here.kind[shuffled], there.kind)
    assert np.array_equal(here.detection[shuffled], there.detection)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(1, 80), st.floats(0.85, 1.0))
def test_mended_joints_land_where_they_should_and_are_good(seed: int, error: float, similarity: float) -> None:
    """F18: the circle is that of OKS itself."""
    truth = people(seed, count=10, images=4)
    predictions = detections_of(truth, seed, error, 3)
    found = diagnose(truth, predictions)
    for kind in JOINT_ERRORS:
        _, better = mended(truth, predictions, found, (kind,), similarity)
        persons, joints = np.nonzero(found.kind == KINDS.index(kind))
        offset = better.joints[found.detection[persons], joints] - truth.joints[persons, joints]
        ks = joint_similarity((offset**2).sum(-1), truth.area[persons], K2[joints])
        assert ks == pytest.approx(np.full(len(ks), similarity), abs=1e-8)
        assert (ks >= 0.85).all()
        before = predictions.joints[found.detection[persons], joints] - truth.joints[persons, joints]
        lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(offset, axis=1)
        assert (before * offset).sum(-1) == pytest.approx(lengths)  # the same direction
        changed = (better.joints != predictions.joints).any(-1)
        assert changed.sum() == len(ks)


def test_the_margin_in_pixels() -> None:
    """ks 0.85 of a wrist (sigma 0.062) of a person of 100 x 100 px: 2 * 0.062 * 100 * sqrt(-2 ln 0.85) = 7.07 px."""
    assert margin_px(np.array(1e4), K2[LEFT_WRIST], 0.85) == pytest.approx(7.0695, abs=1e-4)


# ---------------------------------------------------------------------------------------------------- AP


def planted(truth: PersonSet) -> np.ndarray:
    """Every kind of joint error, on different persons, the other joints exact."""
    joints = truth.joints.copy()
    joints[0, :6] = -5000
    joints[1, 5:] = truth.joints[1, list(COCO_17.mirrored())[5:]]
    joints[2, :8] = truth.joints[3, :8]
    joints[4] = [at_similarity(truth, 4, j, 0.6) for j in range(17)]
    return joints


def test_mending_everything_gives_100() -> None:
    truth = crowd_scene(4)
    predictions = free(truth, planted(truth))
    found = diagnose(truth, predictions)
    assert not found.false_positive.any()
    whole = gains(truth, predictions, found, similarity=1)
    assert whole.ap < 75
    assert whole.gains[-1].so_far == pytest.approx(100)
    assert [gain.error for gain in whole.gains] == list(ERRORS)
    assert [gain.errors for gain in whole.gains] == [6, 8, 12, 17, None, 0, 0]
    assert all(whole.won(error) > 0 for error in JOINT_ERRORS)
    assert whole.gains[3].so_far == pytest.approx(100)  # it took no more than the joints
    assert whole.won("false positive") == whole.won("false negative") == 0


def test_mending_to_the_margin_wins_less_and_is_not_enough_for_100() -> None:
    """Person 4 then has OKS 0.85 exactly: right at thresholds up to 0.85 and wrong at 0.90 and 0.95."""
    truth = crowd_scene(4)
    predictions = free(truth, planted(truth))
    found = diagnose(truth, predictions)
    margin, full = gains(truth, predictions, found), gains(truth, predictions, found, similarity=1)
    assert margin.ap == full.ap
    for less, more in zip(margin.gains, full.gains, strict=True):
        assert less.so_far <= more.so_far + 1e-9
    _, better = mended(truth, predictions, found, JOINT_ERRORS)
    assert diagnose(truth, better).oks[4] == pytest.approx(0.85, abs=1e-8)
    assert margin.gains[-1].so_far < 100


@pytest.mark.parametrize("error", ERRORS)
def test_each_mending_removes_its_own_errors_only(error: Error) -> None:
    truth = crowd_scene(4)
    joints = planted(truth)
    joints[6] += 5000
    predictions = free(truth, joints)
    found = diagnose(truth, predictions)
    after = diagnose(*mended(truth, predictions, found, (error,), similarity=1))

    def counts(diagnosis: Diagnosis) -> dict[str, int]:
        whole = tables.overall(diagnosis)
        return {kind: getattr(whole, kind) for kind in JOINT_ERRORS} | {
            "score": 0,
            "false positive": int(diagnosis.false_positive.sum()),
            "false negative": int(diagnosis.false_negative.sum()),
        }

    assert counts(found) == {
        "miss": 6,
        "inversion": 12,
        "swap": 8,
        "jitter": 17,
        "score": 0,
        "false positive": 1,
        "false negative": 1,
    }
    assert counts(after) == counts(found) | {error: 0}


def test_optimal_scores_put_false_alarms_last() -> None:
    """A false alarm with the best score costs precision everywhere; scored by OKS it costs nothing."""
    truth = crowd_scene(4)
    joints = np.concatenate((truth.joints[[0]] + 5000, truth.joints))
    predictions = Predictions(np.append(0, truth.image), joints, np.ones((9, 17)), np.linspace(1, 0.2, 9))
    found = diagnose(truth, predictions)
    result = gains(truth, predictions, found)
    assert result.ap < 95
    assert result.ap + result.won("score") == pytest.approx(100)
    assert result.ap + result.won("false positive") == pytest.approx(100)
    assert result.won("false negative") == 0


def test_oks_and_the_ap_before_mending_are_the_metrics() -> None:
    truth = people(count=30)
    joints, scores = guesses(truth, error_px=8)
    predictions = Predictions(truth.image, joints, scores, scores.mean(axis=1), np.arange(30))
    found = diagnose(truth, predictions)
    assert found.oks[found.found] == pytest.approx(oks_by_hand(truth, joints)[found.found], abs=1e-12)
    assert gains(truth, predictions, found).ap == OksAP().evaluate(truth, joints, scores)[0].value


# ---------------------------------------------------------------------------------------------------- tables


def test_bands_by_hand() -> None:
    truth = crowd_scene(2)  # persons 0 and 1, 2 and 3 share an image
    visible = truth.visible.copy()
    visible[1, :5] = False
    visible[2, :6] = False
    box = np.array([[0, 0, 100, 100], [50, 0, 100, 200], [0, 0, 100, 300], [95, 0, 100, 400.0]])
    truth = replace(truth, visible=visible, box=box, area=np.array([900.0, 32**2, 96**2, 1e5]))
    joints = truth.joints.copy()
    joints[3] += 5000
    found = diagnose(truth, free(truth, joints))

    def told(rows: tuple[tables.ErrorRow, ...]) -> dict[str, tuple[int, int]]:
        return {row.name: (row.persons, row.found) for row in rows}

    assert told(tables.by_area(truth, found)) == {
        "small, below 32² px": (1, 1),
        "medium": (1, 1),
        "large, from 96² px": (2, 1),
    }
    assert told(tables.by_stature(truth, found)) == {
        "below 200 px": (1, 1),
        "200 to 300 px": (1, 1),
        "from 300 px": (2, 1),
    }
    assert told(tables.by_hidden(truth, found)) == {
        "no joint hidden": (2, 1),
        "up to a third hidden": (1, 1),
        "more than a third hidden": (1, 1),
    }
    assert tables.crowding(truth).tolist() == [1, 1, 0, 0]  # 5000 of 25000 px^2, and 1500 of 68500
    assert told(tables.by_crowding(truth, found)) == {"nobody else": (2, 1), "one or two others": (2, 2)}


def test_errors_by_joint() -> None:
    truth = crowd_scene(2)
    labelled = truth.labelled.copy()
    labelled[0, NOSE] = False
    truth = replace(truth, labelled=labelled, visible=labelled)
    joints = truth.joints.copy()
    joints[1, NOSE] = -5000
    joints[3] += 5000
    rows = {row.name: row for row in tables.by_joint(truth, diagnose(truth, free(truth, joints)))}
    assert rows["nose"] == tables.ErrorRow("nose", 3, 2, good=1, jitter=0, inversion=0, swap=0, miss=1)
    assert rows["left_hip"] == tables.ErrorRow("left_hip", 4, 3, good=3, jitter=0, inversion=0, swap=0, miss=0)


# ---------------------------------------------------------------------------------------------------- errors


def test_what_cannot_be_diagnosed_is_said() -> None:
    truth = crowd_scene(2)
    right = given_persons(truth, truth.joints)
    mpii = people(skeleton=MPII_16, count=4)
    area = truth.area.copy()
    area[2] = np.nan
    cases = [
        (mpii, free(mpii, mpii.joints), "'mpii-16' defines no OKS sigmas"),
        (truth, free(mpii, mpii.joints), "16 joints, the skeleton 'coco-17' 17"),
        (replace(truth, area=area), right, "person 2 has no area"),
        (truth, replace(right, image=np.array([0, 0, 1, 7])), "detection 3 is on image 7"),
        (truth, replace(right, person=np.array([0, 1, 2, 9])), "names person 9 of 4"),
        (truth, replace(right, person=np.array([0, 1, 2, 0])), "detection 3 names person 0, who is on another image"),
        (truth, replace(right, person=np.array([0, 0, 2, 3])), "person 0 has several predictions"),
    ]
    for persons, predictions, words in cases:
        with pytest.raises(ValueError, match=words):
            diagnose(persons, predictions)
    lost = free(truth, truth.joints + 9000)
    with pytest.raises(ValueError, match="near any person"):
        gains(truth, lost, diagnose(truth, lost))
    with pytest.raises(ValueError, match=r"similarity 0\.7; give 0\.85"):
        mended(truth, right, diagnose(truth, right), ("miss",), similarity=0.7)


def test_no_detection_and_no_person_at_all() -> None:
    truth = crowd_scene(2)
    nothing = Predictions(np.zeros(0, dtype=int), np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0))
    found = diagnose(truth, nothing)
    assert tables.detection_errors(nothing, found) == tables.DetectionErrors(0, 0, 0, 4, 4, 0, None)
    assert tables.overall(found).joints == 0
    nobody = truth.subset(np.zeros(0, dtype=int))
    found = diagnose(nobody, free(truth, truth.joints))
    assert found.false_positive.all()
    assert tables.by_area(nobody, found) == tables.by_stature(nobody, found) == ()
