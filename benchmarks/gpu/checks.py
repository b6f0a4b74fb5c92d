"""Checks of the CUDA paths against the CPU's, on miniatures. On a CPU those that need a GPU are skipped, and say so.

Tolerances are for float32 sums taken in another order, with TF32 off; bfloat16 keeps 8 bits of mantissa.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.gpu.setting import Reporter
from hpe_bench import catalog
from hpe_bench.cost.energy import NvmlMeter
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.declare import Batch, Recipe, Variant, replace
from hpe_bench.errors import sentence
from hpe_bench.inference.predictor import predict
from hpe_bench.protocols import mannequins
from hpe_bench.run import training
from hpe_bench.training import engine, loop
from hpe_bench.training.checkpoints import weights_digest
from hpe_bench.training.execution import PLAIN, Execution, Precision
from hpe_bench.training.feeding import Feed, feed_class, tensors_of
from hpe_bench.training.steps import GRAPH_WARM_UP, gradients

PAPERS = ("simple_baseline", "hrnet", "fasterpose")
LOSS_TOLERANCE = 1e-4  # relative
GRADIENT_TOLERANCE = 2e-3  # of the norm of all gradients together, where nothing better is known
FARTHER = 2.0  # how many times farther from float64 than the CPU's own float32 step a device may be
BF16_TOLERANCE = 0.05  # relative, of the loss
PIXEL_TOLERANCE = 2e-3  # of normalised input: bilinear sampling rounds its weights
JOINT_TOLERANCE_PX = 0.1  # of the image, for all but a few joints whose map has two equal peaks
STEPS = 24


class SkippedError(Exception):
    """A check that this machine cannot make."""


Check = Callable[[str], dict[str, Any]]
"""From a device to what was found; raises where the paths disagree."""


def run(found: Sequence[Check], device: str, report: Reporter) -> list[str]:
    """Make the checks; names of those that failed. Each reports its state, what it found and how long it took."""
    failed = []
    engine.prepare("full", device)
    for check in found:
        began, name = time.monotonic(), check.__name__
        try:
            result: dict[str, Any] = {"state": "passed"} | check(device)
        except SkippedError as reason:
            result = {"state": "skipped", "reason": str(reason)}
        except Exception as error:  # every fault is a figure of the session
            result = {"state": "failed", "reason": sentence(error)}
            failed.append(name)
        report(name, result | {"seconds": round(time.monotonic() - began, 2)})
    return failed


# ---------------------------------------------------------------------------------------------------- what is checked


def batches(device: str) -> dict[str, Any]:
    """A batch fed on the device is the CPU's, and so is one that was prepared ahead."""
    _, recipe = _miniature("simple_baseline")
    data, mirrored = _data(), _mirrored()
    here, there = (
        Feed(data.train, recipe, mirrored, 3, "cpu"),
        feed_class(device)(data.train, recipe, mirrored, 3, device),
    )
    worst = 0.0
    for step in (0, 1, 5):
        ((batch, codec),) = there.at(step)
        there.prepare(step + 1)
        worst = max(worst, *_differences(here.make(step), batch))
        target, _ = codec.encode(batch.joints_BJ2, batch.labelled_BJ, batch.input_hw, (32, 24))
        wanted, _ = recipe.codec.encode(*_labels(here.make(step)), (32, 24))
        worst = max(worst, float((target.cpu() - wanted).abs().max()))
    _within("a batch", worst, PIXEL_TOLERANCE)
    return {"largest_difference": worst}


def steps(device: str) -> dict[str, Any]:
    """Loss and gradients of a training step on the device are float64's, about as nearly as the CPU's float32 ones.

    A float32 gradient of a network of miniature size is a few thousandths from float64's: sums taken in another order
    turn some ReLUs over.
    """
    found = {}
    for paper in PAPERS:
        loss, exact = _exact_step(paper)
        there, gradient = _step(paper, device, PLAIN)
        own = _relative(_step(paper, "cpu", PLAIN)[1], exact)
        away = _relative(gradient, exact)
        found[paper] = {"loss": abs(there - loss) / abs(loss), "gradient": away, "cpu_gradient": own}
        _within(f"{paper}'s loss", found[paper]["loss"], LOSS_TOLERANCE)
        _within(f"{paper}'s gradient", away, max(GRADIENT_TOLERANCE, FARTHER * own))
    return found


def bf16(device: str) -> dict[str, Any]:
    """Under autocast the loss stays near float32's, and gradients and weights stay float32."""
    found = {}
    for paper in PAPERS:
        (loss, _), (half, gradient) = _step(paper, device, PLAIN), _step(paper, device, Execution("bf16"))
        assert gradient.dtype == torch.float32
        found[paper] = abs(half - loss) / abs(loss)
        _within(f"{paper}'s loss in bf16", found[paper], BF16_TOLERANCE)
    return found


def graphs(device: str) -> dict[str, Any]:
    """A step replayed as a CUDA graph has the eager step's loss and gradients on every batch, and training goes on."""
    if not device.startswith("cuda"):
        raise SkippedError("CUDA graphs need a CUDA device")
    found = {}
    precisions: tuple[tuple[Precision, float], ...] = (("fp32", 1.0), ("bf16", 25.0))
    for paper in PAPERS:
        for precision, wider in precisions:
            loss, gradient = _replayed(paper, device, precision)
            found[f"{paper}/{precision}"] = {"loss": loss, "gradient": gradient}
            _within(f"{paper}'s loss in {precision}", loss, wider * LOSS_TOLERANCE)
            _within(f"{paper}'s gradient in {precision}", gradient, wider * GRADIENT_TOLERANCE)
    _, losses = _trained("simple_baseline", device, Execution("bf16", graphed=True))
    if not losses[-1] < losses[0]:
        raise AssertionError(f"the loss went from {losses[0]:.3g} to {losses[-1]:.3g}")
    return found


def _replayed(paper: str, device: str, precision: Precision) -> tuple[float, float]:
    """The largest relative differences of loss and gradient between replayed and eager steps on the same batches."""
    _, recipe = _miniature(paper)
    model = _model(paper, device)
    source = feed_class(device)(_data().train, recipe, _mirrored(), 0, device)
    eager = gradients(model, recipe.loss, Execution(precision), device)
    graphed = gradients(model, recipe.loss, Execution(precision, graphed=True), device)
    losses, slopes = [0.0], [0.0]
    for step in range(GRAPH_WARM_UP + 3):
        ((batch, codec),) = source.at(step)
        loss = float(graphed(batch, codec))
        source.prepare(step + 1)
        if step >= GRAPH_WARM_UP:
            mine = [p.grad for p in model.parameters()]  # the graph's own memory, to be put back
            slope = _flat(model)
            wanted = float(eager(batch, codec))
            losses.append(abs(loss - wanted) / abs(wanted))
            slopes.append(_relative(slope, _flat(model)))
            for parameter, gradient in zip(model.parameters(), mine, strict=True):
                parameter.grad = gradient
    return max(losses), max(slopes)


def resumed(device: str) -> dict[str, Any]:
    """A strict training that was interrupted and resumed on the device ends with the same bits."""
    engine.prepare("pocket", device)
    whole, _ = _trained("simple_baseline", device, PLAIN)
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(_PulledPlugError):
            _trained("simple_baseline", device, PLAIN, Path(folder), stop=STEPS // 2)
        parts, _ = _trained("simple_baseline", device, PLAIN, Path(folder))
    engine.prepare("full", device)
    if (a := weights_digest(whole.state_dict())) != (b := weights_digest(parts.state_dict())):
        raise AssertionError(f"weights {a[:16]} without and {b[:16]} with an interruption")
    return {"weights": a[:16]}


def predictions(device: str) -> dict[str, Any]:
    """Joints predicted on the device are the CPU's."""
    model, recipe = _miniature("simple_baseline")
    data = _data()
    torch.manual_seed(0)
    module = training.build(model, len(data.truth.skeleton.joints), 0)
    pairs = data.truth.skeleton.flip_pairs
    found = []
    for where in ("cpu", device):
        module.to(device=where, memory_format=torch.channels_last)  # type: ignore[call-overload]
        codec, activate = mannequins("quarter").codec, recipe.loss.activate
        found.append(predict(module, data.test, codec, activate, flip_pairs=pairs, device=where)[0])
    away = np.linalg.norm(found[0] - found[1], axis=-1)
    share = float((away > JOINT_TOLERANCE_PX).mean())
    _within("the share of joints that moved", share, 0.02)
    return {"share_moved": share, "median_px": float(np.median(away))}


def energy(device: str) -> dict[str, Any]:
    """NVML's counter advances while the GPU works."""
    if not device.startswith("cuda"):
        raise SkippedError("NVML counts the energy of NVIDIA GPUs")
    meter = NvmlMeter.open()
    if isinstance(meter, str):
        raise SkippedError(meter)
    values = torch.randn(4096, 4096, device=device)
    before, began = meter.joules(), time.monotonic()
    while time.monotonic() - began < 2.0:
        values = torch.nn.functional.normalize(values @ values)
        torch.cuda.synchronize()
    joules = meter.joules() - before
    if not joules > 0:
        raise AssertionError("two seconds of work took no energy")
    return {"watts": round(joules / (time.monotonic() - began), 1)}


def compiled(device: str) -> dict[str, Any]:
    """A compiled step's loss and gradients are float64's, about as nearly as the CPU's float32 ones."""
    loss, exact = _exact_step("simple_baseline")
    own = _relative(_step("simple_baseline", "cpu", PLAIN)[1], exact)
    other, gradient = _step("simple_baseline", device, Execution(compiled=True))
    found = {"loss": abs(other - loss) / abs(loss), "gradient": _relative(gradient, exact)}
    _within("the loss", found["loss"], LOSS_TOLERANCE)
    _within("the gradient", found["gradient"], max(GRADIENT_TOLERANCE, FARTHER * own))
    return found


ALL: tuple[Check, ...] = (batches, steps, bf16, graphs, resumed, predictions, energy)
COMPILED: tuple[Check, ...] = (compiled,)


# ---------------------------------------------------------------------------------------------------- their material


class _PulledPlugError(Exception):
    pass


def _miniature(paper: str) -> tuple[Variant, Recipe]:
    """A paper's miniature and the recipe of its first arm that trains it, with a batch of 16."""
    found = catalog.load(paper).paper
    arm = next(a for study in found.studies for a in study.arms if a.paper == paper and a.variant.name == "pocket")
    return arm.variant, replace(arm.recipe, samples=STEPS * arm.recipe.batch)


@cache
def _data() -> training.Data:
    """A few mannequins at the miniatures' input size."""
    protocol = replace(mannequins("dark"), name="checks", data=Mannequins(train_persons=64, test_persons=24))
    for split in ("train", "test"):
        protocol.data.prepare(split, None)
    return training.load_data(protocol, None, _miniature("simple_baseline")[0].input_hw)


def _mirrored() -> tuple[int, ...]:
    return _data().truth.skeleton.mirrored()


def _model(paper: str, device: str) -> nn.Module:
    variant, _ = _miniature(paper)
    model = training.build(variant, len(_data().truth.skeleton.joints), 0)
    return model.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]


def _step(paper: str, device: str, execution: Execution) -> tuple[float, Tensor]:
    """Loss of the CPU's batch of step 0 and all gradients [P] on the CPU, after one step on a device."""
    _, recipe = _miniature(paper)
    model = _model(paper, device)
    batch = _moved(Feed(_data().train, recipe, _mirrored(), 0, "cpu").make(0), device)
    loss = gradients(model, recipe.loss, execution, device)(batch, recipe.codec)
    return float(loss), _flat(model)


def _exact_step(paper: str) -> tuple[float, Tensor]:
    """The same in float64 on the CPU."""
    _, recipe = _miniature(paper)
    model = _model(paper, "cpu").double()
    batch = Feed(_data().train, recipe, _mirrored(), 0, "cpu").make(0)
    batch = dataclasses.replace(batch, images_B3HW=batch.images_B3HW.double())
    loss = recipe.loss(model(batch.images_B3HW), batch, recipe.codec)
    loss.backward()
    return float(loss.detach()), _flat(model)


def _flat(model: nn.Module) -> Tensor:
    """All gradients, [P] on the CPU."""
    return torch.cat([p.grad.flatten().cpu() for p in model.parameters() if p.grad is not None])


def _moved(batch: Batch, device: str) -> Batch:
    images, joints, labelled, visible = (tensor.to(device) for tensor in tensors_of(batch))
    return Batch(images, joints, labelled, visible)


def _trained(
    paper: str, device: str, execution: Execution, folder: Path | None = None, stop: int | None = None
) -> tuple[nn.Module, list[float]]:
    """A short training: the model and the losses on its curve."""
    _, recipe = _miniature(paper)

    def report(samples: int, probe: float | None) -> None:
        if stop is not None and samples >= stop * recipe.batch:
            raise _PulledPlugError

    before = loop.CHECKPOINT_SECONDS, loop.CHECKPOINT_SHARE
    loop.CHECKPOINT_SECONDS, loop.CHECKPOINT_SHARE = 0.0, 1e9  # a checkpoint a step
    try:
        with tempfile.TemporaryDirectory() as own:
            model = _model(paper, device)
            state = loop.train(
                model,
                _data().train,
                recipe,
                mirrored=_mirrored(),
                seed=0,
                folder=folder or Path(own),
                probe=lambda _: 0.0,
                report=report,
                device=device,
                execution=execution,
            )
    finally:
        loop.CHECKPOINT_SECONDS, loop.CHECKPOINT_SHARE = before
    return model, [point.train_loss for point in state.curve]


def _labels(batch: Batch) -> tuple[Tensor, Tensor, tuple[int, int]]:
    return batch.joints_BJ2, batch.labelled_BJ, batch.input_hw


def _differences(wanted: Batch, found: Batch) -> list[float]:
    pairs = zip(tensors_of(wanted), tensors_of(found), strict=True)
    return [float((a - b.cpu()).abs().max()) for a, b in pairs]


def _relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def _within(what: str, found: float, tolerance: float) -> None:
    if not found <= tolerance:
        raise AssertionError(f"{what} differs by {found:.3g}, more than {tolerance:.3g}")
