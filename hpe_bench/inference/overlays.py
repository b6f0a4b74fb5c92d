"""Predicted poses drawn over their images: the person's left in blue, right in orange, the rest in white."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from hpe_bench.data.images import FileImages
from hpe_bench.data.persons import Images
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.files import write_atomically

LEFT, RIGHT, MIDDLE = (86, 180, 233), (230, 159, 0), (255, 255, 255)  # RGB; the first two tell apart without red-green
DARK = (16, 21, 26)
JPEG_SUFFIXES = (".jpg", ".jpeg")
SUBPIXEL_BITS = 4  # OpenCV's fixed-point coordinates


def targets(images: Images, folder: Path) -> list[Path]:
    """Where each image is drawn: under its own relative name below `folder`, ending in .jpg.

    No two share a drawing: where `x.jpg` and `x.png` are both there, the second becomes `x.png.jpg`.
    """
    names = [images.name(i) for i in range(len(images))]
    if not isinstance(images, FileImages):  # generated: their names are no paths
        names = [name.replace("/", "_") for name in names]
    chosen: dict[str, str] = {}
    taken: set[str] = set()  # case-folded, as some file systems do not tell cases apart
    for name in sorted(set(names), key=lambda name: (not name.lower().endswith(JPEG_SUFFIXES), name)):
        chosen[name] = next(c for c in _candidates(name) if c.casefold() not in taken)
        taken.add(chosen[name].casefold())
    return [folder / chosen[name] for name in names]


def _candidates(name: str) -> Iterator[str]:
    """Names for the drawing of an image, the best first."""
    if name.lower().endswith(JPEG_SUFFIXES):
        yield name
    yield str(PurePosixPath(name).with_suffix(".jpg"))
    yield f"{name}.jpg"
    yield from (f"{name}.{number}.jpg" for number in itertools.count(2))


def draw_all(images: Images, predictions: Predictions, skeleton: Skeleton, folder: Path) -> int:
    """Write every image that has a prediction as a JPEG into `folder`; returns how many."""
    paths = targets(images, folder)
    shown = np.unique(predictions.image)
    for image in shown:
        pixels = drawn(images.read(int(image)), predictions.joints[predictions.image == image], skeleton)
        try:
            written, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        except cv2.error:  # wider or higher than a JPEG can be
            written = False
        if not written:
            raise ValueError(f"{paths[image]}: cannot be written as a JPEG; leave --draw out, or scale the image down")
        write_atomically(paths[image], data.tobytes())
    return len(shown)


def drawn(pixels: np.ndarray, joints_DJ2: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """A copy of an image (uint8 RGB) with some poses; lines are as wide as fits the persons."""
    canvas = np.ascontiguousarray(pixels).copy()
    for joints_J2 in joints_DJ2:
        extent = float(np.ptp(joints_J2, axis=0).max())
        width = max(1, round(extent / 90))
        points = np.round(np.clip(joints_J2, -(2**14), 2**14) * 2**SUBPIXEL_BITS).astype(int)
        for colour, more in ((DARK, 2), (None, 0)):  # a dark rim below every line keeps it visible on any ground
            for a, b in skeleton.limbs:
                own = colour or _side(skeleton, a, b)
                cv2.line(canvas, points[a], points[b], own, width + more, cv2.LINE_AA, SUBPIXEL_BITS)
        for j, point in enumerate(points):
            radius = (width + 1) << SUBPIXEL_BITS
            cv2.circle(canvas, point, radius, _side(skeleton, j, j), cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
    return canvas


def _side(skeleton: Skeleton, a: int, b: int) -> tuple[int, int, int]:
    """Colour of a limb (or of a joint, a = b): a side's if neither end is on the other one."""
    sides = {name.split("_")[0] for name in (skeleton.joints[a], skeleton.joints[b])} & {"left", "right"}
    return MIDDLE if len(sides) != 1 else LEFT if sides == {"left"} else RIGHT
