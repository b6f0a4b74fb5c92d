"""One training step's forward and backward pass: plain, under autocast, compiled, or replayed as a CUDA graph; over a
batch in one piece or in micro-batches, in one process or several.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hpe_bench.declare import Batch, Codec, Loss
from hpe_bench.training.execution import Execution
from hpe_bench.training.feeding import ReadyTargets, tensors_of
from hpe_bench.training.world import SOLO, World

GRAPH_WARM_UP = 3  # steps taken before a capture, as PyTorch's notes on CUDA graphs ask for

Gradients = Callable[[Batch, Codec], Tensor]
"""Leaves the gradients of a batch in the parameters and returns the detached loss."""


class EagerStep:
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

    def __init__(self, eager: EagerStep) -> None:
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
    eager = EagerStep(model, loss, execution, device)
    if not execution.graphed:
        return eager
    if not device.startswith("cuda"):
        raise ValueError(f"CUDA graphs need a CUDA device, not {device!r}; train without graphs")
    return Graphed(eager)


class Accumulated:
    """A batch in micro-batches, some of them this process's: batch norm sees each by itself, the gradient is the mean.

    Micro-batch 0 alone moves the running statistics, as the first GPU does under the authors' DataParallel. Gradients
    are summed up here and averaged over processes once a batch (DistributedDataParallel); under `Execution.exact` all
    micro-batches' gradients come to every process instead and are added in their order, so that the sum does not depend
    on how many processes there are.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, execution: Execution, device: str, parts: int, world: World
    ) -> None:
        self.model, self.parts, self.world = model, parts, world
        self.own = world.parts(parts)
        self.exact = execution.exact
        self.eager = EagerStep(model, loss, execution, device)
        self.norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.ddp: DistributedDataParallel | None = None
        if world.size > 1 and not self.exact:
            with warnings.catch_warnings():  # newer torch has another word for it, which older torch does not know
                warnings.simplefilter("ignore", FutureWarning)
                self.ddp = DistributedDataParallel(model, broadcast_buffers=False)
            self.eager.call = torch.compile(self.ddp) if execution.compiled else self.ddp
        self.weight = 1 / len(self.own) if self.ddp is not None else 1 / parts  # DDP divides by the processes itself

    def __call__(self, pairs: Iterable[tuple[Batch, Codec]]) -> Tensor:
        self.model.zero_grad(set_to_none=True)
        losses, slopes = dict[int, Tensor](), []
        for index, (batch, codec) in zip(self.own, pairs, strict=True):
            with self._statistics(moving=index == 0), self._spoken(index == self.own[-1]):
                loss = self.eager.forward(batch, codec)
                (loss * self.weight).backward()
            losses[index] = loss.detach()
            if self.exact:
                slopes.append(self._flat())
        if self.exact:
            self._set(self.world.gathered(torch.stack(slopes)))
        nothing = torch.zeros_like(loss)
        return torch.stack([losses.get(index, nothing) for index in range(self.parts)])

    @contextmanager
    def _statistics(self, moving: bool) -> Iterator[None]:
        """Batch norm without its running statistics: it normalises by the micro-batch all the same."""
        trained = [norm for norm in self.norms if norm.training]
        for norm in trained:
            norm.track_running_stats = moving
        try:
            yield
        finally:
            for norm in trained:
                norm.track_running_stats = True

    def _spoken(self, last: bool) -> AbstractContextManager[None]:
        """Whether the other processes hear of the gradient: of the sum, once all micro-batches are in it."""
        return self.ddp.no_sync() if self.ddp is not None and not last else nullcontext()

    def _flat(self) -> Tensor:
        """The gradients of one micro-batch, [P], taken out of the parameters."""
        found = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in self.parameters]
        self.model.zero_grad(set_to_none=True)
        return torch.cat(found)

    def _set(self, slopes_MP: Tensor) -> None:
        """The sum of all micro-batches' gradients, in their order, into the parameters."""
        total_P = slopes_MP[0]
        for slope_P in slopes_MP[1:]:
            total_P = total_P + slope_P
        pieces = total_P.split([p.numel() for p in self.parameters])
        for parameter, piece in zip(self.parameters, pieces, strict=True):
            parameter.grad = piece.view(parameter.shape)


BatchGradients = Callable[[Iterable[tuple[Batch, Codec]]], Tensor]
"""Leaves a batch's gradients in the parameters; the losses of its micro-batches [M], 0 for those of other processes."""


def batch_gradients(
    model: nn.Module, loss: Loss, execution: Execution, device: str, parts: int = 1, world: World = SOLO
) -> BatchGradients:
    """The step over a batch in `parts` micro-batches; ValueError for graphs over more than one."""
    if parts > 1:
        if execution.graphed:
            raise ValueError(f"graphs are for batches in one piece, and this one has {parts}; train without --graphs")
        return Accumulated(model, loss, execution, device, parts, world)
    step = gradients(model, loss, execution, device)

    def whole(pairs: Iterable[tuple[Batch, Codec]]) -> Tensor:
        ((batch, codec),) = pairs
        return step(batch, codec)[None]

    return whole
