"""Half-body crops: which half, where it lies, and that recipes without them are what they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hpe_bench.data.augmentation import transform
from hpe_bench.data.crops import CropSet
from hpe_bench.data.half_body import half_bodies, upper_body
from hpe_bench.data.skeletons import COCO_17, LSP_14, MPII_16
from hpe_bench.declare import Augmentation, fingerprint, replace
from hpe_bench.training import feeding
from tests import small

INPUT_HW, CROP_HW = (64, 48), (96, 72)


def person() -> np.ndarray:
    """COCO joints [17,2] of somebody upright in the crop: the upper body around (36, 30), the lower around (36, 70)."""
    joints = np.zeros((17, 2), np.float32)
    joints[:11] = np.stack([np.linspace(24, 48, 11), np.linspace(20, 40, 11)], 1)
    joints[11:] = np.stack([np.linspace(30, 42, 6), np.linspace(50, 90, 6)], 1)
    return joints


def halves(normal: float, labelled: np.ndarray | None = None, chosen: bool = True) -> tuple[np.ndarray, float]:
    shown = np.ones((1, 17), bool) if labelled is None else labelled[None]
    upper = upper_body(COCO_17.joints)
    shift, size = half_bodies(person()[None], shown, upper, np.array([chosen]), np.array([normal]), INPUT_HW, CROP_HW)
    return shift[0], float(size[0])


def test_the_upper_body_is_the_released_codes() -> None:
    assert upper_body(COCO_17.joints) == tuple(range(11))
    assert upper_body(MPII_16.joints) == tuple(range(7, 16))
    assert len(upper_body(LSP_14.joints)) == 8


def test_a_half_is_centred_on_its_joints_and_one_and_a_half_times_their_extent() -> None:
    shift, size = halves(normal=0.0)
    np.testing.assert_allclose(shift, [0, -18])
    assert size == pytest.approx(1.5 * 24 / 48)  # wider than the input's aspect: its width counts
    shift, size = halves(normal=0.6)
    np.testing.assert_allclose(shift, [0, 22])
    assert size == pytest.approx(1.5 * 40 / 64)


def test_few_joints_leave_the_person_whole_or_give_the_other_half() -> None:
    assert halves(0.0, chosen=False)[1] == 1
    eight = np.arange(17) < 8
    assert halves(0.0, eight)[1] == 1
    no_lower = np.arange(17) < 11
    assert halves(0.9, no_lower)[0][1] == -18
    two_upper = np.isin(np.arange(17), [0, 1, *range(11, 17)])
    two_upper[2] = True
    few = two_upper.copy()
    few[2] = False
    assert halves(0.0, two_upper)[0][1] < 0
    assert halves(0.0, few)[1] == 1  # eight labelled joints are not more than eight


def test_the_upper_body_is_picked_in_69_percent_of_the_cases() -> None:
    normal = torch.randn(20_000, generator=torch.Generator().manual_seed(0)).numpy()
    many = np.repeat(person()[None], len(normal), 0)
    shift, _ = half_bodies(
        many, np.ones((len(normal), 17), bool), tuple(range(11)), np.ones(len(normal), bool), normal, INPUT_HW, CROP_HW
    )
    assert (shift[:, 1] < 0).mean() == pytest.approx(0.6915, abs=0.01)


def crops(count: int = 32) -> CropSet:
    """Grey persons with one bright pixel block at joint 0."""
    joints = np.repeat(person()[None], count, 0)
    pixels = np.zeros((count, *CROP_HW, 3), np.uint8)
    x, y = joints[0, 5].round().astype(int)
    pixels[:, y - 1 : y + 2, x - 1 : x + 2] = 255
    shown = np.ones((count, 17), bool)
    return CropSet(pixels, joints, shown, shown, np.zeros((count, 2, 3)), INPUT_HW, 1.5)


def test_pixels_and_joints_move_together() -> None:
    found = crops(1)
    shift, size = halves(normal=0.0)
    linear = torch.eye(2)[None] / size
    batch = transform(
        torch.from_numpy(found.pixels),
        torch.from_numpy(found.joints),
        torch.from_numpy(found.labelled),
        torch.from_numpy(found.visible),
        linear,
        torch.zeros(1, dtype=torch.bool),
        tuple(range(17)),
        INPUT_HW,
        torch.from_numpy(shift)[None],
    )
    bright = batch.images_B3HW[0, 0] > batch.images_B3HW[0, 0].min() + 2
    ys, xs = torch.nonzero(bright, as_tuple=True)
    middle = torch.stack([xs.float().mean(), ys.float().mean()])
    torch.testing.assert_close(middle, batch.joints_BJ2[0, 5], atol=0.6, rtol=0)
    upper = batch.joints_BJ2[0, :11]
    torch.testing.assert_close(upper.mean(0), torch.tensor([24.0, 32.0]), atol=1e-3, rtol=0)


def test_only_recipes_that_ask_for_it_draw_more() -> None:
    recipe = replace(small.RECIPE, batch=16)
    asks = replace(recipe, augmentation=Augmentation(half_body_p=0.5))
    never = replace(recipe, augmentation=Augmentation())
    assert fingerprint(Augmentation(half_body_p=0.0)) == fingerprint(Augmentation())
    assert fingerprint(asks) != fingerprint(never)
    upper = upper_body(COCO_17.joints)
    plain, half = (feeding.draw(r, crops(), 0, 3, upper=upper) for r in (never, asks))
    assert plain.shift_B2 is None
    assert np.array_equal(plain.rows, half.rows)
    assert half.shift_B2 is not None
    moved = half.shift_B2.abs().sum(1) > 0
    assert 2 < int(moved.sum()) < 14
    assert torch.equal(plain.linear_B22[~moved], half.linear_B22[~moved])
    parts = [half.part(index, 4) for index in range(4)]
    assert torch.equal(torch.cat([p.shift_B2 for p in parts if p.shift_B2 is not None]), half.shift_B2)
