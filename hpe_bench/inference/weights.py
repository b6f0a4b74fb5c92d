"""Weights from elsewhere: open a file without executing anything in it, rename, load strictly.

A paper folder that knows released namings has a `weights.py` with `adapt(state_dict)`, which renames and checks
nothing; what is left over, missing or misshapen is reported here, once for all papers.
"""

from __future__ import annotations

import importlib
import importlib.util
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

SHOWN = 3  # names listed of each kind of misfit
PICKLED = (".pth", ".pt", ".tar")  # .pth.tar is common, too


def load_weights(model: nn.Module, source: Path | str | Mapping[str, Any]) -> None:
    """Load a state dict, or the file that holds one, into `model`: every parameter and buffer, and nothing besides.

    Names of other releases become ours through `adapt` of the `weights.py` beside the model's own module, if there is
    one. ValueError says what is wrong with the file or which entries do not fit; the model is then unchanged.
    """
    found = dict(source) if isinstance(source, Mapping) else read(Path(source))
    weights = with_counters(adapter(model)(found), model)
    if problem := misfit(weights, model):
        where = "the state dict" if isinstance(source, Mapping) else str(source)
        raise ValueError(f"{where} does not fit {type(model).__name__}: {problem}")
    model.load_state_dict(weights, strict=True)


def read(path: Path) -> dict[str, Any]:
    """The dictionary in a .safetensors, .pth, .pt or .pth.tar file. Pickles are opened without executing anything."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give the path of a .safetensors, .pth or .pt file")
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except SafetensorError as error:
            raise ValueError(f"{path}: not a readable safetensors file ({error}); download it again") from None
    if path.suffix not in PICKLED:
        raise ValueError(f"{path}: unknown kind of file; give a .safetensors, .pth or .pt file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        first = str(error).split("\n")[0]
        raise ValueError(
            f"{path}: refused, because it holds more than tensors and opening it could execute code; where it comes "
            f"from, save its state dict alone with safetensors and give that file ({first})"
        ) from None
    except (RuntimeError, EOFError, OSError) as error:
        first = str(error).split("\n")[0]
        raise ValueError(f"{path}: not a readable PyTorch file ({first}); download it again") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a state dict; save `model.state_dict()`")
    return dict(content)


def adapter(model: nn.Module) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """`adapt` of the paper folder that defines the model; `unwrapped` where the folder knows no other naming."""
    package = type(model).__module__.rpartition(".")[0]
    name = f"{package}.weights"
    if not package or importlib.util.find_spec(name) is None:
        return unwrapped
    adapt: Callable[[dict[str, Any]], dict[str, Any]] = importlib.import_module(name).adapt
    return adapt


def unwrapped(found: Mapping[str, Any]) -> dict[str, Any]:
    """The weights inside a training checkpoint's `state_dict`, without the `module.` of a data-parallel wrapper."""
    inner = found.get("state_dict", found)
    weights = inner if isinstance(inner, Mapping) else found
    return {name.removeprefix("module."): value for name, value in weights.items()}


def with_counters(weights: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Add the batch counters of normalisation layers, which files from before PyTorch 0.4.1 lack and nothing reads."""
    counters = [name for name in model.state_dict() if name.endswith(".num_batches_tracked")]
    return {**dict.fromkeys(counters, torch.tensor(0)), **weights}


def misfit(weights: Mapping[str, Any], model: nn.Module) -> str:
    """What keeps the weights from fitting: counts and first names of each kind; empty if they fit."""
    wanted = model.state_dict()
    shared = [name for name in wanted if name in weights]
    no_tensors = [name for name in shared if not isinstance(weights[name], Tensor)]
    kinds = {
        "missing": [name for name in wanted if name not in weights],
        "unexpected": [name for name in weights if name not in wanted],
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} where {tuple(wanted[name].shape)} belongs"
            for name in shared
            if name not in no_tensors and weights[name].shape != wanted[name].shape
        ],
        "no tensor": no_tensors,
    }
    return "; ".join(f"{len(names)} {kind} ({_first(names)})" for kind, names in kinds.items() if names)


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
