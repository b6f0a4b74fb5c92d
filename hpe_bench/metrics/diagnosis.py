"""What is wrong with predicted poses: every labelled joint of every found person is of one kind, good or an error.

The taxonomy of Ronchi and Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", ICCV 2017,
derived anew (F18) from its definitions as we recall them. With the similarity of a predicted joint to a true one of
person q,

    ks = exp(-d^2 / (2 * area_q * (2 sigma)^2))        (COCO's; OKS is its mean over q's labelled joints)

and J(i) = {i, its mirror joint}, a joint i predicted for person p is, by its ks to the true joint i of p,

    good        ks >= 0.85 (the spread of human annotators)
    jitter      0.5 <= ks < 0.85
    otherwise, by the largest ks to a joint of J(i):
    inversion   >= 0.5, and it is p's own mirror joint
    swap        >= 0.5, and the joint is another person's, in the same image
    miss        < 0.5

The paper leaves open what is both inversion and swap; here the nearer place decides, p's own at a tie. Exactly 0.85 is
good, exactly 0.5 is near. Predictions answer for persons at OKS >= 0.1; a wholly mirrored pose does not reach that, so
it is a false positive and a person missed, not inversions.

It takes OKS sigmas: 0.85 and 0.5 mean what they do because sigmas measure how far annotators of each joint disagree.
MPII and LSP have none, and distances relative to head or torso would put one tolerance on wrist and hip, so the kinds
would say more about the joint than about the error. There is no diagnosis for them.

D detections, N persons, F of them found, J joints, P pairs of a detection (or what found a person) and a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.metrics.matching import best_of_each_image
from hpe_bench.metrics.oks import oks, pairs_in_images, variances

GOOD_KS = 0.85
NEAR_KS = 0.5
MATCH_OKS = 0.1
KINDS = ("good", "jitter", "inversion", "swap", "miss")
GOOD, JITTER, INVERSION, SWAP, MISS = range(len(KINDS))
UNJUDGED = -1


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Who was found by what, and what each joint is.

    `detection` [N] int64: the row of the prediction that found the person, -1 if none. `person` [D] int64: its inverse.
    `counted` [D] bool: neither beyond an image's 20 best nor on somebody to ignore (crowds, persons without joints).
    `duplicate` [D] bool: counted, found nobody, but has OKS >= 0.1 with a person to find. `wanted` [N] bool: to be
    found. `outranked` [N] bool: found, though a duplicate of lower score fits better. `oks` [N]: of the person with
    what found it; `ks` [N,J]; `kind` [N,J] int8 positions in KINDS; NaN, NaN and -1 where there is nothing to judge.
    """

    detection: np.ndarray
    person: np.ndarray
    counted: np.ndarray
    duplicate: np.ndarray
    wanted: np.ndarray
    outranked: np.ndarray
    oks: np.ndarray
    ks: np.ndarray
    kind: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """[N] bool: persons that a prediction answers for."""
        return self.detection >= 0

    @property
    def false_positive(self) -> np.ndarray:
        """[D] bool: predictions that answer for nobody, duplicates included."""
        return self.counted & (self.person < 0)

    @property
    def false_negative(self) -> np.ndarray:
        """[N] bool: persons to find that no prediction answers for."""
        return self.wanted & ~self.found


def diagnose(truth: PersonSet, predictions: Predictions) -> Diagnosis:
    """Match, then judge every labelled joint of the matched persons.

    Predictions made for given persons (`predictions.person`) are matched with these and nobody else; free detections as
    COCO does at OKS 0.1: by falling score, at most 20 an image, each with the free person it fits best. ValueError
    where sigmas or areas are missing, or persons and predictions do not belong together.
    """
    check(truth, predictions)
    wanted = truth.labelled.any(axis=1) & ~crowds(truth)
    given = predictions.person
    rows = best_of_each_image(truth, predictions)[0] if given is None else np.arange(len(predictions))
    near = _near_pairs(truth, predictions, rows)
    if given is None:
        detection, ignored = _match_free(near, wanted, crowds(truth), len(predictions))
    else:
        detection, ignored = _match_given(near, wanted, given)
    found = detection >= 0
    person = np.full(len(predictions), -1)
    person[detection[found]] = np.flatnonzero(found)
    counted = np.isin(np.arange(len(predictions)), rows) & ~ignored
    near_wanted = np.isin(np.arange(len(predictions)), near.detection[wanted[near.person]])
    duplicate = counted & (person < 0) & near_wanted
    own_oks = _of_matched(near, person, len(truth))
    ks, kind = _judge(truth, predictions, detection)
    return Diagnosis(
        detection=detection,
        person=person,
        counted=counted,
        duplicate=duplicate,
        wanted=wanted,
        outranked=found & (given is None) & (_best_duplicate(near, duplicate, len(truth)) > own_oks),
        oks=own_oks,
        ks=ks,
        kind=kind,
    )


def check(truth: PersonSet, predictions: Predictions) -> None:
    """ValueError with what is missing or does not fit."""
    if not truth.skeleton.sigmas:
        raise ValueError(
            f"diagnosis: skeleton {truth.skeleton.name!r} defines no OKS sigmas, which tell jitter from a miss; "
            "use a data set of COCO joints"
        )
    if predictions.joint_scores.shape[1] != len(truth.skeleton.joints):
        raise ValueError(
            f"diagnosis: predictions have {predictions.joint_scores.shape[1]} joints, the skeleton "
            f"{truth.skeleton.name!r} {len(truth.skeleton.joints)}; bring them into its order"
        )
    bad = np.flatnonzero(~np.isfinite(truth.area))
    if len(bad):
        raise ValueError(f"diagnosis: person {bad[0]} has no area ({len(bad)} such persons); OKS is relative to it")
    outside = np.flatnonzero((predictions.image < 0) | (predictions.image >= len(truth.images)))
    if len(outside):
        raise ValueError(
            f"diagnosis: detection {outside[0]} is on image {predictions.image[outside[0]]}, the data set has "
            f"{len(truth.images)}; give positions into its images"
        )
    if predictions.person is not None:
        _check_given(truth, predictions.image, predictions.person)


def _check_given(truth: PersonSet, image_D: np.ndarray, person_D: np.ndarray) -> None:
    """ValueError unless every prediction names a person of its image, and no two the same (F23)."""
    bad = np.flatnonzero((person_D < 0) | (person_D >= len(truth)))
    if len(bad):
        raise ValueError(f"diagnosis: detection {bad[0]} names person {person_D[bad[0]]} of {len(truth)} persons")
    bad = np.flatnonzero(truth.image[person_D] != image_D)
    if len(bad):
        raise ValueError(f"diagnosis: detection {bad[0]} names person {person_D[bad[0]]}, who is on another image")
    persons, times = np.unique(person_D, return_counts=True)
    if (times > 1).any():
        raise ValueError(
            f"diagnosis: person {persons[times > 1][0]} has several predictions; give one for each person, or name none"
        )


def crowds(truth: PersonSet) -> np.ndarray:
    """[N] bool: regions of many people, for nobody to find."""
    return np.zeros(len(truth), dtype=bool) if truth.crowd is None else truth.crowd.astype(bool)


# ---------------------------------------------------------------------------------------------------- matching


class Pairs(NamedTuple):
    """Detections and persons of one image by row, with OKS >= 0.1: by image, then by falling score (ties as given)."""

    detection: np.ndarray
    person: np.ndarray
    oks: np.ndarray


def _near_pairs(truth: PersonSet, predictions: Predictions, rows: np.ndarray) -> Pairs:
    """Of the given rows of the predictions, in that order."""
    place_P, person_P = pairs_in_images(predictions.image[rows], truth.image)
    oks_P = oks(truth, predictions.joints, rows[place_P], person_P)
    near = oks_P >= MATCH_OKS
    return Pairs(rows[place_P[near]], person_P[near], oks_P[near])


def _match_free(near: Pairs, wanted: np.ndarray, crowd: np.ndarray, detections: int) -> tuple[np.ndarray, np.ndarray]:
    """`detection` [N] and which detections [D] COCO ignores, by its greedy matching.

    A detection prefers persons to find, then high OKS, then the later person; a crowd takes any number.
    """
    detection_N, ignored_D = np.full(len(wanted), -1), np.zeros(detections, dtype=bool)
    turn_P = np.cumsum(np.diff(near.detection, prepend=-1) != 0)
    order = np.lexsort((-near.person, -near.oks, ~wanted[near.person], turn_P))
    served, taken = -1, set()
    for d, n in zip(near.detection[order].tolist(), near.person[order].tolist(), strict=True):
        if d == served or n in taken:
            continue
        served = d
        if not crowd[n]:
            taken.add(n)
        if wanted[n]:
            detection_N[n] = d
        else:
            ignored_D[d] = True
    return detection_N, ignored_D


def _match_given(near: Pairs, wanted: np.ndarray, person_D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same where each prediction was made for one person: it answers for that one, if it is near, or for nobody."""
    detection_N = np.full(len(wanted), -1)
    own = (person_D[near.detection] == near.person) & wanted[near.person]
    detection_N[near.person[own]] = near.detection[own]
    return detection_N, ~wanted[person_D]


def _of_matched(near: Pairs, person_D: np.ndarray, persons: int) -> np.ndarray:
    """OKS [N] of each found person with what found it, NaN for the others."""
    oks_N, matched = np.full(persons, np.nan), person_D[near.detection] == near.person
    oks_N[near.person[matched]] = near.oks[matched]
    return oks_N


def _best_duplicate(near: Pairs, duplicate_D: np.ndarray, persons: int) -> np.ndarray:
    """The largest OKS [N] of each person with a duplicate; 0 where there is none.

    A duplicate found its persons taken, so their matches had their turn, and scored, before it.
    """
    best_N = np.zeros(persons)
    np.maximum.at(best_N, near.person, near.oks * duplicate_D[near.detection])
    return best_N


# ---------------------------------------------------------------------------------------------------- judging


def joint_similarity(squared: np.ndarray, area: np.ndarray, k2: np.ndarray) -> np.ndarray:
    """ks of squared distances in px^2, for persons of this area in px^2 and joints of this k^2 = (2 sigma)^2."""
    return np.exp(-(squared / k2 / (area + np.spacing(1)) / 2))


def _judge(truth: PersonSet, predictions: Predictions, detection_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`ks` and `kind` [N,J] of the found persons' joints."""
    found = np.flatnonzero(detection_N >= 0)
    ks_NJ, kind_NJ = np.full(truth.labelled.shape, np.nan), np.full(truth.labelled.shape, UNJUDGED, dtype=np.int8)
    if not len(found):
        return ks_NJ, kind_NJ
    place_P, person_P = pairs_in_images(truth.image[found], truth.image)  # every found person with all of its image
    joints_PJ2 = predictions.joints[detection_N[found[place_P]]].astype(float)
    same_PJ = _similarity_to(truth, person_P, range(len(truth.skeleton.joints)), joints_PJ2)
    mirror_PJ = _similarity_to(truth, person_P, truth.skeleton.mirrored(), joints_PJ2)
    own = found[place_P] == person_P
    others_PJ = np.where(own[:, None], 0.0, np.maximum(same_PJ, mirror_PJ))
    swapped_FJ = np.maximum.reduceat(others_PJ, np.flatnonzero(np.diff(place_P, prepend=-1)), axis=0)
    labelled_FJ = truth.labelled[found]
    ks_NJ[found] = np.where(labelled_FJ, same_PJ[own], np.nan)
    kind_NJ[found] = np.where(labelled_FJ, classify(same_PJ[own], mirror_PJ[own], swapped_FJ), UNJUDGED)
    return ks_NJ, kind_NJ


def _similarity_to(truth: PersonSet, person_P: np.ndarray, order: Sequence[int], joints_PJ2: np.ndarray) -> np.ndarray:
    """ks [P,J] of a predicted joint j to the joint order[j] of a person; 0 where that is not labelled."""
    columns = list(order)
    labelled_PJ = truth.labelled[person_P][:, columns]
    offset_PJ2 = joints_PJ2 - np.where(labelled_PJ[..., None], truth.joints[person_P][:, columns], 0.0)
    k2_J = variances(truth.skeleton.sigmas)[columns]
    return labelled_PJ * joint_similarity((offset_PJ2**2).sum(-1), truth.area[person_P][:, None], k2_J)


def classify(own: np.ndarray, inverted: np.ndarray, swapped: np.ndarray) -> np.ndarray:
    """Positions in KINDS from the ks to the joint itself, to the person's own mirror joint, and the largest to the same
    or mirror joint of anybody else (0 where there is none).
    """
    return np.select(
        [own >= GOOD_KS, own >= NEAR_KS, (inverted >= NEAR_KS) & (inverted >= swapped), swapped >= NEAR_KS],
        [GOOD, JITTER, INVERSION, SWAP],
        MISS,
    )
