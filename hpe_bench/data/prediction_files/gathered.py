"""Poses gathered from a tool's file, image by image and joint by joint, as predictions for the persons of a truth.

Tools name images by path and joints by name. An image is found by the end of its path (its name, or as many folders
before it as tell two images of one name apart), a joint by its name. J joints, D detections.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files.own import PredictionFile, check_finite, content_sha256, positions
from hpe_bench.data.predictions import Predictions

SAID = 3  # names that a sentence lists


@dataclass
class Gathered:
    """Poses as they are found: an image (its name, or its number), joints [J,3] of x, y, score, and a score."""

    names: tuple[str, ...]  # of the joints in the file
    images: list[str | int] = field(default_factory=list)
    poses: list[np.ndarray] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def add(self, image: str | int, pose_J3: np.ndarray, score: float | None = None) -> None:
        """A pose; one without a single position is nobody. Without a score, the mean of its joints'."""
        there = np.isfinite(pose_J3[:, :2]).all(axis=1)
        if not there.any():
            return
        self.images.append(image)
        self.poses.append(pose_J3)
        joint_scores = np.where(there & np.isfinite(pose_J3[:, 2]), pose_J3[:, 2], 0.0)
        self.scores.append(float(joint_scores.mean()) if score is None else score)

    def file(self, path: Path, truth: PersonSet, layout: str) -> PredictionFile:
        """All of them, for the persons of `truth`; a joint without a position stands at (0, 0) with score 0.

        Where every image has one person and one pose, the pose is that person's.
        """
        order = _order(self.names, truth, path)
        if not self.poses:
            raise ValueError(f"{path}: holds no pose; give a file with predictions")
        poses_DJ3 = np.stack(self.poses)[:, order].astype(float)
        absent = ~np.isfinite(poses_DJ3[..., :2]).all(axis=-1)
        poses_DJ3[absent] = 0.0
        for name, values in (("joints", poses_DJ3[..., :2]), ("joint scores", poses_DJ3[..., 2])):
            check_finite(values, name, truth.skeleton.joints, path)
        image_D = self._places(path, truth)
        scores_D = np.array(self.scores)
        check_finite(scores_D, "score", truth.skeleton.joints, path)
        found = Predictions(image_D, poses_DJ3[..., :2], poses_DJ3[..., 2], scores_D, _persons(image_D, truth))
        said = f", {int(absent.sum()):,} joints without a position at (0, 0)" if absent.any() else ""
        return PredictionFile(found, layout + said, content_sha256(found, truth.ids[image_D], truth.skeleton.joints))

    def _places(self, path: Path, truth: PersonSet) -> np.ndarray:
        """Positions [D] of the images."""
        if all(isinstance(image, int) for image in self.images):
            return positions(np.array(self.images, np.int64), truth, path)
        return np.array([place_of(str(image), index_of(truth), path) for image in self.images], np.int64)


def _order(names: Sequence[str], truth: PersonSet, path: Path) -> list[int]:
    """Where each joint of the truth stands among a file's names; spelling apart (`leftWrist`, `left wrist`)."""
    plain = [_plain(name) for name in names]
    wanted = [_plain(joint) for joint in truth.skeleton.joints]
    missing = [joint for joint, name in zip(truth.skeleton.joints, wanted, strict=True) if name not in plain]
    if missing:
        raise ValueError(
            f"{path}: its joints have no {missing[0]!r} ({len(missing)} of {len(wanted)} are missing); they are "
            f"{', '.join(names[:SAID])}, ...; score over the joints that both have with --map"
        )
    return [plain.index(name) for name in wanted]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _persons(image_D: np.ndarray, truth: PersonSet) -> np.ndarray | None:
    """The person of each pose, where every image has one of either at most; else None."""
    wanted = np.flatnonzero(truth.labelled.any(axis=1))
    if len(set(image_D.tolist())) < len(image_D) or len(set(truth.image[wanted].tolist())) < len(wanted):
        return None
    of_image = {int(truth.image[row]): int(row) for row in wanted}
    if not all(int(image) in of_image for image in image_D):
        return None
    return np.array([of_image[int(image)] for image in image_D], np.int64)


# ---------------------------------------------------------------------------------------------------- images by name

Index = dict[str, list[tuple[tuple[str, ...], int]]]


def index_of(truth: PersonSet) -> Index:
    """The images by their stem, with the folders before it."""
    found: Index = defaultdict(list)
    for position in range(len(truth.images)):
        parts = _parts(truth.images.name(position))
        found[parts[-1]].append((parts, position))
    return found


def place_of(name: str, index: Index, where: str | Path) -> int:
    """The image whose path ends as a name does; ValueError where there is none, or several."""
    parts = _parts(name)
    candidates = index.get(parts[-1], [])
    for depth in range(1, len(parts) + 1):
        alike = [(known, at) for known, at in candidates if known[-depth:] == parts[-min(depth, len(known)) :]]
        if len(alike) == 1:
            return alike[0][1]
        if not alike:
            break
        candidates = alike
    what = "is none" if not candidates else f"may be any of {len(candidates)}"
    raise ValueError(f"{where}: image {name[:80]!r} {what} of the data set's images; check split and protocol")


def _parts(name: str) -> tuple[str, ...]:
    """Folders and stem, in lower case."""
    pure = PurePosixPath(name.replace("\\", "/"))
    return tuple(part.lower() for part in (*pure.parts[:-1], pure.stem))
