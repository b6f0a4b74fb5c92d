"""What a count gives: parameters, MACs under several conventions, activations (see docs/costs.md)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from hpe_bench.declare import Convention


@dataclass(frozen=True)
class ModuleCost:
    """What one module does itself, its children left out."""

    name: str
    kind: str
    params: int
    macs: int
    macs_hrnet_counter: int
    activations: int


@dataclass(frozen=True)
class KindCost:
    """What all layers of one kind do together: `convolution 3x3`, `transposed convolution 4x4`, `matrix product`."""

    kind: str
    layers: int
    macs: int
    macs_hrnet_counter: int


@dataclass(frozen=True)
class Cost:
    """The cost of one forward pass of one image.

    `macs` are true multiply-adds (a transposed convolution: weights x input positions); `macs_hrnet_counter` counts
    weights x output positions for every convolution, as `get_model_summary` of the HRNet code does before it divides
    by 2^30; `macs_fvcore_default` is what fvcore prints by itself, None where it was not asked or cannot say;
    `torchstat` is what that counter makes of the modules (`cost/torchstat.py`), None for a file, which has none.
    `activations` are the elements that counted layers write (pycls' measure); `weight_bytes` is the size of all
    parameters and buffers.

    Operators that nobody taught the counters are named in `uncounted`: the MACs and activations are then lower bounds.
    `disagreement` is a sentence where two counters differ over this network, otherwise empty.
    """

    input_hw: tuple[int, int]
    params: int
    weight_bytes: int
    macs: int
    macs_hrnet_counter: int
    activations: int
    modules: tuple[ModuleCost, ...]
    kinds: tuple[KindCost, ...]  # dearest first
    macs_fvcore_default: int | None = None
    torchstat: int | None = None
    uncounted: tuple[str, ...] = ()
    disagreement: str = ""

    @property
    def is_lower_bound(self) -> bool:
        """Whether something in the network was left out of the count."""
        return bool(self.uncounted)


def one_image(input_hw: tuple[int, int]) -> str:
    """The scope of counts of an input size, as records write it."""
    return f"one image of {input_hw[0]}x{input_hw[1]}"


@dataclass(frozen=True)
class Layer:
    """The work of one operator: what kind it is, true MACs, those of the HRNet counter, elements written."""

    kind: str
    macs: int
    at_output: int
    activations: int


def sizes(model: nn.Module) -> tuple[int, int]:
    """Parameters, and bytes of parameters and buffers. Needs no forward pass."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(p.numel() for p in model.parameters()), sum(t.numel() * t.element_size() for t in tensors)


def module_rows(model: nn.Module, own: Mapping[str, Counter[str]]) -> Iterator[ModuleCost]:
    """Modules that do counted work or hold parameters themselves, in the network's order.

    `own` holds the sums `macs`, `at_output` and `activations` of each module's own work, by its name.
    """
    for name, module in model.named_modules():
        work = own.get(name, Counter())
        params = sum(p.numel() for p in module.parameters(recurse=False))
        if work["macs"] or params:
            kind = type(module).__name__
            yield ModuleCost(name, kind, params, work["macs"], work["at_output"], work["activations"])


def by_kind(layers: Iterable[Layer]) -> tuple[KindCost, ...]:
    """Layers added up by kind, dearest first."""
    found: defaultdict[str, list[Layer]] = defaultdict(list)
    for layer in layers:
        found[layer.kind].append(layer)
    return dearest_first(
        KindCost(kind, len(v), sum(one.macs for one in v), sum(one.at_output for one in v)) for kind, v in found.items()
    )


def dearest_first(kinds: Iterable[KindCost]) -> tuple[KindCost, ...]:
    """In the order of tables."""
    return tuple(sorted(kinds, key=lambda k: (-k.macs, k.kind)))


def convolution_kind(transposed: bool, groups: int, channels_in: int, kernel: Sequence[int]) -> str:
    """A convolution's kind in words; depthwise where every input channel is a group of its own."""
    kind = (
        "depthwise convolution" if 1 < groups == channels_in else "grouped convolution" if groups > 1 else "convolution"
    )
    return f"{'transposed ' if transposed else ''}{kind} {'x'.join(map(str, kernel))}"


def formatted(cost: Cost, digits: int = 3) -> dict[Convention, str]:
    """The count as each convention prints it, with its unit; without fvcore's where it was not asked."""
    shown: dict[Convention, str] = {
        "true": f"{cost.macs / 1e9:.{digits}f} GMAC",
        "mac_2p30": f"{cost.macs / 2**30:.{digits}f} GMAC/2^30",
        "hrnet_counter": f"{cost.macs_hrnet_counter / 2**30:.{digits}f} GMAC/2^30",
        "flops_2x": f"{2 * cost.macs / 1e9:.{digits}f} GFLOP",
    }
    if cost.macs_fvcore_default is not None:
        shown["fvcore_default"] = f"{cost.macs_fvcore_default / 1e9:.{digits}f} GFLOP"
    return shown
