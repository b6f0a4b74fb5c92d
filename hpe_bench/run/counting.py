"""Counts as records keep them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from hpe_bench.cost import counts
from hpe_bench.cost.count_cache import cached_count
from hpe_bench.cost.model_cost import Cost, one_image, sizes
from hpe_bench.errors import sentence
from hpe_bench.records.schema import Absent, Measurement
from hpe_bench.timing.sources import OfVariant, Source


def count_of(source: Source | None, module: nn.Module, input_hw: tuple[int, int]) -> Cost:
    """The cost of a network that is built already; a paper's is counted once, until its code changes.

    Of somebody's own network that nothing can count the sizes are left.
    """
    if isinstance(source, OfVariant):
        return cached_count(source.variant.builder, source.joints, input_hw, module)
    try:
        return counts.count(module, input_hw)
    except Exception as error:  # it is somebody's code and may raise anything
        params, weight_bytes = sizes(module)
        return Cost(input_hw, params, weight_bytes, 0, 0, 0, (), (), uncounted=(f"all of it ({sentence(error)})",))


def cost_measurements(cost: Cost) -> Iterator[Measurement]:
    """What was counted; a lower bound has a key of its own, so that nothing takes it for the count."""
    found = [("params", cost.params, "count")]
    if cost.is_lower_bound:
        found.append(("macs/lower_bound", cost.macs, "MAC"))
    else:
        found += [("macs", cost.macs, "MAC"), ("macs/hrnet_counter", cost.macs_hrnet_counter, "MAC")]
    if cost.macs_fvcore_default is not None:
        found.append(("macs/fvcore_default", cost.macs_fvcore_default, "flop"))
    if cost.torchstat is not None:
        found.append(("macs/torchstat", cost.torchstat, "operation"))
    found += [("activations", cost.activations, "count"), ("weight_bytes", cost.weight_bytes, "byte")]
    for key, value, unit in found:
        yield Measurement(key=key, value=float(value), unit=unit, scope=one_image(cost.input_hw), n=1)


def cost_absences(cost: Cost) -> Iterator[Absent]:
    """What the count could not say, in words."""
    scope = one_image(cost.input_hw)
    if cost.is_lower_bound:
        unknown = ", ".join(cost.uncounted)
        yield Absent(key="macs", reason=f"{scope}: no known cost for {unknown}; at least {cost.macs:,} without it")
    if cost.disagreement:
        yield Absent(key="agreement of the counters", reason=f"{scope}: {cost.disagreement}")
