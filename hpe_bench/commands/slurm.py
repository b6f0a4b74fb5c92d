"""Trainings as Slurm jobs, through submitit: the same command on other machines, requeued where it was preempted."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from hpe_bench.errors import not_installed

OWN = ("--launcher", "--nodes", "--time", "--devices", "--seeds")  # options that the job does without


class Rank:
    """What every process of a job does: meet the others, then run the command, which goes on from its checkpoint."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = list(arguments)

    def __call__(self) -> int:
        import submitit

        if submitit.JobEnvironment().num_tasks > 1:
            submitit.helpers.TorchDistributedEnvironment().export()
        from hpe_bench.cli import main

        sys.argv = ["hpe-bench", *self.arguments]
        try:
            main()
        except SystemExit as ended:
            if ended.code not in (0, None):
                raise RuntimeError(f"hpe-bench ended with code {ended.code}; its output says why") from None
        return 0

    def checkpoint(self, *_: Any) -> Any:
        """What submitit submits again when the job is preempted or its time is up."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def check() -> None:
    """ValueError where Slurm or submitit is not there."""
    if importlib.util.find_spec("submitit") is None:
        raise ValueError(f"--launcher slurm: {not_installed('submitit', 'slurm')}")
    if shutil.which("sbatch") is None:
        raise ValueError("--launcher slurm: there is no Slurm here (no sbatch); submit from its login node")


def submit(
    arguments: Sequence[str],
    *,
    seeds: int,
    nodes: int,
    devices: int,
    on_gpu: bool,
    minutes: int,
    folder: Path,
    console: Console,
    extra: dict[str, Any] | None = None,
    kind: type[Rank] = Rank,
) -> list[Any]:
    """Submit one job, or an array of one a seed; says where logs lie. ValueError where there is no Slurm.

    `devices` are those of a node, each a process of its own; `extra` are further options of sbatch.
    """
    check()
    import submitit

    folder.mkdir(parents=True, exist_ok=True)
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=20)
    options: dict[str, Any] = {"job_name": "hpe-bench", "nodes": nodes, "ntasks_per_node": devices, "time": minutes}
    if on_gpu:
        options["gpus_per_node"] = devices
    executor.update_parameters(**options, **(extra or {}))
    own = without_own(arguments)
    ranks = [kind([*own, "--seed", str(seed)]) for seed in range(seeds)] if seeds > 1 else [kind(own)]
    jobs = [executor.submit(ranks[0])] if seeds == 1 else executor.submit_array(ranks)
    for job in jobs:
        console.print(f"submitted as job {job.job_id}; its output: {job.paths.stdout}", highlight=False, markup=False)
    return list(jobs)


def without_own(arguments: Sequence[str]) -> list[str]:
    """A command line without what says how it is launched."""
    kept, skip = [], False
    for word in arguments:
        if skip:
            skip = False
        elif word in OWN:
            skip = True
        elif not word.startswith(tuple(f"{option}=" for option in OWN)):
            kept.append(word)
    return kept


def minutes_of(text: str) -> int:
    """Minutes of a time limit, such as 90 or 12:00:00 or 1-12:00:00, as Slurm writes them; ValueError for others."""
    match = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):(\d\d):(\d\d))|(\d+)", text)
    if match is None:
        raise ValueError(f"--time {text!r}: write minutes, HOURS:MM:SS or DAYS-HOURS:MM:SS")
    days, hours, minutes, seconds, alone = (int(part or 0) for part in match.groups())
    return max(alone or days * 1440 + hours * 60 + minutes + (seconds > 0), 1)
