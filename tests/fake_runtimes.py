"""Runtimes that misbehave, for tests of the stopwatch and its check. They travel to other processes by name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hpe_bench.timing.interleave import Prepared, Subject
from hpe_bench.timing.runtimes.eager import Eager
from hpe_bench.timing.runtimes.runtime import Call, Workload


class Noisy(Eager):
    """Adds a hundredth of the maps' standard deviation."""

    name = "noisy"

    def build(self, workload: Workload, threads: int) -> Call:
        call = super().build(workload, threads)

        def noisy(images: Tensor) -> Tensor:
            maps = call(images).clone()
            return maps + 0.01 * maps.std() * torch.randn(maps.shape, generator=torch.Generator().manual_seed(0))

        return noisy


class Crashing(Eager):
    """Takes its process with it, as a fault in native code does."""

    name = "crashing"

    def build(self, workload: Workload, threads: int) -> Call:
        os.abort()


class Raising(Eager):
    name = "raising"

    def build(self, workload: Workload, threads: int) -> Call:
        raise RuntimeError("no kernel for this network")


class Hanging(Eager):
    name = "hanging"

    def build(self, workload: Workload, threads: int) -> Call:
        time.sleep(600)
        raise AssertionError


class AbsentRuntime(Eager):
    name = "absent"

    def missing(self) -> str:
        return "absentpkg is not installed; `pip install absentpkg` adds it"

    def build(self, workload: Workload, threads: int) -> Call:
        raise AssertionError("an absent runtime is not built")


ALL = (Eager(), Noisy(), Crashing(), Raising(), Hanging(), AbsentRuntime())


def two_maps() -> nn.Module:
    """One convolution from an image to two maps."""
    return nn.Conv2d(3, 2, 3, padding=1)


@dataclass(frozen=True)
class Scripted(Subject):
    """Notes its calls in a shared log, and takes its times from a list (the last one for ever)."""

    name: str
    log: Path
    times_ms: tuple[float, ...] = (1.0,)
    dies_at_call: int = 10**9
    hangs_at_call: int = 10**9
    raises_at_call: int = 10**9
    sleeps: bool = False  # for as long as it says
    threads: int = 1

    def prepare(self) -> Prepared:
        return Prepared({"work": self._timed()}, facts={"threads": float(torch.get_num_threads())})

    def _timed(self) -> Callable[[], float]:
        calls = 0

        def timed() -> float:
            nonlocal calls
            calls += 1
            if calls >= self.dies_at_call:
                os.abort()
            if calls >= self.hangs_at_call:
                time.sleep(600)
            if calls >= self.raises_at_call:
                raise RuntimeError("tired")
            with self.log.open("a") as file:
                file.write(self.name)
            ms = self.times_ms[min(calls, len(self.times_ms)) - 1]
            if self.sleeps:
                time.sleep(ms / 1e3)
            return ms

        return timed
