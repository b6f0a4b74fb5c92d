"""Submissions: predictions from elsewhere, scored under a protocol, as a record.

R measured persons (rows of the truth), D detections.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import numpy as np
import torch

from hpe_bench.data.own_skeleton import OwnData
from hpe_bench.data.prediction_files import Header, PredictionFile, to_bytes
from hpe_bench.declare import Score, fingerprint
from hpe_bench.metrics import average_precision
from hpe_bench.metrics.bootstrap import Difference
from hpe_bench.metrics.oks_ap import OksAP
from hpe_bench.metrics.paired import paired_rates
from hpe_bench.metrics.rates import DistanceRate
from hpe_bench.records import provenance
from hpe_bench.records.schema import Identity, RunRecord, Submission
from hpe_bench.run import scoring
from hpe_bench.run.truths import Truth

SUBMITTED = "submitted"  # in the place of a paper's slug


def differences(truth: Truth, a: PredictionFile, b: PredictionFile, what: tuple[str, str]) -> dict[str, Difference]:
    """Score of a less score of b, by key: the same images are resampled for both (F25)."""
    found: dict[str, Difference] = {}
    for metric in truth.protocol.metrics:
        if isinstance(metric, OksAP):
            all_keys = average_precision.paired_difference(truth.persons, a.predictions, b.predictions)
            found |= {key: difference for key, difference in all_keys.items() if key in metric.keys}
        elif isinstance(metric, DistanceRate) and not isinstance(truth.protocol.data, OwnData):
            one, two = (
                scoring.answered(truth.persons, f.predictions, name) for f, name in zip((a, b), what, strict=True)
            )
            shared, in_a, in_b = np.intersect1d(one.rows, two.rows, return_indices=True)
            joints = one.predictions.joints[in_a], two.predictions.joints[in_b]
            found |= paired_rates(metric, truth.persons.subset(shared), *joints)
    return found


# ---------------------------------------------------------------------------------------------------- the record


def record(
    name: str,
    path: Path,
    truth: Truth,
    file: PredictionFile,
    found: list[Score],
    started: datetime,
    weights_sha256: str = "",
) -> RunRecord:
    """The record of a submission; its id changes with name, predictions, protocol and truth."""
    identity = Identity(
        kind="submission",
        scale="full",
        paper=SUBMITTED,
        variant=name,
        variant_hash=fingerprint((SUBMITTED, name)),
        protocol=truth.label,
        protocol_hash=truth.protocol_hash,
        test_digest=truth.persons.digest(),
    )
    measurements, tallies = scoring.as_measured(found, truth.label)
    return RunRecord(
        id=fingerprint((SUBMITTED, name, file.sha256, truth.protocol_hash, identity.test_digest)),
        identity=identity,
        status="done",
        provenance=provenance.collect(started, "cpu", torch.get_num_threads()),
        measurements=measurements,
        tallies=tallies,
        matches=scoring.matches_of(found),
        calibration=scoring.calibrated(truth.protocol, truth.persons, file.predictions),
        predictions_sha256=file.sha256,
        weights_sha256=weights_sha256,
        submission=Submission(
            name=name, file=path.name, layout=file.layout, creator=file.creator, truth=truth.described
        ),
    )


def under_another_name(made: RunRecord, there: Iterable[RunRecord]) -> RunRecord | None:
    """The record of the same predictions under another name, if there is one (F26)."""
    same = (r for r in there if r.identity.kind == "submission" and r.predictions_sha256 == made.predictions_sha256)
    return next((r for r in same if r.identity.training != made.identity.training), None)


def same_run(truth: Truth, file: PredictionFile, there: Iterable[RunRecord]) -> RunRecord | None:
    """The record of a run of ours that gave these very predictions for every person, if there is one."""
    found = file.predictions
    if found.person is None or not np.array_equal(found.person, np.arange(len(truth.persons))):
        return None
    values = (found.joints.astype(np.float32), found.joint_scores.astype(np.float32))
    digest = hashlib.sha256(b"".join(v.tobytes() for v in values)).hexdigest()
    return next((r for r in there if r.predictions_sha256 == digest), None)


def stored(truth: Truth, file: PredictionFile) -> bytes:
    """The predictions in our layout, for `runs/predictions/<sha256>.npz`."""
    persons, found = truth.persons, file.predictions
    header = Header(
        joints=persons.skeleton.joints,
        creator=file.creator or f"converted from {file.layout}",
        protocol=truth.label,
        persons=persons.digest(),
    )
    return to_bytes(found, persons.ids[found.image], header)
