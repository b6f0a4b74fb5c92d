"""Predictions: what somebody's model says about the images of a data set, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, eq=False)
class Predictions:
    """D detections with J joints, in image pixels (0-based, x to the right, y down).

    `image` [D] int64 positions into the data set's images; `joints` [D,J,2]; `joint_scores` [D,J]; `score` [D] float64,
    what AP ranks by; `person` [D] int64 the row of the person that a detection answers for, where boxes were given
    (None: detections of their own); `area` [D] float64 px^2, by which detections count for AP of medium and of large
    persons (None: that of the box around a detection's joints).
    """

    image: np.ndarray
    joints: np.ndarray
    joint_scores: np.ndarray
    score: np.ndarray
    person: np.ndarray | None = None
    area: np.ndarray | None = None

    def __post_init__(self) -> None:
        d, j = self.joint_scores.shape
        shapes: dict[str, tuple[int, ...]] = {"image": (d,), "joints": (d, j, 2), "score": (d,)}
        shapes |= {name: (d,) for name in ("person", "area") if getattr(self, name) is not None}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"predictions: {name} has shape {getattr(self, name).shape}, expected {shape}")
        for name in ("joints", "joint_scores", "score", *(["area"] if self.area is not None else [])):
            finite = np.isfinite(getattr(self, name))
            bad = np.flatnonzero(~finite.all(axis=tuple(range(1, finite.ndim))))
            if len(bad):
                raise ValueError(
                    f"predictions: {name} of detection {bad[0]} is not finite ({len(bad)} such detections)"
                )

    def __len__(self) -> int:
        return len(self.image)

    def subset(self, rows: np.ndarray) -> Predictions:
        """The detections in the given rows, in that order."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        return Predictions(**{name: values[rows] for name, values in arrays.items() if values is not None})
