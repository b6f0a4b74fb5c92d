"""HRNet: the release's outputs, the published costs, and what the ablation variants really leave out."""

from __future__ import annotations

import pytest
import torch
from hpe_bench.papers.hrnet.model import Exchange

from hpe_bench.catalog import build_model, load
from hpe_bench.cost.dispatched import count_on_meta, on_meta
from hpe_bench.cost.model_cost import Cost
from hpe_bench.inference.weights import load_weights
from tests import parity

PAPER = load("hrnet").paper
VARIANTS = {variant.name: variant for variant in PAPER.variants}


def cost(name: str) -> Cost:
    variant = VARIANTS[name]
    return count_on_meta(variant.builder, variant.joints, variant.input_hw)


def fusions(name: str) -> int:
    with on_meta():
        modules = build_model("hrnet", name).modules()
    return sum(isinstance(module, Exchange) and len(module.fuse_layers) > 0 for module in modules)


def test_released_state_dict_gives_the_same_heatmaps() -> None:
    case = parity.load("hrnet_w32")
    model = build_model("hrnet", "w32_128x96").eval()
    load_weights(model, case.weights)
    assert list(model.state_dict()) == list(case.weights)  # the order of the release, too
    assert sum(p.numel() for p in model.parameters()) == case.params
    with torch.inference_mode():
        (maps,) = model(case.image)
    parity.assert_agrees(maps, case.outputs["out"])


def test_parity_notices_bilinear_in_place_of_nearest_upsampling() -> None:
    """Same keys, same shapes: only the outputs can tell."""
    case = parity.load("hrnet_w32")
    model = build_model("hrnet", "w32_128x96").eval()
    load_weights(model, case.weights)
    for module in model.modules():
        if isinstance(module, torch.nn.Upsample):
            module.mode = "bilinear"
    with torch.inference_mode():
        (maps,) = model(case.image)
    with pytest.raises(AssertionError, match="apart"):
        parity.assert_agrees(maps, case.outputs["out"])


@pytest.mark.parametrize(
    ("name", "params", "gmac"),
    [
        ("w32_128x96", 28_536_113, 1.911),
        ("w32_256x192", 28_536_113, 7.645),
        ("w32_384x288", 28_536_113, 17.201),
        ("w32_256x256", 28_536_080, 10.193),
        ("w48_128x96", 63_595_745, 3.923),
        ("w48_256x192", 63_595_745, 15.692),
        ("w48_384x288", 63_595_745, 35.307),
        ("w48_256x256", 63_595_696, 20.922),
    ],
)
def test_full_size_costs_are_the_release_s(name: str, params: int, gmac: float) -> None:
    found = cost(name)
    assert found.params == params
    assert round(found.macs / 1e9, 3) == gmac
    assert found.macs_hrnet_counter == found.macs  # no transposed convolution (F19)


def test_table_6_counts_fusions() -> None:
    names = ("w32_256x192", "w32_across_stages_256x192", "w32_final_only_256x192", "branch0_only_256x192")
    assert [fusions(name) for name in names] == [8, 3, 1, 0]
    names = ("pocket", "pocket_across_stages", "pocket_final_only", "pocket_branch0_only")
    assert [fusions(name) for name in names] == [4, 3, 1, 0]


def test_the_control_without_exchange_costs_what_the_network_costs() -> None:
    assert cost("pocket_branch0_only").macs == pytest.approx(cost("pocket").macs, rel=0.005)
    assert cost("branch0_only_256x192").macs == pytest.approx(cost("w32_256x192").macs, rel=0.025)
    assert 30e6 < cost("pocket").macs < 60e6


def test_without_intermediate_exchange_low_branches_reach_the_maps_only_at_the_end() -> None:
    """Other weights below branch 0 change the maps, but nothing that the last module's branch 0 puts out."""
    torch.manual_seed(0)
    model = build_model("hrnet", "pocket_final_only").eval()
    seen: list[torch.Tensor] = []
    model.stage4[-1].branches[0].register_forward_hook(lambda _module, _inputs, out: seen.append(out.clone()))
    image = torch.randn(1, 3, 128, 96)
    with torch.inference_mode():
        (before,) = model(image)
        for parameter in model.transition1["1"].parameters():  # the only way down from branch 0
            parameter.fill_(0.5)
        (after,) = model(image)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(before, after)


def test_with_repeated_exchange_low_branches_reach_branch_0_before_the_end() -> None:
    torch.manual_seed(0)
    model = build_model("hrnet", "pocket").eval()
    seen: list[torch.Tensor] = []
    model.stage4[-1].branches[0].register_forward_hook(lambda _module, _inputs, out: seen.append(out.clone()))
    image = torch.randn(1, 3, 128, 96)
    with torch.inference_mode():
        model(image)
        for parameter in model.transition1["1"].parameters():
            parameter.fill_(0.5)
        model(image)
    assert not torch.equal(seen[0], seen[1])
