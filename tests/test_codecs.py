"""Codecs: parity with the authors' code (stored numbers), with plain loops, round trips, borders, ties, flips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.bench_codecs import loop_dark, loop_quarter, loop_targets, persons
from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.codecs.maps import peaks
from hpe_bench.codecs.udp import UDP
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.declare import fingerprint

INPUT_HW, HEATMAP_HW = (256, 192), (64, 48)
FULL = ((64, 48), 2.0, 11)  # heatmap size, sigma, DARK kernel
POCKET = ((32, 24), 1.0, 3)
LARGE = ((96, 72), 3.0, 11)
DECODERS = ("argmax", "quarter", "dark")


@pytest.fixture(scope="module")
def protocol() -> dict[str, Any]:
    """What the code of HRNet, DarkPose and UDP answers: 4 persons, 17 maps of 64x48; person 0 has two constant maps."""
    folder = Path(__file__).parent / "data"
    with np.load(folder / "protocol_gaussian.npz") as gaussian, np.load(folder / "protocol_udp.npz") as udp:
        return {**gaussian, **udp}


def encode(codec: Gaussian, joints: Any, heatmap_hw: tuple[int, int] = HEATMAP_HW) -> tuple[Tensor, Tensor]:
    """Targets of labelled joints given in heatmap pixels, for an input four times as large."""
    joints_BJ2 = 4 * torch.as_tensor(joints, dtype=torch.float32).reshape(1, -1, 2)
    return codec.encode(
        joints_BJ2, torch.ones(joints_BJ2.shape[:2]), (4 * heatmap_hw[0], 4 * heatmap_hw[1]), heatmap_hw
    )


def decode(codec: Gaussian, maps: Tensor) -> Tensor:
    """Joints [J,2] of one person in heatmap pixels."""
    height, width = maps.shape[-2:]
    return codec.decode(maps, (4 * height, 4 * width))[0][0] / 4


# ---------------------------------------------------------------------------------------------------- parity


def test_targets_equal_the_authors(protocol: dict[str, Any]) -> None:
    joints, visible = (torch.from_numpy(protocol[k]) for k in ("joints_input_px", "joints_visible"))
    maps, weights = Gaussian().encode(joints, visible, INPUT_HW, HEATMAP_HW)
    assert np.array_equal(weights.numpy(), protocol["gaussian_target_weights"][..., 0])
    assert np.abs(maps.numpy() - protocol["gaussian_targets_sigma2"]).max() < 2e-7
    assert np.array_equal(maps.numpy() > 0, protocol["gaussian_targets_sigma2"] > 0)


def test_peaks_equal_the_authors(protocol: dict[str, Any]) -> None:
    joints, scores = Gaussian(decoder="argmax").decode(torch.from_numpy(protocol["heatmaps"]), INPUT_HW)
    assert np.array_equal(joints.numpy() / 4, protocol["argmax_xy"])
    assert np.array_equal(scores.numpy(), protocol["max_value"][..., 0])


@pytest.mark.parametrize(
    ("decoder", "answer"), [("quarter", "quarter_offset_image_xy"), ("dark", "dark_blur11_image_xy")]
)
def test_joints_in_the_image_equal_the_authors(protocol: dict[str, Any], decoder: Any, answer: str) -> None:
    """Through the inverse crop. DARK is undefined for the two constant maps: their log has no slope, 0 / 0."""
    joints, _ = Gaussian(decoder=decoder).decode(torch.from_numpy(protocol["heatmaps"]), INPUT_HW)
    box_wh = 200.0 * protocol["scale_200px"][:, None]
    image_xy = (joints.numpy() - np.array([96, 128])) * box_wh / np.array([192, 256]) + protocol["center"][:, None]
    error = np.abs(image_xy - protocol[answer]).max(axis=-1)
    if decoder == "dark":
        error[0, :2] = 0
    assert error.max() < 1e-3


def test_flipped_maps_equal_the_authors(protocol: dict[str, Any]) -> None:
    back = Gaussian(flip_shift_px=1).unflip(torch.from_numpy(protocol["heatmaps"][:1]), COCO_17.flip_pairs)
    assert np.array_equal(back.numpy(), protocol["flipped_heatmaps_shifted"])


def test_batched_code_equals_the_plain_loops() -> None:
    data = persons(30, noise=0.05, absent=0.1)
    data["joints"][0] = np.random.default_rng(1).uniform(-60, 300, (17, 2))  # some far outside
    maps, weights = Gaussian().encode(*data["encode"])
    maps_loop, weights_loop = loop_targets(data["joints"], data["labelled"], 2)
    assert np.array_equal(weights.numpy(), weights_loop)
    assert np.abs(maps.numpy() - maps_loop).max() < 2e-7
    noisy = data["maps"]
    assert np.array_equal(Gaussian().decode(noisy, INPUT_HW)[0].numpy() / 4, loop_quarter(noisy.numpy()))
    for kernel in (3, 11):
        found, _ = Gaussian(decoder="dark", dark_kernel_px=kernel).decode(noisy, INPUT_HW)
        assert np.abs(found.numpy() / 4 - loop_dark(noisy.numpy(), kernel)).max() < 1e-3


def test_dark_equals_the_loop_where_the_floor_of_the_log_is_read() -> None:
    """Pure noise: windows hold negative values, so the rescaling by the whole map's maximum does not cancel."""
    maps = torch.from_numpy(np.random.default_rng(3).normal(0, 1, (6, 17, 64, 48)).astype(np.float32))
    found, _ = Gaussian(decoder="dark").decode(maps, INPUT_HW)
    expected = loop_dark(maps.numpy(), 11)
    step = np.abs(expected - loop_quarter(maps.numpy())).max(axis=-1, keepdims=True)
    assert (np.abs(found.numpy() / 4 - expected) < 1e-4 * (1 + step) ** 2).all()  # float32 beside a singular Hessian


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here; the CPU path is held against the loops")
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("centre", ["rounded", "exact"])
def test_gpu_equals_cpu(centre: Any, decoder: Any) -> None:
    codec, data = Gaussian(centre=centre, decoder=decoder), persons(8)
    joints, labelled, input_hw, heatmap_hw = data["encode"]
    on_cpu, on_gpu = codec.encode(*data["encode"]), codec.encode(joints.cuda(), labelled.cuda(), input_hw, heatmap_hw)
    torch.testing.assert_close(on_gpu[0].cpu(), on_cpu[0], atol=1e-6, rtol=0)
    assert torch.equal(on_gpu[1].cpu(), on_cpu[1])
    found_cpu, found_gpu = codec.decode(data["maps"], INPUT_HW), codec.decode(data["maps"].cuda(), INPUT_HW)
    torch.testing.assert_close(found_gpu[0].cpu(), found_cpu[0], atol=2e-2, rtol=1e-3)
    assert torch.equal(found_gpu[1].cpu(), found_cpu[1])


def test_numpy_and_torch_take_the_same_peak() -> None:
    """M11: the host path is NumPy's argmax, the device path max(dim); ties go to the first pixel in both."""
    maps = torch.from_numpy(np.random.default_rng(0).integers(-2, 3, (5, 7, 12, 10)).astype(np.float32))
    position, value = peaks(maps)
    expected_value, index = maps.flatten(2).max(dim=2)
    assert torch.equal(value, expected_value)
    assert torch.equal(position, torch.stack((index % 10, index // 10), -1))


# ---------------------------------------------------------------------------------------------------- round trips


# Largest error in heatmap pixels for joints at least 4 sigma inside. Rounded targets lose the fraction for good and are
# symmetric, so no step is taken; a quarter step leaves a quarter; DARK leaves what blur and float32 leave.
BOUNDS = {
    ("rounded", "argmax"): 0.5,
    ("rounded", "quarter"): 0.5,
    ("rounded", "dark"): 0.5,
    ("exact", "argmax"): 0.5,
    ("exact", "quarter"): 0.25,
    ("exact", "dark"): 0.02,
}


@pytest.mark.parametrize("setting", [FULL, POCKET, LARGE], ids=["64x48", "32x24", "96x72"])
@pytest.mark.parametrize(("centre", "decoder"), BOUNDS)
def test_round_trip_inside(centre: Any, decoder: Any, setting: tuple[tuple[int, int], float, int]) -> None:
    (height, width), sigma_px, kernel_px = setting
    margin = 4 * sigma_px
    low, high = (margin, margin), (width - 1 - margin, height - 1 - margin)
    joints = np.random.default_rng(4).uniform(low, high, (400, 2))
    codec = Gaussian(sigma_px=sigma_px, centre=centre, decoder=decoder, dark_kernel_px=kernel_px)
    maps, weights = encode(codec, joints, (height, width))
    assert (weights == 1).all()
    assert np.abs(decode(codec, maps).numpy() - joints).max() <= BOUNDS[centre, decoder] + 1e-3


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(BOUNDS)), st.lists(st.tuples(st.floats(0, 47), st.floats(0, 63)), min_size=1, max_size=20))
def test_round_trip_up_to_the_border(kind: tuple[Any, Any], joints: list[tuple[float, float]]) -> None:
    """Beside the border no decoder takes a step (argmax error), and just inside it blur over the edge pulls DARK."""
    codec = Gaussian(centre=kind[0], decoder=kind[1])
    maps, weights = encode(codec, joints)
    assert (weights == 1).all()
    assert np.abs(decode(codec, maps).numpy() - np.array(joints)).max() <= (0.8 if kind[1] == "dark" else 0.5001)


@pytest.mark.parametrize("centre", ["rounded", "exact"])
def test_joints_outside_the_map(centre: Any) -> None:
    codec = Gaussian(centre=centre)
    maps, weights = encode(codec, [(-3.0, 20.0), (-20.0, 20.0), (50.0, 20.0), (20.0, 90.0), (1e6, -1e6)])
    assert weights[0].tolist() == [1, 0, 1, 0, 0]
    assert (maps[0, [1, 3, 4]] == 0).all()
    found = decode(codec, maps)
    assert found[0].tolist() == [0.0, 20.0]  # the nearest pixel of the map
    assert found[2].tolist() == [47.0, 20.0]


def test_a_window_that_only_just_misses_keeps_its_weight_as_in_hrnet() -> None:
    maps, weights = encode(Gaussian(), [(-7.6, 20.0), (-8.6, 20.0), (53.4, 20.0), (53.6, 20.0)])
    assert weights[0].tolist() == [1, 0, 1, 0]
    assert maps[0, 0].max() == 0
    assert maps[0, 2].max() > 0


def test_unlabelled_joints_have_no_target_wherever_they_are() -> None:
    joints = torch.tensor([[[float("nan"), 3.0], [40.0, 40.0]]])
    maps, weights = Gaussian().encode(joints, torch.zeros(1, 2), INPUT_HW, HEATMAP_HW)
    assert weights.sum() == 0
    assert maps.abs().sum() == 0


def test_weights_are_flags_even_for_graded_visibility() -> None:
    _, weights = Gaussian().encode(torch.full((1, 2, 2), 50.0), torch.tensor([[2.0, 0.5]]), INPUT_HW, HEATMAP_HW)
    assert weights.tolist() == [[1.0, 1.0]]


# ---------------------------------------------------------------------------------------------------- ties, odd maps


def test_plateaus_and_ties() -> None:
    maps = torch.zeros(1, 4, 64, 48)
    maps[0, 0, 30:32, 20:22] = 1.0  # a 2x2 plateau: its first pixel, then a quarter into the plateau
    maps[0, 1, 30, 20] = maps[0, 1, 40, 30] = 1.0  # two equal peaks: the upper one, no step
    maps[0, 2] = 0.3  # constant and positive: the first pixel, which takes no step
    maps[0, 3] = -0.3  # no positive value: (0, 0) with its value as score (F8)
    for decoder in DECODERS:
        codec = Gaussian(decoder=decoder)
        found, scores = codec.decode(maps, INPUT_HW)
        assert torch.allclose(scores, torch.tensor([[1.0, 1.0, 0.3, -0.3]]))
        assert (found[0, 2:] == 0).all()
        plateau = {"argmax": 0.0, "quarter": 0.25, "dark": 0.5}[decoder]
        assert torch.allclose(found[0, :2] / 4, torch.tensor([[20 + plateau, 30 + plateau], [20.0, 30.0]]), atol=0.02)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(DECODERS), st.sampled_from([0.0, 1e-30, 1e-12, 1.0, 1e12, 1e30]))
def test_any_finite_map_gives_finite_joints(seed: int, decoder: Any, scale: float) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.choice([-1.0, 0.0, 0.0, 1e-9, 0.5, 1.0], (1, 6, 16, 12)) * scale
    maps = torch.from_numpy(levels.astype(np.float32))
    found, scores = Gaussian(decoder=decoder).decode(maps, (64, 48))
    assert torch.isfinite(found).all()
    assert torch.equal(scores, maps.flatten(2).amax(2))
    if decoder != "dark":  # DARK's step is not clamped
        assert (found >= 0).all()
        assert (found[..., 0] <= 48).all()
        assert (found[..., 1] <= 64).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_diverged_network_is_an_error_not_a_miss(decoder: Any, value: float) -> None:
    maps = torch.rand(2, 17, 64, 48)
    maps[1, 5, 3, 3] = value
    with pytest.raises(ValueError, match="joint 5 in row 1"):
        Gaussian(decoder=decoder).decode(maps, INPUT_HW)


def test_minus_infinity_beside_the_peak_does_not_come_out() -> None:
    maps = torch.full((1, 1, 64, 48), float("-inf"))
    maps[0, 0, 30, 20] = 1.0
    for decoder in DECODERS:
        assert decode(Gaussian(decoder=decoder), maps).tolist() == [[20.0, 30.0]]


def test_half_precision_maps_do_not_round_coordinates() -> None:
    maps, _ = encode(Gaussian(centre="exact"), [(33.3, 41.7)])
    found = decode(Gaussian(decoder="dark"), maps.to(torch.bfloat16))
    assert torch.allclose(found, torch.tensor([[33.3, 41.7]]), atol=0.1)


# ---------------------------------------------------------------------------------------------------- flips (F7)


def test_flipping_twice_is_the_identity() -> None:
    maps = torch.rand(2, 17, 64, 48)
    still, shifted = Gaussian(flip_shift_px=0), Gaussian(flip_shift_px=1)
    assert torch.equal(still.unflip(still.unflip(maps, COCO_17.flip_pairs), COCO_17.flip_pairs), maps)
    twice = shifted.unflip(shifted.unflip(maps, COCO_17.flip_pairs), COCO_17.flip_pairs)
    assert torch.equal(twice[..., 1:], maps[..., 1:])  # the shift loses the first column


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_symmetric_image_gives_symmetric_joints(decoder: Any) -> None:
    """For left and right joints; a central joint of an even map has two equal peaks, of which the first counts."""
    codec = Gaussian(centre="exact", decoder=decoder, flip_shift_px=0)
    half, _ = encode(codec, np.random.default_rng(0).uniform((6, 6), (41, 57), (17, 2)))
    found = decode(codec, 0.6 * half + 0.4 * codec.unflip(half, COCO_17.flip_pairs))
    again = decode(codec, 0.4 * half + 0.6 * codec.unflip(half, COCO_17.flip_pairs))
    mirrored = torch.stack((47 - found[:, 0], found[:, 1]), -1)[list(COCO_17.mirrored())]
    assert torch.allclose(mirrored[1:], again[1:], atol=1e-3)


@pytest.mark.parametrize(("shift", "bias"), [(0, -0.75), (1, 0.25), (2, 1.25)])
def test_the_shift_leaves_the_documented_bias(shift: int, bias: float) -> None:
    """A mirrored input (x -> W - 1 - x, sides swapped) encoded and brought back, against the input itself."""
    codec = Gaussian(centre="exact", decoder="dark", flip_shift_px=shift)
    joints = torch.rand(1, 17, 2) * torch.tensor([100.0, 160.0]) + 46
    mirrored = torch.stack((191 - joints[..., 0], joints[..., 1]), -1)[:, list(COCO_17.mirrored())]
    maps, _ = codec.encode(mirrored, torch.ones(1, 17), INPUT_HW, HEATMAP_HW)
    found, _ = codec.decode(codec.unflip(maps, COCO_17.flip_pairs), INPUT_HW)
    assert torch.allclose((found - joints) / 4, torch.tensor([bias, 0.0]).expand_as(joints), atol=0.02)


# ---------------------------------------------------------------------------------------------------- UDP


STRIDE_XY = torch.tensor([191 / 47, 255 / 63])  # input pixels per heatmap pixel, first to last pixel centre


def test_udp_targets_equal_the_authors(protocol: dict[str, Any]) -> None:
    joints, visible = (torch.from_numpy(protocol[k]) for k in ("joints_input_px", "joints_visible"))
    maps, weights = UDP().encode(joints, visible, INPUT_HW, HEATMAP_HW)
    assert np.array_equal(weights.numpy(), protocol["udp_target_weights"])
    assert np.abs(maps.numpy() - protocol["udp_targets_sigma2"]).max() < 5e-6  # float32 centres
    assert np.array_equal(maps.numpy() > 0, protocol["udp_targets_sigma2"] > 0)


def test_udp_joints_equal_the_authors(protocol: dict[str, Any]) -> None:
    """In heatmap pixels; undefined for the two constant maps (-1 and NaN there, (0, 0) and no step here)."""
    joints, scores = UDP().decode(torch.from_numpy(protocol["heatmaps"]), INPUT_HW)
    error = (joints / STRIDE_XY).numpy() - protocol["udp_dark_blur11_heatmap_xy"]
    error[0, :2] = 0
    assert np.abs(error).max() < 1e-4
    assert (joints[0, :2] == 0).all()
    assert np.array_equal(scores.numpy(), protocol["max_value"][..., 0])


@pytest.mark.parametrize(("margin_sigmas", "bound"), [(4, 0.005), (0, 1.3)])
@pytest.mark.parametrize("setting", [FULL, POCKET, LARGE], ids=["64x48", "32x24", "96x72"])
def test_udp_round_trip(setting: tuple[tuple[int, int], float, int], margin_sigmas: int, bound: float) -> None:
    """Beside the border the zero-padded blur pulls the step inwards, by about a pixel at worst."""
    (height, width), sigma_px, kernel_px = setting
    margin = margin_sigmas * sigma_px
    low, high = (margin, margin), (width - 1 - margin, height - 1 - margin)
    joints_hm = np.random.default_rng(4).uniform(low, high, (1, 400, 2))
    stride = np.array([(4 * width - 1) / (width - 1), (4 * height - 1) / (height - 1)])
    codec, input_hw = UDP(sigma_px, kernel_px), (4 * height, 4 * width)
    joints = torch.from_numpy(joints_hm * stride)
    maps, weights = codec.encode(joints, torch.ones(1, 400), input_hw, (height, width))
    assert (weights == 1).all()
    found, _ = codec.decode(maps, input_hw)
    assert np.abs(found.numpy() / stride - joints_hm).max() < bound


def test_udp_flips_exactly_and_without_a_shift() -> None:
    """F7: a mirrored input has exactly the mirrored maps, so averaging them adds no bias."""
    joints = torch.from_numpy(np.random.default_rng(0).uniform((0, 0), (191, 255), (2, 17, 2)))
    mirrored = torch.stack((191 - joints[..., 0], joints[..., 1]), -1)[:, list(COCO_17.mirrored())]
    codec, labelled = UDP(), torch.ones(2, 17)
    maps, _ = codec.encode(joints, labelled, INPUT_HW, HEATMAP_HW)
    back = codec.unflip(codec.encode(mirrored, labelled, INPUT_HW, HEATMAP_HW)[0], COCO_17.flip_pairs)
    assert torch.allclose(back, maps, atol=2e-5)
    assert torch.equal(codec.unflip(codec.unflip(maps, COCO_17.flip_pairs), COCO_17.flip_pairs), maps)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.0, 1e-30, 1e-12, 1.0, 1e12, 1e30]))
def test_udp_gives_finite_joints_for_any_finite_map(seed: int, scale: float) -> None:
    levels = np.random.default_rng(seed).choice([-1.0, 0.0, 0.0, 1e-9, 0.5, 1.0], (1, 6, 16, 12)) * scale
    found, _ = UDP().decode(torch.from_numpy(levels.astype(np.float32)), (64, 48))
    assert torch.isfinite(found).all()


def test_udp_refuses_what_it_cannot_decode_or_draw() -> None:
    maps = torch.rand(1, 17, 64, 48)
    maps[0, 2, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="joint 2 in row 0"):
        UDP().decode(maps, INPUT_HW)
    with pytest.raises(ValueError, match="sigma_px"):
        UDP(sigma_px=0)
    with pytest.raises(ValueError, match="odd"):
        UDP(kernel_px=4)
    joints = torch.tensor([[[float("nan"), 3.0], [-300.0, 40.0]]])
    targets, weights = UDP().encode(joints, torch.tensor([[0.0, 1.0]]), INPUT_HW, HEATMAP_HW)
    assert targets.sum() == weights.sum() == 0


# ---------------------------------------------------------------------------------------------------- declaration


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sigma_px": 0.0}, "sigma_px is 0"),
        ({"sigma_px": float("nan")}, "sigma_px is nan"),
        ({"flip_shift_px": -1}, "flip_shift_px is -1"),
        ({"dark_kernel_px": 10}, "odd"),
        ({"decoder": "best"}, "decoder"),
        ({"sigma": 2.0}, "sigma"),
    ],
)
def test_wrong_declarations_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Gaussian(**wrong)


def test_every_field_is_part_of_the_identity() -> None:
    codecs = [
        Gaussian(),
        Gaussian(sigma_px=3.0),
        Gaussian(centre="exact"),
        Gaussian(decoder="dark"),
        Gaussian(flip_shift_px=0),
        Gaussian(dark_kernel_px=3),
    ]
    assert len({fingerprint(codec) for codec in codecs}) == len(codecs)
