"""Trained networks evaluated while a dial of the rendered data is turned: weights under `runs/` in, records out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from hpe_bench.data.boxes import every_person
from hpe_bench.data.cache import cache_folder
from hpe_bench.data.crops import CropSet, build_crops
from hpe_bench.data.persons import PersonSet
from hpe_bench.declare import Protocol, fingerprint
from hpe_bench.metrics.breakdown import PREFIX
from hpe_bench.plan import SweepRun
from hpe_bench.records import provenance
from hpe_bench.records.measured import SPLITS
from hpe_bench.records.schema import Identity, RunRecord
from hpe_bench.run import prediction, scoring, training
from hpe_bench.run.pool import Outcome, Settings, finished, keep, restore_missing
from hpe_bench.run.prediction import Task
from hpe_bench.terminal import Board
from hpe_bench.training import checkpoints, engine
from hpe_bench.training.loop import steps_of


@dataclass(frozen=True)
class Tests:
    """The test persons of a setting and their crops."""

    truth: PersonSet
    crops: CropSet


def run_sweep(runs: Sequence[SweepRun], settings: Settings, board: Board) -> Outcome:
    """Evaluate what is not finished yet, setting by setting; each record is kept as soon as it is made."""
    outcome, threads = Outcome(), torch.get_num_threads()
    torch.set_num_threads(1)  # the same bits on any machine
    known: dict[str, Tests] = {}
    try:
        for done, run in enumerate(runs, start=1):
            if (record := finished(run.id, run.code, settings)) is not None:
                restore_missing(record, settings)
                outcome.kept += 1
            else:
                if run.protocol.name not in known:
                    known = {run.protocol.name: load_tests(run, settings)}
                keep(evaluate(run, known[run.protocol.name], settings), settings, outcome)
            board.set_done(done, len(runs))
    finally:
        torch.set_num_threads(threads)
    return outcome


def load_tests(run: SweepRun, settings: Settings) -> Tests:
    """Persons and crops of a setting, rendered first if need be."""
    p, variant = run.protocol, run.training.variant
    p.data.prepare(p.test_split, settings.root)
    truth = p.data.load(p.test_split, settings.root)
    cache = cache_folder("crops")
    crops = build_crops(truth, variant.input_hw, p.padding, cache=cache, between_centres=p.between_centres)
    return Tests(truth, crops)


def evaluate(run: SweepRun, tests: Tests, settings: Settings) -> RunRecord:
    """One network under one setting. ValueError where its weights are missing or damaged."""
    started = datetime.now(UTC)
    of, protocol = run.training, run.protocol
    engine.prepare(of.variant.scale, settings.device)
    model = training.build(of.variant, len(tests.truth.skeleton.joints), of.seed)
    folder = settings.runs / of.folder
    weights = checkpoints.load_trained_weights(folder / training.WEIGHTS, model)
    network = training.network_of(of, model.to(memory_format=torch.channels_last), weights)  # type: ignore[call-overload]
    task = Task(protocol, tests.truth, every_person(tests.truth))
    predictions = prediction.of_boxes(task, network, settings.device, crops=tests.crops)
    found = scoring.scores(protocol, tests.truth, predictions)
    measurements, tallies = scoring.as_measured(found, protocol.name)
    kept = (measurements[0].key, *(f"{PREFIX}{part}" for part in SPLITS))  # there are hundreds of these records
    return RunRecord(
        id=run.id,
        identity=identity(run, protocol, tests),
        status="done",
        provenance=provenance.collect(started, settings.device, 1, engine.flags(of.execution, settings.device)),
        measurements=measurements,
        tallies=tuple(t for t in tallies if t.key in kept),
        predictions_sha256=scoring.save_predictions(
            folder / f"{protocol.name}.npz", predictions.joints, predictions.joint_scores
        ),
        weights_sha256=weights,
    )


def identity(run: SweepRun, protocol: Protocol, tests: Tests) -> Identity:
    """Of a kind of its own: it is of a training, and no figure to rank that by."""
    of = run.training
    return Identity(
        kind="sweep",
        scale=of.variant.scale,
        paper=of.paper,
        variant=of.variant.name,
        variant_hash=fingerprint(of.variant),
        recipe=of.recipe.name,
        recipe_hash=fingerprint(of.recipe),
        protocol=protocol.name,
        protocol_hash=fingerprint(protocol),
        test_digest=tests.truth.digest(),
        seed=of.seed,
        samples_seen=steps_of(of.recipe) * of.recipe.batch,
        execution=of.execution.words,
        code=run.code,
    )
