"""Contact sheets: many scenes in one picture, with the joints drawn in."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from hpe_bench.data.mannequins.body import JOINTS
from hpe_bench.data.mannequins.scene import OCCLUDED, OUT_OF_FRAME, SELF_OCCLUDED, VISIBLE, Dials, Scene, render
from hpe_bench.data.skeletons import COCO_17, Skeleton

LEFT, RIGHT, CENTRE = (60, 220, 60), (250, 120, 40), (240, 230, 60)  # limbs and joints by side, RGB
DOT = {VISIBLE: None, SELF_OCCLUDED: (170, 170, 170), OCCLUDED: (230, 30, 30)}


def overlay(scene: Scene, skeleton: Skeleton = COCO_17, zoom: int = 2) -> np.ndarray:
    """The image enlarged, with limbs, joints and boxes of its annotated persons.

    Left green, right orange, centre yellow; a grey dot is hidden by the own body, a red one by something else.
    """
    picture = cv2.resize(scene.image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    order = [JOINTS.index(name) for name in skeleton.joints]
    for p in np.flatnonzero(scene.annotated):
        _person(picture, scene.joints_px[p, order] * zoom + (zoom - 1) / 2, scene.state[p, order], skeleton)
        x, y, w, h = (int(zoom * v) for v in scene.box[p])
        cv2.rectangle(picture, (x, y), (x + w, y + h), (255, 255, 255), 1)
    return picture


def _person(picture: np.ndarray, joints: np.ndarray, state: np.ndarray, skeleton: Skeleton) -> None:
    side = [LEFT if n.startswith("left") else RIGHT if n.startswith("right") else CENTRE for n in skeleton.joints]
    pixels = [(round(float(x)), round(float(y))) for x, y in joints]
    for a, b in skeleton.limbs:
        if OUT_OF_FRAME not in (state[a], state[b]):
            cv2.line(picture, pixels[a], pixels[b], side[b], 1, cv2.LINE_AA)
    for pixel, colour, s in zip(pixels, side, state.tolist(), strict=True):
        if s != OUT_OF_FRAME:
            cv2.circle(picture, pixel, 3, DOT[s] or colour, -1, cv2.LINE_AA)


def contact_sheet(
    indices: Sequence[int] = range(24),
    *,
    split: str = "train",
    seed: int = 0,
    dials: Dials = Dials(),
    skeleton: Skeleton | None = COCO_17,
    columns: int = 6,
    zoom: int = 2,
) -> np.ndarray:
    """RGB picture of the scenes, `columns` a row; without joints if `skeleton` is None."""
    if not indices or columns < 1 or zoom < 1:
        raise ValueError("a contact sheet needs at least one scene, one column and a zoom of at least 1")
    tiles = []
    for index in indices:
        scene = render(index, split=split, seed=seed, dials=dials)
        plain = cv2.resize(scene.image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
        tiles.append(plain if skeleton is None else overlay(scene, skeleton, zoom))
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])
