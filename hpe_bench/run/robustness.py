"""A network under corruptions: the protocol's headline clean and corrupted, as one record."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import torch

from hpe_bench.data import corruptions
from hpe_bench.data.predictions import Predictions
from hpe_bench.declare import Corruption, Metric, Protocol, Score, fingerprint
from hpe_bench.metrics import calibration, robustness
from hpe_bench.metrics.bootstrap import Difference
from hpe_bench.metrics.robustness import Draws
from hpe_bench.records import provenance
from hpe_bench.records.measured import Measurement
from hpe_bench.records.schema import Change, CorruptedPart, CorruptedScore, Identity, Robustness, RunRecord
from hpe_bench.run import scoring
from hpe_bench.run.prediction import Model, Task, answer
from hpe_bench.run.submission import SUBMITTED

ROBUSTNESS = "robustness"

Step = Callable[[str], None]
Answer = Callable[[Task], Predictions]


@dataclass(frozen=True, eq=False)
class ScoredUnder:
    """A corrupted protocol's headline score, its parts, and the error of its joint scores."""

    protocol: Protocol
    headline: Score
    parts: tuple[Score, ...]
    error: float | None
    sha256: str


def measure(
    task: Task, corrupted: Sequence[Corruption], answered: Answer, step: Step
) -> tuple[list[ScoredUnder], Predictions]:
    """The clean score, then one for each corruption; and the clean predictions. `step` is told what comes next."""
    protocols = [task.protocol, *(corruptions.under(task.protocol, c) for c in corrupted)]
    found, clean = [], None
    for protocol in protocols:
        step("clean" if protocol.corruption is None else protocol.corruption.name)
        predictions = answered(replace(task, protocol=protocol))
        clean = predictions if clean is None else clean
        found.append(scored(protocol, task, predictions))
    assert clean is not None
    return found, clean


def with_model(model: Model, device: str) -> Answer:
    """The answers of a network, or of somebody's function."""
    return lambda task: answer(task, model, device)


def scored(protocol: Protocol, task: Task, predictions: Predictions) -> ScoredUnder:
    """The headline with joints and groups."""
    metric = protocol.metrics[0]
    headline, *parts = scoring.of_metric(metric, task.truth, predictions, protocol.name)
    arrays = (predictions.joints, predictions.joint_scores)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()
    return ScoredUnder(protocol, headline, tuple(parts), _error(metric, task, predictions), digest)


def _error(metric: Metric, task: Task, found: Predictions) -> float | None:
    if found.person is None:
        return None
    truth = task.truth.subset(found.person)
    judged = calibration.judged(metric, truth, found.joints, found.joint_scores)
    if judged is None:
        return None
    return calibration.expected_error(judged.score_NJ[judged.counted_NJ], judged.right_NJ[judged.counted_NJ])


# ---------------------------------------------------------------------------------------------------- the record


def draws_of(found: Robustness) -> Draws:
    """A record's scores with what intervals are resampled from."""
    return draws_together([found])[0]


def draws_together(found: Sequence[Robustness]) -> list[Draws]:
    """Several records' scores under common draws of their images; ValueError where they are of other images."""
    if all(r.counts for r in found):
        if len({r.counts for r in found}) > 1:
            raise ValueError("models under corruptions count different joints; measure them on the same persons")
        hits = [[robustness.unpack(s.hits) for s in r.scores] for r in found]
        return robustness.of_hits(hits, robustness.unpack(found[0].counts))
    return robustness.of_matches([[s.matches for s in r.scores] for r in found], found[0].key)


def record(
    name: str,
    task: Task,
    network_sha256: str,
    training: RunRecord | None,
    found: Sequence[ScoredUnder],
    clean: Predictions,
    started: datetime,
    device: str,
) -> RunRecord:
    """One record of all scores. `training` is that which made the weights, if one of ours did."""
    protocol, key = task.protocol, found[0].headline.key
    counts_I = found[0].headline.counts_per_image
    plain = Robustness(
        key=key,
        model=name,
        counts="" if counts_I is None else robustness.pack(counts_I),
        scores=tuple(_row(s) for s in found),
    )
    draws, corrupted = draws_of(plain), list(range(1, len(found)))
    rows = [s.model_copy(update={"change": _change(draws.less([i], draws, [0]))} if i else {})
            for i, s in enumerate(plain.scores)]  # fmt: skip
    value, interval = draws.mean(corrupted)
    measured = [
        Measurement(key=f"{key}/clean", value=found[0].headline.value, unit="percent", scope=protocol.name,
                    n=found[0].headline.n, interval=found[0].headline.interval),
        Measurement(key=f"{key}/mean-corruption", value=value, unit="percent", scope=protocol.name,
                    n=found[0].headline.n, interval=interval),
    ]  # fmt: skip
    identity = identity_of(name, task, training)
    return RunRecord(
        id=fingerprint(
            (ROBUSTNESS, name, network_sha256, [fingerprint(s.protocol) for s in found], identity.test_digest)
        ),
        identity=identity,
        status="done",
        provenance=provenance.collect(started, device, torch.get_num_threads(), packages()),
        measurements=tuple(measured),
        weights_sha256=network_sha256,
        calibration=scoring.calibrated(protocol, task.truth, clean),
        robustness=plain.model_copy(update={"scores": tuple(rows)}),
    )


def packages() -> dict[str, str]:
    """The version of the library that corrupts pixels, if it is there."""
    try:
        return {"albumentations": importlib.metadata.version("albumentations")}
    except importlib.metadata.PackageNotFoundError:
        return {}


def identity_of(name: str, task: Task, training: RunRecord | None) -> Identity:
    """Who was measured: one of our trainings, or a name."""
    where = {
        "kind": ROBUSTNESS,
        "protocol": task.protocol.name,
        "protocol_hash": fingerprint(task.protocol),
        "test_digest": task.truth.digest(),
    }
    if training is not None:
        return training.identity.model_copy(update=where)
    return Identity(scale="full", paper=SUBMITTED, variant=name, variant_hash=fingerprint((SUBMITTED, name)), **where)  # type: ignore[arg-type]


def _row(found: ScoredUnder) -> CorruptedScore:
    c, score = found.protocol.corruption, found.headline
    key = score.key + "/"
    return CorruptedScore(
        protocol=found.protocol.name,
        protocol_hash=fingerprint(found.protocol),
        kind="" if c is None else c.kind,
        severity=0 if c is None else c.severity,
        value=score.value,
        n=score.n,
        interval=score.interval,
        parts=tuple(CorruptedPart(key=p.key, value=p.value, n=p.n) for p in found.parts if p.key.startswith(key)),
        hits="" if score.hits_per_image is None else robustness.pack(score.hits_per_image),
        matches=score.matches,
        calibration_error=found.error,
        predictions_sha256=found.sha256,
    )


def _change(d: Difference) -> Change:
    return Change(value=d.value, low=d.low, high=d.high, p_value=d.p_value)
