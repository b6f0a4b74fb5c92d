"""Part-based branching: the information estimator, the grouping, the record of groups, and the branched network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hpe_bench.papers.hourglass.model import NEWELL_STEM, StackedHourglass
from hpe_bench.papers.part_branching import grouping, groups, model
from hypothesis import given, settings
from hypothesis import strategies as st

from hpe_bench.cost.dispatched import count_on_meta, on_meta
from hpe_bench.data.skeletons import COCO_17, LSP_14, MPII_16

SKELETONS = {s.name: s for s in (COCO_17, MPII_16, LSP_14)}
RECORDS = json.loads(groups.FOUND.read_text())

# ------------------------------------------------------------------------------------------------- information


def gaussian_pair(correlation: float, dimensions: int, samples: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors whose coordinates correlate pairwise: I = -dimensions / 2 * log(1 - correlation^2)."""
    rng = np.random.default_rng(0)
    a, noise = rng.standard_normal((2, samples, dimensions))
    return a, correlation * a + (1 - correlation**2) ** 0.5 * noise


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
def test_information_of_gaussians(correlation: float, dimensions: int) -> None:
    exact = -dimensions / 2 * np.log(1 - correlation**2)
    found = grouping.mutual_information(*gaussian_pair(correlation, dimensions))
    assert found == pytest.approx(exact, abs=0.05)


def test_information_of_a_uniform_ring() -> None:
    """b = a + uniform(-w, w) with a uniform on a circle of length 1: I = -log(2w). No correlation would show it."""
    rng = np.random.default_rng(0)
    a = rng.uniform(size=(3000, 1))
    b = (a + rng.uniform(-0.1, 0.1, a.shape)) % 1
    on_circle = np.concatenate([np.cos(2 * np.pi * a), np.sin(2 * np.pi * a)], axis=1)
    assert grouping.mutual_information(on_circle, b) == pytest.approx(-np.log(0.2), abs=0.1)
    assert abs(np.corrcoef(on_circle[:, 1] ** 2, b[:, 0])[0, 1]) < 0.1


def test_information_ignores_units_and_order() -> None:
    """A common unit exactly; a unit for each within the error of the sample (the maximum norm weighs them)."""
    a, b = gaussian_pair(0.6, 2, samples=1000)
    plain = grouping.mutual_information(a, b)
    assert grouping.mutual_information(b, a) == pytest.approx(plain, abs=1e-9)
    assert grouping.mutual_information(4 * a + 3, 4 * b - 5) == pytest.approx(plain, abs=1e-6)
    assert grouping.mutual_information(4 * a, b) == pytest.approx(plain, abs=0.1)


def poses(samples: int = 600) -> grouping.Poses:
    """LSP's joints, each on its own but for the right wrist, which follows the right elbow; some are not labelled."""
    rng = np.random.default_rng(1)
    joints = rng.uniform(-0.5, 0.5, (samples, 14, 2))
    joints[:, 6] = joints[:, 7] + 0.05 * rng.standard_normal((samples, 2))
    return grouping.Poses(LSP_14, joints, rng.uniform(size=(samples, 14)) < 0.8)


def test_matrix_is_symmetric_between_joints_and_sides() -> None:
    mutual = grouping.mutual_information_matrix(poses())
    mirror = list(LSP_14.mirrored())
    assert np.array_equal(mutual, mutual.T)
    assert np.array_equal(mutual, mutual[np.ix_(mirror, mirror)])
    strong = {(int(i), int(j)) for i, j in np.argwhere(mutual > 0.4)}
    # half of the sample is mirrored, so the left arm is tied as well
    assert strong == {(6, 7), (7, 6), (10, 11), (11, 10)}


def test_joints_without_label_have_no_say() -> None:
    one = poses()
    moved = np.where(one.labelled_NJ[..., None], one.joints_NJ2, 1e3)
    other = grouping.Poses(LSP_14, moved, one.labelled_NJ)
    assert np.array_equal(grouping.mutual_information_matrix(one), grouping.mutual_information_matrix(other))
    assert one.digest() == other.digest()


# --------------------------------------------------------------------------------------------------- clustering


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 5))
def test_planted_groups_are_found(seed: int, count: int) -> None:
    """Blocks of strong affinity in a sea of weak, in any order of the joints."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(12) % count)
    affinity = rng.uniform(0.0, 0.1, (12, 12)) + (label[:, None] == label)
    affinity = affinity + affinity.T
    expected = tuple(sorted(tuple(np.flatnonzero(label == g).tolist()) for g in range(count)))
    assert grouping.spectral_groups(affinity, count) == expected


# ------------------------------------------------------------------------------------------------------- record


@pytest.mark.parametrize("source", list(grouping.SOURCES))
def test_recorded_groups_follow_from_the_recorded_information(source: str) -> None:
    record = RECORDS[source]
    skeleton, mutual = SKELETONS[record["skeleton"]], np.array(record["mutual_information_nats"])
    assert mutual.shape == (len(skeleton.joints),) * 2
    for size in grouping.COUNTS:
        found = groups.found(source, size)
        assert grouping.spectral_groups(mutual, size) == found
        assert sorted(j for group in found for j in group) == list(range(len(skeleton.joints)))


@pytest.mark.parametrize("source", list(grouping.SOURCES))
def test_default_groups_mirror_into_each_other(source: str) -> None:
    """Else a mirrored person would be split otherwise."""
    mirror = SKELETONS[RECORDS[source]["skeleton"]].mirrored()
    found = groups.found(source, 5)
    assert {tuple(sorted(mirror[j] for j in group)) for group in found} == set(found)


def test_mpii_groups_by_name() -> None:
    """What several estimators agree on (histograms of 4, 8 and 16 bins, Gaussian, nearest neighbours)."""
    named = {frozenset(MPII_16.joints[j] for j in group) for group in groups.found("mpii", 5)}
    assert named == {
        frozenset({"thorax", "upper_neck", "head_top", "left_shoulder", "right_shoulder"}),
        frozenset({"left_knee", "right_knee", "left_ankle", "right_ankle"}),
        frozenset({"left_hip", "right_hip", "pelvis"}),
        frozenset({"left_elbow", "left_wrist"}),
        frozenset({"right_elbow", "right_wrist"}),
    }


def check_record(source: str, root: Path) -> None:
    """The recorded values come out again, to the digits kept (other library versions may move the last)."""
    again, kept = grouping.record(grouping.SOURCES[source](root)), RECORDS[source]
    mutual, kept_mutual = (np.array(r["mutual_information_nats"]) for r in (again, kept))
    assert np.abs(mutual - kept_mutual).max() < 2e-3
    without = {k: v for k, v in again.items() if k != "mutual_information_nats"}
    assert json.loads(json.dumps(without)) == {k: kept[k] for k in without}


@pytest.mark.parametrize(
    "source", ["lsp", pytest.param("coco", marks=pytest.mark.torture), pytest.param("mpii", marks=pytest.mark.torture)]
)
def test_record_is_what_the_data_give(source: str, shared_data: Path) -> None:
    check_record(source, shared_data)


@pytest.mark.torture
def test_record_is_what_the_mannequins_give(tmp_path: Path) -> None:
    """A minute: two thousand persons are rendered."""
    check_record("mannequins", tmp_path)


def test_known_information_between_mpii_joints(shared_data: Path) -> None:
    """Computed independently with the same estimator, over all 2,958 validation persons and their mirror images."""
    poses = grouping.mpii(shared_data)
    joints, labelled = grouping.drawn(poses, persons=len(poses.joints_NJ2), seed=0)
    known = {(0, 1): 1.55, (0, 5): 1.07, (0, 4): 0.66, (10, 11): 1.14, (10, 15): 0.41}
    for (i, j), value in known.items():
        both = labelled[:, i] & labelled[:, j]
        assert grouping.mutual_information(joints[both, i], joints[both, j]) == pytest.approx(value, abs=0.02)


# ---------------------------------------------------------------------------------------------- kinds of groups


@pytest.mark.parametrize("joints", [14, 16, 17])
def test_body_groups_are_five_mirrored_parts(joints: int) -> None:
    skeleton = next(s for s in SKELETONS.values() if len(s.joints) == joints)
    parts = {frozenset(group) for group in groups.BODY[joints]}
    assert sorted(j for part in parts for j in part) == list(range(joints))
    assert {frozenset(skeleton.mirrored()[j] for j in part) for part in parts} == parts
    assert groups.BODY[joints] != groups.found(model.POCKET_SOURCE_OF[joints], 5)


def test_shuffled_groups_keep_the_sizes_only() -> None:
    like = groups.found("mannequins", 5)
    dealt = groups.shuffled(like, seed=0)
    assert [len(g) for g in dealt] == [len(g) for g in like]
    assert sorted(j for g in dealt for j in g) == list(range(17))
    assert dealt == groups.shuffled(like, seed=0)
    assert {frozenset(g) for g in dealt} != {frozenset(g) for g in like}


def test_overlapping_groups_take_the_nearest_joint_outside() -> None:
    plain, wide = groups.found("mpii", 5), groups.overlapping("mpii", 5)
    assert all(set(a) < set(b) and len(b) == len(a) + 1 for a, b in zip(plain, wide, strict=True))
    joined = dict(zip(plain, (g[-1] for g in wide), strict=True))
    right_arm = tuple(sorted(MPII_16.index(f"right_{part}") for part in ("elbow", "wrist")))
    assert joined[right_arm] == MPII_16.index("right_shoulder")


# ------------------------------------------------------------------------------------------------------ network


def built(builder, joints: int):
    with on_meta():
        return builder(joints)


def test_one_group_is_the_stacked_hourglass() -> None:
    """With one branch of the trunk's width, weights in order: the same function, to the bit."""
    ours = model.PartBranching((8, 16, 16, 32), 2, groups.single(5), width=32, depth=1, hourglass_depth=2).eval()
    theirs = StackedHourglass((8, 16, 16, 32), 2, 5, depth=2).eval()
    named = {
        "hourglasses": "stages.{}.hourglass",
        "residuals": "stages.{}.branches.0.features",
        "features": "stages.{}.branches.0.features.1",
        "heatmaps": "stages.{}.branches.0.heatmaps",
    }
    weights = {}
    for key, value in theirs.state_dict().items():
        top, _, rest = key.partition(".")
        if top in named:
            stack, _, rest = rest.partition(".")
            key = f"{named[top].format(stack)}.{rest}"
        weights[key] = value
    ours.load_state_dict(weights, strict=True)
    images = torch.randn(1, 3, 64, 48)
    with torch.inference_mode():
        for a, b in zip(ours(images), theirs(images), strict=True):
            assert torch.equal(a, b)


def test_full_sizes() -> None:
    """One shared branch counts as the hourglass; five add 0.376 million parameters and 1.52 GMAC an inner stage."""
    plain = count_on_meta(lambda joints: StackedHourglass(NEWELL_STEM, 3, joints), 16, (256, 256))
    single = count_on_meta(model.s3_single, 16, (256, 256))
    assert (single.params, single.macs) == (plain.params, plain.macs)
    s8, s3 = (count_on_meta(b, 16, (256, 256)) for b in (model.s8, model.s3))
    assert f"{s8.params / 1e6:.1f} {s8.macs / 1e9:.1f}" == "28.3 39.2"
    plain8 = count_on_meta(lambda joints: StackedHourglass(NEWELL_STEM, 8, joints), 16, (256, 256))
    inner = ((s8.params - s3.params) - (plain8.params - plain.params)) / 5
    assert f"{inner / 1e6:.3f}" == "0.376"
    assert f"{((s8.macs - s3.macs) - (plain8.macs - plain.macs)) / 5e9:.2f}" == "1.52"


def test_pocket_studies_compare_at_equal_cost() -> None:
    cost = {b.__name__: count_on_meta(b, 17, (128, 96)) for b in (model.pocket, model.pocket_single)}
    assert cost["pocket_single"].params == pytest.approx(cost["pocket"].params, rel=0.01)
    for builder in (model.pocket_single, model.pocket_k2, model.pocket_k3, model.pocket_k6):
        assert count_on_meta(builder, 17, (128, 96)).macs == pytest.approx(cost["pocket"].macs, rel=0.02)
    for builder in (model.pocket_body, model.pocket_random):
        assert count_on_meta(builder, 17, (128, 96)).macs == cost["pocket"].macs


def test_each_joint_comes_from_its_own_group() -> None:
    """Silencing a branch silences exactly its joints."""
    split = ((3, 0), (1, 4), (2,))
    stage = model.Stage(8, 1, split, width=8, depth=1).eval()
    for branch, group in zip(stage.branches, split, strict=True):
        for other in stage.branches:
            torch.nn.init.zeros_(other.heatmaps.weight)
            torch.nn.init.zeros_(other.heatmaps.bias)
        branch.heatmaps.bias.data.copy_(torch.arange(1.0, len(group) + 1))
        with torch.no_grad():
            _, maps = stage(torch.randn(1, 8, 4, 4))
        expected = [group.index(j) + 1.0 if j in group else 0.0 for j in range(5)]
        assert maps[0, :, 0, 0].tolist() == expected


def test_order_of_groups_does_not_matter() -> None:
    split, order = ((0, 2), (1, 3), (4,)), (2, 0, 1)
    stage = model.Stage(8, 1, split, width=8, depth=2).eval()
    moved = model.Stage(8, 1, tuple(split[i] for i in order), width=8, depth=2).eval()
    moved.hourglass.load_state_dict(stage.hourglass.state_dict())
    for new, old in enumerate(order):
        moved.branches[new].load_state_dict(stage.branches[old].state_dict())
    x = torch.randn(2, 8, 4, 4)
    with torch.no_grad():
        assert torch.equal(stage(x)[1], moved(x)[1])


def test_overlapping_groups_average() -> None:
    """Joint 0 in one group, 1 in two, 2 in three."""
    split = ((0, 1, 2), (1, 2), (2,))
    stage = model.Stage(8, 1, split, width=8, depth=1).eval()
    for value, branch in zip((6.0, 12.0, 36.0), stage.branches, strict=True):
        torch.nn.init.zeros_(branch.heatmaps.weight)
        torch.nn.init.constant_(branch.heatmaps.bias, value)
    with torch.no_grad():
        _, maps = stage(torch.randn(1, 8, 4, 4))
    assert maps[0, :, 0, 0].tolist() == [6.0, 9.0, 18.0]


@pytest.mark.parametrize("joints", [14, 16, 17])
def test_one_builder_for_every_skeleton(joints: int) -> None:
    assert [tuple(o.shape) for o in built(model.s3, joints)(torch.empty(1, 3, 256, 192, device="meta"))] == [
        (1, joints, 64, 48)
    ] * 3


def test_unknown_skeleton_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"no groups for 15 joints, only for 14, 16, 17; find them with"):
        model.pocket(15)
