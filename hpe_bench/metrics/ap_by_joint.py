"""OKS-AP joint by joint.

COCO defines no AP of a joint; the definition is ours: the official evaluation with the labels of other joints removed
from the annotations.

- `ap/joint/<name>`: only this joint is labelled. OKS, and with it who matches whom, comes from the joint alone; persons
  for whom it is not labelled become ignored persons, as COCO treats persons without any label. `n` counts the others.
- `ap/without/<name>`: every joint but this one is labelled. What `ap` lacks of it is what the joint costs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.declare import Score
from hpe_bench.metrics.average_precision import evaluate
from hpe_bench.metrics.matching import to_find


def ap_by_joint(truth: PersonSet, predictions: Predictions) -> list[Score]:
    """`ap/joint/<name>` and then `ap/without/<name>` of each joint, in percent, without intervals.

    A joint that nobody has labelled, or the only one that is, has no score of the kind that needs it.
    """
    names = truth.skeleton.joints
    alone = {f"ap/joint/{name}": np.arange(len(names)) == j for j, name in enumerate(names)}
    without = {f"ap/without/{name}": np.arange(len(names)) != j for j, name in enumerate(names)}
    return [
        score
        for key, joints_J in (alone | without).items()
        if (score := _ap_of_joints(truth, predictions, key, joints_J)) is not None
    ]


def _ap_of_joints(truth: PersonSet, predictions: Predictions, key: str, joints_J: np.ndarray) -> Score | None:
    """AP with only the given joints [J] (bool) labelled; None where that leaves nobody to find."""
    labelled = truth.labelled & joints_J
    only = replace(truth, labelled=labelled, visible=truth.visible & labelled)
    if not to_find(only).any():
        return None
    evaluation = evaluate(only, predictions)
    return Score(key, evaluation.figures()["ap"], evaluation.persons()["ap"])
