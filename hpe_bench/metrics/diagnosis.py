"""What is wrong with predicted poses: every labelled joint of every found person is of one kind, good or an error.

The taxonomy of Ronchi and Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", ICCV 2017,
derived anew (F18). With the similarity of a predicted joint to a true one of person q,

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

D detections, N persons, J joints, P matched pairs and Q persons of one image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions

GOOD_KS = 0.85
NEAR_KS = 0.5
MATCH_OKS = 0.1
DETECTIONS_PER_IMAGE = 20  # COCO's maxDets for keypoints
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
    d, (n, j) = len(predictions), truth.labelled.shape
    crowd = crowds(truth)
    wanted = truth.labelled.any(axis=1) & ~crowd
    found = Diagnosis(
        detection=np.full(n, -1),
        person=np.full(d, -1),
        counted=np.zeros(d, dtype=bool),
        duplicate=np.zeros(d, dtype=bool),
        wanted=wanted,
        outranked=np.zeros(n, dtype=bool),
        oks=np.full(n, np.nan),
        ks=np.full((n, j), np.nan),
        kind=np.full((n, j), UNJUDGED, dtype=np.int8),
    )
    for persons, detections in by_image(truth, predictions):
        oks_DN = oks_matrix(truth, persons, predictions.joints[detections])
        if predictions.person is None:
            _match_free(found, persons, detections, oks_DN, crowd[persons])
        else:
            _match_given(found, persons, detections, oks_DN, predictions.person[detections])
        _judge(found, truth, persons, predictions)
    return found


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


def by_image(truth: PersonSet, predictions: Predictions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of the persons and of the detections (by falling score, ties as they stand) of each image that has any."""
    persons_of = _rows_by_image(truth.image, np.arange(len(truth)))
    detections_of = _rows_by_image(predictions.image, np.argsort(-predictions.score, kind="stable"))
    nobody = np.zeros(0, dtype=np.int64)
    for image in sorted(persons_of.keys() | detections_of.keys()):
        yield persons_of.get(image, nobody), detections_of.get(image, nobody)


def _rows_by_image(image: np.ndarray, rows: np.ndarray) -> dict[int, np.ndarray]:
    """The given rows, in their order, by image."""
    ordered = rows[np.argsort(image[rows], kind="stable")]
    images, starts = np.unique(image[ordered], return_index=True)
    return dict(zip(images.tolist(), np.split(ordered, starts[1:]), strict=True)) if len(ordered) else {}


# ---------------------------------------------------------------------------------------------------- similarity


def joint_similarity(squared: np.ndarray, area: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """ks of squared distances in px^2; area of the person in px^2. As pycocotools computes it, to the bit."""
    return np.exp(-(squared / (2 * sigmas) ** 2 / (area + np.spacing(1)) / 2))


def oks_matrix(truth: PersonSet, persons: np.ndarray, joints_DJ2: np.ndarray) -> np.ndarray:
    """OKS [D,N] of poses with persons given by row.

    For a person without labelled joints COCO takes the distances beyond its box, extended by its size on every side.
    """
    labelled_NJ, area_N = truth.labelled[persons], truth.area[persons]
    true_NJ2 = np.where(labelled_NJ[..., None], truth.joints[persons], 0.0)
    offset_DNJ2 = joints_DJ2.astype(float)[:, None] - true_NJ2
    bare = ~labelled_NJ.any(axis=1)
    corner_N2, size_N2 = truth.box[persons, :2], truth.box[persons, 2:]
    low_N12, high_N12 = (corner_N2 - size_N2)[bare, None], (corner_N2 + 2 * size_N2)[bare, None]
    points_D1J2 = joints_DJ2.astype(float)[:, None]
    offset_DNJ2[:, bare] = np.maximum(0.0, low_N12 - points_D1J2) + np.maximum(0.0, points_D1J2 - high_N12)
    ks_DNJ = joint_similarity((offset_DNJ2**2).sum(-1), area_N[:, None], np.array(truth.skeleton.sigmas))
    judged_NJ = labelled_NJ | bare[:, None]
    return (ks_DNJ * judged_NJ).sum(-1) / judged_NJ.sum(-1)


# ---------------------------------------------------------------------------------------------------- matching


def _match_free(
    found: Diagnosis, persons: np.ndarray, detections: np.ndarray, oks_DN: np.ndarray, crowd_N: np.ndarray
) -> None:
    """COCO's greedy matching on one image; equal OKS goes to the later person, a crowd takes any number."""
    wanted_N, free_N = found.wanted[persons], np.ones(len(persons), dtype=bool)
    for row, oks_N in zip(detections[:DETECTIONS_PER_IMAGE], oks_DN, strict=False):
        near_N = free_N & (oks_N >= MATCH_OKS)
        candidates = np.flatnonzero(near_N & wanted_N)
        found.counted[row] = len(candidates) > 0 or not near_N.any()
        if not near_N.any():
            found.duplicate[row] = (wanted_N & (oks_N >= MATCH_OKS)).any()
            continue
        if not len(candidates):
            candidates = np.flatnonzero(near_N)
        best = candidates[len(candidates) - 1 - np.argmax(oks_N[candidates][::-1])]
        free_N[best] = crowd_N[best]
        if wanted_N[best]:
            _pair(found, persons[best], row, oks_N[best])
    _mark_outranked(found, persons, detections, oks_DN)


def _mark_outranked(found: Diagnosis, persons: np.ndarray, detections: np.ndarray, oks_DN: np.ndarray) -> None:
    """Persons of one image whom a duplicate fits better than what found them; it came later, so its score is lower."""
    duplicates_DN = oks_DN[found.duplicate[detections]]
    if len(duplicates_DN):
        found.outranked[persons] = found.found[persons] & (duplicates_DN.max(axis=0) > found.oks[persons])


def _match_given(
    found: Diagnosis, persons: np.ndarray, detections: np.ndarray, oks_DN: np.ndarray, person_D: np.ndarray
) -> None:
    """Each prediction with the person it was made for, if it is near at all; one for nobody to find is not counted."""
    position = {int(row): n for n, row in enumerate(persons)}
    for row, person, oks_N in zip(detections, person_D, oks_DN, strict=True):
        oks = oks_N[position[int(person)]]
        found.counted[row] = found.wanted[person]
        if found.wanted[person] and oks >= MATCH_OKS:
            _pair(found, person, row, oks)
        elif found.wanted[person]:
            found.duplicate[row] = (found.wanted[persons] & (oks_N >= MATCH_OKS)).any()


def _pair(found: Diagnosis, person: int, detection: int, oks: float) -> None:
    found.detection[person], found.person[detection], found.oks[person] = detection, person, oks


# ---------------------------------------------------------------------------------------------------- judging


def _judge(found: Diagnosis, truth: PersonSet, persons: np.ndarray, predictions: Predictions) -> None:
    """`ks` and `kind` of the matched persons of one image."""
    own_P = np.flatnonzero(found.found[persons])
    rows_P = persons[own_P]
    if not len(rows_P):
        return
    joints_PJ2 = predictions.joints[found.detection[rows_P]].astype(float)
    same_PQJ, mirror_PQJ = _similarities(truth, persons, joints_PJ2)
    pairs = np.arange(len(rows_P))
    own_PJ, inverted_PJ = same_PQJ[pairs, own_P], mirror_PQJ[pairs, own_P]
    anyone_PQJ = np.maximum(same_PQJ, mirror_PQJ)
    anyone_PQJ[pairs, own_P] = 0
    swapped_PJ = anyone_PQJ.max(axis=1)
    kind_PJ = classify(own_PJ, inverted_PJ, swapped_PJ)
    labelled_PJ = truth.labelled[rows_P]
    found.kind[rows_P] = np.where(labelled_PJ, kind_PJ, UNJUDGED)
    found.ks[rows_P] = np.where(labelled_PJ, own_PJ, np.nan)


def _similarities(truth: PersonSet, persons: np.ndarray, joints_PJ2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ks [P,Q,J] of predicted joints to the same joint of every person, and to its mirror; 0 where not labelled."""
    labelled_QJ, sigmas_J = truth.labelled[persons], np.array(truth.skeleton.sigmas)
    true_QJ2 = np.where(labelled_QJ[..., None], truth.joints[persons], 0.0)
    mirrored = list(truth.skeleton.mirrored())

    def to(order: list[int]) -> np.ndarray:
        squared_PQJ = ((joints_PJ2[:, None] - true_QJ2[:, order]) ** 2).sum(-1)
        ks_PQJ = joint_similarity(squared_PQJ, truth.area[persons][:, None], sigmas_J[order])
        return np.where(labelled_QJ[:, order], ks_PQJ, 0.0)

    return to(list(range(len(mirrored)))), to(mirrored)


def classify(own: np.ndarray, inverted: np.ndarray, swapped: np.ndarray) -> np.ndarray:
    """Positions in KINDS from the ks to the joint itself, to the person's own mirror joint, and the largest to the same
    or mirror joint of anybody else (0 where there is none).
    """
    return np.select(
        [own >= GOOD_KS, own >= NEAR_KS, (inverted >= NEAR_KS) & (inverted >= swapped), swapped >= NEAR_KS],
        [GOOD, JITTER, INVERSION, SWAP],
        MISS,
    )
