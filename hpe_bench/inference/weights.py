"""Weights from elsewhere: find them in what a file holds, rename, load strictly.

A paper folder that knows released namings has a `weights.py` with `adapt(state_dict)`, which renames and checks
nothing (but may refuse another architecture by name); what is left over, missing or misshapen is reported here, once
for all papers. How files are opened is `data/weight_files.py`'s subject.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hpe_bench.data.weight_files import read_weight_file

__all__ = ["adapter", "load_weights", "misfit", "read_weight_file", "unwrapped", "with_counters", "without_parts"]

SHOWN = 3  # names listed of each kind of misfit
COUNTER = ".num_batches_tracked"
DEPTH = 4  # levels of dictionaries that are looked through
USUAL = "state_dict"  # of several sets of weights in a file, the one that every tool reads
# What wraps a network: data-parallel, compiling and averaging wrappers, and the attribute that trainers keep it in.
WRAPPERS = ("module", "_orig_mod", "model", "net", "network", "ema", "ema_model", "module_ema", "student", "pose_net")


def load_weights(model: nn.Module, source: Path | str | Mapping[str, Any]) -> None:
    """Load a state dict, or the file that holds one, into `model`: every parameter and buffer, and nothing besides.

    The weights are found wherever they lie in a checkpoint, with whatever wrapper's name in front. Names of other
    releases become ours through `adapt` of the `weights.py` beside the model's own module, if there is one. ValueError
    says what is wrong with the file or which entries do not fit; the model is then unchanged.
    """
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    found = dict(source) if isinstance(source, Mapping) else read_weight_file(Path(source))
    model.load_state_dict(fitting(found, model, where), strict=True)


def fitting(found: Mapping[Any, Any], model: nn.Module, where: str) -> dict[str, Any]:
    """The one set of weights in a checkpoint that fits a model, under our names; ValueError if none or several do."""
    tables = dict(state_dicts(found))
    if not tables:
        entries = ", ".join(" ".join(str(key).split())[:40] for key in list(found)[:SHOWN]) or "nothing"
        raise ValueError(f"{where}: holds no weights, which are tensors by name; it has {entries}")
    fits: dict[str, dict[str, Any]] = {}
    problems: dict[str, tuple[int, str]] = {}
    for place, table in tables.items():
        try:
            fitted, problem = _fitted(table, model)
        except ValueError as error:  # a paper knows the names of another architecture
            raise ValueError(f"{where}: {error}") from None
        if fitted is not None:
            fits[place] = fitted
        else:
            problems[place] = problem
    if fits:
        return _the_one(fits, where)
    place, (_, fault) = min(problems.items(), key=lambda item: item[1][0])
    under = f", under {place!r}," if place else ""
    raise ValueError(f"{where}{under} does not fit {type(model).__name__}: {fault}")


def _fitted(table: Mapping[str, Any], model: nn.Module) -> tuple[dict[str, Any] | None, tuple[int, str]]:
    """The weights of a table under our names if they fit, else how many names do not, and what is wrong."""
    adapt, wanted = adapter(model), model.state_dict()
    best = (1 << 30, "")
    for candidate in variants(table):
        renamed = adapt(candidate)
        weights = {name: v for name, v in renamed.items() if name in wanted or isinstance(v, Tensor)}
        weights = with_counters(weights, model)
        problem = misfit(weights, model)
        if not problem:
            return weights, (0, "")
        best = min(best, (len(wanted.keys() ^ weights.keys()), problem), key=lambda found: found[0])
    return None, best


def _the_one(fits: Mapping[str, dict[str, Any]], where: str) -> dict[str, Any]:
    """Of the sets that fit, the only one, or the usual one, or any of equals; ValueError naming the others."""
    chosen = next((place for place in fits if place.split(".")[-1] == USUAL), next(iter(fits)))
    usual = chosen.split(".")[-1] == USUAL
    same = all(torch.equal(weights[k], v) for weights in fits.values() for k, v in fits[chosen].items())
    if len(fits) > 1 and not usual and not same:
        places = " and ".join(map(repr, fits))
        raise ValueError(f"{where}: {places} both fit and differ; save the one that is meant alone and give that file")
    return fits[chosen]


def state_dicts(found: Mapping[Any, Any], place: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping from names to tensors in a checkpoint, by the keys that lead there; the outermost first."""
    if any(isinstance(v, Tensor) for v in found.values()) and all(isinstance(name, str) for name in found):
        yield place, found
    if depth < DEPTH:
        for key, value in found.items():
            if isinstance(value, Mapping) and isinstance(key, str):
                yield from state_dicts(value, f"{place}.{key}" if place else key, depth + 1)


def variants(table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The weights under their own names, then without what wraps them: a wrapper, or any prefix common to all."""
    names = {name: value for name, value in table.items() if not _is_mark(name)}
    yield names
    seen = {frozenset(names)}
    for _ in range(DEPTH):
        without = [_without_wrapper(names), *_below(names)]
        fresh = [candidate for candidate in without if candidate and frozenset(candidate) not in seen]
        if not fresh:
            return
        yield from fresh
        seen |= {frozenset(candidate) for candidate in fresh}
        names = fresh[0]


def _is_mark(name: str) -> bool:
    """Whether an entry only counts: the number of updates that averaging wrappers keep."""
    return name in ("n_averaged", "num_updates", "decay", "steps")


def _without_wrapper(names: Mapping[str, Any]) -> dict[str, Any]:
    """Without the wrappers' names in front, and without the compiler's anywhere."""
    pattern = re.compile(rf"^(?:{'|'.join(map(re.escape, WRAPPERS))})\.|(?<=\.)_orig_mod\.")
    return {pattern.sub("", name): value for name, value in names.items()}


def _below(names: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What lies below each first part of the names that is common to all of them, or a wrapper's."""
    firsts = {name.partition(".")[0] for name in names}
    for first in sorted(firsts if len(firsts) == 1 else firsts & set(WRAPPERS)):
        yield {name[len(first) + 1 :]: value for name, value in names.items() if name.startswith(f"{first}.")}


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


def without_parts(weights: Mapping[str, Any], parts: tuple[str, ...]) -> dict[str, Any]:
    """The weights without the names that another framework gives the parts of a network in front ("backbone.")."""
    shortened = {}
    for name, value in weights.items():
        part = next((part for part in parts if name.startswith(part)), "")
        shortened[name.removeprefix(part)] = value
    return shortened


def with_counters(weights: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Add the batch counters of normalisation layers, which files from before PyTorch 0.4.1 lack and nothing reads."""
    counters = [name for name in model.state_dict() if name.endswith(COUNTER)]
    return {**dict.fromkeys(counters, torch.tensor(0)), **weights}


def misfit(weights: Mapping[str, Any], model: nn.Module) -> str:
    """What keeps the weights from fitting: counts and first names of each kind; empty if they fit."""
    wanted = model.state_dict()
    shared = [name for name in wanted if name in weights]
    no_tensors = [name for name in shared if not _plain(weights[name])]
    kinds = {
        "missing": [name for name in wanted if name not in weights],
        "unexpected": [name for name in weights if name not in wanted],
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} where {tuple(wanted[name].shape)} belongs"
            for name in shared
            if name not in no_tensors and weights[name].shape != wanted[name].shape
        ],
        "of another kind": [
            f"{name} is {_type(weights[name])} where {_type(wanted[name])} belongs"
            for name in shared
            if name not in no_tensors and not _same_kind(weights[name], wanted[name], name)
        ],
        "no tensor": no_tensors,
    }
    return "; ".join(f"{len(names)} {kind} ({_first(names)})" for kind, names in kinds.items() if names)


def _first(names: list[str]) -> str:
    shown = (" ".join(name.split())[:120] for name in names[:SHOWN])  # a damaged name may hold a line's end
    return ", ".join(shown) + (", ..." if len(names) > SHOWN else "")


def _plain(value: object) -> bool:
    """Whether it is a tensor of numbers that are all there: dense, on a device, not nested or quantised."""
    if not isinstance(value, Tensor) or value.is_quantized or value.is_nested:
        return False
    return value.layout == torch.strided and value.device.type != "meta"


def _same_kind(found: Tensor, wanted: Tensor, name: str) -> bool:
    """Whether numbers keep their meaning: floating point stays so, whole numbers too; counters may be either."""
    if name.endswith(COUNTER):
        return not found.is_complex()
    kinds = [(t.is_floating_point(), t.is_complex(), t.dtype == torch.bool) for t in (found, wanted)]
    return kinds[0] == kinds[1]


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
