"""The outline of a network: its blocks, their resolutions, and how data flows between them, read from one forward pass.

A block is the largest module that works at one resolution (or goes from its input's resolution to one other). Modules
that span several, such as an hourglass, are opened until the outline is fine enough to show them and coarse enough to
read: at most `MOST` blocks. Where there would be more, single convolutions are left to the lines between blocks, least
multiply-adds first, and a module that repeats an opened sibling stays closed. Additions, concatenations, resampling and
whatever else costs nothing is never a block: data flows through it.

Everything follows from the code of the network; nothing is trained, timed or read from a record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hpe_bench.cost.dispatched import COUNTED, Watching, count_dispatched, on_meta
from hpe_bench.cost.kept import KeptCounts
from hpe_bench.cost.model_cost import Cost
from hpe_bench.declare import Variant

MOST = 40  # blocks of an outline
IMAGE = -1  # in the place of a block: the network's input

Size = tuple[int, int]  # rows, columns


@dataclass(frozen=True)
class OutlineBlock:
    """A module of the outline. `channels` and `hw` are those of what it gives, `spans` all the sizes it works at.

    `inputs` are positions of blocks (or `IMAGE`) that feed it; `convolutions` counts what costs multiply-adds in it.
    """

    name: str
    kind: str
    channels: int
    hw: Size
    spans: tuple[Size, ...]
    params: int
    macs: int
    convolutions: int
    inputs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Maps:
    """One of the network's outputs: a stack of heatmaps, and the blocks it comes from."""

    joints: int
    hw: Size
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class OutlineStage:
    """A child of the network itself: what it gives last, and what everything in it costs."""

    name: str
    kind: str
    channels: int
    hw: Size
    params: int
    macs: int
    macs_hrnet_counter: int
    activations: int


@dataclass(frozen=True)
class Outline:
    """A network's blocks in the order they run, its outputs, its stages and its whole cost."""

    input_hw: Size
    blocks: tuple[OutlineBlock, ...]
    outputs: tuple[Maps, ...]
    stages: tuple[OutlineStage, ...]
    cost: Cost

    @property
    def left_out(self) -> int:
        """Multiply-adds of what is drawn as lines only."""
        return self.cost.macs - sum(b.macs for b in self.blocks)


def outline(variant: Variant) -> Outline:
    """The outline of a variant, built on the meta device (no memory, no arithmetic) and kept until its code changes."""

    def drawn() -> Outline:
        with on_meta():
            return outline_of(variant.builder(joints=variant.joints), variant.input_hw)

    return OUTLINES.of(variant.builder, variant.joints, variant.input_hw, drawn)


def outline_of(model: nn.Module, input_hw: Size, most: int = MOST) -> Outline:
    """The outline of a network at an input size; its blocks are at most `most`, as far as closed modules allow."""
    model.eval()
    cost = count_dispatched(model, input_hw)
    trace = _traced(model, input_hw)
    modules = _Modules(model, trace, cost)
    kept = _chosen(modules, most)
    blocks, outputs = _connected([modules.block(name) for name in kept], trace)
    return Outline(input_hw, tuple(blocks), tuple(outputs), tuple(modules.stages()), cost)


# ---------------------------------------------------------------------------------------------------- one forward pass


class _Op(NamedTuple):
    """One dispatched operator: the innermost module it ran in, tensors by identity, what came in and went out."""

    module: str
    counted: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    hw_in: Size | None
    hw: Size | None
    channels: int


class _Trace(NamedTuple):
    """All operators in order, how many tensors each called module gave, the image's identity, and identity, channels
    and size of the network's outputs.
    """

    ops: list[_Op]
    given: dict[str, int]
    image: int
    outputs: list[tuple[int, int, Size]]


class _Watch(Watching):
    """Writes down every operator. Tensors are kept, so that no identity is given out twice."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[_Op] = []
        self.running = [""]
        self.given: dict[str, int] = {}
        self.kept: list[Tensor] = []

    def enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self.running.append(name)

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.given[self.running.pop()] = len(list(_tensors(output)))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        came, went = list(_tensors((args, kwargs))), list(_tensors(given))
        self.kept += [*came, *went]
        name = func.overloadpacket.__name__
        first, last = (next((t for t in some if t.dim() == 4), None) for some in (came, went))
        self.ops.append(
            _Op(
                module=self.running[-1],
                counted=name in COUNTED,
                inputs=tuple(map(id, came)),
                outputs=tuple(map(id, went)),
                hw_in=None if first is None else _hw(first),
                hw=None if last is None else _hw(last),
                channels=0 if last is None else int(last.shape[1]),
            )
        )
        return given


def _traced(model: nn.Module, input_hw: Size) -> _Trace:
    watch, hooks = _Watch(), []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(partial(watch.enter, name)))
        hooks.append(module.register_forward_hook(watch.leave))
    image = torch.zeros(1, 3, *input_hw, device=next(model.parameters()).device)
    try:
        with torch.no_grad(), watch:
            given = model(image)
    finally:
        for hook in hooks:
            hook.remove()
    watch.kept += given
    return _Trace(watch.ops, watch.given, id(image), [(id(t), int(t.shape[1]), _hw(t)) for t in given])


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from _tensors(v)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _hw(tensor: Tensor) -> Size:
    return int(tensor.shape[-2]), int(tensor.shape[-1])


# ---------------------------------------------------------------------------------------------------- choosing blocks


class _Modules:
    """What the trace and the count say about every module that did counted work."""

    def __init__(self, model: nn.Module, trace: _Trace, cost: Cost) -> None:
        self.model, self.ops, self.given = model, trace.ops, trace.given
        self.own = {m.name: m for m in cost.modules}
        self.under: dict[str, list[int]] = {}  # positions of the operators inside a module, in order
        for k, op in enumerate(self.ops):
            for name in _lineage(op.module):
                self.under.setdefault(name, []).append(k)
        self.working = {name for op in self.ops if op.counted for name in _lineage(op.module)}

    def children(self, name: str) -> list[str]:
        """Children that did counted work, in the order they ran."""
        prefix = f"{name}." if name else ""
        found = [f"{prefix}{child}" for child, _ in self.model.get_submodule(name).named_children()]
        return sorted((c for c in found if c in self.working), key=lambda c: self.under[c][0])

    def sizes(self, name: str) -> list[Size]:
        """The sizes that counted operators of a module write, in order."""
        found = [self.ops[k].hw for k in self.under[name] if self.ops[k].counted]
        return [size for size in found if size is not None]

    def is_closed(self, name: str) -> bool:
        """Whether a module is one box: a layer, or called once as a whole and at one size, or from one to another."""
        if not self.children(name):
            return True
        sizes = self.sizes(name)
        came, went = self.ops[self.under[name][0]].hw_in, sizes[-1] if sizes else None
        moved = came != went and set(sizes) <= {came, went} and self.given.get(name) == 1
        return name in self.given and (len(set(sizes)) <= 1 or moved)

    def signature(self, name: str) -> tuple[object, ...]:
        """Equal for modules of one structure."""
        module = self.model.get_submodule(name)
        return (type(module).__name__, *((n, tuple(p.shape)) for n, p in module.named_parameters()))

    def opened(self, name: str, fold: bool) -> Iterator[str]:
        """A module, or its children opened as far as needed; `fold` keeps repeats of an opened sibling closed."""
        if self.is_closed(name):
            yield name
            return
        seen = set()
        for child in self.children(name):
            known = self.signature(child)
            if fold and known in seen and not self.is_closed(child):
                yield child
            else:
                yield from self.opened(child, fold)
            seen.add(known)

    def block(self, name: str) -> OutlineBlock:
        """What stands in a box, without its connections."""
        ops = [self.ops[k] for k in self.under[name]]
        closed = self.is_closed(name)
        last = next((op for op in reversed(ops) if op.hw is not None and (op.counted or not closed)), None)
        assert last is not None, f"{name} works on no maps"
        assert last.hw is not None
        module = self.model.get_submodule(name)
        return OutlineBlock(
            name=name,
            kind=type(module).__name__,
            channels=last.channels,
            hw=last.hw,
            spans=(last.hw,) if closed else tuple(sorted(set(self.sizes(name)), reverse=True)),
            params=sum(p.numel() for p in module.parameters()),
            macs=self._sum(name, "macs"),
            convolutions=sum(op.counted for op in ops),
        )

    def stages(self) -> Iterator[OutlineStage]:
        """The network's own children in the order they run; one that holds everything is opened."""
        top = ""
        while len(self.children(top)) == 1:
            top = self.children(top)[0]
        for name in self.children(top):
            last = next(op for op in (self.ops[k] for k in reversed(self.under[name])) if op.hw is not None)
            assert last.hw is not None
            module = self.model.get_submodule(name)
            params = sum(p.numel() for p in module.parameters())
            sums = (self._sum(name, what) for what in ("macs", "macs_hrnet_counter", "activations"))
            yield OutlineStage(name, type(module).__name__, last.channels, last.hw, params, *sums)

    def _sum(self, name: str, what: str) -> int:
        return sum(getattr(m, what) for n, m in self.own.items() if n == name or n.startswith(f"{name}."))


def _lineage(name: str) -> Iterator[str]:
    """A module's own name and those of the modules around it, the network's own (empty) first."""
    parts = name.split(".") if name else []
    return (".".join(parts[:k]) for k in range(len(parts) + 1))


def _chosen(modules: _Modules, most: int) -> list[str]:
    """Names of the blocks: everything opened, if that leaves room once single convolutions are lines; else folded."""
    for fold in (False, True):
        blocks = [modules.block(name) for name in modules.opened("", fold)]
        if fold or sum(b.convolutions > 1 for b in blocks) <= most:
            break
    while len(blocks) > most:
        small = [b for b in blocks[1:] if b.convolutions == 1] or blocks[1:]  # what sees the image stays
        least = min(b.macs for b in small)
        blocks = [b for b in blocks if b not in small or b.macs > least]
    return sorted((b.name for b in blocks), key=lambda name: modules.under[name][0])


# ---------------------------------------------------------------------------------------------------- connecting them


def _connected(blocks: Sequence[OutlineBlock], trace: _Trace) -> tuple[list[OutlineBlock], list[Maps]]:
    """The blocks with what feeds them: tensors carry the blocks they come from through everything in between."""
    position = {b.name: k for k, b in enumerate(blocks)}
    sources: dict[int, frozenset[int]] = {trace.image: frozenset({IMAGE})}
    feeds: list[Counter[int]] = [Counter() for _ in blocks]
    for op in trace.ops:
        came = frozenset[int]().union(*(sources.get(t, frozenset()) for t in op.inputs))
        own = next((position[name] for name in _lineage(op.module) if name in position), None)
        if own is not None:
            feeds[own].update(came - {own})
            came = frozenset({own})
        sources.update(dict.fromkeys(op.outputs, came))
    found = [replace(b, inputs=_sorted(feed)) for b, feed in zip(blocks, feeds, strict=True)]
    outputs = [Maps(joints, hw, _sorted(sources.get(t, ()))) for t, joints, hw in trace.outputs]
    return found, outputs


def _sorted(positions: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(positions))


OUTLINES = KeptCounts("outlines", Outline, (outline_of, count_dispatched, Cost))
