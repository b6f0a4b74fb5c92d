"""Counts of papers' networks, kept in the cache folder: fvcore traces a network once, until its code changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from hpe_bench.codehash import code_digest
from hpe_bench.cost import counts, dispatched, einsum, free_operators, model_cost, torchstat
from hpe_bench.cost.model_cost import Cost
from hpe_bench.data.cache import cache_folder
from hpe_bench.declare import Variant, fingerprint
from hpe_bench.files import write_atomically

COST = TypeAdapter(Cost)
COUNTERS = (
    counts.count,
    dispatched.count_dispatched,
    einsum.contraction,
    free_operators.is_free,
    model_cost.by_kind,
    torchstat.operations,
)


def count_variant(variant: Variant) -> Cost:
    """The cost of a variant for its own joints and input size."""
    return cached_count(variant.builder, variant.joints, variant.input_hw)


def cached_count(
    builder: Callable[..., Any], joints: int, input_hw: tuple[int, int], model: nn.Module | None = None
) -> Cost:
    """The cost of what a builder builds, counted if it is not known yet; `model` saves building it again.

    A damaged entry is counted anew. A folder that cannot be written only costs time.
    """
    path = _path(builder, joints, input_hw)
    cost = _read(path)
    if cost is None:
        quick = dispatched.count_on_meta(builder, joints, input_hw)
        cost = counts.count(_built(builder, joints) if model is None else model, input_hw, quick)
        _write(path, cost)
    return cost


def _path(builder: Callable[..., Any], joints: int, input_hw: tuple[int, int]) -> Path:
    """Named by everything that a count follows from: the network's code, its size, and who counts."""
    known = [fingerprint((builder, joints, input_hw)), code_digest([builder]), code_digest(COUNTERS)]
    key = " ".join([*known, torch.__version__, version("fvcore")])
    return cache_folder("counts") / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _built(builder: Callable[..., Any], joints: int) -> nn.Module:
    """The network with some weights; torch's random numbers go on as if it had not been built."""
    with torch.random.fork_rng(devices=[]):
        model = builder(joints=joints)
    assert isinstance(model, nn.Module)
    return model


def _read(path: Path) -> Cost | None:
    """An entry whose first line is the digest of the rest; None for one that is missing or damaged."""
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
        return COST.validate_json(text) if digest == _digest(text) else None
    except (OSError, ValidationError):
        return None


def _write(path: Path, cost: Cost) -> None:
    text = COST.dump_json(cost)
    try:
        write_atomically(path, _digest(text) + b"\n" + text)
    except OSError:  # a full or read-only disk; the next count takes as long again
        return


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
