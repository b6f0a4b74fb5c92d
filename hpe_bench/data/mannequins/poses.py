"""Poses: joint angles of a body, drawn from families of everyday and sport poses, within joint limits.

Angles are degrees. Rest is standing upright with limbs straight down. Body frame: x to the person's left, y up,
z forward. "Near" and "far" limbs are exchanged at random at the end, so no family knows left from right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeVar

from hpe_bench.data.mannequins.dice import Dice

# Normal ranges of motion after American Academy of Orthopaedic Surgeons, "Joint Motion: Method of Measuring and
# Recording" (1965), as tabulated in common textbooks; adduction and the spine (sum of its parts) are our reading.
ARM_LIMITS = {"flex": (-55.0, 178.0), "abduct": (-35.0, 175.0), "rotate": (-85.0, 85.0), "elbow": (0.0, 148.0)}
LEG_LIMITS = {
    "flex": (-28.0, 122.0),
    "abduct": (-22.0, 48.0),
    "rotate": (-35.0, 45.0),
    "knee": (0.0, 138.0),
    "ankle": (-22.0, 50.0),
}
TRUNK_LIMITS = {
    "bend": (-25.0, 85.0),
    "lean": (-30.0, 30.0),
    "twist": (-40.0, 40.0),
    "nod": (-40.0, 45.0),
    "turn": (-68.0, 68.0),
    "tilt": (-30.0, 30.0),
}
JITTER_SD_DEG = 4.0

T = TypeVar("T")


@dataclass(frozen=True)
class Arm:
    """Shoulder flexion (forward), abduction (outward), inward rotation of the upper arm; elbow flexion."""

    flex: float = 0.0
    abduct: float = 8.0
    rotate: float = 20.0
    elbow: float = 12.0


@dataclass(frozen=True)
class Leg:
    """Hip flexion (forward), abduction, outward rotation; knee flexion (backward); plantar flexion of the ankle."""

    flex: float = 0.0
    abduct: float = 4.0
    rotate: float = 8.0
    knee: float = 4.0
    ankle: float = 0.0


@dataclass(frozen=True)
class Trunk:
    """Spine: bend forward, lean and twist to the left; head: nod down, turn and tilt to the left."""

    bend: float = 3.0
    lean: float = 0.0
    twist: float = 0.0
    nod: float = 5.0
    turn: float = 0.0
    tilt: float = 0.0


@dataclass(frozen=True)
class Pose:
    """A whole body. `pitch` and `roll` turn it forward and to its left about the pelvis; `lift_m` is air under it."""

    family: str
    left_arm: Arm
    right_arm: Arm
    left_leg: Leg
    right_leg: Leg
    trunk: Trunk = Trunk()
    pitch: float = 0.0
    roll: float = 0.0
    lift_m: float = 0.0
    flat_feet: bool = True  # soles level with the ground where the ankle allows it
    seat: Literal["none", "chair"] = "none"


def twice(make: Callable[[], T]) -> tuple[T, T]:
    """Two draws: near and far side."""
    return make(), make()


def hanging(dice: Dice) -> Arm:
    return Arm(dice.normal(2, 8), dice.between(5, 18), dice.between(0, 45), dice.between(4, 40))


def gesturing(dice: Dice) -> Arm:
    """An arm that does something: on the hip, phoning, waving, pointing, crossed, carrying."""
    kind = dice.one_of(("hip", "phone", "wave", "point", "fold", "carry", "side", "hang", "back"))
    b = dice.between
    match kind:
        case "hip":
            return Arm(-25, b(38, 52), b(45, 65), b(85, 105))
        case "phone":
            return Arm(b(30, 60), b(10, 35), b(-10, 30), b(128, 145))
        case "wave":
            return Arm(b(0, 30), b(60, 100), b(-85, -60), b(70, 120))
        case "point":
            return Arm(b(60, 110), b(0, 50), b(0, 40), b(0, 25))
        case "fold":
            return Arm(b(15, 35), b(8, 20), b(50, 75), b(95, 115))
        case "carry":
            return Arm(b(10, 35), b(4, 15), b(10, 35), b(75, 105))
        case "side":
            return Arm(b(-10, 20), b(70, 110), b(-40, 40), b(0, 30))
        case "back":
            return Arm(b(-40, -20), b(10, 25), b(20, 50), b(10, 60))
        case _:
            return hanging(dice)


def looking(dice: Dice, **spine: float) -> Trunk:
    """A trunk with a freely turned head."""
    return Trunk(nod=dice.normal(5, 11), turn=dice.normal(0, 22), tilt=dice.normal(0, 6), **spine)


def standing(dice: Dice) -> Pose:
    wide = dice.between(2, 12)
    leg = Leg(abduct=wide, rotate=dice.between(0, 18), knee=dice.between(0, 8))
    other = Leg(dice.normal(3, 6), wide, dice.between(0, 20), dice.between(0, 22))
    arms = (hanging(dice), hanging(dice)) if dice.chance(0.4) else (gesturing(dice), gesturing(dice))
    return Pose("standing", *arms, leg, other, looking(dice, twist=dice.normal(0, 8), lean=dice.normal(0, 4)))


def walking(dice: Dice) -> Pose:
    step, swing = dice.between(12, 32), dice.between(8, 38)
    front = Leg(step, dice.between(0, 5), 5, dice.between(2, 25))
    back = Leg(-dice.between(8, 22), dice.between(0, 5), 5, dice.between(8, 60), 15)
    arms = Arm(-swing, 8, 10, dice.between(5, 35)), Arm(swing, 8, 25, dice.between(10, 60))
    if dice.chance(0.25):
        arms = arms[0], gesturing(dice)
    return Pose("walking", *arms, front, back, looking(dice, bend=dice.between(0, 12), twist=dice.normal(0, 8)), 3)


def running(dice: Dice) -> Pose:
    drive, push = dice.between(35, 85), dice.between(5, 25)
    front = Leg(drive, 3, 3, dice.between(50, 115), 5)
    back = Leg(-push, 3, 3, dice.between(10, 105), 30)
    elbows = dice.between(60, 115)
    arms = Arm(-dice.between(25, 52), 12, 15, elbows), Arm(dice.between(20, 65), 5, 35, elbows)
    trunk = looking(dice, bend=dice.between(3, 15), twist=dice.normal(6, 6))
    return Pose("running", *arms, front, back, trunk, dice.between(3, 14), lift_m=dice.between(0, 0.2))


def kicking(dice: Dice) -> Pose:
    kick = Leg(dice.between(30, 105), dice.between(0, 35), dice.between(-10, 30), dice.between(0, 55), 30)
    stand = Leg(dice.between(-12, 10), dice.between(0, 8), 10, dice.between(4, 25))
    arms = gesturing(dice), Arm(dice.normal(0, 25), dice.between(35, 95), 0, dice.between(10, 70))
    return Pose("kicking", *arms, kick, stand, looking(dice, bend=dice.between(-12, 20)), dice.normal(-8, 8))


def lunging(dice: Dice) -> Pose:
    front = Leg(dice.between(50, 95), dice.between(0, 15), 5, dice.between(55, 105))
    back = Leg(-dice.between(8, 28), dice.between(0, 15), 5, dice.between(5, 70), 30)
    arms = reaching_arm(dice), gesturing(dice)
    return Pose("lunging", *arms, front, back, looking(dice, bend=dice.between(0, 30), twist=dice.normal(0, 15)))


def reaching_arm(dice: Dice) -> Arm:
    return Arm(dice.between(40, 165), dice.between(-5, 45), dice.between(-30, 40), dice.between(0, 45))


def reaching(dice: Dice) -> Pose:
    legs = Leg(dice.normal(0, 10), dice.between(4, 18), 8, dice.between(0, 25)), Leg(dice.normal(0, 10), 8, 8, 8)
    arms = reaching_arm(dice), (reaching_arm(dice) if dice.chance(0.4) else gesturing(dice))
    trunk = looking(dice, bend=dice.between(-10, 35), lean=dice.normal(0, 12), twist=dice.normal(0, 15))
    return Pose("reaching", *arms, *legs, trunk)


def throwing(dice: Dice) -> Pose:
    arms = (
        Arm(dice.between(-10, 40), dice.between(75, 120), -dice.between(40, 85), dice.between(40, 115)),
        Arm(dice.between(40, 100), dice.between(10, 60), 10, dice.between(0, 50)),
    )
    legs = Leg(-dice.between(0, 20), 12, 12, dice.between(5, 40), 15), Leg(dice.between(10, 45), 14, 10, 20)
    trunk = looking(dice, bend=dice.normal(-2, 10), twist=dice.normal(15, 12), lean=dice.normal(0, 8))
    return Pose("throwing", *arms, *legs, trunk)


def jumping(dice: Dice) -> Pose:
    if dice.chance(0.5):  # star jump
        wide = dice.between(18, 45)
        leg, other = Leg(5, wide, 10, dice.between(0, 30), 30), Leg(5, wide, 10, dice.between(0, 30), 30)
        arms = twice(lambda: Arm(dice.between(0, 30), dice.between(80, 155), 0, dice.between(0, 35)))
    else:
        leg = Leg(dice.between(0, 70), 6, 5, dice.between(20, 110), 35)
        other = Leg(dice.between(-15, 40), 6, 5, dice.between(10, 110), 35)
        arms = reaching_arm(dice), gesturing(dice)
    trunk = looking(dice, bend=dice.normal(0, 12))
    lift = dice.between(0.1, 0.5)
    return Pose("jumping", *arms, leg, other, trunk, dice.normal(0, 8), lift_m=lift, flat_feet=False)


def arms_up(dice: Dice) -> Pose:
    spread, bent = dice.between(-5, 50), dice.between(0, 75)
    arms = twice(lambda: Arm(dice.between(135, 176), spread + dice.normal(0, 6), dice.between(-20, 30), bent))
    legs = Leg(abduct=dice.between(2, 18)), Leg(dice.normal(5, 8), dice.between(2, 18), 8, dice.between(0, 20))
    return Pose("arms up", *arms, *legs, looking(dice, bend=dice.normal(-4, 6), lean=dice.normal(0, 8)))


def bending(dice: Dice) -> Pose:
    hips, knees = dice.between(25, 75), dice.between(5, 55)
    leg, other = Leg(hips, 7, 8, knees), Leg(hips + dice.normal(0, 6), 9, 8, knees + dice.normal(0, 8))
    arms = twice(lambda: Arm(dice.between(55, 110), dice.between(0, 20), 10, dice.between(0, 40)))
    trunk = looking(dice, bend=dice.between(15, 60), twist=dice.normal(0, 12))
    return Pose("bending", *arms, leg, other, trunk, pitch=hips - knees * 0.45)


def in_the_lap(dice: Dice) -> Arm:
    return Arm(dice.between(5, 50), dice.between(4, 20), dice.between(10, 55), dice.between(35, 100))


def sitting(dice: Dice) -> Pose:
    hips, wide = dice.between(78, 98), dice.between(3, 20)
    leg = Leg(hips, wide, dice.between(-5, 15), dice.between(60, 105))
    other = Leg(hips + dice.normal(0, 4), wide, dice.between(-5, 15), dice.between(55, 110))
    arms = twice(lambda: in_the_lap(dice) if dice.chance(0.7) else gesturing(dice))
    trunk = looking(dice, bend=dice.between(-5, 30), twist=dice.normal(0, 10), lean=dice.normal(0, 5))
    return Pose("sitting", *arms, leg, other, trunk, pitch=dice.normal(-4, 5), seat="chair")


def crouching(dice: Dice) -> Pose:
    hips, knees = dice.between(85, 118), dice.between(95, 135)
    leg, other = Leg(hips, 14, 18, knees), Leg(hips - dice.between(0, 45), 10, 12, knees)
    arms = twice(lambda: Arm(dice.between(35, 90), dice.between(0, 20), 25, dice.between(10, 90)))
    return Pose("crouching", *arms, leg, other, looking(dice, bend=dice.between(10, 40)), dice.between(15, 35))


def on_the_ground(dice: Dice) -> Pose:
    """Sitting on the ground, legs out or drawn up."""
    hips, knees = dice.between(75, 115), dice.between(5, 115)
    leg = Leg(hips, dice.between(2, 25), 10, knees)
    other = Leg(hips, dice.between(2, 25), 10, min(max(knees + dice.normal(0, 20), 0), 120))
    arms = twice(lambda: Arm(dice.between(-40, 50), 18, 10, dice.between(5, 70)))
    return Pose("on the ground", *arms, leg, other, looking(dice, bend=dice.between(0, 35)), -8, flat_feet=False)


def lying(dice: Dice) -> Pose:
    leg, other = Leg(dice.between(-5, 60), 8, 8, dice.between(0, 90)), Leg(dice.between(-5, 25), 8, 8, 20)
    arms = twice(lambda: Arm(dice.between(0, 170), dice.between(5, 70), 10, dice.between(0, 90)))
    pitch = dice.one_of((-85.0, 85.0)) + dice.normal(0, 8)
    return Pose("lying", *arms, leg, other, looking(dice), pitch, dice.normal(0, 25), flat_feet=False)


def inverted(dice: Dice) -> Pose:
    """Handstand or cartwheel."""
    legs = twice(lambda: Leg(dice.between(-20, 50), dice.between(0, 45), 5, dice.between(0, 50), 30))
    arms = twice(lambda: Arm(dice.between(150, 176), dice.between(0, 30), 0, dice.between(0, 15)))
    roll = dice.between(110, 200)
    return Pose("inverted", *arms, *legs, looking(dice, bend=-5), dice.normal(0, 10), roll, flat_feet=False)


def free(dice: Dice) -> Pose:
    """Anything within moderate limits."""
    b = dice.between
    arms = twice(lambda: Arm(b(-40, 150), b(0, 110), b(-60, 60), b(0, 130)))
    legs = twice(lambda: Leg(b(-20, 80), b(0, 35), b(-10, 30), b(0, 100)))
    trunk = looking(dice, bend=b(-15, 40), lean=b(-20, 20), twist=b(-30, 30))
    return Pose("free", *arms, *legs, trunk, dice.normal(0, 10), dice.normal(0, 8))


FAMILIES: tuple[tuple[Callable[[Dice], Pose], float], ...] = (
    (standing, 0.28),
    (walking, 0.14),
    (running, 0.10),
    (sitting, 0.10),
    (reaching, 0.07),
    (jumping, 0.06),
    (kicking, 0.05),
    (lunging, 0.05),
    (throwing, 0.05),
    (arms_up, 0.05),
    (bending, 0.05),
    (crouching, 0.04),
    (free, 0.04),
    (on_the_ground, 0.02),
    (lying, 0.02),
    (inverted, 0.015),
)


def draw(dice: Dice) -> Pose:
    """A pose of a family, jittered, mirrored at random, within the joint limits."""
    pose = dice.weighted(FAMILIES)(dice)
    if dice.chance(0.5):
        pose = mirrored(pose)
    return replace(
        pose,
        left_arm=limited(pose.left_arm, ARM_LIMITS, dice),
        right_arm=limited(pose.right_arm, ARM_LIMITS, dice),
        left_leg=limited(pose.left_leg, LEG_LIMITS, dice),
        right_leg=limited(pose.right_leg, LEG_LIMITS, dice),
        trunk=limited(pose.trunk, TRUNK_LIMITS, dice),
    )


def mirrored(pose: Pose) -> Pose:
    """The pose seen in a mirror."""
    trunk = replace(pose.trunk, **{name: -getattr(pose.trunk, name) for name in ("lean", "twist", "turn", "tilt")})
    return replace(
        pose,
        left_arm=pose.right_arm,
        right_arm=pose.left_arm,
        left_leg=pose.right_leg,
        right_leg=pose.left_leg,
        trunk=trunk,
        roll=-pose.roll,
    )


Part = TypeVar("Part", Arm, Leg, Trunk)


def limited(part: Part, limits: dict[str, tuple[float, float]], dice: Dice) -> Part:
    """The part with a little noise on every angle, cut at the joint limits."""
    angles = {}
    for f in fields(part):
        low, high = limits[f.name]
        angles[f.name] = min(max(dice.normal(getattr(part, f.name), JITTER_SD_DEG), low), high)
    return replace(part, **angles)
