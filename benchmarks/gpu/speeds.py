"""Training throughput: the whole loop, feed and all, beside the bare step on one batch that is there already."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.setting import Reporter
from hpe_bench.cost.energy import Meter, NvmlMeter
from hpe_bench.data.crops import CropSet
from hpe_bench.errors import sentence
from hpe_bench.plan import TrainingRun
from hpe_bench.run import training
from hpe_bench.training import engine, loop
from hpe_bench.training.execution import Execution, Precision
from hpe_bench.training.feeding import Feed, ReadyTargets
from hpe_bench.training.steps import gradients

WARM_UP_STEPS, SECONDS = 8, 2.5  # cuDNN's choice of kernels and the capture of a graph come before what is timed
REHEARSED_STEPS, REHEARSED_SECONDS = 1, 0.2
PERSONS = 1024  # crops that are copied to the GPU for a measurement

# What is measured, the most needed first: a budget is chosen from the first ones, which are the trainings to come.
TRAINED, BOTH = ("simple_baseline", "fasterpose", "hrnet"), ("simple_baseline", "hrnet")
ORDER: tuple[tuple[str, Precision, str], ...] = (
    *((paper, "bf16", "graphed") for paper in TRAINED),
    *((paper, "bf16", "eager") for paper in TRAINED),
    *((paper, "bf16", "bare") for paper in BOTH),
    *((paper, "fp32", "eager") for paper in BOTH),
    *((paper, "fp32", "bare") for paper in BOTH),
)


class EnoughError(Exception):
    """The measurement is over."""


def measure(runs: dict[str, TrainingRun], data: training.Data, device: str, rehearse: bool, report: Reporter) -> None:
    """Report "paper/precision/way" for every entry of `ORDER`; one that fails says why and the others go on."""
    engine.prepare("full", device)
    some = slice(0, PERSONS)
    crops = dataclasses.replace(
        data.train,
        pixels=data.train.pixels[some],
        joints=data.train.joints[some],
        labelled=data.train.labelled[some],
        visible=data.train.visible[some],
        to_image=data.train.to_image[some],
    )
    meter = NvmlMeter.open() if device.startswith("cuda") else "no GPU"
    for paper, precision, way in ORDER:
        if precision == "bf16" and way != "graphed" and not device.startswith("cuda"):
            continue  # of a rehearsal: most processors emulate bfloat16, slowly
        try:
            clock = Clock(device, runs[paper].recipe.batch, meter, rehearse)
            execution = Execution(precision, graphed=way == "graphed", micro_batches=1)
            found = _measured(runs[paper], crops, data, execution, way, device, clock)
        except Exception as error:  # an entry fails alone
            found = {"fault": sentence(error)}
        report(f"{paper}/{precision}/{way}", found)
        if device.startswith("cuda"):
            gc.collect()
            torch.cuda.empty_cache()


def _measured(
    run: TrainingRun,
    crops: CropSet,
    data: training.Data,
    execution: Execution,
    way: str,
    device: str,
    clock: Clock,
) -> dict[str, Any]:
    model = training.build(run.variant, len(data.truth.skeleton.joints), 0)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    mirrored = data.truth.skeleton.mirrored()
    try:
        if way == "bare":
            _bare(model, run, crops, mirrored, execution, device, clock)
        else:
            with tempfile.TemporaryDirectory() as folder:
                loop.train(
                    model,
                    crops,
                    run.recipe,
                    mirrored=mirrored,
                    seed=0,
                    folder=Path(folder),
                    probe=lambda _: 0.0,
                    report=lambda samples, probe: clock.step(),
                    device=device,
                    execution=execution,
                )
    except EnoughError:
        pass
    return clock.result()


def _bare(
    model: nn.Module,
    run: TrainingRun,
    crops: CropSet,
    mirrored: tuple[int, ...],
    execution: Execution,
    device: str,
    clock: Clock,
) -> None:
    """Forward, backward, optimiser, over and over on one batch."""
    model.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    batch = Feed(crops, run.recipe, mirrored, 0, device).make(0)
    batch = dataclasses.replace(batch, images_B3HW=batch.images_B3HW.contiguous(memory_format=torch.channels_last))
    sizes: dict[tuple[int, int], None] = {}
    optimiser = loop.build_optimiser(run.recipe.optimiser, list(model.parameters()))
    step: Callable[..., Any] = gradients(model, run.recipe.loss, execution, device)
    for taken in itertools.count():
        if taken < 2:  # the first step asks for targets, the others find them
            codec = ReadyTargets(run.recipe.codec, batch, sizes)
        step(batch, codec)
        optimiser.step()
        clock.step()


class Clock:
    """Counts steps and stops after some seconds; waits for the device only at the two ends (M6)."""

    def __init__(self, device: str, batch: int, meter: Meter | str, rehearse: bool) -> None:
        self.device, self.batch, self.meter = device, batch, meter
        self.warm_up, self.seconds = (REHEARSED_STEPS, REHEARSED_SECONDS) if rehearse else (WARM_UP_STEPS, SECONDS)
        self.steps = 0
        self.began = self.ended = 0.0
        self.joules: float | None = None

    def step(self) -> None:
        """A step was started; EnoughError once the time is up."""
        self.steps += 1
        if self.steps == self.warm_up:
            self._synchronise()
            self.joules_before = self._read()
            self.began = time.monotonic()
        elif self.steps > self.warm_up and time.monotonic() - self.began > self.seconds:
            self._synchronise()
            self.ended = time.monotonic()
            after = self._read()
            if after is not None and self.joules_before is not None:
                self.joules = after - self.joules_before
            raise EnoughError

    def _synchronise(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def _read(self) -> float | None:
        return self.meter.joules() if isinstance(self.meter, Meter) else None

    def result(self) -> dict[str, Any]:
        """Samples a second and what belongs to it; ValueError if the training ended before the time was up."""
        if not self.ended:
            raise ValueError(f"the training ended after {self.steps} steps, before it could be timed")
        timed, seconds = self.steps - self.warm_up, self.ended - self.began
        found: dict[str, Any] = {
            "samples_per_second": round(timed * self.batch / seconds, 1),
            "ms_per_step": round(1e3 * seconds / timed, 2),
            "steps": timed,
            "batch": self.batch,
        }
        if self.joules is not None:
            found["joules_per_sample"] = round(self.joules / (timed * self.batch), 4)
        if self.device.startswith("cuda"):
            found["peak_bytes"] = torch.cuda.max_memory_allocated()
        return found
