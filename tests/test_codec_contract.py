"""What every codec owes, whoever wrote it: over all codecs found in the suite and in the paper folders (F6 to F8)."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import hpe_bench.codecs
import hpe_bench.papers
from hpe_bench import catalog, protocols
from hpe_bench.ceilings.contenders import contenders
from hpe_bench.codecs.integral import Integral
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.declare import Codec, fingerprint
from hpe_bench.training.feeding import ReadyTargets

INPUT_HW, HEATMAP_HW = (256, 192), (64, 48)
HEIGHT, WIDTH = HEATMAP_HW
JOINTS = len(COCO_17.joints)
MIRRORED = list(COCO_17.mirrored())
PAIRED = [j for j, k in enumerate(MIRRORED) if j != k]

# Largest round-trip error in heatmap pixels on an axis. Inside: a rounded centre loses half a pixel, CPN's and
# Princeton's obligatory steps add a quarter. At the border a blur beyond the edge pulls DARK and UDP inwards, a disc
# gives the centre of what is left of it, a Gaussian's expectation misses what the edge cut off, and OpenCV's mirrored
# border draws CPN's peaks of the second row on the first.
INSIDE = {"BlurredCell": 0.76, "Princeton": 0.76}
BORDER = {"Gaussian": 0.8, "UDP": 1.3, "Disc": 3.5, "BlurredCell": 1.76, "SpreadIntegral": 1.3}
EXPECTATIONS = ("Integral", "SpreadIntegral")  # the others read peaks
MEANS = (*EXPECTATIONS, "BetaSoftArgmax")  # of two equal peaks these give the middle


def classes() -> set[type[Codec]]:
    """Every codec class under `hpe_bench/codecs` and in the codec modules of paper folders.

    `ReadyTargets` is none: it hands out what another codec encoded ahead, which `test_full.py` holds to that codec.
    """
    for package in (hpe_bench.codecs, hpe_bench.papers):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if package is hpe_bench.codecs or module.name.endswith(".codec"):
                importlib.import_module(module.name)

    def below(parent: type[Codec]) -> Iterator[type[Codec]]:
        for child in parent.__subclasses__():
            yield child
            yield from below(child)

    return {c for c in below(Codec) if c.__module__.startswith("hpe_bench.")} - {ReadyTargets}


@cache
def codecs() -> tuple[Codec, ...]:
    """Every codec that a recipe, a protocol or the ceilings declare for maps of 64x48 or any other size."""
    papers, broken = catalog.load_all()
    assert not broken
    declared = [r.codec for p in papers for r in p.paper.recipes]
    declared += [a.recipe.codec for p in papers for s in p.paper.studies for a in s.arms]
    declared += [p.codec for group in protocols.POCKET.values() for p in group]
    declared += [codec for c in contenders() for codec in c.codecs]
    return tuple({fingerprint(c): c for c in declared}.values())


every = pytest.mark.parametrize("codec", codecs(), ids=lambda c: f"{type(c).__name__}-{fingerprint(c)[:6]}")


def kind(codec: Codec) -> str:
    return type(codec).__name__


def ones(joints: Tensor) -> Tensor:
    return torch.ones(joints.shape[:2])


def uniform(low: float, high: float, count: int = 60) -> Tensor:
    """Joints [count,17,2] in input pixels, so many heatmap pixels away from the outer pixel centres."""
    rng = np.random.default_rng(5)
    box = np.array([WIDTH - 1, HEIGHT - 1])
    return torch.from_numpy(4 * rng.uniform(low, box - high, (count, JOINTS, 2))).float()


def errors_px(codec: Codec, joints: Tensor) -> Tensor:
    """Round-trip errors on the axes, in heatmap pixels."""
    maps, weights = codec.encode(joints, ones(joints), INPUT_HW, HEATMAP_HW)
    assert (weights == 1).all()
    return (codec.decode(maps, INPUT_HW)[0] - joints).abs() / 4


def test_no_codec_is_left_out() -> None:
    assert {type(c) for c in codecs()} == classes()


# ---------------------------------------------------------------------------------------------------- round trips


@every
def test_round_trip_inside(codec: Codec) -> None:
    """20 pixels away from the border even the widest blur of the widest target meets no edge."""
    bound = 0.02 if kind(codec) in EXPECTATIONS else INSIDE.get(kind(codec), 0.51)
    assert float(errors_px(codec, uniform(20, 20)).max()) <= bound


@every
def test_round_trip_up_to_the_border(codec: Codec) -> None:
    bound = 0.02 if kind(codec) == "Integral" else BORDER.get(kind(codec), 0.76)
    if kind(codec) == "Disc":
        bound = max(bound, 0.6 * codec.radius_px)  # type: ignore[attr-defined]
    assert float(errors_px(codec, uniform(0, 0)).max()) <= bound


@every
def test_joints_that_are_not_labelled_or_far_outside_have_no_target(codec: Codec) -> None:
    joints = torch.full((1, 5, 2), 100.0)
    joints[0, 0] = float("nan")
    joints[0, 1] = torch.tensor([-400.0, 100.0])
    joints[0, 2] = torch.tensor([100.0, 700.0])
    joints[0, 3] = torch.tensor([1e6, -1e6])
    maps, weights = codec.encode(joints, torch.tensor([[0.0, 1, 1, 1, 1]]), INPUT_HW, HEATMAP_HW)
    assert weights[0].tolist() == [0, 0, 0, 0, 1]
    assert (maps[0, :4] == 0).all()
    assert maps[0, 4].max() > 0
    assert torch.isfinite(codec.decode(maps, INPUT_HW)[0]).all()


@every
def test_encoding_gives_flags_as_weights_and_leaves_its_arguments_alone(codec: Codec) -> None:
    joints, labelled = uniform(4, 4, 3), torch.rand(3, JOINTS, generator=torch.Generator().manual_seed(0)).round()
    before = joints.clone(), labelled.clone()
    maps, weights = codec.encode(joints, labelled, INPUT_HW, HEATMAP_HW)
    assert torch.equal(joints, before[0])
    assert torch.equal(labelled, before[1])
    assert torch.equal(weights, labelled)
    assert maps.dtype == weights.dtype == torch.float32
    assert ((maps >= 0) & (maps <= 1)).all()


@every
def test_persons_do_not_disturb_each_other(codec: Codec) -> None:
    joints = uniform(3, 3, 4)
    maps, _ = codec.encode(joints, ones(joints), INPUT_HW, HEATMAP_HW)
    together, scores = codec.decode(maps, INPUT_HW)
    alone = [codec.decode(maps[b : b + 1], INPUT_HW) for b in range(4)]
    assert torch.allclose(together, torch.cat([j for j, _ in alone]), atol=1e-3)
    assert torch.allclose(scores, torch.cat([s for _, s in alone]), atol=1e-6)


# ---------------------------------------------------------------------------------------------------- odd maps


@every
def test_ties_and_plateaus(codec: Codec) -> None:
    """A plateau is found within itself, two equal peaks at the first or (expectation) half way, flat maps somewhere."""
    maps = torch.zeros(1, 4, HEIGHT, WIDTH)
    maps[0, 0, 30:32, 20:22] = 1.0
    maps[0, 1, 30, 20] = maps[0, 1, 40, 30] = 1.0
    maps[0, 2] = 0.3
    found, _ = codec.decode(maps, INPUT_HW)
    again, _ = codec.decode(maps.clone(), INPUT_HW)
    assert torch.equal(found, again)
    found = found[0] / 4
    assert ((found[0] >= torch.tensor([19.7, 29.7])) & (found[0] <= torch.tensor([21.9, 31.9]))).all()
    middle = torch.tensor([25.0, 35.0]) if kind(codec) in MEANS or wide(codec) else torch.tensor([20.3, 30.3])
    assert (found[1] - middle).abs().max() <= 0.8
    assert torch.isfinite(found).all()
    assert ((found >= -0.6) & (found <= torch.tensor([WIDTH, HEIGHT]))).all()  # UDP continues the map by its edge


def wide(codec: Codec) -> bool:
    """A disc so wide that both peaks of the test lie in its window, whose centroid it takes."""
    return kind(codec) == "Disc" and 2 * codec.radius_px >= 200**0.5  # type: ignore[attr-defined]


@every
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1e-30, 1e-12, 1.0, 1e12]))
def test_any_finite_map_gives_finite_joints(codec: Codec, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    low = 0.0 if kind(codec) in EXPECTATIONS else -1.0
    levels = rng.choice([low, 0.0, 0.0, 1e-9, 0.5, 1.0], (1, 6, 16, 12)) * scale
    found, scores = codec.decode(torch.from_numpy(levels.astype(np.float32)), (64, 48))
    assert torch.isfinite(found).all()
    assert torch.isfinite(scores).all()


@every
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_network_is_an_error_not_a_miss(codec: Codec, value: float) -> None:
    maps = torch.rand(2, JOINTS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    maps[1, 5, 3, 3] = value
    with pytest.raises(ValueError, match="joint 5 in row 1"):
        codec.decode(maps, INPUT_HW)


# ---------------------------------------------------------------------------------------------------- flips (F7)


@every
def test_flipping_twice_is_the_identity(codec: Codec) -> None:
    """But for the columns that a shift loses."""
    maps = torch.rand(2, JOINTS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    shift: int = getattr(codec, "flip_shift_px", 0)
    twice = codec.unflip(codec.unflip(maps, COCO_17.flip_pairs), COCO_17.flip_pairs)
    assert torch.equal(twice[..., shift:], maps[..., shift:])


@every
def test_a_symmetric_image_gives_symmetric_joints(codec: Codec) -> None:
    """Maps of a symmetric pose, mirrored maps averaged in: left and right joints come back as mirror images.

    A mirrored input (x -> W - 1 - x) is what the codec's own convention must turn round; with a shift by whole pixels
    (or none) half of one input pixel is left, and CPN's step towards the second maximum breaks ties one way. Central
    joints have two equal peaks and are left out.
    """
    joints = uniform(21, 21, 1)
    mirror = torch.stack((INPUT_HW[1] - 1 - joints[..., 0], joints[..., 1]), -1)[:, MIRRORED]
    left = [a for a, _ in COCO_17.flip_pairs]
    joints = torch.where(torch.isin(torch.arange(JOINTS), torch.tensor(left))[:, None], joints, mirror)
    mirror = torch.stack((INPUT_HW[1] - 1 - joints[..., 0], joints[..., 1]), -1)[:, MIRRORED]
    assert torch.allclose(joints[:, PAIRED], mirror[:, PAIRED], atol=1e-4)  # the pose is symmetric
    maps, _ = codec.encode(joints, ones(joints), INPUT_HW, HEATMAP_HW)
    turned, _ = codec.encode(mirror, ones(mirror), INPUT_HW, HEATMAP_HW)
    found, _ = codec.decode(0.5 * (maps + codec.unflip(turned, COCO_17.flip_pairs)), INPUT_HW)
    symmetric = torch.stack((INPUT_HW[1] - 1 - found[..., 0], found[..., 1]), -1)[:, MIRRORED]
    unshifted = kind(codec) in ("Gaussian", "Disc") and getattr(codec, "flip_shift_px", 1) == 0
    allowed = 4.0 if unshifted else {"BlurredCell": 3.1}.get(kind(codec), 2.1)
    assert (found - symmetric)[:, PAIRED].abs().max() <= allowed
    assert (found - symmetric)[:, PAIRED, 1].abs().max() <= 2.1


# ---------------------------------------------------------------------------------------------------- integral


def test_integral_is_exact_wherever_its_pixels_reach_and_flat_beyond() -> None:
    joints = torch.tensor([[[0.0, 0.0], [188.0, 252.0], [190.5, 130.2], [77.3, 254.9]]])
    maps, weights = Integral().encode(joints, ones(joints), INPUT_HW, HEATMAP_HW)
    assert weights[0].tolist() == [1, 1, 1, 1]
    found, scores = Integral().decode(maps, INPUT_HW)
    expected = torch.minimum(joints, torch.tensor([188.0, 252.0]))
    assert torch.allclose(found, expected, atol=1e-3)
    assert scores[0].tolist() == [1, 1, 1, 1]


def test_integral_reads_a_softmax_and_can_be_differentiated() -> None:
    logits = torch.randn(2, 3, 16, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
    maps = logits.flatten(2).softmax(-1).view_as(logits)
    found, _ = Integral().decode(maps, (64, 48))
    y, x = np.mgrid[:16, :12]
    expected = [[(4 * (m * x).sum(), 4 * (m * y).sum()) for m in person] for person in maps.detach().numpy()]
    assert np.abs(found.detach().numpy() - np.array(expected)).max() < 1e-4
    found.sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().max() > 0


def test_integral_takes_any_positive_factor_and_refuses_logits() -> None:
    joints = uniform(3, 3, 1)
    maps, _ = Integral().encode(joints, ones(joints), INPUT_HW, HEATMAP_HW)
    for factor in (1e-20, 7.0, 1e20):
        assert torch.allclose(Integral().decode(factor * maps, INPUT_HW)[0], joints, atol=1e-3)
    empty, scores = Integral().decode(torch.zeros(1, 1, 64, 48), INPUT_HW)
    assert empty.tolist() == [[[0.0, 0.0]]]
    assert scores.tolist() == [[0.0]]
    with pytest.raises(ValueError, match=r"joint 2 in row 0 .* softmax"):
        Integral().decode(torch.cat((maps[:, :2], -maps[:, 2:]), 1), INPUT_HW)
    with pytest.raises(ValueError, match="flip_shift_px"):
        Integral(flip_shift_px=-1)


# ---------------------------------------------------------------------------------------------------- Princeton


def loop_princeton(heat: np.ndarray) -> tuple[float, float]:
    """One map in heatmap pixels, as the code of the hourglass authors' group reads it."""
    height, width = heat.shape
    y, x = divmod(int(heat.argmax()), width)
    if heat[y, x] <= 0:
        return float(x), float(y)
    dx = 0.25 if heat[y, min(x + 1, width - 1)] > heat[y, max(x - 1, 0)] else -0.25
    dy = 0.25 if heat[min(y + 1, height - 1), x] > heat[max(y - 1, 0), x] else -0.25
    return x + dx + 0.5, y + dy + 0.5


def princeton() -> Codec:
    return next(c for c in codecs() if kind(c) == "Princeton")


def test_princeton_equals_the_plain_loop_at_borders_and_ties() -> None:
    rng = np.random.default_rng(2)
    maps = rng.integers(-1, 3, (40, 7, 6, 5)).astype(np.float32)  # few levels: many ties, peaks at every border
    maps[0] = -1.0
    found, scores = princeton().decode(torch.from_numpy(maps), (24, 20))
    expected = np.array([[loop_princeton(heat) for heat in person] for person in maps])
    assert np.array_equal(found.numpy() / 4, expected)
    assert np.array_equal(scores.numpy(), maps.max((2, 3)))


def test_princeton_always_steps_where_the_guarded_rules_stand_still() -> None:
    """F8: the three published quarter steps on one tie and one border peak."""
    maps = torch.zeros(1, 2, 16, 12)
    maps[0, 0, 8, 6] = 1.0
    maps[0, 1, 8, 11] = 1.0
    maps[0, 1, 8, 10] = 0.5
    answers = {kind(c): c.decode(maps, (64, 48))[0][0] / 4 for c in codecs() if kind(c) in ("Newell", "Princeton")}
    quarter = next(c for c in codecs() if getattr(c, "decoder", "") == "quarter")
    answers["HRNet"] = quarter.decode(maps, (64, 48))[0][0] / 4
    assert answers["HRNet"].tolist() == [[6.0, 8.0], [11.0, 8.0]]
    assert answers["Newell"].tolist() == [[6.5, 8.5], [11.5, 8.5]]
    assert answers["Princeton"].tolist() == [[6.25, 8.25], [11.75, 8.25]]  # ties down, borders outwards


def test_princeton_draws_nine_pixels_of_true_sigma_1_from_the_cut_centre() -> None:
    """F6: sigma 1 in 9x9, centre cut to whole pixels, nothing for joints outside the map."""
    joints = torch.tensor([[[82.9, 101.9], [-0.1, 50.0], [192.0, 50.0], [191.9, 255.9]]])
    maps, weights = princeton().encode(joints, ones(joints), INPUT_HW, HEATMAP_HW)
    assert weights[0].tolist() == [1, 0, 0, 1]
    row = maps[0, 0, 25]
    assert row[20] == 1
    assert row[21].item() == pytest.approx(np.exp(-0.5))
    assert row[24].item() == pytest.approx(np.exp(-8))
    assert row[25] == row[15] == 0
    assert maps[0, 3, 63, 47] == 1
