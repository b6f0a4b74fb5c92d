"""Lite-HRNet: the release's outputs, what it computes twice, the published costs and the counter behind them."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import pytest
import torch
from hpe_bench.papers.lite_hrnet import model as lite
from torch import Tensor, nn

from hpe_bench.catalog import build_model, load
from hpe_bench.cost.dispatched import count_dispatched as count
from hpe_bench.cost.model_cost import Cost
from hpe_bench.inference.weights import load_weights
from hpe_bench.verdicts.printed import matches
from tests import parity

LOADED = load("lite_hrnet")
PAPER = LOADED.paper
VARIANTS = {variant.name: variant for variant in PAPER.variants}


@cache
def network(name: str) -> nn.Module:
    return build_model("lite_hrnet", name)


@cache
def cost(name: str) -> Cost:
    """Counted where the networks are small enough for real tensors to be faster than shapes alone."""
    return count(network(name), VARIANTS[name].input_hw)


# ------------------------------------------------------------------------------------------------- the network


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("lite_hrnet_18", "lite18_256x192"),
        ("lite_hrnet_naive18", "naive18_256x192"),
        ("mmpose_litehrnet_18", "lite18_256x192"),
    ],
)
def test_released_state_dicts_give_the_same_heatmaps(name: str, variant: str) -> None:
    """The authors' naming, which is mmpose 0.x's, and mmpose 1.x's."""
    case = parity.load(name)
    model = build_model("lite_hrnet", variant).eval()
    load_weights(model, case.weights)
    ours, theirs = list(model.state_dict()), list(case.weights)
    assert [n.endswith(o) for n, o in zip(theirs, ours, strict=True)] == [True] * len(ours)  # the order, too
    assert sum(p.numel() for p in model.parameters()) == case.params
    with torch.inference_mode():
        (maps,) = model(case.image)
    parity.assert_agrees(maps, case.outputs["out"])


def test_doubling_a_path_gives_the_maps_of_computing_it_twice() -> None:
    case = parity.load("lite_hrnet_18")
    maps = []
    for name in ("lite18_256x192", "lite18_once_256x192"):
        model = build_model("lite_hrnet", name).eval()
        load_weights(model, case.weights)
        with torch.inference_mode():
            maps.append(model(case.image)[0])
    assert torch.equal(*maps)


class AsHRNet(lite.Exchange):
    """The sums of HRNet: every branch once, before any is replaced."""

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        own = self.layers(branches)
        return [self.relu(self._total(own, i)) for i in range(len(own))]

    def _total(self, own: list[Tensor], target: int) -> Tensor:
        first = own[0] if target == 0 else self.fuse_layers[str(target)]["0"](own[0])  # type: ignore[index,operator]
        return self._sum(first, own, target)


def test_parity_notices_the_sums_of_hrnet() -> None:
    """Same keys, same shapes: only the outputs can tell."""
    case = parity.load("lite_hrnet_18")
    model = build_model("lite_hrnet", "lite18_once_256x192").eval()
    load_weights(model, case.weights)
    for module in model.modules():
        if isinstance(module, lite.Exchange):
            module.__class__ = AsHRNet
    with torch.inference_mode():
        (maps,) = model(case.image)
    with pytest.raises(AssertionError, match="apart"):
        parity.assert_agrees(maps, case.outputs["out"])


def test_weights_of_every_branch_depend_on_the_finest_one() -> None:
    """Cross-resolution weighting: other features at stride 4 change what the coarsest branch is multiplied by."""
    torch.manual_seed(0)
    weighting = lite.CrossResolutionWeighting((8, 16)).eval()
    for parameter in weighting.parameters():
        nn.init.normal_(parameter)
    fine, coarse = torch.rand(1, 8, 8, 6), torch.rand(1, 16, 4, 3)
    with torch.inference_mode():
        before, after = weighting([fine, coarse])[1], weighting([fine + 1, coarse])[1]
    assert (before <= coarse).all()  # a sigmoid's weights
    assert not torch.allclose(before, after)


def test_shuffling_deals_the_halves_out_in_turns() -> None:
    x = torch.arange(6.0).view(1, 6, 1, 1)
    assert lite.shuffled(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_a_path_is_computed_once_or_twice() -> None:
    with pytest.raises(ValueError, match="repeats is 3"):
        lite.Layout(lite.weighting, repeats=3)


# ------------------------------------------------------------------------------------------------- what it costs

SIZES = ((256, 192), (384, 288), (256, 256))  # the last for 16 joints
COSTS = {  # parameters for 17 and 16 joints; MMAC at the three sizes
    "lite18": (1_130_769, 1_130_728, 242.3, 545.1, 322.9),
    "lite30": (1_763_717, 1_763_676, 386.1, 868.5, 514.6),
    "naive18": (760_365, 760_334, 211.0, 474.9, 281.3),
    "wider_naive18": (1_318_625, 1_318_584, 346.1, 778.6, 461.2),
}


@pytest.mark.parametrize("name", COSTS)
def test_full_size_costs_are_the_release_s(name: str) -> None:
    params_17, params_16, *mmacs = COSTS[name]
    for (height, width), mmac in zip(SIZES, mmacs, strict=True):
        variant = VARIANTS[f"{name}_{height}x{width}"]
        joints = 16 if height == width else 17
        assert (variant.input_hw, variant.joints, variant.stride) == ((height, width), joints, 4)
        found = cost(variant.name)
        assert found.params == (params_17 if joints == 17 else params_16)
        assert round(found.macs / 1e6, 1) == mmac
        assert found.macs_hrnet_counter == found.macs  # no transposed convolution (F19)


def test_a_fifth_of_the_work_is_done_twice() -> None:
    assert round(cost("lite18_once_256x192").macs / 1e6, 1) == 198.6
    share = 1 - cost("lite18_once_256x192").macs / cost("lite18_256x192").macs
    assert share == pytest.approx(0.18, abs=0.001)
    assert cost("lite18_once_256x192").params == cost("lite18_256x192").params


def test_torchstat_explains_the_printed_costs_to_their_digits() -> None:
    """All but one of the ten: the operations of each module's last call, divided by 2^20."""
    printed = [c for c in LOADED.claims if c.metric == "macs" and c.convention == "torchstat"]
    assert len(printed) == 10
    unexplained = []
    for claim in printed:
        found = cost(claim.variant).torchstat
        assert found is not None
        if not matches(Fraction(found, 2**20), claim):
            unexplained.append((claim.printed, round(found / 2**20, 1)))
    assert unexplained == [("418.7M", 414.6)]  # the wider naive network at 256x256
    assert cost("lite18_once_256x192").torchstat == cost("lite18_256x192").torchstat  # each module once


# ------------------------------------------------------------------------------------------------- the miniatures


def test_arms_of_the_headline_cost_the_same_and_the_controls_no_less() -> None:
    found = {arm.name: cost(arm.variant.name).macs for arm in PAPER.headline.arms}
    assert found["weighting"] <= found["shuffle"] <= 1.04 * found["weighting"]
    assert found["weighting"] <= found["residual"] <= 1.04 * found["weighting"]


def test_weightings_are_left_out_one_by_one() -> None:
    def weights(name: str) -> set[str]:
        kinds = (lite.CrossResolutionWeighting, lite.SpatialWeighting)
        return {type(m).__name__ for m in network(name).modules() if isinstance(m, kinds)}

    assert weights("pocket") == {"CrossResolutionWeighting", "SpatialWeighting"}
    assert weights("pocket_across_only") == {"CrossResolutionWeighting"}
    assert weights("pocket_spatial_only") == {"SpatialWeighting"}
    assert weights("pocket_unweighted") == set()


def test_warm_up_lasts_500_steps_of_the_released_batch() -> None:
    for recipe in PAPER.recipes:
        assert recipe.schedule.warmup * recipe.samples / recipe.batch == pytest.approx(500)
        step = 1 / (recipe.samples / recipe.batch)
        assert recipe.schedule.factor(250 * step) == pytest.approx(0.5, abs=1e-6)
        assert recipe.schedule.factor(501 * step) == 1.0
