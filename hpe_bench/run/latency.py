"""Latency runs: networks in runtimes under conditions, timed in turns, as records.

A run is one network under a list of conditions; its record is named by both, so other conditions make another record.
Networks that are measured together take turns with one another.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from hpe_bench.cost import macs
from hpe_bench.cost.energy import RAPL, RaplMeter
from hpe_bench.cost.memory import activations_peak
from hpe_bench.cost.onnx_macs import count_onnx
from hpe_bench.data.cache import cache_folder
from hpe_bench.declare import Protocol, fingerprint
from hpe_bench.errors import sentence
from hpe_bench.inference.networks import Network
from hpe_bench.metrics.paired import paired_rates
from hpe_bench.records import provenance
from hpe_bench.records.schema import Absent, Identity, Measurement, RunRecord, RuntimeScope, Timing
from hpe_bench.run import prediction as predicting
from hpe_bench.run.costs import cost_measurements
from hpe_bench.run.exporting import to_onnx
from hpe_bench.timing.check import InBatches, Reference
from hpe_bench.timing.interleave import Performance, Plan, Player, Tick, Times, conduct
from hpe_bench.timing.runtimes import Call, Runtime, Score, named
from hpe_bench.timing.runtimes.eager import Eager
from hpe_bench.timing.runtimes.onnx_runtime import OnnxRuntime
from hpe_bench.timing.scopes import Decoding
from hpe_bench.timing.sources import Source, calibrate, checked_maps
from hpe_bench.timing.subjects import MACS, NetworkPlayer, PeakPlayer
from hpe_bench.training.checkpoints import weights_digest

PROTOCOL = "latency-v1"
OWN = "own"  # in the place of a paper's slug


# ---------------------------------------------------------------------------------------------------- what is asked


@dataclass(frozen=True)
class Subject:
    """A network to be timed. `weights` and `activate` are of a trained one; without weights it is calibrated."""

    paper: str
    name: str
    variant_hash: str
    input_hw: tuple[int, int]
    code: str = ""
    source: Source | None = None
    onnx: Path | None = None  # somebody's file, in place of a source
    trained: Network | None = None

    @property
    def label(self) -> str:
        return f"{self.paper}/{self.name}"


@dataclass(frozen=True)
class Conditions:
    """A runtime and how it is asked: one process, which is timed in some scopes."""

    runtime: str
    threads: int
    batch: int
    input_hw: tuple[int, int]
    scopes: tuple[RuntimeScope, ...] = ("network",)


@dataclass(frozen=True)
class LatencyRun:
    """A network under conditions. With a protocol, every runtime's predictions are scored as well."""

    subject: Subject
    conditions: tuple[Conditions, ...]
    protocol: Protocol | None = None
    root: str | None = field(default=None, metadata={"hashed": False})

    @property
    def protocol_hash(self) -> str:
        """Of all that was asked."""
        return fingerprint((PROTOCOL, self.conditions, self.protocol))

    @property
    def id(self) -> str:
        s = self.subject
        weights = "" if s.trained is None else s.trained.weights_sha256
        return fingerprint((self.protocol_hash, s.paper, s.name, s.variant_hash, weights))

    @property
    def identity(self) -> Identity:
        s = self.subject
        return Identity(
            kind="latency",
            scale="cost",
            paper=s.paper,
            variant=s.name,
            variant_hash=s.variant_hash,
            protocol=PROTOCOL,
            protocol_hash=self.protocol_hash,
            code=s.code,
        )


def is_current(record: RunRecord) -> bool:
    """Whether measuring again would bring nothing: no row was left out for a runtime that is there by now."""
    tried = {timing.runtime for timing in record.timings if timing.status != "skipped"}
    absent = {timing.runtime for timing in record.timings} - tried
    return all(runtime.missing() for runtime in named(sorted(absent)))


# ---------------------------------------------------------------------------------------------------- measuring


def measure(runs: Sequence[LatencyRun], plan: Plan, tick: Tick = lambda done, total: None) -> list[RunRecord]:
    """Time the runs in turns with one another; a record each. ValueError if a network cannot be run at all.

    One batch of work has one number of threads, one batch size and one input size; what is in memory at a time is a
    process for each runtime and network.
    """
    started = datetime.now(UTC)
    provenance.code_version()
    with TemporaryDirectory(prefix="hpe-bench-") as folder:
        stages = [_Stage(run, Path(folder) / str(i)) for i, run in enumerate(runs)]
        entries = [(stage, c) for stage in stages for c in stage.run.conditions]
        heats = [list(heat) for _, heat in itertools.groupby(sorted(entries, key=_heat), key=_heat)]
        seen: set[int] = set()
        for at, heat in enumerate(heats):
            threads = heat[0][1].threads
            for_peak = [] if threads in seen else stages
            seen.add(threads)
            _measure_heat(heat, for_peak, plan, partial(_tick_of, tick, at, len(heats)))
        return [stage.record(started) for stage in stages]


def _heat(entry: tuple[_Stage, Conditions]) -> tuple[object, ...]:
    """What is timed in turns."""
    _, c = entry
    return c.input_hw, c.batch, c.threads


def _tick_of(tick: Tick, heat: int, heats: int, done: int, total: int) -> None:
    """Progress of one heat among several."""
    tick(done + heat * total, heats * total)


def _measure_heat(heat: list[tuple[_Stage, Conditions]], for_peak: list[_Stage], plan: Plan, tick: Tick) -> None:
    """Everything of one heat, put into its stages; the machine's peak as well, if any stage wants to know it."""
    players: list[Player] = []
    takers: list[Callable[[Performance], None]] = []
    for stage, conditions in heat:
        (runtime,) = named([conditions.runtime])
        if reason := runtime.missing():
            stage.skip(runtime, conditions, reason)
            continue
        players.append(stage.player(runtime, conditions))
        takers.append(partial(stage.take, runtime, conditions))
    if for_peak:
        threads = heat[0][1].threads
        players.append(PeakPlayer(threads))
        takers.append(partial(_take_peak, for_peak, threads))
    for performance, take in zip(conduct(players, plan, tick), takers, strict=True):
        take(performance)


def _take_peak(stages: list[_Stage], threads: int, performance: Performance) -> None:
    """The machine's own speed, into every record that was made beside it."""
    for stage in stages:
        stage.take_peak(threads, performance)


class _Stage:
    """A run's network made ready for other processes, and what was found so far."""

    def __init__(self, run: LatencyRun, folder: Path) -> None:
        folder.mkdir()
        self.run, self.folder = run, folder
        self.timings: list[Timing] = []
        self.measurements: list[Measurement] = []
        self.absent: list[Absent] = []
        self.answers: dict[str, np.ndarray] = {}  # joints [N,J,2] in image pixels, by runtime
        self.asked_for_answers: set[str] = set()
        self.references: dict[tuple[int, int], Reference] = {}
        self.files: dict[tuple[tuple[int, int], int], tuple[Path | None, str]] = {}
        self.weights: Path | None = None
        self.module = self._module()
        for input_hw in dict.fromkeys(c.input_hw for c in run.conditions):
            self._look(input_hw)

    # ------------------------------------------------------------------------------------------------ preparing

    def _module(self) -> nn.Module | None:
        """The network in this process, its weights in a file for the others."""
        subject = self.run.subject
        if subject.source is None:
            return None
        if subject.trained is not None:
            module = subject.trained.module.eval()
        else:
            module = subject.source.fresh()
            checked_maps(module.eval(), torch.zeros(1, 3, *subject.input_hw), subject.label)
            if subject.paper != OWN:
                calibrate(module, subject.input_hw)
        self.weights = self.folder / "weights.pt"
        torch.save(module.state_dict(), self.weights)
        return module

    def _look(self, input_hw: tuple[int, int]) -> None:
        """Reference maps, counts and memory at one input size."""
        subject = self.run.subject
        scope = macs.one_image(input_hw)
        if self.module is None:
            file = subject.onnx
            assert file is not None
            batch = self.run.conditions[0].batch
            answer = OnnxRuntime().build(Score(None, None, file, "", input_hw, batch), torch.get_num_threads())
            call: Call = lambda images: InBatches(answer, batch)(images)[0]  # noqa: E731
            self._count(lambda: count_onnx(file, input_hw), scope)
        else:
            module = self.module
            image = torch.zeros(1, 3, *input_hw)
            checked_maps(module, image, subject.label)
            call = lambda images: checked_maps(module, images, subject.label)  # noqa: E731
            self._count(lambda: macs.count(module, input_hw), scope)
            peak = activations_peak(module, image)
            self._say("memory/activations_peak", peak, "byte", f"{scope}, eager, fp32")
        self.references[input_hw] = self._reference(call, input_hw)

    def _reference(self, call: Call, input_hw: tuple[int, int]) -> Reference:
        path = self.folder / f"reference-{input_hw[0]}x{input_hw[1]}.pt"
        try:
            return Reference.write(path, call, input_hw)
        except ValueError as error:
            raise ValueError(f"{self.run.subject.label}: {error}") from error

    def _count(self, count: Callable[[], macs.Cost], scope: str) -> None:
        try:
            self.measurements += cost_measurements(count())
        except ValueError as error:  # an operator of unknown cost; the times stand without it
            self.absent.append(Absent(key="macs", reason=f"{scope}: {error}"))

    def _say(self, key: str, value: float, unit: str, scope: str, **more: Any) -> None:
        self.measurements.append(Measurement(key=key, value=float(value), unit=unit, scope=scope, n=1, **more))

    def player(self, runtime: Runtime, c: Conditions) -> NetworkPlayer:
        """What is sent to the runtime's process."""
        subject, run = self.run.subject, self.run
        file, fault = self._file(c.input_hw, c.batch) if runtime.reads_onnx else (None, "")
        score = Score(subject.source, self.weights, file, fault, c.input_hw, c.batch)
        decoding, errand = Decoding(), None
        if run.protocol is not None:
            assert subject.trained is not None
            decoding = Decoding(run.protocol.codec, subject.trained.activate)
            if runtime.name not in self.asked_for_answers:
                self.asked_for_answers.add(runtime.name)
                errand = Scoring(run.protocol, run.root, c.input_hw, subject.trained.activate)
        return NetworkPlayer(runtime, score, self.references[c.input_hw], c.threads, c.scopes, decoding, errand)

    def _file(self, input_hw: tuple[int, int], batch: int) -> tuple[Path | None, str]:
        """The network as an ONNX file, made once; or why there is none."""
        if self.module is None:
            return self.run.subject.onnx, ""
        key = (input_hw, batch)
        if key not in self.files:
            path = self._export_path(input_hw, batch)
            try:
                self.files[key] = (path if path.exists() else to_onnx(self.module, input_hw, path, batch), "")
            except Exception as error:  # an exporter may raise anything, and the reason is a row of the table
                self.files[key] = (None, f"could not be exported: {sentence(error)}")
        return self.files[key]

    def _export_path(self, input_hw: tuple[int, int], batch: int) -> Path:
        """In the cache for a paper's network, whose code has a digest; exports take a quarter of a minute."""
        assert self.module is not None
        size = f"{input_hw[0]}x{input_hw[1]}-b{batch}"
        subject = self.run.subject
        if not subject.code:
            return self.folder / f"{size}.onnx"
        weights = weights_digest(self.module.state_dict())
        key = hashlib.sha256(f"{subject.code} {weights} {torch.__version__}".encode()).hexdigest()[:16]
        return cache_folder("exports") / f"{subject.paper}-{subject.name}-{size}-{key}.onnx"

    # ------------------------------------------------------------------------------------------------ collecting

    def skip(self, runtime: Runtime, c: Conditions, reason: str) -> None:
        """Rows of a runtime that this machine does not have."""
        self.timings += [_row(runtime, c, scope, status="skipped", reason=reason) for scope in c.scopes]

    def take(self, runtime: Runtime, c: Conditions, performance: Performance) -> None:
        """Rows of a runtime that was tried."""
        facts = performance.facts
        for scope in c.scopes:
            found = performance.parts.get(scope, performance.failure)
            joules = performance.joules.get(scope)
            if scope in performance.refused:
                row = _row(runtime, c, scope, status="skipped", reason=performance.refused[scope])
            elif isinstance(found, Times):
                row = _row(
                    runtime,
                    c,
                    scope,
                    rounds_ms=found.rounds_ms,
                    warmup_calls=found.warmup_calls,
                    settled=found.settled,
                    attempts=found.attempts,
                    deviation=float(f"{facts['deviation']:.3g}"),
                    tolerance=runtime.tolerance,
                    peak_rss_bytes=performance.peak_rss_bytes,
                    joules_per_image=None if joules is None else round(joules / c.batch, 6),
                )
            else:
                row = _row(runtime, c, scope, status="failed", reason=found)
            self.timings.append(row)
        if "peak_device_bytes" in facts:
            where = f"{runtime.name}, {c.input_hw[0]}x{c.input_hw[1]}, batch {c.batch}, {c.threads} threads"
            self._say("memory/cuda_peak", facts["peak_device_bytes"], "byte", where)
        if performance.result is not None:
            self.answers[runtime.name] = performance.result
        elif performance.errand_failure:
            self.absent.append(Absent(key=f"score/{runtime.name}", reason=performance.errand_failure))

    def take_peak(self, threads: int, performance: Performance) -> None:
        """The machine's own speed."""
        for name, work_macs in MACS.items():
            times = performance.parts.get(name, performance.failure)
            if isinstance(times, Times):
                calls = [ms for turn in times.rounds_ms for ms in turn]
                speed = round(work_macs / float(np.median(calls)) / 1e6, 2)
                scope = "1 thread" if threads == 1 else f"{threads} threads"
                self.measurements.append(
                    Measurement(key=f"peak/{name}", value=speed, unit="GMAC/s", scope=scope, n=len(calls))
                )
            else:
                self.absent.append(Absent(key=f"peak/{name}", reason=times))

    def record(self, started: datetime) -> RunRecord:
        """All of it."""
        run, trained = self.run, self.run.subject.trained
        meter = RaplMeter.open(RAPL)
        if isinstance(meter, str):
            self.absent.append(Absent(key="energy", reason=meter))
        threads = max(c.threads for c in run.conditions)
        return RunRecord(
            id=run.id,
            identity=run.identity,
            status="done",
            provenance=provenance.collect(started, "cpu", threads),
            measurements=(*self.measurements, *self._scores()),
            timings=tuple(self.timings),
            absent=tuple(self.absent),
            weights_sha256="" if trained is None else trained.weights_sha256,
        )

    def _scores(self) -> Iterator[Measurement]:
        """The protocol's first metric for every runtime, and its paired difference to eager float32's."""
        run, base = self.run, self.answers.get(Eager.name)
        if run.protocol is None or not self.answers:
            return
        metric = run.protocol.metrics[0]
        truth = predicting.task_of_protocol(run.protocol, run.root).truth
        for runtime, joints_NJ2 in self.answers.items():
            scope = f"{run.protocol.name}, {runtime}"
            scored = metric.evaluate(truth, joints_NJ2, np.ones(joints_NJ2.shape[:2], np.float32))[0]
            yield Measurement(
                key=scored.key, value=scored.value, unit="percent", scope=scope, n=scored.n, interval=scored.interval
            )
            if base is not None and runtime != Eager.name:
                found = paired_rates(metric, truth, joints_NJ2, base)[scored.key]
                interval = (found.low, found.high)
                key = f"{scored.key}/less_{Eager.name}"
                yield Measurement(key=key, value=found.value, unit="points", scope=scope, n=scored.n, interval=interval)


def _row(runtime: Runtime, c: Conditions, scope: RuntimeScope, **more: Any) -> Timing:
    return Timing(
        runtime=runtime.name,
        version=runtime.version(),
        precision=runtime.precision,
        scope=scope,
        input_hw=c.input_hw,
        batch=c.batch,
        threads=c.threads,
        **more,
    )


# ---------------------------------------------------------------------------------------------------- scoring


@dataclass(frozen=True)
class Scoring:
    """The errand of a runtime: predict a protocol's persons. Travels to the runtime's process."""

    protocol: Protocol
    root: str | None
    input_hw: tuple[int, int]
    activate: Callable[[torch.Tensor], torch.Tensor]

    def __call__(self, module: nn.Module) -> np.ndarray:
        """Joints [N,J,2] in image pixels, one row per person of the protocol's truth."""
        task = predicting.task_of_protocol(self.protocol, self.root)
        network = Network(module, self.input_hw, self.activate, "", "", "")
        return predicting.answer(task, network).joints


def default_threads() -> tuple[int, ...]:
    """One thread, and all cores."""
    return tuple(sorted({1, os.cpu_count() or 1}))
