"""One training step's forward and backward pass: plain, under autocast, compiled, or replayed as a CUDA graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hpe_bench.declare import Batch, Codec, Loss
from hpe_bench.training.execution import Execution
from hpe_bench.training.feeding import ReadyTargets, tensors_of

GRAPH_WARM_UP = 3  # steps taken before a capture, as PyTorch's notes on CUDA graphs ask for

Gradients = Callable[[Batch, Codec], Tensor]
"""Leaves the gradients of a batch in the parameters and returns the detached loss."""


class Eager:
    """The network called as it is, or compiled."""

    def __init__(self, model: nn.Module, loss: Loss, execution: Execution, device: str) -> None:
        self.model, self.loss, self.execution = model, loss, execution
        self.device_type = device.partition(":")[0]
        self.call: Callable[[Tensor], list[Tensor]] = torch.compile(model) if execution.compiled else model

    def __call__(self, batch: Batch, codec: Codec) -> Tensor:
        loss = self.forward(batch, codec)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        return loss.detach()

    def forward(self, batch: Batch, codec: Codec) -> Tensor:
        """The loss of a batch, differentiable; the network's outputs come back as float32."""
        if self.execution.precision == "fp32":
            return self.loss(self.call(batch.images_B3HW), batch, codec)
        # Without the cache of casts: a graph must hold every cast, and a weight is cast once a step anyway.
        with torch.autocast(self.device_type, torch.bfloat16, cache_enabled=False):
            outputs = self.call(batch.images_B3HW)
        return self.loss([raw.float() for raw in outputs], batch, codec)


class Graphed:
    """Forward and backward pass as one CUDA graph, replayed on every batch: no time is lost between kernels.

    The first steps run eagerly and warm up what the capture must find ready. Every batch must have the same shapes,
    and the loss must ask for targets at the same sizes (a capture cannot copy from the host).
    """

    def __init__(self, eager: Eager) -> None:
        self.eager = eager
        self.taken = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []
        self.loss: Tensor

    def __call__(self, batch: Batch, codec: Codec) -> Tensor:
        if not isinstance(codec, ReadyTargets):
            raise ValueError("only a feed that lives on the GPU can be replayed as a graph; train without graphs")
        if self.taken < GRAPH_WARM_UP:
            self.taken += 1
            return self.eager(batch, codec)
        if self.graph is None:
            self._capture(batch, codec)
        assert self.graph is not None
        for mine, theirs in zip(self.inputs, _inputs(batch, codec), strict=True):
            mine.copy_(theirs)
        self.graph.replay()
        return self.loss.detach()

    def _capture(self, batch: Batch, codec: ReadyTargets) -> None:
        """Record the step on copies of a batch; recording computes nothing and changes no statistics."""
        tensors = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
        mine = dataclasses.replace(batch, **{name: t.clone() for name, t in tensors.items() if t is not None})
        own = ReadyTargets(codec.codec, mine, dict(codec.sizes))
        self.inputs = _inputs(mine, own)
        self.eager.model.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # what the warm-up used: a graph has memory of its own
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self.eager.forward(mine, own)
            loss.backward()
            self.loss = loss.detach()
        self.graph = graph


def _inputs(batch: Batch, codec: ReadyTargets) -> list[Tensor]:
    return [*tensors_of(batch), *codec.tensors()]


def gradients(model: nn.Module, loss: Loss, execution: Execution, device: str) -> Gradients:
    """The step of an execution; ValueError for graphs on a device that has none."""
    eager = Eager(model, loss, execution, device)
    if not execution.graphed:
        return eager
    if not device.startswith("cuda"):
        raise ValueError(f"CUDA graphs need a CUDA device, not {device!r}; train without graphs")
    return Graphed(eager)
