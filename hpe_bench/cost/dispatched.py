"""The quick count: operators watched as torch dispatches them, which works on the meta device, without arithmetic.

Outlines of networks and estimates of time need no more, and it is what fvcore's count (`counts.py`) is held against:
that one sees composed operators, this one what they come down to.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hpe_bench.cost.free_operators import is_free
from hpe_bench.cost.model_cost import Cost, Layer, by_kind, convolution_kind, module_rows, sizes
from hpe_bench.cost.torchstat import operations

ATTENTION = "attention"
RECURRENT = "recurrent layer"
PRODUCT = "matrix product"


def count_dispatched(model: nn.Module, input_hw: tuple[int, int]) -> Cost:
    """Count a network on the device its parameters are on, in eval mode; its own modes are restored.

    Build and count it under `on_meta()` to count it for nothing.
    """
    watch = _Watch()
    with evaluating(model), watch.following(model), torch.no_grad(), watch:
        model(image_for(model, input_hw))
    total = sum(watch.by_module.values(), Counter[str]())
    params, weight_bytes = sizes(model)
    return Cost(
        input_hw=input_hw,
        params=params,
        weight_bytes=weight_bytes,
        macs=total["macs"],
        macs_hrnet_counter=total["at_output"],
        activations=total["activations"],
        modules=tuple(module_rows(model, watch.by_module)),
        kinds=by_kind(watch.layers),
        torchstat=sum(watch.torchstat.values()),
        uncounted=tuple(sorted(watch.unknown)),
    )


def count_on_meta(builder: Callable[..., Any], joints: int, input_hw: tuple[int, int]) -> Cost:
    """The quick count of what a variant's builder builds: no memory, no arithmetic."""
    with on_meta():
        return count_dispatched(builder(joints=joints), input_hw)


@contextmanager
def on_meta() -> Iterator[None]:
    """Tensors are made on the meta device: networks are built and run for their shapes alone."""
    with torch.device("meta"), _Shapes():
        yield


class Watching(TorchDispatchMode):
    """A mode that sees every operator, without torch's compiler."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch would otherwise load its compiler, which takes longer than counting."""
        return False


aten = torch.ops.aten
IN_PLACE = {aten.normal_.default, aten.uniform_.default, aten.fill_.Scalar, aten.zero_.default, aten.relu_.default}
RESIZED = {aten.upsample_nearest2d.default, aten.upsample_bilinear2d.default}  # (image, size, ...)


class _Shapes(Watching):
    """Shortcuts on the meta device for frequent operators whose shapes torch derives in Python, up to 10 ms a call."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first = args[0] if args else None
        if not isinstance(first, Tensor) or not first.is_meta:
            return func(*args, **(kwargs or {}))
        if func in IN_PLACE:
            return first
        if func is aten.native_batch_norm.default and not args[5]:
            return torch.empty_like(first), *(first.new_empty(first.shape[1]) for _ in ("mean", "deviation"))
        if func is aten.add.Tensor and isinstance(args[1], Tensor) and _alike(first, args[1]):
            return torch.empty_like(first)
        if func in RESIZED and first.is_contiguous():
            return first.new_empty((*first.shape[:2], *args[1]))
        return func(*args, **(kwargs or {}))


def _alike(one: Tensor, other: Tensor) -> bool:
    """In size, layout, type and place."""
    return (one.shape, one.stride(), one.dtype, one.device) == (other.shape, other.stride(), other.dtype, other.device)


def image_for(model: nn.Module, input_hw: tuple[int, int]) -> Tensor:
    """One black image [1,3,H,W] of the type and on the device of a network's weights."""
    like = next((t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()), torch.empty(0))
    return torch.zeros(1, 3, *input_hw, device=like.device, dtype=like.dtype)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode, with every module's own mode restored afterwards, and attention by its composed operators.

    `nn.MultiheadAttention` and `nn.TransformerEncoderLayer` otherwise run as one fused operator in eval mode.
    """
    training = [(module, module.training) for module in model.modules()]
    fast = torch.backends.mha.get_fastpath_enabled()
    model.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, mode in training:
            module.training = mode


class _Watch(Watching):
    """Counts of every operator that torch dispatches, by the module whose forward pass it happens in."""

    def __init__(self) -> None:
        super().__init__()
        self.by_module: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.layers: list[Layer] = []
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
        is_own = func.namespace == "aten"
        if is_own and name in COUNTED:
            self._book(COUNTED[name](args, output))
        elif not (is_own and is_free(name)) and func.namespace != "prim":
            self.unknown.add(f"{func.namespace}::{name}")
        return output

    def _book(self, layer: Layer) -> None:
        own = self.by_module[self._running[-1]]
        own.update(macs=layer.macs, at_output=layer.at_output, activations=layer.activations)
        self.layers.append(layer)


# ---------------------------------------------------------------------------------------------------- what costs


def convolution_layer(
    image: tuple[int, ...], weight: tuple[int, ...], written: tuple[int, ...], transposed: bool, groups: int
) -> Layer:
    """Weights x output positions; a transposed convolution truly uses each weight once an input position (F19).

    Shapes are [N,C,...], [C_out, C_in / groups, ...] or, transposed, [C_in, C_out / groups, ...], and [N,C,...].
    """
    at_output = prod(weight) * image[0] * prod(written[2:])
    at_input = prod(weight) * image[0] * prod(image[2:])
    kind = convolution_kind(transposed, groups, image[1], weight[2:])
    return Layer(kind, at_input if transposed else at_output, at_output, prod(written))


def product_layer(macs: int, written: int) -> Layer:
    """A product of matrices or vectors: every counter agrees."""
    return Layer(PRODUCT, macs, macs, written)


def attention_layer(query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...]) -> Layer:
    """The two products of attention, query by key and weights by value: [..., L, E], [..., S, E], [..., S, E_v]."""
    heads, length = prod(query[:-2]), query[-2]
    scores, mixed = heads * length * key[-2], heads * length * value[-1]
    macs = scores * query[-1] + mixed * key[-2]
    return Layer(ATTENTION, macs, macs, scores + mixed)


def recurrent_layer(steps: int, weights: Sequence[tuple[int, ...]]) -> Layer:
    """An LSTM, GRU or plain recurrent layer: every weight matrix once a step of every sequence."""
    macs = steps * sum(prod(w) for w in weights)
    return Layer(RECURRENT, macs, macs, steps * sum(w[0] for w in weights))


def _convolution(args: Any, output: Tensor) -> Layer:
    image, weight = args[:2]
    return convolution_layer(tuple(image.shape), tuple(weight.shape), tuple(output.shape), bool(args[6]), int(args[8]))


def _product(args: Any, output: Tensor) -> Layer:
    """The last two arguments are the factors, of which the left one ends in the dimension summed over."""
    left, right = args[-2:]
    columns = int(right.shape[-1]) if right.ndim > 1 else 1
    return product_layer(left.numel() * columns, output.numel())


def _attention(args: Any, output: Any) -> Layer:
    query, key, value = (tuple(a.shape) for a in args[:3])
    return attention_layer(query, key, value)


def _recurrent_by_mkldnn(args: Any, output: Any) -> Layer:
    """One direction of one layer: input [T,N,F], then the weights of the input and of the state."""
    return recurrent_layer(prod(args[0].shape[:2]), [tuple(w.shape) for w in args[1:3]])


COUNTED: dict[str, Callable[[Any, Any], Layer]] = {
    "convolution": _convolution,
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm", "addbmm", "mv", "addmv", "dot", "vdot"), _product),
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
    "mkldnn_rnn_layer": _recurrent_by_mkldnn,
}
