"""Anybody's network as an ONNX file, made to behave like one of ours.

The file takes images [N,3,H,W] of fixed size and gives heatmaps [N,J,h,w]. What the file cannot say (colour order,
normalisation, joint order, activation) comes from a `Convention`: from the command line or from a TOML file of the same
stem beside it. onnxruntime, an extra, runs it on the CPU.
"""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from hpe_bench.data.augmentation import IMAGENET_MEAN_RGB, IMAGENET_STD_RGB
from hpe_bench.data.skeletons import Skeleton, named_joints, order_of
from hpe_bench.declare import STRICT
from hpe_bench.errors import not_installed

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Triple = tuple[float, float, float]
IMAGENET_MEAN, IMAGENET_STD = ((255 * r, 255 * g, 255 * b) for r, g, b in (IMAGENET_MEAN_RGB, IMAGENET_STD_RGB))


@dataclass(frozen=True, config=STRICT)
class Convention:
    """How a file wants its pixels and gives its joints: input = (grey level of 0..255 - mean) / std, by channel.

    `mean` and `std` are in the order of `colours`; a network that takes 0..1 has mean 0 and std 255. `joints` are the
    names of the maps in order (empty: the skeleton's own), `output` the name of the heatmaps' output (needed where the
    file has several).
    """

    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    colours: Literal["rgb", "bgr"] = "rgb"
    activation: Literal["none", "sigmoid"] = "none"
    joints: tuple[str, ...] = ()
    output: str = ""

    def __post_init__(self) -> None:
        if not min(self.std) > 0:
            raise ValueError(f"std {self.std} must be positive")


def read_convention(path: Path, **given: Any) -> Convention:
    """The convention of an ONNX file: what is given, else what the TOML file beside it says, else the defaults.

    `joints` may be the name of a skeleton. ValueError naming file and field for anything else than a convention.
    """
    beside = path.with_suffix(".toml")
    given = {name: value for name, value in given.items() if value is not None}
    values = (_read_toml(beside) if beside.exists() else {}) | given
    if isinstance(values.get("joints"), str):
        values["joints"] = named_joints(values["joints"])
    try:
        return TypeAdapter(Convention).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(next(iter(first["loc"]), "convention"))
        where = str(beside) if field in values and field not in given else "the convention of the ONNX file"
        known = ", ".join(f.name for f in fields(Convention))
        raise ValueError(f"{where}: {field}: {first['msg']}; the fields are {known}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: no TOML ({error})") from None


# ---------------------------------------------------------------------------------------------------- the network


class OnnxNetwork(nn.Module):
    """The file as a module with the suite's conventions: takes normalised RGB, gives a list with one stack of maps.

    The maps are in the skeleton's order of joints. B images, C = 3 colours, J joints, H W input, h w heatmap.
    """

    def __init__(self, path: Path, convention: Convention, skeleton: Skeleton) -> None:
        super().__init__()
        self.path = path
        self.session = _session(path)
        self.input_name, self.batch, self.input_hw = _input(path, self.session)
        self.output_name = _output(path, self.session, convention.output)
        names = convention.joints or skeleton.joints
        self.order = order_of(names, skeleton, f"{path}: its joints have")
        self.maps = len(names)
        self.bgr = convention.colours == "bgr"
        # From the suite's normalised values to the file's: one scale and one shift a channel, in the file's order.
        mean_C, std_C = (np.array(v)[:: -1 if self.bgr else 1] for v in (IMAGENET_MEAN, IMAGENET_STD))
        self.scale_C = torch.tensor(std_C / convention.std, dtype=torch.float32).view(3, 1, 1)
        self.shift_C = torch.tensor((mean_C - convention.mean) / convention.std, dtype=torch.float32).view(3, 1, 1)
        self._run(np.zeros((1, 3, *self.input_hw), np.float32))  # what is wrong with its outputs is said at once

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """Heatmaps [B,J,h,w] as a list of one stack, as our variants give them."""
        channels = [2, 1, 0] if self.bgr else [0, 1, 2]
        values = images_B3HW[:, channels].cpu() * self.scale_C + self.shift_C
        maps = self._run(values.contiguous().numpy())
        return [torch.from_numpy(maps[:, self.order]).to(images_B3HW.device)]

    def _run(self, images_B3HW: np.ndarray) -> np.ndarray:
        """Maps [B,J',h,w] in the file's order, in batches of the size that the file wants."""
        step = self.batch or len(images_B3HW)
        parts = [self._run_once(images_B3HW[i : i + step]) for i in range(0, len(images_B3HW), step)]
        return np.concatenate(parts)

    def _run_once(self, images_B3HW: np.ndarray) -> np.ndarray:
        count = len(images_B3HW)
        padding = (self.batch or count) - count
        if padding:
            images_B3HW = np.concatenate([images_B3HW, np.zeros((padding, *images_B3HW.shape[1:]), np.float32)])
        try:
            maps = self.session.run([self.output_name], {self.input_name: images_B3HW})[0]
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise ValueError(f"{self.path}: does not run: {_first_line(error)}") from None
        if not isinstance(maps, np.ndarray) or maps.ndim != 4 or maps.shape[:2] != (len(images_B3HW), self.maps):
            raise ValueError(
                f"{self.path}: output {self.output_name!r} is {list(np.shape(maps))} for {len(images_B3HW)} image(s), "
                f"expected [{len(images_B3HW)}, {self.maps}, h, w], one heatmap a joint; name its joints with --joints"
            )
        if not np.isfinite(maps).all():
            raise ValueError(f"{self.path}: gives values that are not finite; check its normalisation")
        return maps[:count].astype(np.float32)


def _session(path: Path) -> InferenceSession:
    """The file, loaded; ValueError with the reason, or with the line that installs onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        raise ValueError(not_installed("onnxruntime", "onnx")) from None
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give an ONNX file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise ValueError(f"{path}: not an ONNX file that onnxruntime can run ({_first_line(error)})") from None


def _input(path: Path, session: InferenceSession) -> tuple[str, int | None, tuple[int, int]]:
    """Name, batch size (None: any) and (h, w) of the only input."""
    found = session.get_inputs()
    if len(found) != 1:
        raise ValueError(f"{path}: takes {len(found)} inputs, expected one, images [N, 3, height, width]")
    shape = found[0].shape
    images = len(shape) == 4 and shape[1] == 3 and all(isinstance(side, int) and side > 0 for side in shape[2:])
    if not images or found[0].type != "tensor(float)":
        raise ValueError(
            f"{path}: input {found[0].name!r} is {found[0].type} {shape}, expected float images [N, 3, height, width] "
            "of a fixed size; export it so"
        )
    return found[0].name, shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None, (shape[2], shape[3])


def _output(path: Path, session: InferenceSession, wanted: str) -> str:
    """Name of the output with the heatmaps."""
    names = [output.name for output in session.get_outputs()]
    if wanted and wanted not in names:
        raise ValueError(f"{path}: has no output {wanted!r}; it has {', '.join(names)}")
    if not wanted and len(names) > 1:
        raise ValueError(f"{path}: has the outputs {', '.join(names)}; name the heatmaps' with --output")
    return wanted or names[0]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
