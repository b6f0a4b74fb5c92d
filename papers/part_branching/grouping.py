"""Finding groups of related joints in annotations: mutual information between joints, then spectral clustering.

The paper takes each part's location as a random variable and two parts as related by the mutual information of their
locations. How it estimates and clusters is unknown to us; both are our choice (README.md says why).

    python -m hpe_bench.papers.part_branching.grouping DATA [SOURCE ...]

writes `groups.json` beside this file from the data sets in the folder DATA: all four, or those named.
N persons, J joints, K groups; positions are (x, y).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import KDTree
from scipy.special import digamma

from hpe_bench.data.lsp import LSP
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import COCO_17, LSP_14, MPII_16, Skeleton

from .groups import FOUND, Groups

NEIGHBOURS = 5  # k of the estimator
PERSONS = 2000  # persons drawn; each is used as it is and mirrored
JITTER = 1e-3  # crop widths: breaks the ties that rounded annotations make, which the estimator cannot have
SEED = 0
COUNTS = (2, 3, 4, 5, 6)


@dataclass(frozen=True)
class Poses:
    """Joints [N,J,2] in a frame that follows the person: origin in the middle of the crop, unit its size."""

    skeleton: Skeleton
    joints_NJ2: np.ndarray
    labelled_NJ: np.ndarray

    def digest(self) -> str:
        """SHA-256 of all poses, first 16 hex digits."""
        h = hashlib.sha256(self.skeleton.name.encode())
        h.update(np.where(self.labelled_NJ[..., None], self.joints_NJ2, 0).astype("<f4").tobytes())
        h.update(self.labelled_NJ.astype("u1").tobytes())
        return h.hexdigest()[:16]


# ---------------------------------------------------------------------------------------------------- estimator


def mutual_information(a_ND: np.ndarray, b_ND: np.ndarray, neighbours: int = NEIGHBOURS) -> float:
    """I(a; b) in nats from N paired samples without ties (Kraskov, Stögbauer, Grassberger 2004, equation 8).

    Maximum norm throughout. Nearly unbiased, a little below 0 now and then for independent variables; blind to
    whatever is finer than the distance to the k-th neighbour.
    """
    both = np.concatenate([a_ND, b_ND], axis=1)
    radius_N = KDTree(both).query(both, neighbours + 1, p=np.inf)[0][:, -1]
    radius_N = np.nextafter(radius_N, 0)  # strictly nearer than the k-th neighbour
    counts = [KDTree(x).query_ball_point(x, radius_N, p=np.inf, return_length=True) for x in (a_ND, b_ND)]
    return float(digamma(neighbours) + digamma(len(both)) - np.mean(digamma(counts[0]) + digamma(counts[1])))


def mutual_information_matrix(poses: Poses, persons: int = PERSONS, seed: int = SEED) -> np.ndarray:
    """Mutual information [J,J] of all pairs of joints, 0 on the diagonal.

    Each of the drawn persons also counts mirrored, as training has it, so a pair and its mirror image have one value.
    A pair is estimated over the persons in whom both joints are labelled.
    """
    joints_NJ2, labelled_NJ = drawn(poses, persons, seed)
    mirror, size = poses.skeleton.mirrored(), len(poses.skeleton.joints)
    mutual_JJ = np.zeros((size, size))
    for i, j in itertools.combinations(range(size), 2):
        if mutual_JJ[i, j] == 0:
            both = labelled_NJ[:, i] & labelled_NJ[:, j]
            value = mutual_information(joints_NJ2[both, i], joints_NJ2[both, j])
            for a, b in ((i, j), (mirror[i], mirror[j])):
                mutual_JJ[a, b] = mutual_JJ[b, a] = value
    return mutual_JJ


def drawn(poses: Poses, persons: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions [2n,J,2] and labels of n persons and their mirror images, jittered."""
    rng, mirror = np.random.default_rng(seed), list(poses.skeleton.mirrored())
    total = len(poses.joints_NJ2)
    rows = np.sort(rng.choice(total, min(persons, total), replace=False))
    joints, labelled = poses.joints_NJ2[rows].astype(float), poses.labelled_NJ[rows]
    joints = np.concatenate([joints, joints[:, mirror] * [-1, 1]])
    joints += rng.uniform(-JITTER / 2, JITTER / 2, joints.shape)
    return joints, np.concatenate([labelled, labelled[:, mirror]])


# ---------------------------------------------------------------------------------------------------- clustering


def spectral_groups(affinity_JJ: np.ndarray, count: int) -> Groups:
    """`count` groups of joints by normalised cuts (Shi and Malik 2000); the diagonal of the affinity is not used.

    The joints are embedded by the `count` leading eigenvectors of the random walk on the affinity and split by
    k-means, whose best solution over every choice of joints as first centres is taken: nothing is drawn at random.
    """
    affinity = np.maximum(affinity_JJ, 0.0) * (1 - np.eye(len(affinity_JJ)))
    root = affinity.sum(axis=1) ** -0.5
    _, vectors = np.linalg.eigh(root[:, None] * affinity * root)
    labels = _k_means(vectors[:, -count:] * root[:, None], count)
    return tuple(sorted(tuple(np.flatnonzero(labels == g).tolist()) for g in range(count)))


def _k_means(points_JD: np.ndarray, count: int, rounds: int = 30) -> np.ndarray:
    """Labels [J] of the least within-group scatter that Lloyd's iteration reaches from any `count` points."""
    seeds_SK = np.array(list(itertools.combinations(range(len(points_JD)), count)))
    centres_SKD, nearest_SJ = points_JD[seeds_SK], np.empty(0)
    for _ in range(rounds):
        before_SJ, nearest_SJ = nearest_SJ, _square_distances(points_JD, centres_SKD).argmin(axis=2)
        if np.array_equal(before_SJ, nearest_SJ):  # another round would change nothing
            break
        member_SJK = np.eye(count)[nearest_SJ]
        sizes_SK1 = np.maximum(member_SJK.sum(axis=1), 1)[..., None]
        centres_SKD = np.einsum("sjk,jd->skd", member_SJK, points_JD) / sizes_SK1
    distances_SJK = _square_distances(points_JD, centres_SKD)
    scatter_S = distances_SJK.min(axis=2).sum(axis=1)
    return np.asarray(distances_SJK[scatter_S.argmin()].argmin(axis=1))


def _square_distances(points_JD: np.ndarray, centres_SKD: np.ndarray) -> np.ndarray:
    """Of every point to every centre, [S,J,K]."""
    products_SJK = np.einsum("jd,skd->sjk", points_JD, centres_SKD)
    return np.square(points_JD).sum(1)[None, :, None] - 2 * products_SJK + np.square(centres_SKD).sum(2)[:, None]


# ---------------------------------------------------------------------------------------------------- data sets


def coco(root: Path) -> Poses:
    """Poses of COCO train2017 in units of the person's box per axis (its aspect is not known)."""
    with np.load(root / "pose_priors" / "coco_train_poses.npz") as file:
        poses = file["poses"].astype(np.float32)
    return Poses(COCO_17, poses[..., :2] - 0.5, poses[..., 2] > 0)


def mpii(root: Path) -> Poses:
    """Poses of MPII's validation set, the training annotations being out of reach, in the hourglass code's crop."""
    persons = json.loads((root / "mpii_eval_oracle" / "valid.json").read_text())
    joints, centre, scale, there = (
        np.array([person[key] for person in persons], float) for key in ("joints", "center", "scale", "joints_vis")
    )
    centre[:, 1] += 15 * scale
    return Poses(MPII_16, (joints - centre[:, None]) / (1.25 * 200 * scale)[:, None, None], there > 0)


def lsp(root: Path) -> Poses:
    """Training poses of LSP and of the LSP-extended crops."""
    return in_crops(LSP(extended=True).load("train", str(root)), LSP_14)


def mannequins(_root: Path) -> Poses:
    """The first training poses of the embedded data set, generated (a minute) unless they are in the cache."""
    return in_crops(Mannequins(train_persons=PERSONS).load("train", None), COCO_17)


def in_crops(persons: PersonSet, skeleton: Skeleton) -> Poses:
    """Joints about the box centre, in units of the box's longer side."""
    assert persons.skeleton == skeleton
    centre, side = persons.box[:, :2] + persons.box[:, 2:] / 2, persons.box[:, 2:].max(axis=1)
    return Poses(skeleton, (persons.joints - centre[:, None]) / side[:, None, None], persons.labelled)


SOURCES: dict[str, Callable[[Path], Poses]] = {"coco": coco, "mpii": mpii, "lsp": lsp, "mannequins": mannequins}


# ---------------------------------------------------------------------------------------------------- the record


def record(poses: Poses) -> dict[str, Any]:
    """What `groups.json` keeps of one data set."""
    mutual_JJ = mutual_information_matrix(poses)
    return {
        "skeleton": poses.skeleton.name,
        "digest": poses.digest(),
        "persons": len(poses.joints_NJ2),
        "estimator": {"neighbours": NEIGHBOURS, "persons": PERSONS, "jitter": JITTER, "seed": SEED},
        "groups": {str(count): spectral_groups(mutual_JJ, count) for count in COUNTS},
        "mutual_information_nats": mutual_JJ.round(3).tolist(),
    }


def as_text(records: dict[str, Any]) -> str:
    """JSON with one group and one row of a matrix a line."""
    text = json.dumps(records, indent=1, sort_keys=True)
    return re.sub(r"\[[^\[\]]*\]", lambda innermost: " ".join(innermost[0].split()), text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Find groups of related joints and record them in groups.json.")
    parser.add_argument("root", type=Path, help="folder that holds lsp/, lspet_crops/, pose_priors/, mpii_eval_oracle/")
    parser.add_argument("sources", nargs="*", help=f"any of {', '.join(SOURCES)}; all of them if none is named")
    asked = parser.parse_args()
    if unknown := set(asked.sources) - set(SOURCES):
        parser.error(f"no source {', '.join(sorted(unknown))}; choose from {', '.join(SOURCES)}")
    records = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    for name in asked.sources or SOURCES:
        records[name] = record(SOURCES[name](asked.root))
    FOUND.write_text(as_text(records))


if __name__ == "__main__":
    main()
