"""One training in several processes: starting them with torchrun's own launcher, and what each of them does."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable, Sequence

import torch
from rich.console import Console

from hpe_bench.errors import sentence
from hpe_bench.plan import TrainingRun
from hpe_bench.run import pool, training
from hpe_bench.run.pool import Outcome, Settings
from hpe_bench.terminal import Board
from hpe_bench.training import world


def launch(devices: int, device: str, arguments: Sequence[str]) -> int:
    """Run `hpe-bench` with these arguments in `devices` processes on this machine; the exit code.

    ValueError if there are fewer GPUs than that. A process that ends badly ends the others; the next start goes on from
    the last checkpoint.
    """
    if device.startswith("cuda") and torch.cuda.device_count() < devices:
        raise ValueError(f"--devices {devices}, but this machine has {torch.cuda.device_count()} GPUs; give that many")
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.distributed.launcher", "torch.distributed.run"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the process that failed says why in a sentence
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.5,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "hpe_bench", *arguments)
    except ChildFailedError as failed:
        rank, failure = failed.get_first_failure()
        code = failure.exitcode
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        print(
            f"hpe-bench: process {rank} of {devices} {how}, and so were the others; the same command goes on from the "
            "last checkpoint",
            file=sys.stderr,
        )
        return code if code > 0 else 1
    return 0


def train(
    runs: list[TrainingRun], settings: Settings, console: Console, first: Callable[[], Outcome] = Outcome
) -> Outcome:
    """Run trainings one after the other, this process being one of those that share each of them.

    Rank 0 does what comes `first` while the others wait, and keeps the records; the outcomes of the others are empty.
    """
    here, device = world.join(settings.device)
    outcome = Outcome()
    try:
        if here.leads:
            outcome = first()
        here.wait()
        for run in runs:
            there = [pool.finished(run.record_id(p), run.code, settings) for p in run.protocols]
            here.wait()  # so that nobody sees what another has just written
            if all(there):
                outcome.kept += 1
                continue
            _train(run, here, device, settings, outcome, console)
    finally:
        world.leave()
    return outcome


def _train(
    run: TrainingRun, here: world.World, device: str, settings: Settings, outcome: Outcome, console: Console
) -> None:
    """One training and, in rank 0, its records or the reason why there are none."""
    threads = max(1, pool.threads_of(run, device) // (here.size if device == "cpu" else 1))
    with Board(console, f"{run.label} in {here.size} processes", run.recipe.samples) as board:

        def report(samples: int, probe: float | None) -> None:
            board.set_done(samples, run.recipe.samples)

        def say(text: str) -> None:
            console.print(f"  {text}", highlight=False, markup=False)

        try:
            made = training.run_training(run, settings.root, settings.runs, threads, device, report, say, here)
        except Exception as error:
            if here.leads:
                for protocol in run.protocols:
                    pool.keep(pool.failed_record(run, protocol, sentence(error), device), settings, outcome)
            raise
    for record in made:
        pool.keep(record, settings, outcome)
        console.print(f"  {record.identity.protocol}: {pool.headline(record)}", highlight=False)
