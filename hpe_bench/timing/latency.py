"""Eager CPU latency of networks, one image at a time, on this machine.

Timed is the call alone: no device to wait for, no data loading, no decoding (M1, M6). Inputs are seeded normal noise,
never zeros (M5). Raw times are kept (M3). Several networks are timed in turns, so that drift hits all alike (M8).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

ROUNDS = 10  # turns that each network gets
MAX_CALLS_PER_ROUND = 20
TICKS = 1 + ROUNDS  # stretches of work per network: its warm-up and its turns
WARM_WINDOW = 3  # calls; warm-up ends when the medians of two successive windows agree ...
WARM_TOLERANCE = 0.05  # ... to this fraction,
WARM_LIMIT, WARM_SECONDS = 30, 5.0  # or after this many calls or seconds
RESAMPLES = 2000


@dataclass(frozen=True)
class Latency:
    """Times of single calls in ms, round by round in the order they were taken."""

    input_hw: tuple[int, int]
    threads: int  # of one operator (intra-op)
    rounds_ms: tuple[tuple[float, ...], ...]
    warmup_calls: int
    settled: bool  # False: the warm-up limit came before the median was stable
    scope: str = "network only, batch 1, eager, float32, normal noise"

    @property
    def samples_ms(self) -> tuple[float, ...]:
        """All calls in the order they were taken."""
        return tuple(ms for calls in self.rounds_ms for ms in calls)

    @property
    def n(self) -> int:
        return len(self.samples_ms)

    @property
    def median_ms(self) -> float:
        return float(np.median(self.samples_ms))

    def percentile_ms(self, q: float) -> float:
        """The time that `q` percent of the calls stay below, e.g. 90 or 99."""
        return float(np.percentile(self.samples_ms, q))

    @property
    def interval_ms(self) -> tuple[float, float]:
        """95 % bootstrap interval of the median; resamples rounds, since neighbouring calls are not independent."""
        rng = np.random.default_rng(0)
        rounds = np.asarray(self.rounds_ms)
        picks = rng.integers(len(rounds), size=(RESAMPLES, len(rounds)))
        medians = np.median(rounds[picks].reshape(RESAMPLES, -1), axis=1)
        low, high = np.percentile(medians, (2.5, 97.5))
        return float(low), float(high)


def measure(model: nn.Module, input_hw: tuple[int, int], threads: int, seconds: float = 2.0) -> Latency:
    """Latency of one network; `seconds` is about what its timed calls take together."""
    return measure_interleaved({"": (model, input_hw)}, threads, seconds)[""]


def measure_interleaved(
    subjects: Mapping[str, tuple[nn.Module, tuple[int, int]]],
    threads: int,
    seconds: float = 2.0,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Latency]:
    """Latency of several networks with their input sizes (h, w), timed in `ROUNDS` turns (M8).

    Each gets about `seconds` of timed calls, at least one and at most `MAX_CALLS_PER_ROUND` a turn. All are held in
    memory and put into eval mode; modes and the number of threads are restored. One network may stand under several
    names, with different inputs. `tick` is called after each of the TICKS stretches of work per network, never timed.
    """
    if threads < 1 or not subjects:
        raise ValueError(f"{threads} threads, {len(subjects)} networks: give at least one of each")
    with ExitStack() as stack:
        stack.enter_context(_threads(threads))
        stack.enter_context(torch.inference_mode())
        for model, _ in subjects.values():
            stack.enter_context(_eval_mode(model))
        inputs = {name: noise(input_hw) for name, (_, input_hw) in subjects.items()}
        warm = {}
        for name, (model, _) in subjects.items():
            warm[name] = warm_up(partial(_time_ms, model, inputs[name]))
            tick()
        calls = {
            name: min(max(1, round(1e3 * seconds / ROUNDS / w.median_ms)), MAX_CALLS_PER_ROUND)
            for name, w in warm.items()
        }
        taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in subjects}
        for _ in range(ROUNDS):
            for name, (model, _) in subjects.items():
                taken[name].append(tuple(_time_ms(model, inputs[name]) for _ in range(calls[name])))
                tick()
    return {
        name: Latency(input_hw, threads, tuple(taken[name]), warm[name].calls, warm[name].settled)
        for name, (_, input_hw) in subjects.items()
    }


def noise(input_hw: tuple[int, int]) -> Tensor:
    """One image of standard normal noise, [1,3,H,W], the same every time."""
    return torch.randn(1, 3, *input_hw, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class Warm:
    """What warming up came to: calls made, median of the last ones, and whether it stood still."""

    calls: int
    median_ms: float
    settled: bool


def warm_up(timed: Callable[[], float]) -> Warm:
    """Call until the median of a few calls no longer changes; `timed` does one call and returns its ms."""
    times: list[float] = []
    deadline = time.monotonic() + WARM_SECONDS
    while True:
        times += [timed() for _ in range(WARM_WINDOW)]
        now = float(np.median(times[-WARM_WINDOW:]))
        before = float(np.median(times[-2 * WARM_WINDOW : -WARM_WINDOW])) if len(times) > WARM_WINDOW else np.inf
        settled = abs(now - before) <= WARM_TOLERANCE * now
        late = len(times) >= WARM_LIMIT or (before < np.inf and time.monotonic() > deadline)
        if settled or late:
            return Warm(len(times), now, settled)


def _time_ms(model: nn.Module, image: Tensor) -> float:
    start = time.perf_counter_ns()
    model(image)
    return (time.perf_counter_ns() - start) / 1e6


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
