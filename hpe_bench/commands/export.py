"""The command `export`, told as steps: a paper's variant into a file, and what the file cannot say beside it.

The file's last output is the heatmaps after the activation that belongs to the recipe, so that whoever runs it need not
know the loss. Without weights it is good for timing only: freshly initialised, its maps as they come.
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
from hpe_bench.declare import Variant
from hpe_bench.files import require_free, write_atomically
from hpe_bench.inference import exporting, networks, weights
from hpe_bench.inference.model_file import InputConvention

if TYPE_CHECKING:
    from rich.console import Console

Kind = Literal["onnx", "openvino", "torchscript"]
SUFFIXES: dict[Kind, str] = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".pt"}
BESIDE: dict[Kind, tuple[str, ...]] = {"onnx": (".toml",), "openvino": (".bin",), "torchscript": ()}
WRITERS = {"onnx": exporting.to_onnx, "openvino": exporting.to_openvino, "torchscript": exporting.to_torchscript}


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported. None: the paper's only activation, fresh weights, the variant's own joints."""

    paper: str
    variant: str
    recipe: str | None = None
    weights: Path | None = None
    joints: int | None = None
    batch: int = 1


def export(wish: ExportRequest, kind: Kind, to: Path | None, console: Console, force: bool = False) -> Path:
    """Write the file, and beside an ONNX file the TOML that `hpe-bench predict --model` reads.

    ValueError before anything is done if one of them is there already, unless `force`.
    """
    loaded = catalog.load(wish.paper)
    variant = catalog.find_variant(loaded, wish.variant)
    joints = wish.joints or variant.joints
    path = to or Path(f"{wish.paper}-{variant.name}{SUFFIXES[kind]}")
    written = [path, *(path.with_suffix(suffix) for suffix in BESIDE[kind])]
    require_free(written, [] if wish.weights is None else [wish.weights], force)
    model = _fresh(variant, joints)
    if wish.weights is not None:
        weights.load_weights(model, wish.weights)
        model = Activated(model, networks.activation(loaded, wish.recipe))
    WRITERS[kind](model, variant.input_hw, path, wish.batch)
    if kind == "onnx":
        write_atomically(path.with_suffix(".toml"), convention_text(joints).encode())
        console.print(f"wrote {path.with_suffix('.toml')}: its pixels and joints", highlight=False, markup=False)
    height, width = variant.input_hw
    origin = "fresh weights (seed 0), for timing" if wish.weights is None else f"weights of {wish.weights}"
    told = f"{wish.batch} x 3 x {height} x {width}, {joints} joints, {origin}; answers as eager float32 does"
    console.print(f"wrote {path}: {told}", highlight=False, markup=False)
    return path


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
