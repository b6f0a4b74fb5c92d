"""PCK: the share of joints within a fraction of the person's torso length."""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from hpe_bench.data.persons import PersonSet
from hpe_bench.declare import STRICT
from hpe_bench.metrics.rates import Comparator, DistanceRate, threshold_text

TORSO = ("left_shoulder", "right_hip")


@dataclass(frozen=True, config=STRICT)
class PCK(DistanceRate):
    """PCK with the torso reference of the LSP tables: distance / |left shoulder - right hip| <= threshold.

    All labelled joints count equally. Left and right are the person's own (F3: person-centric). One LSP test person
    (im1185) has a torso of 2.6 px, so nearly all of its joints are misses for any method.
    """

    threshold: float = 0.2
    comparator: Comparator = "<="

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"PCK: threshold {self.threshold}; give a positive share of the torso, such as 0.2")

    @property
    def key(self) -> str:
        return f"pck{threshold_text(self.threshold, self.comparator)}"

    def reference_lengths(self, truth: PersonSet) -> np.ndarray:
        """Torso lengths [N] in px; ValueError where an end is not labelled or the length is 0."""
        missing = [name for name in TORSO if name not in truth.skeleton.joints]
        if missing:
            raise ValueError(f"{self.key}: skeleton {truth.skeleton.name!r} has no joint {missing[0]!r} for the torso")
        ends = [truth.skeleton.index(name) for name in TORSO]
        torso_N = np.linalg.norm(truth.joints[:, ends[0]] - truth.joints[:, ends[1]], axis=-1)
        bad = np.flatnonzero(~truth.labelled[:, ends].all(axis=1) | ~(torso_N > 0))
        if len(bad):
            raise ValueError(
                f"{self.key}: the torso of person {bad[0]} is not labelled or has no length "
                f"({len(bad)} such persons in all); leave these persons out"
            )
        return torso_N
