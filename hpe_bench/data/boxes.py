"""Boxes: where a pose is to be predicted, which need not be where the persons to score against are (F1).

Under ground-truth boxes COCO's code predicts for the persons with keypoints only, in boxes cut to the image; under
detector boxes for whatever a detector found. The truth that AP is scored on is the same, whole set either way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.declare import DataSource


@dataclass(frozen=True, eq=False)
class Boxes:
    """B boxes to predict a pose in, in image pixels (x, y, w, h) as `PersonSet.box`.

    `image` [B] int64 positions into the data set's images; `box` [B,4]; `score` [B] float64, 1 for annotated boxes;
    `person` [B] int64 the row of the person that a box belongs to (None: boxes of a detector); `sha256` of the file
    that they were read from (empty for annotated boxes).
    """

    image: np.ndarray
    box: np.ndarray
    score: np.ndarray
    person: np.ndarray | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        b = len(self.image)
        shapes = {"box": (b, 4), "score": (b,)} | ({} if self.person is None else {"person": (b,)})
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"boxes: {name} has shape {getattr(self, name).shape}, expected {shape}")
        bad = np.flatnonzero(~np.isfinite(np.column_stack((self.box, self.score))).all(axis=1))
        if len(bad):
            raise ValueError(f"boxes: box or score of box {bad[0]} is not finite ({len(bad)} such boxes)")

    def __len__(self) -> int:
        return len(self.image)

    def persons(self, truth: PersonSet) -> PersonSet:
        """What `crops.build_crops` cuts out, one row a box: the boxes' persons, or persons without a labelled joint."""
        if self.person is not None:
            return replace(truth.subset(self.person), box=self.box)
        b, j = len(self), len(truth.skeleton.joints)
        return replace(
            truth,
            image=self.image,
            box=self.box,
            joints=np.zeros((b, j, 2)),
            labelled=np.zeros((b, j), bool),
            visible=np.zeros((b, j), bool),
            head_size=np.full(b, np.nan),
            area=np.full(b, np.nan),
            crowd=None,
            wanted=None,
        )


def every_person(truth: PersonSet) -> Boxes:
    """Every person's own box, in the order of the persons."""
    return Boxes(truth.image, truth.box.astype(float), np.ones(len(truth)), np.arange(len(truth)))


def annotated_persons(source: DataSource, split: str, root: str | None) -> tuple[PersonSet, PersonSet, Boxes]:
    """All annotated persons of a split, those whom models are trained on and probed with, and the boxes of these.

    Where a data set says whom to predict in which annotated box, as COCO's code does, they are these, in these boxes.
    """
    everybody = source.annotated.load(split, root)
    own = source.annotated.boxes(split, root)
    if own is None:
        return everybody, everybody, every_person(everybody)
    return everybody, own.persons(everybody), own


def boxes_of(source: DataSource, truth: PersonSet, split: str, root: str | None) -> Boxes:
    """The boxes a data set is predicted in: its own, or every person's where it names none."""
    own = source.boxes(split, root)
    return every_person(truth) if own is None else own
