"""Measures ceilings: every codec at every heatmap size, on a dense grid of positions and on the persons of a data set.

A record holds one codec under one protocol; the scope of each of its measurements is a condition's text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import torch

from hpe_bench import protocols
from hpe_bench.ceilings.contenders import HEATMAP_HW, INPUT_HW, Contender
from hpe_bench.ceilings.oracle import Condition, oracle_joints, read_back
from hpe_bench.codehash import code_digest
from hpe_bench.data.boxes import boxes_of
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.progress import Progress
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import PROSE, DataSource, Metric, Score, fingerprint
from hpe_bench.metrics.oks_ap import OksAP
from hpe_bench.metrics.pck import PCK
from hpe_bench.metrics.pckh import PCKh
from hpe_bench.records import provenance
from hpe_bench.records.schema import Identity, Measurement, RunRecord

CEILINGS = "ceilings"  # the folder of the records, in the place of a paper's
BOX_SHIFTS = (0.1, 0.2)  # of the box's width and height
BOX_SCALES = (0.8, 1.25)  # 0.8 undoes the usual padding of 1.25

AS_ANNOTATED = tuple(Condition(hw) for hw in HEATMAP_HW)
FLIPPED = tuple(Condition(hw, flip=True) for hw in HEATMAP_HW)
JITTERED = tuple(
    condition
    for hw in HEATMAP_HW
    for condition in (
        *(Condition(hw, shift=s) for s in BOX_SHIFTS),
        *(Condition(hw, scale=s) for s in BOX_SCALES),
    )
)


@dataclass(frozen=True)
class DataProtocol:
    """Ceilings on the persons of a data set, in ground-truth boxes."""

    name: str
    data: DataSource
    metrics: tuple[Metric, ...]
    title: str = field(metadata=PROSE)
    conditions: tuple[Condition, ...] = (*AS_ANNOTATED, *FLIPPED, *JITTERED)
    split: str = "test"
    input_hw: tuple[int, int] = INPUT_HW
    padding: float = 1.25


@dataclass(frozen=True)
class GridProtocol:
    """Distances between positions in the input and what is read back: no data set, no chance.

    The positions are the first `points` of the additive recurrence with the plastic number (M. Roberts, "The
    unreasonable effectiveness of quasirandom sequences", 2018), which meets every stride at evenly spread fractions.
    """

    name: str = "ceiling-grid-v1"
    points: int = 2048
    margin_px: float = 3.0  # heatmap pixels to the outer pixels of the map; what lies within counts as inside
    conditions: tuple[Condition, ...] = (*AS_ANNOTATED, *FLIPPED)
    input_hw: tuple[int, int] = INPUT_HW


GRID = GridProtocol()


def data_protocols() -> dict[str, DataProtocol]:
    """The data sets' protocols by the name that the command line has for the data.

    Beside the usual thresholds stand a fifth and a quarter of them, since most codecs pass the usual ones.
    """
    mannequins, lsp = (protocols.POCKET[name][0].data for name in ("mannequins", "lsp"))
    return {
        "mannequins": DataProtocol("ceiling-mannequins-v1", mannequins, (OksAP(), PCKh(0.5), PCKh(0.1)), "Mannequins"),
        "lsp": DataProtocol("ceiling-lsp-pc-v1", lsp, (PCK(0.2), PCK(0.05)), "Leeds Sports Pose"),
        "coco-mini": DataProtocol(
            "ceiling-coco-mini-v1",
            protocols.COCO_MINI.data,
            (OksAP(),),
            "COCO, 79 images of val2017",
            split=protocols.COCO_MINI.test_split,
        ),
    }


def record_id(protocol: DataProtocol | GridProtocol, contender: Contender) -> str:
    """Identity of a record; a changed codec or protocol has another."""
    return fingerprint((protocol, contender))


@dataclass(frozen=True, eq=False)
class Subjects:
    """Who is predicted and against whom that is scored: AP counts persons that nobody predicts, too (F1).

    `persons` are rows `row` of `truth`, in the boxes they are predicted in.
    """

    truth: PersonSet
    persons: PersonSet
    row: np.ndarray


def load_subjects(protocol: DataProtocol, root: str | None) -> Subjects:
    """The persons of a protocol, from its annotations alone; ValueError where these are missing or wrong."""
    truth = protocol.data.truth(protocol.split, root)
    boxes = boxes_of(protocol.data, truth, protocol.split, root)
    assert boxes.person is not None, "a perfect network answers for annotated persons"
    return Subjects(truth, boxes.persons(truth), boxes.person)


# ---------------------------------------------------------------------------------------------------- grid


def grid_records(protocol: GridProtocol, contenders: Sequence[Contender], progress: Progress) -> Iterator[RunRecord]:
    """The record of every codec on the grid."""
    points_N2 = grid(protocol.points, protocol.input_hw)
    point = Skeleton("point", ("point",), (), (), ())
    for done, contender in enumerate(contenders, start=1):
        started = datetime.now(UTC)
        measured: list[Measurement] = []
        for condition in protocol.conditions:
            codec = contender.codec(condition.heatmap_hw)
            found_N12, _ = read_back(
                codec, points_N2[:, None], np.ones((len(points_N2), 1)), point, protocol.input_hw, condition
            )
            error_N = np.linalg.norm(found_N12[:, 0] - points_N2, axis=-1)
            measured += _errors(error_N, inside(points_N2, protocol, condition.heatmap_hw), condition.text)
        yield _record(protocol, contender, measured, started)
        progress(done, len(contenders))


def grid(points: int, input_hw: tuple[int, int]) -> np.ndarray:
    """Positions [N,2] that fill the input evenly, from 0 up to its size."""
    plastic = 1.32471795724474602596  # the real root of x^3 = x + 1
    steps = np.array([1 / plastic, 1 / plastic**2])
    fractions_N2 = (0.5 + np.arange(1, points + 1)[:, None] * steps) % 1.0
    return (fractions_N2 * np.array(input_hw[::-1])).astype(np.float32)


def inside(points_N2: np.ndarray, protocol: GridProtocol, heatmap_hw: tuple[int, int]) -> np.ndarray:
    """Which positions [N] keep the margin to the border, under the pixel conventions of all codecs."""
    size_hm = np.array(heatmap_hw[::-1])
    stride_2 = np.array(protocol.input_hw[::-1]) / size_hm
    low_2, high_2 = protocol.margin_px * stride_2, (size_hm - 1 - protocol.margin_px) * stride_2
    return ((points_N2 >= low_2) & (points_N2 <= high_2)).all(-1)


def _errors(error_N: np.ndarray, inside_N: np.ndarray, scope: str) -> Iterator[Measurement]:
    """Mean and largest error over the whole input and, where the map has an inside, over that."""
    for suffix, rows_N in (("", np.ones_like(inside_N)), ("/inside", inside_N)):
        if rows_N.any():
            for key, value in (("error/mean", error_N[rows_N].mean()), ("error/max", error_N[rows_N].max())):
                yield Measurement(
                    key=key + suffix, value=float(value), unit="input px", scope=scope, n=int(rows_N.sum())
                )


# ---------------------------------------------------------------------------------------------------- data sets


def data_records(
    protocol: DataProtocol, contenders: Sequence[Contender], subjects: Subjects, progress: Progress
) -> Iterator[RunRecord]:
    """The record of every codec on the persons of the protocol's data set."""
    total = len(contenders) * len(protocol.conditions)
    for number, contender in enumerate(contenders):
        started = datetime.now(UTC)
        measured: list[Measurement] = []
        for done, condition in enumerate(protocol.conditions, start=1):
            measured += _scores(protocol, subjects, contender, condition)
            progress(number * len(protocol.conditions) + done, total)
        yield _record(protocol, contender, measured, started, subjects.truth.digest())


def _scores(
    protocol: DataProtocol, subjects: Subjects, contender: Contender, condition: Condition
) -> Iterator[Measurement]:
    """The headline of every metric under one condition, with its interval over images."""
    codec = contender.codec(condition.heatmap_hw)
    joints_NJ2, scores_NJ = oracle_joints(subjects.persons, codec, condition, protocol.input_hw, protocol.padding)
    for metric in protocol.metrics:
        s = _score(metric, subjects, joints_NJ2, scores_NJ)
        yield Measurement(key=s.key, value=s.value, unit="percent", scope=condition.text, n=s.n, interval=s.interval)


def _score(metric: Metric, subjects: Subjects, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> Score:
    """A metric's headline; a prediction ranks by the mean of its joint scores."""
    if not isinstance(metric, OksAP):
        return metric.evaluate(subjects.persons, joints_NJ2, scores_NJ)[0]
    ranked_N = scores_NJ.astype(float).mean(axis=1)
    found = Predictions(subjects.persons.image, joints_NJ2, scores_NJ, ranked_N, subjects.row)
    return metric.evaluate_predictions(subjects.truth, found)[0]


def _record(
    protocol: DataProtocol | GridProtocol,
    contender: Contender,
    measured: Sequence[Measurement],
    started: datetime,
    test_digest: str = "",
) -> RunRecord:
    return RunRecord(
        id=record_id(protocol, contender),
        identity=Identity(
            kind="ceiling",
            scale="full",  # of the input; nothing is trained
            paper=CEILINGS,
            variant=contender.name,
            variant_hash=fingerprint(contender),
            protocol=protocol.name,
            protocol_hash=fingerprint(protocol),
            test_digest=test_digest,
            code=code_digest(contender.codecs),
        ),
        status="done",
        provenance=provenance.collect(started, "cpu", torch.get_num_threads()),
        measurements=tuple(measured),
    )
