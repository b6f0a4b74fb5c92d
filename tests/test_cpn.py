"""CPN: the port's outputs, both layouts' costs, its losses by hand, its targets and decoder against OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hpe_bench.papers.cpn.codec import BlurredCell
from hpe_bench.papers.cpn.loss import GlobalAndRefine, GlobalL2
from hpe_bench.papers.cpn.model import Predictor
from torch import Tensor

from hpe_bench.catalog import build_model, load
from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.cost.dispatched import count_on_meta
from hpe_bench.cost.model_cost import Cost
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.declare import Batch
from hpe_bench.inference.weights import load_weights
from tests import parity

VARIANTS = {variant.name: variant for variant in load("cpn").paper.variants}
INPUT_HW, HEATMAP_HW = (256, 192), (64, 48)


def cost(name: str) -> Cost:
    variant = VARIANTS[name]
    return count_on_meta(variant.builder, variant.joints, variant.input_hw)


# ------------------------------------------------------------------------------------------------ model


def port() -> tuple[parity.Case, torch.nn.Module]:
    case = parity.load("cpn_res50")
    model = build_model("cpn", "r50_projection_256x192").eval()
    load_weights(model, case.weights)
    return case, model


def test_the_port_s_state_dict_gives_the_same_five_stacks() -> None:
    case, model = port()
    assert list(model.state_dict()) == list(case.weights)
    assert sum(p.numel() for p in model.parameters()) == case.params
    with torch.inference_mode():
        outputs = model(case.image)
    for maps, name in zip(outputs, ("out_0_0", "out_0_1", "out_0_2", "out_0_3", "out_1"), strict=True):
        parity.assert_agrees(maps, case.outputs[name])


def test_parity_notices_the_other_bilinear_grid() -> None:
    case, model = port()
    for module in model.modules():
        if isinstance(module, torch.nn.Upsample):
            module.align_corners = False
    with torch.inference_mode():
        outputs = model(case.image)
    parity.assert_agrees(outputs[0], case.outputs["out_0_0"])  # C5 is upsampled by its predictor alone
    with pytest.raises(AssertionError, match="apart"):
        parity.assert_agrees(outputs[3], case.outputs["out_0_3"])


@pytest.mark.parametrize(
    ("name", "params", "gmac"),
    [
        ("r50_256x192", 27_009_770, 7.231),
        ("r50_projection_256x192", 27_406_826, 7.316),
        ("r50_projection_384x288", 27_406_826, 16.460),
        ("r101_projection_256x192", 46_398_954, 10.952),
        ("r101_projection_384x288", 46_398_954, 24.642),
    ],
)
def test_full_size_costs(name: str, params: int, gmac: float) -> None:
    found = cost(name)
    assert found.params == params
    assert round(found.macs / 1e9, 3) == gmac


def test_r101_differs_from_r50_in_the_trunk_alone() -> None:
    trunk = 46_398_954 - 27_406_826
    assert cost("r101_256x192").params - cost("r50_256x192").params == trunk


@pytest.mark.parametrize(
    ("more", "less", "printed"),
    [
        ("r50_c2_c3", "r50_c2", 0.48),
        ("r50_c2_c4", "r50_c2_c3", 0.38),
        ("r50_projection", "r50_c2_c4", 0.32),
        ("r50_one_each", "r50_concat", 1.05),
        ("r50_projection", "r50_concat", 0.33),
    ],
)
def test_refine_net_s_printed_cost_differences(more: str, less: str, printed: float) -> None:
    """Tables 4 and 5 in multiply-adds / 2^30; a difference of two rounded figures is good to 0.01."""
    found = (cost(f"{more}_256x192").macs - cost(f"{less}_256x192").macs) / 2**30
    assert found == pytest.approx(printed, abs=0.01)


def test_the_printed_6_20_g_is_no_layout_of_ours() -> None:
    """The claim says that its convention is unknown; this is the test that would tell if one came to fit."""
    macs = [cost(name).macs for name in ("r50_256x192", "r50_projection_256x192")]
    counts = [m * times / giga for m in macs for times in (1, 2) for giga in (1e9, 2**30)]
    assert min(abs(c / 6.20 - 1) for c in counts) > 0.08


def test_a_predictor_normalises_before_or_after_it_resizes() -> None:
    """The order matters to the statistics in training: bilinear maps vary less than what they are made from."""
    models = {name: build_model("cpn", name) for name in ("pocket", "r50_projection_256x192")}
    orders = {
        name: {p.style.bn_after_resize for p in model.modules() if isinstance(p, Predictor)}
        for name, model in models.items()
    }
    assert orders == {"pocket": {False}, "r50_projection_256x192": {True}}


# ------------------------------------------------------------------------------------------------ losses


def two_joint_batch(visible: tuple[float, float]) -> Batch:
    joints = torch.tensor([[[4.0, 4.0], [8.0, 8.0]]])
    return Batch(torch.zeros(1, 3, 16, 16), joints, torch.ones(1, 2), torch.tensor([visible]))


def target(batch: Batch, codec: Gaussian, hw: tuple[int, int] = (4, 4)) -> Tensor:
    return codec.encode(batch.joints_BJ2, batch.labelled_BJ, batch.input_hw, hw)[0]


CODEC = Gaussian(sigma_px=1.0, centre="exact")


def test_global_net_pushes_occluded_joints_to_zero() -> None:
    batch = two_joint_batch(visible=(1, 0))
    loss = GlobalL2(level_codecs=(CODEC,), peak=10.0)
    perfect = 10 * target(batch, CODEC) * torch.tensor([1.0, 0.0])[None, :, None, None]
    assert float(loss([perfect], batch, CODEC)) == 0
    shown = 10 * target(batch, CODEC)  # also draws the occluded joint
    by_hand = 0.5 * float((10 * target(batch, CODEC)[:, 1]).square().sum()) / (2 * 16)
    assert float(loss([shown], batch, CODEC)) == pytest.approx(by_hand)


def test_global_net_averages_levels_that_have_their_own_targets() -> None:
    batch, wide = two_joint_batch(visible=(1, 1)), Gaussian(sigma_px=2.0, centre="exact")
    loss = GlobalL2(level_codecs=(wide, CODEC), peak=1.0)
    levels = [target(batch, wide, (2, 2)), torch.zeros(1, 2, 4, 4)]
    by_hand = 0.5 * (0 + float(target(batch, CODEC).square().mean())) / 2
    assert float(loss(levels, batch, CODEC)) == pytest.approx(by_hand)


def test_refine_net_averages_the_worst_joints_of_each_person() -> None:
    """Joint errors 4, 1, 9 and 0 (not labelled): the two hardest have mean 6.5, all four 3.5."""
    batch = Batch(
        torch.zeros(1, 3, 16, 16),
        torch.full((1, 4, 2), 8.0),
        torch.tensor([[1.0, 1.0, 1.0, 0.0]]),
        torch.tensor([[1.0, 0.0, 1.0, 0.0]]),  # visibility has no part in it
    )
    maps = target(batch, CODEC) + torch.tensor([2.0, 1.0, 3.0, 7.0])[None, :, None, None]
    for hard, by_hand in ((2, 6.5), (4, 3.5), (17, 3.5)):  # 17: more than this skeleton has
        loss = GlobalAndRefine((CODEC,), hard_joints=hard, global_weight=0.0, peak=1.0)
        assert float(loss([torch.zeros_like(maps), maps], batch, CODEC)) == pytest.approx(by_hand)


def test_mining_sends_gradient_through_the_selected_joints_alone() -> None:
    batch = two_joint_batch(visible=(1, 1))
    maps = (target(batch, CODEC) + torch.tensor([0.1, 0.2])[None, :, None, None]).requires_grad_()
    level = torch.zeros(1, 2, 4, 4)
    GlobalAndRefine((CODEC,), hard_joints=1, peak=1.0)([level, maps], batch, CODEC).backward()
    assert maps.grad is not None
    assert float(maps.grad[:, 0].abs().sum()) == 0
    assert float(maps.grad[:, 1].abs().sum()) > 0


def test_cpn_s_loss_adds_half_the_levels_mean_to_refine_net_s() -> None:
    batch = two_joint_batch(visible=(1, 1))
    maps = torch.zeros(1, 2, 4, 4)
    square = float(target(batch, CODEC).square().mean()) * 255**2
    loss = GlobalAndRefine((CODEC, CODEC, CODEC, CODEC), hard_joints=2)([maps] * 5, batch, CODEC)
    assert float(loss) == pytest.approx(1.5 * square)


def test_activation_brings_the_peak_back_to_one() -> None:
    batch = two_joint_batch(visible=(1, 1))
    maps = target(batch, CODEC)
    for loss in (GlobalL2((CODEC,)), GlobalAndRefine((CODEC,))):
        assert loss.peak == 255.0
        torch.testing.assert_close(loss.activate(255 * maps), maps)


def test_the_number_of_levels_must_be_the_network_s() -> None:
    with pytest.raises(ValueError, match="zip"):
        GlobalL2((CODEC, CODEC))([torch.zeros(1, 2, 4, 4)], two_joint_batch((1, 1)), CODEC)


# ------------------------------------------------------------------------------------------------ codec


def encode(codec: BlurredCell, joints: list[list[float]], labelled: list[float]) -> tuple[np.ndarray, np.ndarray]:
    maps, weights = codec.encode(torch.tensor([joints]), torch.tensor([labelled]), INPUT_HW, HEATMAP_HW)
    return maps[0].numpy(), weights[0].numpy()


@pytest.mark.parametrize(
    ("kernel_px", "profile"),
    [
        (7, (1, 0.7778, 0.3889, 0.1111, 0)),
        (9, (1, 0.85, 0.5, 0.2167, 0.0667, 0)),
    ],
)
def test_short_kernels_are_opencv_s_tables_and_not_its_formula(kernel_px: int, profile: tuple[float, ...]) -> None:
    """F6. The joint at (81.9, 100) lies in cell (20, 25)."""
    (maps,), _ = encode(BlurredCell(kernel_px), [[81.9, 100.0]], [1])
    np.testing.assert_allclose(maps[25, 20 : 20 + len(profile)], profile, atol=1e-4)
    np.testing.assert_allclose(maps[25 : 25 + len(profile), 20], profile, atol=1e-4)


@pytest.mark.parametrize("kernel_px", [7, 9, 11, 15, 23])
@pytest.mark.parametrize("cell_xy", [(20, 25), (0, 0), (1, 63), (47, 1), (46, 62)])
def test_targets_are_a_blurred_cell_with_opencv_s_border(kernel_px: int, cell_xy: tuple[int, int]) -> None:
    x, y = cell_xy
    spot = np.zeros(HEATMAP_HW, np.float32)
    spot[y, x] = 1
    theirs = cv2.GaussianBlur(spot, (kernel_px, kernel_px), 0)
    (ours,), _ = encode(BlurredCell(kernel_px), [[4 * x + 3.0, 4 * y + 1.0]], [1])
    np.testing.assert_allclose(ours, theirs / theirs.max(), atol=1e-5)


def test_joints_outside_or_unlabelled_have_no_target() -> None:
    joints = [[-0.1, 5.0], [192.0, 5.0], [191.9, 255.9], [50.0, 50.0], [float("nan"), 5.0]]
    maps, weights = encode(BlurredCell(7), joints, [1, 1, 1, 0, 1])
    assert weights.tolist() == [0, 0, 1, 0, 0]
    assert [float(m.max()) for m in maps] == [0, 0, 1, 0, 0]


def reference_decode(heatmap: np.ndarray) -> tuple[float, float, float]:
    """One map, written out as both codes do it, with OpenCV (10 pixels of zeros around, blur of 21 taps)."""
    height, width = heatmap.shape
    padded = cv2.GaussianBlur(np.pad(heatmap / heatmap.max(), 10), (21, 21), 0)
    first_y, first_x = np.unravel_index(padded.argmax(), padded.shape)
    padded[first_y, first_x] = 0
    second_y, second_x = np.unravel_index(padded.argmax(), padded.shape)
    x, y = first_x - 10.0, first_y - 10.0
    away = np.array([second_x - first_x, second_y - first_y], float)
    length = np.hypot(*away)
    if length > 1e-3:
        x, y = x + 0.25 * away[0] / length, y + 0.25 * away[1] / length
    x, y = max(0.0, min(x, width - 1)), max(0.0, min(y, height - 1))
    return x * 4 + 2, y * 4 + 2, heatmap[int(y + 0.5), int(x + 0.5)] + 0.5


def test_decoding_is_the_quarter_step_towards_the_second_maximum() -> None:
    rng = np.random.default_rng(3)
    joints = torch.tensor(rng.uniform((12, 12), (180, 244), (3, 17, 2)), dtype=torch.float32)
    codec = BlurredCell(7)
    maps, _ = codec.encode(joints, torch.ones(3, 17), INPUT_HW, HEATMAP_HW)
    maps = maps + torch.tensor(rng.normal(0, 0.05, maps.shape), dtype=torch.float32)
    ours, scores = codec.decode(maps, INPUT_HW)
    theirs = np.array([[reference_decode(m) for m in person] for person in maps.numpy()])
    np.testing.assert_allclose(ours.numpy(), theirs[..., :2], atol=1e-3)
    np.testing.assert_allclose(scores.numpy(), theirs[..., 2], atol=1e-5)


def test_what_is_encoded_decodes_to_within_a_cell() -> None:
    """A cell is 4 pixels wide and its centre comes back, a quarter of a cell off: at most 2 + 1 an axis."""
    joints = torch.rand(4, 17, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([176.0, 240.0]) + 8
    codec = BlurredCell(7)
    maps, _ = codec.encode(joints, torch.ones(4, 17), INPUT_HW, HEATMAP_HW)
    found, _ = codec.decode(maps, INPUT_HW)
    assert float((found - joints).abs().max()) <= 3.0


def test_maps_without_a_positive_value_decode_to_finite_points() -> None:
    found, scores = BlurredCell(7).decode(torch.full((1, 2, 64, 48), -10.0), INPUT_HW)
    assert torch.isfinite(found).all()
    assert torch.isfinite(scores).all()


def test_unflipping_twice_is_the_identity() -> None:
    maps = torch.rand(1, 17, 64, 48, generator=torch.Generator().manual_seed(0))
    codec = BlurredCell(7)
    back = codec.unflip(codec.unflip(maps, COCO_17.flip_pairs), COCO_17.flip_pairs)
    assert torch.equal(back, maps)


def test_cells_mirror_onto_cells() -> None:
    """A joint and its mirror image in a mirrored input have mirrored targets: no shift is needed (F7)."""
    codec = BlurredCell(7)
    (maps,), _ = encode(codec, [[81.0, 100.0]], [1])
    (mirrored,), _ = encode(codec, [[191.0 - 81.0, 100.0]], [1])
    np.testing.assert_allclose(mirrored[:, ::-1], maps, atol=1e-6)


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        BlurredCell(8)
