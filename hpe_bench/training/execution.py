"""How a training is executed: precision, compilation, graphs; which of it belongs to the training's identity.

Imports no torch: plans are made of these values.
"""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from hpe_bench.declare import STRICT

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, config=STRICT)
class Execution:
    """Precision of forward and backward pass, and how their kernels are started.

    "fp32" is strict: TF32 is off (F22). "bf16" is autocast around the network; weights, targets, loss and optimiser
    stay float32, and scoring is always strict float32. `compiled` is torch.compile; `graphed` replays one CUDA graph a
    step. These two compute the same in another order of kernels, so they stand in the provenance alone.
    """

    precision: Precision = "fp32"
    compiled: bool = False
    graphed: bool = False

    def __post_init__(self) -> None:
        if self.compiled and self.graphed:
            raise ValueError("a training is compiled or replayed as a graph, not both; choose one")

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it another training; empty for the plain execution, whose ids are older than this class."""
        return () if self.precision == "fp32" else (self.precision,)

    @property
    def words(self) -> str:
        """The identity in words, as records keep it."""
        return ", ".join(map(str, self.identity))

    @property
    def flags(self) -> dict[str, str]:
        """As a record's provenance keeps it, beside torch's own switches."""
        return {"precision": self.precision, "compiled": str(self.compiled), "graphed": str(self.graphed)}


PLAIN = Execution()
