"""One scene: people placed before a camera, drawn, and the truth about them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked

from hpe_bench.data.mannequins import body, poses, raycast, shading, surroundings, wardrobe
from hpe_bench.data.mannequins.body import JOINTS, Figure
from hpe_bench.data.mannequins.dice import Dice, streams
from hpe_bench.data.mannequins.raycast import Buffer, Camera, Solids
from hpe_bench.data.mannequins.rotation import about_y, about_z

SCENE_HW = (224, 288)
SPLITS = ("train", "test")
MAX_PEOPLE = 5

VISIBLE, SELF_OCCLUDED, OCCLUDED, OUT_OF_FRAME = 0, 1, 2, 3
"""States of a joint: seen; behind the person's own body; behind another person or an object; not in the image."""

# How far behind the first surface of the own body a joint may lie and still count as seen, as a fraction of stature:
# a little more than the flesh over that joint in the direction where it is thickest.
FLESH = {
    "nose": 0.02, "eye": 0.02, "ear": 0.03, "shoulder": 0.055, "elbow": 0.045, "wrist": 0.035, "hip": 0.085,
    "knee": 0.055, "ankle": 0.045, "pelvis": 0.11, "thorax": 0.07, "upper_neck": 0.075, "head_top": 0.075,
}  # fmt: skip
FLESH_J = np.array([FLESH[name.removeprefix("left_").removeprefix("right_")] for name in JOINTS])

MIN_JOINTS_IN_FRAME = 6  # of COCO's 17
MIN_VISIBLE_PX = 300
MIN_VISIBLE_SHARE = 0.2


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class Dials:
    """What controlled studies turn.

    `occlusion` 0 (no objects before people) to 1 (on average nearly two per person); `crowding` 0 (one person a
    scene) to 1 (nearly three on average, overlapping); `stature_px` the range of what an upright person would measure
    in pixels from sole to crown, drawn log-uniformly, within 30 to 400.
    """

    occlusion: Annotated[float, Field(ge=0, le=1)] = 0.3
    crowding: Annotated[float, Field(ge=0, le=1)] = 0.5
    stature_px: tuple[float, float] = (95.0, 200.0)

    def __post_init__(self) -> None:
        low, high = self.stature_px
        if not 30 <= low <= high <= 400:
            raise ValueError(f"stature_px {self.stature_px}: give (low, high) with 30 <= low <= high <= 400 pixels")


@dataclass(frozen=True)
class Scene:
    """A picture and all that is known about it. P people, J = 21 joints in the order of `body.JOINTS`.

    `joints_px` [P,J,2] and `joints_m` [P,J,3] (camera frame), `state` [P,J], `head_px` [P] MPII head size, `box`
    [P,4] round the silhouette within the image (x, y, width, height), `area_px` [P] of that silhouette as if nothing
    stood before it, `seen_px` [P] of the part that is really seen, `annotated` [P], `family` pose family of each.
    `owner` [h,w]: -1 backdrop, p person p, P and above an object. `depth` [h,w] in metres, infinite at the backdrop.
    """

    image: np.ndarray
    camera: Camera
    joints_px: np.ndarray
    joints_m: np.ndarray
    state: np.ndarray
    head_px: np.ndarray
    box: np.ndarray
    area_px: np.ndarray
    seen_px: np.ndarray
    annotated: np.ndarray
    family: tuple[str, ...]
    owner: np.ndarray
    depth: np.ndarray
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Cast:
    """A person ready to be drawn, in the camera frame."""

    figure: Figure
    family: str
    flesh: wardrobe.Flesh
    face: shading.Face
    foot: np.ndarray  # ground point below the pelvis


def render(index: int, *, split: str = "train", seed: int = 0, version: int = 1, dials: Dials = Dials()) -> Scene:
    """Scene `index` of a split, whole: the image that `Mannequins` stores at that index, and its truth."""
    if split not in SPLITS:
        raise ValueError(f"mannequins have no split {split!r}; choose one of {', '.join(SPLITS)}")
    if index < 0 or seed < 0 or version != 1:
        raise ValueError(f"index {index}, seed {seed}, version {version}: index and seed count from 0, version is 1")
    dice = streams(version, seed, SPLITS.index(split), index)
    camera, eye_m, depths, columns = _layout(dice["layout"], dials)
    things = surroundings.Things()
    cast = _cast(dice["people"], camera, eye_m, depths, columns, things)
    _obstruct(dice["occluders"], cast, camera, things, dials)
    for _ in range(int(dice["surroundings"].between(0, 4))):
        place = cast[0].foot - camera.rotation @ _ground_offset(dice["surroundings"])
        surroundings.distract(dice["surroundings"], things, place, camera.rotation)
    return _picture(dice, camera, eye_m, cast, things)


def _ground_offset(dice: Dice) -> np.ndarray:
    """Somewhere behind or beside the first person: right, up, back in metres."""
    return np.array((dice.normal(0, 1.2), 0.0, dice.between(0.5, 3.5)))


def _layout(dice: Dice, dials: Dials) -> tuple[Camera, float, list[float], list[float]]:
    """Camera, its height, and for every person the depth in metres and the image column."""
    height, width = SCENE_HW
    low, high = (math.log(v) for v in dials.stature_px)
    tall = math.exp(dice.between(low, high))
    focal = dice.between(260, 520)
    pitch = math.radians(dice.weighted(((dice.between(-6, 10), 0.6), (dice.between(8, 24), 0.4))))
    depth = focal * 1.7 / tall
    eye = min(max(0.95 + depth * math.tan(pitch) + dice.normal(0, 0.15), 0.25), 6.0)
    sin, cos = math.sin(pitch), math.cos(pitch)
    look = np.array(((1.0, 0.0, 0.0), (0.0, -cos, sin), (0.0, -sin, -cos)))
    spare = max(height - tall, 0.0)
    middle = height / 2 + dice.between(-0.5, 0.5) * spare + dice.normal(0, 0.06 * tall)
    column = width * dice.between(0.25, 0.75)
    camera = Camera(focal, (width / 2 + dice.normal(0, 20), middle), SCENE_HW, about_z(dice.normal(0, 2.5)) @ look)
    depths, columns = [depth], [column]
    for _ in range(MAX_PEOPLE - 1):
        size = math.exp(dice.between(low, high))
        apart = size * dice.between(0.55 - 0.4 * dials.crowding, 1.1 - 0.6 * dials.crowding)
        beside, side = dice.one_of(columns), dice.one_of((1.0, -1.0))
        columns_px = [c for c in (beside + side * apart, beside - side * apart) if 0.07 < c / width < 0.93]
        if dice.chance(0.6 * dials.crowding) and columns_px:
            depths.append(focal * 1.7 / size)
            columns.append(columns_px[0])
    return camera, eye, depths, columns


def _cast(
    dice: Dice, camera: Camera, eye_m: float, depths: list[float], columns: list[float], things: surroundings.Things
) -> list[Cast]:
    """The people; one who would stand inside another stays away."""
    cast: list[Cast] = []
    for depth, column in zip(depths, columns, strict=True):
        own = dice.child()
        place = _ground_point(camera, eye_m, depth, column)
        if all(np.linalg.norm(place - other.foot) > 0.65 for other in cast):
            cast.append(_person(own, camera, place, things))
    return cast


def _ground_point(camera: Camera, eye_m: float, depth_m: float, column: float) -> np.ndarray:
    """The point of the ground whose vertical, a metre up, meets the given depth and image column."""
    aside = (column - camera.centre_xy[0]) / camera.focal_px * depth_m
    right, up, back = camera.rotation.T
    waist = 0.95 - eye_m
    ahead = (depth_m - waist * up[2] - aside * right[2]) / -back[2]
    return aside * right - eye_m * up - ahead * back


def _person(dice: Dice, camera: Camera, foot: np.ndarray, things: surroundings.Things) -> Cast:
    build, pose = body.draw(dice), poses.draw(dice)
    yaw = dice.normal(0, 40) if dice.chance(0.4) else dice.between(-180, 180)
    upright = camera.rotation @ about_y(yaw)
    figure = body.posed(build, pose)
    lowest = _lowest_m(figure)
    pelvis_m = -lowest + pose.lift_m
    outfit = wardrobe.draw(dice, pose.family, build.sex)
    placed = figure.moved(upright, foot + pelvis_m * upright[:, 1])
    if pose.seat == "chair":
        seat_m = pelvis_m - 0.062 * build.stature_m * build.girth
        surroundings.chair(dice, things, foot + seat_m * upright[:, 1], upright, seat_m)
    flesh, face = wardrobe.dress(placed, outfit)
    return Cast(placed, pose.family, flesh, face, foot)


def _lowest_m(figure: Figure) -> float:
    """Height over the pelvis (negative) of the lowest flesh: soles, or hands, knees, trunk in other poses."""
    h = figure.build.stature_m
    thick = {"heel": 0.022, "toe": 0.019, "knee": 0.034, "hip": 0.06, "elbow": 0.024, "fingers": 0.0, "wrist": 0.016}
    depths = [figure.points[f"{side}_{n}"][1] - r * h for n, r in thick.items() for side in ("left", "right")]
    return min(*depths, figure.points["pelvis"][1] - 0.055 * h, figure.points["thorax"][1] - 0.06 * h,
               figure.points["head_centre"][1] - 0.058 * h)  # fmt: skip


def _obstruct(dice: Dice, cast: list[Cast], camera: Camera, things: surroundings.Things, dials: Dials) -> None:
    for person in cast:
        for _ in range(3):
            wanted = dice.chance(0.6 * dials.occlusion)
            own = dice.child()
            if wanted:
                gap = min(own.between(0.45, 0.9), 0.4 * float(person.foot[2]))
                surroundings.occlude(own, things, person.foot, camera.rotation, person.figure.build.stature_m, gap)


# ---------------------------------------------------------------------------------------------------- drawing


def _picture(
    dice: dict[str, Dice], camera: Camera, eye_m: float, cast: list[Cast], things: surroundings.Things
) -> Scene:
    groups = [person.flesh for person in cast] + ([things.flesh] if things.flesh.rows else [])
    offsets = np.cumsum([0] + [len(flesh.rows) for flesh in groups]).tolist()
    buffers = [raycast.draw(flesh.solids(), camera, offset) for flesh, offset in zip(groups, offsets, strict=False)]
    height, width = camera.size_hw
    whole = Buffer.empty((0, 0, width, height))
    owner = np.full(SCENE_HW, -1, np.int8)
    for buffer in buffers:
        whole.add(buffer.window, buffer.depth, buffer.index)
    for i, box in enumerate(things.boxes):
        window = box.window(camera)
        if window[2] > window[0] and window[3] > window[1]:
            whole.add(window, box.depth(window, camera), offsets[-1] + i)
    owners = np.repeat(np.arange(len(groups)), np.diff(offsets)).tolist() + [len(cast)] * len(things.boxes)
    owner = np.array([*owners, -1], np.int8)[whole.index]
    image = _paint(dice, camera, eye_m, cast, things, groups, offsets, whole)
    return _truth(image, camera, cast, buffers, owner, whole.depth)


def _paint(
    dice: dict[str, Dice],
    camera: Camera,
    eye_m: float,
    cast: list[Cast],
    things: surroundings.Things,
    groups: list[wardrobe.Flesh],
    offsets: list[int],
    whole: Buffer,
) -> np.ndarray:
    """The photograph: backdrop, then every hit pixel shaded once."""
    lamp = surroundings.light(dice["surroundings"], camera)
    right, _, back = camera.rotation.T
    stands = np.array([(person.foot @ right, -(person.foot @ back)) for person in cast])
    depth = max(float(person.foot[2]) for person in cast)
    image = surroundings.backdrop(dice["surroundings"], camera, eye_m, stands, depth, lamp)
    hit = np.flatnonzero(whole.index >= 0)
    index, depth_N = whole.index.ravel()[hit].astype(np.int64), whole.depth.ravel()[hit]
    x, y = camera.rays()
    rows, columns = np.divmod(hit, camera.size_hw[1])
    points = np.stack((x[columns] * depth_N, y[rows] * depth_N, depth_N), 1)
    colour, normal, gloss = _looks(cast, things, groups, offsets, points, index)
    image.reshape(-1, 3)[hit] = shading.lit(colour, normal, gloss, lamp)
    return surroundings.photograph(dice["lens"], image)


def _looks(
    cast: list[Cast],
    things: surroundings.Things,
    groups: list[wardrobe.Flesh],
    offsets: list[int],
    points: np.ndarray,
    index: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour [N,3], normal [N,3] and gloss [N] of every hit pixel."""
    colour, normal = np.zeros_like(points), np.zeros_like(points)
    gloss = np.zeros(len(points), np.float32)
    palette: list[shading.Material] = []
    assigned: list[tuple[int, int, float]] = []
    for flesh in groups:
        assigned += [(a + len(palette), b + len(palette), until) for a, b, until in flesh.materials]
        palette += flesh.palette
    materials = np.array([material.row() for material in palette], np.float32)
    assigned_P3 = np.array(assigned, np.float32)
    round_ = np.flatnonzero(index < offsets[-1])
    solids = _joined([flesh.solids() for flesh in groups])
    across = np.concatenate([flesh.across() for flesh in groups])
    found = shading.surface(solids, points[round_], index[round_])
    normal[round_] = found.normal
    mine = np.take(assigned_P3, found.index, axis=0)
    which = np.where(found.s < mine[:, 2], mine[:, 0], mine[:, 1]).astype(np.int64)
    pick = shading.patterned(materials, which)
    around = shading.around_m(solids, across, found, pick)
    colour[round_] = shading.albedo(materials, which, pick, found.along_m[pick], around)
    gloss[round_] = materials[which, 10]
    for person, offset in zip(cast, offsets, strict=False):
        head = np.flatnonzero(index == offset + person.face.solid)
        colour[head] = shading.paint_face(person.face, points[head], person.figure.points["head_centre"])
    for i, (box, material) in enumerate(zip(things.boxes, things.box_materials, strict=True)):
        hit = np.flatnonzero(index == offsets[-1] + i)
        if len(hit):
            colour[hit], normal[hit] = _box_looks(box, material, points[hit])
    return colour, normal, gloss


def _joined(parts: list[Solids]) -> Solids:
    names = ("start", "span", "radius", "growth", "metric")
    return Solids(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _box_looks(box: raycast.Box, material: shading.Material, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    local = (points - box.centre) @ box.axes
    face = np.argmax(np.abs(local) / box.half, axis=1)
    sign = np.sign(np.take_along_axis(local, face[:, None], 1))
    rows = np.array([material.row()], np.float32).repeat(len(points), 0)
    u, v = local[:, 1].astype(np.float32), (local[:, 0] + local[:, 2]).astype(np.float32)
    mix = shading.pattern_mix(rows, u, v)[:, None]
    colour = rows[:, 0:3] + (rows[:, 3:6] - rows[:, 0:3]) * mix
    return colour, (box.axes.T[face] * sign).astype(np.float32)


# ---------------------------------------------------------------------------------------------------- truth


def _truth(
    image: np.ndarray, camera: Camera, cast: list[Cast], buffers: list[Buffer], owner: np.ndarray, depth: np.ndarray
) -> Scene:
    people = len(cast)
    joints_m = np.array([[person.figure.points[name] for name in JOINTS] for person in cast])
    joints_px = camera.project(joints_m.reshape(-1, 3)).reshape(people, len(JOINTS), 2)
    statures = np.array([person.figure.build.stature_m for person in cast])
    state = joint_states(joints_px, joints_m[..., 2], FLESH_J * statures[:, None], owner, depth)
    masks = [np.isfinite(buffer.depth) for buffer in buffers[:people]]
    area = np.array([mask.sum() for mask in masks], np.float64)
    seen = np.array([(owner == p).sum() for p in range(people)], np.float64)
    box = np.array([_box(mask, buffer) for mask, buffer in zip(masks, buffers, strict=False)])
    in_frame = (state[:, :17] != OUT_OF_FRAME).sum(1)
    annotated = (in_frame >= MIN_JOINTS_IN_FRAME) & (seen >= MIN_VISIBLE_PX) & (seen >= MIN_VISIBLE_SHARE * area)
    heads = np.array([head_size_px(person.figure, camera) for person in cast])
    return Scene(
        image=image, camera=camera, joints_px=joints_px, joints_m=joints_m, state=state, head_px=heads, box=box,
        area_px=area, seen_px=seen, annotated=annotated, family=tuple(person.family for person in cast),
        owner=owner, depth=depth, figures=tuple(person.figure for person in cast),
    )  # fmt: skip


def joint_states(
    joints_PJ2: np.ndarray, depth_PJ: np.ndarray, flesh_PJ: np.ndarray, owner: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """State [P,J] of every joint, from whose surface lies first at its pixel and how far before the joint.

    Own surface: seen when it lies at most the flesh over that joint before it, else self-occluded. Another's surface:
    occluded when it is nearer than the joint; when it is farther, rounding has put the joint just beside its own
    narrow limb, and it is seen.
    """
    height, width = owner.shape
    column, row = np.rint(joints_PJ2[..., 0]), np.rint(joints_PJ2[..., 1])
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    at = np.where(inside, row, 0).astype(int), np.where(inside, column, 0).astype(int)
    first, whose = depth[at], owner[at]
    own = whose == np.arange(len(joints_PJ2))[:, None]
    hidden = np.where(own, first < depth_PJ - flesh_PJ, first < depth_PJ)
    state = np.where(hidden, np.where(own, SELF_OCCLUDED, OCCLUDED), VISIBLE)
    return np.where(inside, state, OUT_OF_FRAME).astype(np.int8)


def _box(mask: np.ndarray, buffer: Buffer) -> tuple[float, float, float, float]:
    """Tight box (x, y, width, height) of a mask in its window; zeros where it is empty. Pixels are unit squares."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    x0, y0 = buffer.x0 + int(columns[0]), buffer.y0 + int(rows[0])
    return x0, y0, float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1)


def head_size_px(figure: Figure, camera: Camera) -> float:
    """MPII's head size, 0.6 times the diagonal of the head box.

    The head box is the image-aligned box of the head ellipsoid (chin to crown, ear to ear, brow to back, no hair),
    projected at the depth of its centre: half sides f / z * sqrt((R diag(axes^2) R')_ii).
    """
    frame, axes = figure.frames["head"], body.skull_axes_m(figure.build)
    half = np.sqrt(((frame[:2] * axes) ** 2).sum(1)) * camera.focal_px / figure.points["head_centre"][2]
    return float(0.6 * np.hypot(*(2 * half)))
