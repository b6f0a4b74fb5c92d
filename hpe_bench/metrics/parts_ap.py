"""AP of the whole pose, then of each group of its joints by itself, as COCO-WholeBody's tables have it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from hpe_bench.data.joint_subsets import persons_of
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.declare import STRICT, Score
from hpe_bench.metrics.average_precision import evaluate, intervals
from hpe_bench.metrics.oks_ap import OksAP


@dataclass(frozen=True, config=STRICT)
class PartsAP(OksAP):
    """AP and AR in percent over all joints, and `ap_<group>`, `ar_<group>` over the joints of each group.

    A detection keeps its score and its area; a person of whom nothing of the group is labelled need not be found.
    """

    reported: ClassVar[tuple[str, ...]] = ("ap", "ap50", "ap75", "ar")

    def all_figures(self, truth: PersonSet, predictions: Predictions) -> list[Score]:
        """The figures of all joints, then of the groups; a group that nobody has labelled has none."""
        found = super().all_figures(truth, predictions)
        for name, joints in truth.skeleton.groups:
            columns = list(joints)
            if not truth.labelled[:, columns].any():
                continue
            evaluation = evaluate(
                persons_of(truth, columns, f"{truth.skeleton.name}-{name}"), _part_of(predictions, columns)
            )
            figures, persons, around = evaluation.figures(), evaluation.persons(), intervals(evaluation)
            for key in ("ap", "ar"):
                if key in figures:
                    found.append(Score(f"{key}_{name}", figures[key], persons[key], around.get(key)))
        return found


def _part_of(predictions: Predictions, columns: list[int]) -> Predictions:
    """Detections with some of their joints, ranked and sized as they were."""
    joints = predictions.joints
    low, high = joints.min(axis=1), joints.max(axis=1)
    area = predictions.area if predictions.area is not None else np.prod(high - low, axis=1).astype(float)
    return replace(predictions, joints=joints[:, columns], joint_scores=predictions.joint_scores[:, columns], area=area)
