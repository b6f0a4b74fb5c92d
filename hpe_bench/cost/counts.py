"""The count: fvcore's analysis of a traced network, with a set of handlers for each convention (see docs/costs.md).

fvcore is what the field's tables are made with. It traces a network and hands every operator to a handler; which
handlers it is given decides what is counted. One trace serves all conventions here. It needs real weights: nothing can
be traced on the meta device. What torch really dispatches (`dispatched.py`) is counted as well, and the two must agree.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.flop_count import _DEFAULT_SUPPORTED_OPS
from fvcore.nn.jit_handles import Handle, get_shape
from torch import Tensor, nn

from hpe_bench.cost.dispatched import (
    attention_layer,
    convolution_layer,
    count_dispatched,
    evaluating,
    image_for,
    product_layer,
    recurrent_layer,
)
from hpe_bench.cost.einsum import contraction
from hpe_bench.cost.free_operators import is_free
from hpe_bench.cost.model_cost import Cost, KindCost, Layer, dearest_first, module_rows, sizes

Shape = tuple[int, ...]
Values = list[Any]  # torch._C.Value: what an operator takes or gives, in a traced graph

FVCORE = "fvcore"  # under which names the sums of a handler stand
SUMS = ("macs", "at_output", "activations")


def count(model: nn.Module, input_hw: tuple[int, int], dispatched: Cost | None = None) -> Cost:
    """Count a network on the device of its weights, in eval mode; its own modes are restored.

    `dispatched` is the quick count where it is known already. Where fvcore cannot trace a network, or meets operators
    that it does not know and that torch takes apart, that count stands in its place. Errors of the network itself are
    passed on.
    """
    traced = _traced(model, input_hw)
    if dispatched is None:
        try:
            dispatched = count_dispatched(model, input_hw)
        except Exception:  # it is somebody's code, which may not bear being watched
            if traced is None:
                raise
            return traced
    return dispatched if traced is None else reconciled(traced, dispatched)


def reconciled(traced: Cost, dispatched: Cost) -> Cost:
    """fvcore's count, unless only the other one is whole; of two lower bounds the higher. Says where they differ.

    What torchstat makes of the modules comes from the other one in any case.
    """
    traced = replace(traced, torchstat=dispatched.torchstat)
    if traced.uncounted:
        better = not dispatched.uncounted or dispatched.macs > traced.macs
        return replace(dispatched, macs_fvcore_default=traced.macs_fvcore_default) if better else traced
    if dispatched.uncounted:
        return traced
    found = [(c.macs, c.macs_hrnet_counter) for c in (traced, dispatched)]
    if found[0] == found[1]:
        return traced
    words = [f"{true:,} true and {hrnet:,} by the HRNet counter" for true, hrnet in found]
    return replace(
        traced, disagreement=f"fvcore counts {words[0]}, torch's dispatched operators make it {words[1]}; report this"
    )


def _traced(model: nn.Module, input_hw: tuple[int, int]) -> Cost | None:
    """fvcore's count; None where the network cannot be traced, such as for its kind of output."""
    analysis = _Analysis(model, image_for(model, input_hw))
    try:
        with warnings.catch_warnings(), evaluating(model), torch.no_grad():
            warnings.simplefilter("ignore")  # tracing warns of control flow and of its own age
            counts = analysis.by_module_and_operator()
    except Exception:  # the tracer raises whatever the network or a handler does
        return None
    params, weight_bytes = sizes(model)
    whole = counts[""]
    total = _sums(whole)
    return Cost(
        input_hw=input_hw,
        params=params,
        weight_bytes=weight_bytes,
        macs=total["macs"],
        macs_hrnet_counter=total["at_output"],
        activations=total["activations"],
        modules=tuple(module_rows(model, _own(model, counts))),
        kinds=dearest_first(_kinds(whole)),
        macs_fvcore_default=None if analysis.is_default_broken else int(whole[Key(FVCORE)]),
        uncounted=tuple(sorted(k for k in analysis.unsupported_ops() if not _is_free(k))),
    )


@dataclass(frozen=True)
class Key:
    """What a sum in fvcore's counters is of: a measure, and the kind of layer."""

    measure: str
    kind: str = ""


class _Analysis(FlopCountAnalysis):
    """fvcore's analysis with all conventions at once: its counters hold a sum for every measure and kind of layer."""

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        super().__init__(model, (image,))
        self.is_default_broken = False
        self.clear_op_handles()  # ignoring an operator would leave its own handler in place
        self.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        self.set_op_handle(**{name: partial(self._handle, name) for name in {*TRUE, *FVCORE_DEFAULT}})

    def _handle(self, name: str, inputs: Values, outputs: Values) -> Counter[Key]:
        """What an operator costs under every convention."""
        sums = Counter[Key]()
        if name in TRUE and (layer := TRUE[name](inputs, outputs)).macs:
            hrnet = HRNET_COUNTER[name](inputs, outputs)
            sums[Key("layers", layer.kind)] = 1
            sums[Key("macs", layer.kind)] = layer.macs
            sums[Key("at_output", layer.kind)] = hrnet.macs
            sums[Key("activations", layer.kind)] = layer.activations
        if name in FVCORE_DEFAULT:
            sums[Key(FVCORE)] = self._by_default(FVCORE_DEFAULT[name], inputs, outputs)
        return sums

    def _by_default(self, handle: Handle, inputs: Values, outputs: Values) -> int:
        """fvcore's own count of an operator; some of its handlers expect fewer shapes than there are."""
        try:
            found = handle(inputs, outputs)
        except Exception:  # assertions, missing shapes
            self.is_default_broken = True
            return 0
        return int(sum(found.values()) if isinstance(found, Counter) else found)


def _is_free(operator: str) -> bool:
    """Whether an operator of a traced graph, `aten::add`, costs nothing."""
    namespace, _, name = operator.partition("::")
    return namespace == "aten" and is_free(name)


def _sums(counter: Counter[Key]) -> Counter[str]:
    """Each measure over all kinds of layers."""
    found = Counter[str]()
    for key, value in counter.items():
        found[key.measure] += int(value)
    return found


def _own(model: nn.Module, counts: dict[str, Counter[Key]]) -> dict[str, Counter[str]]:
    """What every module does itself: its sums less its children's."""
    names = [name for name, _ in model.named_modules()]
    own = {name: _sums(counts[name]) for name in names}
    for name in names:
        if name:
            own[name.rpartition(".")[0]].subtract(_sums(counts[name]))
    return own


def _kinds(whole: Counter[Key]) -> Iterator[KindCost]:
    for key, layers in whole.items():
        if key.measure == "layers":
            macs, at_output = (int(whole[Key(measure, key.kind)]) for measure in ("macs", "at_output"))
            yield KindCost(key.kind, int(layers), macs, at_output)


# ---------------------------------------------------------------------------------------------------- handlers


def _shape(value: Any) -> Shape:
    found = get_shape(value)
    assert found is not None, "the trace has no shape for it"
    return tuple(found)


def _convolution(inputs: Values, outputs: Values) -> Layer:
    """`aten::_convolution`: image, weight, bias, stride, padding, dilation, transposed, output padding, groups, ..."""
    image, weight, written = _shape(inputs[0]), _shape(inputs[1]), _shape(outputs[0])
    return _of_image(image, weight, written, bool(inputs[6].toIValue()), int(inputs[8].toIValue()))


def _convolution_by_mode(inputs: Values, outputs: Values) -> Layer:
    """`aten::_convolution_mode`, whose padding is a word: image, weight, bias, stride, padding, dilation, groups."""
    image, weight, written = _shape(inputs[0]), _shape(inputs[1]), _shape(outputs[0])
    return _of_image(image, weight, written, False, int(inputs[6].toIValue()))


def _of_image(image: Shape, weight: Shape, written: Shape, transposed: bool, groups: int) -> Layer:
    """Images without a batch dimension are batches of one."""
    if len(image) < len(weight):
        image, written = (1, *image), (1, *written)
    return convolution_layer(image, weight, written, transposed, groups)


def _product(left: int, inputs: Values, outputs: Values) -> Layer:
    """Elements written x the dimension summed over, the last of the left factor, which is the input at `left`."""
    written = prod(_shape(outputs[0]))
    return product_layer(written * _shape(inputs[left])[-1], written)


def _added_up(inputs: Values, outputs: Values) -> Layer:
    """`aten::addbmm`: products of a batch of matrices, added to one."""
    left, written = _shape(inputs[1]), prod(_shape(outputs[0]))
    return product_layer(left[0] * written * left[2], written)


def _einsum(inputs: Values, outputs: Values) -> Layer:
    """`aten::einsum`: equation, tensors, and the order of contraction if there is one."""
    shapes = [_shape(v) for v in inputs[1].node().inputs()]
    path = inputs[2].toIValue() if len(inputs) > 2 else None
    return product_layer(*contraction(inputs[0].toIValue(), shapes, path))


def _attention(inputs: Values, outputs: Values) -> Layer:
    """`aten::scaled_dot_product_attention`: query, key, value, ..."""
    query, key, value = (_shape(v) for v in inputs[:3])
    return attention_layer(query, key, value)


def _recurrent(inputs: Values, outputs: Values) -> Layer:
    """`aten::lstm`, `gru`, `rnn_tanh`, `rnn_relu`: the input [..., F], then states and weights, packed or not."""
    lists = [v for v in inputs if v.node().kind() == "prim::ListConstruct" and str(v.type()) == "List[Tensor]"]
    weights = [s for s in (_shape(v) for v in lists[-1].node().inputs()) if len(s) == 2]
    return recurrent_layer(prod(_shape(inputs[0])[:-1]), weights)


LayerHandle = Callable[[Values, Values], Layer]


def _at_output(handle: LayerHandle, inputs: Values, outputs: Values) -> Layer:
    """The layer as the HRNet counter charges it."""
    layer = handle(inputs, outputs)
    return replace(layer, macs=layer.at_output)


LEFT_FIRST = ("linear", "matmul", "linalg_matmul", "mm", "bmm", "mv", "dot", "vdot", "inner")
LEFT_SECOND = ("addmm", "baddbmm", "addmv")  # after what they add to

TRUE: dict[str, LayerHandle] = {
    "aten::_convolution": _convolution,
    "aten::_convolution_mode": _convolution_by_mode,
    **{f"aten::{name}": partial(_product, 0) for name in LEFT_FIRST},
    **{f"aten::{name}": partial(_product, 1) for name in LEFT_SECOND},
    "aten::addbmm": _added_up,
    "aten::einsum": _einsum,
    "aten::scaled_dot_product_attention": _attention,
    **{f"aten::{name}": _recurrent for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
}
"""True multiply-adds of every operator that has any."""

HRNET_COUNTER: dict[str, LayerHandle] = {name: partial(_at_output, handle) for name, handle in TRUE.items()}
"""The same, with transposed convolutions charged once an output position, as `get_model_summary` of the HRNet code."""

FVCORE_DEFAULT: dict[str, Handle] = dict(_DEFAULT_SUPPORTED_OPS)
"""What fvcore counts without being told: with normalisation, resizing and pooling, without attention and recurrence."""
