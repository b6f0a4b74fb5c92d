"""Starting from a backbone that was trained on ImageNet: torchvision's files and the authors'.

A backbone's names are ours under torchvision's naming (ResNets) and under HRNet's own; a paper's `weights.py` renames
what it knows besides. A child of the network ("layer3") is covered if the file has all its weights, in as many blocks;
one that is covered in part is another architecture's. What no file covers, the head as a rule, keeps its random start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hpe_bench.data.weight_files import read_weight_file
from hpe_bench.inference.weights import adapter, state_dicts, variants

COUNTER = "num_batches_tracked"  # older files lack it, and it is no weight
LEAST = 0.5  # of the network's parameters; less is no backbone of it


@dataclass(frozen=True)
class Coverage:
    """The weights of a file that fit a network, and which of its children they cover."""

    weights: dict[str, Tensor]
    covered: tuple[str, ...]
    left: tuple[str, ...]
    parameters: int
    of: int

    def sentence(self, path: Path) -> str:
        """For whoever watches the training."""
        left = f"; {', '.join(self.left)} start from random weights" if self.left else ""
        share = f"{self.parameters / 1e6:.1f} of {self.of / 1e6:.1f} million parameters"
        return f"{path.name} covers {share}: {', '.join(self.covered)}{left}"


def coverage(model: nn.Module, path: Path) -> Coverage:
    """What a file holds for a network; ValueError where it is none of its backbones."""
    adapt = adapter(model)
    found: Coverage | None = None
    faults: list[str] = []
    for _, table in state_dicts(read_weight_file(path)):
        for candidate in variants(table):
            try:
                this = _covered(model, adapt(candidate))
            except ValueError as error:
                faults.append(str(error))
                continue
            if found is None or this.parameters > found.parameters:
                found = this
    if found is None or found.parameters < LEAST * found.of:
        why = faults[0] if faults else "its names are none of this network's"
        raise ValueError(
            f"{path}: no ImageNet weights for this network: {why}; give a file of the same depth and width"
        )
    return found


def load(model: nn.Module, path: Path) -> str:
    """Start a network from a file of ImageNet weights; what it covers, as a sentence. ValueError as `coverage`."""
    found = coverage(model, path)
    model.load_state_dict(found.weights, strict=False)
    return found.sentence(path)


def _covered(model: nn.Module, names: Mapping[str, Any]) -> Coverage:
    """Child by child; ValueError for one that is covered in part or has another number of blocks."""
    wanted = {name: value for name, value in model.state_dict().items() if not name.endswith(COUNTER)}
    weights: dict[str, Tensor] = {}
    covered, left = [], []
    for child, _ in model.named_children():
        own = {name for name in wanted if name.startswith(f"{child}.")}
        fitting = {n for n in own if isinstance(names.get(n), Tensor) and names[n].shape == wanted[n].shape}
        if not own:
            continue
        if not fitting:
            left.append(child)
            continue
        theirs, ours = _blocks(names, child), _blocks(wanted, child)
        if theirs != ours:
            raise ValueError(f"{child} has {len(theirs)} blocks there and {len(ours)} here")
        if missing := sorted(own - fitting):
            raise ValueError(f"{child} fits in part: {missing[0]} is missing there or has another shape")
        covered.append(child)
        weights |= {name: names[name] for name in own}
    parameters = {name for name, _ in model.named_parameters()}
    return Coverage(
        weights,
        tuple(covered),
        tuple(left),
        sum(wanted[name].numel() for name in parameters & weights.keys()),
        sum(wanted[name].numel() for name in parameters),
    )


def _blocks(names: Mapping[str, Any], child: str) -> set[str]:
    """The numbers of a child's parts, such as {"0", "1", "2"} of layer1; empty where it is no sequence."""
    parts = {name.split(".")[1] for name in names if name.startswith(f"{child}.")}
    return {part for part in parts if part.isdecimal()}
