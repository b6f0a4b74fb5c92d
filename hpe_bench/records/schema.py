"""RunRecords: the JSON a run leaves, validated both ways. Version 2; version 1 loads for ever, upgraded on loading.

Everything a report shows is in these files: measurements with what they are of and under what they were taken, n and
interval, the per-image counts that intervals of differences are resampled from, training curves, and a few predictions
to draw. Weights and full predictions are named by hash and stay out of git.

Version 1 wrote what a number is of into its key (`pckh@0.5/joint/nose`) and the conditions into a sentence (`network
only, batch 1, eager, ...`). Version 2 has fields for both (`measured.Name`, `measured.Conditions`); the words of
version 1 follow from the fields and are what `key` and `scope` give.

A record whose parts contradict each other is refused: a rate that is not the rate of its per-image counts, an interval
that lies elsewhere than its value, counts of different images, a finished run that measured nothing.
"""

from __future__ import annotations

import base64
import binascii
import operator
import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from hpe_bench.records.measured import MeasuredUnder, Measurement, Name, Precision

__all__ = ["MeasuredUnder", "Measurement", "Name"]  # with what this module defines: all that records are made of

VERSION = 2
LONGEST_NAME = 120  # characters of a paper, variant, recipe or protocol: they become parts of file names
LONG_PARTS = ("tallies", "curve", "samples", "matches")  # of a record: most of its bytes, and of use to few


class Strict(BaseModel):
    """Unknown fields are errors; values are never coerced; NaN and infinity have no place in a record."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ImageCounts(Strict):
    """Hits and counts of one metric key per test image, in the order of the split; intervals resample these (F25)."""

    key: str
    hits: tuple[int, ...]
    counts: tuple[int, ...]

    @model_validator(mode="after")
    def matched(self) -> ImageCounts:
        if len(self.hits) != len(self.counts):
            raise ValueError(f"{self.key}: {len(self.hits)} hits but {len(self.counts)} counts")
        if min(self.hits, default=0) < 0 or any(map(operator.gt, self.hits, self.counts)):
            raise ValueError(f"{self.key}: hits must lie between 0 and counts")
        if not any(self.counts):
            raise ValueError(f"{self.key}: the images count nothing")
        return self

    @property
    def rate(self) -> float:
        """In percent."""
        return 100.0 * sum(self.hits) / sum(self.counts)


class Matches(Strict):
    """What became of every detection under AP, so that it can be accumulated again (metrics/match_tables.py)."""

    key: str
    packed: str = Field(min_length=1)

    @model_validator(mode="after")
    def whole(self) -> Matches:
        from hpe_bench.metrics import match_tables  # of use to few records

        match_tables.unpack(self.packed)
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

    @model_validator(mode="after")
    def whole(self) -> Heatmap:
        if not all(0 < side <= LARGEST_SIDE for side in self.hw):
            raise ValueError(f"a heatmap of {self.hw[0]}x{self.hw[1]} pixels; give 1 to {LARGEST_SIDE} a side")
        self.levels()
        return self

    def levels(self) -> bytes:
        """The rows of grey levels; ValueError unless there are as many as pixels."""
        size = self.hw[0] * self.hw[1]
        try:
            found = zlib.decompressobj().decompress(base64.b64decode(self.pixels, validate=True), size + 1)
        except (binascii.Error, zlib.error) as error:
            raise ValueError(f"the pixels of a heatmap are damaged: {error}") from None
        if len(found) != size:
            raise ValueError(f"a heatmap of {self.hw[0]}x{self.hw[1]} pixels holds {len(found)} or more")
        return found


LARGEST_SIDE = 4096


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

    @model_validator(mode="after")
    def matched(self) -> Sample:
        lengths = {len(part) for part in (self.truth, self.labelled, self.predicted, self.scores)}
        if len(lengths) > 1:
            raise ValueError(f"person {self.row}: truth, labels, prediction and scores are of {lengths} joints")
        if not self.truth:
            raise ValueError(f"person {self.row} has no joints")
        return self


class Submission(Strict):
    """A file of predictions that was scored: by whom, what it is, and what it was scored against."""

    name: str  # of the submitter or the model, as given
    file: str
    layout: str
    creator: str = ""  # what the file says made it
    truth: str  # in words: the protocol's own data, or an annotation file with its hash; with the number of persons


class Release(Strict):
    """Weights that somebody released, as they were loaded: the file, and which declared checkpoint it is.

    `checkpoint` and `trained_by` are empty where the file's SHA-256 is none of the declared ones: unverified weights.
    """

    file: str
    sha256: str  # of the file; a record's `weights_sha256` is that of the tensors
    checkpoint: str = ""
    trained_by: str = ""
    colours: Literal["rgb", "bgr"] = "rgb"  # what the network was given


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
    turns: str = ""  # the timing run: rows with the same one were timed in turns, round by round; "" in older records
    version: str = ""  # of the package that executes
    precision: Precision = "fp32"
    scope: RuntimeScope = "network"
    input_hw: tuple[int, int]
    batch: int = Field(ge=1)
    threads: int = Field(ge=1)
    status: Literal["done", "skipped", "failed"] = "done"
    reason: str = ""
    rounds_ms: tuple[tuple[float, ...], ...] = ()
    warmup_calls: int = 0
    settled: bool = True  # False: the median was not stable after the warm-up, or the spread stayed wide
    attempts: int = 1  # how often it was timed until the spread was narrow enough, or its share of the time spent
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
        if len({len(calls) for calls in self.rounds_ms}) > 1 or not all(self.rounds_ms):
            calls = sorted(map(len, self.rounds_ms))
            raise ValueError(f"{self.runtime}: its rounds are of {calls} calls; each has equally many")
        if any(ms <= 0 for calls in self.rounds_ms for ms in calls):
            raise ValueError(f"{self.runtime}: a call took no time")
        return self


class Absent(Strict):
    """Something that this machine or model could not be measured for, and why."""

    key: str
    reason: str = Field(min_length=1)


class ReliabilityBin(Strict):
    """Joints of like scores: how many, their mean score, and how many of them are right, both in percent."""

    n: int = Field(ge=1)
    score: float = Field(ge=0, le=100)
    right: float = Field(ge=0, le=100)


class CalibrationPart(Strict):
    """Some joints: all (""), `visible`, `hidden`, or `joint/<name>`. Errors, shares and risks are in percent."""

    part: str = ""
    n: int = Field(ge=1)
    right: float = Field(ge=0, le=100)
    score: float = Field(ge=0, le=100)
    error: float = Field(ge=0, le=100)
    interval: tuple[float, float] | None = None
    risk_area: float = Field(ge=0, le=100)


class Scaling(Strict):
    """Temperature from one half of the images; the error of the other half's joints before and after, in percent."""

    temperature: float = Field(gt=0)
    before: float
    after: float
    n: int


class Calibration(Strict):
    """How far joint scores are probabilities (metrics/calibration.py). `key` says when a joint is right.

    Records made before it was measured, and predictions whose scores are all alike, have none.
    """

    key: str
    bins: tuple[ReliabilityBin, ...]
    risk: tuple[tuple[int, float], ...]  # (coverage, risk)
    parts: tuple[CalibrationPart, ...] = Field(min_length=1)
    scaling: Scaling | None = None


class CorruptedPart(Strict):
    """A joint or a joint group under a corruption."""

    key: str
    value: float
    n: int


class Change(Strict):
    """A paired difference in points with its 95 % interval and p value."""

    value: float
    low: float
    high: float
    p_value: float


class CorruptedScore(Strict):
    """The headline under one corruption; `kind` is empty and `severity` 0 for the images and boxes as they are.

    `hits` are those per image, packed (metrics/robustness.py); `matches` stand in their place for AP. `change` is to
    the clean score, on the same images.
    """

    protocol: str
    protocol_hash: str
    kind: str = ""
    severity: int = Field(ge=0, le=5)
    value: float = Field(ge=0, le=100)
    n: int = Field(ge=1)
    interval: tuple[float, float] | None = None
    change: Change | None = None
    parts: tuple[CorruptedPart, ...] = ()
    hits: str = ""
    matches: str = ""
    calibration_error: float | None = None
    predictions_sha256: str

    @model_validator(mode="after")
    def of_a_kind(self) -> CorruptedScore:
        if bool(self.kind) != bool(self.severity):
            raise ValueError(f"{self.protocol}: a corruption has a kind and a severity, the clean score has neither")
        if bool(self.hits) == bool(self.matches):
            raise ValueError(f"{self.protocol}: give hits per image, or what became of every detection")
        return self


class Robustness(Strict):
    """A model under corruptions: the headline's key, who was measured, the clean score first."""

    key: str
    model: str
    counts: str = ""  # joints per image, packed, for a rate
    scores: tuple[CorruptedScore, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def clean_first(self) -> Robustness:
        if self.scores[0].kind or not all(s.kind for s in self.scores[1:]):
            raise ValueError("the clean score stands first, and once")
        if len({(s.kind, s.severity) for s in self.scores}) != len(self.scores):
            raise ValueError("a corruption stands twice")
        return self


Kind = Literal["cost", "accuracy", "submission", "ceiling", "latency", "sweep", "robustness"]
RecordName = Annotated[str, Field(max_length=LONGEST_NAME)]


class Identity(Strict):
    """What was run. Recipe and seed are empty where nothing is trained; a submission's variant is its name."""

    kind: Kind
    scale: Literal["cost", "pocket", "full"]
    paper: RecordName
    variant: RecordName
    variant_hash: str
    recipe: RecordName = ""
    recipe_hash: str = ""
    protocol: RecordName
    protocol_hash: str
    train_digest: str = ""
    test_digest: str = ""
    seed: int | None = None
    samples_seen: int = 0
    timing_run: int | None = None  # of several of the same latency, what a seed is to accuracy; none counts as 0
    execution: str = ""  # what of it is part of a training's identity, such as "bf16"; strict float32 if empty
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
    started: str  # ISO 8601; a time that names no zone is UTC
    seconds: float

    @field_validator("started")
    @classmethod
    def is_time(cls, text: str) -> str:
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(
                f"{text!r} is no time; write one as ISO 8601 does, such as 2026-01-31T10:00:00+00:00"
            ) from None
        return text

    @cached_property
    def at(self) -> datetime:
        """When the run began."""
        found = datetime.fromisoformat(self.started)
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _upgraded(version: Any) -> Any:
    """Version 1 is read as version 2: its measurements are upgraded one by one."""
    return VERSION if version == 1 and not isinstance(version, bool) else version


class RunRecord(Strict):
    """One run, whole."""

    schema_version: Annotated[Literal[2], BeforeValidator(_upgraded)] = 2
    id: str = Field(min_length=1, max_length=LONGEST_NAME)
    identity: Identity
    status: Literal["done", "failed", "skipped"]
    reason: str = ""
    provenance: Provenance
    measurements: tuple[Measurement, ...] = ()
    timings: tuple[Timing, ...] = ()
    absent: tuple[Absent, ...] = ()
    tallies: tuple[ImageCounts, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    samples: tuple[Sample, ...] = ()
    matches: tuple[Matches, ...] = ()  # none in records older than it
    predictions_sha256: str = ""
    weights_sha256: str = ""
    submission: Submission | None = None
    release: Release | None = None  # where nothing was trained here
    calibration: Calibration | None = None  # of joint scores; none in records older than it
    robustness: Robustness | None = None  # of a record of that kind

    @model_validator(mode="after")
    def explained(self) -> RunRecord:
        if (self.status == "done") == bool(self.reason):
            raise ValueError("a record that is not done gives its reason, and only such a record does")
        if len({(m.name, m.conditions) for m in self.measurements}) != len(self.measurements):
            raise ValueError("the same measurement key and scope stands twice")
        if (self.identity.kind == "submission") != (self.submission is not None):
            raise ValueError("a submission says what was handed in, and only a submission does")
        if (self.identity.kind == "robustness") != (self.robustness is not None):
            raise ValueError("a record of robustness holds corrupted scores, and only such a record does")
        if self.status == "done" and not (self.measurements or self.timings):
            raise ValueError("a finished run has measured something")
        return self

    @model_validator(mode="after")
    def of_one_mind(self) -> RunRecord:
        check_counts(self.measurements, self.tallies)
        return self

    @property
    def machine(self) -> str:
        """Where it was timed: the device, of a processor with the instructions that torch found there, since one
        name is given to processors that differ in them.
        """
        made = self.provenance
        instructions = made.flags.get("cpu_capability", "")
        on_processor = not any(t.runtime.startswith("cuda") and t.status == "done" for t in self.timings)
        return f"{made.device} ({instructions})" if instructions and on_processor else made.device

    def get(self, key: str, scope: str | None = None) -> Measurement | None:
        """The measurement with this key (and scope, if given), or None."""
        return next((m for m in self.measurements if m.name.key == key and scope in (None, m.scope)), None)

    def tally(self, key: str) -> ImageCounts | None:
        """The counts per test image under a key, or None for metrics that are no mean over images."""
        return next((t for t in self.tallies if t.key == key), None)

    def counts(self, key: str) -> tuple[Sequence[int], Sequence[int]] | None:
        """Hits and counts per test image under a key, or None."""
        tally = self.tally(key)
        return None if tally is None else (tally.hits, tally.counts)

    def whole(self) -> RunRecord:
        """This record with all of its parts in memory."""
        return self

    @property
    def filename(self) -> str:
        """File name of the record: readable, unique by id."""
        i = self.identity
        parts = [i.variant, i.recipe, i.protocol, _numbered("seed", i.seed), _numbered("run", i.timing_run), self.id]
        return "__".join(p for p in parts if p) + ".json"


def _numbered(word: str, number: int | None) -> str:
    """Part of a file name."""
    return "" if number is None else f"{word}{number}"


SAME_RATE = 1e-6  # points


def check_counts(measurements: Iterable[Measurement], tallies: Iterable[ImageCounts]) -> None:
    """ValueError unless every rate is that of its per-image counts, its n theirs, and all are of the same images."""
    images: dict[int, str] = {}
    measured: dict[str, Measurement] | None = None
    for tally in tallies:
        images.setdefault(len(tally.counts), tally.key)
        if len(images) > 1:
            (a, first), (b, second) = images.items()
            raise ValueError(f"{first} counts {a} images but {second} {b}")
        measured = {m.key: m for m in reversed(tuple(measurements))} if measured is None else measured
        m = measured.get(tally.key)
        if m is None:
            raise ValueError(f"{tally.key} has counts per image but no value")
        if abs(m.value - tally.rate) > SAME_RATE:
            raise ValueError(f"{m.key} says {m.value:.6g} but its counts per image say {tally.rate:.6g}")
        if m.n and sum(tally.counts) % m.n:
            raise ValueError(f"{m.key} says n = {m.n} but its images count {sum(tally.counts)}")
