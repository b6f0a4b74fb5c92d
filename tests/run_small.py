"""The small training as a program, to be killed and started again: `python -m tests.run_small FOLDER SAMPLES`."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from hpe_bench.declare import replace
from hpe_bench.processes import unwinding_when_terminated
from hpe_bench.run import pool
from hpe_bench.run.pool import Outcome, Settings
from hpe_bench.training import loop
from tests import small

if __name__ in ("__main__", "__mp_main__"):  # the second is its name in the training's own process
    loop.CHECKPOINT_SECONDS = 0.2


def trained(folder: Path, samples: int) -> Outcome:
    run = small.training()
    run = replace(run, recipe=replace(run.recipe, samples=samples))
    settings = Settings(results=folder / "results", runs=folder / "runs")
    return pool.run_trainings([run], settings, Console(), lambda _: 1.0)


if __name__ == "__main__":
    with unwinding_when_terminated():
        outcome = trained(Path(sys.argv[1]), int(sys.argv[2]))
    print(f"made {len(outcome.made)} kept {outcome.kept} failed {len(outcome.failed)}")
