"""The stopwatch: subjects in processes of their own, called in turns, so that whatever drifts hits all alike (M8).

A subject is something to be timed, such as a network in a runtime. Each gets a worker, a process of its own with its
number of threads set (M2), prepares there, warms up, and then waits for its turns: one worker at a time works, round by
round. A subject that raises, crashes or hangs fails alone, with the reason.

Timed are single calls (M3), by the subject's own clock. A turn of several calls begins with one that is not kept, as
others have used the caches since. Where the spread (interquartile range over median) of a part is above `WIDE_SPREAD`,
something disturbed it: it is timed again while its share of the time lasts, and the attempt of least spread is kept.

Time is bounded: the parts that are timed in turns have a share each (`Plan.share_s`, more for subjects whose calls are
known to be long), which they use in common. When it is spent the turns end, after at least `FEWEST_ROUNDS`; a part
that has not settled by then says so. A busy machine makes worse times, and no long wait.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hpe_bench.cost.energy import RAPL, Meter, RaplMeter
from hpe_bench.errors import sentence
from hpe_bench.processes import adopt, belong_to_parent, forking
from hpe_bench.timing.statistics import spread

ROUNDS = 10  # turns that each part gets
FEWEST_ROUNDS = 3  # that it gets even if its share is spent; below half of ROUNDS it has not settled
MAX_CALLS_PER_ROUND = 20
WARM_WINDOW = 3  # calls; warm-up ends when the medians of two successive windows agree ...
WARM_TOLERANCE = 0.05  # ... to this fraction,
WARM_LIMIT, WARM_SECONDS = 30, 5.0  # or after this many calls or seconds
WARM_SHARE = 0.5  # of what is left of the parts' common time, at the most for warming up
WIDE_SPREAD = 0.15  # on an idle machine it stays below 0.05; a neighbour that wakes up makes it 0.3 and more
PREPARE_SHARE = 0.3  # of the expected time, at a guess, goes into preparing
PREPARE_SECONDS = 1.5  # that a subject is expected to take before it is ready, for the estimate of the time left
STEADY_SECONDS = 10.0  # of work for a reading of the energy, whose counters advance slowly (M9)
GOODBYE_SECONDS = 1.0  # for processes to end by themselves
PRELOADED = ("hpe_bench.timing.subjects",)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class Prepared:
    """What a subject can do once it is ready."""

    parts: dict[str, Callable[[], float]]  # each call does the work once and returns its time in ms
    refused: dict[str, str] = field(default_factory=dict)  # parts that it cannot do, and why
    facts: dict[str, float] = field(default_factory=dict)  # found while preparing, such as a deviation
    task: Callable[[], Any] | None = None  # done once after all timing; its result can be pickled


class Subject(ABC):
    """Something to be timed. It travels to its worker, so it can be pickled and holds nothing heavy."""

    threads: int

    @abstractmethod
    def prepare(self) -> Prepared:
        """Build what is called, in the subject's own process."""

    def expected_ms(self) -> float:
        """What a call is expected to take, roughly; longer calls have a larger share of the time. 0: short."""
        return 0.0

    def meter(self) -> Meter | str:
        """What reads the energy of the device it works on, or why nothing does."""
        return RaplMeter.open(RAPL)


@dataclass(frozen=True)
class Warm:
    """What warming up came to: calls made, median of the last ones, and whether it stood still."""

    calls: int
    median_ms: float
    settled: bool


@dataclass(frozen=True)
class Times:
    """The calls of a part, in ms, round by round in the order taken; every round has as many."""

    rounds_ms: tuple[tuple[float, ...], ...]
    warmup_calls: int
    settled: bool  # the median stood still after the warm-up, rounds are enough, and the spread is narrow
    attempts: int

    @property
    def spread(self) -> float:
        """Interquartile range over median."""
        return spread(self.rounds_ms)


@dataclass
class Measured:
    """What came of a subject. `failure` says why its process ended early; a part has times or a reason."""

    failure: str = ""
    parts: dict[str, Times | str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    peak_rss_bytes: int | None = None  # since it was ready
    result: Any = None  # of its task
    task_failure: str = ""
    joules: dict[str, float] = field(default_factory=dict)  # a call, by part


@dataclass(frozen=True)
class Plan:
    """How long things may take: timed calls of a part (about), its share in all, preparing a subject, and one turn.

    A part's share holds its warm-up, its turns and further attempts (`attempts` in all, where its spread is wide). What
    one part leaves of it the others use.
    """

    seconds: float = 2.0
    attempts: int = 3
    limit_s: float = 180.0
    turn_limit_s: float = 180.0
    builders: int = 1  # subjects that are prepared at a time
    share_s: float = 20.0
    steady_seconds: float = STEADY_SECONDS  # of work for a reading of the energy; 0 reads none

    def share_of(self, subject: Subject) -> float:
        """Seconds for each part of a subject: its own share, and the calls it cannot do without if they are long."""
        return self.share_s + (2 * WARM_WINDOW + ROUNDS) * subject.expected_ms() / 1e3

    def expected_s(self, subjects: Sequence[Subject]) -> float:
        """About how long all of it takes, if every part uses its share."""
        shares = sum(self.share_of(s) for s in subjects)
        return shares + PREPARE_SECONDS * len(subjects) / self.builders


Tick = Callable[[float, float], None]
"""Told of progress: seconds gone, and about how many there will be in all."""


def interleave(
    subjects: Sequence[Subject], plan: Plan, tick: Tick = lambda done, total: None, expected_s: float | None = None
) -> list[Measured]:
    """Prepare all subjects, then time all their parts in turns; what was measured, in the order of the subjects.

    `expected_s` is the first estimate of what it takes; without one, what it may take at the most.
    Processes are gone when this returns or raises.
    """
    shares_s = sum(plan.share_of(s) for s in subjects)
    progress = _Progress(plan.expected_s(subjects) if expected_s is None else expected_s, shares_s, tick)
    workers = [_Worker(subject, plan) for subject in subjects]
    try:
        _prepare(workers, plan, progress)
        _take_turns([part for worker in workers for part in worker.parts], plan, progress)
        _collect(workers)
    finally:
        _end(workers)
    return [worker.measured for worker in workers]


class _Progress:
    """Seconds gone and seconds left: by what is done of each step so far, and what was expected of later ones."""

    def __init__(self, expected_s: float, turns_s: float, tick: Tick) -> None:
        self.expected_s, self.turns_s, self.tick = expected_s, turns_s, tick  # in all; turns at the most
        self.started = time.monotonic()

    def prepared(self, done: int, of: int) -> None:
        """Some subjects are ready; turns take the longer the slower the machine is, up to their share."""
        gone = time.monotonic() - self.started
        if done:
            preparing_s = gone * of / done
            late = max(1.0, preparing_s / max(PREPARE_SHARE * self.expected_s, 1e-3))
            turns_s = min(self.turns_s, (1 - PREPARE_SHARE) * self.expected_s * late)
            self.say(preparing_s - gone + turns_s)
        else:
            self.say(max(self.expected_s - gone, 1.0))

    def say(self, left_s: float) -> None:
        """Tell the time left."""
        gone = time.monotonic() - self.started
        self.tick(gone, gone + left_s)


# ---------------------------------------------------------------------------------------------------- steps


def _prepare(workers: list[_Worker], plan: Plan, progress: _Progress) -> None:
    """Start the processes, a few at a time, and wait until each is ready or has failed."""
    waiting, busy = list(workers), list[_Worker]()
    while waiting or busy:
        while waiting and len(busy) < plan.builders:
            worker = waiting.pop(0)
            worker.start()
            busy.append(worker)
        left = min(worker.deadline for worker in busy) - time.monotonic()
        wait([worker.wire for worker in busy], max(left, 0))
        for worker in list(busy):
            if worker.wire.poll() or time.monotonic() >= worker.deadline:
                worker.ready()
                busy.remove(worker)
        progress.prepared(len(workers) - len(waiting) - len(busy), len(workers))


def _take_turns(parts: list[_Part], plan: Plan, progress: _Progress) -> None:
    """Warm every part up, then time them in turns; those of wide spread again, while there is time."""
    started = time.monotonic()
    deadline = started + sum(part.share_s for part in parts)
    for k, part in enumerate(parts):
        left = WARM_SHARE * (deadline - time.monotonic()) * part.share_s / sum(p.share_s for p in parts[k:])
        part.warm_up(left)
        now = time.monotonic()
        turns_s = sum(ROUNDS * p.plan_turns(plan.seconds) for p in parts[: k + 1])
        foreseen_s = ((now - started) * (len(parts) - k - 1) + turns_s * len(parts)) / (k + 1)
        progress.say(max(min(foreseen_s, deadline - now), 0.0))
    todo = [part for part in parts if not part.fault]
    for attempt in range(plan.attempts):
        if not todo:
            return
        need = ROUNDS * sum(part.plan_turns(plan.seconds) for part in todo)
        left = deadline - time.monotonic()
        if attempt and need > left:
            return
        if need > left:
            for part in todo:
                part.shorten(max(left, 0.0) / need)
        _rounds(todo, deadline, progress)
        todo = [part for part in todo if part.wide]


def _rounds(parts: list[_Part], deadline: float, progress: _Progress) -> None:
    """One attempt: rounds until there are enough or time is up, and what they came to."""
    for part in parts:
        part.begin()
    started = time.monotonic()
    for done in range(1, ROUNDS + 1):
        for part in parts:
            part.turn()
        now = time.monotonic()
        if now >= deadline and done >= FEWEST_ROUNDS:
            break
        mean_s, fewest = (now - started) / done, max(FEWEST_ROUNDS - done, 0)
        progress.say(max(min((ROUNDS - done) * mean_s, deadline - now), fewest * mean_s))
    for part in parts:
        part.finish()


def _collect(workers: list[_Worker]) -> None:
    """What is asked of every subject once all are timed: memory, energy where it can be read, and its task."""
    for worker in workers:
        worker.tell_memory()
        worker.measure_energy()
        worker.do_task()


def _end(workers: list[_Worker]) -> None:
    """Let every process end by itself, and end those that do not."""
    there = [worker for worker in workers if worker.process is not None]
    for worker in there:
        worker.wire.close()
    deadline = time.monotonic() + GOODBYE_SECONDS
    for worker in there:
        worker.process.join(max(deadline - time.monotonic(), 0))
        worker.end()


# ---------------------------------------------------------------------------------------------------- the parent's side


class _LostError(Exception):
    """A worker's process is gone; says why."""


class _Worker:
    """A subject's process, as seen from here."""

    def __init__(self, subject: Subject, plan: Plan) -> None:
        self.subject, self.plan = subject, plan
        self.measured = Measured()
        self.process: Any = None
        self.parts: list[_Part] = []  # to be timed
        self.wire: Connection
        self.deadline = 0.0

    def start(self) -> None:
        """Start the process, which begins to prepare."""
        context = forking(PRELOADED)
        self.wire, theirs = context.Pipe()
        job = pickle.dumps(self.subject)
        arguments = (job, self.subject.threads, dict(os.environ), theirs)
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.deadline = time.monotonic() + self.plan.limit_s

    def ready(self) -> None:
        """Take what the process says when it is ready."""
        try:
            found = self._answer(
                max(self.deadline - time.monotonic(), 0), f"was not ready within {self.plan.limit_s:.0f} s"
            )
        except (_LostError, ValueError) as error:
            self.measured.failure = str(error)
            self.end()
            return
        parts, self.measured.refused, self.measured.facts = found
        self.parts = [_Part(self, part, self.plan.share_of(self.subject)) for part in parts]

    def ask(self, order: str, *what: object, limit_s: float | None = None) -> Any:
        """An order's answer. ValueError where it raised there; _LostError if the process is gone or had to be ended."""
        if self.process is None:
            raise _LostError(self.measured.failure)
        try:
            self.wire.send((order, *what))
            limit_s = limit_s or self.plan.turn_limit_s
            return self._answer(limit_s, f"did not answer within {limit_s:.0f} s")
        except OSError:
            return self._lost("")
        except _LostError as error:
            self.measured.failure = self.measured.failure or str(error)
            raise

    def _answer(self, seconds: float, hung: str) -> Any:
        try:
            if not self.wire.poll(seconds):
                self._lost(hung)
            kind, payload = self.wire.recv()
        except (EOFError, ConnectionError):
            self._lost("")
        if kind == "raised":
            raise ValueError(payload)
        return payload

    def _lost(self, reason: str) -> None:
        """End the process and say how it came to that."""
        if not reason:
            self.process.join(5)
            reason = _ended(self.process.exitcode)
        self.measured.failure = reason
        self.end()
        raise _LostError(reason)

    def tell_memory(self) -> None:
        if self.process is not None:
            self.measured.peak_rss_bytes = self._quietly("memory")

    def measure_energy(self) -> None:
        """Joules a call of every part that was timed, the idle machine's share included; where there is a meter."""
        if not self.plan.steady_seconds:
            return
        meter = self.subject.meter()
        for part, times in self.measured.parts.items():
            if isinstance(meter, Meter) and isinstance(times, Times) and self.process is not None:
                before = meter.joules()
                calls = self._quietly("steady", part, self.plan.steady_seconds)
                if calls:
                    self.measured.joules[part] = (meter.joules() - before) / calls

    def do_task(self) -> None:
        """Let the subject do its task; it has all the time it needs, as it is bounded by its data."""
        if self.process is None:
            return
        try:
            self.measured.result = self.ask("task", limit_s=3600.0)
        except (_LostError, ValueError) as error:
            self.measured.task_failure = str(error)

    def _quietly(self, order: str, *what: object) -> Any:
        """An order whose failure costs only its own answer."""
        try:
            return self.ask(order, *what)
        except (_LostError, ValueError):
            return None

    def end(self) -> None:
        """End the process, whatever it is doing."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.wire.close()
            self.process = None


class _Part:
    """One part of a subject, and its times so far."""

    def __init__(self, worker: _Worker, name: str, share_s: float) -> None:
        self.worker, self.name, self.share_s = worker, name, share_s
        self.warm = Warm(0, 0.0, False)
        self.calls = 1
        self.attempts = 0
        self.taken: list[tuple[float, ...]] = []
        self.best: tuple[tuple[float, ...], ...] = ()
        self.fault = ""

    def warm_up(self, seconds: float) -> None:
        """At most for so many seconds, but for two windows of calls at least where they are short."""
        answer = self._ask("warm", min(max(seconds, 0.0), WARM_SECONDS))
        if answer is not None:
            self.warm = answer

    def plan_turns(self, seconds: float) -> float:
        """Decide on the calls of a turn; the seconds that it will take."""
        wanted = round(1e3 * seconds / ROUNDS / max(self.warm.median_ms, 1e-3))
        self.calls = min(max(1, wanted), MAX_CALLS_PER_ROUND)
        return self._turn_s

    @property
    def _turn_s(self) -> float:
        return (self.calls + (self.calls > 1)) * self.warm.median_ms / 1e3

    def shorten(self, factor: float) -> None:
        """Fewer calls a turn, for want of time."""
        self.calls = max(1, int(self.calls * factor))

    @property
    def wide(self) -> bool:
        """Whether it wants to be timed again."""
        return not self.fault and spread(self.best) > WIDE_SPREAD

    def begin(self) -> None:
        self.taken = []

    def turn(self) -> None:
        """A few calls."""
        if not self.fault:
            times = self._ask("turn", self.calls)
            if times is not None:
                self.taken.append(tuple(round(ms, 4) for ms in times))

    def finish(self) -> None:
        """Keep this attempt if it is the steadiest so far."""
        if self.fault:
            self.worker.measured.parts[self.name] = self.fault
            return
        self.attempts += 1
        found = tuple(self.taken)
        if not self.best or spread(found) < spread(self.best):
            self.best = found
        settled = self.warm.settled and not self.wide and len(self.best) >= ROUNDS // 2
        self.worker.measured.parts[self.name] = Times(self.best, self.warm.calls, settled, self.attempts)

    def _ask(self, order: str, *what: object) -> Any:
        """The answer, or None once the part has failed."""
        if self.fault:
            return None
        try:
            return self.worker.ask(order, self.name, *what)
        except (_LostError, ValueError) as error:
            self.fault = str(error)
            self.worker.measured.parts[self.name] = self.fault
            return None


def _ended(code: int | None) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", as a rule for want of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with code {code}"


# ---------------------------------------------------------------------------------------------------- the worker's side


def _work(job: bytes, threads: int, environment: dict[str, str], wire: Connection) -> None:
    """Entry of a worker: prepare, then do as told until the other side hangs up. Never prints."""
    belong_to_parent()
    adopt(environment | dict.fromkeys(THREAD_VARIABLES, str(threads)))  # for libraries loaded from now on
    torch.set_num_threads(threads)
    _silence()
    from hpe_bench import catalog  # which makes the user's folders importable before the job is unpickled

    try:
        catalog.slugs()
        prepared = pickle.loads(job).prepare()
    except Exception as error:  # a runtime may raise anything, and every reason is a row of the table
        wire.send(("raised", sentence(error)))
        return
    _forget_peak_rss()
    wire.send(("ready", (list(prepared.parts), prepared.refused, prepared.facts)))
    while True:
        try:
            order, *what = wire.recv()
        except EOFError:
            return
        try:
            wire.send(("done", _ORDERS[order](prepared, *what)))
        except Exception as error:  # likewise
            wire.send(("raised", sentence(error)))


def _warm(prepared: Prepared, part: str, seconds: float) -> Warm:
    return warm_up(prepared.parts[part], seconds)


def warm_up(timed: Callable[[], float], seconds: float = WARM_SECONDS) -> Warm:
    """Call until the median of a few calls no longer changes; `timed` does one call and returns its ms.

    Ends unsettled after `WARM_LIMIT` calls, or when the time is up: after two calls at the earliest, of which the first
    may have been slow.
    """
    times: list[float] = []
    deadline = time.monotonic() + seconds
    while True:
        times.append(timed())
        late = len(times) >= 2 and (len(times) >= WARM_LIMIT or time.monotonic() > deadline)
        now = float(np.median(times[-WARM_WINDOW:]))
        settled = False
        if len(times) >= 2 * WARM_WINDOW and len(times) % WARM_WINDOW == 0:
            before = float(np.median(times[-2 * WARM_WINDOW : -WARM_WINDOW]))
            settled = abs(now - before) <= WARM_TOLERANCE * now
        if settled or late:
            return Warm(len(times), min(now, times[-1]) if len(times) < WARM_WINDOW else now, settled)


def _turn(prepared: Prepared, part: str, calls: int) -> list[float]:
    timed = prepared.parts[part]
    if calls > 1:
        timed()
    return [timed() for _ in range(calls)]


def _steady(prepared: Prepared, part: str, seconds: float) -> int:
    """Work without a pause; the number of calls."""
    end, calls = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        prepared.parts[part]()
        calls += 1
    return calls


def _memory(prepared: Prepared) -> int | None:
    return peak_rss_bytes()


def _task(prepared: Prepared) -> Any:
    return None if prepared.task is None else prepared.task()


_ORDERS: dict[str, Callable[..., Any]] = {
    "warm": _warm,
    "turn": _turn,
    "steady": _steady,
    "memory": _memory,
    "task": _task,
}


def peak_rss_bytes() -> int | None:
    """The most memory this process has held at a time since it last forgot; None where the system does not say."""
    status = Path("/proc/self/status")  # rusage would include what the parent held when it forked
    if not status.exists():
        return None
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


def _forget_peak_rss() -> None:
    """Begin anew (M10): exporting and compiling take memory that running does not."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def _silence() -> None:
    """What libraries print stays out of our table; HPE_BENCH_DEBUG=1 lets it through."""
    if not os.environ.get("HPE_BENCH_DEBUG"):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.dup2(sink, sys.stderr.fileno())
