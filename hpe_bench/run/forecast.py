"""What a full-size training will take: hours from a few measured steps, disk from the sizes of what it keeps."""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from hpe_bench.data import crop_store
from hpe_bench.data.crops import CropSet, crop_hw
from hpe_bench.data.half_body import upper_body
from hpe_bench.plan import TrainingRun
from hpe_bench.run import training
from hpe_bench.training import engine, loop

WARM_UP_STEPS = 3
SECONDS = 4.0  # of timed steps, at least one
PERSONS = 64  # of noise, which stand in for the data set: reading it is not what takes the time
CPU_BATCH = 8  # in place of the recipe's: a processor's speed does not depend on it, and its steps are long
STATES = 3  # of a checkpoint: weights, and the two moments of Adam
GENERATIONS = 3  # two checkpoints, and a third while it is being written


@dataclass(frozen=True)
class Forecast:
    """Speed measured here, and what follows. `crops_bytes` is None where the data set is not there to be counted."""

    samples_per_second: float
    seconds: float
    crops_bytes: int | None
    kept_bytes: int  # checkpoints and weights, at the worst moment


class _EnoughError(Exception):
    pass


def forecast(run: TrainingRun, root: str | None, device: str) -> Forecast:
    """Train on noise for some seconds on one device; ValueError as a training would."""
    speed = measured_speed(run, device)
    model = run.variant.builder(joints=len(run.protocols[0].data.skeleton.joints))
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    steps = loop.steps_of(run.recipe)
    return Forecast(
        samples_per_second=speed,
        seconds=steps * run.recipe.batch / (speed * run.execution.devices),
        crops_bytes=crops_bytes(run, root),
        kept_bytes=weights * (1 + STATES * GENERATIONS),
    )


def measured_speed(run: TrainingRun, device: str) -> float:
    """Samples a second of one device, feed included."""
    engine.prepare(run.variant.scale, device)
    recipe = run.recipe
    if not device.startswith("cuda"):
        recipe = replace(recipe, batch=CPU_BATCH, batch_per_device=None)
    joints = len(run.protocols[0].data.skeleton.joints)
    began, taken = 0.0, 0

    def report(samples: int, probe: float | None) -> None:
        nonlocal began, taken
        taken += 1
        if device.startswith("cuda") and (taken == WARM_UP_STEPS or time.monotonic() - began > SECONDS):
            torch.cuda.synchronize()
        if taken == WARM_UP_STEPS:
            began = time.monotonic()
        elif taken > WARM_UP_STEPS and time.monotonic() - began > SECONDS:
            raise _EnoughError

    with contextlib.suppress(_EnoughError), tempfile.TemporaryDirectory() as folder:
        loop.train(
            training.build(run.variant, joints, 0),
            noise(run.variant.input_hw, joints),
            recipe,
            mirrored=run.protocols[0].data.skeleton.mirrored(),
            seed=0,
            folder=Path(folder),
            probe=lambda _: 0.0,
            report=report,
            device=device,
            execution=replace(run.execution, devices=1, micro_batches=None if recipe is run.recipe else 1),
            upper=upper_body(run.protocols[0].data.skeleton.joints),
        )
    timed = taken - WARM_UP_STEPS
    if timed < 1:
        raise ValueError(f"recipe {run.recipe.name!r} has {taken} steps, too few to measure a speed; just run it")
    return timed * recipe.batch / (time.monotonic() - began)


def noise(input_hw: tuple[int, int], joints: int) -> CropSet:
    """Crops of nothing, for their size."""
    random = np.random.default_rng(0)
    size_hw = crop_hw(input_hw, training.TRAIN_CONTEXT)
    shown = np.ones((PERSONS, joints), bool)
    return CropSet(
        pixels=random.integers(0, 256, (PERSONS, *size_hw, 3), np.uint8),
        joints=random.uniform(0, min(size_hw), (PERSONS, joints, 2)).astype(np.float32),
        labelled=shown,
        visible=shown,
        to_image=np.zeros((PERSONS, 2, 3)),
        input_hw=input_hw,
        context=training.TRAIN_CONTEXT,
    )


def crops_bytes(run: TrainingRun, root: str | None) -> int | None:
    """Of the cached crops of both splits; None where the annotations are not there."""
    protocol, total = run.protocols[0], 0
    for split, context in ((protocol.train_split, training.TRAIN_CONTEXT), (protocol.test_split, 1.0)):
        try:
            source = protocol.data.annotated
            persons = len(source.boxes(split, root) or source.truth(split, root))
        except (ValueError, OSError):
            return None
        height, width = crop_hw(run.variant.input_hw, context)
        size = persons * height * width * 3
        compressed = split == protocol.train_split and size > training.STORED_OVER
        total += round(size / 3 * crop_store.BITS_PER_PIXEL / 8) if compressed else size
    return total
