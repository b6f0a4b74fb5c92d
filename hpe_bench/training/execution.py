"""How a training is executed: precision, compilation, graphs; which of it belongs to the training's identity.

Imports no torch: plans are made of these values.
"""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from hpe_bench.declare import STRICT

WHOLE = "batch in one piece"
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, config=STRICT)
class Execution:
    """Precision of forward and backward pass, and how their kernels are started.

    "fp32" is strict: TF32 is off (F22). "bf16" is autocast around the network; weights, targets, loss and optimiser
    stay float32, and scoring is always strict float32. `compiled` is torch.compile; `graphed` replays one CUDA graph a
    step. These compute the same in another order of kernels, and so do several devices where each holds whole
    micro-batches of the recipe, so they stand in the provenance alone. With more devices than that, micro-batches and
    the statistics of batch norm are smaller ones; a graph needs a batch in one piece: those are other trainings.
    """

    precision: Precision = "fp32"
    compiled: bool = False
    graphed: bool = False
    micro_batches: int | None = None  # of a batch, in place of the recipe's: where more devices share it
    exact: bool = False  # gradients summed in one order, however many processes there are
    devices: int = 1
    tensorboard: bool = False  # event files beside the journal; what is computed has no part in it

    def __post_init__(self) -> None:
        if self.compiled and self.graphed:
            raise ValueError("a training is compiled or replayed as a graph, not both; choose one")
        if self.graphed and self.devices > 1:
            raise ValueError("graphs are for one device; leave them out or train on one")

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it another training; empty for the plain execution, whose ids are older than this class."""
        found: tuple[object, ...] = () if self.precision == "fp32" else (self.precision,)
        return (
            found
            if self.micro_batches is None
            else (*found, WHOLE if self.micro_batches == 1 else f"{self.micro_batches} micro-batches")
        )

    @property
    def words(self) -> str:
        """The identity in words, as records keep it."""
        return ", ".join(map(str, self.identity))

    @property
    def flags(self) -> dict[str, str]:
        """As a record's provenance keeps it, beside torch's own switches."""
        found = {"precision": self.precision, "compiled": str(self.compiled), "graphed": str(self.graphed)}
        return found | {"devices": str(self.devices), "exact_sums": str(self.exact)}


PLAIN = Execution()
