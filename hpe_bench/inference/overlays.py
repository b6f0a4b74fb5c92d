"""Predicted poses drawn over their images: the person's left in blue, right in orange, the rest in white."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from hpe_bench.data.persons import Images
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import Skeleton

LEFT, RIGHT, MIDDLE = (86, 180, 233), (230, 159, 0), (255, 255, 255)  # RGB; the first two tell apart without red-green
DARK = (16, 21, 26)
SUBPIXEL_BITS = 4  # OpenCV's fixed-point coordinates


def draw_all(images: Images, predictions: Predictions, skeleton: Skeleton, folder: Path) -> int:
    """Write every image that has a prediction as a JPEG into `folder`; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = np.unique(predictions.image)
    for image in shown:
        pixels = drawn(images.read(int(image)), predictions.joints[predictions.image == image], skeleton)
        path = folder / f"{Path(images.name(int(image))).stem}.jpg"
        if not cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)):
            raise ValueError(f"{path}: cannot be written; name another folder with --draw")
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
