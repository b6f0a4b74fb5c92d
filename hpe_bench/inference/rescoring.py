"""Rescoring: a detection counts for as much as its box and the joints that were found in it (F10)."""

from __future__ import annotations

import numpy as np


def rescore(box_score_D: np.ndarray, joint_scores_DJ: np.ndarray, over: float = 0.2) -> np.ndarray:
    """Scores [D]: box score x mean of the joint scores above `over`, 0 where none is (SimpleBaseline and HRNet code).

    Their IN_VIS_THRE is 0.2. The joint scores are heights of heatmap peaks; a joint at exactly `over` is left out.
    """
    if box_score_D.shape != joint_scores_DJ.shape[:1]:
        raise ValueError(
            f"rescoring: {len(box_score_D)} box scores for {len(joint_scores_DJ)} detections; give one each"
        )
    counted_DJ = joint_scores_DJ > over
    total_D = np.where(counted_DJ, joint_scores_DJ, 0.0).sum(axis=1, dtype=float)
    return box_score_D * (total_D / np.maximum(counted_DJ.sum(axis=1), 1))
