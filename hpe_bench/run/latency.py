"""Latency runs: networks in runtimes under conditions, timed in turns, as records.

A run is one network under a list of conditions, timed for the first, second ... time; its record is named by all of
it, so other conditions make another record and so does another timing run. Networks that are measured together take
turns with one another: all that share input size, batch and threads. Such a group is timed as a whole; where the work
is interrupted between two of them, what was timed is kept (`KeptTimes`) and the rest is measured later.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hpe_bench import files
from hpe_bench.cost.energy import RAPL, RaplMeter
from hpe_bench.cost.memory import activations_peak
from hpe_bench.cost.model_cost import Cost, one_image
from hpe_bench.cost.onnx_counts import count_onnx
from hpe_bench.cost.openvino_counts import count_openvino
from hpe_bench.data.cache import cache_folder
from hpe_bench.declare import Protocol, fingerprint
from hpe_bench.errors import sentence
from hpe_bench.inference import quantising
from hpe_bench.inference.exporting import to_onnx
from hpe_bench.inference.networks import Network
from hpe_bench.metrics.paired import paired_rates
from hpe_bench.plan import OWN
from hpe_bench.records import provenance, store
from hpe_bench.records.schema import Absent, Identity, Measurement, RunRecord, RuntimeScope, Timing
from hpe_bench.run import prediction as predicting
from hpe_bench.run.counting import cost_absences, cost_measurements, count_of
from hpe_bench.timing.check import InBatches, ReferenceOutput, ranges
from hpe_bench.timing.interleave import PREPARE_SECONDS, Measured, Plan, Subject, Tick, Times, interleave
from hpe_bench.timing.runtimes import Call, Runtime, Workload, named
from hpe_bench.timing.runtimes.cuda import Cuda
from hpe_bench.timing.runtimes.eager import Eager
from hpe_bench.timing.runtimes.onnx_runtime import OnnxRuntime
from hpe_bench.timing.runtimes.open_vino import OpenVino
from hpe_bench.timing.scopes import Decoding
from hpe_bench.timing.sources import Source, calibrate, checked_maps
from hpe_bench.timing.subjects import MACS, NetworkSubject, PeakSubject
from hpe_bench.training.checkpoints import weights_digest

PROTOCOL = "latency-v1"
RANGE_CROPS = 32  # of a protocol, for ranges of 8 bits
NETWORK_SECONDS = 1.0  # that a network takes to be made ready on a quiet machine, about
FIRST_PACE = 0.6  # of the time that a row may take, which it takes on a quiet machine


# ---------------------------------------------------------------------------------------------------- what is asked


@dataclass(frozen=True)
class TimedNetwork:
    """A network to be timed. `weights` and `activate` are of a trained one; without weights it is calibrated."""

    paper: str
    name: str
    variant_hash: str
    input_hw: tuple[int, int]
    code: str = ""
    source: Source | None = None
    onnx: Path | None = None  # somebody's file (ONNX, TFLite, IR), in place of a source
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
    """A network under conditions, for the `timing_run`-th time. With a protocol, every runtime is scored as well."""

    subject: TimedNetwork
    conditions: tuple[Conditions, ...]
    protocol: Protocol | None = None
    root: str | None = field(default=None, metadata={"hashed": False})
    timing_run: int = 0

    @property
    def protocol_hash(self) -> str:
        """Of all that was asked."""
        return fingerprint((PROTOCOL, self.conditions, self.protocol))

    @property
    def id(self) -> str:
        s = self.subject
        weights = "" if s.trained is None else s.trained.weights_sha256
        again = (self.timing_run,) if self.timing_run else ()  # the first run is named as before there were more
        return fingerprint((self.protocol_hash, s.paper, s.name, s.variant_hash, weights, *again))

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
            timing_run=self.timing_run or None,
            code=s.code,
        )


def is_current(record: RunRecord) -> bool:
    """Whether measuring again would bring nothing: no row was left out for a runtime that is there by now."""
    tried = {timing.runtime for timing in record.timings if timing.status != "skipped"}
    absent = {timing.runtime for timing in record.timings} - tried
    return all(runtime.missing() for runtime in named(sorted(absent)))


# ---------------------------------------------------------------------------------------------------- measuring

Entry = tuple["_Bench", Conditions]


@dataclass(frozen=True)
class KeptTimes:
    """A folder of what unfinished runs have timed so far, as records; none of them is a result yet."""

    folder: Path

    def load(self, run: LatencyRun) -> RunRecord | None:
        """What was timed of a run before, if it was on this machine, by the same code and packages."""
        path = self._path(run)
        try:
            record = store.load(path) if path.exists() else None
        except store.RecordError:
            return None
        here = provenance.collect(datetime.now(UTC), _device_of(run.conditions), 1)
        same = record is not None and (record.identity.code, record.provenance.packages) == (
            run.subject.code,
            here.packages,
        )
        on_it = record is not None and (
            record.provenance.device.startswith(here.device)
            and record.provenance.flags.get("cpu_capability") == here.flags.get("cpu_capability")
        )
        return record if same and on_it and run.subject.code else None

    def save(self, run: LatencyRun, record: RunRecord) -> None:
        """Keep what there is of a run."""
        files.write_atomically(self._path(run), record.model_dump_json().encode())

    def forget(self, run: LatencyRun) -> None:
        """It has become a record."""
        self._path(run).unlink(missing_ok=True)

    def _path(self, run: LatencyRun) -> Path:
        return self.folder / f"{run.id}.json"


def measure(
    runs: Sequence[LatencyRun],
    plan: Plan,
    tick: Tick = lambda done, total: None,
    *,
    done: Callable[[RunRecord], None] = lambda record: None,
    kept: KeptTimes | None = None,
    counted: Callable[[TimedNetwork, Cost], None] = lambda network, cost: None,
    peak: bool = True,
    persons: int = 4,
) -> list[RunRecord]:
    """Time the runs in turns with one another; a record each. ValueError if a network cannot be run at all.

    A group of work has one input size, one batch size and one number of threads; what is in memory at a time is a
    process for each runtime and network of it. `done` gets each record as soon as it is whole, `counted` each network's
    counts before anything is timed; `kept` holds what was timed of unfinished runs. `peak` times the machine's own
    speed beside the networks; `persons` are what runtimes are checked with, besides noise.
    """
    started = datetime.now(UTC)
    provenance.code_version()
    clock = _Clock(tick, plan, [c for run in runs for c in run.conditions], len(runs))
    found: dict[str, RunRecord] = {}
    by_size: dict[tuple[int, int], list[LatencyRun]] = {}
    for run in runs:
        by_size.setdefault(run.conditions[0].input_hw, []).append(run)
    for alike in by_size.values():  # weights and references of one size lie on the disk at a time
        with files.workspace(cache_folder("work")) as folder:
            benches = []
            for i, run in enumerate(alike):
                began = time.monotonic()
                benches.append(_Bench(run, folder / str(i), started, kept, persons, counted))
                clock.made_ready(time.monotonic() - began)
            for record in _measure_alike(benches, plan, clock, peak):
                found[record.id] = record
                done(record)
    return [found[run.id] for run in runs]


def _measure_alike(benches: list[_Bench], plan: Plan, clock: _Clock, peak: bool) -> Iterator[RunRecord]:
    """Group by group; a record as soon as all groups of its run are measured."""
    entries = [(bench, c) for bench in benches for c in bench.run.conditions if not bench.has(c)]
    clock.left -= sum(_weight(c) for bench in benches for c in bench.run.conditions if bench.has(c))
    groups = [list(group) for _, group in itertools.groupby(sorted(entries, key=_group), key=_group)]
    seen: set[int] = set()
    for at, group in enumerate(groups):
        threads = group[0][1].threads
        for_peak = [b for b in benches if not b.knows_peak(threads)] if peak and threads not in seen else []
        seen.add(threads)
        _measure_group(group, for_peak, plan, clock)
        left = {id(bench) for later in groups[at + 1 :] for bench, _ in later}
        for bench in {id(b): b for b, _ in group}.values():
            if id(bench) in left:
                bench.keep()
            else:
                yield bench.finish()
    touched = {id(bench) for bench, _ in entries}
    yield from (bench.finish() for bench in benches if id(bench) not in touched)


def _group(entry: Entry) -> tuple[object, ...]:
    """What is timed in turns."""
    _, c = entry
    return c.input_hw, c.batch, c.threads


def _measure_group(group: list[Entry], for_peak: list[_Bench], plan: Plan, clock: _Clock) -> None:
    """Everything of one group, put into its benches; the machine's peak as well, if any bench wants to know it."""
    subjects: list[Subject] = []
    takers: list[Callable[[Measured], None]] = []
    turns = uuid.uuid4().hex[:12]
    for bench, conditions in group:
        (runtime,) = named([conditions.runtime])
        if reason := runtime.missing():
            bench.skip(runtime, conditions, reason)
            continue
        subjects.append(bench.subject(runtime, conditions))
        takers.append(partial(bench.take, runtime, conditions, turns))
    if not subjects:
        return
    if for_peak:
        threads = group[0][1].threads
        subjects.append(PeakSubject(threads))
        takers.append(partial(_take_peak, for_peak, threads))
    weight = sum(_weight(c) for _, c in group)
    began = time.monotonic()
    measured = interleave(subjects, plan, clock.within(weight), weight * clock.pace_s)
    clock.finished(weight, time.monotonic() - began)
    for one, take in zip(measured, takers, strict=True):
        take(one)


def _take_peak(benches: list[_Bench], threads: int, measured: Measured) -> None:
    """The machine's own speed, into every record that was made beside it."""
    for bench in benches:
        bench.take_peak(threads, measured)


class _Clock:
    """Seconds gone, and seconds left: of the present group as it says, of those to come by the pace so far.

    Rows are weighed by their images' pixels, since larger ones take longer. Before a group is finished, its pace is a
    guess, longer where the networks took longer to make ready than they would on a quiet machine.
    """

    def __init__(self, tick: Tick, plan: Plan, conditions: Sequence[Conditions], networks: int) -> None:
        self.tick, self.networks = tick, networks  # that are not ready yet
        self.ready, self.readying_s = 0, 0.0
        self.started = time.monotonic()
        self.left = sum(map(_weight, conditions))
        self.done, self.turning_s = 0.0, 0.0
        self.first_guess_s = FIRST_PACE * (plan.share_s + PREPARE_SECONDS)

    @property
    def gone_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def pace_s(self) -> float:
        """Seconds for a weight of one, over the groups so far."""
        if self.done:
            return self.turning_s / self.done
        late = self.network_s / NETWORK_SECONDS
        return self.first_guess_s * min(max(late, 1.0), 1 / FIRST_PACE)

    @property
    def network_s(self) -> float:
        """Seconds that a network takes to be made ready."""
        return self.readying_s / self.ready if self.ready else NETWORK_SECONDS

    def made_ready(self, seconds: float) -> None:
        """A network is ready."""
        self.ready, self.networks, self.readying_s = self.ready + 1, self.networks - 1, self.readying_s + seconds
        self.tick(self.gone_s, self.gone_s + self.left * self.pace_s + self.networks * self.network_s)

    def within(self, weight: float) -> Tick:
        """Progress of a group of this weight, which begins now."""
        expected_s, readying_s = weight * self.pace_s, self.networks * self.network_s

        def tick(done: float, total: float) -> None:
            late = max(1.0, total / expected_s)
            later_s = (self.left - weight) * self.pace_s * late + readying_s
            self.tick(self.gone_s, self.gone_s + (total - done) + later_s)

        return tick

    def finished(self, weight: float, seconds: float) -> None:
        self.done += weight
        self.turning_s += seconds
        self.left -= weight


def _weight(c: Conditions) -> float:
    """How long the rows of conditions take, in units of a row of one image of common size; about."""
    (runtime,) = named([c.runtime])
    pixels = c.batch * c.input_hw[0] * c.input_hw[1]
    return 0.0 if runtime.missing() else len(c.scopes) * (0.3 + 0.7 * pixels / (256 * 192))


class _Bench:
    """A run's network made ready for other processes, and what was found so far."""

    def __init__(
        self,
        run: LatencyRun,
        folder: Path,
        started: datetime,
        kept: KeptTimes | None,
        persons: int,
        counted: Callable[[TimedNetwork, Cost], None],
    ) -> None:
        folder.mkdir()
        self.run, self.folder, self.started, self.persons, self.counted = run, folder, started, persons, counted
        self.kept = None if run.protocol is not None else kept  # predictions of runtimes are not kept
        self.timings: list[Timing] = []
        self.measurements: list[Measurement] = []
        self.absent: list[Absent] = []
        self.answers: dict[str, np.ndarray] = {}  # joints [N,J,2] in image pixels, by runtime
        self.asked_for_answers: set[str] = set()
        self.references: dict[tuple[int, int], ReferenceOutput] = {}
        self.files: dict[tuple[tuple[int, int], int], tuple[Path | None, str]] = {}
        self.weights: Path | None = None
        self.module: nn.Module | None = None
        before = None if self.kept is None else self.kept.load(run)
        if before is not None:
            self.timings, self.absent = list(before.timings), list(before.absent)
            self.measurements = list(before.measurements)
        todo = [c for c in run.conditions if not self.has(c)]
        if todo:
            self.module = self._module()
        for input_hw in dict.fromkeys(c.input_hw for c in todo):
            self._look(input_hw)

    def has(self, c: Conditions) -> bool:
        """Whether conditions were measured before the work was interrupted."""
        asked = (c.runtime, c.threads, c.batch, c.input_hw)
        return any((t.runtime, t.threads, t.batch, t.input_hw) == asked for t in self.timings)

    def knows_peak(self, threads: int) -> bool:
        """Whether the machine's own speed was measured before."""
        scope = "1 thread" if threads == 1 else f"{threads} threads"
        return any(m.key.startswith("peak/") and m.scope == scope for m in self.measurements)

    # ------------------------------------------------------------------------------------------------ preparing

    def _module(self) -> nn.Module | None:
        """The network in this process, its weights in a file for the others."""
        subject = self.run.subject
        if subject.source is None:
            return None
        if subject.trained is not None:
            module = subject.trained.module.eval()
        else:
            module = subject.source.fresh().eval()
            if subject.paper == OWN:
                checked_maps(module, torch.zeros(1, 3, *subject.input_hw), subject.label)
            else:
                calibrate(module, subject.input_hw)
        self.weights = self.folder / "weights.pt"
        torch.save(module.state_dict(), self.weights)
        return module

    def _look(self, input_hw: tuple[int, int]) -> None:
        """Reference maps, counts and memory at one input size."""
        subject = self.run.subject
        scope = one_image(input_hw)
        if self.module is None:
            file = subject.onnx
            assert file is not None
            batch = self.run.conditions[0].batch
            reader = OnnxRuntime() if file.suffix == ".onnx" else OpenVino()
            if reason := reader.missing():
                raise ValueError(reason)
            answer = reader.build(Workload(None, None, file, "", input_hw, batch), torch.get_num_threads())
            call: Call = lambda images: InBatches(answer, batch)(images)[0]  # noqa: E731
            size = sum(part.stat().st_size for part in parts_of(file))
            self._say("file_bytes", size, "byte", scope)
            try:
                self._keep(count_onnx(file, input_hw) if file.suffix == ".onnx" else count_openvino(file, input_hw))
            except ValueError as error:  # such as the package that reads it missing; the times stand without
                self.absent.append(Absent(key="macs", reason=f"{scope}: {error}"))
        else:
            module = self.module
            image = torch.zeros(1, 3, *input_hw)
            call = lambda images: checked_maps(module, images, subject.label)  # noqa: E731
            self.references[input_hw] = self._reference(call, input_hw)
            if self.known(scope):
                return
            self._keep(count_of(subject.source, module, input_hw))
            peak = activations_peak(module, image)
            self._say("memory/activations_peak", peak, "byte", f"{scope}, eager, fp32")
            return
        self.references[input_hw] = self._reference(call, input_hw)

    def _reference(self, call: Call, input_hw: tuple[int, int]) -> ReferenceOutput:
        path = self.folder / f"reference-{input_hw[0]}x{input_hw[1]}.pt"
        try:
            return ReferenceOutput.write(path, call, input_hw, self.persons)
        except ValueError as error:
            raise ValueError(f"{self.run.subject.label}: {error}") from error

    def known(self, scope: str) -> bool:
        """Whether counts of an input size were taken before the work was interrupted."""
        return any(m.scope == scope for m in self.measurements)

    def _keep(self, cost: Cost) -> None:
        self.counted(self.run.subject, cost)
        self.measurements += cost_measurements(cost)
        self.absent += cost_absences(cost)

    def _say(self, key: str, value: float, unit: str, scope: str, **more: Any) -> None:
        self.measurements.append(Measurement(key=key, value=float(value), unit=unit, scope=scope, n=1, **more))

    def subject(self, runtime: Runtime, c: Conditions) -> NetworkSubject:
        """What is sent to the runtime's process."""
        subject, run = self.run.subject, self.run
        file, fault = self._file(c.input_hw, c.batch) if runtime.reads_onnx else (None, "")
        images = self._ranges(c.input_hw) if runtime.precision == "int8" else None
        workload = Workload(subject.source, self.weights, file, fault, c.input_hw, c.batch, images)
        decoding, task = Decoding(), None
        if run.protocol is not None:
            assert subject.trained is not None
            decoding = Decoding(run.protocol.codec, subject.trained.activate)
            if runtime.name not in self.asked_for_answers:
                self.asked_for_answers.add(runtime.name)
                task = Scoring(run.protocol, run.root, c.input_hw, subject.trained.activate)
        macs_found = next((m.value for m in self.measurements if m.key == "macs"), 0.0)
        reference = self.references[c.input_hw]
        return NetworkSubject(runtime, workload, reference, c.threads, c.scopes, decoding, task, macs_found / 1e9)

    def _ranges(self, input_hw: tuple[int, int]) -> Path:
        """Images whose ranges runtimes in 8 bits take: of the check's kinds, and training crops of the protocol."""
        path = self.folder / f"ranges-{input_hw[0]}x{input_hw[1]}.pt"
        if not path.exists():
            images = ranges(input_hw)
            if self.run.protocol is not None:
                own = quantising.training_crops(self.run.protocol, self.run.root, RANGE_CROPS, input_hw)
                images = torch.cat([own, images])
            torch.save(images, path)
        return path

    def _file(self, input_hw: tuple[int, int], batch: int) -> tuple[Path | None, str]:
        """The network as an ONNX file, made once; or why there is none."""
        if self.module is None:
            return self.run.subject.onnx, ""
        key = (input_hw, batch)
        if key not in self.files:
            path = self._export_path(input_hw, batch)
            try:
                self.files[key] = (self._exported(path, input_hw, batch), "")
            except Exception as error:  # an exporter may raise anything, and the reason is a row of the table
                self.files[key] = (None, f"could not be exported: {sentence(error)}")
        return self.files[key]

    def _exported(self, path: Path, input_hw: tuple[int, int], batch: int) -> Path:
        """The file at a path, unless it is there and sound; what is damaged is said and set aside."""
        assert self.module is not None
        if (there := files.state(path)) != "sound":
            if there == "damaged":
                files.set_aside(path, "and exported again")
            files.sweep(path.parent)
            to_onnx(self.module, input_hw, path, batch)
            files.seal(path)
        return path

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

    def take(self, runtime: Runtime, c: Conditions, turns: str, measured: Measured) -> None:
        """Rows of a runtime that was tried."""
        facts = measured.facts
        for scope in c.scopes:
            found = measured.parts.get(scope, measured.failure)
            joules = measured.joules.get(scope)
            if scope in measured.refused:
                row = _row(runtime, c, scope, status="skipped", reason=measured.refused[scope])
            elif isinstance(found, Times):
                row = _row(
                    runtime,
                    c,
                    scope,
                    turns=turns,
                    rounds_ms=found.rounds_ms,
                    warmup_calls=found.warmup_calls,
                    settled=found.settled,
                    attempts=found.attempts,
                    deviation=float(f"{facts['deviation']:.3g}"),
                    tolerance=runtime.tolerance,
                    peak_rss_bytes=measured.peak_rss_bytes,
                    joules_per_image=None if joules is None else round(joules / c.batch, 6),
                )
            else:
                row = _row(runtime, c, scope, status="failed", reason=found)
            self.timings.append(row)
        if "peak_device_bytes" in facts:
            where = f"{runtime.name}, {c.input_hw[0]}x{c.input_hw[1]}, batch {c.batch}, {c.threads} threads"
            self._say("memory/cuda_peak", facts["peak_device_bytes"], "byte", where)
        if measured.result is not None:
            self.answers[runtime.name] = measured.result
        elif measured.task_failure:
            self.absent.append(Absent(key=f"score/{runtime.name}", reason=measured.task_failure))

    def take_peak(self, threads: int, measured: Measured) -> None:
        """The machine's own speed."""
        for name, work_macs in MACS.items():
            times = measured.parts.get(name, measured.failure)
            if isinstance(times, Times):
                calls = [ms for turn in times.rounds_ms for ms in turn]
                speed = round(work_macs / float(np.median(calls)) / 1e6, 2)
                scope = "1 thread" if threads == 1 else f"{threads} threads"
                self.measurements.append(
                    Measurement(key=f"peak/{name}", value=speed, unit="GMAC/s", scope=scope, n=len(calls))
                )
            else:
                self.absent.append(Absent(key=f"peak/{name}", reason=times))

    def keep(self) -> None:
        """Keep what was timed so far, in case the work is interrupted."""
        if self.kept is not None:
            self.kept.save(self.run, self.record())

    def finish(self) -> RunRecord:
        """All of it; the network is let go."""
        meter = RaplMeter.open(RAPL)
        if isinstance(meter, str):
            self.absent.append(Absent(key="energy", reason=meter))
        record = self.record()
        if self.kept is not None:
            self.kept.forget(self.run)
        self.module = None
        shutil.rmtree(self.folder, ignore_errors=True)
        return record

    def record(self) -> RunRecord:
        """What there is so far."""
        run, trained = self.run, self.run.subject.trained
        threads = max(c.threads for c in run.conditions)
        where = _device_of(run.conditions)
        made = provenance.collect(self.started, where, threads)
        if where == "cpu" and any(t.status == "done" and isinstance(named([t.runtime])[0], Cuda) for t in self.timings):
            made = made.model_copy(update={"device": f"{made.device} with {provenance.device_name('cuda')}"})
        order = {(c.input_hw, c.batch, c.threads, c.runtime): k for k, c in enumerate(run.conditions)}
        rows = sorted(self.timings, key=lambda t: order[t.input_hw, t.batch, t.threads, t.runtime])
        return RunRecord(
            id=run.id,
            identity=run.identity,
            status="done",
            provenance=made,
            measurements=(*self.measurements, *self._scores()),
            timings=tuple(rows),
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


def _device_of(conditions: Sequence[Conditions]) -> str:
    """The GPU where every row was timed on it, else the processor, which takes part in every one of them."""
    on_gpu = all(isinstance(runtime, Cuda) for runtime in named([c.runtime for c in conditions]))
    return "cuda" if on_gpu and torch.cuda.is_available() else "cpu"


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
    """The task of a runtime: predict a protocol's persons. Travels to the runtime's process."""

    protocol: Protocol
    root: str | None
    input_hw: tuple[int, int]
    activate: Callable[[torch.Tensor], torch.Tensor]

    def __call__(self, module: nn.Module) -> np.ndarray:
        """Joints [N,J,2] in image pixels, one row per person of the protocol's truth."""
        task = predicting.task_of_protocol(self.protocol, self.root)
        network = Network(module, self.input_hw, self.activate, "", "", "")
        return predicting.answer(task, network).joints


def parts_of(file: Path) -> list[Path]:
    """A file, and the weights beside an IR."""
    beside = file.with_suffix(".bin")
    return [file, beside] if file.suffix == ".xml" and beside.is_file() else [file]


def default_threads() -> tuple[int, ...]:
    """One thread, and all cores."""
    return tuple(sorted({1, os.cpu_count() or 1}))
