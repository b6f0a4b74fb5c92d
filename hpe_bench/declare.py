"""The words a paper folder is written in: typed, frozen, validated.

Everything here is a plain value. Nothing here trains, measures or reads files, and nothing here imports torch:
`declare` is the leftmost module of the flow (declare -> catalog -> plan -> runner -> records -> verdicts -> report).

Derive one object from another with `replace(base(), name="...", loss=...)`; nested objects are frozen too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

if TYPE_CHECKING:
    from torch import Tensor

    from hpe_bench.data.boxes import Boxes
    from hpe_bench.data.persons import PersonSet
    from hpe_bench.data.skeletons import Skeleton

__all__ = [
    "Ablation",
    "Arm",
    "Augmentation",
    "Batch",
    "Budgets",
    "Checkpoint",
    "Claim",
    "Codec",
    "Corruption",
    "Curriculum",
    "DataSource",
    "Dial",
    "JointGroups",
    "Loss",
    "Metric",
    "Optimiser",
    "Paper",
    "Protocol",
    "Recipe",
    "Reported",
    "Schedule",
    "Score",
    "SideBySide",
    "Stage",
    "Sweep",
    "Trained",
    "Unreachable",
    "Variant",
    "fingerprint",
    "in_stages",
    "replace",
]

STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
PROSE: dict[str, Any] = {"hashed": False}  # field metadata: text for readers, not part of the identity
LATER: dict[str, Any] = {"later": True}  # field metadata: no part of the identity while it has its default
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
SIZE = re.compile(r"_\d+x\d+$")  # that ends the name of a variant which is declared at several input sizes

Reading = Literal["published", "ours", "recollection"]
"""Where a number of ours comes from: read in the paper or its code, our own reading, or unverified memory."""


def check_name(name: str, what: str) -> None:
    """Names become file names and URLs: lower-case letters, digits, '.', '_' and '-' only."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{what} name {name!r}: use lower-case letters, digits, '.', '_' and '-'")


def unique(names: list[str], what: str) -> None:
    """Raise ValueError naming the first name that stands twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two {what} are named {name!r}; names must be unique")
        seen.add(name)


# ---------------------------------------------------------------------------------------------------- identity


def canonical(value: Any) -> Any:
    """A JSON-ready form of a declared value that is equal exactly when the values are equal (prose left out)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if f.metadata.get("hashed", True) and not _unsaid(f, value)]
        return {"is": type(value).__name__, **{f.name: canonical(getattr(value, f.name)) for f in fields}}
    if isinstance(value, (list, tuple)):
        return [canonical(v) for v in value]
    if isinstance(value, dict):
        return {str(k): canonical(v) for k, v in sorted(value.items())}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}"
    raise TypeError(f"{value!r} has no canonical form; declare it as a frozen dataclass")


def _unsaid(field_: dataclasses.Field[Any], value: Any) -> bool:
    """Whether a field that is younger than records says nothing: then their hashes are what they were without it."""
    return bool(field_.metadata.get("later")) and getattr(value, field_.name) == field_.default


def fingerprint(value: Any) -> str:
    """First 16 hex digits of the SHA-256 of a declared value's canonical form."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# ---------------------------------------------------------------------------------------------------- model


@dataclass(frozen=True, config=STRICT)
class Variant:
    """A named, fully numbered model.

    `builder(joints)` returns an `nn.Module` whose `forward(x: [N,3,H,W])` gives a list of heatmap stacks [N,J,h,w],
    coarse to fine and final last, before any activation.
    """

    name: str
    builder: Callable[..., Any]
    input_hw: tuple[int, int]
    joints: int = 17
    stride: int = 4  # input pixels per heatmap pixel of the final output
    scale: Literal["full", "pocket"] = "full"
    reading: Reading = "published"
    note: str = field(default="", metadata=PROSE)

    def __post_init__(self) -> None:
        check_name(self.name, "variant")
        if "<" in getattr(self.builder, "__qualname__", "<"):
            raise ValueError(f"variant {self.name!r}: the builder must be a function defined in a module")
        if min(self.input_hw) < 1 or self.joints < 1 or self.stride < 1:
            raise ValueError(f"variant {self.name!r}: input size, joints and stride must be positive")

    @property
    def heatmap_hw(self) -> tuple[int, int]:
        """Size (rows, columns) of the final heatmaps."""
        return self.input_hw[0] // self.stride, self.input_hw[1] // self.stride


# ---------------------------------------------------------------------------------------------------- training


@dataclass(frozen=True, config=STRICT)
class Augmentation:
    """Random flip, scale and rotation, applied on the device to every training crop.

    Scale is clip(1 + scale * N(0, 1), 1 - scale, 1 + scale); rotation, with probability `rotation_p`, is
    clip(rotation_deg * N(0, 1), +-2 * rotation_deg). The rule of the SimpleBaseline and HRNet code.
    """

    flip_p: float = 0.5
    scale: float = 0.3
    rotation_deg: float = 40.0
    rotation_p: float = 0.6
    half_body_p: float = field(default=0.0, metadata=LATER)  # HRNet's released rule, see `data/half_body.py`
    colour: float = field(default=0.0, metadata=LATER)  # each channel times U(1 - colour, 1 + colour), cut to its range


@dataclass(frozen=True, config=STRICT)
class Optimiser:
    """Optimiser and its numbers; `weight_decay` is the value that really acts (F4)."""

    kind: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.0


@dataclass(frozen=True, config=STRICT)
class Schedule:
    """Learning-rate factor over the budget; milestones and warm-up are fractions of the samples seen."""

    kind: Literal["step", "cosine"] = "step"
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    warmup: float = 0.0

    def factor(self, progress: float) -> float:
        """Factor on the base learning rate at `progress` in [0, 1] of the budget."""
        if progress < self.warmup:
            return max(progress, 1e-3) / self.warmup
        if self.kind == "step":
            return float(self.gamma ** sum(progress >= m for m in self.milestones))
        done = (progress - self.warmup) / max(1.0 - self.warmup, 1e-9)
        return 0.5 * (1.0 + float(np.cos(np.pi * min(done, 1.0))))


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a loss may look at. B images, J joints; joints in input (crop) pixels, (x, y)."""

    images_B3HW: Tensor  # float32, normalised
    joints_BJ2: Tensor
    labelled_BJ: Tensor  # float32 0/1: the joint has an annotated position (visible or not)
    visible_BJ: Tensor  # float32 0/1
    teacher_BJHW: Tensor | None = None  # a teacher's activated final heatmaps, for losses that need them

    @property
    def input_hw(self) -> tuple[int, int]:
        return int(self.images_B3HW.shape[-2]), int(self.images_B3HW.shape[-1])


class Codec(ABC):
    """A pair encode(joints) -> target maps and decode(maps) -> joints, with its own pixel convention and flip rule.

    Implementations are frozen dataclasses (so that they hash) under `hpe_bench/codecs`.
    B batch, J joints, H W heatmap rows and columns; joints are (x, y).
    """

    @abstractmethod
    def encode(
        self, joints_BJ2: Tensor, labelled_BJ: Tensor, input_hw: tuple[int, int], heatmap_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Target maps [B,J,H,W] and weights [B,J] (0 where there is nothing to learn) for joints in input pixels."""

    @abstractmethod
    def decode(self, maps_BJHW: Tensor, input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Joints [B,J,2] in input pixels and scores [B,J] from activated maps."""

    @abstractmethod
    def unflip(self, maps_BJHW: Tensor, flip_pairs: tuple[tuple[int, int], ...]) -> Tensor:
        """Bring the maps of a mirrored input back: mirror, swap left and right, shift if the codec needs it (F7)."""


class Loss(ABC):
    """A training loss and the activation that belongs to it. Implementations are frozen dataclasses."""

    needs_teacher: ClassVar[bool] = False  # whether it reads `Batch.teacher_BJHW`

    @abstractmethod
    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        """Scalar loss of the model's raw outputs; targets come from `codec.encode` at each output's own size."""

    @abstractmethod
    def activate(self, raw_BJHW: Tensor) -> Tensor:
        """From raw output to heatmap, applied before flip merging and decoding (F8)."""


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """How a model is trained. `samples` is the whole budget in training samples seen, warm starts included (F5).

    `batch_per_device` is the unit of batch norm where the published batch lay on several GPUs; None: the whole batch.
    """

    name: str
    loss: Loss
    codec: Codec
    samples: int
    batch: int
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    augmentation: Augmentation = Augmentation()
    init: Literal["random", "imagenet"] = "random"
    reading: Reading = "published"
    note: str = field(default="", metadata=PROSE)
    batch_per_device: int | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        check_name(self.name, "recipe")
        if self.samples < self.batch or self.batch < 1:
            raise ValueError(f"recipe {self.name!r}: {self.samples} samples are less than one batch ({self.batch})")
        if self.batch_per_device is not None and (self.batch_per_device < 1 or self.batch % self.batch_per_device):
            raise ValueError(
                f"recipe {self.name!r}: a batch of {self.batch} is no whole number of {self.batch_per_device} a device"
            )

    @property
    def micro_batches(self) -> int:
        """Parts of a batch that batch norm sees one by one: as many as the devices that the recipe was written for."""
        return 1 if self.batch_per_device is None else self.batch // self.batch_per_device


@dataclass(frozen=True, config=STRICT)
class Stage:
    """A part of a training, with an optimiser and a learning-rate schedule that start anew.

    `trains` names the model's children whose weights change (all of them if empty); the others are frozen, their batch
    norm uses its running statistics. `lr_factor` multiplies the recipe's learning rate.
    """

    name: str
    share: float  # of the recipe's samples
    loss: Loss
    trains: tuple[str, ...] = ()
    lr_factor: float = 1.0

    def __post_init__(self) -> None:
        check_name(self.name, "stage")
        if not (0 < self.share <= 1 and self.lr_factor > 0):
            raise ValueError(f"stage {self.name!r}: the share must be in (0, 1] and the learning-rate factor positive")


@dataclass(frozen=True, config=STRICT)
class Trained:
    """A training whose weights another one needs. It runs first, on the same data and from the same seed."""

    paper: str
    variant: Variant
    recipe: Recipe


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Curriculum(Recipe):
    """A recipe in stages, with a teacher or with labels withheld. `loss` is that of its last stage.

    `withheld` is the share of training persons, drawn by seed, whose labels are not shown: a recipe with a teacher sees
    their images, one without does not see them at all. The teacher's own training is no part of `samples`.
    """

    stages: tuple[Stage, ...]
    teacher: Trained | None = None
    withheld: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        unique([stage.name for stage in self.stages], "stages")
        if not self.stages or abs(sum(stage.share for stage in self.stages) - 1) > 1e-9:
            raise ValueError(f"recipe {self.name!r}: the shares of its stages must add up to 1")
        if self.loss != self.stages[-1].loss:
            raise ValueError(f"recipe {self.name!r}: its loss must be that of its last stage")
        if any(stage.loss.needs_teacher for stage in self.stages) != (self.teacher is not None):
            raise ValueError(f"recipe {self.name!r}: a teacher and a loss that needs one belong together")
        if not 0 <= self.withheld < 1:
            raise ValueError(f"recipe {self.name!r}: the share of withheld labels must be in [0, 1)")


def in_stages(
    recipe: Recipe, name: str, stages: tuple[Stage, ...], *, teacher: Trained | None = None, withheld: float = 0.0
) -> Curriculum:
    """A recipe's budget, codec, optimiser and augmentation under another name and in stages."""
    shared = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(Recipe)}
    shared |= {"name": name, "loss": stages[-1].loss}
    return Curriculum(**shared, stages=stages, teacher=teacher, withheld=withheld)


# ---------------------------------------------------------------------------------------------------- measuring


class DataSource(ABC):
    """A data set as a protocol names it. Implementations are frozen dataclasses under `hpe_bench/data`."""

    name: str

    @property
    @abstractmethod
    def skeleton(self) -> Skeleton:
        """Joint names, flip pairs, groups and sigmas of its annotations."""

    def prepare(  # noqa: B027
        self, split: str, root: str | None, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Generate or cache what `load` needs (nothing, by default), calling `progress(done, total)` now and then."""

    @abstractmethod
    def load(self, split: str, root: str | None) -> PersonSet:
        """Persons of a split; ValueError with one clear sentence where files are missing or wrong."""

    def truth(self, split: str, root: str | None) -> PersonSet:
        """The persons that predictions are scored against: as `load`, but image files may be missing."""
        return self.load(split, root)

    def boxes(self, split: str, root: str | None) -> Boxes | None:
        """The boxes to predict in where they are not simply every person's own (None)."""
        return None

    @property
    def annotated(self) -> DataSource:
        """The same data with annotated boxes in place of a detector's: what is trained on, whatever is predicted in."""
        return self


@dataclasses.dataclass(frozen=True)
class Score:
    """One metric over a set of persons: the value and the per-image table that its interval is resampled from.

    `value` = 100 * sum(hits) / sum(counts) for rates; `unit` says what else it is, such as "px". AP is no mean over
    images, so its table is None and its interval is computed by the metric itself.
    """

    key: str  # e.g. "pckh@0.5", "pckh@0.5/wrist"
    value: float
    n: int  # joints or persons the value is over
    interval: tuple[float, float] | None = None
    hits_per_image: tuple[int, ...] | None = None
    counts_per_image: tuple[int, ...] | None = None
    matches: str = ""  # of AP: what became of every detection (metrics/match_tables.py)
    unit: str = "percent"


class Metric(ABC):
    """How predictions are scored. `key` spells out threshold and reference (F11-F13); frozen dataclasses."""

    @property
    @abstractmethod
    def key(self) -> str:
        """The headline key, e.g. 'pckh@0.5'."""

    @abstractmethod
    def evaluate(self, truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> list[Score]:
        """The headline score first, then its joint groups. Joints in image pixels, one row per person of `truth`."""


SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True, config=STRICT)
class Corruption:
    """What is done to the test images or boxes before a model sees them: a kind (`data/corruptions.py`) and how much.

    `level` is the severity's number in the unit of the kind, part of the identity: a changed table of levels makes
    other protocols.
    """

    kind: str
    severity: int
    level: float

    def __post_init__(self) -> None:
        check_name(self.kind, "corruption")
        if self.severity not in SEVERITIES:
            raise ValueError(f"corruption {self.kind!r}: severity {self.severity}; give a whole number from 1 to 5")

    @property
    def name(self) -> str:
        """What a protocol's name says of it behind the plus sign."""
        return f"{self.kind}-{self.severity}"


@dataclass(frozen=True, config=STRICT)
class Protocol:
    """How a model is measured: data, boxes, crop, codec, test-time flip, metrics. Superseded, never edited (F28).

    One with a corruption is called by the plain one's name, a plus sign and the corruption's.
    """

    name: str
    data: DataSource
    codec: Codec
    metrics: tuple[Metric, ...]
    train_split: str = "train"
    test_split: str = "test"
    boxes: Literal["ground truth", "detector"] = "ground truth"
    padding: float = 1.25  # box side is extended by this factor before cropping
    flip_test: bool = True
    note: str = field(default="", metadata=PROSE)
    corruption: Corruption | None = field(default=None, metadata=LATER)
    between_centres: bool = field(default=False, metadata=LATER)  # crops as UDP measures them, see `data/crops.py`

    def __post_init__(self) -> None:
        plain, _, corruption = self.name.partition("+")
        check_name(plain, "protocol")
        if corruption != ("" if self.corruption is None else self.corruption.name):
            raise ValueError(f"protocol name {self.name!r}: behind the plus sign stands its corruption, or nothing")
        if not self.metrics:
            raise ValueError(f"protocol {self.name!r}: name at least one metric")


# ---------------------------------------------------------------------------------------------------- claims


ClaimKind = Literal["value", "percent change", "difference", "direction"]
Status = Literal["published", "secondary", "measured", "inferred", "unknown"]
Convention = Literal["", "true", "mac_2p30", "hrnet_counter", "flops_2x", "fvcore_default", "torchstat", "unknown"]


@dataclass(frozen=True, config=STRICT)
class Claim:
    """One number (or statement) of a paper, as a row of its `claims.csv`.

    `variant` is ours and may be empty where the printed model is none of our variants; `baseline` ("slug/variant")
    makes a relative claim. `metric` is a metric key of ours or `params`, `macs`, `latency`, `convergence`.
    `convention` names the counter of a cost (see docs/costs.md).
    """

    id: str
    statement: str
    printed: str
    variant: str
    baseline: str
    kind: ClaimKind
    metric: str
    convention: Convention
    value: float | None
    unit: str
    input_hw: tuple[int, int] | None
    protocol: str
    source: str
    status: Status
    note: str = field(default="", metadata=PROSE)
    recipe: str = ""  # where another recipe than that of the released weights is meant: its name
    checkpoint: str = ""  # where only one release is meant: the name of its `Checkpoint`

    def __post_init__(self) -> None:
        check_name(self.id, "claim")
        if self.value is None and self.kind != "direction" and self.status != "unknown":
            raise ValueError(f"claim {self.id!r}: no value; give one, or status 'unknown', or kind 'direction'")
        if self.kind != "value" and not self.baseline:
            raise ValueError(f"claim {self.id!r}: a {self.kind} claim needs a baseline")

    def is_of_release(self, checkpoint: str, trained_by: str) -> bool:
        """Whether weights decide it: those of the checkpoint that it is about, else the authors' or unverified ones.

        Both are empty for unverified weights.
        """
        if self.checkpoint:
            return checkpoint == self.checkpoint
        return not self.recipe and (not checkpoint or trained_by == AUTHORS)


# ---------------------------------------------------------------------------------------------------- releases


AUTHORS = "authors"


@dataclass(frozen=True, config=STRICT)
class Reported:
    """A score that the source of released weights reports for them: under which protocol, by which metric key."""

    protocol: str
    metric: str
    value: float  # percent
    printed: str


@dataclass(frozen=True, config=STRICT)
class Checkpoint:
    """Weights of a variant that somebody released: a row of the paper's `checkpoints.csv`.

    `sha256` is the file's, whole or its first digits as far as they were published; empty where none was. `address` is
    empty where there is no direct one (`page` says where to ask). `colours` is the order of the training's images,
    which were normalised with ImageNet's means of red, green and blue whatever their order. `reported` become claims
    of their own, of status "secondary" unless the authors say it.
    """

    name: str
    variant: str
    file: str
    trained_by: str
    sha256: str = ""
    address: str = ""
    page: str = ""
    colours: Literal["rgb", "bgr"] = "rgb"
    joints: int = 17
    reported: tuple[Reported, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        check_name(self.name, "checkpoint")
        if self.sha256 and not re.fullmatch(r"[0-9a-f]{8,64}", self.sha256):
            raise ValueError(f"checkpoint {self.name!r}: sha256 {self.sha256!r}; give 8 to 64 lower-case hex digits")
        if not self.address and not self.page:
            raise ValueError(f"checkpoint {self.name!r}: give the file's address, or the page that leads to it")

    @property
    def by_authors(self) -> bool:
        """Whether the paper's authors trained it: then it speaks for the paper's own figures."""
        return self.trained_by == AUTHORS

    def is_file(self, sha256: str) -> bool:
        """Whether a file of this SHA-256 is it, as far as its published digits tell."""
        return bool(self.sha256) and sha256.startswith(self.sha256)


@dataclass(frozen=True, config=STRICT)
class Unreachable:
    """A protocol that published numbers rest on and that cannot be run here: why, and what can be done instead.

    `predicts` is the protocol itself where only the scoring is out of reach: what is to be predicted, and how.
    """

    name: str
    reason: str
    instead: str = ""
    predicts: Protocol | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "protocol")
        if not self.reason.endswith("."):
            raise ValueError(f"protocol {self.name!r}: the reason must be a sentence")


# ---------------------------------------------------------------------------------------------------- studies


@dataclass(frozen=True, config=STRICT)
class Arm:
    """One row of an ablation: a variant trained by a recipe. `paper` is the slug the variant belongs to."""

    name: str
    paper: str
    variant: Variant
    recipe: Recipe
    label: str = field(default="", metadata=PROSE)

    def __post_init__(self) -> None:
        check_name(self.name, "arm")


@dataclass(frozen=True, config=STRICT)
class Budgets:
    """Training samples at which the arms of a study are trained anew: each a whole training with its own schedule.

    All arms have the budgets `samples`; those that `of` names go on to the `further` ones. `part` names a child of the
    arms' models whose own training samples are an axis beside all samples: those of the stages that train it.
    """

    samples: tuple[int, ...]
    further: tuple[int, ...] = ()
    of: tuple[str, ...] = ()
    part: str = ""

    def __post_init__(self) -> None:
        if not self.samples or list(self.every) != sorted(set(self.every)):
            raise ValueError(f"budgets {self.every}: name at least one, in rising order")
        if bool(self.further) != bool(self.of):
            raise ValueError("budgets: `further` ones and the arms `of` which they are belong together")

    @property
    def every(self) -> tuple[int, ...]:
        """All budgets, in rising order."""
        return (*self.samples, *self.further)


@dataclass(frozen=True, config=STRICT)
class Ablation:
    """A question, answered by arms that differ in one axis under one equal budget, against a named control arm.

    With `budgets` it is asked at each of them, the arms' own among them (`plan.points`). `first_seeds` are those of
    `reproduce`, where all `seeds` take two cores more than a quarter of an hour.
    """

    name: str
    question: str = field(metadata=PROSE)
    arms: tuple[Arm, ...]
    control: str
    seeds: int = 3
    budgets: Budgets | None = field(default=None, metadata=LATER)
    first_seeds: int | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        check_name(self.name, "ablation")
        unique([arm.name for arm in self.arms], "arms")
        if self.control not in [arm.name for arm in self.arms]:
            raise ValueError(f"ablation {self.name!r}: control {self.control!r} is none of its arms")
        budgets = {arm.name: arm.recipe.samples for arm in self.arms}
        if len(set(budgets.values())) > 1:
            raise ValueError(f"ablation {self.name!r}: arms see unequal numbers of samples {budgets} (F5)")
        if self.budgets is not None:
            self._check_budgets(self.budgets)
        if self.first_seeds is not None and not 1 < self.first_seeds < self.seeds:
            raise ValueError(
                f"ablation {self.name!r}: first_seeds {self.first_seeds} must be 2 or more, less than seeds"
            )

    def _check_budgets(self, budgets: Budgets) -> None:
        own, names = self.arms[0].recipe.samples, [arm.name for arm in self.arms]
        if own not in budgets.samples:
            raise ValueError(f"ablation {self.name!r}: its arms' own {own} samples are none of its budgets")
        if min(budgets.samples) < (batch := max(arm.recipe.batch for arm in self.arms)):
            raise ValueError(f"ablation {self.name!r}: its least budget is less than a batch ({batch})")
        if unknown := [name for name in budgets.of if name not in names]:
            raise ValueError(f"ablation {self.name!r}: budgets name {unknown[0]!r}, which is none of its arms")
        if budgets.of and self.control not in budgets.of:
            raise ValueError(
                f"ablation {self.name!r}: its control has no further budgets to hold the other arms against"
            )


Dial = Literal["occlusion", "crowding", "stature"]


@dataclass(frozen=True, config=STRICT)
class Sweep:
    """A question about networks that are trained already, asked while one dial of the rendered data is turned.

    Nothing is trained for it but what is missing. The control is what the other arms are held against. `values` are
    the dial's, rising; what is claimed is judged at the last of them.
    """

    name: str
    question: str = field(metadata=PROSE)
    dial: Dial
    values: tuple[float, ...]
    arms: tuple[Arm, ...]
    control: str
    seeds: int = 3

    def __post_init__(self) -> None:
        check_name(self.name, "sweep")
        unique([arm.name for arm in self.arms], "arms")
        if self.control not in [arm.name for arm in self.arms]:
            raise ValueError(f"sweep {self.name!r}: control {self.control!r} is none of its arms")
        if len(self.values) < 2 or list(self.values) != sorted(set(self.values)):
            raise ValueError(f"sweep {self.name!r}: values {self.values}; give two or more in rising order")
        if len({arm.variant.input_hw for arm in self.arms}) > 1:
            raise ValueError(f"sweep {self.name!r}: its arms differ in input size")


@dataclass(frozen=True, config=STRICT)
class JointGroups:
    """A division of a skeleton's joints, for the paper's page to draw; groups are joint indices and may overlap."""

    title: str
    joints: int  # of the skeleton: 17 COCO, 16 MPII, 14 LSP
    groups: tuple[tuple[int, ...], ...]
    note: str = ""


@dataclass(frozen=True, config=STRICT)
class LatencyQuestion:
    """What a paper's page on latency answers, in every runtime, against the networks it is timed against.

    `address` is the page's folder under the reports, `claim` the id of the paper's claim of a saving, if there is one.
    """

    address: str
    title: str
    question: str
    claim: str = ""

    def __post_init__(self) -> None:
        check_name(self.address, "latency question's address")


@dataclass(frozen=True, config=STRICT)
class SideBySide:
    """A page that sets networks of several papers side by side: published accuracy against measured time.

    `address` is the page's folder under the reports; `networks` are full-size ones (`slug/variant`), the first is the
    baseline that the others are told against.
    """

    address: str
    title: str
    question: str
    networks: tuple[str, ...]

    def __post_init__(self) -> None:
        check_name(self.address, "side-by-side page's address")
        unique(list(self.networks), "networks")
        for network in self.networks:
            if network.count("/") != 1 or not all(network.split("/")):
                raise ValueError(f"side-by-side page {self.address!r} names {network!r}; write paper/variant")


@dataclass(frozen=True, config=STRICT)
class Paper:
    """A folder under `papers/`. `claims` are read from `claims.csv` beside `paper.py` by the catalog."""

    slug: str
    title: str
    authors: str
    venue: str
    year: int
    url: str
    bibtex: str
    summary: str
    reading: str
    variants: tuple[Variant, ...]
    recipes: tuple[Recipe, ...]
    headline: Ablation
    ablations: tuple[Ablation, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    joint_groups: tuple[JointGroups, ...] = ()
    baseline: bool = False  # whether it is what every other paper is set beside
    codec_called: str = ""  # of a paper that brings a codec of its own: its name among those of the ceilings page
    timed: tuple[str, ...] = ()  # variants that stand for the paper where every runtime is timed
    timed_against: tuple[str, ...] = ()  # networks (`slug/variant`) that these take turns with, as ratios are claimed
    latency_question: LatencyQuestion | None = None  # has a page of its own that answers it
    side_by_side: SideBySide | None = None  # has a page of several papers' networks
    known_as: str = ""  # what readers call its network; the slug where there is no name
    called: tuple[tuple[str, str], ...] = ()  # what they call its variants, by their names without the input size
    protocols: tuple[Protocol, ...] = ()  # those of its tables that need something of its own, such as its codec
    unreachable: tuple[Unreachable, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.slug, "paper")
        unique([v.name for v in self.variants], "variants")
        for name in self.timed:
            if name not in [v.name for v in self.variants]:
                raise ValueError(f"paper {self.slug!r}: timed names {name!r}, which is none of its variants")
        unique([r.name for r in self.recipes], "recipes")
        unique([*(a.name for a in self.studies), *(s.name for s in self.sweeps)], "studies")
        self._check_timed()
        self._check_called()

    def _check_timed(self) -> None:
        for network in self.timed_against:
            if network.count("/") != 1 or not all(network.split("/")):
                raise ValueError(f"paper {self.slug!r}: timed_against names {network!r}; write paper/variant")
        if (self.timed_against or self.latency_question) and not self.timed:
            raise ValueError(f"paper {self.slug!r}: timed_against and latency_question are about a variant in timed")
        if self.latency_question and not self.timed_against:
            raise ValueError(f"paper {self.slug!r}: its latency_question is answered against timed_against; name some")

    def _check_called(self) -> None:
        stems = {SIZE.sub("", v.name) for v in self.variants}
        unique([stem for stem, _ in self.called], "called variants")
        unique([text for _, text in self.called], "display names")
        for stem, text in self.called:
            if stem not in stems or not text:
                raise ValueError(f"paper {self.slug!r}: called names {stem!r}; write a variant's name without its size")

    @property
    def name(self) -> str:
        """What readers call its network."""
        return self.known_as or self.slug

    def name_of(self, variant: str) -> str:
        """What readers call a variant, by its name, whatever its input size: `HRNet-W32`."""
        stem = SIZE.sub("", variant)
        return dict(self.called).get(stem) or f"{self.name} {stem}"

    @property
    def studies(self) -> tuple[Ablation, ...]:
        """The headline comparison first, then the other ablations."""
        return (self.headline, *self.ablations)
