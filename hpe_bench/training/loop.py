"""One training: a model, crops, a recipe, a seed. Resumable, and the same to the bit however often it is interrupted.

Everything random is derived from (seed, epoch) or (seed, step), never from a running state, so a checkpoint needs no
generator states: weights, optimiser and step are enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpe_bench.data.crops import CropSet
from hpe_bench.declare import Batch, Codec, Optimiser, Recipe
from hpe_bench.records.schema import CurvePoint
from hpe_bench.training import checkpoints
from hpe_bench.training.execution import PLAIN, Execution
from hpe_bench.training.feeding import feed_class
from hpe_bench.training.journal import Journal
from hpe_bench.training.stages import spans, trained_parameters, training_mode
from hpe_bench.training.steps import batch_gradients
from hpe_bench.training.world import SOLO, World, share_statistics

PROBES = 16  # points on a training curve
CHECKPOINT_SECONDS = 10.0
CHECKPOINT_SHARE = 0.02  # of the time, at most
FINITE_STEPS = 100  # steps between looks at the loss, each of which waits for the device

Report = Callable[[int, float | None], None]
"""Called with samples seen, and the probe accuracy when one was just measured."""


Teacher = Callable[[Tensor], Tensor]
"""From images [B,3,H,W] to activated final heatmaps [B,J,h,w]."""


class DivergedError(RuntimeError):
    """The loss is no longer finite."""


@dataclass
class TrainState:
    """What a checkpoint holds."""

    step: int = 0
    seconds: float = 0.0
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))  # since the last curve point
    loss_steps: int = 0
    curve: list[CurvePoint] = field(default_factory=list)


def build_optimiser(spec: Optimiser, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The torch optimiser a recipe names; on a GPU Adam's step is one fused kernel, with its counters there as well."""
    fused = True if all(p.is_cuda for p in parameters) else None
    match spec.kind:
        case "adam":
            return torch.optim.Adam(parameters, lr=spec.lr, weight_decay=spec.weight_decay, fused=fused)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=spec.lr, weight_decay=spec.weight_decay, fused=fused)
        case "rmsprop":
            return torch.optim.RMSprop(
                parameters, lr=spec.lr, weight_decay=spec.weight_decay, momentum=spec.momentum, alpha=0.99
            )
        case "sgd":
            return torch.optim.SGD(parameters, lr=spec.lr, weight_decay=spec.weight_decay, momentum=spec.momentum)


def steps_of(recipe: Recipe) -> int:
    """Number of optimiser steps in the recipe's budget (whole batches)."""
    return recipe.samples // recipe.batch


def train(
    model: nn.Module,
    crops: CropSet,
    recipe: Recipe,
    *,
    mirrored: tuple[int, ...],
    seed: int,
    folder: Path,
    probe: Callable[[nn.Module], float],
    report: Report,
    teacher: Teacher | None = None,
    device: str = "cpu",
    execution: Execution = PLAIN,
    say: checkpoints.Say = lambda _: None,
    world: World = SOLO,
    upper: tuple[int, ...] = (),
) -> TrainState:
    """Train `model` in place from its last checkpoint in `folder` (or from the start) to the end of the budget.

    `teacher` speaks to losses that need one. `probe` scores the model on a few held-out persons, `PROBES` times over
    the training; its values are only plotted, never used to select weights (F14, F24). `say` is told what a person
    should know. `upper` are the joints of the upper body, for recipes that crop half bodies. Several processes
    (`world`) share every batch; rank 0 keeps checkpoints, probes and writes the journal. Raises `DivergedError` when
    the loss stops being finite.
    """
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = execution.micro_batches or recipe.micro_batches
    own = world.parts(parts)
    state, optimiser_state = _restored(folder, model, say, world) or (TrainState(), None)
    total = steps_of(recipe)
    probe_steps = {round(total * (k + 1) / PROBES) for k in range(PROBES)}
    batches = feed_class(device)(crops, recipe, mirrored, seed, device, parts, own, upper)
    journal = None
    if world.leads:
        journal = Journal(folder, total * recipe.batch, state.step * recipe.batch, execution.tensorboard)
    keeper = Keeper(folder)
    started, before = time.monotonic(), state.seconds
    state.loss_sum = _own_entries(state.loss_sum, own)
    for span in spans(recipe, total):
        if state.step >= span.end:
            continue
        share_statistics(model, world)
        optimiser = build_optimiser(recipe.optimiser, trained_parameters(model, span.stage))
        if optimiser_state is not None and state.step > span.first:
            optimiser.load_state_dict(optimiser_state)
        gradients = batch_gradients(model, span.stage.loss, execution, device, parts, world)
        for step in range(state.step, span.end):
            training_mode(model, span.stage)
            for group in optimiser.param_groups:
                group["lr"] = recipe.optimiser.lr * span.stage.lr_factor * recipe.schedule.factor(span.progress(step))
            pairs = _taught(batches.at(step), teacher) if span.stage.loss.needs_teacher else batches.at(step)
            state.loss_sum = state.loss_sum + gradients(pairs)
            optimiser.step()
            state.step, state.loss_steps = step + 1, state.loss_steps + 1
            if state.step < total:
                batches.prepare(state.step)
            state.seconds = before + time.monotonic() - started
            measured, at_point = None, state.step in probe_steps
            if at_point or state.step % FINITE_STEPS == 0:
                whole = world.total(state.loss_sum)
                mean_loss = _finite_loss(whole, state, recipe)
                if at_point:
                    measured = probe(model) if world.leads else 0.0
                    _add_point(state, recipe, mean_loss, measured)
                    whole = state.loss_sum
                if journal is not None:
                    journal.write(state.step * recipe.batch, mean_loss, measured)
                if world.leads and world.size > 1:
                    keeper.keep(model, optimiser, replace(state, loss_sum=whole))
            if world.size == 1:
                keeper.keep(model, optimiser, state)
            report(state.step * recipe.batch, measured)
    share_statistics(model, world)
    if journal is not None:
        journal.close()
    return state


def _restored(
    folder: Path, model: nn.Module, say: checkpoints.Say, world: World
) -> tuple[TrainState, dict[str, Any]] | None:
    """The newest sound checkpoint, the same in every process: rank 0 sets damaged ones aside before others look."""
    if world.leads:
        found = checkpoints.restore(folder, model, say)
        world.wait()
        return found
    world.wait()
    return checkpoints.restore(folder, model)


def _own_entries(loss_sum: Tensor, own: range) -> Tensor:
    """The sums of losses that this process goes on with; a checkpoint holds those of all micro-batches."""
    if loss_sum.ndim == 0 or len(own) == len(loss_sum):
        return loss_sum
    kept = torch.zeros_like(loss_sum)
    kept[own.start : own.stop] = loss_sum[own.start : own.stop]
    return kept


def _taught(pairs: Iterable[tuple[Batch, Codec]], teacher: Teacher | None) -> Iterator[tuple[Batch, Codec]]:
    """Micro-batches with what the teacher says about them."""
    assert teacher is not None, "the loss needs a teacher"
    for batch, codec in pairs:
        yield replace(batch, teacher_BJHW=teacher(batch.images_B3HW)), codec


class Keeper:
    """Stores checkpoints every `CHECKPOINT_SECONDS` or less often, so that they cost less than `CHECKPOINT_SHARE`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.saved, self.cost = folder, time.monotonic(), 0.0

    def keep(self, model: nn.Module, optimiser: torch.optim.Optimizer, state: TrainState) -> None:
        """Store a checkpoint if it is time."""
        began = time.monotonic()
        if began - self.saved > max(CHECKPOINT_SECONDS, self.cost / CHECKPOINT_SHARE):
            checkpoints.store(self.folder, model, optimiser, state)
            self.saved = time.monotonic()
            self.cost = self.saved - began


def _finite_loss(loss_sum: Tensor, state: TrainState, recipe: Recipe) -> float:
    """Mean loss since the last point of the curve; DivergedError if one of them was not finite."""
    mean_loss = float(loss_sum.mean()) / state.loss_steps
    if not np.isfinite(mean_loss):
        raise DivergedError(f"the training loss is {mean_loss} after {state.step * recipe.batch} samples")
    return mean_loss


def _add_point(state: TrainState, recipe: Recipe, mean_loss: float, probed: float) -> None:
    """Close a stretch of training with a point on the curve."""
    seen = state.step * recipe.batch
    state.curve.append(CurvePoint(samples=seen, train_loss=mean_loss, probe=probed, seconds=state.seconds))
    state.loss_sum, state.loss_steps = torch.zeros_like(state.loss_sum), 0
