"""One training: a model, crops, a recipe, a seed. Resumable, and the same to the bit however often it is interrupted.

Everything random is derived from (seed, epoch) or (seed, step), never from a running state, so a checkpoint needs no
generator states: weights, optimiser and step are enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hpe_bench.data.augmentation import augment
from hpe_bench.data.crops import CropSet
from hpe_bench.declare import Batch, Curriculum, Optimiser, Recipe
from hpe_bench.records.schema import CurvePoint
from hpe_bench.training import checkpoints
from hpe_bench.training.stages import Span, spans, trained_parameters, training_mode

PROBES = 16  # points on a training curve
CHECKPOINT_SECONDS = 10.0

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


def seeded(*key: int) -> np.random.Generator:
    """A generator that depends on the key alone."""
    return np.random.default_rng(np.random.SeedSequence(list(key)))


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, size: int) -> np.ndarray:
    return seeded(seed, 1, epoch).permutation(size)


def batch_rows(seed: int, step: int, batch: int, size: int) -> np.ndarray:
    """Rows of a batch: the epochs' permutations laid end to end, cut into batches. [batch] int64."""
    positions = np.arange(step * batch, (step + 1) * batch)
    return np.array([_epoch_order(seed, p // size, size)[p % size] for p in positions.tolist()])


@lru_cache(maxsize=4)
def withheld_rows(seed: int, withheld: float, size: int) -> np.ndarray:
    """[size] bool: whose labels a recipe does not show. Any two recipes that withhold as much withhold the same."""
    hidden = np.zeros(size, dtype=bool)
    hidden[seeded(seed, 3).permutation(size)[: round(withheld * size)]] = True
    return hidden


def build_optimiser(spec: Optimiser, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The torch optimiser a recipe names."""
    match spec.kind:
        case "adam":
            return torch.optim.Adam(parameters, lr=spec.lr, weight_decay=spec.weight_decay)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=spec.lr, weight_decay=spec.weight_decay)
        case "rmsprop":
            return torch.optim.RMSprop(
                parameters, lr=spec.lr, weight_decay=spec.weight_decay, momentum=spec.momentum, alpha=0.99
            )
        case "sgd":
            return torch.optim.SGD(parameters, lr=spec.lr, weight_decay=spec.weight_decay, momentum=spec.momentum)


def steps_of(recipe: Recipe) -> int:
    """Number of optimiser steps in the recipe's budget (whole batches)."""
    return recipe.samples // recipe.batch


def make_batch(crops: CropSet, recipe: Recipe, mirrored: tuple[int, ...], seed: int, step: int, device: str) -> Batch:
    """The augmented batch of one step; depends on (crops, recipe, seed, step) alone."""
    withheld = recipe.withheld if isinstance(recipe, Curriculum) else 0.0
    hidden = withheld_rows(seed, withheld, len(crops.joints))
    teacherless = not (isinstance(recipe, Curriculum) and recipe.teacher)
    persons = np.flatnonzero(~hidden) if teacherless else np.arange(len(hidden))
    rows = np.sort(persons[batch_rows(seed, step, recipe.batch, len(persons))])  # sorted: sequential reads of the file
    shown = ~hidden[rows, None]
    generator = torch.Generator(device).manual_seed(int(seeded(seed, 2, step).integers(2**62)))
    return augment(
        torch.from_numpy(np.ascontiguousarray(crops.pixels[rows])).to(device),
        torch.from_numpy(crops.joints[rows]).to(device),
        torch.from_numpy(crops.labelled[rows] & shown).to(device),
        torch.from_numpy(crops.visible[rows] & shown).to(device),
        mirrored=mirrored,
        augmentation=recipe.augmentation,
        input_hw=crops.input_hw,
        generator=generator,
    )


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
) -> TrainState:
    """Train `model` in place from its last checkpoint in `folder` (or from the start) to the end of the budget.

    `teacher` speaks to losses that need one. `probe` scores the model on a few held-out persons, `PROBES` times over
    the training; its values are only plotted, never used to select weights (F14, F24). Raises `DivergedError` when the
    loss stops being finite.
    """
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state, optimiser_state = checkpoints.restore(folder, model) or (TrainState(), None)
    total = steps_of(recipe)
    probe_steps = {round(total * (k + 1) / PROBES) for k in range(PROBES)}
    started = saved = time.monotonic()
    before = state.seconds
    for span in spans(recipe, total):
        if state.step >= span.end:
            continue
        optimiser = build_optimiser(recipe.optimiser, trained_parameters(model, span.stage))
        if optimiser_state is not None and state.step > span.first:
            optimiser.load_state_dict(optimiser_state)
        for step in range(state.step, span.end):
            batch = make_batch(crops, recipe, mirrored, seed, step, device)
            if span.stage.loss.needs_teacher:
                assert teacher is not None, "the loss needs a teacher"
                batch = replace(batch, teacher_BJHW=teacher(batch.images_B3HW))
            state.loss_sum = state.loss_sum + _step(model, optimiser, recipe, batch, span, step)
            state.step, state.loss_steps = step + 1, state.loss_steps + 1
            state.seconds = before + time.monotonic() - started
            measured = None
            if state.step in probe_steps:
                measured = _add_point(state, recipe, probe(model))
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                checkpoints.store(folder, model, optimiser, state)
                saved = time.monotonic()
            report(state.step * recipe.batch, measured)
    return state


def _step(
    model: nn.Module, optimiser: torch.optim.Optimizer, recipe: Recipe, batch: Batch, span: Span, step: int
) -> Tensor:
    """One optimiser step; returns the detached loss."""
    training_mode(model, span.stage)
    for group in optimiser.param_groups:
        group["lr"] = recipe.optimiser.lr * span.stage.lr_factor * recipe.schedule.factor(span.progress(step))
    outputs = model(batch.images_B3HW)
    loss = span.stage.loss(outputs, batch, recipe.codec)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


def _add_point(state: TrainState, recipe: Recipe, probed: float) -> float:
    """Close a stretch of training with a point on the curve; returns the probe's value."""
    mean_loss = float(state.loss_sum) / state.loss_steps
    seen = state.step * recipe.batch
    if not np.isfinite(mean_loss):
        raise DivergedError(f"the training loss is {mean_loss} after {seen} samples")
    state.curve.append(CurvePoint(samples=seen, train_loss=mean_loss, probe=probed, seconds=state.seconds))
    state.loss_sum, state.loss_steps = torch.zeros_like(state.loss_sum), 0
    return probed
