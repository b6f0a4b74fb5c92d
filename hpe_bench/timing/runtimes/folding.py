"""Batch norm folded into the convolution before it, for any module: which norm follows which convolution is watched.

In eval mode a batch norm is a scale and a shift per channel, so conv followed by norm is one convolution with other
weights (Jacob et al., arXiv:1712.05877, section 3.2). torch.fx finds such pairs by tracing, which fails on code that
asks tensors for their sizes; here one image goes through the module instead.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Convolution = nn.Conv2d | nn.ConvTranspose2d


def folded(module: nn.Module, image_B3HW: Tensor) -> nn.Module:
    """A copy in eval mode, in which every foldable batch norm has become the identity.

    Foldable is a norm whose input is a convolution's output that nothing else reads, if both modules run once.
    """
    module = copy.deepcopy(module).eval()
    names = {id(m): name for name, m in module.named_modules()}
    for conv, norm in foldable_pairs(module, image_B3HW):
        transposed = isinstance(conv, nn.ConvTranspose2d)
        module.set_submodule(names[id(conv)], fuse_conv_bn_eval(conv, norm, transpose=transposed))
        module.set_submodule(names[id(norm)], nn.Identity())
    return module


def foldable_pairs(module: nn.Module, image_B3HW: Tensor) -> list[tuple[Convolution, nn.BatchNorm2d]]:
    """The pairs of a module in eval mode, found by running it once."""
    made_by: dict[int, Convolution] = {}  # by the identity of the output tensor
    pairs: list[tuple[Tensor, Convolution, nn.BatchNorm2d]] = []
    runs: Counter[nn.Module] = Counter()
    readers = _Readers()

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        runs[layer] += 1
        if isinstance(layer, nn.BatchNorm2d):
            if id(inputs[0]) in made_by:
                pairs.append((inputs[0], made_by[id(inputs[0])], layer))
        elif layer.groups == 1 or isinstance(layer, nn.Conv2d):  # torch cannot fold grouped transposed convolutions
            made_by[id(output)] = layer  # type: ignore[assignment]
            readers.kept.append(output)

    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.no_grad(), readers:
            module(image_B3HW)
    finally:
        for hook in hooks:
            hook.remove()
    once = [(conv, norm) for out, conv, norm in pairs if readers.count[id(out)] == 1]
    return [(conv, norm) for conv, norm in once if runs[conv] == runs[norm] == 1 and norm.track_running_stats]


class _Readers(TorchDispatchMode):
    """How many operators read each tensor. All outputs are kept alive, so that identities stay unique."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[int] = Counter()
        self.kept: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count.update(id(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        output = func(*args, **(kwargs or {}))
        self.kept.append(output)
        return output
