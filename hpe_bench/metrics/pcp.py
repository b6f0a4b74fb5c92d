"""PCP: the share of limbs with both ends in place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic.dataclasses import dataclass

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import LSP_14
from hpe_bench.declare import STRICT, Metric, Score
from hpe_bench.metrics.bootstrap import rate
from hpe_bench.metrics.rates import check_predictions, tallied_scores, threshold_text

Part = tuple[str, tuple[str, ...], tuple[str, ...]]  # name, the joints whose middle is the one end, and the other

PARTS: tuple[Part, ...] = (
    ("torso", ("right_shoulder", "left_shoulder"), ("right_hip", "left_hip")),
    ("right_upper_leg", ("right_hip",), ("right_knee",)),
    ("left_upper_leg", ("left_hip",), ("left_knee",)),
    ("right_lower_leg", ("right_knee",), ("right_ankle",)),
    ("left_lower_leg", ("left_knee",), ("left_ankle",)),
    ("right_upper_arm", ("right_shoulder",), ("right_elbow",)),
    ("left_upper_arm", ("left_shoulder",), ("left_elbow",)),
    ("right_forearm", ("right_elbow",), ("right_wrist",)),
    ("left_forearm", ("left_elbow",), ("left_wrist",)),
    ("head", ("neck",), ("head_top",)),
)
"""The ten parts of the LSP tables. All but the torso are limbs of the LSP skeleton; the torso's ends are no joints of
LSP, and papers differ or are silent about them: the middles of shoulders and of hips are our reading."""


@dataclass(frozen=True, config=STRICT)
class PCP(Metric):
    """Strict PCP: both ends of a part lie within `threshold` times its true length of their true places.

    Ferrari, Marin-Jimenez, Zisserman, CVPR 2008, and Eichner et al., IJCV 2012, with 0.5 (at most: "<="). A loose
    variant asks that of the mean of the two distances; it can only give more and is another metric, not offered. Left
    and right are the person's own (F3). The headline counts all ten parts of all persons alike.
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(
                f"PCP: threshold {self.threshold}; give a positive share of the part's length, such as 0.5"
            )

    @property
    def key(self) -> str:
        return f"pcp-strict{threshold_text(self.threshold, '<=')}"

    def evaluate(self, truth: PersonSet, joints_NJ2: np.ndarray, scores_NJ: np.ndarray) -> list[Score]:
        """The headline, `key/<kind of part>` such as forearm, and `key/part/<name>`; joint scores are not looked at."""
        if truth.skeleton.joints != LSP_14.joints:
            raise ValueError(
                f"{self.key}: its parts are those of the LSP skeleton, not of {truth.skeleton.name!r}; "
                "score it with PCKh or PCK"
            )
        check_predictions(truth, joints_NJ2)
        counted_NC = _ends(truth.labelled[..., None].astype(float), np.min)[..., 0].min(axis=-1) > 0
        if not counted_NC.any():
            raise ValueError(f"{self.key}: no person has a part with both ends labelled; use a set with annotations")
        hits_NC = counted_NC & self._both_ends_near(truth.joints, joints_NJ2.astype(float))
        names = [name for name, _, _ in PARTS]
        kinds = dict.fromkeys(name.removeprefix("left_").removeprefix("right_") for name in names)
        of_kind = {f"{self.key}/{kind}": [c for c, n in enumerate(names) if n.endswith(kind)] for kind in kinds}
        keyed = {self.key: range(len(names)), **of_kind}
        per_part = [
            Score(f"{self.key}/part/{name}", rate(hits_NC[:, c], counted_NC[:, c]), int(counted_NC[:, c].sum()))
            for c, name in enumerate(names)
            if counted_NC[:, c].any()
        ]
        return tallied_scores(truth.image, counted_NC, hits_NC, keyed) + per_part

    def _both_ends_near(self, truth_NJ2: np.ndarray, joints_NJ2: np.ndarray) -> np.ndarray:
        """[N,C] bool for the parts C; a part without length is right only where both ends are exact."""
        true_NC22, found_NC22 = _ends(truth_NJ2, np.mean), _ends(joints_NJ2, np.mean)
        length_NC = np.linalg.norm(true_NC22[:, :, 0] - true_NC22[:, :, 1], axis=-1)
        distance_NC2 = np.linalg.norm(found_NC22 - true_NC22, axis=-1)
        return (distance_NC2 <= self.threshold * length_NC[..., None]).all(axis=-1)


def _ends(values_NJX: np.ndarray, combine: Callable[..., np.ndarray]) -> np.ndarray:
    """[N,C,2,X]: for each part's two ends, the values of its joints combined over them."""
    columns = [[[LSP_14.index(joint) for joint in end] for end in ends] for _, *ends in PARTS]
    return np.stack([np.stack([combine(values_NJX[:, e], axis=1) for e in ends], axis=1) for ends in columns], axis=1)
