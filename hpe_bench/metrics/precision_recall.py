"""Precision and recall of one area range, with images weighted by how often they stand in the set.

AP is no mean over images (F25): per replicate of a bootstrap, the table of matches is accumulated again. Curves rise at
right detections only, so that nothing is computed at the others.

D detections by falling score, I images, T OKS thresholds, R = 101 recall levels, W sets of weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RECALLS = np.linspace(0.0, 1.0, 101)  # pycocotools' recThrs


@dataclass(frozen=True, eq=False)
class Thresholded:
    """The detections at one OKS threshold, as places among those that are counted at some threshold."""

    right_K: np.ndarray
    ignored_G: np.ndarray  # neither right nor wrong at this threshold
    ignored_before_K: np.ndarray  # how many of them stand before each right one


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """One area range, ready to be accumulated under any weights of the images."""

    image_D: np.ndarray  # position of each counted detection's image
    persons_I: np.ndarray  # persons to find per image
    thresholds: tuple[Thresholded, ...]

    def accumulate(self, weights_I: np.ndarray) -> dict[str, np.ndarray] | None:
        """`precision` [T,R] and `recall` [T] with image i standing `weights_I[i]` times in the set; None if no person.

        Whole weights that are all one give pycocotools' tables to the bit. Other whole weights give those of a set that
        holds the copies, as long as no two detections of an image have the same score: of those, pycocotools would take
        all of the first copy before any of the second.
        """
        persons = weights_I @ self.persons_I
        if persons == 0:
            return None
        weights_D = weights_I[self.image_D]
        so_far_D = weights_D.cumsum()
        precision_TR = np.zeros((len(self.thresholds), len(RECALLS)))
        recall_T = np.zeros(len(self.thresholds))
        for t, at in enumerate(self.thresholds):
            if not len(at.right_K):
                continue
            right_K, counted_K = weights_D[at.right_K].cumsum(), so_far_D[at.right_K]
            if len(at.ignored_G):
                counted_K -= np.append(0, weights_D[at.ignored_G].cumsum())[at.ignored_before_K]
            recall_K, precision_K = right_K / persons, right_K / (counted_K + np.spacing(1))
            reached = recall_K.searchsorted(RECALLS)
            reached = reached[reached < len(recall_K)]  # precision is 0 at recalls that are never reached
            best_R = np.maximum.reduceat(precision_K, reached)  # from each level to the next
            precision_TR[t, : len(reached)] = np.maximum.accumulate(best_R[::-1])[::-1]
            recall_T[t] = recall_K[-1]
        return {"precision": precision_TR, "recall": recall_T}

    def means(self, weights_WI: np.ndarray) -> dict[str, np.ndarray]:
        """What `accumulate` gives under many sets of whole weights, precision averaged over recall: both [W,T].

        NaN where a set holds no person. Sums of whole numbers are exact in either order, so the two agree.
        """
        persons_W = weights_WI @ self.persons_I
        if not persons_W.any():
            nothing_WT = np.full((len(weights_WI), len(self.thresholds)), np.nan)
            return {"precision": nothing_WT, "recall": nothing_WT}
        weights_WD = weights_WI[:, self.image_D]
        so_far_WD = weights_WD.cumsum(axis=1)
        precision_WT, recall_WT = np.zeros((2, len(weights_WI), len(self.thresholds)))
        wanted_WR = _needed(persons_W)
        for t, at in enumerate(self.thresholds):
            if not len(at.right_K):
                continue
            right_WK, counted_WK = weights_WD[:, at.right_K].cumsum(axis=1), so_far_WD[:, at.right_K]
            if len(at.ignored_G):
                ignored_WG = weights_WD[:, at.ignored_G].cumsum(axis=1)
                counted_WK = counted_WK - np.pad(ignored_WG, ((0, 0), (1, 0)))[:, at.ignored_before_K]
            precision_WK = right_WK / (counted_WK + np.spacing(1))
            best_WK = np.maximum.accumulate(precision_WK[:, ::-1], axis=1)[:, ::-1]
            reached_WR = _first_at_least(right_WK, wanted_WR)
            ended_WK = np.pad(best_WK, ((0, 0), (0, 1)))  # precision is 0 at recalls that are never reached
            precision_WT[:, t] = np.take_along_axis(ended_WK, reached_WR, axis=1).mean(axis=1)
            with np.errstate(invalid="ignore"):
                recall_WT[:, t] = right_WK[:, -1] / persons_W
        nobody_W1 = (persons_W == 0)[:, None]
        return {
            name: np.where(nobody_W1, np.nan, v) for name, v in (("precision", precision_WT), ("recall", recall_WT))
        }


def _needed(persons_W: np.ndarray) -> np.ndarray:
    """The least numbers of right detections [W,R] whose share of the persons reaches each recall level, as divided."""
    persons_W1 = np.maximum(persons_W, 1)[:, None]
    least_WR = np.ceil(RECALLS * persons_W1).astype(np.int64)
    least_WR -= (least_WR > 0) & ((least_WR - 1) / persons_W1 >= RECALLS)
    least_WR += least_WR / persons_W1 < RECALLS
    return least_WR


def _first_at_least(rising_WK: np.ndarray, wanted_WR: np.ndarray) -> np.ndarray:
    """Per row the first position [W,R] whose whole number is at least the wanted one; K where none is."""
    rows, length = rising_WK.shape
    step = int(max(rising_WK.max(), wanted_WR.max())) + 1
    lift_W1 = step * np.arange(rows)[:, None]
    found = np.searchsorted((rising_WK + lift_W1).ravel(), (wanted_WR + lift_W1).ravel()).reshape(wanted_WR.shape)
    return np.minimum(found - length * np.arange(rows)[:, None], length)


def curves(
    matched_DT: np.ndarray, ignored_DT: np.ndarray, image_D: np.ndarray, persons_I: np.ndarray
) -> PrecisionRecall:
    """From what became of each detection, by falling score; what is ignored at every threshold is left out."""
    counted_D = ~ignored_DT.all(axis=1)
    right_DT, ignored_DT = (matched_DT & ~ignored_DT)[counted_D], ignored_DT[counted_D]
    places = [(np.flatnonzero(r), np.flatnonzero(i)) for r, i in zip(right_DT.T, ignored_DT.T, strict=True)]
    thresholds = tuple(Thresholded(right, ignored, np.searchsorted(ignored, right)) for right, ignored in places)
    return PrecisionRecall(image_D[counted_D], persons_I, thresholds)
