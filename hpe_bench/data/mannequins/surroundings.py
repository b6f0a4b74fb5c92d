"""What is not a person: ground, walls, sky, clutter, furniture, occluders; and the lens before it all."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import cv2
import numpy as np

from hpe_bench.data.mannequins import wardrobe
from hpe_bench.data.mannequins.dice import Dice
from hpe_bench.data.mannequins.raycast import Box, Camera
from hpe_bench.data.mannequins.rotation import about_y
from hpe_bench.data.mannequins.shading import Light, Material

Floats = np.ndarray  # of any shape; cv2's own annotations are narrower than what it returns

BANK = 640  # side of the tile of noise that every scene cuts its windows from


@functools.cache
def noise_bank(blur_px: int) -> Floats:
    """Unit normal noise [BANK,BANK] float32, the same in every process; blurred and rescaled if `blur_px` > 0."""
    tile: Floats = np.random.Generator(np.random.Philox(20240229)).standard_normal((BANK, BANK)).astype(np.float32)
    if blur_px:
        tile = cv2.GaussianBlur(tile, (0, 0), blur_px, borderType=cv2.BORDER_REFLECT)
    return tile / tile.std()


def noise(dice: Dice, size_hw: tuple[int, int], blur_px: int = 0) -> np.ndarray:
    """A random window [h,w] of the noise bank."""
    height, width = size_hw
    y, x = (int(dice.rng.random() * (BANK - side)) for side in (height, width))
    return noise_bank(blur_px)[y : y + height, x : x + width]


def light(dice: Dice, camera: Camera) -> Light:
    """A lamp or sun from above, from any side but mostly not from behind the scene; cool or warm."""
    towards = np.array((dice.normal(0, 1), dice.between(0.25, 1.6), dice.between(-0.6, 1.2)))
    towards = camera.rotation @ (towards / np.linalg.norm(towards))
    warmth = dice.normal(0, 0.12)
    tint = np.array((1 + warmth, 1.0, 1 - warmth))
    strength = dice.between(0.25, 0.95)
    ambient = np.full(3, dice.between(0.75, 1.0) - 0.45 * strength) * (2 - tint)
    return Light(towards, strength * tint, ambient, camera.rotation[:, 1])


# ---------------------------------------------------------------------------------------------------- backdrop


def backdrop(
    dice: Dice, camera: Camera, eye_m: float, stands_C2: np.ndarray, depth_m: float, lamp: Light
) -> np.ndarray:
    """Sky or wall, ground and flat clutter as float32 RGB [h,w,3], 0 to 1, a little out of focus.

    `eye_m` is the camera's height over the ground, `stands_C2` the ground positions (right, ahead) in metres of what
    casts a soft shadow, `depth_m` the typical distance of the people.
    """
    kind = dice.weighted((("room", 0.45), ("outdoors", 0.4), ("studio", 0.15)))
    wall_m = depth_m * dice.between(1.25, 2.5) if kind != "outdoors" else 200.0
    height, width = camera.size_hw
    small = height // 2, width // 2
    ground, shade, distance, is_ground = _ground(dice, camera, eye_m, stands_C2, wall_m, small, kind)
    top, bottom = (np.array(wardrobe.colour(dice), np.float32) * 0.6 + 0.3 for _ in range(2))
    ramp = np.linspace(0, 1, small[0], dtype=np.float32)[:, None].repeat(small[1], 1)
    grain = 0.04 * noise(dice, small, dice.one_of((2, 6, 16)))
    far = tinted(ramp, top, bottom) + cv2.merge([grain] * 3)
    if kind == "outdoors":
        ground += (far - ground) * cv2.merge([np.minimum(distance / 60, 0.8)] * 3)
    image: Floats = ground * cv2.merge([shade] * 3)
    np.copyto(image, far, where=~is_ground[..., None])
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    horizon = int(np.argmax(is_ground.any(1)) * 2) if is_ground.any() else height
    _clutter(dice, image, kind, horizon)
    image = cv2.transform(image, np.diag(0.55 * lamp.direct + lamp.ambient).astype(np.float32))
    return cv2.GaussianBlur(image, (0, 0), dice.between(0.4, 2.6))


def tinted(mix_HW: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Colours [h,w,3] from `one` where the mix is 0 to `two` where it is 1."""
    return cv2.transform(np.ascontiguousarray(mix_HW, np.float32), np.column_stack((two - one, one)).astype(np.float32))


def _ground(
    dice: Dice, camera: Camera, eye_m: float, stands_C2: np.ndarray, wall_m: float, size_hw: tuple[int, int], kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Colour [h,w,3], shadow factor, distance ahead and mask [h,w] of the ground plane at reduced size."""
    rays_x, rays_y = camera.rays()
    step_y, step_x = camera.size_hw[0] // size_hw[0], camera.size_hw[1] // size_hw[1]
    x, y = rays_x[None, ::step_x][:, : size_hw[1]], rays_y[::step_y, None][: size_hw[0]]
    right, up, back = (camera.rotation[:, i].astype(np.float32) for i in range(3))
    down = -(up[0] * x + (up[1] * y + up[2]))
    t = np.float32(eye_m) / np.maximum(down, 1e-4)
    ahead = -t * (back[0] * x + (back[1] * y + back[2]))
    aside = t * (right[0] * x + (right[1] * y + right[2]))
    mask = (down > 1e-3) & (ahead < wall_m)
    one, two = (np.array(wardrobe.colour(dice), np.float32) for _ in range(2))
    two = one + (two - one) * np.float32(dice.between(0.05, 0.4))
    period = dice.between(0.25, 1.2)
    u, v = ahead / period, aside / period
    pattern = dice.one_of(("tiles", "planks", "grain", "grain"))
    if pattern == "tiles":
        mix = ((np.floor(u) + np.floor(v)) % 2).astype(np.float32)
    elif pattern == "planks":
        mix = np.mod(v, 1) * 0.8 + 0.2 * (np.mod(u * 0.4 + np.floor(v) * 0.37, 1) < 0.04)
    else:
        mix = 0.5 + 0.3 * noise(dice, size_hw, dice.one_of((1, 3)))
    mix = mix * np.minimum(6 / np.maximum(ahead, 1), 1)  # patterns fade before they alias
    colour = tinted(mix, one, two)
    shade = np.ones(size_hw, np.float32)
    depth = dice.between(0.25, 0.6)
    for px, pz in stands_C2:
        spread = ((aside - np.float32(px)) / 0.34) ** 2 + ((ahead - np.float32(pz)) / 0.30) ** 2
        shade *= 1 - np.float32(depth) * np.exp(-spread)
    return colour, shade, ahead, mask


def _clutter(dice: Dice, image: np.ndarray, kind: str, horizon: int) -> None:
    """Flat things far away: pictures, doors, shelves, buildings, trees, blobs and person-coloured posts."""
    height, width = image.shape[:2]
    lift = min(max(horizon, 20), height)
    for _ in range(int(dice.between(1, 8 if kind != "studio" else 3))):
        x, y = int(dice.between(-20, width)), int(dice.between(0, lift))
        w, h = int(dice.between(12, 80)), int(dice.between(10, 80))
        shape = dice.weighted((("rectangle", 0.45), ("blob", 0.25), ("post", 0.2), ("lines", 0.2)))
        paint = tuple(dice.one_of(wardrobe.SKINS)) if dice.chance(0.2) else wardrobe.colour(dice)
        if shape == "rectangle":
            bottom = lift if dice.chance(0.5) else y + h
            cv2.rectangle(image, (x, y), (x + w, bottom), paint, -1)
            if dice.chance(0.5):
                _panes(dice, image, (x, y, w, max(bottom - y, 8)))
        elif shape == "blob":
            for _ in range(3):
                centre = x + int(dice.normal(0, 10)), y + int(dice.normal(0, 10))
                cv2.ellipse(image, centre, (w // 2, h // 3), dice.between(0, 180), 0, 360, paint, -1)
        elif shape == "post":
            foot = x + int(dice.normal(0, 8)), lift + int(dice.between(-30, 10))
            cv2.line(image, (x, max(y - h, -20)), foot, paint, int(dice.between(2, 14)))
        else:
            for i in range(int(dice.between(3, 8))):
                cv2.line(image, (x, y + 7 * i), (x + 2 * w, y + 7 * i), paint, 2)


def _panes(dice: Dice, image: np.ndarray, window: tuple[int, int, int, int]) -> None:
    x, y, w, h = window
    paint = wardrobe.colour(dice)
    step = int(dice.between(9, 24))
    for px in range(x + 4, x + w - step // 2, step):
        for py in range(y + 4, min(y + h - step // 2, image.shape[0]), step):
            cv2.rectangle(image, (px, py), (px + step // 2, py + step // 2), paint, -1)


# ---------------------------------------------------------------------------------------------------- things


@dataclass
class Things:
    """Solid objects of a scene in the camera frame: round solids and boxes, with their materials."""

    flesh: wardrobe.Flesh = field(default_factory=wardrobe.Flesh)
    boxes: list[Box] = field(default_factory=list)
    box_materials: list[Material] = field(default_factory=list)

    def box(self, centre: np.ndarray, axes: np.ndarray, size: tuple[float, float, float], material: Material) -> None:
        self.boxes.append(Box(centre, axes, np.array(size) / 2))
        self.box_materials.append(material)

    def rod(self, a: np.ndarray, b: np.ndarray, radius: float, frame: np.ndarray, material: Material) -> None:
        self.flesh.limb(a, b, (radius, radius), frame, material)


def stuff(dice: Dice) -> Material:
    """Wood, metal, card, plastic: a textile pattern at a larger period, or plain."""
    cloth = wardrobe.cloth(dice)
    pattern = cloth.pattern if dice.chance(0.5) else "plain"
    return Material(cloth.colour, cloth.second, pattern, dice.between(0.1, 0.5), cloth.shift, cloth.share, 0.1)


def chair(dice: Dice, things: Things, seat: np.ndarray, axes: np.ndarray, seat_height_m: float) -> None:
    """Stool, block or chair under a person; `seat` is the middle of its top, `axes` the person's upright frame."""
    material, up, forward = stuff(dice), axes[:, 1], axes[:, 2]
    width, depth = dice.between(0.38, 0.5), dice.between(0.36, 0.46)
    middle = seat + 0.02 * forward
    if dice.chance(0.35):
        things.box(middle - 0.5 * seat_height_m * up, axes, (width, seat_height_m, depth), material)
    else:
        things.box(middle - 0.025 * up, axes, (width, 0.05, depth), material)
        for x in (-0.45, 0.45):
            for z in (-0.45, 0.45):
                top = middle + axes @ (x * width, -0.05, z * depth)
                things.rod(top, top - (seat_height_m - 0.06) * up, 0.016, axes, material)
    if dice.chance(0.6):
        back = dice.between(0.25, 0.5)
        centre = middle + axes @ (0.0, back / 2 + dice.between(0, 0.15), -0.5 * depth - 0.10)
        things.box(centre, axes, (width, back, 0.04), material)


def occlude(dice: Dice, things: Things, foot: np.ndarray, world: np.ndarray, stature_m: float, gap_m: float) -> None:
    """One object between the camera and a person who stands at `foot`; `world` has right, up, back in its columns."""
    right, up, back = world.T
    base = foot + gap_m * back + dice.normal(0, 0.22) * right
    material = stuff(dice)
    turned = world @ about_y(dice.between(-35, 35))
    kind = dice.weighted(
        (("box", 0.3), ("pole", 0.2), ("table", 0.15), ("panel", 0.15), ("ball", 0.08), ("rail", 0.12))
    )
    tall = stature_m * dice.between(0.18, 0.55)
    match kind:
        case "box":
            size = dice.between(0.25, 0.8), tall, dice.between(0.2, 0.5)
            things.box(base + 0.5 * tall * up, turned, size, material)
        case "pole":
            lean = dice.normal(0, 0.06) * right
            things.rod(base, base + 2.6 * (up + lean), dice.between(0.03, 0.11), world, material)
        case "table":
            top, width, depth = dice.between(0.55, 0.95), dice.between(0.7, 1.4), dice.between(0.3, 0.5)
            things.box(base + top * up, turned, (width, 0.05, depth), material)
            for x in (-0.45, 0.45):
                leg = base + x * width * turned[:, 0]
                things.rod(leg, leg + top * up, 0.025, world, material)
        case "panel":
            low = stature_m * dice.between(0.0, 0.75)
            side = dice.one_of((-1.0, 1.0)) * dice.between(0.12, 0.35)
            size = dice.between(0.15, 0.45), dice.between(0.25, 0.9), 0.04
            things.box(base + (low + size[1] / 2) * up + side * right, turned, size, material)
        case "ball":
            radius = dice.between(0.11, 0.32)
            centre = base + dice.between(radius, 0.9 * stature_m) * up
            things.flesh.ball(centre, (radius, radius, radius), turned, material)
        case _:
            height = dice.between(0.4, 1.1)
            for level in (height, 0.55 * height):
                things.rod(base - 1.2 * right + level * up, base + 1.2 * right + level * up, 0.025, world, material)


def distract(dice: Dice, things: Things, place: np.ndarray, world: np.ndarray) -> None:
    """A lone limb-like or body-like object in people's colours: a trap for detectors of mere tapering colour."""
    right, up, back = world.T
    material = wardrobe.cloth(dice) if dice.chance(0.6) else Material(dice.one_of(wardrobe.SKINS))
    start = place + dice.between(0.1, 1.5) * up
    if dice.chance(0.5):
        start = place  # a bollard or a bundle that stands on the ground
    heading = (
        dice.normal(0, 1) * right + (dice.normal(0, 1) if start is not place else 1.5) * up + dice.normal(0, 0.4) * back
    )
    end = start + dice.between(0.2, 0.8) * heading / np.linalg.norm(heading)
    thick = dice.between(0.03, 0.14)
    things.flesh.limb(start, end, (thick, thick * dice.between(0.5, 1.2)), world, material)


# ---------------------------------------------------------------------------------------------------- lens


def photograph(dice: Dice, image: np.ndarray) -> np.ndarray:
    """Defocus, motion blur, exposure, contrast, colour cast and sensor noise: float RGB to uint8 RGB [h,w,3]."""
    if dice.chance(0.15):
        image = cv2.filter2D(image, -1, _streak(dice.between(3, 8), dice.between(0, 180)))
    image = cv2.GaussianBlur(image, (0, 0), dice.between(0.45, 0.75) if dice.chance(0.75) else dice.between(0.75, 1.6))
    gain, pivot, contrast = dice.between(0.75, 1.25), 0.45, dice.between(0.7, 1.15)
    cast = np.array([dice.normal(1, 0.04) for _ in range(3)]) * gain * contrast
    offset = pivot * (1 - contrast) + dice.normal(0, 0.03)
    image = cv2.transform(image, np.column_stack((np.diag(255 * cast), np.full(3, 255 * offset))).astype(np.float32))
    sigma = dice.between(1, 6) if dice.chance(0.7) else dice.between(6, 12)
    size = image.shape[:2]
    grain = cv2.merge([noise(dice, size) for _ in range(3)])
    return np.clip(cv2.scaleAdd(grain, sigma, image), 0, 255).astype(np.uint8)


def _streak(length_px: float, degrees: float) -> np.ndarray:
    """A motion-blur kernel: a line of the given length through the middle."""
    side = int(length_px) | 1
    kernel: Floats = np.zeros((side, side), np.float32)
    kernel[side // 2] = 1
    turn = cv2.getRotationMatrix2D((side // 2, side // 2), degrees, 1)
    kernel = cv2.warpAffine(kernel, turn, (side, side))
    return kernel / kernel.sum()
