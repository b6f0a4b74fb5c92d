"""Anybody's network as a file: ONNX, and through OpenVINO TFLite or IR, whatever it gives.

Images come as [N,3,H,W] or [N,H,W,3]; out come heatmaps [N,J,h,w] or [N,h,w,J], SimCC vectors, or joints. What the file
cannot say (colour order, normalisation, joint order, activation, and what cannot be told from names and shapes) comes
from a `Convention`: from the command line or from a TOML file of the same stem beside it.

Heatmaps make it a network like one of ours (`FileNetwork`), everything else a predictor (`file_predictor`).

B images, J joints, H W input, h w heatmap.
"""

from __future__ import annotations

import tomllib
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from hpe_bench.data.augmentation import IMAGENET_MEAN_RGB, IMAGENET_STD_RGB
from hpe_bench.data.known_skeletons import named_joints, order_of
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import STRICT, replace
from hpe_bench.errors import first_line
from hpe_bench.inference import file_runners
from hpe_bench.inference.file_runners import FileRunner
from hpe_bench.inference.predictors import SIMCC_RATIOS, Predictor

Triple = tuple[float, float, float]
IMAGENET_MEAN, IMAGENET_STD = ((255 * r, 255 * g, 255 * b) for r, g, b in (IMAGENET_MEAN_RGB, IMAGENET_STD_RGB))
GUESSES = {  # what is taken where nothing was said, and how a record tells it
    "mean": "ImageNet's mean and deviation",
    "std": "ImageNet's mean and deviation",
    "colours": "RGB",
    "joints": "the joints and their order",
}


@dataclass(frozen=True, config=STRICT)
class InputConvention:
    """How a file wants its pixels and gives its joints: input = (grey level of 0..255 - mean) / std, by channel.

    `mean` and `std` are in the order of `colours`; a network that takes 0..1 has mean 0 and std 255. `joints` are the
    names of its joints in order (empty: the skeleton's own), `output` the name of the output to read (of SimCC the one
    with x), needed where the file has several and they are no SimCC vectors.

    What names and shapes leave open is said by: `gives`; `layout` of heatmaps; of joints their `coordinates` ("crop":
    pixels of the input; "normalised": 0..1 of it), the `order` of their first two columns, and `scores`, the column
    with a joint's score (-1: the file gives none, and all score 1). `activation` is applied to heatmaps and to scores.
    `said` are the fields that were given; the rest are guesses or defaults.
    """

    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    colours: Literal["rgb", "bgr"] = "rgb"
    activation: Literal["none", "sigmoid"] = "none"
    joints: tuple[str, ...] = ()
    output: str = ""
    gives: Literal["", "heatmaps", "simcc", "joints"] = ""
    layout: Literal["", "nchw", "nhwc"] = ""
    coordinates: Literal["", "crop", "normalised"] = ""
    order: Literal["xy", "yx"] = "xy"
    scores: int = 2
    said: frozenset[str] = field(default=frozenset(), compare=False)

    def __post_init__(self) -> None:
        if not min(self.std) > 0:
            raise ValueError(f"std {self.std} must be positive")

    @property
    def guessed(self) -> str:
        """In words, what had to be guessed; empty if everything was said."""
        return ", ".join(dict.fromkeys(text for name, text in GUESSES.items() if name not in self.said))

    @property
    def described(self) -> str:
        """For a record."""
        told = f"{self.colours}, mean {self.mean}, std {self.std}, activation {self.activation}"
        return f"{told}; guessed, as nothing says it: {self.guessed}" if self.guessed else told


def read_convention(path: Path, **given: Any) -> InputConvention:
    """The convention of a file: what is given, else what the TOML file beside it says, else the defaults.

    `joints` may be the name of a skeleton. ValueError naming file and field for anything else than a convention.
    """
    beside = path.with_suffix(".toml")
    given = {name: value for name, value in given.items() if value is not None}
    values = (_read_toml(beside) if beside.exists() else {}) | given
    if isinstance(values.get("joints"), str):
        values["joints"] = named_joints(values["joints"])
    try:
        found: InputConvention = TypeAdapter(InputConvention).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(next(iter(first["loc"]), "convention"))
        where = str(beside) if name in values and name not in given else "the convention of the file"
        known = ", ".join(f.name for f in fields(InputConvention) if f.name != "said")
        raise ValueError(f"{where}: {name}: {first['msg']}; the fields are {known}") from None
    return replace(found, said=frozenset(values))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: no TOML ({error})") from None
    if "said" in found:
        raise ValueError(f"{path}: said: is no field of a convention")
    return found


# ---------------------------------------------------------------------------------------------------- the file


class ModelFile:
    """A file, opened for images of one size: normalised channels in, its outputs by name out."""

    def __init__(self, path: Path, convention: InputConvention, input_hw: tuple[int, int] | None) -> None:
        self.path, self.convention = path, convention
        self.runner = file_runners.opened(path)
        self.channels_last, self.batch, self.input_hw = _input(path, self.runner, input_hw)
        self.bgr = convention.colours == "bgr"
        if self.batch is not None and None in self.runner.shape:
            self.runner.reshape(self._shape(self.batch))
        if convention.output and convention.output not in self.runner.outputs:
            has = ", ".join(self.runner.outputs)
            raise ValueError(f"{path}: has no output {convention.output!r}; it has {has}")

    def _shape(self, count: int) -> tuple[int, ...]:
        height, width = self.input_hw
        return (count, height, width, 3) if self.channels_last else (count, 3, height, width)

    def run(self, images_B3HW: np.ndarray, wanted: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
        """Outputs (all, or the wanted ones) for any number of images, in batches of the size that the file wants."""
        step = self.batch or len(images_B3HW)
        parts = [self._run_once(images_B3HW[i : i + step]) for i in range(0, len(images_B3HW), step)]
        names = wanted or self.runner.outputs
        found = {name: np.concatenate([part[name] for part in parts]) for name in names}
        for name, values in found.items():
            if not np.isfinite(values).all():
                raise ValueError(f"{self.path}: gives values that are not finite ({name}); check its normalisation")
        return found

    def _run_once(self, images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
        count = len(images_B3HW)
        padding = (self.batch or count) - count
        if padding:
            images_B3HW = np.concatenate([images_B3HW, np.zeros((padding, *images_B3HW.shape[1:]), np.float32)])
        images = images_B3HW.transpose(0, 2, 3, 1) if self.channels_last else images_B3HW
        try:
            outputs = self.runner.run(np.ascontiguousarray(images, np.float32))
        except Exception as error:  # the packages' exceptions have no common base
            raise ValueError(f"{self.path}: does not run: {first_line(error)}") from None
        return {
            name: self._rows(value, count, padding) for name, value in zip(self.runner.outputs, outputs, strict=True)
        }

    @staticmethod
    def _rows(value: Any, count: int, padding: int) -> np.ndarray:
        """An output without the rows of filling images; one that is no row an image stays as it is."""
        array = np.asarray(value)
        of_images = array.ndim > 0 and len(array) == count + padding
        return array[:count].astype(np.float32) if of_images else array.astype(np.float32)[None]


def _input(path: Path, runner: FileRunner, asked: tuple[int, int] | None) -> tuple[bool, int | None, tuple[int, int]]:
    """Whether channels come last, the batch size (None: any) and (h, w)."""
    shape = runner.shape
    first, last = len(shape) == 4 and shape[1] == 3, len(shape) == 4 and shape[3] == 3
    if first == last:
        said = [f"side{k}" if side is None else side for k, side in enumerate(shape)]
        raise ValueError(
            f"{path}: input {runner.input_name!r} is {said}, expected float images [N, 3, height, width] or "
            "[N, height, width, 3]; export it so"
        )
    batch, sides = shape[0], shape[1:3] if last else shape[2:]
    open_batch_of_openvino = batch is None and path.suffix.lower() in file_runners.OF_OPENVINO
    batch = 1 if open_batch_of_openvino else batch
    if None in sides and asked is None:
        raise ValueError(f"{path}: takes images of any size; say which with --inputs, such as 256x192")
    if asked is not None and any(side not in (None, want) for side, want in zip(sides, asked, strict=True)):
        own, want = ("x".join(map(str, hw)) for hw in (sides, asked))
        raise ValueError(f"{path}: takes images of {own} only, not {want}; leave --inputs out")
    height, width = asked if asked is not None else sides
    assert height is not None
    assert width is not None
    return last, batch, (height, width)


# ---------------------------------------------------------------------------------------------------- what it gives


Given = Literal["heatmaps", "simcc", "joints"]


@dataclass(frozen=True)
class OutputReading:
    """How a file's outputs are read: what they are, their names (two for SimCC, x first), the layout of heatmaps."""

    gives: Given
    outputs: tuple[str, ...]
    layout: Literal["nchw", "nhwc"] = "nchw"


def told(file: ModelFile, joints: int) -> OutputReading:
    """What a file gives, by its convention, else by names and shapes; ValueError where neither settles it."""
    height, width = file.input_hw
    found = file.run(np.zeros((1, 3, height, width), np.float32))
    shapes = {name: values.shape for name, values in found.items()}
    c = file.convention
    vectors = _simcc(shapes, joints, (height, width), c.output)
    if c.gives == "simcc" or (not c.gives and vectors and not _is_other(c, shapes)):
        if vectors is None:
            raise ValueError(
                f"{file.path}: has no two outputs that are SimCC vectors of {joints} joints: {_listed(shapes)}"
            )
        return OutputReading("simcc", vectors)
    name = c.output or _only(file.path, shapes)
    shape = shapes[name]
    if c.gives == "joints" or (not c.gives and _is_table(shape, joints)):
        _require_table(file.path, name, shape, joints, c)
        return OutputReading("joints", (name,))
    return OutputReading("heatmaps", (name,), _layout(file.path, name, shape, joints, c.layout))


def _is_other(c: InputConvention, shapes: dict[str, tuple[int, ...]]) -> bool:
    """Whether the output that was named is no vector."""
    return bool(c.output) and len(shapes[c.output]) != 3


def _simcc(
    shapes: dict[str, tuple[int, ...]], joints: int, input_hw: tuple[int, int], x_name: str
) -> tuple[str, str] | None:
    """The names of two outputs [1,J,r W] and [1,J,r H], x first: by their names, else by their lengths."""
    rows = {name: shape for name, shape in shapes.items() if len(shape) == 3 and shape[1] == joints}
    sides = {"x": input_hw[1], "y": input_hw[0]}
    ratios = {
        (name, axis): ratio
        for name, shape in rows.items()
        for axis, side in sides.items()
        for ratio in SIMCC_RATIOS
        if shape[2] == ratio * side
    }
    pairs = [
        (x, y)
        for x in rows
        for y in rows
        if x != y and (x, "x") in ratios and ratios[x, "x"] == ratios.get((y, "y")) and x_name in ("", x)
    ]
    named = [(x, y) for x, y in pairs if x.lower().endswith("x") and y.lower().endswith("y")]
    if named:
        return named[0]
    return pairs[0] if len(pairs) == 1 else None


def _only(path: Path, shapes: dict[str, tuple[int, ...]]) -> str:
    if len(shapes) > 1:
        raise ValueError(f"{path}: has the outputs {', '.join(shapes)}; name the one to read with --output")
    return next(iter(shapes))


def _is_table(shape: tuple[int, ...], joints: int) -> bool:
    """Whether a shape is that of joints: [1,J,2..5], [1,1,J,2..5] or [1,J*k]."""
    if len(shape) == 2:
        return shape[1] in [joints * columns for columns in range(2, 6)]
    return shape[-2] == joints and 2 <= shape[-1] <= 5 and set(shape[:-2]) == {1}


def _require_table(path: Path, name: str, shape: tuple[int, ...], joints: int, c: InputConvention) -> None:
    """ValueError for joints of another number, or in coordinates that nothing says."""
    if not _is_table(shape, joints):
        raise ValueError(
            f"{path}: output {name!r} is {list(shape)} for 1 image(s), expected [1, {joints}, columns]; name its "
            "joints with --joints"
        )
    if not c.coordinates:
        raise ValueError(
            f'{path}: gives joints {list(shape)}, and nothing says in which coordinates; write coordinates = "crop" '
            f'(pixels of its input) or "normalised" into {path.with_suffix(".toml").name} beside it'
        )


def _layout(path: Path, name: str, shape: tuple[int, ...], joints: int, said: str) -> Literal["nchw", "nhwc"]:
    """Of heatmaps; ValueError where it cannot be told or is none."""
    first, last = (len(shape) == 4 and shape[axis] == joints for axis in (1, 3))
    if first and last and not said:
        raise ValueError(
            f"{path}: output {name!r} is {list(shape)}, heatmaps with {joints} joints before or behind; say which with "
            f'layout = "nchw" or "nhwc" in {path.with_suffix(".toml").name} beside it'
        )
    if said != "nchw" and last and (said == "nhwc" or not first):
        return "nhwc"
    if said != "nhwc" and first:
        return "nchw"
    raise ValueError(
        f"{path}: output {name!r} is {list(shape)} for 1 image(s), expected [1, {joints}, h, w], one heatmap a joint; "
        "name its joints with --joints, or say in the TOML beside it what it gives"
    )


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())


# ---------------------------------------------------------------------------------------------------- heatmaps


class FileNetwork(nn.Module):
    """A file of heatmaps with the suite's conventions: takes normalised RGB, gives a list with one stack of maps.

    The maps are in the skeleton's order of joints.
    """

    def __init__(self, file: ModelFile, reading: OutputReading, skeleton: Skeleton) -> None:
        super().__init__()
        self.file, self.reading = file, reading
        self.order = order_of(names_of(file.convention, skeleton), skeleton, f"{file.path}: its joints have")
        # From the suite's normalised values to the file's: one scale and one shift a channel, in the file's order.
        c = file.convention
        mean_C, std_C = (np.array(v)[:: -1 if file.bgr else 1] for v in (IMAGENET_MEAN, IMAGENET_STD))
        self.scale_C = torch.tensor(std_C / c.std, dtype=torch.float32).view(3, 1, 1)
        self.shift_C = torch.tensor((mean_C - c.mean) / c.std, dtype=torch.float32).view(3, 1, 1)

    @property
    def input_hw(self) -> tuple[int, int]:
        return self.file.input_hw

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """Heatmaps [B,J,h,w] as a list of one stack, as our variants give them."""
        channels = [2, 1, 0] if self.file.bgr else [0, 1, 2]
        values = images_B3HW[:, channels].cpu() * self.scale_C + self.shift_C
        maps = self.file.run(values.contiguous().numpy(), self.reading.outputs)[self.reading.outputs[0]]
        maps = maps.transpose(0, 3, 1, 2) if self.reading.layout == "nhwc" else maps
        return [torch.from_numpy(np.ascontiguousarray(maps[:, self.order])).to(images_B3HW.device)]


def names_of(convention: InputConvention, skeleton: Skeleton) -> tuple[str, ...]:
    """The joints of a file in its order: those of its convention, else the skeleton's."""
    return convention.joints or skeleton.joints


# ---------------------------------------------------------------------------------------------------- joints, SimCC


def file_predictor(file: ModelFile, reading: OutputReading, skeleton: Skeleton) -> Predictor:
    """A file of SimCC vectors or of joints, as a predictor of crops."""
    c = file.convention
    names = names_of(c, skeleton)
    mean_C, std_C = (np.array(v, np.float32).reshape(3, 1, 1) for v in (c.mean, c.std))

    def outputs(crops_BHW3: np.ndarray) -> list[np.ndarray]:
        channels = crops_BHW3[..., ::-1] if file.bgr else crops_BHW3
        images = (channels.transpose(0, 3, 1, 2).astype(np.float32) - mean_C) / std_C
        found = file.run(images, reading.outputs)
        return [found[name] for name in reading.outputs]

    def joints(crops_BHW3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        table = outputs(crops_BHW3)[0].reshape(len(crops_BHW3), len(names), -1)
        places = table[..., :2] if c.order == "xy" else table[..., 1::-1]
        scores = table[..., c.scores] if 2 <= c.scores < table.shape[-1] else np.ones(table.shape[:2], np.float32)
        return places, 1 / (1 + np.exp(-scores)) if c.activation == "sigmoid" else scores

    if reading.gives == "simcc":
        return Predictor(outputs, names, gives="simcc", input_hw=file.input_hw, files=(file.path,))
    where: Any = c.coordinates
    return Predictor(joints, names, gives="joints", coordinates=where, input_hw=file.input_hw, files=(file.path,))
