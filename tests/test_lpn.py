"""LPN: the release's outputs, the published costs, the decoder, and what its studies compare."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from hpe_bench.papers.lpn.codec import BetaSoftArgmax
from hpe_bench.papers.lpn.model import GlobalContext, LightBottleneck
from torch import Tensor, nn

from hpe_bench.catalog import build_model, load
from hpe_bench.cost.dispatched import count_dispatched as count
from hpe_bench.cost.model_cost import Cost
from hpe_bench.declare import Curriculum
from hpe_bench.inference.weights import load_weights
from hpe_bench.training.stages import spans
from tests import parity

PAPER = load("lpn").paper
VARIANTS = {variant.name: variant for variant in PAPER.variants}
INPUT_HW = (64, 48)


@cache
def cost(name: str, slug: str = "lpn") -> Cost:
    """Counted where the networks are small enough for real tensors to be faster than shapes alone."""
    variant = {v.name: v for v in load(slug).paper.variants}[name]
    return count(build_model(slug, name), variant.input_hw)


# ------------------------------------------------------------------------------------------------- the network


def released() -> tuple[nn.Module, parity.Case]:
    case = parity.load("lpn_50")
    model = build_model("lpn", "lpn50_256x192").eval()
    load_weights(model, case.weights)
    return model, case


def test_released_state_dict_gives_the_same_heatmaps() -> None:
    model, case = released()
    assert list(model.state_dict()) == list(case.weights)  # the order of the release, too
    assert sum(p.numel() for p in model.parameters()) == case.params
    with torch.inference_mode():
        (maps,) = model(case.image)
    parity.assert_agrees(maps, case.outputs["out"])


def test_parity_notices_a_context_behind_the_sum() -> None:
    """Same keys, same shapes: only the outputs can tell where the context block reads."""
    model, case = released()
    for module in model.modules():
        if isinstance(module, LightBottleneck):
            context, module.att = module.att, None
            module.register_forward_hook(lambda _block, _inputs, out, context=context: context(out))
    with torch.inference_mode():
        (maps,) = model(case.image)
    with pytest.raises(AssertionError, match="apart"):
        parity.assert_agrees(maps, case.outputs["out"])


@pytest.mark.parametrize(
    ("name", "params", "gmac", "printed"),
    [
        ("lpn50_256x192", 2_911_153, 1.068, 1.008),
        ("lpn101_256x192", 5_353_458, 1.504, 1.414),
        ("lpn152_256x192", 7_377_459, 1.943, 1.822),
        ("lpn50_384x288", 2_911_153, 2.403, 2.268),
        ("lpn50_256x256", 2_910_896, 1.423, 1.343),
        ("lpn50_no_context_256x192", 2_732_689, 1.066, 1.006),
    ],
)
def test_full_size_costs_are_the_release_s(name: str, params: int, gmac: float, printed: float) -> None:
    found = cost(name)
    assert found.params == params
    assert round(found.macs / 1e9, 3) == gmac
    assert round(found.macs_hrnet_counter / 2**30, 3) == printed


def test_every_depth_is_declared_at_every_size() -> None:
    sizes = {(256, 192): 17, (384, 288): 17, (256, 256): 16}
    for depth in ("lpn50", "lpn101", "lpn152"):
        for (height, width), joints in sizes.items():
            variant = VARIANTS[f"{depth}_{height}x{width}"]
            assert (variant.input_hw, variant.joints, variant.stride) == ((height, width), joints, 4)


def test_the_trunk_stays_at_stride_16_and_deconvolutions_are_grouped() -> None:
    model = build_model("lpn", "lpn50_256x192").eval()
    seen: list[tuple[int, ...]] = []
    model.layer4.register_forward_hook(lambda _module, _inputs, out: seen.append(tuple(out.shape)))
    with torch.inference_mode():
        model(torch.zeros(1, 3, 128, 96))
    assert seen == [(1, 512, 8, 6)]
    groups = [m.groups for m in model.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert groups == [256, 256]


def test_context_is_one_weighted_mean_for_all_positions() -> None:
    """Against the release's formula, a matrix product; what is added is the same everywhere."""
    torch.manual_seed(0)
    block = GlobalContext(32).eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 32, 5, 4)
    share = block.conv_mask(x).view(2, 1, 20).softmax(2).unsqueeze(3)
    context = torch.matmul(x.view(2, 1, 32, 20), share).view(2, 32, 1, 1)
    expected = x + block.channel_add_conv(context)
    torch.testing.assert_close(block(x), expected)
    added = (block(x) - x).flatten(2)
    torch.testing.assert_close(added, added[..., :1].expand_as(added), atol=1e-4, rtol=1e-4)


# ------------------------------------------------------------------------------------------------- the miniatures


def test_miniatures_keep_the_proportions_of_the_paper() -> None:
    light, plain, simple = cost("pocket"), cost("pocket_plain"), cost("pocket", "simple_baseline")
    assert plain.macs == pytest.approx(light.macs, rel=0.015)
    assert plain.macs >= light.macs  # the equal-cost control has no less
    full = cost("lpn50_256x192").macs / 5.426e9  # ResNet-50's, a published recount
    assert light.macs / simple.macs == pytest.approx(full, abs=0.04)
    assert cost("pocket_no_context").macs == pytest.approx(light.macs, rel=0.01)
    assert cost("pocket_se").macs == pytest.approx(light.macs, rel=0.01)


def test_rounds_start_anew_and_see_as_much_in_all_as_one_long_training() -> None:
    arms = {arm.name: arm for study in PAPER.studies for arm in study.arms}
    for name, count_ in (("iterative", 2), ("iterative_4", 4)):
        recipe = arms[name].recipe
        assert isinstance(recipe, Curriculum)
        assert recipe.samples == arms["light"].recipe.samples  # F5
        parts = spans(recipe, 2500)
        assert len(parts) == count_
        assert all(a.end == b.first for a, b in pairwise(parts))
        assert {part.end - part.first for part in parts} == {2500 // count_}
        assert all(recipe.schedule.factor(part.progress(part.first)) < 0.1 for part in parts)  # each warms up


def test_the_published_rounds_are_whole_trainings() -> None:
    recipes = {recipe.name: recipe for recipe in PAPER.recipes}
    for name in ("coco_256x192", "mpii_256x256"):
        whole, repeated = recipes[name], recipes[f"{name}_iterative"]
        assert isinstance(repeated, Curriculum)
        assert repeated.samples == len(repeated.stages) * whole.samples
        assert repeated.reading == "ours"


# ------------------------------------------------------------------------------------------------- the decoder


def loop(heat: np.ndarray, beta: float) -> tuple[float, float, float]:
    """One map in heatmap pixels and its score, as the authors' evaluation reads it."""
    height, width = heat.shape
    share = np.exp(beta * (heat - heat.max()).astype(np.float64))
    share /= share.sum()
    rows, columns = np.mgrid[:height, :width]
    x, y = float((share * columns).sum()), float((share * rows).sum())
    score = heat[round(y), round(x)]
    at_x, at_y = math.floor(x + 0.5), math.floor(y + 0.5)
    if 1 < at_x < width - 1 and 1 < at_y < height - 1:
        x += 0.25 * np.sign(heat[at_y, at_x + 1] - heat[at_y, at_x - 1])
        y += 0.25 * np.sign(heat[at_y + 1, at_x] - heat[at_y - 1, at_x])
    return x, y, score


def decoded(maps: Tensor, **fields: float) -> tuple[np.ndarray, np.ndarray]:
    joints, scores = BetaSoftArgmax(**fields).decode(maps, INPUT_HW)  # type: ignore[arg-type]
    return joints.numpy() / 4, scores.numpy()


@pytest.mark.parametrize("beta", [160.0, 20.0, 3.0])
def test_decoding_equals_the_plain_loop(beta: float) -> None:
    """Smooth maps of all heights, peaks at every border among them."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:16, :12]
    centre = rng.uniform(0, (15, 11), (20, 7, 2))
    away = (y - centre[..., 0, None, None]) ** 2 + (x - centre[..., 1, None, None]) ** 2
    maps = rng.uniform(0.1, 1.0, (20, 7, 1, 1)) * np.exp(-away / 8) + 0.01 * rng.standard_normal((20, 7, 16, 12))
    maps = maps.astype(np.float32)
    joints, scores = decoded(torch.from_numpy(maps), beta=beta)
    expected = np.array([[loop(heat, beta) for heat in person] for person in maps])
    assert np.abs(joints - expected[..., :2]).max() < 1e-3
    assert np.array_equal(scores, expected[..., 2].astype(np.float32))


def test_a_clean_gaussian_is_read_at_its_maximum_and_a_low_one_is_not() -> None:
    """Beta is per unit of the map: a tenth of the height is a tenth of the sharpness."""
    joints = torch.tensor([[[21.0, 30.0]]])
    maps, _ = BetaSoftArgmax().encode(joints, torch.ones(1, 1), INPUT_HW, (16, 12))
    maps = maps + 0.05 * maps.roll(2, 3)  # a shoulder on the right
    (high,), (low,) = decoded(maps)[0], decoded(0.02 * maps)[0]
    assert high[0].tolist() == pytest.approx([5.25, 8.0], abs=1e-4)
    assert low[0][0] - high[0][0] > 0.05


def test_flat_maps_are_read_in_the_middle_and_scored_by_their_value() -> None:
    joints, scores = decoded(torch.stack((torch.zeros(16, 12), torch.full((16, 12), 0.3)))[None])
    assert joints[0].tolist() == [pytest.approx([5.5, 7.5], abs=1e-4)] * 2
    assert scores[0].tolist() == [0.0, pytest.approx(0.3)]


@pytest.mark.parametrize(
    ("field", "value"),
    [("sigma_px", 0.0), ("beta", 0.0), ("beta", math.inf), ("beta", math.nan), ("flip_shift_px", -1)],
)
def test_numbers_without_sense_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"BetaSoftArgmax codec: {field}"):
        BetaSoftArgmax(**{field: value})  # type: ignore[arg-type]
