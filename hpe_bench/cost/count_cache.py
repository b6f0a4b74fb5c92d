"""Counts of papers' networks, each kept until its code changes: fvcore traces a network once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hpe_bench.cost import counts, dispatched, einsum, free_operators, model_cost, torchstat
from hpe_bench.cost.kept import KeptCounts
from hpe_bench.cost.model_cost import Cost
from hpe_bench.declare import Variant

COUNTS = KeptCounts(
    "counts",
    Cost,
    (
        counts.count,
        dispatched.count_dispatched,
        einsum.contraction,
        free_operators.is_free,
        model_cost.by_kind,
        torchstat.operations,
    ),
)


def count_variant(variant: Variant) -> Cost:
    """The cost of a variant for its own joints and input size."""
    return cached_count(variant.builder, variant.joints, variant.input_hw)


def cached_count(
    builder: Callable[..., Any], joints: int, input_hw: tuple[int, int], model: nn.Module | None = None
) -> Cost:
    """The cost of what a builder builds, counted if it is not known yet; `model` saves building it again."""

    def count() -> Cost:
        quick = dispatched.count_on_meta(builder, joints, input_hw)
        return counts.count(_built(builder, joints) if model is None else model, input_hw, quick)

    return COUNTS.of(builder, joints, input_hw, count)


def _built(builder: Callable[..., Any], joints: int) -> nn.Module:
    """The network with some weights; torch's random numbers go on as if it had not been built."""
    with torch.random.fork_rng(devices=[]):
        model = builder(joints=joints)
    assert isinstance(model, nn.Module)
    return model
