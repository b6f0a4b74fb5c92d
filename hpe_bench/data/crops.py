"""From image pixels to network input: the crop geometry of SimpleBaseline and HRNet, and crops stored ready to train.

A box (x, y, w, h) becomes a centre and a size; the shorter side is extended to the input's aspect, both are multiplied
by `padding`, and the result is mapped onto the input by

    x_in = (x_img - cx) * W / w + W / 2        (y likewise; no half-pixel term, pixel centres at whole numbers)

(the authors' released code; SimpleBaseline, arXiv:1804.06208, section 3.1 gives aspect and box extension in words).
UDP (`codecs/udp.py`) measures the input from its first to its last pixel centre, so that a mirrored image gives a
mirrored crop to the bit: W - 1 and H - 1 in place of W and H (`between_centres`).
`context` > 1 keeps a margin around that box at the same pixel density, so that rotation and scale augmentation can read
outside of it: cutting the margin off gives exactly the crop of context 1.

N persons, J joints; coordinates are (x, y), sizes (h, w); an affine is a matrix [2,3] that acts on (x, y, 1).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from hpe_bench import files
from hpe_bench.data.crop_store import SUFFIX, CropStore, open_store
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.progress import Progress

CACHE_VERSION = 1  # raise when the pixels of a crop change


def crop_hw(input_hw: tuple[int, int], context: float = 1.0) -> tuple[int, int]:
    """Size of a crop with context: the input and an equal whole number of pixels on both sides of each axis."""
    height, width = (side + 2 * round((context - 1.0) * side / 2.0) for side in input_hw)
    return height, width


def box_to_affine(
    box_N4: np.ndarray,
    input_hw: tuple[int, int],
    padding: float,
    context: float = 1.0,
    between_centres: bool = False,
) -> np.ndarray:
    """Affines [N,2,3], float64, from image pixels to the pixels of a crop; ValueError on a box without extent."""
    box_N4 = np.asarray(box_N4, np.float64)
    usable_N = np.isfinite(box_N4).all(1) & (box_N4[:, 2:].min(1) >= 0) & (box_N4[:, 2:].max(1) > 0)
    if not usable_N.all():
        row = int(np.argmin(usable_N))
        raise ValueError(f"box {row} is {box_N4[row].tolist()}; a crop needs finite (x, y, w, h) with some extent")
    height, width = input_hw
    centre_N2 = box_N4[:, :2] + 0.5 * box_N4[:, 2:]
    box_width_N = np.maximum(box_N4[:, 2], box_N4[:, 3] * width / height) * padding
    less = 1 if between_centres else 0
    density_N2 = np.stack([(width - less) / box_width_N] * 2, -1)  # crop pixels per image pixel
    if between_centres:
        density_N2[:, 1] *= (height - 1) / (width - 1) * width / height
    middle_2 = (np.array(crop_hw(input_hw, context)[::-1]) - less) / 2.0
    affine_N23 = np.zeros((len(box_N4), 2, 3))
    affine_N23[:, 0, 0], affine_N23[:, 1, 1] = density_N2.T
    affine_N23[:, :, 2] = middle_2 - centre_N2 * density_N2
    return affine_N23


def invert_affine(affine_N23: np.ndarray) -> np.ndarray:
    """Inverse affines [N,2,3] in closed form."""
    a, b, c, d = (affine_N23[:, i, j] for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
    linear_N22 = np.stack([np.stack([d, -b], -1), np.stack([-c, a], -1)], -2) / (a * d - b * c)[:, None, None]
    return np.concatenate([linear_N22, -linear_N22 @ affine_N23[:, :, 2:]], -1)


def apply_affine(affine_N23: np.ndarray, points_NJ2: np.ndarray) -> np.ndarray:
    """Points [N,J,2] mapped by one affine per person."""
    return points_NJ2 @ affine_N23[:, :, :2].swapaxes(1, 2) + affine_N23[:, None, :, 2]


@dataclass(frozen=True, eq=False)
class CropSet:
    """N crops with their joints, row by row those of the PersonSet they were cut from.

    `pixels` [N,h,w,3] uint8 RGB (memory-mapped, read-only, if cached; a store decodes rows when they are asked for);
    `joints` [N,J,2] float32 in crop pixels, 0 where not labelled; `labelled`, `visible` [N,J] bool; `to_image` [N,2,3]
    float64, from crop pixels to image pixels.
    """

    pixels: np.ndarray | CropStore
    joints: np.ndarray
    labelled: np.ndarray
    visible: np.ndarray
    to_image: np.ndarray
    input_hw: tuple[int, int]
    context: float

    def __len__(self) -> int:
        return len(self.pixels)


def build_crops(
    persons: PersonSet,
    input_hw: tuple[int, int],
    padding: float,
    context: float = 1.0,
    cache: Path | None = None,
    progress: Progress | None = None,
    stored_over: int | None = None,
    between_centres: bool = False,
) -> CropSet:
    """Cut every person out (bilinear, black outside the image), decoding each image once; reuse the crops in `cache`.

    `progress(done, total)` counts images. ValueError if there is nobody to crop, an image cannot be read, or the cache
    cannot be written; a damaged cache is said, set aside and made again. A second process that wants the same crops
    waits for the first. Crops that would take more than `stored_over` bytes are cached as JPEG (`crop_store.py`).
    """
    if not len(persons):
        raise ValueError("there are no persons to crop; check the split and the data set's folder")
    affine_N23 = box_to_affine(persons.box, input_hw, padding, context, between_centres)
    shape = (len(persons), *crop_hw(input_hw, context), 3)
    pixels: np.ndarray | CropStore
    if cache is None:
        pixels = np.empty(shape, np.uint8)
        for row, crop in warped(persons, affine_N23, shape[1:3], progress):
            pixels[row] = crop
    elif stored_over is not None and np.prod(shape, dtype=np.int64) > stored_over:
        path = cache / cache_name(persons, input_hw, padding, context, between_centres).replace(".npy", SUFFIX)
        pixels = open_store(path, shape, warped(persons, affine_N23, shape[1:3], progress))
    else:
        path = cache / cache_name(persons, input_hw, padding, context, between_centres)
        if files.state(path) != "sound":
            write_cache(path, shape, warped(persons, affine_N23, shape[1:3], progress))
        pixels = read_cache(path, shape)
    joints = np.where(persons.labelled[..., None], persons.joints, 0.0)
    joints = np.where(persons.labelled[..., None], apply_affine(affine_N23, joints), 0.0)
    return CropSet(
        pixels=pixels,
        joints=joints.astype(np.float32),
        labelled=persons.labelled,
        visible=persons.visible,
        to_image=invert_affine(affine_N23),
        input_hw=input_hw,
        context=context,
    )


def warped(
    persons: PersonSet, affine_N23: np.ndarray, size_hw: tuple[int, int], progress: Progress | None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (row, crop) image by image."""
    order = np.argsort(persons.image, kind="stable")
    images, first = np.unique(persons.image[order], return_index=True)
    for done, (image, rows) in enumerate(zip(images, np.split(order, first[1:]), strict=True), start=1):
        pixels = persons.images.read(int(image))
        for row in rows:
            yield int(row), cv2.warpAffine(pixels, affine_N23[row], size_hw[::-1], flags=cv2.INTER_LINEAR)
        if progress is not None:
            progress(done, len(images))


# ---------------------------------------------------------------------------------------------------- cache


def cache_name(
    persons: PersonSet, input_hw: tuple[int, int], padding: float, context: float, between_centres: bool = False
) -> str:
    """File name that changes with everything the pixels depend on: persons, images, geometry, OpenCV (F21)."""
    opencv = cv2.__version__.split(".")[0]
    height, width = input_hw
    return (
        f"{persons.digest()}-{persons.images.digest()}-{height}x{width}"
        f"-pad{float(padding)}-context{float(context)}"
        f"{'-centres' if between_centres else ''}-cv{opencv}-v{CACHE_VERSION}.npy"
    )


def write_cache(path: Path, shape: tuple[int, int, int, int], crops: Iterator[tuple[int, np.ndarray]]) -> None:
    """Write a .npy file that appears when it is whole, with its digest; nothing is done if another process has written
    it meanwhile.
    """
    files.sweep(path.parent)
    try:
        with files.claimed(path) as partial:
            if (there := files.state(path)) == "sound":
                return
            if there == "damaged":
                files.set_aside(path, "and cut again")
            with partial.open("xb") as file:
                write_rows(file, shape, crops)
                file.flush()
                os.fsync(file.fileno())
            files.name_with_digest(partial, path)
    except OSError as error:
        raise ValueError(f"cannot write crops to {path.parent}: {error}; free space or set HPE_BENCH_CACHE") from error


def write_rows(file: BinaryIO, shape: tuple[int, int, int, int], crops: Iterator[tuple[int, np.ndarray]]) -> None:
    """Write the rows of a uint8 array in any order; through the file, as a full disk kills a memory-mapped writer."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    start = file.tell()
    for row, crop in crops:
        file.seek(start + row * crop.size)
        file.write(crop.tobytes())


def read_cache(path: Path, shape: tuple[int, int, int, int]) -> np.ndarray:
    """Memory-map cached crops; ValueError if the file is not what its name says."""
    try:
        pixels = np.load(path, mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"cached crops {path} are damaged ({error}); delete the file and run again") from error
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise ValueError(f"cached crops {path} have shape {pixels.shape}, expected {shape}; delete the file")
    return pixels
