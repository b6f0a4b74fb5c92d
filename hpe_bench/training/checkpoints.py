"""Checkpoints of a training in progress, and final weights. Written atomically; read without executing pickles."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import nn

from hpe_bench.files import discard, refuse_damaged, write_atomically, write_with_digest
from hpe_bench.records.schema import CurvePoint

if TYPE_CHECKING:
    from hpe_bench.training.loop import TrainState

CHECKPOINT = "checkpoint.pt"  # the newest; the one before it lies beside it until the next is whole
BEFORE = "checkpoint-before.pt"
DAMAGED = "checkpoint-damaged.pt"
DIGEST_BYTES = 32  # a file is the SHA-256 of what follows, then what torch.save writes

Say = Callable[[str], None]
"""Called with a sentence for whoever watches the training."""


def store(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, state: TrainState) -> None:
    """Make the present state the folder's newest checkpoint, whole or not at all; the newest becomes the one before."""
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
    content = buffer.getbuffer()
    newest = folder / CHECKPOINT
    if newest.exists():
        newest.replace(folder / BEFORE)
    write_atomically(newest, hashlib.sha256(content).digest() + content)


def restore(folder: Path, model: nn.Module, say: Say = lambda _: None) -> tuple[TrainState, dict[str, Any]] | None:
    """Load the newest sound checkpoint into the model; the state and the optimiser's state dict, None if there is none.

    A damaged one is set aside and said; then the one before it counts, and without that the training starts anew.
    """
    for name in (CHECKPOINT, BEFORE):
        path = folder / name
        if not path.exists():
            continue
        content = _sound(path)
        if content is None:
            path.replace(folder / DAMAGED)
            then = "the one before it" if name == CHECKPOINT and (folder / BEFORE).exists() else "the start"
            say(f"{path} is damaged and was set aside as {DAMAGED}; going on from {then}")
            continue
        return _restored(content, model)
    return None


def remove(folder: Path) -> None:
    """Checkpoints of a training that is finished."""
    for name in (CHECKPOINT, BEFORE, DAMAGED):
        discard(folder / name)


def _sound(path: Path) -> bytes | None:
    """What a checkpoint file holds, None if it is not what its digest says."""
    data = path.read_bytes()
    digest, content = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


def _restored(content: bytes, model: nn.Module) -> tuple[TrainState, dict[str, Any]]:
    from hpe_bench.training.loop import TrainState

    device = next(model.parameters()).device
    saved = torch.load(io.BytesIO(content), weights_only=True, map_location=device)
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
    """Write final weights as safetensors, the file's digest beside it.

    Returns another SHA-256, over names, shapes and values: what identifies the weights in whatever file they lie.
    """
    weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    write_with_digest(path, safetensors.torch.save(weights))
    return weights_digest(weights)


def load_trained_weights(path: Path, model: nn.Module) -> str:
    """Load final weights strictly; returns their SHA-256. ValueError if the file is not what its digest says."""
    refuse_damaged(path, "run the same command again, which trains it anew")
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
