"""AUC, PCP, visibility, joints on the threshold, the MPII tables' groups, and paired tests of two predictions."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import COCO_17, LSP_14, MPII_16
from hpe_bench.declare import Score, fingerprint
from hpe_bench.metrics.auc import AUC
from hpe_bench.metrics.bootstrap import paired_difference
from hpe_bench.metrics.oks_ap import OksAP
from hpe_bench.metrics.paired import paired_rates
from hpe_bench.metrics.pck import PCK
from hpe_bench.metrics.pckh import PCKh
from hpe_bench.metrics.pcp import PARTS, PCP
from hpe_bench.metrics.rates import Comparator, on_threshold, side_means, visibility_scores
from tests.test_metrics import guesses, mpii_persons, people, person_set, run

GROUPS = ("head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")


@pytest.fixture(scope="module")
def hourglass(shared_data: Path) -> tuple[PersonSet, np.ndarray, dict[str, Any]]:
    """MPII validation with its visibility flags, predictions of the stacked hourglass, and its PCKh (all 1-based)."""
    folder = shared_data / "mpii_eval_oracle"
    file = loadmat(folder / "gt_valid.mat")
    fields = (file["pos_gt_src"], file["jnt_missing"], file["headboxes_src"])
    truth = mpii_persons(*(np.moveaxis(field, -1, 0).astype(float) for field in fields))
    seen = np.array([person["joints_visible"] for person in json.loads((folder / "valid.json").read_text())]) == 1
    predicted = np.load(folder / "preds_hourglass.npy").astype(float)
    truth = replace(truth, visible=truth.labelled & seen)
    return truth, predicted, json.loads((folder / "expected.json").read_text())


def keyed(scores: list[Score]) -> dict[str, Score]:
    assert len({score.key for score in scores}) == len(scores)
    return {score.key: score for score in scores}


def test_a_metric_shares_code_and_keeps_its_identity() -> None:
    """Committed records name these fingerprints."""
    found = [fingerprint(metric) for metric in (PCKh(0.5), PCK(0.2), PCKh(0.11, "<"))]
    assert found == ["7279dab80402560a", "e3a974de2a455695", "ea6b36bd27a1242e"]


# ---------------------------------------------------------------------------------------------------- MPII tables


@pytest.mark.parametrize(("threshold", "key", "table"), [(0.5, "@0.5", "0.5"), (0.1, "@0.10", "0.1")])
def test_groups_of_the_mpii_tables(hourglass: Any, threshold: float, key: str, table: str) -> None:
    truth, predicted, expected = hourglass
    scores = PCKh(threshold).evaluate(truth, predicted, np.ones(truth.labelled.shape))
    sides = side_means(MPII_16, f"pckh{key}", scores)
    assert [side.key for side in sides] == [f"pckh{key}/sides/{name}" for name in GROUPS]
    assert [round(side.value, 4) for side in sides] == [expected[f"PCKh@{table}"][name] for name in GROUPS]
    assert sides[-1].n == expected["annotated_joints"]["rank"] + expected["annotated_joints"]["lank"]


def test_groups_that_the_hrnet_evaluator_prints() -> None:
    """200 synthetic persons, predictions 0-based, truth 1-based."""
    with np.load(Path(__file__).parent / "data" / "metrics_mpii_pckh.npz") as file:
        stored = dict(file)
    truth = mpii_persons(stored["joints_1based"] - 1, stored["missing"], stored["headbox"])
    scores = PCKh(0.5).evaluate(truth, stored["predicted_0based"], np.ones(truth.labelled.shape))
    for side in side_means(MPII_16, "pckh@0.5", scores):
        assert side.value == pytest.approx(float(stored[side.key.rpartition("/")[2]]), abs=1e-9)


def test_a_group_with_an_unscored_side_has_no_mean_of_sides() -> None:
    scores = [Score("pck@0.2/joint/left_hip", 50.0, 10), Score("pck@0.2/joint/left_knee", 50.0, 10)]
    both = [*scores, Score("pck@0.2/joint/right_hip", 100.0, 30)]
    assert side_means(LSP_14, "pck@0.2", scores) == []
    assert side_means(LSP_14, "pck@0.2", both) == [Score("pck@0.2/sides/hip", 75.0, 40)]


# ---------------------------------------------------------------------------------------------------- AUC


@pytest.mark.parametrize("comparator", ["<=", "<"])
def test_auc_is_the_trapezoid_of_51_pckhs(hourglass: Any, comparator: Comparator) -> None:
    """Against PCKh scored 51 times; the grid holds the published rows."""
    truth, predicted, expected = hourglass
    metric = AUC(PCKh(0.5, comparator))
    columns = [j for j, name in enumerate(MPII_16.joints) if name not in ("pelvis", "thorax")]
    counted = truth.labelled[:, columns].sum()
    rates = [
        100 * PCKh(max(k / 100, 1e-300), comparator).hits(truth, predicted)[:, columns].sum() / counted
        for k in range(51)
    ]
    thresholds, curve = metric.curve(truth, predicted)
    assert thresholds.tolist() == [k / 100 for k in range(51)]
    assert curve[1:] == pytest.approx(rates[1:], abs=1e-12)
    exact = (truth.joints == predicted).all(-1) & truth.labelled  # at threshold 0 only these, and only under "<="
    assert curve[0] == pytest.approx(100 * exact[:, columns].sum() / counted if comparator == "<=" else 0.0)
    found = run(metric, truth, predicted)[metric.key]
    assert found.value == pytest.approx(np.trapezoid(curve, thresholds) / 0.5, abs=1e-9)
    assert found.n == counted
    if comparator == "<=":
        printed = [round(curve[k], 4) for k in (50, 10, 11)]
        assert printed == [expected[f"PCKh@{name}"]["mean"] for name in ("0.5", "0.1", "0.11")]


def test_auc_keys_tell_the_grid() -> None:
    assert AUC().key == "pckh-auc@0:0.01:0.5"
    assert AUC(PCKh(0.5, "<")).key == "pckh-auc@<0:0.01:0.5"
    assert AUC(PCKh(0.5, excluded=())).key == "pckh-all-auc@0:0.01:0.5"
    assert AUC(PCK(0.2)).key == "pck-auc@0:0.01:0.2"
    with pytest.raises(ValueError, match="whole hundredths"):
        AUC(PCKh(0.125))


def test_auc_by_hand() -> None:
    """Heads of 20 px: joints off by 0, 4, 10 and 11 px are reached at 0, 0.2, 0.5 and never."""
    joints = np.zeros((1, 17, 2))
    predicted = joints.copy()
    predicted[0, :4, 0] = [0, 4, 10, 11]
    labelled = np.zeros((1, 17), dtype=bool)
    labelled[0, :4] = True
    found = run(AUC(), person_set(COCO_17, joints, labelled), predicted)
    key = "pckh-auc@0:0.01:0.5"
    by_joint = [found[f"{key}/joint/{name}"].value for name in COCO_17.joints[:4]]
    assert by_joint == pytest.approx([100, 61, 1, 0])  # (0.3 + half a step) / 0.5, half a step / 0.5
    assert found[key].value == pytest.approx(162 / 4)
    assert found[key].hits_per_image == (162,)
    assert found[key].counts_per_image == (400,)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["<=", "<"]), st.floats(0.3, 3.0))
def test_auc_lies_under_the_rate_at_its_end(seed: int, comparator: Comparator, error: float) -> None:
    truth = people(seed, count=12, images=6)
    predicted, scores = guesses(truth, seed, error_px=10 * error)
    rate = PCKh(0.5, comparator)
    auc = keyed(AUC(rate).evaluate(truth, predicted, scores))
    whole = keyed(rate.evaluate(truth, predicted, scores))
    for key, score in whole.items():
        area = auc[key.replace("pckh@<0.5", AUC(rate).key).replace("pckh@0.5", AUC(rate).key)]
        assert area.value <= score.value + 1e-9
        assert area.n == score.n
    perfect = AUC(rate).evaluate(truth, truth.joints, scores)[0].value
    assert perfect == (100.0 if comparator == "<=" else 99.0)  # "<" has nothing at threshold 0: half a step less


# ---------------------------------------------------------------------------------------------------- visibility, F12


def test_visible_and_hidden_joints_of_mpii_make_the_whole(hourglass: Any) -> None:
    truth, predicted, expected = hourglass
    found = keyed(visibility_scores(PCKh(0.5), truth, predicted))
    seen, hidden = found["pckh@0.5/visible"], found["pckh@0.5/hidden"]
    n = sum(count for name, count in expected["annotated_joints"].items() if name not in ("pelv", "thor"))
    assert seen.n + hidden.n == n
    assert round((seen.value * seen.n + hidden.value * hidden.n) / n, 4) == expected["PCKh@0.5"]["mean"]
    assert hidden.value < seen.value - 10
    assert "pckh@0.5/hidden/wrist" in found
    assert "pckh@0.5/visible/joint/head_top" in found


def test_visibility_by_hand_and_with_one_half_only() -> None:
    truth = person_set(COCO_17, np.zeros((1, 17, 2)), np.ones((1, 17), dtype=bool))
    predicted = np.zeros((1, 17, 2))
    predicted[0, :3] = 100.0
    visible = np.ones((1, 17), dtype=bool)
    visible[0, :4] = False
    found = keyed(visibility_scores(PCKh(0.5), replace(truth, visible=visible), predicted))
    assert (found["pckh@0.5/visible"].value, found["pckh@0.5/visible"].n) == (100.0, 13)
    assert (found["pckh@0.5/hidden"].value, found["pckh@0.5/hidden"].n) == (25.0, 4)
    assert all("hidden" not in key for key in keyed(visibility_scores(PCKh(0.5), truth, predicted)))


def test_pck_of_hidden_joints_keeps_its_torso() -> None:
    """The torso is measured between joints that are seen while the hidden ones are scored."""
    joints = np.zeros((1, 14, 2))
    joints[0, LSP_14.index("left_shoulder")] = [30, 40]
    visible = np.ones((1, 14), dtype=bool)
    visible[0, 0] = False
    truth = person_set(LSP_14, joints, np.ones((1, 14), dtype=bool), visible=visible)
    found = keyed(visibility_scores(PCK(0.2), truth, joints))
    assert (found["pck@0.2/hidden"].value, found["pck@0.2/hidden"].n) == (100.0, 1)


def test_joints_on_the_threshold_are_what_the_comparators_disagree_on(hourglass: Any) -> None:
    """F12: whole-pixel predictions, and the truth with the noise of 1e-5 px taken off that its file has."""
    noisy, predicted, _ = hourglass
    head_size = 0.6 * np.sqrt(np.round((noisy.head_size / 0.6) ** 2))
    truth = replace(noisy, joints=np.round(noisy.joints), head_size=head_size)
    assert sum(on_threshold(PCKh(0.1), noisy, predicted).hits_per_image or ()) == 0
    assert sum(on_threshold(PCKh(0.1), truth, predicted).hits_per_image or ()) > 0
    for threshold in (0.5, 0.1):
        on = on_threshold(PCKh(threshold), truth, predicted)
        loose, strict = (
            PCKh(threshold, c).evaluate(truth, predicted, np.ones(truth.labelled.shape))[0] for c in ("<=", "<")
        )
        assert sum(on.hits_per_image or ()) == sum(loose.hits_per_image or ()) - sum(strict.hits_per_image or ())
        assert on.n == loose.n
    whole = person_set(COCO_17, np.zeros((2, 17, 2)), np.ones((2, 17), dtype=bool))
    on = on_threshold(PCKh(0.5), whole, np.tile([6.0, 8.0], (2, 17, 1)))  # 10 px of a head of 20
    assert (on.key, on.value, on.hits_per_image) == ("pckh@0.5/on-threshold", 100.0, (17, 17))


# ---------------------------------------------------------------------------------------------------- PCP


def stick_figure() -> np.ndarray:
    """LSP joints [14,2] of a standing person: every limb 40 px long, arms and legs straight down."""
    at = {"head_top": (0, -40), "neck": (0, 0)}
    for side, x in (("right", -20), ("left", 20)):
        at |= {f"{side}_shoulder": (x, 0), f"{side}_elbow": (x, 40), f"{side}_wrist": (x, 80)}
        at |= {f"{side}_hip": (x, 40), f"{side}_knee": (x, 80), f"{side}_ankle": (x, 120)}
    return np.array([at[name] for name in LSP_14.joints], dtype=float)


def test_pcp_needs_both_ends_within_half_the_limb() -> None:
    figure = stick_figure()
    truth = person_set(LSP_14, figure[None], np.ones((1, 14), dtype=bool))
    moved = figure.copy()
    moved[LSP_14.index("left_wrist")] += [20, 0]  # exactly half a forearm: right
    moved[LSP_14.index("right_wrist")] += [0, 20.01]
    moved[LSP_14.index("left_ankle")] += [0, 39]  # the mean of 0 and 39 px is within half: the loose variant's hit
    moved[LSP_14.index("head_top")] += [12, 16.1]
    found = run(PCP(), truth, moved[None])
    wrong = {name for name, _, _ in PARTS if found[f"pcp-strict@0.5/part/{name}"].value == 0}
    assert wrong == {"right_forearm", "left_lower_leg", "head"}
    assert found["pcp-strict@0.5"].value == 70
    assert found["pcp-strict@0.5"].n == 10
    assert found["pcp-strict@0.5/forearm"].value == 50
    assert found["pcp-strict@0.5/upper_arm"].n == 2
    assert found["pcp-strict@0.5/torso"].value == 100


def test_the_torso_of_pcp_lies_between_middles() -> None:
    """Both shoulders swapped leave their middle in place; both moved by more than half a torso do not."""
    figure, shoulders = stick_figure(), [LSP_14.index("left_shoulder"), LSP_14.index("right_shoulder")]
    truth = person_set(LSP_14, figure[None], np.ones((1, 14), dtype=bool))
    swapped, moved = figure.copy(), figure.copy()
    swapped[shoulders] = figure[shoulders[::-1]]
    moved[shoulders] += [21, 0]
    assert run(PCP(), truth, swapped[None])["pcp-strict@0.5/torso"].value == 100
    assert run(PCP(), truth, moved[None])["pcp-strict@0.5/torso"].value == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(1, 60))
def test_pcp_against_a_plain_loop(seed: int, error_px: float) -> None:
    truth = people(seed, count=6, images=4, skeleton=LSP_14)
    predicted, _ = guesses(truth, seed, error_px)
    right, counted = [], []
    for n, (_, *ends) in product(range(len(truth)), PARTS):
        columns = [[LSP_14.index(joint) for joint in end] for end in ends]
        true_a, true_b = (truth.joints[n, c].mean(axis=0) for c in columns)
        found_a, found_b = (predicted[n, c].mean(axis=0) for c in columns)
        half = 0.5 * np.linalg.norm(true_a - true_b)
        counted.append(truth.labelled[n, np.concatenate(columns)].all())
        right.append(np.linalg.norm(found_a - true_a) <= half and np.linalg.norm(found_b - true_b) <= half)
    if not any(counted):
        with pytest.raises(ValueError, match="both ends labelled"):
            PCP().evaluate(truth, predicted, np.ones(truth.labelled.shape))
        return
    found = run(PCP(), truth, predicted)["pcp-strict@0.5"]
    assert found.n == sum(counted)
    assert sum(found.hits_per_image or ()) == sum(r and c for r, c in zip(right, counted, strict=True))


def test_pcp_says_what_it_cannot_score() -> None:
    coco = people()
    with pytest.raises(ValueError, match="LSP skeleton"):
        PCP().evaluate(coco, *guesses(coco))
    with pytest.raises(ValueError, match="positive share"):
        PCP(0.0)


# ---------------------------------------------------------------------------------------------------- paired


@pytest.mark.parametrize("metric", [PCKh(0.5), AUC(PCKh(0.5))])
def test_two_predictions_are_compared_key_by_key(metric: Any) -> None:
    truth = people(count=200, images=100)
    good, bad = (guesses(truth, 5, error_px=e)[0] for e in (8, 12))
    found = paired_rates(metric, truth, good, bad)
    a, b = run(metric, truth, good), run(metric, truth, bad)
    assert set(found) == {key for key in a if "/joint/" not in key}
    for key, difference in found.items():
        assert difference.value == pytest.approx(a[key].value - b[key].value)
        tallies = [[(s[key].hits_per_image, s[key].counts_per_image)] for s in (a, b)]
        assert difference == paired_difference(*tallies)
    assert found[metric.key].decided
    assert found[metric.key].p_value < 0.01


def test_a_paired_test_is_sharper_than_two_intervals() -> None:
    """What makes an image hard for both cancels: one joint better on half of the images, nothing else different."""
    truth = people(count=120, images=60)
    predicted = guesses(truth, 5, error_px=25)[0]
    better = predicted.copy()
    better[::2, 0] = np.where(truth.labelled[::2, 0, None], truth.joints[::2, 0], better[::2, 0])
    found = paired_rates(PCKh(0.5), truth, better, predicted)["pckh@0.5"]
    alone = run(PCKh(0.5), truth, predicted)["pckh@0.5"].interval
    assert found.decided
    assert found.high - found.low < 0.5 * (alone[1] - alone[0])
    same = paired_rates(PCKh(0.5), truth, predicted, predicted)["pckh@0.5"]
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_ap_has_no_tallies_to_pair() -> None:
    truth = people()
    predicted = guesses(truth)[0]
    with pytest.raises(ValueError, match="no tallies to pair"):
        paired_rates(OksAP(), truth, predicted, predicted)
