"""CrowdPose's AP: COCO's matching and precision, CrowdPose's joints and areas, split by how crowded an image is."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.declare import STRICT, Score
from hpe_bench.metrics.average_precision import evaluate, intervals
from hpe_bench.metrics.oks_ap import OksAP

# Of an image's crowding, low <= c < high, the last one closed: the paper's figure 6 and table 3. Which side the limits
# themselves fall on is not said there; an image on a limit counts as the harder.
LEVELS = {"easy": (0.0, 0.1), "medium": (0.1, 0.8), "hard": (0.8, np.inf)}


@dataclass(frozen=True, config=STRICT)
class CrowdPoseAP(OksAP):
    """AP and AR in percent over all areas, and AP over the images of each level of crowding (Li et al., CVPR 2019).

    The truth must say how crowded its images are, and its areas are 0.53 of the boxes' (`data/crowdpose.py`).
    """

    keys: ClassVar[tuple[str, ...]] = ("ap", "ap50", "ap75", "ar", "ar50", "ar75")
    reported: ClassVar[tuple[str, ...]] = ("ap", "ap50", "ap75", "ar")

    def all_figures(self, truth: PersonSet, predictions: Predictions) -> list[Score]:
        """The six figures of `keys`, then ap_crowding_easy, _medium and _hard; a level without persons has none."""
        if truth.crowding is None:
            raise ValueError("crowdpose ap: the persons do not say how crowded their images are; give CrowdPose's")
        evaluation = evaluate(truth, predictions)
        found = super().all_figures(truth, predictions)
        for level, (low, high) in LEVELS.items():
            part = evaluation.within((truth.crowding >= low) & (truth.crowding < high))
            figures = part.figures()
            if "ap" in figures:
                key = f"ap_crowding_{level}"
                found.append(Score(key, figures["ap"], part.persons()["ap"], intervals(part).get("ap")))
        return found
