"""Trainings as Slurm jobs, on a real Slurm of one node where it is installed; and what is refused without one."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from hpe_bench.commands import slurm
from tests.slurm import cluster

SECONDS = 120.0


@pytest.fixture(scope="module")
def here() -> Iterator[Path]:
    """A running cluster, or a skip that says why there is none."""
    if reason := cluster.missing():
        pytest.skip(reason)
    pytest.importorskip("submitit")
    with cluster.running() as configuration:
        yield configuration


class Telling(slurm.Rank):
    """Writes who it is instead of running a command; the folder is its first argument."""

    def __call__(self) -> int:
        import submitit

        if submitit.JobEnvironment().num_tasks > 1:
            submitit.helpers.TorchDistributedEnvironment().export()
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_RESTART_COUNT")
        found = {name: os.environ.get(name, "") for name in names} | {"arguments": self.arguments[1:]}
        job = submitit.JobEnvironment()
        path = Path(self.arguments[0]) / f"{job.job_id}-{job.global_rank}-{found['SLURM_RESTART_COUNT'] or 0}.json"
        path.with_suffix(".part").write_text(json.dumps(found))
        path.with_suffix(".part").replace(path)
        return job.global_rank


class Patient(Telling):
    """Waits at its first start, to be preempted; done at its second."""

    def __call__(self) -> int:
        super().__call__()
        if not os.environ.get("SLURM_RESTART_COUNT"):
            time.sleep(60)
        return 7


def told(folder: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def submitted(
    folder: Path, kind: type[slurm.Rank], arguments: list[str], seeds: int = 1, devices: int = 1
) -> list[object]:
    return slurm.submit(
        arguments,
        seeds=seeds,
        nodes=1,
        devices=devices,
        on_gpu=False,
        minutes=5,
        folder=folder / "logs",
        console=Console(quiet=True),
        extra={"additional_parameters": {"oversubscribe": True}},
        kind=kind,
    )


def ended(job: object) -> None:
    """Wait for a job, not for ever."""
    until = time.monotonic() + SECONDS
    while not job.done():  # type: ignore[attr-defined]
        assert time.monotonic() < until, job.state  # type: ignore[attr-defined]
        time.sleep(0.5)


def test_an_array_runs_a_job_for_every_seed(here: Path, tmp_path: Path) -> None:
    jobs = submitted(tmp_path, Telling, [str(tmp_path), "--seeds", "3"], seeds=3)
    for job in jobs:
        ended(job)
    assert [found["arguments"] for found in told(tmp_path)] == [["--seed", str(n)] for n in range(3)]


def test_the_processes_of_a_job_know_each_other(here: Path, tmp_path: Path) -> None:
    (job,) = submitted(tmp_path, Telling, [str(tmp_path)], devices=2)
    ended(job)
    assert [(found["RANK"], found["WORLD_SIZE"]) for found in told(tmp_path)] == [("0", "2"), ("1", "2")]


def test_a_command_that_fails_is_a_job_that_fails_with_its_sentence(here: Path, tmp_path: Path) -> None:
    (job,) = submitted(tmp_path, slurm.Rank, ["new", "Nobody"])  # which imports no torch before it fails
    ended(job)
    assert "ended with code 2" in str(job.exception())  # type: ignore[attr-defined]
    assert "'Nobody' cannot name a paper" in job.stderr()  # type: ignore[attr-defined]


def test_a_preempted_job_starts_again(here: Path, tmp_path: Path) -> None:
    """Requeued by Slurm, or told that its time is up; side by side, since Slurm takes its time with both."""
    orders = {"requeued": ["scontrol", "requeue"], "told": ["scancel", "--signal=USR2"]}
    until, numbers = time.monotonic() + SECONDS, {}
    for name in orders:
        (tmp_path / name).mkdir()
        (job,) = submitted(tmp_path / name, Patient, [str(tmp_path / name)])
        numbers[name] = job.job_id  # type: ignore[attr-defined]

    def wait_for_starts(count: int) -> None:
        while any(len(told(tmp_path / name)) < count for name in orders):
            assert time.monotonic() < until, subprocess.run(["scontrol", "show", "job"], capture_output=True).stdout
            time.sleep(0.2)

    wait_for_starts(1)
    time.sleep(1.0)  # they sleep by now
    for name, order in orders.items():
        subprocess.run([*order, numbers[name]], check=True)
    wait_for_starts(2)
    for name in orders:
        assert [found["SLURM_RESTART_COUNT"] for found in told(tmp_path / name)] == ["", "1"], name


# ---------------------------------------------------------------------------------------------------- without one


def test_without_slurm_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ValueError, match="no Slurm here"):
        slurm.check()


@pytest.mark.parametrize(("text", "minutes"), [("90", 90), ("12:00:00", 720), ("1-00:00:30", 1441), ("0:00:10", 1)])
def test_limits_are_read_as_slurm_writes_them(text: str, minutes: int) -> None:
    assert slurm.minutes_of(text) == minutes


def test_other_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="write minutes, HOURS:MM:SS"):
        slurm.minutes_of("two hours")


def test_a_job_runs_the_command_without_how_it_is_launched() -> None:
    given = [
        "reproduce",
        "hrnet",
        "--launcher",
        "slurm",
        "--nodes=2",
        "--time",
        "1:00:00",
        "--seeds",
        "2",
        "--scale",
        "full",
    ]
    assert slurm.without_own(given) == ["reproduce", "hrnet", "--scale", "full"]
