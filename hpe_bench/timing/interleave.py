"""The conductor: players in processes of their own, called in turns, so that whatever drifts hits all alike (M8).

A player is something to be timed, such as a network in a runtime. Each gets a process of its own with its number of
threads set (M2), builds there, warms up, and then waits for its turns: one player at a time works, round by round. A
player that raises, crashes or hangs fails alone, with the reason.

Timed are single calls (M3), by the player's own clock. A turn of several calls begins with one that is not kept, as
others have used the caches since. Where the spread (interquartile range over median) of a part is above `WIDE_SPREAD`,
something disturbed it: it is timed again, a few times at most, and the attempt of least spread is kept.
"""

from __future__ import annotations

import multiprocessing
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
from hpe_bench.timing.latency import MAX_CALLS_PER_ROUND, ROUNDS, Warm, warm_up

WIDE_SPREAD = 0.15  # on an idle machine it stays below 0.05; a neighbour that wakes up makes it 0.3 and more
STEADY_SECONDS = 10.0  # of work for a reading of the energy, whose counters advance slowly (M9)
GOODBYE_SECONDS = 1.0  # for processes to end by themselves
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class Rehearsed:
    """What a player can do once it is built."""

    parts: dict[str, Callable[[], float]]  # each call does the work once and returns its time in ms
    refused: dict[str, str] = field(default_factory=dict)  # parts that it cannot do, and why
    facts: dict[str, float] = field(default_factory=dict)  # found while building, such as a deviation
    errand: Callable[[], Any] | None = None  # done once after all timing; its result can be pickled


class Player(ABC):
    """Something to be timed. It travels to its process, so it can be pickled and holds nothing heavy."""

    threads: int

    @abstractmethod
    def rehearse(self) -> Rehearsed:
        """Build, in the player's own process."""

    def meter(self) -> Meter | str:
        """What reads the energy of the device it works on, or why nothing does."""
        return RaplMeter.open(RAPL)


@dataclass(frozen=True)
class Times:
    """The calls of a part, in ms, round by round in the order taken."""

    rounds_ms: tuple[tuple[float, ...], ...]
    warmup_calls: int
    settled: bool  # the median stood still after the warm-up, and the spread is narrow
    attempts: int

    @property
    def spread(self) -> float:
        """Interquartile range over median."""
        return spread(self.rounds_ms)


def spread(rounds_ms: Sequence[Sequence[float]]) -> float:
    """Interquartile range over median of all calls."""
    low, middle, high = np.percentile([ms for calls in rounds_ms for ms in calls], (25, 50, 75))
    return float((high - low) / middle)


@dataclass
class Performance:
    """What came of a player. `failure` says why its process ended early; a part has times or a reason."""

    failure: str = ""
    parts: dict[str, Times | str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    peak_rss_bytes: int | None = None  # since it was built
    result: Any = None  # of its errand
    errand_failure: str = ""
    joules: dict[str, float] = field(default_factory=dict)  # a call, by part


@dataclass(frozen=True)
class Plan:
    """How long things may take: timed calls of a part (about), building a player, and one turn of it.

    `attempts` is how often a part of wide spread is timed in all.
    """

    seconds: float = 2.0
    attempts: int = 3
    limit_s: float = 180.0
    turn_limit_s: float = 180.0
    builders: int = 1  # players that build at a time


Tick = Callable[[int, int], None]


def conduct(players: Sequence[Player], plan: Plan, tick: Tick = lambda done, total: None) -> list[Performance]:
    """Build all players, then time all their parts in turns; performances in the order of the players.

    `tick(done, total)` counts stretches of work. Processes are gone when this returns or raises.
    """
    seats = [_Seat(player, plan) for player in players]
    try:
        _build(seats, plan, tick)
        _play([chair for seat in seats for chair in seat.chairs], plan, tick)
        _last_words(seats)
    finally:
        _leave(seats)
    return [seat.performance for seat in seats]


# ---------------------------------------------------------------------------------------------------- steps


def _build(seats: list[_Seat], plan: Plan, tick: Tick) -> None:
    """Start the processes, a few at a time, and wait until each is ready or has failed."""
    waiting, busy = list(seats), list[_Seat]()
    total = len(seats)
    while waiting or busy:
        while waiting and len(busy) < plan.builders:
            seat = waiting.pop(0)
            seat.enter()
            busy.append(seat)
        left = min(seat.deadline for seat in busy) - time.monotonic()
        wait([seat.wire for seat in busy], max(left, 0))
        for seat in list(busy):
            if seat.wire.poll() or time.monotonic() >= seat.deadline:
                seat.welcome()
                busy.remove(seat)
        tick(total - len(waiting) - len(busy), 2 * total)


def _play(chairs: list[_Chair], plan: Plan, tick: Tick) -> None:
    """Warm every part up, then time them in turns; those of wide spread again."""
    for chair in chairs:
        chair.warm_up(plan.seconds)
    todo, attempt = chairs, 0
    while attempt < plan.attempts and (todo := [c for c in todo if c.wide]):
        attempt += 1
        for chair in todo:
            chair.begin()
        for turn in range(ROUNDS):
            for chair in todo:
                chair.play()
            if attempt == 1:
                tick(ROUNDS + turn + 1, 2 * ROUNDS)
        for chair in todo:
            chair.end()


def _last_words(seats: list[_Seat]) -> None:
    """What is asked of every player once all are timed: memory, energy where it can be read, and its errand."""
    for seat in seats:
        seat.tell_memory()
        seat.measure_energy()
        seat.run_errand()


def _leave(seats: list[_Seat]) -> None:
    """Let every process end by itself, and end those that do not."""
    there = [seat for seat in seats if seat.process is not None]
    for seat in there:
        seat.wire.close()
    deadline = time.monotonic() + GOODBYE_SECONDS
    for seat in there:
        seat.process.join(max(deadline - time.monotonic(), 0))
        seat.leave()


# ---------------------------------------------------------------------------------------------------- the parent's side


class _LostError(Exception):
    """A player's process is gone; says why."""


class _Seat:
    """A player's process, as the conductor sees it."""

    def __init__(self, player: Player, plan: Plan) -> None:
        self.player, self.plan = player, plan
        self.performance = Performance()
        self.process: Any = None
        self.chairs: list[_Chair] = []  # the parts to be timed
        self.wire: Connection
        self.deadline = 0.0

    def enter(self) -> None:
        """Start the process, which begins to build."""
        context = _context()
        self.wire, theirs = context.Pipe()
        job = pickle.dumps(self.player)
        arguments = (job, self.player.threads, dict(os.environ), theirs)
        self.process = context.Process(target=_perform, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.deadline = time.monotonic() + self.plan.limit_s

    def welcome(self) -> None:
        """Take what the process says when it has built."""
        try:
            found = self._answer(
                max(self.deadline - time.monotonic(), 0), f"was not ready within {self.plan.limit_s:.0f} s"
            )
        except (_LostError, ValueError) as error:
            self.performance.failure = str(error)
            self.leave()
            return
        parts, self.performance.refused, self.performance.facts = found
        self.chairs = [_Chair(self, part) for part in parts]

    def ask(self, order: str, *what: object, limit_s: float | None = None) -> Any:
        """An order's answer. ValueError where it raised there; _LostError if the process is gone or had to be ended."""
        if self.process is None:
            raise _LostError(self.performance.failure)
        try:
            self.wire.send((order, *what))
            limit_s = limit_s or self.plan.turn_limit_s
            return self._answer(limit_s, f"did not answer within {limit_s:.0f} s")
        except OSError:
            return self._lost("")
        except _LostError as error:
            self.performance.failure = self.performance.failure or str(error)
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
        self.performance.failure = reason
        self.leave()
        raise _LostError(reason)

    def tell_memory(self) -> None:
        if self.process is not None:
            self.performance.peak_rss_bytes = self._quietly("memory")

    def measure_energy(self) -> None:
        """Joules a call of every part that was timed, the idle machine's share included; where there is a meter."""
        meter = self.player.meter()
        for part, times in self.performance.parts.items():
            if isinstance(meter, Meter) and isinstance(times, Times) and self.process is not None:
                before = meter.joules()
                calls = self._quietly("steady", part, STEADY_SECONDS)
                if calls:
                    self.performance.joules[part] = (meter.joules() - before) / calls

    def run_errand(self) -> None:
        """Let the player do its errand; it has all the time it needs, as it is bounded by its data."""
        if self.process is None:
            return
        try:
            self.performance.result = self.ask("errand", limit_s=3600.0)
        except (_LostError, ValueError) as error:
            self.performance.errand_failure = str(error)

    def _quietly(self, order: str, *what: object) -> Any:
        """An order whose failure costs only its own answer."""
        try:
            return self.ask(order, *what)
        except (_LostError, ValueError):
            return None

    def leave(self) -> None:
        """End the process, whatever it is doing."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.wire.close()
            self.process = None


class _Chair:
    """One part of a player, and its times so far."""

    def __init__(self, seat: _Seat, part: str) -> None:
        self.seat, self.part = seat, part
        self.warm = Warm(0, 0.0, False)
        self.calls = 1
        self.attempts = 0
        self.taken: list[tuple[float, ...]] = []
        self.best: tuple[tuple[float, ...], ...] = ()
        self.fault = ""

    def warm_up(self, seconds: float) -> None:
        answer = self._ask("warm")
        if answer is not None:
            self.warm = answer
            self.calls = min(max(1, round(1e3 * seconds / ROUNDS / self.warm.median_ms)), MAX_CALLS_PER_ROUND)

    @property
    def wide(self) -> bool:
        """Whether it wants to be timed (again)."""
        return not self.fault and (not self.best or spread(self.best) > WIDE_SPREAD)

    def begin(self) -> None:
        self.taken = []

    def play(self) -> None:
        """One turn."""
        if not self.fault:
            times = self._ask("play", self.calls)
            if times is not None:
                self.taken.append(tuple(round(ms, 4) for ms in times))

    def end(self) -> None:
        """Keep this attempt if it is the steadiest so far."""
        if self.fault:
            self.seat.performance.parts[self.part] = self.fault
            return
        self.attempts += 1
        found = tuple(self.taken)
        if not self.best or spread(found) < spread(self.best):
            self.best = found
        settled = self.warm.settled and not self.wide
        self.seat.performance.parts[self.part] = Times(self.best, self.warm.calls, settled, self.attempts)

    def _ask(self, order: str, *what: object) -> Any:
        """The answer, or None once the part has failed."""
        if self.fault:
            return None
        try:
            return self.seat.ask(order, self.part, *what)
        except (_LostError, ValueError) as error:
            self.fault = str(error)
            self.seat.performance.parts[self.part] = self.fault
            return None


def _ended(code: int | None) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", as a rule for want of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with code {code}"


def _context() -> Any:
    """Processes that begin with PyTorch imported already: they fork from one that has done nothing but import it."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hpe_bench.timing.subjects"])
    return context


# ---------------------------------------------------------------------------------------------------- the player's side


def _perform(job: bytes, threads: int, environment: dict[str, str], wire: Connection) -> None:
    """Entry of a player's process: build, then do as told until the conductor hangs up. Never prints."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the conductor ends us
    os.environ.clear()  # it is that of the process we forked from
    os.environ.update(environment | dict.fromkeys(THREAD_VARIABLES, str(threads)))  # for libraries loaded from now on
    torch.set_num_threads(threads)
    _silence()
    from hpe_bench import catalog  # which makes the user's folders importable before the job is unpickled

    try:
        catalog.slugs()
        rehearsed = pickle.loads(job).rehearse()
    except Exception as error:  # a runtime may raise anything, and every reason is a row of the table
        wire.send(("raised", sentence(error)))
        return
    _forget_peak_rss()
    wire.send(("ready", (list(rehearsed.parts), rehearsed.refused, rehearsed.facts)))
    while True:
        try:
            order, *what = wire.recv()
        except EOFError:
            return
        try:
            wire.send(("done", _ORDERS[order](rehearsed, *what)))
        except Exception as error:  # likewise
            wire.send(("raised", sentence(error)))


def _warm(rehearsed: Rehearsed, part: str) -> Warm:
    return warm_up(rehearsed.parts[part])


def _turn(rehearsed: Rehearsed, part: str, calls: int) -> list[float]:
    timed = rehearsed.parts[part]
    if calls > 1:
        timed()
    return [timed() for _ in range(calls)]


def _steady(rehearsed: Rehearsed, part: str, seconds: float) -> int:
    """Work without a pause; the number of calls."""
    end, calls = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        rehearsed.parts[part]()
        calls += 1
    return calls


def _memory(rehearsed: Rehearsed) -> int | None:
    return peak_rss_bytes()


def _errand(rehearsed: Rehearsed) -> Any:
    return None if rehearsed.errand is None else rehearsed.errand()


_ORDERS: dict[str, Callable[..., Any]] = {
    "warm": _warm,
    "play": _turn,
    "steady": _steady,
    "memory": _memory,
    "errand": _errand,
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
    """What libraries print stays out of the conductor's table; HPE_BENCH_DEBUG=1 lets it through."""
    if not os.environ.get("HPE_BENCH_DEBUG"):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.dup2(sink, sys.stderr.fileno())
