"""Counting: parameters, multiply-adds under two conventions, torchstat's count, activations (see docs/costs.md).

Counted are convolutions, transposed convolutions and matrix products (linear layers), without biases. Normalisation,
activation functions, pooling and resampling cost nothing by convention; `FREE` lists them, and an operator that is
neither counted nor free is an error rather than a zero. The operators are watched as torch dispatches them, which works
on the meta device too, where the largest network costs neither memory nor arithmetic.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hpe_bench.cost.torchstat import operations
from hpe_bench.declare import Convention

PRODUCTS = frozenset({"mm", "addmm", "bmm", "baddbmm"})
# fmt: off
FREE = frozenset({
    # normalisation
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm",
    "native_layer_norm", "native_group_norm",
    # activation functions and elementwise arithmetic
    "relu", "relu_", "leaky_relu", "leaky_relu_", "_prelu_kernel", "hardtanh", "hardtanh_", "hardswish", "hardswish_",
    "hardsigmoid", "hardsigmoid_", "silu", "silu_", "gelu", "sigmoid", "sigmoid_", "tanh", "_softmax",
    "add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "sum", "mean",
    # pooling and resampling
    "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_nearest2d",
    "upsample_bilinear2d", "upsample_bicubic2d", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    # moving data
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand", "clone", "detach", "alias", "cat",
    "stack", "slice", "select", "split", "split_with_sizes", "chunk", "squeeze", "unsqueeze", "constant_pad_nd",
    "copy_", "_to_copy", "zeros", "empty",
})
# fmt: on


class UncountedOperatorError(ValueError):
    """The network uses an operator whose multiply-adds nobody has taught this module to count."""


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

    `macs` counts each layer at its true cost (a transposed convolution: weights x input positions);
    `macs_hrnet_counter` counts weights x output positions for every convolution, as `get_model_summary` of the HRNet
    code does before it divides by 2^30; `torchstat` is what that counter makes of the modules (`cost/torchstat.py`),
    None for a file, which has no modules. `activations` are the elements that counted layers write (pycls' measure);
    `weight_bytes` is the size of all parameters and buffers.
    """

    input_hw: tuple[int, int]
    params: int
    macs: int
    macs_hrnet_counter: int
    activations: int
    weight_bytes: int
    modules: tuple[ModuleCost, ...]
    kinds: tuple[KindCost, ...]  # dearest first
    torchstat: int | None = None


def one_image(input_hw: tuple[int, int]) -> str:
    """The scope of counts of an input size, as records write it."""
    return f"one image of {input_hw[0]}x{input_hw[1]}"


def count(model: nn.Module, input_hw: tuple[int, int]) -> Cost:
    """Count a network on the device its parameters are on, in eval mode; its own mode is restored.

    Build it under `torch.device("meta")` to count it for nothing. `UncountedOperatorError` names operators that are
    neither counted nor free.
    """
    image = torch.zeros(1, 3, *input_hw, device=next(model.parameters()).device)
    tally = _Tally()
    was_training = model.training
    model.eval()
    try:
        with tally.following(model), torch.no_grad(), tally:
            model(image)
    finally:
        model.train(was_training)
    if tally.unknown:
        names = ", ".join(sorted(tally.unknown))
        raise UncountedOperatorError(
            f"no known cost for {names}; count it in hpe_bench/cost/macs.py or list it as FREE there"
        )
    total = sum(tally.by_module.values(), Counter[str]())
    tensors = [*model.parameters(), *model.buffers()]
    return Cost(
        input_hw=input_hw,
        params=sum(p.numel() for p in model.parameters()),
        macs=total["macs"],
        macs_hrnet_counter=total["at_output"],
        activations=total["activations"],
        weight_bytes=sum(t.numel() * t.element_size() for t in tensors),
        modules=tuple(_rows(model, tally.by_module)),
        kinds=by_kind(tally.layers),
        torchstat=sum(tally.torchstat.values()),
    )


def by_kind(layers: Iterable[tuple[str, int, int]]) -> tuple[KindCost, ...]:
    """Layers (kind, multiply-adds, those of the HRNet counter), added up by kind, dearest first."""
    found: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for kind, macs, at_output in layers:
        found[kind].append((macs, at_output))
    kinds = [KindCost(k, len(v), sum(m for m, _ in v), sum(o for _, o in v)) for k, v in found.items()]
    return tuple(sorted(kinds, key=lambda k: (-k.macs, k.kind)))


def convolution_kind(transposed: bool, groups: int, channels_in: int, kernel: Sequence[int]) -> str:
    """A convolution's kind in words; depthwise where every input channel is a group of its own."""
    kind = (
        "depthwise convolution" if 1 < groups == channels_in else "grouped convolution" if groups > 1 else "convolution"
    )
    return f"{'transposed ' if transposed else ''}{kind} {'x'.join(map(str, kernel))}"


class _Tally(TorchDispatchMode):
    """Counts of every operator that torch dispatches, by the module whose forward pass it happens in."""

    def __init__(self) -> None:
        super().__init__()
        self.by_module: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.layers: list[tuple[str, int, int]] = []  # kind, multiply-adds, those of the HRNet counter
        self.unknown: set[str] = set()
        self.torchstat: dict[str, int] = {}  # by module without children, of its last call
        self._running = [""]

    @contextmanager
    def following(self, model: nn.Module) -> Iterator[None]:
        """Know the innermost running module by name."""
        hooks = []
        for name, module in model.named_modules():
            hooks.append(module.register_forward_pre_hook(partial(self._enter, name)))
            hooks.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._running.append(name)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        name = self._running.pop()
        if not any(True for _ in module.children()):
            self.torchstat[name] = operations(module, inputs, output)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution":
            image, weight, transposed, groups = args[0], args[1], bool(args[6]), int(args[8])
            kind = convolution_kind(transposed, groups, image.shape[1], weight.shape[2:])
            self._book(kind, _convolution(image, weight, transposed, output))
        elif name in PRODUCTS:
            left, right = args[-2:]
            macs = left.numel() * int(right.shape[-1])
            self._book("matrix product", Counter(macs=macs, at_output=macs, activations=output.numel()))
        elif name not in FREE:
            self.unknown.add(str(func.overloadpacket))
        return output

    def _book(self, kind: str, work: Counter[str]) -> None:
        self.by_module[self._running[-1]] += work
        self.layers.append((kind, work["macs"], work["at_output"]))


def _convolution(image: Tensor, weight: Tensor, transposed: bool, output: Tensor) -> Counter[str]:
    """Weights x output positions; a transposed convolution truly uses each weight once an input position (F19)."""
    at_output = weight.numel() * image.shape[0] * prod(output.shape[2:])
    at_input = weight.numel() * image.shape[0] * prod(image.shape[2:])
    return Counter(macs=at_input if transposed else at_output, at_output=at_output, activations=output.numel())


def _rows(model: nn.Module, by_module: dict[str, Counter[str]]) -> Iterator[ModuleCost]:
    """Modules that do counted work or hold parameters themselves, in the network's order."""
    for name, module in model.named_modules():
        own = by_module.get(name, Counter())
        params = sum(p.numel() for p in module.parameters(recurse=False))
        if own["macs"] or params:
            yield ModuleCost(name, type(module).__name__, params, own["macs"], own["at_output"], own["activations"])


def formatted(cost: Cost, digits: int = 3) -> dict[Convention, str]:
    """The count as each convention prints it, with its unit."""
    return {
        "true": f"{cost.macs / 1e9:.{digits}f} GMAC",
        "mac_2p30": f"{cost.macs / 2**30:.{digits}f} GMAC/2^30",
        "hrnet_counter": f"{cost.macs_hrnet_counter / 2**30:.{digits}f} GMAC/2^30",
        "flops_2x": f"{2 * cost.macs / 1e9:.{digits}f} GFLOP",
    }
