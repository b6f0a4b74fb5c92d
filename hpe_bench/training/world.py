"""The processes of one training: who holds which part of a batch, and what they tell one another.

Processes are started by torchrun or Slurm, which say in the environment who is who. One process is a world of its own
and tells nobody anything.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

PATIENCE = timedelta(hours=6)  # of the others while rank 0 cuts crops or scores


@dataclass(frozen=True)
class World:
    """Rank 0 of `size` processes holds the first micro-batches, keeps checkpoints, measures, and tells people."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"  # where tensors must lie that processes exchange

    @property
    def leads(self) -> bool:
        """Whether this is the process that keeps and tells."""
        return self.rank == 0

    def parts(self, count: int) -> range:
        """This process's micro-batches of `count`; each process has equally many, in the order of the ranks."""
        own = count // self.size
        return range(self.rank * own, (self.rank + 1) * own)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, in each of them; a copy."""
        values = values.clone()
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def gathered(self, rows_KP: Tensor) -> Tensor:
        """Every process's rows [K,P], rank after rank, [size * K, P]."""
        if self.size == 1:
            return rows_KP
        found = [torch.empty_like(rows_KP) for _ in range(self.size)]
        dist.all_gather(found, rows_KP)
        return torch.cat(found)

    def lists(self, values: np.ndarray) -> list[np.ndarray]:
        """Every process's array, rank after rank, in each of them."""
        if self.size == 1:
            return [values]
        found: list[np.ndarray | None] = [None] * self.size
        dist.all_gather_object(found, values)
        return [array for array in found if array is not None]

    def take_from_lead(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors by rank 0's."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


SOLO = World()


def announced() -> World:
    """What the environment says of this process, whether or not it has joined the others."""
    return World(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def join(device: str) -> tuple[World, str]:
    """Meet the other processes that the environment names; this process and its device.

    ValueError if this machine has fewer GPUs than processes.
    """
    world = announced()
    if world.size == 1:
        return SOLO, device
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device.startswith("cuda"):
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"{local + 1} processes but {torch.cuda.device_count()} GPUs on this machine; give --devices that many"
            )
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
    return replace(world, device=device), device


def leave() -> None:
    """Part from the other processes."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def share_statistics(model: nn.Module, world: World) -> None:
    """Give every process rank 0's running statistics: the only ones that move."""
    world.take_from_lead(list(model.buffers()))
