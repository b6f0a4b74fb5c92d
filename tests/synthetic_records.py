"""Plausible RunRecords for tests of verdicts and pages: no training, no timing, the same every time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from hpe_bench.data.skeletons import COCO_17
from hpe_bench.declare import Arm, Variant, fingerprint
from hpe_bench.metrics import bootstrap
from hpe_bench.records.schema import CurvePoint, Identity, ImageCounts, Measurement, Provenance, RunRecord, Sample
from hpe_bench.records.throughput import SECONDS

IMAGES = 150
JOINTS = len(COCO_17.joints)
GRID = (0, 4000, 8000, 16000, 24000, 32000, 40000)


def digest(*values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()


def provenance(started: str = "2026-01-05T10:00:00+00:00") -> Provenance:
    return Provenance(
        version="0.1.0",
        commit="0123456789abcdef0123456789abcdef01234567",
        dirty=False,
        packages={"torch": "2.13.0", "numpy": "2.2.0"},
        python="3.11.9",
        platform="Linux x86_64",
        device="Example CPU",
        threads=1,
        flags={"deterministic": "True"},
        started=started,
        seconds=431.0,
    )


def cost(
    slug: str,
    variant: Variant,
    params: int,
    macs: int,
    hrnet: int,
    ms: float = 10.0,
    started: str = "2026-01-05T09:00:00+00:00",
    fvcore: int | None = None,
) -> RunRecord:
    """A cost record with one latency scope; as older ones were, without fvcore's default unless it is given."""
    scope = "network only, batch 1, eager fp32, 1 thread"

    def one(key: str, value: float, unit: str, n: int = 1, scope: str = "") -> Measurement:
        return Measurement(key=key, value=float(value), unit=unit, n=n, scope=scope)

    return RunRecord(
        id=digest("cost", slug, variant.name, params, started)[:16],
        identity=Identity(
            kind="cost",
            scale="cost",
            paper=slug,
            variant=variant.name,
            variant_hash=fingerprint(variant),
            protocol="cost-v1",
            protocol_hash="c0",
        ),
        status="done",
        provenance=provenance(started),
        measurements=(
            one("params", params, "count"),
            one("macs", macs, "MAC"),
            one("macs/hrnet_counter", hrnet, "MAC"),
            *([] if fvcore is None else [one("macs/fvcore_default", fvcore, "flop")]),
            one("activations", macs // 300, "count"),
            one("weight_bytes", 4 * params, "B"),
            Measurement(key="latency/median", value=ms, unit="ms", scope=scope, n=200, interval=(0.97 * ms, 1.04 * ms)),
            one("latency/p90", 1.1 * ms, "ms", 200, scope),
            one("latency/p99", 1.3 * ms, "ms", 200, scope),
        ),
    )


@dataclass(frozen=True)
class Level:
    """How good a synthetic arm is: final accuracy in percent, and the samples it takes to get most of the way."""

    accuracy: float
    pace: float = 8000.0


def accuracy(
    arm: Arm,
    seed: int,
    level: Level,
    protocol: str = "mannequins-v1-dark",
    protocol_hash: str = "p0",
    scale: str = "pocket",
    samples_seen: int = 40_000,
    images: int = IMAGES,
    started: str = "2026-01-05T10:00:00+00:00",
) -> RunRecord:
    """An accuracy record: tallies share each image's difficulty across arms, so that pairing matters."""
    difficulty = np.random.default_rng(7).normal(0, 9, images)
    rng = np.random.default_rng(int(digest(arm.name, arm.recipe.name, seed, protocol)[:8], 16))
    rate = np.clip(level.accuracy + rng.normal(0, 0.4) + difficulty, 3, 97) / 100
    groups = [(f"pckh@0.5/{name}", len(joints)) for name, joints in COCO_17.groups]
    tables = {key: (rng.binomial(n, rate), np.full(images, n)) for key, n in groups}
    whole = (sum(t[0] for t in tables.values()), sum(t[1] for t in tables.values()))
    tables = {"pckh@0.5": whole, **tables}
    measurements, tallies = [], []
    for key, (hits, counts) in tables.items():
        measurements.append(
            Measurement(
                key=key,
                value=bootstrap.rate(hits, counts),
                unit="percent",
                scope=protocol,
                n=int(counts.sum()),
                interval=bootstrap.rate_interval(hits, counts, replicates=200),
            )
        )
        tallies.append(ImageCounts(key=key, hits=tuple(map(int, hits)), counts=tuple(map(int, counts))))
    final = measurements[0].value
    curve = tuple(
        CurvePoint(
            samples=s,
            train_loss=float(np.exp(-s / level.pace)),
            probe=float(final * (1 - np.exp(-s / level.pace)) + (rng.normal(0, 0.5) if s else 0)),
            seconds=s / 100,
        )
        for s in GRID
    )
    i = Identity(
        kind="accuracy",
        scale=scale,  # type: ignore[arg-type]
        paper=arm.paper,
        variant=arm.variant.name,
        variant_hash=fingerprint(arm.variant),
        recipe=arm.recipe.name,
        recipe_hash=fingerprint(arm.recipe),
        protocol=protocol,
        protocol_hash=protocol_hash,
        train_digest="t0",
        test_digest="e0",
        seed=seed,
        samples_seen=samples_seen,
    )
    return RunRecord(
        id=digest(arm.paper, arm.variant.name, arm.recipe.name, protocol, seed, started)[:16],
        identity=i,
        status="done",
        provenance=provenance(started),
        measurements=tuple(measurements),
        tallies=tuple(tallies),
        curve=curve,
        samples=tuple(person(row, rng, 2.0 if row < 8 else 14.0) for row in range(10)),
        predictions_sha256=digest("predictions", arm.name, seed, protocol, started),
        weights_sha256=digest("weights", arm.name, seed),
    )


def took(arm: Arm, samples: int, seconds: float, seed: int = 0, device: str = "Example CPU") -> RunRecord:
    """A training, and what it took on a device."""
    record = accuracy(arm, seed, Level(50.0), samples_seen=samples)
    kept = tuple(m for m in record.measurements if m.key != SECONDS)
    there = record.provenance.model_copy(update={"device": device})
    time = Measurement(key=SECONDS, value=seconds, unit="s", scope="training", n=1)
    return record.model_copy(update={"measurements": (*kept, time), "provenance": there})


def mean_pose(protocol: str = "mannequins-v1-dark", protocol_hash: str = "p0") -> RunRecord:
    """The mean-pose baseline."""
    hits, counts = np.full(IMAGES, 3), np.full(IMAGES, 17)
    return RunRecord(
        id=digest("mean", protocol)[:16],
        identity=Identity(
            kind="accuracy",
            scale="pocket",
            paper="mean_pose",
            variant="mean_pose",
            variant_hash="m0",
            protocol=protocol,
            protocol_hash=protocol_hash,
            train_digest="t0",
            test_digest="e0",
        ),
        status="done",
        provenance=provenance(),
        measurements=(Measurement(key="pckh@0.5", value=300 / 17, unit="percent", n=2550, interval=(17.1, 18.2)),),
        tallies=(ImageCounts(key="pckh@0.5", hits=tuple(map(int, hits)), counts=tuple(map(int, counts))),),
        predictions_sha256=digest("mean", protocol),
    )


X = (50, 53, 47, 57, 43, 64, 36, 74, 28, 78, 20, 59, 41, 60, 38, 62, 36)
Y = (12, 10, 10, 12, 12, 32, 32, 52, 54, 72, 70, 74, 74, 104, 106, 136, 138)
STANDING = np.stack((X, Y), axis=1).astype(float)


def person(row: int, rng: np.random.Generator, noise: float) -> Sample:
    """A standing figure and a noisy prediction of it."""
    predicted = STANDING + rng.normal(0, noise, STANDING.shape)
    return Sample(
        row=row,
        image=row,
        box=(10.0, 0.0, 80.0, 146.0),
        truth=tuple((float(x), float(y)) for x, y in STANDING),
        labelled=(True,) * 15 + (False, True),
        predicted=tuple((float(round(x, 2)), float(round(y, 2))) for x, y in predicted),
        scores=(0.9,) * JOINTS,
    )
