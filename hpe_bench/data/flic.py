"""FLIC's test split as observer-centric numbers are scored on it: 1,016 upper bodies, labels without photographs.

Sapp and Taskar, "MODEC: Multimodal Decomposable Models for Human Pose Estimation", CVPR 2013. The labels are those that
Yang et al. (CVPR 2016) score: ten joints, the neck put between the shoulders by them, left and right as the observer
sees them, counted from one. They score predictions; with no photographs beside them nothing is trained or predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpe_bench.data.folders import find_folder
from hpe_bench.data.images import FileImages
from hpe_bench.data.lsp import boxes_around
from hpe_bench.data.mat_files import read_mat
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import FLIC_10, Skeleton
from hpe_bench.declare import DataSource

TEST_COUNT = 1016
ORIGIN = 1  # the labels count pixels from one
LABELS = "joints_test.mat"


@dataclass(frozen=True)
class FLIC(DataSource):
    """The test labels under `flic/` of the root, or in the root itself."""

    name = "flic"

    @property
    def skeleton(self) -> Skeleton:
        return FLIC_10

    def load(self, split: str, root: str | None) -> PersonSet:
        """Refused: there are no photographs here to predict on."""
        raise ValueError("FLIC is here as labels alone: score predictions of its test split with `hpe-bench score`")

    def truth(self, split: str, root: str | None) -> PersonSet:
        """The persons of "test", one an image, in the order of the labels."""
        if split != "test":
            raise ValueError(f"FLIC has no split {split!r} here; use 'test'")
        folder = find_folder(root, "flic", LABELS, f"{LABELS}, as Yang et al. score it")
        values = read_mat(folder / LABELS, {"joints": (2, 10, TEST_COUNT)}, "FLIC's test labels")["joints"]
        joints = values.transpose(2, 1, 0) - ORIGIN
        labelled = np.ones(joints.shape[:2], bool)
        undefined = np.full(TEST_COUNT, np.nan)
        return PersonSet(
            skeleton=FLIC_10,
            images=FileImages([folder / f"{number + 1:04d}.jpg" for number in range(TEST_COUNT)]),
            image=np.arange(TEST_COUNT),
            box=boxes_around(joints, labelled),
            joints=joints,
            labelled=labelled,
            visible=labelled,
            head_size=undefined,
            area=undefined,
        )
