"""Checkpoints of a training in progress, and final weights. Written atomically; read without executing pickles."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import nn

from hpe_bench.files import write_atomically
from hpe_bench.records.schema import CurvePoint

if TYPE_CHECKING:
    from hpe_bench.training.loop import TrainState

CHECKPOINT = "checkpoint.pt"


def store(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, state: TrainState) -> None:
    """Replace the folder's checkpoint by the present state, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(
        {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "step": state.step,
            "seconds": state.seconds,
            "loss_sum": state.loss_sum,
            "loss_steps": state.loss_steps,
            "curve": [point.model_dump() for point in state.curve],
        },
        buffer,
    )
    write_atomically(folder / CHECKPOINT, buffer.getvalue())


def restore(folder: Path, model: nn.Module) -> tuple[TrainState, dict[str, Any]] | None:
    """Load the folder's checkpoint into the model; the state and the optimiser's state dict, None if there is none."""
    from hpe_bench.training.loop import TrainState

    path = folder / CHECKPOINT
    if not path.exists():
        return None
    device = next(model.parameters()).device
    saved = torch.load(path, weights_only=True, map_location=device)
    model.load_state_dict(saved["model"])
    state = TrainState(
        step=saved["step"],
        seconds=saved["seconds"],
        loss_sum=saved["loss_sum"],
        loss_steps=saved["loss_steps"],
        curve=[CurvePoint(**point) for point in saved["curve"]],
    )
    return state, saved["optimiser"]


def save_weights(path: Path, model: nn.Module) -> str:
    """Write final weights as safetensors; returns their SHA-256 (over names, shapes and values, not the file)."""
    weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    write_atomically(path, safetensors.torch.save(weights))
    return weights_digest(weights)


def load_weights(path: Path, model: nn.Module) -> str:
    """Load final weights strictly; returns their SHA-256."""
    weights = safetensors.torch.load_file(path)
    model.load_state_dict(weights)
    return weights_digest(weights)


def weights_digest(weights: dict[str, torch.Tensor]) -> str:
    """SHA-256 over the sorted names, shapes and bytes of a state dict."""
    h = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        h.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        h.update(value.numpy().tobytes())
    return h.hexdigest()
