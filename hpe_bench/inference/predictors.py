"""Anybody's pose estimator as a function: what it takes, what it gives, and where its joints come out.

A file of one's own holds a function that returns a `Predictor`; `--predictor FILE.py:function` names it. What is asked
of it is checked answer by answer: a sentence says which call gave what, and what was declared.

N crops or boxes, J joints, H W input, h w heatmap, K bins of a SimCC vector; coordinates are (x, y).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hpe_bench.data.crops import CropSet, apply_affine
from hpe_bench.data.known_skeletons import named_joints, order_of
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import Codec
from hpe_bench.errors import sentence

if TYPE_CHECKING:
    import torch

Takes = Literal["crops", "images"]
Gives = Literal["joints", "heatmaps", "simcc"]
Coordinates = Literal["image", "crop", "normalised"]
Pairs = tuple[tuple[int, int], ...]
WORDS: dict[str, tuple[str, ...]] = {
    "takes": ("crops", "images"),
    "gives": ("joints", "heatmaps", "simcc"),
    "coordinates": ("image", "crop", "normalised"),
}
SIMCC_RATIOS = range(1, 9)  # bins per input pixel; SimCC's paper tries 1, 2 and 3, RTMPose has 2


@dataclass(frozen=True)
class Predictor:
    """Somebody's pose estimator, declared: a function, and what goes in and out.

    `joints` are the names of what it gives, in order, or the name of a skeleton (such as "coco-17"); more than a data
    set has may stand among them. `takes`:

    - "crops": `call(crops)` with uint8 RGB [N,H,W,3] of `input_hw`, cut out as the protocol says, at most `batch`;
    - "images": `call(image, boxes)` with one whole image, uint8 RGB [height,width,3], and float64 boxes [N,4]
      (x, y, width, height) in its pixels; it crops by itself.

    `gives`:

    - "joints": (joints [N,J,2], scores [N,J]) in `coordinates`: pixels of the "image" or of the "crop", or "normalised"
      by the width and height of what it was given;
    - "heatmaps": [N,J,h,w], of crops; decoded, and merged with those of the mirrored crops, as the protocol says;
    - "simcc": (x [N,J,Kx], y [N,J,Ky]) of crops, a whole number of bins per pixel: a joint is where its maximum is, its
      score the smaller of both maxima (SimCC, arXiv:2107.03332; RTMPose, arXiv:2303.07399). Mirrored as heatmaps are.

    `files` are those that hold its weights: their SHA-256 is who it is, and by it costs find its accuracy. An answer
    that takes longer than `limit_s` seconds is a hang. `note` stands in the record. ValueError for a declaration that
    contradicts itself.
    """

    call: Callable[..., Any] = field(repr=False)
    joints: str | tuple[str, ...]
    takes: Takes = "crops"
    gives: Gives = "joints"
    coordinates: Coordinates | None = None  # "crop" of crops, "image" of images, where nothing else is said
    input_hw: tuple[int, int] | None = None
    batch: int = 16
    files: tuple[str | Path, ...] = ()
    limit_s: float = 120.0
    note: str = ""

    def __post_init__(self) -> None:
        if not callable(self.call):
            raise ValueError(f"predictor: call is a {type(self.call).__name__}; give a function")
        for name, known in WORDS.items():
            value = getattr(self, name)
            if value not in known and not (name == "coordinates" and value is None):
                raise ValueError(f"predictor: {name} is {value!r}, expected one of {', '.join(known)}")
        self._check_places()
        if not self.names:
            raise ValueError("predictor: joints are empty; name what it gives, in order")
        if len(set(self.names)) < len(self.names):
            twice = next(n for n in self.names if self.names.count(n) > 1)
            raise ValueError(f"predictor: joint {twice!r} stands twice; names must be unique")
        if self.batch < 1 or not self.limit_s > 0:
            raise ValueError(f"predictor: batch {self.batch} and limit_s {self.limit_s} must be positive")

    def _check_places(self) -> None:
        """ValueError for an input or coordinates that cannot be."""
        if self.takes == "crops":
            sides = self.input_hw
            if sides is None or len(sides) != 2 or not all(isinstance(s, int) and s > 0 for s in sides):
                raise ValueError(
                    f"predictor: input_hw is {sides!r}; one that takes crops says which, such as (256, 192)"
                )
            if self.coordinates == "image":
                raise ValueError("predictor: crops do not know their image; give coordinates 'crop' or 'normalised'")
            return
        if self.gives != "joints":
            raise ValueError(f"predictor: {self.gives} are read in crops; take crops, or give joints")
        if self.coordinates == "crop":
            raise ValueError("predictor: it takes whole images, so there is no crop; give 'image' or 'normalised'")

    @property
    def names(self) -> tuple[str, ...]:
        """The joints that it gives, in order."""
        return named_joints(self.joints) if isinstance(self.joints, str) else tuple(self.joints)

    @property
    def described(self) -> str:
        """What goes in and out, in words, for a record."""
        size = "" if self.input_hw is None else f" of {self.input_hw[0]}x{self.input_hw[1]}"
        taken = f"takes crops{size}" if self.takes == "crops" else "takes images and boxes, crops by itself"
        where = self.coordinates or ("crop" if self.takes == "crops" else "image")
        given = {
            "joints": f"gives joints in {where} coordinates, asked once without a mirrored pass",
            "heatmaps": "gives heatmaps, decoded as the protocol says",
            "simcc": "gives SimCC vectors, read at their maxima",
        }[self.gives]
        return "; ".join(filter(None, (f"{taken}, {given}", self.note)))


@dataclass(frozen=True, eq=False)
class Estimator:
    """A predictor ready to answer: its declaration, its name, who it is, and in words what runs it."""

    predictor: Predictor
    name: str
    weights_sha256: str
    runtime: str

    @property
    def input_hw(self) -> tuple[int, int] | None:
        """Size (h, w) of the crops that it takes; None where it takes whole images."""
        return self.predictor.input_hw if self.predictor.takes == "crops" else None

    # ------------------------------------------------------------------------------------------------ answers

    def on_image(self, pixels_HW3: np.ndarray, boxes_N4: np.ndarray, what: str, skeleton: Skeleton) -> Answered:
        """Joints [N,J,2] in image pixels and scores [N,J] of the skeleton's joints, for boxes in one image."""
        joints, scores = self._joints(self._asked(what, pixels_HW3, boxes_N4), len(boxes_N4), what)
        if self.predictor.coordinates == "normalised":
            joints = joints * np.array(pixels_HW3.shape[1::-1], float)
        order = self.order(skeleton)
        return joints[:, order], scores[:, order]

    def on_crops(
        self, crops: CropSet, codec: Codec, flip_pairs: Pairs | None, what: str, skeleton: Skeleton
    ) -> Answered:
        """The same for crops; `flip_pairs` (of the skeleton) switches the mirrored pass on, for maps and vectors."""
        found = [
            self._on_batch(
                np.ascontiguousarray(crops.pixels[rows]), codec, flip_pairs, f"{what}, crop {rows[0]}", skeleton
            )
            for start in range(0, len(crops), self.predictor.batch)
            for rows in [np.arange(start, min(start + self.predictor.batch, len(crops)))]
        ]
        joints, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return apply_affine(crops.to_image, joints), scores

    def order(self, skeleton: Skeleton) -> list[int]:
        """Which of its joints is each of the skeleton's; ValueError naming one that it lacks."""
        return order_of(self.predictor.names, skeleton, f"{self.name}: its joints have")

    def _on_batch(
        self, pixels: np.ndarray, codec: Codec, pairs: Pairs | None, what: str, skeleton: Skeleton
    ) -> Answered:
        """Joints in crop pixels."""
        order, input_hw = self.order(skeleton), pixels.shape[1:3]
        if self.predictor.gives == "joints":
            joints, scores = self._joints(self._asked(what, pixels), len(pixels), what)
            if self.predictor.coordinates == "normalised":
                joints = joints * np.array(input_hw[::-1], float)
            return joints[:, order], scores[:, order]
        mirrored = None if pairs is None else np.ascontiguousarray(pixels[:, :, ::-1])
        if self.predictor.gives == "heatmaps":
            maps = self._maps(self._asked(what, pixels), len(pixels), what)[:, order]
            if mirrored is not None:
                other = self._maps(self._asked(f"{what}, mirrored", mirrored), len(pixels), what)[:, order]
                maps = 0.5 * (maps + codec.unflip(other, pairs or ()))
            joints_t, peaks = codec.decode(maps, (input_hw[0], input_hw[1]))
            return joints_t.numpy().astype(float), peaks.numpy().astype(float)
        vectors = self._vectors(self._asked(what, pixels), len(pixels), input_hw, what, order)
        if mirrored is not None:
            other_vectors = self._vectors(
                self._asked(f"{what}, mirrored", mirrored), len(pixels), input_hw, what, order
            )
            vectors = merged_simcc(vectors, other_vectors, input_hw[1], pairs or ())
        return decode_simcc(*vectors, (input_hw[0], input_hw[1]))

    # ------------------------------------------------------------------------------------------------ checks

    def _asked(self, what: str, *arrays: np.ndarray) -> Any:
        try:
            return self.predictor.call(*arrays)
        except Exception as error:  # it is somebody's code and may raise anything
            raise ValueError(f"{self.name}: {what}: {sentence(error)}") from error

    def _joints(self, answer: Any, count: int, what: str) -> Answered:
        joints, scores = self._pair(answer, what, "joints [N,J,2] and scores [N,J]")
        names = self.predictor.names
        self._require(joints, (count, len(names), 2), "joints", what)
        self._require(scores, (count, len(names)), "scores", what)
        return joints, scores

    def _maps(self, answer: Any, count: int, what: str) -> torch.Tensor:
        maps = self._array(answer, "heatmaps", what)
        self._require(maps, (count, len(self.predictor.names), *maps.shape[2:4]), "heatmaps", what, ndim=4)
        import torch  # here, for maps alone: the process of a predictor that has none starts without it

        return torch.from_numpy(maps.astype(np.float32))

    def _vectors(
        self, answer: Any, count: int, input_hw: tuple[int, ...], what: str, order: list[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        found = self._pair(answer, what, "SimCC vectors x [N,J,Kx] and y [N,J,Ky]")
        for name, vectors, side in zip("xy", found, input_hw[::-1], strict=True):
            bins = vectors.shape[-1] if vectors.ndim else 0
            self._require(vectors, (count, len(self.predictor.names), bins), f"SimCC vectors {name}", what)
            if bins not in [side * ratio for ratio in SIMCC_RATIOS]:
                raise ValueError(
                    f"{self.name}: {what}: SimCC vectors {name} have {bins} bins for {side} px; expected a whole "
                    "number of bins a pixel, x before y"
                )
        x, y = found
        return x[:, order], y[:, order]

    def _pair(self, answer: Any, what: str, wanted: str) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            got = f"{len(answer)} values" if isinstance(answer, (tuple, list)) else f"a {type(answer).__name__}"
            raise ValueError(f"{self.name}: {what}: returned {got}, expected two arrays: {wanted}")
        first, second = wanted.split(" and ")
        return self._array(answer[0], first, what), self._array(answer[1], second, what)

    def _array(self, value: Any, name: str, what: str) -> np.ndarray:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        if array.dtype.kind not in "iuf":
            raise ValueError(f"{self.name}: {what}: {name} are a {type(value).__name__} that holds no numbers")
        return array.astype(np.float64)

    def _require(
        self, array: np.ndarray, shape: tuple[int, ...], name: str, what: str, ndim: int | None = None
    ) -> None:
        """ValueError unless an array is of a shape and finite."""
        joints = len(self.predictor.names)
        if array.ndim == len(shape) and array.shape[1] != joints and array.shape[0] == shape[0]:
            raise ValueError(
                f"{self.name}: {what}: {name} are of {array.shape[1]} joints, but {joints} are declared; declare what "
                "it gives, in order"
            )
        if array.shape != shape or (ndim is not None and array.ndim != ndim):
            wanted = [*shape[:2], "h", "w"] if ndim == 4 else list(shape)
            raise ValueError(f"{self.name}: {what}: {name} have shape {list(array.shape)}, expected {wanted}")
        finite = np.isfinite(array)
        if not finite.all():
            row, joint = np.argwhere(~finite)[0][:2]
            raise ValueError(
                f"{self.name}: {what}: {name} of answer {row}, joint {self.predictor.names[joint]!r}, are not finite "
                "(NaN or infinite)"
            )


Answered = tuple[np.ndarray, np.ndarray]


# ---------------------------------------------------------------------------------------------------- SimCC


def decode_simcc(x_NJK: np.ndarray, y_NJK: np.ndarray, input_hw: tuple[int, int]) -> Answered:
    """Joints [N,J,2] in crop pixels at the maxima of both vectors; the smaller maximum is the score [N,J].

    A bin k stands for pixel k / ratio (RTMPose's released decoding).
    """
    height, width = input_hw
    x_NJ, y_NJ = x_NJK.argmax(-1) * (width / x_NJK.shape[-1]), y_NJK.argmax(-1) * (height / y_NJK.shape[-1])
    return np.stack([x_NJ, y_NJ], -1), np.minimum(x_NJK.max(-1), y_NJK.max(-1))


def merged_simcc(
    plain: tuple[np.ndarray, np.ndarray], mirrored: tuple[np.ndarray, np.ndarray], width: int, pairs: Pairs
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of vectors and of those of the mirrored crops, brought back: reversed along x, left and right swapped.

    Pixel i of a crop is pixel W - 1 - i of the mirrored one; with r bins a pixel, bin k is then bin r (W - 1) - k, and
    the r - 1 last bins, which have no image, keep their plain values.
    """
    swapped = np.arange(plain[0].shape[1])
    for left, right in pairs:
        swapped[[left, right]] = swapped[[right, left]]
    x, y = plain[0].copy(), 0.5 * (plain[1] + mirrored[1][:, swapped])
    shared = (width - 1) * (x.shape[-1] // width) + 1
    x[..., :shared] = 0.5 * (x[..., :shared] + mirrored[0][:, swapped, shared - 1 :: -1][..., :shared])
    return x, y
