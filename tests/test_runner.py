"""The runner: resumes after a kill, repeats nothing finished, turns every failure into a record with a reason."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic.dataclasses import dataclass as checked
from rich.console import Console
from torch import Tensor

from hpe_bench.declare import STRICT, Batch, Codec, replace
from hpe_bench.plan import TrainingRun
from hpe_bench.records import store
from hpe_bench.run import pool
from hpe_bench.run.pool import Outcome, Settings
from hpe_bench.training.journal import JOURNAL
from hpe_bench.training.losses import HeatmapMSE
from tests import run_small, small

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = small.BRIEF.samples
BRIEF = small.training(recipe=small.BRIEF)


@checked(frozen=True, config=STRICT)
class BrokenLoss(HeatmapMSE):
    """Fails as a paper's own code may."""

    message: str = "the loss of this paper is broken"

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        raise ValueError(self.message)


@checked(frozen=True, config=STRICT)
class KilledLoss(HeatmapMSE):
    """Takes its process down without a word, as the system does for want of memory."""

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def settings(folder: Path) -> Settings:
    return Settings(results=folder / "results", runs=folder / "runs")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A folder in which the brief training has run, and what came of it; tests that write take a copy."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run_small.trained(folder, SAMPLES)


def copied(folder: Path, to: Path) -> Path:
    return shutil.copytree(folder, to, dirs_exist_ok=True)


def start(folder: Path) -> subprocess.Popen[str]:
    """The small training as a program of its own, which stands still after 4 of its 8 steps."""
    command = [sys.executable, "-m", "tests.run_small", str(folder), str(SAMPLES), "4"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def weights_of(folder: Path) -> set[tuple[str, str]]:
    found = store.load_all(folder / "results")
    return {(r.weights_sha256, r.predictions_sha256) for r in found}


def test_killed_and_started_again_it_ends_as_if_nothing_had_happened(
    trained: tuple[Path, Outcome], tmp_path: Path
) -> None:
    """At any moment, and with a program that is started again: stage `training` of `make torture`."""
    whole, made = trained
    assert len(made.made) == 2

    program = start(tmp_path)
    while not list(tmp_path.glob("runs/*/checkpoint.pt")):
        assert program.poll() is None, program.communicate()
        time.sleep(0.05)
    program.kill()
    program.wait()
    assert not list(tmp_path.glob("results/*/*.json"))
    after = run_small.trained(tmp_path, SAMPLES)
    assert (len(after.made), after.kept, len(after.failed)) == (2, 0, 0)
    assert weights_of(tmp_path) == weights_of(whole)
    (journal,) = tmp_path.glob(f"runs/*/{JOURNAL}")
    told = [json.loads(line)["samples"] for line in journal.read_text().splitlines()]
    assert (told.count(small.BRIEF.batch), told[-1]) == (1, SAMPLES)  # the first step has a checkpoint: not made again

    again = run_small.trained(tmp_path, SAMPLES)
    assert (len(again.made), again.kept, len(again.failed)) == (0, 1, 0)


def test_what_is_finished_is_kept_and_restored(trained: tuple[Path, Outcome], tmp_path: Path) -> None:
    run, (folder, first) = BRIEF, trained
    copied(folder, tmp_path)
    assert [r.identity.protocol for r in first.made] == ["small-dark", "small-quarter"]
    for path in tmp_path.glob("results/*/*.json"):
        path.unlink()
    for record in first.made:  # what pages draw: heatmaps of this model at its own size, and where it fails
        assert {s.heatmap.hw for s in record.samples if s.heatmap} == {(8, 8)}  # 48 columns at stride 32 are 2, then x4
        assert all(s.heatmap is not None for s in record.samples)
        assert record.get("diagnosis/kind/miss/wrist") is not None
        assert record.measurements[0].key == "pckh@0.5"
    second = pool.run_trainings([run], settings(tmp_path), Console(quiet=True), lambda _: 1.0)
    assert (second.made, second.kept) == ([], 1)
    assert list(store.load_all(tmp_path / "results")) == sorted(first.made, key=lambda r: r.filename)

    other_checkout = replace(settings(tmp_path), runs=tmp_path / "elsewhere")
    third = pool.run_trainings([run], other_checkout, Console(quiet=True), lambda _: 1.0)
    assert len(third.made) == 2
    assert all(c.identical for c in third.compared)
    assert len(third.compared) == 2


def test_a_failed_run_is_a_record_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    reasons = {"broken": "the loss of this paper is broken", "killed": "ended with code -9"}
    bad = [
        replace(BRIEF, recipe=replace(BRIEF.recipe, name=name, loss=loss))
        for name, loss in zip(reasons, (BrokenLoss(), KilledLoss()), strict=True)
    ]
    outcome = pool.run_trainings([*bad, BRIEF], settings(tmp_path), Console(quiet=True), lambda _: 1.0)
    assert [r.identity.recipe for r in outcome.failed] == ["broken", "broken", "killed", "killed"]
    assert {r.status for r in outcome.failed} == {"failed"}
    assert all(reasons[r.identity.recipe] in r.reason for r in outcome.failed)
    assert [r.identity.recipe for r in outcome.made] == ["small", "small"]
    again = pool.run_trainings(bad, settings(tmp_path), Console(quiet=True), lambda _: 1.0)
    assert again.kept == 0
    assert len(again.failed) == 4


def test_a_failure_never_overwrites_a_result(trained: tuple[Path, Outcome], tmp_path: Path) -> None:
    here, made = settings(copied(trained[0], tmp_path)), trained[1].made[0]
    outcome = pool.Outcome()
    pool.keep(pool.failed_record(BRIEF, BRIEF.protocols[0], "later it failed", "cpu"), here, outcome)
    assert store.load(here.results / made.identity.paper / made.filename).status == "done"


def test_changed_code_is_run_again(trained: tuple[Path, Outcome]) -> None:
    run, here = BRIEF, settings(trained[0])
    record_id = run.record_id(run.protocols[0])
    assert pool.finished(record_id, run.code, here)
    assert pool.finished(record_id, "0123456789abcdef", here) is None


def test_no_room_is_said_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="needed"):
        pool.check_room(tmp_path, 1 << 60)


def test_a_plan_names_each_training_once() -> None:
    from hpe_bench.papers.fasterpose.paper import paper

    from hpe_bench import plan

    runs = plan.study_runs(paper.studies, small.PROTOCOLS, 2)
    assert len({r.id for r in runs}) == len(runs)
    assert [r.seed for r in runs] == sorted(r.seed for r in runs)
    assert isinstance(runs[0], TrainingRun)
