"""Skeletons with feet, faces and hands: COCO-WholeBody's 133 joints and Halpe's 136; and AI Challenger's 14.

Joint names, mirror images, limbs and sigmas as released with the data sets (Jin et al., "Whole-Body Human Pose
Estimation in the Wild", ECCV 2020; Li et al., "PaStaNet", CVPR 2020; Wu et al., "AI Challenger", 2017), collected by
MMPose's data set configurations. Faces have the 68 points of 300W, hands 21: a root, and five fingers of four joints.
"""

from __future__ import annotations

from hpe_bench.data.skeletons import COCO_17, Skeleton

Pairs = tuple[tuple[int, int], ...]
FACE, HAND = 68, 21  # joints
FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
HEAD_AND_LIMBS: Pairs = (*COCO_17.limbs, (1, 2), (3, 5), (4, 6))  # to draw
# fmt: off
FACE_FLIPS: Pairs = (
    (0, 16), (1, 15), (2, 14), (3, 13), (4, 12), (5, 11), (6, 10), (7, 9), (17, 26), (18, 25), (19, 24), (20, 23),
    (21, 22), (31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46), (48, 54), (49, 53),
    (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67),
)
WHOLE_BODY_SIGMAS = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
    0.089, 0.068, 0.066, 0.066, 0.092, 0.094, 0.094, 0.042, 0.043, 0.044, 0.043, 0.04, 0.035, 0.031, 0.025, 0.02,
    0.023, 0.029, 0.032, 0.037, 0.038, 0.043, 0.041, 0.045, 0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011,
    0.013, 0.015, 0.009, 0.007, 0.007, 0.007, 0.012, 0.009, 0.008, 0.016, 0.01, 0.017, 0.011, 0.009, 0.011, 0.009,
    0.007, 0.013, 0.008, 0.011, 0.012, 0.01, 0.034, 0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.01, 0.008, 0.009,
    0.009, 0.009, 0.007, 0.007, 0.008, 0.011, 0.008, 0.008, 0.008, 0.01, 0.008, 0.029, 0.022, 0.035, 0.037, 0.047,
    0.026, 0.025, 0.024, 0.035, 0.018, 0.024, 0.022, 0.026, 0.017, 0.021, 0.021, 0.032, 0.02, 0.019, 0.022, 0.031,
    0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024, 0.022, 0.026, 0.017, 0.021, 0.021,
    0.032, 0.02, 0.019, 0.022, 0.031,
)
HALPE_SIGMAS = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
    0.089, 0.08, 0.08, 0.08, 0.089, 0.089, 0.089, 0.089, 0.089, 0.089, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015,
    0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015,
    0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015,
    0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015,
    0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015,
    0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015,
    0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015,
    0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015, 0.015,
)
# fmt: on


def _face() -> tuple[str, ...]:
    return tuple(f"face-{k}" for k in range(FACE))


def _hand(side: str) -> tuple[str, ...]:
    return (f"{side}_hand_root", *(f"{side}_{finger}{k}" for finger in FINGERS for k in range(1, 5)))


def _shifted(pairs: Pairs, by: int) -> Pairs:
    return tuple((a + by, b + by) for a, b in pairs)


def _hands_flip(left: int) -> Pairs:
    return tuple((left + k, left + HAND + k) for k in range(HAND))


def _fingers(root: int, left: int) -> Pairs:
    """Limbs of a hand whose root joint is `left`, its fingers hanging on joint `root`."""
    starts = [left + 1 + 4 * f for f in range(len(FINGERS))]
    return tuple(limb for s in starts for limb in ((root, s), (s, s + 1), (s + 1, s + 2), (s + 2, s + 3)))


def _whole(name: str, between: tuple[str, ...], feet: Pairs, limbs: Pairs, sigmas: tuple[float, ...]) -> Skeleton:
    """COCO's joints, those of feet and trunk between, a face and two hands."""
    face = len(COCO_17.joints) + len(between)
    left = face + FACE
    foot = tuple(k for k, joint in enumerate(between, len(COCO_17.joints)) if "toe" in joint or "heel" in joint)
    trunk = tuple(k for k in range(face) if k not in foot)
    return Skeleton(
        name=name,
        joints=(*COCO_17.joints, *between, *_face(), *_hand("left"), *_hand("right")),
        flip_pairs=(*COCO_17.flip_pairs, *feet, *_shifted(FACE_FLIPS, face), *_hands_flip(left)),
        limbs=limbs,
        groups=(
            ("body", trunk),
            ("foot", foot),
            ("face", tuple(range(face, left))),
            ("left_hand", tuple(range(left, left + HAND))),
            ("right_hand", tuple(range(left + HAND, left + 2 * HAND))),
        ),
        sigmas=sigmas,
    )


WHOLE_BODY_133 = _whole(
    "coco-wholebody-133",
    (
        *("left_big_toe", "left_small_toe", "left_heel"),
        *("right_big_toe", "right_small_toe", "right_heel"),
    ),
    ((17, 20), (18, 21), (19, 22)),
    (
        *HEAD_AND_LIMBS,
        *((15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22)),
        *_fingers(91, 91),
        *_fingers(112, 112),
    ),
    WHOLE_BODY_SIGMAS,
)

HALPE_136 = _whole(
    "halpe-136",
    (
        *("head", "neck", "hip"),
        *("left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe", "left_heel", "right_heel"),
    ),
    ((20, 21), (22, 23), (24, 25)),
    (
        *HEAD_AND_LIMBS,
        *((17, 18), (18, 19), (18, 5), (18, 6), (11, 19), (12, 19)),
        *((15, 20), (15, 22), (15, 24), (16, 21), (16, 23), (16, 25)),
        *_fingers(9, 94),
        *_fingers(10, 115),
    ),
    HALPE_SIGMAS,
)

AIC_14 = Skeleton(
    name="aic-14",
    joints=(
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "head_top",
        "neck",
    ),
    flip_pairs=((0, 3), (1, 4), (2, 5), (6, 9), (7, 10), (8, 11)),
    limbs=(
        (2, 1),
        (1, 0),
        (0, 13),
        (13, 3),
        (3, 4),
        (4, 5),
        (8, 7),
        (7, 6),
        (6, 9),
        (9, 10),
        (10, 11),
        (12, 13),
        (0, 6),
        (3, 9),
    ),
    groups=(
        ("head", (12, 13)),
        ("shoulder", (0, 3)),
        ("elbow", (1, 4)),
        ("wrist", (2, 5)),
        ("hip", (6, 9)),
        ("knee", (7, 10)),
        ("ankle", (8, 11)),
    ),
    sigmas=(
        0.01388152,
        0.01515228,
        0.01057665,
        0.01417709,
        0.01497891,
        0.01402144,
        0.03909642,
        0.03686941,
        0.01981803,
        0.03843971,
        0.03412318,
        0.02415081,
        0.01291456,
        0.01236173,
    ),
)
