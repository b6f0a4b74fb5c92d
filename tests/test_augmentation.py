"""Augmentation: joints and pixels move together, exactly, in the convention of the crops."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from hpe_bench.data.augmentation import (
    IMAGENET_MEAN_RGB,
    IMAGENET_STD_RGB,
    augment,
    sample_gain,
    sample_linear,
    to_batch,
)
from hpe_bench.data.crops import crop_hw
from hpe_bench.data.skeletons import LSP_14
from hpe_bench.declare import Augmentation, Batch
from hpe_bench.training.feeding import draw
from tests import small

INPUT_HW = (96, 72)
CONTEXT_HW = crop_hw(INPUT_HW, 1.5)  # 144 x 108: a margin of 24 rows and 18 columns
MARGIN_XY = torch.tensor([18.0, 24.0])
NONE = Augmentation(flip_p=0.0, scale=0.0, rotation_deg=0.0, rotation_p=0.0)
JOINTS = len(LSP_14.joints)


def run(pixels: np.ndarray, joints: np.ndarray, how: Augmentation, seed: int = 0, **flags: torch.Tensor) -> Batch:
    everything = torch.ones(joints.shape[:2], dtype=torch.bool)
    return augment(
        torch.from_numpy(pixels),
        torch.from_numpy(joints.astype(np.float32)),
        flags.get("labelled", everything),
        flags.get("visible", everything),
        mirrored=LSP_14.mirrored(),
        augmentation=how,
        input_hw=INPUT_HW,
        generator=torch.Generator().manual_seed(seed),
    )


def grey_levels(images_B3HW: torch.Tensor) -> np.ndarray:
    """Back to [B,H,W,3] in 0..255."""
    std, mean = np.array(IMAGENET_STD_RGB), np.array(IMAGENET_MEAN_RGB)
    return (images_B3HW.permute(0, 2, 3, 1).double().numpy() * std + mean) * 255


def dots(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Black context crops, each with one soft bright dot, and joints that all lie on its centre."""
    rng = np.random.default_rng(seed)
    middle = np.array([CONTEXT_HW[1] / 2, CONTEXT_HW[0] / 2])
    centres = middle + rng.uniform(-9, 9, (count, 2))  # stays inside the input under any scale and rotation
    y, x = np.mgrid[: CONTEXT_HW[0], : CONTEXT_HW[1]]
    square = (x - centres[:, 0, None, None]) ** 2 + (y - centres[:, 1, None, None]) ** 2
    pixels = np.repeat(np.round(255 * np.exp(-square / (2 * 3.0**2)))[..., None], 3, axis=3).astype(np.uint8)
    return pixels, np.repeat(centres[:, None], JOINTS, axis=1)


def centroids(images_B3HW: torch.Tensor) -> np.ndarray:
    """Centre of mass (x, y) of each image, pixel centres at whole numbers."""
    mass = grey_levels(images_B3HW).mean(-1)
    y, x = np.mgrid[: mass.shape[1], : mass.shape[2]]
    return np.stack([(mass * x).sum((1, 2)), (mass * y).sum((1, 2))], -1) / mass.sum((1, 2))[:, None]


def test_no_augmentation_cuts_the_margin_off() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, *CONTEXT_HW, 3), np.uint8)
    joints = np.random.default_rng(1).uniform(0, 100, (3, JOINTS, 2))
    batch = run(pixels, joints, NONE)
    inner = torch.from_numpy(pixels[:, 24:-24, 18:-18].copy())
    torch.testing.assert_close(batch.images_B3HW, to_batch(inner), atol=2e-3, rtol=0)  # 0.1 grey levels
    torch.testing.assert_close(batch.joints_BJ2, torch.from_numpy(joints).float() - MARGIN_XY, atol=1e-4, rtol=0)
    assert batch.input_hw == INPUT_HW
    assert batch.labelled_BJ.dtype == batch.visible_BJ.dtype == torch.float32


@pytest.mark.parametrize(
    "how",
    [
        NONE,
        Augmentation(flip_p=1.0, scale=0.0, rotation_deg=0.0, rotation_p=0.0),
        Augmentation(flip_p=0.0, scale=0.3, rotation_deg=0.0, rotation_p=0.0),
        Augmentation(flip_p=0.0, scale=0.0, rotation_deg=40.0, rotation_p=1.0),
        Augmentation(flip_p=0.5, scale=0.35, rotation_deg=45.0, rotation_p=0.6),
    ],
)
def test_a_dot_is_found_where_its_joint_went(how: Augmentation) -> None:
    """To a fiftieth of a pixel, so a half-pixel slip or a rotation in the other sense cannot hide."""
    pixels, joints = dots(16)
    batch = run(pixels, joints, how)
    np.testing.assert_allclose(centroids(batch.images_B3HW), batch.joints_BJ2[:, 0].numpy(), atol=0.02)


def test_flip_mirrors_about_the_box_centre_and_swaps_left_and_right() -> None:
    pixels = np.zeros((2, *CONTEXT_HW, 3), np.uint8)
    joints = np.random.default_rng(1).uniform(30, 80, (2, JOINTS, 2))
    labelled = torch.rand(2, JOINTS, generator=torch.Generator().manual_seed(3)) < 0.6
    visible = labelled & (torch.rand(2, JOINTS, generator=torch.Generator().manual_seed(4)) < 0.5)
    flip = Augmentation(flip_p=1.0, scale=0.0, rotation_deg=0.0, rotation_p=0.0)
    batch = run(pixels, joints, flip, labelled=labelled, visible=visible)
    right, left = LSP_14.index("right_wrist"), LSP_14.index("left_wrist")
    head = LSP_14.index("head_top")
    inside = joints - MARGIN_XY.numpy()
    for now, before in ((left, right), (right, left), (head, head)):
        mirrored = np.stack([INPUT_HW[1] - inside[:, before, 0], inside[:, before, 1]], -1)
        np.testing.assert_allclose(batch.joints_BJ2[:, now].numpy(), mirrored, atol=1e-4)
        assert torch.equal(batch.labelled_BJ[:, now], labelled[:, before].float())
        assert torch.equal(batch.visible_BJ[:, now], visible[:, before].float())


def test_unflipped_persons_keep_their_sides() -> None:
    """In a mixed batch, sides are swapped exactly where the picture is mirrored."""
    pixels, joints = dots(64)
    right, left = LSP_14.index("right_hip"), LSP_14.index("left_hip")
    joints = joints.copy()
    joints[:, left, 0] += 5  # in the picture, left is right of right: a person who faces the camera
    batch = run(pixels, joints, Augmentation(flip_p=0.5, scale=0.0, rotation_deg=0.0, rotation_p=0.0))
    # A mirrored person with sides swapped faces the camera still.
    np.testing.assert_allclose((batch.joints_BJ2[:, left] - batch.joints_BJ2[:, right])[:, 0].numpy(), 5, atol=1e-3)
    dot = LSP_14.index("head_top")
    moved = batch.joints_BJ2[:, dot, 0].numpy() - (joints[:, dot, 0] - 18)
    assert 10 < (np.abs(moved) > 1e-3).sum() < 54


def test_samples_follow_the_declared_rule() -> None:
    """The four numbers, read back from 20,000 sampled matrices."""
    how = Augmentation(flip_p=0.3, scale=0.25, rotation_deg=30.0, rotation_p=0.6)
    linear, flip = sample_linear(20_000, how, torch.Generator().manual_seed(0))
    det = torch.linalg.det(linear)
    assert torch.equal(det < 0, flip)
    assert abs(flip.float().mean().item() - 0.3) < 0.015
    factor = det.abs().rsqrt().numpy()  # linear = rotation / factor: a larger factor makes a smaller person
    assert 0.75 - 1e-5 <= factor.min() < factor.max() <= 1.25 + 1e-5
    assert abs(np.mean(factor > 1.2499) - 0.1587) < 0.015  # clipped beyond one deviation
    angle = torch.rad2deg(torch.atan2(-linear[:, 0, 1], linear[:, 1, 1])).numpy()
    turned = np.abs(angle) > 0
    assert abs(turned.mean() - 0.6) < 0.015
    assert np.abs(angle).max() <= 60 + 1e-3
    assert abs(np.mean(np.abs(angle[turned]) < 30) - 0.6827) < 0.015


def test_the_seed_decides_everything() -> None:
    pixels, joints = dots(8)
    how = Augmentation()
    one, same, other = run(pixels, joints, how), run(pixels, joints, how), run(pixels, joints, how, seed=1)
    assert torch.equal(one.images_B3HW, same.images_B3HW)
    assert torch.equal(one.joints_BJ2, same.joints_BJ2)
    assert not torch.equal(one.joints_BJ2, other.joints_BJ2)


def test_the_warp_is_that_of_opencv() -> None:
    """The same affine through warpAffine, as the released codes do it; black where both look outside the crop."""
    rng = np.random.default_rng(0)
    pixels = np.stack([cv2.resize(rng.integers(0, 256, (12, 9, 3), np.uint8), CONTEXT_HW[::-1]) for _ in range(8)])
    how = Augmentation(flip_p=0.5, scale=0.35, rotation_deg=45.0, rotation_p=1.0)
    ours = grey_levels(run(pixels, np.zeros((8, JOINTS, 2)), how).images_B3HW)
    linear, _ = sample_linear(8, how, torch.Generator().manual_seed(0))
    for row, matrix in enumerate(linear.double().numpy()):
        shift = np.array([36.0, 48.0]) - matrix @ np.array([54.0, 72.0])
        theirs = cv2.warpAffine(pixels[row], np.column_stack([matrix, shift]), (72, 96), flags=cv2.INTER_LINEAR)
        difference = np.abs(ours[row] - theirs)
        assert difference.mean() < 0.6
        assert np.quantile(difference, 0.99) < 3  # F21; the rest is the black border, where 1/32 px is 8 grey levels
        assert difference.max() < 9


def test_evaluation_input_is_normalised_rgb() -> None:
    pixels = torch.tensor([[[[255, 0, 128]]]], dtype=torch.uint8)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (128 / 255 - 0.406) / 0.225]
    np.testing.assert_allclose(to_batch(pixels).flatten().numpy(), expected, atol=1e-6)
    assert to_batch(pixels.expand(2, 5, 4, 3)).shape == (2, 3, 5, 4)


def test_colour_channels_are_scaled_one_by_one_and_cut_to_their_range() -> None:
    pixels = np.full((400, 64, 48, 3), (40, 100, 200), np.uint8)
    joints = np.zeros((400, len(LSP_14.joints), 2))
    still = Augmentation(flip_p=0.0, scale=0.0, rotation_deg=0.0, rotation_p=0.0, colour=0.4)
    found = grey_levels(run(pixels, joints, still).images_B3HW)[:, 32, 24]
    gain = found / (40, 100, 200)
    assert gain.min() > 0.6 - 1e-4
    assert gain[:, :2].max() < 1.4 + 1e-4
    assert found.max() < 255 + 1e-3  # where 200 times the gain is more
    assert np.abs(gain[:, :2].mean(0) - 1).max() < 0.05
    assert gain[:, :2].std(0) == pytest.approx(0.4 / 3**0.5, rel=0.1)
    assert abs(np.corrcoef(gain[:, 0], gain[:, 1])[0, 1]) < 0.2


def test_a_rule_without_colours_draws_nothing_for_them() -> None:
    one, other = (torch.Generator().manual_seed(0) for _ in range(2))
    sample_linear(4, Augmentation(), one)
    assert sample_gain(4, Augmentation(), one) is None
    sample_linear(4, Augmentation(), other)
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=other))


def test_micro_batches_have_the_colours_of_their_batch() -> None:
    recipe = dataclasses.replace(small.RECIPE, batch=8, augmentation=dataclasses.replace(NONE, colour=0.4))
    crops = SimpleNamespace(joints=np.zeros((50, JOINTS, 2)))
    drawn = draw(recipe, crops, seed=0, step=3, parts=2)  # type: ignore[arg-type]
    parts = [drawn.part(k, 2).gain_B3 for k in range(2)]
    assert drawn.gain_B3 is not None
    assert torch.equal(torch.cat(parts), drawn.gain_B3)  # type: ignore[arg-type]
    assert len(drawn.gain_B3.unique()) == 24
