"""The parts of a session, each run in a process of its own: `run(name, setting)`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.gpu import checks, speeds
from benchmarks.gpu.budget import NETWORKS
from benchmarks.gpu.setting import Reporter, Setting, report_file
from hpe_bench import catalog, plan, protocols
from hpe_bench.commands import full
from hpe_bench.commands.full import RANDOM, FullRequest
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.declare import replace
from hpe_bench.errors import sentence
from hpe_bench.plan import TrainingRun
from hpe_bench.records import provenance
from hpe_bench.records.schema import RunRecord
from hpe_bench.run import pool, training
from hpe_bench.run.pool import Outcome, Settings
from hpe_bench.training.execution import Execution

DATA = "lsp"
TINY_HW = (64, 64)  # of a rehearsal
TINY = Mannequins(train_persons=48, test_persons=12)


def run(name: str, setting: Setting) -> int:
    """Run a part; 1 if it failed, with the reason in its report and on stderr."""
    signal.signal(signal.SIGTERM, _leave)
    report = Reporter(report_file(setting.folder, setting.extra["report"]))
    try:
        PARTS[name](setting, report)
    except Exception as error:  # a part fails alone
        traceback.print_exc()
        report("fault", sentence(error))
        return 1
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    sys.stdout.flush()
    os._exit(3)


# ---------------------------------------------------------------------------------------------------- small parts


def machine(setting: Setting, report: Reporter) -> None:
    """What this is."""
    made = provenance.collect(datetime.now(UTC), setting.device, 1)
    report("device", made.device)
    report("processor", provenance.cpu_name())
    report("cores", os.cpu_count())
    report("python", made.python)
    report("packages", made.packages)
    report("commit", made.commit)
    if setting.device.startswith("cuda"):
        found = torch.cuda.get_device_properties(setting.device)
        report("gpu_memory_bytes", found.total_memory)
        report("multiprocessors", found.multi_processor_count)
        report("cuda", torch.version.cuda)
        report("cudnn", torch.backends.cudnn.version())


def prepare(setting: Setting, report: Reporter) -> None:
    """Crops of the full-size trainings, once, before several processes want them."""
    torch.set_num_threads(1)
    data = _loaded(setting, full_run(setting, NETWORKS[0].paper, 1280, Execution()))
    report("training_persons", len(data.train))
    report("test_persons", len(data.truth))
    report("crop_bytes", data.train.pixels.nbytes)


def prepare_pocket(setting: Setting, report: Reporter) -> None:
    """Data and crops of the miniatures."""
    seen = set()
    for run in pocket_runs(setting):
        protocol = run.protocols[0]
        key = (protocol.data, run.variant.input_hw)
        if key not in seen:
            seen.add(key)
            for split in (protocol.train_split, protocol.test_split):
                protocol.data.prepare(split, setting.data)
            _loaded(setting, run)
            report(f"{protocol.data.name}/{run.variant.input_hw[0]}x{run.variant.input_hw[1]}", "cut")


def _loaded(setting: Setting, run: TrainingRun) -> training.Data:
    protocol = run.protocols[0]
    for split in (protocol.train_split, protocol.test_split):
        protocol.data.prepare(split, setting.data)
    return training.load_data(protocol, setting.data, run.variant.input_hw)


def counts(setting: Setting, report: Reporter) -> None:
    """Costs of the networks that are timed, into the cache, where latency records take them from."""
    from benchmarks.gpu import rows
    from hpe_bench.cost.count_cache import cached_count

    torch.set_num_threads(2)
    for slug, variant in rows.variants(setting.rehearse):
        cost = cached_count(variant.builder, variant.joints, variant.input_hw, variant.builder(joints=variant.joints))
        report(f"{slug}/{variant.name}", cost.macs)


def check(setting: Setting, report: Reporter) -> None:
    """The CUDA paths against the CPU's."""
    failed = checks.run(checks.ALL, setting.device, report)
    if failed:
        raise AssertionError(f"checks failed: {', '.join(failed)}")


def compiled(setting: Setting, report: Reporter) -> None:
    """torch.compile, which takes its time, in a process of its own."""
    failed = checks.run(checks.COMPILED, setting.device, report)
    if failed:
        raise AssertionError(f"checks failed: {', '.join(failed)}")


def latency(setting: Setting, report: Reporter) -> None:
    """Latency records without energy."""
    from benchmarks.gpu import rows  # here, since it needs packages that the other parts do without

    _kept_rows(rows.measured(setting.device, setting.rehearse), setting, report)


def latency_with_energy(setting: Setting, report: Reporter) -> None:
    """Latency records with energy, which takes ten seconds a row."""
    from benchmarks.gpu import rows

    _kept_rows(rows.with_energy(setting.device, setting.rehearse), setting, report)


def medians(record: RunRecord) -> dict[str, Any]:
    """Median ms by runtime and batch, or why there is none."""
    found: dict[str, Any] = {}
    for timing in record.timings:
        key = f"{timing.runtime}, batch {timing.batch}"
        if timing.status != "done":
            found[key] = timing.reason
            continue
        found[key] = round(float(np.median([ms for calls in timing.rounds_ms for ms in calls])), 3)
        if timing.joules_per_image is not None:
            found[f"{key}, J/image"] = timing.joules_per_image
    return found


def _kept_rows(found: Iterator[RunRecord], setting: Setting, report: Reporter) -> None:
    """The references that rows are held against are computed on the processor."""
    torch.set_num_threads(min(8, os.cpu_count() or 1))
    outcome = Outcome()
    for record in found:
        pool.keep(record, _settings(setting, 1, setting.device), outcome)
        report(f"{record.identity.paper}/{record.identity.variant}", medians(record))


def speed(setting: Setting, report: Reporter) -> None:
    """Training throughput of every network, in several precisions and ways."""
    runs = {n.paper: full_run(setting, n.paper, 1_280_000, Execution()) for n in NETWORKS}
    data = _loaded(setting, runs[NETWORKS[0].paper])
    speeds.measure(runs, data, setting.device, setting.rehearse, report)


# ---------------------------------------------------------------------------------------------------- trainings


def full_run(setting: Setting, paper: str, samples: int, execution: Execution) -> TrainingRun:
    """A full-size training on LSP; in a rehearsal the same network on a few small mannequins."""
    asked = FullRequest(DATA, budget=samples, init=RANDOM, execution=execution)
    if not setting.rehearse:
        return full.planned(paper, asked)[0]
    (run,) = full.planned(paper, replace(asked, budget=1280))
    recipe = replace(
        run.recipe, name=f"{run.recipe.name}-rehearsal", samples=max(samples, 32), batch=8, batch_per_device=None
    )
    scored = tuple(replace(p, name=f"rehearsal-{i}", data=TINY) for i, p in enumerate(run.protocols))
    return replace(run, variant=replace(run.variant, name="tiny", input_hw=TINY_HW), recipe=recipe, protocols=scored)


def train(setting: Setting, report: Reporter) -> None:
    """One full-size training and its records."""
    extra = setting.extra
    execution = Execution(extra["precision"], graphed=extra["graphed"], micro_batches=1)
    run = full_run(setting, extra["paper"], extra["samples"], execution)
    threads = pool.threads_of(run, setting.device)

    def seen(samples: int, probe: float | None) -> None:
        if probe is not None:
            report("samples", samples)
            report("probe", round(probe, 2))

    def said(text: str) -> None:
        report("said", text)

    made = training.run_training(run, setting.data, setting.runs, threads, setting.device, seen, said)
    outcome = Outcome()
    for record in made:
        pool.keep(record, _settings(setting, 1, setting.device), outcome)
        report(record.identity.protocol, scores_of(record))
    report("weights_sha256", made[0].weights_sha256)


def scores_of(record: RunRecord) -> dict[str, Any]:
    """A record's headline, with what it took."""
    first, seconds = record.measurements[0], record.get("train/seconds")
    assert seconds is not None
    return {
        first.key: round(first.value, 3),
        "interval": first.interval,
        "samples": record.identity.samples_seen,
        "train_seconds": seconds.value,
        "samples_per_second": round(record.identity.samples_seen / max(seconds.value, 0.1), 1),
        "predictions_sha256": record.predictions_sha256,
    }


def pocket(setting: Setting, report: Reporter) -> None:
    """Miniatures on the processor's cores; each leaves its records when it ends."""
    with contextlib.suppress(OSError):
        os.nice(10)  # the processes that feed the GPU come first
    runs = pocket_runs(setting)
    settings = _settings(setting, setting.cores, "cpu")
    console = Console(width=160)
    outcome = pool.run_mean_poses(plan.mean_pose_runs(runs), settings)
    outcome = outcome.merge(pool.run_trainings(runs, settings, console, lambda run: 1.0))
    for record in outcome.made:
        i = record.identity
        report(f"{i.paper}/{i.variant} {i.recipe} seed {i.seed} {i.protocol}", round(record.measurements[0].value, 3))
    if outcome.failed:
        raise RuntimeError(f"{len(outcome.failed)} failed, the first: {outcome.failed[0].reason}")


def pocket_runs(setting: Setting) -> list[TrainingRun]:
    """The miniatures asked for as "study:paper:data:seeds", seed by seed, teachers before those they teach."""
    found: dict[str, TrainingRun] = {}
    for text in setting.pocket.split():
        for run in _of_study(text):
            if setting.rehearse:
                run = replace(
                    run,
                    recipe=replace(run.recipe, name=f"{run.recipe.name}-rehearsal", samples=64),
                    protocols=tuple(replace(p, name=f"rehearsal-{p.name}", data=TINY) for p in run.protocols),
                )
            found.setdefault(run.id, run)
    return sorted(found.values(), key=lambda run: run.seed)


def _of_study(text: str) -> list[TrainingRun]:
    words = text.split(":")
    if len(words) != 4:
        raise ValueError(f"--pocket {text!r}: write study:paper:data:seeds, such as headline:fasterpose:lsp:0-2")
    study, slug, data, seeds = words
    paper = catalog.load(slug).paper
    studies = [s for s in paper.studies if s.name == study]
    if not studies or data not in protocols.POCKET:
        raise ValueError(
            f"--pocket {text!r}: {slug} has the studies {', '.join(s.name for s in paper.studies)}, and there are the "
            f"data sets {', '.join(protocols.POCKET)}"
        )
    wanted = _seeds(seeds)
    runs = plan.study_runs(studies, protocols.POCKET[data], max(wanted) + 1)
    return [run for run in runs if run.seed in wanted]


def _seeds(text: str) -> set[int]:
    """3, 0-2 or 1,4."""
    found: set[int] = set()
    for word in text.split(","):
        first, _, last = word.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()):
            raise ValueError(f"seeds {text!r}: write such as 3, 0-2 or 1,4")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _settings(setting: Setting, workers: int, device: str) -> Settings:
    return Settings(Path(setting.results), Path(setting.runs), setting.data, workers, device)


Part = Callable[[Setting, Reporter], None]

PARTS: dict[str, Part] = {
    "machine": machine,
    "prepare": prepare,
    "prepare-pocket": prepare_pocket,
    "counts": counts,
    "checks": check,
    "compile": compiled,
    "rows": latency,
    "rows-energy": latency_with_energy,
    "speeds": speed,
    "pocket": pocket,
    "train": train,
}
