"""Stacked hourglass: parity with two PyTorch releases, counts, losses and the authors' codec."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hpe_bench.papers.hourglass import model
from hpe_bench.papers.hourglass.codec import Newell
from hpe_bench.papers.hourglass.loss import FinalOnly, NewellMSE
from hpe_bench.papers.hourglass.weights import adapt
from torch import Tensor, nn

from hpe_bench.cost.dispatched import count_dispatched as count
from hpe_bench.cost.dispatched import on_meta
from hpe_bench.declare import Batch
from hpe_bench.inference.weights import load_weights
from hpe_bench.nn.hourglass import Hourglass, Residual
from hpe_bench.training.losses import HeatmapMSE
from tests import parity


def s4_f128_port() -> model.StackedHourglass:
    return model.StackedHourglass((32, 64, 128, 128), 4, 16)


def outputs_of(net: nn.Module, weights: dict[str, Tensor], image: Tensor) -> list[Tensor]:
    load_weights(net.eval(), weights)
    with torch.inference_mode():
        maps: list[Tensor] = net(image)
    return maps


# ---------------------------------------------------------------------------------------------------- parity


def test_the_naming_of_the_port_and_the_fpd_release_gives_the_same_heatmaps() -> None:
    case = parity.load("hourglass_s4_f128")
    net = s4_f128_port()
    maps = outputs_of(net, case.weights, case.image)
    assert len(maps) == 4
    for stack, ours in enumerate(maps):
        parity.assert_agrees(ours, case.outputs[f"out_{stack}"])
    assert sum(p.numel() for p in net.parameters()) == case.params == 3_287_936


def test_the_naming_of_the_authors_group_gives_the_same_heatmaps_without_its_dead_convolutions() -> None:
    case = parity.load("hourglass_posenet_s2")
    net = model.s2(16)
    maps = outputs_of(net, case.weights, case.image)
    weights = adapt(case.weights)
    parity.assert_agrees(torch.stack(maps, dim=1), case.outputs["out"])
    # Weight and bias of 13 in each of two hourglasses, 1 behind each, 1 in the stem.
    dead = [name for name in case.weights if ".skip_layer." in name]
    alive = [name for name in weights if ".skip." in name]
    assert len(dead) - len(alive) == len(case.weights) - len(weights) == 2 * 29
    assert sum(p.numel() for p in net.parameters()) == 6_570_400
    lost = sum(case.weights[name].numel() for name in dead) - sum(weights[name].numel() for name in alive)
    assert case.params - lost == 6_570_400


@pytest.mark.parametrize("fault", ["bilinear", "stem_order"])
def test_parity_notices_faults_that_keep_every_name_and_shape(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = parity.load("hourglass_posenet_s2")
    net = model.s2(16)
    if fault == "bilinear":
        nearest = F.interpolate
        monkeypatch.setattr(F, "interpolate", lambda x, scale_factor, mode: nearest(x, None, 2.0, "bilinear"))
    else:  # the pooling before the first residual in place of behind it
        monkeypatch.setattr(type(net.stem), "forward", lambda s, x: s.res3(s.res2(s.res1(F.max_pool2d(s.conv(x), 2)))))
    maps = outputs_of(net, case.weights, case.image)
    apart = (torch.stack(maps, dim=1).numpy() - case.outputs["out"]).std()
    assert apart > 100 * parity.TOLERANCE * case.outputs["out"].std()


@pytest.mark.parametrize("name", ["hourglass_s4_f128", "hourglass_posenet_s2"])
def test_wrappers_around_a_release_come_off_and_ours_passes_unchanged(name: str) -> None:
    case = parity.load(name)
    ours = adapt(case.weights)
    wrapped = adapt({"state_dict": {f"module.{key}": value for key, value in case.weights.items()}, "epoch": 1})
    trained = adapt({f"model.module.{key}": value for key, value in case.weights.items()})
    for other in (wrapped, trained, adapt(ours)):
        assert list(other) == list(ours)
        assert all(other[key] is ours[key] for key in ours)


def test_a_port_with_two_residuals_a_branch_keeps_their_order() -> None:
    net = model.StackedHourglass((8, 16, 32, 32), 1, 16, blocks=2)
    name = "hg.0.hg.0.3.1.conv2.weight"  # innermost level, its middle branch, second residual
    assert list(adapt({name: torch.zeros(1), "hg.0.hg.3.0.0.bn1.weight": torch.zeros(1)})) == [
        "hourglasses.0.low2.low2.low2.low2.1.conv2.weight",
        "hourglasses.0.up1.0.bn1.weight",
    ]
    assert "hourglasses.0.low2.low2.low2.low2.1.conv2.weight" in net.state_dict()


# ---------------------------------------------------------------------------------------------------- counts

# Millions of parameters and GMAC at 256x256 with 16 joints, to the printed digits.
NEWELL = {"s1": (3.426, 5.150), "s2": (6.570, 8.335), "s4": (12.858, 14.703), "s8": (25.434, 27.440)}
PORT = {"s1_port": (3.587, 5.805), "s2_port": (6.731, 8.989), "s4_port": (13.019, 15.357), "s8_port": (25.595, 28.094)}
EQUAL_CAPACITY = {(4, 2): (25.032, 25.813), (2, 4): (24.751, 24.672), (1, 8): (24.611, 24.102)}  # port: stacks, blocks


def counted(builder: Callable[[], nn.Module], input_hw: tuple[int, int] = (256, 256)) -> tuple[float, float]:
    with on_meta():
        cost = count(builder(), input_hw)
    return round(cost.params / 1e6, 3), round(cost.macs / 1e9, 3)


@pytest.mark.parametrize(("name", "expected"), [*NEWELL.items(), *PORT.items()])
def test_parameters_and_macs_at_full_size(name: str, expected: tuple[float, float]) -> None:
    assert counted(lambda: getattr(model, name)(16)) == expected


@pytest.mark.parametrize(("shape", "expected"), EQUAL_CAPACITY.items())
def test_stacks_are_traded_for_residuals_at_equal_capacity(
    shape: tuple[int, int], expected: tuple[float, float]
) -> None:
    stacks, blocks = shape
    assert counted(lambda: model.StackedHourglass(model.PORT_STEM, stacks, 16, blocks)) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("s1_port", (3.587, 4.354)), ("s2_port", (6.732, 6.744)), ("s8_port", (25.598, 21.083))]
)
def test_parameters_and_macs_at_the_size_of_coco(name: str, expected: tuple[float, float]) -> None:
    assert counted(lambda: getattr(model, name)(17), (256, 192)) == expected


def test_miniatures_cost_what_the_paper_file_says_and_trade_stacks_for_residuals() -> None:
    with on_meta():
        costs = {name: count(getattr(model, name)(17), (128, 96)) for name in ("pocket", "pocket_s1_b2", "pocket_s1")}
    assert [round(c.macs / 1e6, 1) for c in costs.values()] == [30.5, 28.1, 20.5]
    assert costs["pocket_s1_b2"].params == pytest.approx(costs["pocket"].params, rel=0.05)


# ---------------------------------------------------------------------------------------------------- network


def test_the_skip_of_a_residual_sees_the_raw_input() -> None:
    block = Residual(4, 4).eval()
    nn.init.zeros_(block.conv3.weight)
    nn.init.zeros_(block.conv3.bias)
    x = torch.randn(1, 4, 3, 3)
    before = x.clone()
    assert torch.equal(block(x), before)  # negative values survive
    assert torch.equal(x, before)  # and the ReLU in place has not touched the input


def test_an_hourglass_keeps_the_shape_and_joins_every_size() -> None:
    net = Hourglass(depth=3, features=4).eval()
    x = torch.randn(1, 4, 32, 24, requires_grad=True)
    y = net(x)
    assert y.shape == x.shape
    y[0, 0, 16, 12].backward()
    assert x.grad is not None
    corners = [
        x.grad[..., rows, columns] for rows in (slice(8), slice(-8, None)) for columns in (slice(8), slice(-8, None))
    ]
    assert all(corner.any() for corner in corners)  # the way through the 4x3 bottom reaches them


def test_pocket_heatmaps_have_stride_four_in_every_stack() -> None:
    with torch.inference_mode():
        maps = model.pocket(17).eval()(torch.randn(2, 3, 128, 96))
    assert [tuple(m.shape) for m in maps] == [(2, 17, 32, 24)] * 2
    assert all(m.abs().max() < 0.1 for m in maps)  # near the empty map, beside peaks of 1


# ---------------------------------------------------------------------------------------------------- losses


def batch_of(joints: list[tuple[float, float]], labelled: list[bool]) -> Batch:
    return Batch(
        images_B3HW=torch.zeros(1, 3, 64, 64),
        joints_BJ2=torch.tensor([joints]),
        labelled_BJ=torch.tensor([labelled]).float(),
        visible_BJ=torch.tensor([labelled]).float(),
    )


def kernel_energy() -> float:
    """Sum of squares of the 7x7 kernel, from its definition."""
    line = [math.exp(-0.5 * (i / 1.75) ** 2) for i in range(-3, 4)]
    return sum((a * b) ** 2 for a in line for b in line)


def test_newell_loss_sums_over_stacks_and_does_not_mask_joints_without_annotation() -> None:
    batch = batch_of([(32.0, 32.0), (0.0, 0.0)], [True, False])
    empty, ones = torch.zeros(1, 2, 16, 16), torch.ones(1, 2, 16, 16)
    energy = kernel_energy() / (2 * 256)
    assert NewellMSE()([empty], batch, Newell()).item() == pytest.approx(energy, rel=1e-5)
    assert NewellMSE()([empty, empty, empty], batch, Newell()).item() == pytest.approx(3 * energy, rel=1e-5)
    mass = sum(math.exp(-0.5 * (i / 1.75) ** 2) for i in range(-3, 4)) ** 2
    wrong = (256 + (256 - 2 * mass + kernel_energy())) / (2 * 256)  # the empty target of the second joint counts
    assert NewellMSE()([ones], batch, Newell()).item() == pytest.approx(wrong, rel=1e-5)


def test_without_intermediate_supervision_only_the_last_stack_counts() -> None:
    batch = batch_of([(20.0, 40.0)], [True])
    first, last = torch.randn(2, 1, 1, 16, 16).unbind()
    loss = FinalOnly(HeatmapMSE())
    both = HeatmapMSE()([first, last], batch, Newell())
    assert torch.equal(loss([first, last], batch, Newell()), HeatmapMSE()([last], batch, Newell()))
    assert both > loss([first, last], batch, Newell())


# ---------------------------------------------------------------------------------------------------- codec


def test_the_kernel_is_7_pixels_wide_with_1_75_px_whatever_its_name_says() -> None:
    maps, weight = Newell().encode(torch.tensor([[[33.9, 30.1]]]), torch.ones(1, 1), (64, 64), (16, 16))
    row = maps[0, 0, 7]  # 30.1 / 4 = 7.5 and 33.9 / 4 = 8.5 are cut to 7 and 8
    assert row.argmax() == 8
    assert row[8] == 1
    assert row[5].item() == pytest.approx(0.23, abs=0.005)  # edge value
    assert row[4] == row[12] == 0
    assert weight.item() == 1


@pytest.mark.parametrize(("x", "seen"), [(-12.0, True), (-16.1, False), (75.9, True), (76.0, False)])
def test_a_kernel_that_misses_the_map_is_not_drawn(x: float, seen: bool) -> None:
    maps, weight = Newell().encode(torch.tensor([[[x, 32.0]]]), torch.ones(1, 1), (64, 64), (16, 16))
    assert bool(maps.any()) is seen
    assert bool(weight.item()) is seen


def test_decoding_moves_a_quarter_towards_the_larger_neighbour_and_half_a_pixel_back() -> None:
    maps = torch.zeros(1, 4, 8, 8)
    maps[0, 0, 3, 4], maps[0, 0, 3, 5], maps[0, 0, 2, 4] = 1.0, 0.5, 0.5  # right, up
    maps[0, 1, 3, 4] = 1.0  # a tie stays
    maps[0, 2, 3, 7], maps[0, 2, 3, 6] = 1.0, 0.5  # a border pixel stays
    maps[0, 3, 1, 1], maps[0, 3, 1, 2] = 1.0, 0.5  # next to the border it moves, unlike in the HRNet code (F8)
    joints, scores = Newell().decode(maps, (32, 32))
    expected = 4 * np.array([[4.75, 3.25], [4.5, 3.5], [7.5, 3.5], [1.75, 1.5]])
    np.testing.assert_allclose(joints[0].numpy(), expected)
    assert scores[0].tolist() == [1.0] * 4


def test_encoding_and_decoding_return_the_joint_to_half_a_heatmap_pixel() -> None:
    joints = torch.rand(1, 50, 2, generator=torch.Generator().manual_seed(0)) * 55 + 4
    maps, _ = Newell().encode(joints, torch.ones(1, 50), (64, 64), (16, 16))
    back, _ = Newell().decode(maps, (64, 64))
    assert (back - joints).abs().max() <= 2.0 + 1e-4
    assert (back - joints).mean().abs() < 0.3  # cutting is undone on average


def test_turning_mirrored_maps_back_twice_is_the_identity() -> None:
    maps = torch.randn(1, 3, 4, 5)
    codec = Newell()
    assert torch.equal(codec.unflip(codec.unflip(maps, ((0, 2),)), ((0, 2),)), maps)  # F7
