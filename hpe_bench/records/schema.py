"""RunRecords: the JSON a run leaves, validated both ways.

Everything a report shows is in these files: measurements with unit, scope, n and interval, the per-image tables that
intervals of differences are resampled from, training curves, and a few predictions to draw. Weights and full
predictions are named by hash and stay out of git.
"""

from __future__ import annotations

import operator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Strict(BaseModel):
    """Unknown fields are errors; values are never coerced; NaN and infinity have no place in a record."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Measurement(Strict):
    """One measured number. `scope` says of what: the protocol for accuracy, net / flip / end to end for latency."""

    key: str
    value: float
    unit: str
    scope: str = ""
    n: int = Field(ge=0)
    interval: tuple[float, float] | None = None  # 95 %

    @model_validator(mode="after")
    def ordered(self) -> Measurement:
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError(f"{self.key}: interval {self.interval} is the wrong way round")
        return self


class Tally(Strict):
    """Hits and counts of one metric key per test image, in the order of the split; intervals resample these (F25)."""

    key: str
    hits: tuple[int, ...]
    counts: tuple[int, ...]

    @model_validator(mode="after")
    def matched(self) -> Tally:
        if len(self.hits) != len(self.counts):
            raise ValueError(f"{self.key}: {len(self.hits)} hits but {len(self.counts)} counts")
        if min(self.hits, default=0) < 0 or any(map(operator.gt, self.hits, self.counts)):
            raise ValueError(f"{self.key}: hits must lie between 0 and counts")
        return self


class CurvePoint(Strict):
    """Samples seen so far, mean training loss since the last point, headline metric on the probe persons."""

    samples: int
    train_loss: float
    probe: float
    seconds: float


class Heatmap(Strict):
    """A person's final maps as one picture: the largest of all joints' at every heatmap pixel.

    It covers `window` (x, y, width, height in image pixels). `pixels` is base64 of zlib of uint8 rows; 255 stands for
    `peak`, the largest value, 0 for 0 and below.
    """

    hw: tuple[int, int]
    window: tuple[float, float, float, float]
    peak: float
    pixels: str


class Sample(Strict):
    """One test person to draw: row in the split, image position, truth and prediction in image pixels.

    Records made before heatmaps were kept, and predictions that came without a network, have none.
    """

    row: int
    image: int
    box: tuple[float, float, float, float]
    truth: tuple[tuple[float, float], ...]
    labelled: tuple[bool, ...]
    predicted: tuple[tuple[float, float], ...]
    scores: tuple[float, ...]
    heatmap: Heatmap | None = None


class Submission(Strict):
    """A file of predictions that was scored: by whom, what it is, and what it was scored against."""

    name: str  # of the submitter or the model, as given
    file: str
    layout: str
    creator: str = ""  # what the file says made it
    truth: str  # in words: the protocol's own data, or an annotation file with its hash; with the number of persons


RuntimeScope = Literal["network", "flip", "processed", "end-to-end"]


class Timing(Strict):
    """One row of a latency record: a network in one runtime, or why it was not timed there.

    `scope`: "network" is the forward pass alone; "flip" adds the mirrored pass and the merge. Without the mirrored
    pass, "processed" adds cutting and normalising the crop before and decoding the maps after; "end-to-end" starts from
    a JPEG file's bytes and ends with joints in image pixels. Times are ms of one call over `batch` images, round by
    round in the order taken (M3). `deviation` is the root mean square of the final maps' difference from eager
    float32's, over the standard deviation of those; a row counts only where it is at most `tolerance`.
    """

    runtime: str
    version: str = ""  # of the package that executes
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    scope: RuntimeScope = "network"
    input_hw: tuple[int, int]
    batch: int = Field(ge=1)
    threads: int = Field(ge=1)
    status: Literal["done", "skipped", "failed"] = "done"
    reason: str = ""
    rounds_ms: tuple[tuple[float, ...], ...] = ()
    warmup_calls: int = 0
    settled: bool = True  # False: the median was not stable after the warm-up, or the spread stayed wide
    attempts: int = 1  # how often it was timed until the spread was narrow enough
    deviation: float | None = None
    tolerance: float | None = None
    peak_rss_bytes: int | None = None  # of its process while it was timed, libraries and weights included
    joules_per_image: float | None = None

    @model_validator(mode="after")
    def explained(self) -> Timing:
        if (self.status == "done") == bool(self.reason):
            raise ValueError("a timing that is not done gives its reason, and only such a timing does")
        if (self.status == "done") != bool(self.rounds_ms):
            raise ValueError("a timing that is done has times, and only such a timing has")
        return self


class Absent(Strict):
    """Something that this machine or model could not be measured for, and why."""

    key: str
    reason: str = Field(min_length=1)


class Identity(Strict):
    """What was run. Recipe and seed are empty where nothing is trained; a submission's variant is its name."""

    kind: Literal["cost", "accuracy", "submission", "ceiling", "latency"]
    scale: Literal["cost", "pocket", "full"]
    paper: str
    variant: str
    variant_hash: str
    recipe: str = ""
    recipe_hash: str = ""
    protocol: str
    protocol_hash: str
    train_digest: str = ""
    test_digest: str = ""
    seed: int | None = None
    samples_seen: int = 0
    code: str = ""  # digest of the model's, loss's and codec's code; empty in records older than it

    @property
    def training(self) -> tuple[str, str, str, int | None, str]:
        """What was trained, however it was scored."""
        return (self.paper, self.variant_hash, self.recipe_hash, self.seed, self.train_digest)


class Provenance(Strict):
    """Where and with what a record was made (F22, M2)."""

    version: str
    commit: str
    dirty: bool
    packages: dict[str, str]
    python: str
    platform: str
    device: str
    threads: int
    flags: dict[str, str]
    started: str  # ISO 8601, UTC
    seconds: float


class RunRecord(Strict):
    """One run, whole."""

    schema_version: Literal[1] = 1
    id: str
    identity: Identity
    status: Literal["done", "failed", "skipped"]
    reason: str = ""
    provenance: Provenance
    measurements: tuple[Measurement, ...] = ()
    timings: tuple[Timing, ...] = ()
    absent: tuple[Absent, ...] = ()
    tallies: tuple[Tally, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    samples: tuple[Sample, ...] = ()
    predictions_sha256: str = ""
    weights_sha256: str = ""
    submission: Submission | None = None

    @model_validator(mode="after")
    def explained(self) -> RunRecord:
        if (self.status == "done") == bool(self.reason):
            raise ValueError("a record that is not done gives its reason, and only such a record does")
        keys = [(m.key, m.scope) for m in self.measurements]
        if len(set(keys)) != len(keys):
            raise ValueError("the same measurement key and scope stands twice")
        if (self.identity.kind == "submission") != (self.submission is not None):
            raise ValueError("a submission says what was handed in, and only a submission does")
        return self

    def get(self, key: str, scope: str | None = None) -> Measurement | None:
        """The measurement with this key (and scope, if given), or None."""
        return next((m for m in self.measurements if m.key == key and scope in (None, m.scope)), None)

    @property
    def filename(self) -> str:
        """File name of the record: readable, unique by id."""
        i = self.identity
        parts = [i.variant, i.recipe, i.protocol, f"seed{i.seed}" if i.seed is not None else "", self.id]
        return "__".join(p for p in parts if p) + ".json"
