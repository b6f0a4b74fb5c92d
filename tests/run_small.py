"""The small training as a program, to be killed and started again: `python -m tests.run_small FOLDER SAMPLES [STEP]`.

With STEP it has a checkpoint after every step and stands still after that one, so that a kill needs not to be quick.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rich.console import Console

from hpe_bench.declare import replace
from hpe_bench.processes import unwinding_when_terminated
from hpe_bench.run import pool
from hpe_bench.run.pool import Outcome, Settings
from hpe_bench.training import loop
from tests import small


class StandingStill(loop.Keeper):
    """Waits for a kill."""

    def keep(self, model: object, optimiser: object, state: loop.TrainState) -> None:
        super().keep(model, optimiser, state)  # type: ignore[arg-type]
        if state.step == int(sys.argv[3]):
            time.sleep(600)


if __name__ in ("__main__", "__mp_main__"):  # the second is its name in the training's own process
    loop.CHECKPOINT_SECONDS = 0.2
    if len(sys.argv) > 3:
        loop.CHECKPOINT_SECONDS, loop.CHECKPOINT_SHARE, loop.Keeper = 0.0, 1e9, StandingStill


def trained(folder: Path, samples: int) -> Outcome:
    run = small.training(recipe=replace(small.RECIPE, samples=samples))
    settings = Settings(results=folder / "results", runs=folder / "runs")
    return pool.run_trainings([run], settings, Console(), lambda _: 1.0)


if __name__ == "__main__":
    with unwinding_when_terminated():
        outcome = trained(Path(sys.argv[1]), int(sys.argv[2]))
    print(f"made {len(outcome.made)} kept {outcome.kept} failed {len(outcome.failed)}")
