"""Corruptions: what cameras, codecs and detectors do to a model's input, at five severities.

Those of boxes are what a detector does to a top-down model, and a camera's roll; they are geometry, done here. Those of
pixels are albumentations' (an extra), which is asked for one transform of fixed strength at a time; only the occluding
patch and the detour over fewer pixels are done here, with OpenCV's own resizing.

Everything random about a corruption is drawn from (data set, split, kind, image number), so that every model sees the
same pixels and boxes, and the severities of a kind differ in strength alone: a blur keeps its direction. Lengths of
blurs are pixels of the image.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Literal

import cv2
import numpy as np

from hpe_bench.data.boxes import Boxes
from hpe_bench.data.crops import apply_affine, invert_affine
from hpe_bench.data.persons import Images, PersonSet
from hpe_bench.declare import SEVERITIES, Corruption, Protocol, fingerprint, replace
from hpe_bench.errors import not_installed

EXTRA = "robustness"
GREY = 128  # of an occluding patch; outside of a turned image is black, as outside of any image (`crops.py`)

Levels = tuple[float, float, float, float, float]
Subject = Literal["box", "image"]


@dataclass(frozen=True)
class Kind:
    """A kind of corruption: its name, what it does in words with the unit of its levels, the level of each severity.

    Levels of noise, blur, JPEG, brightness, contrast and pixelation follow the table of Hendrycks and Dietterich
    (ICLR 2019, arXiv:1903.12261) as far as albumentations has the same parameter; the others are ours.
    """

    name: str
    title: str
    what: str
    subject: Subject
    levels: Levels


KINDS: tuple[Kind, ...] = (
    Kind("box_jitter", "Box moved", "moved by this % of its sides, any direction", "box", (5, 10, 15, 20, 30)),
    Kind("truncation", "Box cut off", "this % cut off at one side", "box", (10, 20, 30, 40, 50)),
    Kind("box_scale", "Box scaled", "larger or smaller by this factor", "box", (1.1, 1.2, 1.35, 1.5, 1.75)),
    Kind("rotation", "Camera rolled", "turned by so many degrees, either way", "box", (5, 10, 20, 30, 45)),
    Kind("occlusion", "Occluding patch", "a grey patch over this % of the box", "image", (5, 10, 20, 30, 40)),
    Kind("low_resolution", "Low resolution", "this % of its side, enlarged", "image", (60, 45, 30, 20, 15)),
    Kind("motion_blur", "Motion blur", "blurred along a line of so many pixels", "image", (5, 9, 13, 17, 21)),
    Kind("defocus_blur", "Defocus", "blurred over a disc of this radius in pixels", "image", (3, 4, 6, 8, 10)),
    Kind("gaussian_noise", "Gaussian noise", "standard deviation in percent of white", "image", (8, 12, 18, 26, 38)),
    Kind("shot_noise", "Shot noise", "variance at white in percent of white squared", "image", (1.7, 4, 8, 20, 33)),
    Kind("jpeg", "JPEG", "compressed at this quality", "image", (25, 18, 15, 10, 7)),
    Kind("pixelation", "Pixelation", "this % of its side, pixels repeated", "image", (60, 50, 40, 30, 25)),
    Kind("brightness", "Brightness", "this percentage of white added", "image", (10, 20, 30, 40, 50)),
    Kind("contrast", "Contrast", "this percentage of the contrast left", "image", (40, 30, 20, 10, 5)),
    Kind("fog", "Fog", "density of fog in percent", "image", (20, 35, 50, 65, 80)),
)  # fmt: skip
BY_NAME = {kind.name: kind for kind in KINDS}


def corruption_of(kind: str, severity: int) -> Corruption:
    """A declared corruption; ValueError naming the kinds, or the severities, that there are."""
    if kind not in BY_NAME:
        raise ValueError(f"no corruption {kind!r}; there are {', '.join(BY_NAME)}")
    if severity not in SEVERITIES:
        raise ValueError(f"corruption {kind!r}: severity {severity}; give a whole number from 1 to 5")
    return Corruption(kind, severity, BY_NAME[kind].levels[severity - 1])


def under(protocol: Protocol, corruption: Corruption) -> Protocol:
    """A protocol with corrupted images or boxes, under a name that says so."""
    return replace(protocol, name=f"{protocol.name}+{corruption.name}", corruption=corruption)


def named(name: str, plain: Callable[[str], Protocol]) -> Protocol:
    """`P+motion_blur-3` as a protocol, `plain` finding P; ValueError where kind or severity is none."""
    base, _, said = name.partition("+")
    kind, _, severity = said.rpartition("-")
    if not severity.isdecimal():
        raise ValueError(f"protocol {name!r}: behind the plus sign stands a corruption such as motion_blur-3")
    return under(plain(base), corruption_of(kind, int(severity)))


# ---------------------------------------------------------------------------------------------------- what is seen


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model sees in the place of persons and boxes, and the way back for the joints that it gives.

    `back` [len(images),2,3] maps pixels of a seen image to those of the original; None: they are the same.
    """

    persons: PersonSet
    boxes: Boxes
    back: np.ndarray | None = None


def corrupted(protocol: Protocol, persons: PersonSet, boxes: Boxes) -> Seen:
    """Persons and boxes as the protocol's corruption leaves them; unchanged without one.

    ValueError for a kind that this version does not know, or without the package that it needs.
    """
    found = protocol.corruption
    if found is None:
        return Seen(persons, boxes)
    if found.kind not in BY_NAME:
        raise ValueError(f"protocol {protocol.name!r}: this version knows no corruption {found.kind!r}")
    seed = fingerprint((protocol.data, protocol.test_split, found.kind))
    draw = Draw(seed, persons.ids)
    if found.kind == "rotation":
        return _rolled(persons, boxes, found, draw)
    if BY_NAME[found.kind].subject == "box":
        return Seen(persons, replace_boxes(boxes, MOVES[found.kind], found.level, draw))
    if found.kind in TRANSFORMS:
        library()  # before anything is decoded
    images = CorruptedImages(persons.images, found, draw, _boxes_by_image(persons))
    return Seen(replace(persons, images=images), boxes)


@dataclass(frozen=True, eq=False)
class Draw:
    """Random numbers of an image, whatever was drawn before; `ids` are the images' numbers in their data set."""

    seed: str
    ids: np.ndarray

    def number(self, image: int) -> int:
        """A seed of 32 bits."""
        text = f"{self.seed} {int(self.ids[image])}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")

    def of(self, image: int) -> np.random.Generator:
        """A generator of the image's own."""
        return np.random.default_rng(self.number(image))


# ---------------------------------------------------------------------------------------------------- boxes


def _jittered(box: np.ndarray, level: float, draw: np.random.Generator) -> np.ndarray:
    """Moved by `level` percent of its sides in a direction of its own."""
    angle = draw.uniform(0, 2 * np.pi)
    return box + np.array([np.cos(angle), np.sin(angle), 0, 0]) * (level / 100) * np.array([*box[2:], 0, 0])


def _truncated(box: np.ndarray, level: float, draw: np.random.Generator) -> np.ndarray:
    """Cut off at one side: left, top, right or bottom."""
    side, cut = int(draw.integers(4)), level / 100
    axis, found = side % 2, box.astype(float)
    if side < 2:
        found[axis] += cut * box[2 + axis]
    found[2 + axis] *= 1 - cut
    return found


def _scaled(box: np.ndarray, level: float, draw: np.random.Generator) -> np.ndarray:
    """Larger or smaller about its middle."""
    factor = level if draw.random() < 0.5 else 1 / level
    middle = box[:2] + box[2:] / 2
    return np.concatenate((middle - factor * box[2:] / 2, factor * box[2:]))


Move = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
MOVES: dict[str, Move] = {"box_jitter": _jittered, "truncation": _truncated, "box_scale": _scaled}


def replace_boxes(boxes: Boxes, move: Move, level: float, draw: Draw) -> Boxes:
    """Every box moved by a rule of its own; those of an image are drawn in their order."""
    moved = np.array(boxes.box, float)
    for image in np.unique(boxes.image):
        generator = draw.of(int(image))
        for row in np.flatnonzero(boxes.image == image):
            moved[row] = move(moved[row], level, generator)
    return replace(boxes, box=moved)


# ---------------------------------------------------------------------------------------------------- the roll


def _rolled(persons: PersonSet, boxes: Boxes, corruption: Corruption, draw: Draw) -> Seen:
    """Images turned about their middles on a canvas that holds all of them; boxes keep their size and turn along."""
    sizes = {int(i): persons.images.read(int(i)).shape[:2] for i in np.unique(boxes.image)}
    angles = {i: corruption.level * (1 if draw.of(i).random() < 0.5 else -1) for i in sizes}
    there = np.tile(np.eye(2, 3), (len(persons.images), 1, 1))
    canvas: dict[int, tuple[int, int]] = {}
    for i, hw in sizes.items():
        there[i], canvas[i] = roll(hw, angles[i])
    middle_B2 = boxes.box[:, :2] + boxes.box[:, 2:] / 2
    turned_B2 = apply_affine(there[boxes.image], middle_B2[:, None])[:, 0]
    moved = replace(boxes, box=np.column_stack((turned_B2 - boxes.box[:, 2:] / 2, boxes.box[:, 2:])))
    joints = np.where(persons.labelled[..., None], apply_affine(there[persons.image], persons.joints), 0.0)
    images = RolledImages(persons.images, there, canvas, corruption.name)
    return Seen(replace(persons, images=images, joints=joints), moved, invert_affine(there))


def roll(hw: tuple[int, int], degrees: float) -> tuple[np.ndarray, tuple[int, int]]:
    """The affine [2,3] that turns an image (h, w) about its middle onto a canvas, and the canvas's (h, w)."""
    (height, width), angle = hw, np.deg2rad(degrees)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    across = int(np.ceil(abs(width * cos) + abs(height * sin)))
    down = int(np.ceil(abs(width * sin) + abs(height * cos)))
    linear = np.array([[cos, sin], [-sin, cos]])
    old, new = (np.array([w - 1, h - 1]) / 2 for h, w in (hw, (down, across)))
    return np.column_stack((linear, new - linear @ old)), (down, across)


# ---------------------------------------------------------------------------------------------------- images


class RolledImages:
    """Images turned about their middles; implements `persons.Images`."""

    def __init__(self, images: Images, there: np.ndarray, canvas: dict[int, tuple[int, int]], name: str) -> None:
        self.images, self.there, self.canvas, self.kind = images, there, canvas, name

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return self.images.name(index)

    def digest(self) -> str:
        return f"{self.images.digest()}{self.kind}"

    def read(self, index: int) -> np.ndarray:
        down, across = self.canvas[index]
        return cv2.warpAffine(self.images.read(index), self.there[index], (across, down), flags=cv2.INTER_LINEAR)


class CorruptedImages:
    """Images with one corruption of their pixels; implements `persons.Images`."""

    def __init__(self, images: Images, corruption: Corruption, draw: Draw, boxes: dict[int, np.ndarray]) -> None:
        self.images, self.corruption, self.draw, self.boxes = images, corruption, draw, boxes

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return self.images.name(index)

    def digest(self) -> str:
        return f"{self.images.digest()}{self.corruption.name}"

    def read(self, index: int) -> np.ndarray:
        """The image, corrupted; ValueError as the original's."""
        pixels = self.images.read(index)
        if self.corruption.kind == "occlusion":
            boxes = self.boxes.get(index, np.zeros((0, 4)))
            return occluded(pixels, boxes, self.corruption.level / 100, self.draw.of(index))
        if self.corruption.kind == "low_resolution":
            return through_fewer_pixels(pixels, self.corruption.level / 100)
        return transformed(pixels, self.corruption, self.draw.number(index))


def occluded(pixels: np.ndarray, boxes_N4: np.ndarray, share: float, draw: np.random.Generator) -> np.ndarray:
    """A grey patch of the box's shape over `share` of every box, wherever in it."""
    found = pixels.copy()
    for x, y, w, h in boxes_N4:
        across, down = np.sqrt(share) * w, np.sqrt(share) * h
        left, top = x + draw.random() * (w - across), y + draw.random() * (h - down)
        first, last = (np.clip(np.round(v), 0, None).astype(int) for v in ((left, top), (left + across, top + down)))
        found[first[1] : last[1], first[0] : last[0]] = GREY
    return found


def through_fewer_pixels(pixels: np.ndarray, share: float) -> np.ndarray:
    """Scaled down by area and up again bilinearly: a person far from the camera."""
    height, width = pixels.shape[:2]
    small = (max(1, round(width * share)), max(1, round(height * share)))
    reduced = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR)


def _boxes_by_image(persons: PersonSet) -> dict[int, np.ndarray]:
    return {int(i): persons.box[persons.image == i].astype(float) for i in np.unique(persons.image)}


# ---------------------------------------------------------------------------------------------------- the library


@cache
def library() -> ModuleType:
    """albumentations; ValueError with the line that installs it. It is kept from asking its index for updates."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        return importlib.import_module("albumentations")
    except ImportError:
        raise ValueError(not_installed("albumentations", EXTRA)) from None


def _jitter(a: Any, contrast: float) -> Any:
    """Contrast about the image's mean grey, all else left as it is."""
    return a.ColorJitter(brightness=(1, 1), contrast=(contrast, contrast), saturation=(1, 1), hue=(0, 0), p=1)


TRANSFORMS: dict[str, Callable[[Any, float], Any]] = {
    "motion_blur": lambda a, v: a.MotionBlur((int(v), int(v)), allow_shifted=False, p=1),
    "defocus_blur": lambda a, v: a.Defocus((int(v), int(v)), (0.5, 0.5), p=1),
    "gaussian_noise": lambda a, v: a.GaussNoise((v / 100, v / 100), p=1),
    "shot_noise": lambda a, v: a.ShotNoise((v / 100, v / 100), p=1),
    "jpeg": lambda a, v: a.ImageCompression("jpeg", (int(v), int(v)), p=1),
    "pixelation": lambda a, v: a.Downscale((v / 100, v / 100), p=1),
    "brightness": lambda a, v: a.RandomBrightnessContrast((v / 100, v / 100), (0, 0), p=1),
    "contrast": lambda a, v: _jitter(a, v / 100),
    "fog": lambda a, v: a.RandomFog(fog_coef_range=(v / 100, v / 100), alpha_coef=0.1, p=1),
}
"""Of albumentations: the module and a level to a transform of that very strength."""


@cache
def _pipeline(corruption: Corruption) -> Any:
    a = library()
    return a.Compose([TRANSFORMS[corruption.kind](a, corruption.level)])


def transformed(pixels: np.ndarray, corruption: Corruption, seed: int) -> np.ndarray:
    """uint8 RGB [h,w,3] through the library's transform; the same seed, the same pixels."""
    pipeline = _pipeline(corruption)
    pipeline.set_random_seed(seed)
    found: np.ndarray = pipeline(image=pixels)["image"]
    return found


def chosen(kinds: Iterable[str], severities: Iterable[int]) -> tuple[Corruption, ...]:
    """Corruptions in the order of `KINDS`, all of them where none is named; ValueError for one that is none."""
    names = list(kinds) or [kind.name for kind in KINDS]
    levels = sorted(set(severities)) or list(SEVERITIES)
    wanted = {(name, s): corruption_of(name, s) for name in names for s in levels}
    return tuple(wanted[kind.name, s] for kind in KINDS for s in levels if (kind.name, s) in wanted)
