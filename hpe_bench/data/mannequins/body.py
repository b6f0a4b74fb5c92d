"""Bodies: anthropometric segment lengths and forward kinematics.

Body frame: x to the person's left, y up, z forward, metres, the pelvis (middle of the hips) at the origin. That is
right-handed, so the left shoulder of a person who faces the viewer lies to the right in the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpe_bench.data.mannequins.dice import Dice
from hpe_bench.data.mannequins.poses import Arm, Leg, Pose
from hpe_bench.data.mannequins.rotation import about_x, about_y, about_z

# Segment lengths as fractions of stature: R. Drillis and R. Contini, "Body Segment Parameters" (1966), as drawn in
# D. A. Winter, "Biomechanics and Motor Control of Human Movement", fig. 4.1. Landmark heights there: ankle 0.039,
# knee 0.285, hip 0.530, shoulder 0.818, chin 0.870, eye 0.936, top of the head 1.
FRACTIONS: dict[str, float] = {
    "upper_arm": 0.186,
    "forearm": 0.146,
    "hand": 0.108,
    "thigh": 0.245,
    "shank": 0.246,
    "ankle_height": 0.039,
    "foot": 0.152,
    "trunk": 0.288,  # hip to shoulder height
    "neck": 0.052,  # shoulder height to chin height
    "head": 0.130,  # chin height to top
    # Winter draws outer breadths (half shoulders 0.129, half hips 0.0955); joint centres lie further in: our reading.
    "half_shoulders": 0.108,
    "half_hips": 0.054,
}
LENGTH_SD = 0.03  # of every fraction, independently, cut at two standard deviations

SEXES: dict[str, dict[str, float]] = {  # our reading of adult averages
    "male": {"stature_mean_m": 1.76, "stature_sd_m": 0.07, "half_shoulders": 1.05, "half_hips": 0.96, "waist": 1.0},
    "female": {"stature_mean_m": 1.63, "stature_sd_m": 0.065, "half_shoulders": 0.95, "half_hips": 1.05, "waist": 0.88},
}

SKULL = (0.046, 0.065, 0.055)  # half axes of the head ellipsoid (left, up, forward) as fractions of stature
# Directions of facial landmarks on the unit head: x left, y up, z forward.
NOSE, EYE, EAR = (0.0, -0.11, 1.04), (0.36, 0.10, 0.86), (0.97, -0.02, -0.06)

JOINTS = (
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
    "pelvis",
    "thorax",
    "upper_neck",
    "head_top",
)
"""Every joint the truth is kept for: COCO's 17, then the four that only MPII has."""


@dataclass(frozen=True)
class Build:
    """A person's proportions: stature in metres, segment lengths in metres, girth factors around one."""

    sex: str
    stature_m: float
    lengths_m: dict[str, float]
    girth: float
    waist: float


@dataclass(frozen=True)
class Figure:
    """A posed body: named points [3] in metres and named frames [3,3] whose columns are left, up and forward."""

    build: Build
    points: dict[str, np.ndarray]
    frames: dict[str, np.ndarray]

    def moved(self, rotation: np.ndarray, shift: np.ndarray) -> Figure:
        """The figure in another coordinate system: x -> rotation @ x + shift."""
        points = {name: rotation @ p + shift for name, p in self.points.items()}
        return Figure(self.build, points, {name: rotation @ f for name, f in self.frames.items()})


def draw(dice: Dice) -> Build:
    """A person of either sex, slim to stout."""
    sex = dice.one_of(("male", "female"))
    of = SEXES[sex]
    stature = dice.normal(of["stature_mean_m"], of["stature_sd_m"])
    lengths = {
        name: stature * fraction * of.get(name, 1.0) * dice.normal(1.0, LENGTH_SD)
        for name, fraction in FRACTIONS.items()
    }
    girth = dice.between(0.86, 1.2) * (1.0 if sex == "male" else 0.94)
    return Build(sex, stature, lengths, girth, of["waist"] * dice.between(0.92, 1.12))


def posed(build: Build, pose: Pose) -> Figure:
    """Forward kinematics from the pelvis outwards."""
    points: dict[str, np.ndarray] = {"pelvis": np.zeros(3)}
    frames: dict[str, np.ndarray] = {"pelvis": about_z(-pose.roll) @ about_x(pose.pitch)}
    _spine(build, pose, points, frames)
    for side, sign, arm, leg in (
        ("left", 1.0, pose.left_arm, pose.left_leg),
        ("right", -1.0, pose.right_arm, pose.right_leg),
    ):
        _arm(build, arm, side, sign, points, frames)
        _leg(build, pose, leg, side, sign, points, frames)
    return Figure(build, points, frames)


def _spine(build: Build, pose: Pose, points: dict[str, np.ndarray], frames: dict[str, np.ndarray]) -> None:
    """Two bends in the spine, one at each end of the neck."""
    trunk, length = pose.trunk, build.lengths_m["trunk"]
    half = about_y(trunk.twist / 2) @ about_z(-trunk.lean / 2) @ about_x(trunk.bend / 2)
    neck = about_y(trunk.turn / 2) @ about_z(-trunk.tilt / 2) @ about_x(trunk.nod / 2)
    frames["waist"] = frames["pelvis"] @ half
    frames["chest"] = frames["waist"] @ half
    frames["neck"] = frames["chest"] @ neck
    frames["head"] = frames["neck"] @ neck
    points["lumbar"] = points["pelvis"] + frames["pelvis"] @ (0.0, 0.20 * length, 0.0)
    points["waist"] = points["lumbar"] + frames["waist"] @ (0.0, 0.30 * length, 0.0)
    points["thorax"] = points["waist"] + frames["chest"] @ (0.0, 0.50 * length, 0.0)
    points["upper_neck"] = points["thorax"] + frames["neck"] @ (
        0.0,
        build.lengths_m["neck"],
        0.15 * build.lengths_m["neck"],
    )
    up = build.lengths_m["head"]
    points["head_centre"] = points["upper_neck"] + frames["head"] @ (0.0, 0.5 * up, 0.06 * up)
    points["head_top"] = points["upper_neck"] + frames["head"] @ (0.0, 0.98 * up, 0.06 * up)
    axes = skull_axes_m(build)
    for name, direction in (("nose", NOSE), ("left_eye", EYE), ("left_ear", EAR)):
        points[name] = points["head_centre"] + frames["head"] @ (axes * direction)
        mirror = axes * direction * (-1.0, 1.0, 1.0)
        points[name.replace("left", "right")] = points["head_centre"] + frames["head"] @ mirror


def skull_axes_m(build: Build) -> np.ndarray:
    """Half axes [3] of the head ellipsoid: left, up, forward."""
    return build.lengths_m["head"] / FRACTIONS["head"] * np.array(SKULL)


def _arm(
    build: Build, arm: Arm, side: str, sign: float, points: dict[str, np.ndarray], frames: dict[str, np.ndarray]
) -> None:
    chest, lengths = frames["chest"], build.lengths_m
    drop = 0.014 * build.stature_m  # the joint's centre lies below the shoulder's height
    # A raised arm takes the shoulder girdle along: about a third of elevation comes from the scapula.
    raised = 0.024 * build.stature_m * min(max(arm.flex, arm.abduct, 0.0) / 150.0, 1.0)
    points[f"{side}_shoulder"] = points["thorax"] + chest @ (
        sign * (lengths["half_shoulders"] - 0.3 * raised),
        raised - drop,
        0.0,
    )
    upper = chest @ about_x(-arm.flex) @ about_z(sign * arm.abduct) @ about_y(-sign * arm.rotate)
    fore = upper @ about_x(-arm.elbow)
    points[f"{side}_elbow"] = points[f"{side}_shoulder"] - lengths["upper_arm"] * upper[:, 1]
    points[f"{side}_wrist"] = points[f"{side}_elbow"] - lengths["forearm"] * fore[:, 1]
    points[f"{side}_fingers"] = points[f"{side}_wrist"] - lengths["hand"] * fore[:, 1]
    frames[f"{side}_upper_arm"], frames[f"{side}_forearm"] = upper, fore


def _leg(
    build: Build,
    pose: Pose,
    leg: Leg,
    side: str,
    sign: float,
    points: dict[str, np.ndarray],
    frames: dict[str, np.ndarray],
) -> None:
    pelvis, lengths = frames["pelvis"], build.lengths_m
    points[f"{side}_hip"] = points["pelvis"] + sign * lengths["half_hips"] * pelvis[:, 0]
    thigh = pelvis @ about_x(-leg.flex) @ about_z(sign * leg.abduct) @ about_y(sign * leg.rotate)
    shank = thigh @ about_x(leg.knee)
    points[f"{side}_knee"] = points[f"{side}_hip"] - lengths["thigh"] * thigh[:, 1]
    points[f"{side}_ankle"] = points[f"{side}_knee"] - lengths["shank"] * shank[:, 1]
    level = leg.flex - leg.knee - pose.pitch if pose.flat_feet else leg.ankle
    foot = shank @ about_x(min(max(level, -25.0), 50.0))
    points[f"{side}_heel"] = points[f"{side}_ankle"] + foot @ (
        0.0,
        -0.6 * lengths["ankle_height"],
        -0.16 * lengths["foot"],
    )
    points[f"{side}_toe"] = points[f"{side}_heel"] + foot @ (
        0.0,
        -0.12 * lengths["ankle_height"],
        0.82 * lengths["foot"],
    )
    frames[f"{side}_thigh"], frames[f"{side}_shank"], frames[f"{side}_foot"] = thigh, shank, foot
