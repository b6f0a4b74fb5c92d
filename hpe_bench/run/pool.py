"""The runner: trainings in processes of their own, costs and baselines in this one; what is finished is not run again.

State lies in two folders. `runs/` is this checkout's own: checkpoints, weights, predictions, and a copy of every
record made here, which is what marks a run as finished. `results/` holds the records, committed when worth publishing:
a record that came with the checkout does not stop a run, it is what the run is compared with.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rich.console import Console

from hpe_bench import files
from hpe_bench.declare import Protocol, fingerprint
from hpe_bench.errors import notices_to, sentence
from hpe_bench.plan import CostRun, MeanPoseRun, TrainingRun
from hpe_bench.processes import adopt, belong_to_parent, forking
from hpe_bench.records import store
from hpe_bench.records.schema import Identity, RunRecord
from hpe_bench.terminal import Board

HOST_THREADS = 2  # of a training on a GPU
GOODBYE_SECONDS = 5.0  # for a process to end when it is asked to
PRELOADED = ("hpe_bench.run.training", "torch._inductor")  # the second is what PyTorch's switches and optimisers import


@dataclass(frozen=True)
class Settings:
    """Where things lie and with how much of the machine they run."""

    results: Path
    runs: Path
    root: str | None = None
    workers: int = 1
    device: str = "cpu"
    missing_only: bool = False  # whether a record in `results` of the present code stands for its run, made here or not


@dataclass
class Outcome:
    """What came of a plan."""

    made: list[RunRecord] = field(default_factory=list)
    kept: int = 0
    failed: list[RunRecord] = field(default_factory=list)
    compared: list[RecordComparison] = field(default_factory=list)

    def merge(self, other: Outcome) -> Outcome:
        """This outcome and another one."""
        return Outcome(
            self.made + other.made, self.kept + other.kept, self.failed + other.failed, self.compared + other.compared
        )


@dataclass(frozen=True)
class RecordComparison:
    """A new record beside the one that was in `results/` before it."""

    new: RunRecord
    old: RunRecord

    @property
    def identical(self) -> bool:
        """The same predictions to the bit."""
        return self.new.predictions_sha256 == self.old.predictions_sha256


# ---------------------------------------------------------------------------------------------------- keeping records


def finished(record_id: str, code: str, settings: Settings) -> RunRecord | None:
    """The record this checkout made for a run with this code, if it did. A damaged one is said and set aside.

    With `missing_only` one that came with the checkout serves as well, if it says that it is of this code.
    """
    path = settings.runs / "records" / f"{record_id}.json"
    if files.state(path) == "damaged":
        files.set_aside(path, "and the run counts as not finished")
    record = _readable(path)
    if record is not None and record.identity.code in ("", code):
        return record
    return _published(record_id, code, settings) if settings.missing_only else None


def _published(record_id: str, code: str, settings: Settings) -> RunRecord | None:
    """The finished record of a run with this code in `results/`, wherever it was made."""
    for path in settings.results.glob(f"*/*__{record_id}.json"):
        record = _readable(path)
        if record is not None and record.status == "done" and record.identity.code == code:
            return record
    return None


def keep(record: RunRecord, settings: Settings, outcome: Outcome) -> None:
    """Write a record to `results/`, mark its run as finished here, note what it replaces."""
    path = settings.results / record.identity.paper / record.filename
    old = _readable(path)
    if record.status == "done":
        store.save(record, settings.results)
        files.write_with_digest(settings.runs / "records" / f"{record.id}.json", path.read_bytes())
        outcome.made.append(record)
        if old is not None and old.predictions_sha256:
            outcome.compared.append(RecordComparison(record, old))
    else:
        if old is None or old.status != "done":
            store.save(record, settings.results)
        outcome.failed.append(record)


def _readable(path: Path) -> RunRecord | None:
    """The record at a path; None if there is none, or only a damaged one (which the new record replaces)."""
    try:
        return store.load(path) if path.exists() else None
    except store.RecordError:
        return None


def restore_missing(record: RunRecord, settings: Settings) -> None:
    """Put a finished run's record back where somebody removed it from `results/`."""
    if not (settings.results / record.identity.paper / record.filename).exists():
        store.save(record, settings.results)


def check_room(folder: Path, need_bytes: int) -> None:
    """OSError (disk full) before work starts, rather than after, if `folder` has less room than is surely needed."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise OSError(errno.ENOSPC, f"{free >> 20} MiB free, {need_bytes >> 20} MiB needed", str(folder))


# ---------------------------------------------------------------------------------------------------- training


def run_trainings(
    plan: list[TrainingRun],
    settings: Settings,
    console: Console,
    weigh: Callable[[TrainingRun], float],
    weights: bool = False,
) -> Outcome:
    """Run the trainings that are not finished, `workers` at a time. Ctrl-C stops at the last checkpoint of each.

    `weigh` gives the relative cost of one sample of a training, for the estimate of the time left. With `weights` those
    whose weights are no longer there are run again, too.
    """
    outcome = Outcome()
    todo = unfinished(plan, settings, weights)
    left = {run.id for run in todo}
    for run in (run for run in plan if run.id not in left):
        outcome.kept += 1
        for protocol in run.protocols:
            there = finished(run.record_id(protocol), run.code, settings)
            assert there is not None
            restore_missing(there, settings)
    todo = [*_lost_teachers(todo, settings), *todo]
    if not todo:
        return outcome
    check_room(settings.runs, 64 << 20)
    relative = {run.id: weigh(run) for run in todo}
    work = sum(run.recipe.samples * relative[run.id] for run in todo)
    title = f"{len(todo)} training{'s' if len(todo) > 1 else ''}, {settings.workers} at a time"
    with Board(console, title, work) as board:
        _Pool(todo, settings, board, outcome, relative).run()
    return outcome


def unfinished(plan: Iterable[TrainingRun], settings: Settings, weights: bool = False) -> list[TrainingRun]:
    """The trainings that a record is missing of, under one protocol or more; or whose `weights` are wanted and gone."""
    from hpe_bench.run.training import is_trained

    return [
        run
        for run in plan
        if not all(finished(run.record_id(p), run.code, settings) for p in run.protocols)
        or (weights and not is_trained(settings.runs / run.folder))
    ]


def _lost_teachers(todo: list[TrainingRun], settings: Settings) -> list[TrainingRun]:
    """Teachers that are finished but whose weights are no longer there, or damaged, each once."""
    from hpe_bench.run.training import is_trained

    ids = {run.id for run in todo}
    teachers = {run.teacher.id: run.teacher for run in todo if run.teacher is not None}
    return [t for t in teachers.values() if t.id not in ids and not is_trained(settings.runs / t.folder)]


@dataclass(frozen=True)
class _Job:
    """A training in its process, and the pipe that its messages come through."""

    run: TrainingRun
    process: BaseProcess
    wire: Connection


class _Pool:
    """A few processes at a time, one per run, none before its teacher. Each has a pipe of its own, which the system
    closes at both ends when a process is gone: neither side ever waits for one that is not there.
    """

    def __init__(
        self,
        todo: list[TrainingRun],
        settings: Settings,
        board: Board,
        outcome: Outcome,
        weights: dict[str, float],
    ) -> None:
        self.waiting = list(todo)
        self.settings, self.board, self.outcome, self.weights = settings, board, outcome, weights
        self.running: dict[str, _Job] = {}
        self.failed: set[str] = set()

    def run(self) -> None:
        try:
            while self.waiting or self.running:
                while len(self.running) < self.settings.workers and (run := self._next()) is not None:
                    self._start(run)
                self._listen()
        finally:
            for job in self.running.values():
                job.process.terminate()
            for job in self.running.values():
                job.process.join(GOODBYE_SECONDS)
                job.process.kill()

    def _next(self) -> TrainingRun | None:
        """The first waiting run whose teacher is neither waiting nor running; one whose teacher failed fails too."""
        busy = {run.id for run in self.waiting} | set(self.running)
        for run in self.waiting:
            if run.teacher is None or run.teacher.id not in busy:
                self.waiting.remove(run)
                if run.teacher is None or run.teacher.id not in self.failed:
                    return run
                self._give_up(run, f"its teacher, {run.teacher.label}, failed")
                return self._next()
        return None

    def _start(self, run: TrainingRun) -> None:
        context = _context(self.settings.device)
        ours, theirs = context.Pipe(duplex=False)
        work = pickle.dumps((run, self.settings, threads_of(run, self.settings.device)))
        process = context.Process(target=_child, args=(work, dict(os.environ), theirs), daemon=True)
        process.start()
        theirs.close()
        self.running[run.id] = _Job(run, process, ours)
        self.board.job(run.id, run.label, run.recipe.samples)

    def _listen(self) -> None:
        """Take one message of every process that has something to say."""
        ready = set(wait([job.wire for job in self.running.values()], timeout=0.5))
        for run_id, job in list(self.running.items()):
            if job.wire in ready:
                try:
                    kind, payload = job.wire.recv()
                except (EOFError, OSError):
                    self._reap(run_id)
                else:
                    self._take(run_id, kind, payload)

    def _take(self, run_id: str, kind: str, payload: Any) -> None:
        job = self.running[run_id]
        if kind == "samples":
            seen, probe = payload
            note = None if probe is None else f"probe {probe:.1f}"
            self.board.job_at(run_id, seen, self.weights[run_id], note)
        elif kind == "said":
            self.board.console.print(f"  {job.run.label}: {payload}", highlight=False, markup=False)
        elif kind == "done":
            for record in payload:
                keep(record, self.settings, self.outcome)
            self._end(run_id, f"{job.run.label}: {headline(payload[0])}")
        else:
            self._fail(run_id, payload)

    def _reap(self, run_id: str) -> None:
        """A process that ended without a word was killed, by the system for want of memory as a rule."""
        process = self.running[run_id].process
        process.join(GOODBYE_SECONDS)
        self._fail(run_id, f"its process ended with code {process.exitcode} (memory ran out?)")

    def _fail(self, run_id: str, reason: str) -> None:
        run = self.running[run_id].run
        self._give_up(run, reason)
        self._end(run_id, f"{run.label}: failed: {reason}")

    def _give_up(self, run: TrainingRun, reason: str) -> None:
        self.failed.add(run.id)
        for protocol in run.protocols:
            keep(failed_record(run, protocol, reason, self.settings.device), self.settings, self.outcome)

    def _end(self, run_id: str, text: str) -> None:
        job = self.running.pop(run_id)
        job.wire.close()
        job.process.join(GOODBYE_SECONDS)
        self.board.job_at(run_id, job.run.recipe.samples, self.weights[run_id])
        self.board.job_done(run_id, text)


def _context(device: str) -> Any:
    """How to start trainings: from what they import anyway, but for those on a GPU, whose driver survives no fork."""
    return forking(PRELOADED) if device == "cpu" else multiprocessing.get_context("spawn")


def _child(work: bytes, environment: dict[str, str], wire: Connection) -> None:
    """Entry of a training process: never prints, never outlives the runner."""
    adopt(environment)
    belong_to_parent()
    from hpe_bench import catalog
    from hpe_bench.run import training  # the catalog makes user folders importable before the job is unpickled

    catalog.slugs()
    run, settings, threads = pickle.loads(work)
    last = time.monotonic()

    def report(samples: int, probe: float | None) -> None:
        nonlocal last
        if probe is not None or time.monotonic() - last > 0.5:
            last = time.monotonic()
            wire.send(("samples", (samples, probe)))

    def say(text: str) -> None:
        wire.send(("said", text))

    try:
        with notices_to(say):
            made = training.run_training(run, settings.root, settings.runs, threads, settings.device, report, say)
        wire.send(("done", made))
    except Exception as error:
        wire.send(("failed", sentence(error)))


def threads_of(run: TrainingRun, device: str) -> int:
    """Threads of a training: one for a miniature, so that its bits are the same on any machine; all for a full-size one
    on the processor; a few where a GPU does the work.
    """
    if run.variant.scale == "pocket":
        return 1
    cores = os.cpu_count() or 1
    return cores if device == "cpu" else min(HOST_THREADS, cores)


def headline(record: RunRecord) -> str:
    """First measurement of a record, as text."""
    m = record.measurements[0]
    interval = f" [{m.interval[0]:.1f}, {m.interval[1]:.1f}]" if m.interval else ""
    return f"{m.key} {m.value:.2f}{interval}"


def failed_record(run: TrainingRun, protocol: Protocol, reason: str, device: str) -> RunRecord:
    """What a run leaves that could not be finished."""
    from hpe_bench.records import provenance

    identity = Identity(
        kind="accuracy",
        scale=run.variant.scale,
        paper=run.paper,
        variant=run.variant.name,
        variant_hash=fingerprint(run.variant),
        recipe=run.recipe.name,
        recipe_hash=fingerprint(run.recipe),
        protocol=protocol.name,
        protocol_hash=fingerprint(protocol),
        seed=run.seed,
        execution=run.execution.words,
        code=run.code,
    )
    made = provenance.collect(datetime.now(UTC), device, 1)
    return RunRecord(id=run.record_id(protocol), identity=identity, status="failed", reason=reason, provenance=made)


# ---------------------------------------------------------------------------------------------------- the rest


def run_mean_poses(plan: Iterable[MeanPoseRun], settings: Settings) -> Outcome:
    """Score the mean pose under each protocol."""
    from hpe_bench.run import training

    outcome = Outcome()
    for run in plan:
        if (record := finished(run.id, run.code, settings)) is not None:
            restore_missing(record, settings)
            outcome.kept += 1
        else:
            keep(training.run_mean_pose(run, settings.root, settings.runs), settings, outcome)
    return outcome


def run_costs(plan: list[CostRun], settings: Settings, console: Console) -> Outcome:
    """Count the variants that were not counted here yet, and time those that were not timed; nothing else runs.

    Interrupted, it goes on where it was: every record is written as soon as it is whole, and rows that were timed of
    others are kept under `runs/timing`.
    """
    from hpe_bench.run import costs, latency

    outcome, to_count = Outcome(), []
    to_time: dict[str, latency.LatencyRun] = {}
    for run in plan:
        timing = costs.latency_run(run)
        for record_id, todo in ((run.id, None), (timing.id, timing)):
            if (record := finished(record_id, run.code, settings)) is not None:
                restore_missing(record, settings)
                outcome.kept += 1
            elif todo is None:
                to_count.append(run)
            else:
                to_time[todo.id] = todo
    if to_count:
        with Board(console, f"counts of {len(to_count)} model{'s' if len(to_count) > 1 else ''}", 1) as board:
            for record in costs.run_counts(to_count, board.set_done):
                keep(record, settings, outcome)
    if to_time:
        with Board(console, f"latency of {len(to_time)} model{'s' if len(to_time) > 1 else ''}", 1) as board:
            latency.measure(
                list(to_time.values()),
                costs.plan(),
                board.set_done,
                done=lambda record: keep(record, settings, outcome),
                kept=latency.KeptTimes(settings.runs / "timing"),
                peak=False,
                persons=costs.CHECKED_PERSONS,
            )
    return outcome
