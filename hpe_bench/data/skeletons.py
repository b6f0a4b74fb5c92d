"""Skeletons: joint names, left-right pairs, limbs, joint groups, OKS sigmas."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Skeleton:
    """Joint order of a data set and what is known about its joints.

    `sigmas` are the per-joint OKS constants k_i / 2 of the COCO keypoint metric (empty where the data set defines
    none); `groups` maps a reported name to joint indices; `limbs` are index pairs to draw.
    """

    name: str
    joints: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    limbs: tuple[tuple[int, int], ...]
    groups: tuple[tuple[str, tuple[int, ...]], ...]
    sigmas: tuple[float, ...] = ()

    def index(self, joint: str) -> int:
        """Index of a joint by name; ValueError for an unknown one."""
        return self.joints.index(joint)

    def mirrored(self) -> tuple[int, ...]:
        """Index of each joint's mirror image (itself for central joints)."""
        order = list(range(len(self.joints)))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return tuple(order)


COCO_17 = Skeleton(
    name="coco-17",
    joints=(
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    limbs=(
        (0, 1),
        (0, 2),
        (1, 3),
        (2, 4),
        (5, 6),
        (5, 7),
        (7, 9),
        (6, 8),
        (8, 10),
        (5, 11),
        (6, 12),
        (11, 12),
        (11, 13),
        (13, 15),
        (12, 14),
        (14, 16),
    ),
    groups=(
        ("head", (0, 1, 2, 3, 4)),
        ("shoulder", (5, 6)),
        ("elbow", (7, 8)),
        ("wrist", (9, 10)),
        ("hip", (11, 12)),
        ("knee", (13, 14)),
        ("ankle", (15, 16)),
    ),
    # COCO keypoint evaluation (cocodataset.org, keypoints-eval; also in pycocotools' Params)
    sigmas=(
        0.026,
        0.025,
        0.025,
        0.035,
        0.035,
        0.079,
        0.079,
        0.072,
        0.072,
        0.062,
        0.062,
        0.107,
        0.107,
        0.087,
        0.087,
        0.089,
        0.089,
    ),
)

CROWDPOSE_14 = Skeleton(
    name="crowdpose-14",
    joints=(
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
        "head",
        "neck",
    ),
    flip_pairs=((0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
    limbs=(
        (12, 13),
        (13, 0),
        (13, 1),
        (0, 2),
        (2, 4),
        (1, 3),
        (3, 5),
        (0, 6),
        (1, 7),
        (6, 7),
        (6, 8),
        (8, 10),
        (7, 9),
        (9, 11),
    ),
    groups=(
        ("head", (12, 13)),
        ("shoulder", (0, 1)),
        ("elbow", (2, 3)),
        ("wrist", (4, 5)),
        ("hip", (6, 7)),
        ("knee", (8, 9)),
        ("ankle", (10, 11)),
    ),
    # COCO's where the joints are COCO's; head and neck have the shoulders' (CrowdPose's released evaluation)
    sigmas=(0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089, 0.079, 0.079),
)

MPII_16 = Skeleton(
    name="mpii-16",
    joints=(
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "pelvis",
        "thorax",
        "upper_neck",
        "head_top",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
    limbs=(
        (0, 1),
        (1, 2),
        (2, 6),
        (6, 3),
        (3, 4),
        (4, 5),
        (6, 7),
        (7, 8),
        (8, 9),
        (10, 11),
        (11, 12),
        (12, 7),
        (7, 13),
        (13, 14),
        (14, 15),
    ),
    # The groups of the MPII toolkit; its mean leaves out pelvis and thorax but keeps the upper neck (F13).
    groups=(
        ("head", (9,)),
        ("shoulder", (12, 13)),
        ("elbow", (11, 14)),
        ("wrist", (10, 15)),
        ("hip", (2, 3)),
        ("knee", (1, 4)),
        ("ankle", (0, 5)),
    ),
)

LSP_14 = Skeleton(
    name="lsp-14",
    joints=(
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "neck",
        "head_top",
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)),
    limbs=(
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 4),
        (4, 5),
        (6, 7),
        (7, 8),
        (8, 12),
        (12, 9),
        (9, 10),
        (10, 11),
        (12, 13),
        (8, 2),
        (9, 3),
    ),
    groups=(
        ("head", (12, 13)),
        ("shoulder", (8, 9)),
        ("elbow", (7, 10)),
        ("wrist", (6, 11)),
        ("hip", (2, 3)),
        ("knee", (1, 4)),
        ("ankle", (0, 5)),
    ),
)

FLIC_10 = Skeleton(
    name="flic-10",
    joints=(
        "nose",
        "neck",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "right_hip",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "left_hip",
    ),
    flip_pairs=((2, 6), (3, 7), (4, 8), (5, 9)),
    limbs=((0, 1), (1, 2), (2, 3), (3, 4), (1, 6), (6, 7), (7, 8), (2, 5), (6, 9)),
    groups=(("head", (0, 1)), ("shoulder", (2, 6)), ("elbow", (3, 7)), ("wrist", (4, 8)), ("hip", (5, 9))),
)
