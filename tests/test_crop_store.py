"""Training crops as JPEG: near the raw ones, whole or not there, decoded ahead, fed like any others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from hpe_bench.data import crop_store
from hpe_bench.data.crop_store import CropStore, open_store
from hpe_bench.data.crops import CropSet, build_crops
from hpe_bench.training import feeding
from tests import small


@pytest.fixture(scope="module")
def raw_and_stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[CropSet, CropSet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPE_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        persons = small.DATA.load("train", None)
        cache = tmp_path_factory.mktemp("crops")
        raw = build_crops(persons, (128, 96), 1.25, 1.5, cache)
        return raw, build_crops(persons, (128, 96), 1.25, 1.5, cache, stored_over=1000)


def test_stored_crops_are_near_the_raw_ones_and_a_fraction_of_their_size(
    raw_and_stored: tuple[CropSet, CropSet],
) -> None:
    raw, stored = raw_and_stored
    assert isinstance(raw.pixels, np.ndarray)
    assert isinstance(stored.pixels, CropStore)
    assert stored.pixels.shape == raw.pixels.shape
    rows = np.array([5, 0, 59, 7])
    found = stored.pixels[rows]
    assert np.abs(found.astype(int) - raw.pixels[rows]).mean() < 2.5  # grey levels
    np.testing.assert_array_equal(stored.pixels[3:6], stored.pixels[np.arange(3, 6)])
    assert stored.pixels.nbytes < 0.5 * raw.pixels.nbytes
    np.testing.assert_array_equal(raw.joints, stored.joints)


def test_expected_rows_are_the_same_rows_and_too_many_are_forgotten(raw_and_stored: tuple[CropSet, CropSet]) -> None:
    store = CropStore(raw_and_stored[1].pixels.path)  # type: ignore[union-attr]
    batches = [np.array([n, n + 1]) for n in range(20)]
    for rows in batches:
        store.expect(rows)
    assert len(store.waiting) == crop_store.WAITING
    for rows in batches:
        np.testing.assert_array_equal(store[rows], CropStore(store.path)[rows])
    assert not store.waiting


def test_feeds_read_them_like_any_others(raw_and_stored: tuple[CropSet, CropSet]) -> None:
    mirrored = small.DATA.skeleton.mirrored()
    raw, stored = (feeding.Feed(crops, small.RECIPE, mirrored, 0, "cpu") for crops in raw_and_stored)
    for step in range(3):
        wanted, found = raw.make(step), stored.make(step)
        assert torch.equal(wanted.joints_BJ2, found.joints_BJ2)
        assert (wanted.images_B3HW - found.images_B3HW).abs().mean() < 0.06  # of a standard deviation
    assert isinstance(stored.crops.pixels, CropStore)
    assert len(stored.crops.pixels.waiting) == feeding.DECODED_AHEAD


def noise(count: int, fail_at: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    random = np.random.default_rng(0)
    for row in reversed(range(count)):
        if row == fail_at:
            raise OSError(28, "No space left on device")
        yield row, random.integers(0, 256, (32, 24, 3), np.uint8)


def test_a_store_is_whole_or_not_there_and_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    path, shape = tmp_path / "a.crops", (6, 32, 24, 3)
    with pytest.raises(ValueError, match="cannot write crops"):
        open_store(path, shape, noise(6, fail_at=2))
    assert not path.exists()
    whole = open_store(path, shape, noise(6))[np.arange(6)]
    content = bytearray(path.read_bytes())
    content[100] ^= 255
    path.write_bytes(content)
    again = open_store(path, shape, noise(6))
    np.testing.assert_array_equal(again[np.arange(6)], whole)
    with pytest.raises(ValueError, match="expected"):
        open_store(path, (7, 32, 24, 3), noise(7))


def test_too_little_room_is_said_with_what_is_needed_and_free(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"crops need about .* GiB and .* GiB are free; .* HPE_BENCH_CACHE"):
        open_store(tmp_path / "a.crops", (10**9, 384, 288, 3), noise(1))
    assert not list(tmp_path.iterdir())
