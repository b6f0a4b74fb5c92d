"""One training: a model, crops, a recipe, a seed. Resumable, and the same to the bit however often it is interrupted.

Everything random is derived from (seed, epoch) or (seed, step), never from a running state, so a checkpoint needs no
generator states: weights, optimiser and step are enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hpe_bench.data.augmentation import augment
from hpe_bench.data.crops import CropSet
from hpe_bench.declare import Batch, Optimiser, Recipe
from hpe_bench.records import CurvePoint
from hpe_bench.training import checkpoints

PROBES = 16  # points on a training curve
CHECKPOINT_SECONDS = 10.0

Report = Callable[[int, float | None], None]
"""Called with samples seen, and the probe accuracy when one was just measured."""


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
    rows = np.sort(batch_rows(seed, step, recipe.batch, len(crops.joints)))  # sorted: sequential reads of the crop file
    generator = torch.Generator(device).manual_seed(int(seeded(seed, 2, step).integers(2**62)))
    return augment(
        torch.from_numpy(np.ascontiguousarray(crops.pixels[rows])).to(device),
        torch.from_numpy(crops.joints[rows]).to(device),
        torch.from_numpy(crops.labelled[rows]).to(device),
        torch.from_numpy(crops.visible[rows]).to(device),
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
    device: str = "cpu",
) -> TrainState:
    """Train `model` in place from its last checkpoint in `folder` (or from the start) to the end of the budget.

    `probe` scores the model on a few held-out persons, `PROBES` times over the training; its values are only plotted,
    never used to select weights (F14, F24). Raises `DivergedError` when the loss stops being finite.
    """
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = build_optimiser(recipe.optimiser, list(model.parameters()))
    state = checkpoints.restore(folder, model, optimiser) or TrainState()
    total = steps_of(recipe)
    probe_steps = {round(total * (k + 1) / PROBES) for k in range(PROBES)}
    started = saved = time.monotonic()
    before = state.seconds
    for step in range(state.step, total):
        batch = make_batch(crops, recipe, mirrored, seed, step, device)
        state.loss_sum = state.loss_sum + _step(model, optimiser, recipe, batch, step / total)
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


def _step(model: nn.Module, optimiser: torch.optim.Optimizer, recipe: Recipe, batch: Batch, progress: float) -> Tensor:
    """One optimiser step; returns the detached loss."""
    model.train()
    for group in optimiser.param_groups:
        group["lr"] = recipe.optimiser.lr * recipe.schedule.factor(progress)
    outputs = model(batch.images_B3HW)
    loss = recipe.loss(outputs, batch, recipe.codec)
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
