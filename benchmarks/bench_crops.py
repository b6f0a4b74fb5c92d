"""Crops and augmentation beside the plain way of doing them: `pytest benchmarks/bench_crops.py --benchmark-only`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from hpe_bench.data.augmentation import IMAGENET_MEAN_RGB, IMAGENET_STD_RGB, augment, to_batch
from hpe_bench.data.crops import box_to_affine, build_crops
from hpe_bench.data.images import FileImages
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import LSP_14
from hpe_bench.declare import Augmentation, Batch

INPUT_HW = (128, 96)
BATCH = 32
PERSONS_PER_IMAGE = 8
JOINTS = len(LSP_14.joints)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


# ---------------------------------------------------------------------------------------------------- crops


@pytest.fixture(scope="module")
def persons(tmp_path_factory: pytest.TempPathFactory) -> PersonSet:
    """Eight JPEGs of 640x480 with eight boxes each (COCO detection files have about twenty an image)."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    paths = [folder / f"{i}.jpg" for i in range(8)]
    for path in paths:
        cv2.imwrite(str(path), cv2.resize(rng.integers(0, 256, (48, 64, 3), np.uint8), (640, 480)))
    count = len(paths) * PERSONS_PER_IMAGE
    return PersonSet(
        skeleton=LSP_14,
        images=FileImages(paths),
        image=np.arange(count) // PERSONS_PER_IMAGE,
        box=np.concatenate([rng.uniform(0, 300, (count, 2)), rng.uniform(60, 180, (count, 2))], 1),
        joints=rng.uniform(0, 480, (count, JOINTS, 2)),
        labelled=np.ones((count, JOINTS), bool),
        visible=np.ones((count, JOINTS), bool),
        head_size=np.full(count, np.nan),
        area=np.full(count, np.nan),
    )


def plain_crops(persons: PersonSet) -> np.ndarray:
    """Read the image again for every person, as loaders that yield persons do."""
    affine = box_to_affine(persons.box, INPUT_HW, 1.25)
    paths = persons.images.paths  # type: ignore[attr-defined]
    return np.stack(
        [
            cv2.warpAffine(cv2.imread(str(paths[image]))[..., ::-1], affine[row], INPUT_HW[::-1])
            for row, image in enumerate(persons.image)
        ]
    )


@pytest.mark.benchmark(group="64 crops from 8 images")
def test_build_crops(benchmark: Callable, persons: PersonSet) -> None:
    crops = benchmark(build_crops, persons, INPUT_HW, 1.25)
    assert np.abs(crops.pixels.astype(int) - plain_crops(persons)).max() <= 1


@pytest.mark.benchmark(group="64 crops from 8 images")
def test_build_crops_cached(benchmark: Callable, persons: PersonSet, tmp_path: Path) -> None:
    build_crops(persons, INPUT_HW, 1.25, cache=tmp_path)
    benchmark(build_crops, persons, INPUT_HW, 1.25, cache=tmp_path)


@pytest.mark.benchmark(group="64 crops from 8 images")
def test_build_crops_plain(benchmark: Callable, persons: PersonSet) -> None:
    benchmark(plain_crops, persons)


# ---------------------------------------------------------------------------------------------------- augmentation


@pytest.fixture(scope="module")
def context_crops() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (BATCH, 192, 144, 3), dtype=torch.uint8, generator=generator)
    joints = torch.rand(BATCH, JOINTS, 2, generator=generator) * 100
    return pixels, joints, torch.ones(BATCH, JOINTS, dtype=torch.bool)


def ours(crops: tuple[Tensor, Tensor, Tensor]) -> Batch:
    return augment(
        *crops,
        crops[2],
        mirrored=LSP_14.mirrored(),
        augmentation=Augmentation(rotation_p=1.0),
        input_hw=INPUT_HW,
        generator=torch.Generator().manual_seed(0),
    )


def plain_augment(pixels: np.ndarray, matrices: np.ndarray) -> Tensor:
    """Crop by crop on the host: warp, transpose to floats, normalise, stack."""
    mean, std = np.float32(IMAGENET_MEAN_RGB), np.float32(IMAGENET_STD_RGB)
    done = []
    for crop, matrix in zip(pixels, matrices, strict=True):
        warped = cv2.warpAffine(crop, matrix, INPUT_HW[::-1], flags=cv2.INTER_LINEAR)
        done.append(torch.from_numpy(((warped / np.float32(255) - mean) / std).transpose(2, 0, 1).copy()))
    return torch.stack(done)


@pytest.mark.benchmark(group="augment 32 crops to 128x96")
def test_augment(benchmark: Callable, context_crops: tuple[Tensor, Tensor, Tensor]) -> None:
    benchmark(ours, context_crops)


@pytest.mark.benchmark(group="augment 32 crops to 128x96")
def test_augment_plain(benchmark: Callable, context_crops: tuple[Tensor, Tensor, Tensor]) -> None:
    turn = np.array([[0.8, -0.3, 10.0], [0.3, 0.8, -20.0]])
    benchmark(plain_augment, context_crops[0].numpy(), np.repeat(turn[None], BATCH, 0))


@pytest.mark.benchmark(group="normalise 32 crops of 128x96")
def test_to_batch(benchmark: Callable, context_crops: tuple[Tensor, Tensor, Tensor]) -> None:
    benchmark(to_batch, context_crops[0][:, :128, :96].contiguous())


@pytest.mark.benchmark(group="normalise 32 crops of 128x96")
def test_to_batch_plain(benchmark: Callable, context_crops: tuple[Tensor, Tensor, Tensor]) -> None:
    mean, std = np.float32(IMAGENET_MEAN_RGB), np.float32(IMAGENET_STD_RGB)
    crops = context_crops[0][:, :128, :96].numpy()

    def plain() -> Tensor:
        floats = [((crop / np.float32(255) - mean) / std).transpose(2, 0, 1).copy() for crop in crops]
        return torch.from_numpy(np.stack(floats))

    torch.testing.assert_close(benchmark(plain), to_batch(torch.from_numpy(crops)), atol=1e-5, rtol=0)
