"""The most memory that activations take at a time, counted exactly: by the storages that are alive as operators run.

Counted are the input and all that operators write, for as long as Python holds it; several tensors on one storage
count once, work in place adds nothing. Weights and buffers, and what an operator needs inside itself, are not counted.
Works on the meta device, where nothing is computed.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def activations_peak(module: nn.Module, images_B3HW: Tensor) -> int:
    """Bytes alive at the worst moment of one eager forward pass in inference; the module should be in eval mode."""
    with torch.no_grad(), _Alive(module, images_B3HW) as alive:
        module(images_B3HW)
    return alive.peak_bytes


class _Alive(TorchDispatchMode):
    """Bytes of the storages alive, and their maximum."""

    def __init__(self, module: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.known = {t.untyped_storage()._cdata for t in (*module.parameters(), *module.buffers())}
        self.now_bytes = self.peak_bytes = 0
        self._see(images)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                self._see(leaf)
        return output

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self.known:
            return
        self.known.add(key)
        self.now_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.now_bytes)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now_bytes -= size
