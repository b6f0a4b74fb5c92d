"""The command `export`, told as steps: a paper's variant into a file, and what the file cannot say beside it.

The file's last output is the heatmaps after the activation that belongs to the recipe, so that whoever runs it need not
know the loss. Without weights it is good for timing only: freshly initialised, its maps as they come. In 8 bits, ranges
of activations are taken from training crops of a protocol.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from hpe_bench import catalog
from hpe_bench.data.skeletons import COCO_17, LSP_14, MPII_16
from hpe_bench.declare import Protocol, Variant
from hpe_bench.files import require_free, write_atomically
from hpe_bench.inference import exporting, networks, phone_files, quantising, weights
from hpe_bench.inference.model_file import InputConvention

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Format:
    """A kind of file: its suffix, what writes it, what else is written beside it, and whether 8 bits are offered.

    Whether `predict` reads such files, with what they cannot say in a TOML file beside; and whether what runs them is
    on this system, so that they are held against eager.
    """

    suffix: str
    write: Callable[[nn.Module, tuple[int, int], Path, int], Path]
    beside: tuple[str, ...] = ()
    int8: bool = False
    is_read: bool = False
    runs_here: bool = True


Kind = Literal["onnx", "openvino", "torchscript", "tflite", "coreml"]
FORMATS: dict[Kind, Format] = {
    "onnx": Format(".onnx", exporting.to_onnx, int8=True, is_read=True),
    "openvino": Format(".xml", exporting.to_openvino, (".bin",), int8=True, is_read=True),
    "torchscript": Format(".pt", exporting.to_torchscript),
    "tflite": Format(".tflite", phone_files.to_tflite, is_read=True),
    "coreml": Format(".mlpackage", phone_files.to_core_ml, runs_here=phone_files.CORE_ML_RUNS_HERE),
}


@dataclass(frozen=True)
class Int8:
    """In 8 bits: whose training crops the ranges of activations are taken from, and how many."""

    protocol: Protocol
    root: str | None
    crops: int

    def images(self, input_hw: tuple[int, int]) -> Tensor:
        """Normalised crops [N,3,H,W] of training persons, evenly over the split."""
        return quantising.training_crops(self.protocol, self.root, self.crops, input_hw)


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported. None: the paper's only activation, fresh weights, the variant's own joints, float32."""

    paper: str
    variant: str
    recipe: str | None = None
    weights: Path | None = None
    joints: int | None = None
    batch: int = 1
    int8: Int8 | None = None


def export(wish: ExportRequest, kind: Kind, to: Path | None, console: Console, force: bool = False) -> Path:
    """Write the file, and beside one that `hpe-bench predict --model` reads the TOML that it reads with it.

    ValueError before anything is done if one of them is there already, unless `force`.
    """
    loaded, shape = catalog.load(wish.paper), FORMATS[kind]
    variant = catalog.find_variant(loaded, wish.variant)
    joints = wish.joints or variant.joints
    if wish.int8 is not None and not shape.int8:
        raise ValueError(f"8 bits are not offered for {kind}; {offered()} have them")
    path = to or Path(f"{wish.paper}-{variant.name}{'' if wish.int8 is None else '-int8'}{shape.suffix}")
    told = path.with_suffix(".toml")
    written = [path, *(path.with_suffix(suffix) for suffix in shape.beside), *([told] if shape.is_read else [])]
    require_free(written, [] if wish.weights is None else [wish.weights], force)
    model = _fresh(variant, joints)
    if wish.weights is not None:
        weights.load_weights(model, wish.weights)
        model = Activated(model, networks.activation(loaded, wish.recipe))
    like = "answers as eager float32 does" if shape.runs_here else "run by nothing yet: this system cannot"
    if wish.int8 is None:
        shape.write(model, variant.input_hw, path, wish.batch)
    else:
        images = wish.int8.images(variant.input_hw)
        off = quantising.to_int8(model, path, images, wish.batch, quantising.LIMIT if wish.weights else None)
        like = f"8 bits, {off:.3f} of the maps' spread away from eager float32 on training crops held out"

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False)

    if shape.is_read:
        write_atomically(told, convention_text(joints).encode())
        say(f"wrote {told}: its pixels and joints")
    height, width = variant.input_hw
    origin = "fresh weights (seed 0), for timing" if wish.weights is None else f"weights of {wish.weights}"
    say(f"wrote {path}: {wish.batch} x 3 x {height} x {width}, {joints} joints, {origin}; {like}")
    if wish.int8 is not None and wish.weights is not None:
        name = wish.int8.protocol.name
        say(f"what 8 bits cost: hpe-bench evaluate --protocol {name} --model {path}, beside the same without --int8")
    return path


def offered() -> str:
    """The kinds of file that are written in 8 bits."""
    return " and ".join(kind for kind, shape in FORMATS.items() if shape.int8)


class Activated(nn.Module):
    """A network whose final stack is ready to be decoded."""

    def __init__(self, network: nn.Module, activate: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.activate = network, activate

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        *earlier, final = exporting.stacks(self.network(images_B3HW))
        return [*earlier, self.activate(final)]


def convention_text(joints: int) -> str:
    """TOML of what an exported file's user must know; joints of no known skeleton are left to be named."""
    own = InputConvention()
    names = next((s.joints for s in (COCO_17, MPII_16, LSP_14) if len(s.joints) == joints), None)
    named = f"joints = {json.dumps(names)}" if names else f"# joints = [...]  # name the {joints} heatmaps in order"
    lines = (
        f"mean = {json.dumps(own.mean)}  # of grey levels 0..255: input = (grey level - mean) / std",
        f"std = {json.dumps(own.std)}",
        f'colours = "{own.colours}"',
        'activation = "none"  # the file has applied its own',
        named,
        f'output = "{exporting.FINAL}"',
    )
    return "\n".join(lines) + "\n"


def _fresh(variant: Variant, joints: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = variant.builder(joints)
    return model
