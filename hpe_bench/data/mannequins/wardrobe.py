"""Flesh and clothes: turns a figure into solids with materials."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, field

import numpy as np

from hpe_bench.data.mannequins.body import Figure, skull_axes_m
from hpe_bench.data.mannequins.dice import Dice
from hpe_bench.data.mannequins.raycast import Solids
from hpe_bench.data.mannequins.shading import Colour, Face, Material

# Skin from deep to pale, hair from black to grey: our own palettes.
SKINS: tuple[Colour, ...] = (
    (0.24, 0.15, 0.11),
    (0.36, 0.23, 0.16),
    (0.50, 0.33, 0.23),
    (0.64, 0.44, 0.32),
    (0.78, 0.57, 0.44),
    (0.87, 0.68, 0.56),
    (0.93, 0.77, 0.67),
)
HAIRS: tuple[Colour, ...] = (
    (0.05, 0.04, 0.04),
    (0.12, 0.08, 0.06),
    (0.26, 0.16, 0.09),
    (0.42, 0.28, 0.14),
    (0.72, 0.56, 0.30),
    (0.48, 0.20, 0.09),
    (0.58, 0.57, 0.55),
)
IRISES: tuple[Colour, ...] = ((0.08, 0.05, 0.04), (0.16, 0.10, 0.06), (0.10, 0.18, 0.28), (0.12, 0.22, 0.14))


@dataclass(frozen=True)
class Outfit:
    """What a person wears and looks like. Lengths are fractions of the limb that the cloth covers."""

    skin: Material
    top: Material
    bottom: Material
    shoes: Material
    hair: Colour
    hair_style: str  # short, bald, long, bun, tail, cap
    hat: Material
    iris: Colour
    beard: bool
    glasses: bool
    sleeve: float  # 0 sleeveless, 1 elbow, 2 wrist
    leg: float  # 0.4 short shorts, 1 knee, 2 ankle
    skirt: bool
    loose: float  # added radius in metres
    backpack: Material | None


def cloth(dice: Dice) -> Material:
    """A random textile: half plain, half patterned, many muted colours."""
    one, two = colour(dice), colour(dice)
    pattern = dice.weighted(
        (
            ("plain", 0.5),
            ("rings", 0.14),
            ("checks", 0.08),
            ("noise", 0.1),
            ("dots", 0.06),
            ("pinstripe", 0.05),
            ("plaid", 0.07),
        )
    )
    period = dice.between(0.05, 0.2)
    return Material(one, two, pattern, period, dice.between(0, 1), dice.between(0.3, 0.6), dice.between(0, 0.12))


def colour(dice: Dice) -> Colour:
    """A random colour, often muted."""
    saturation = dice.between(0, 0.25) if dice.chance(0.45) else dice.between(0.3, 0.9)
    return colorsys.hsv_to_rgb(dice.between(0, 1), saturation, dice.between(0.08, 0.95))


def blend(one: Colour, two: Colour, part: float) -> Colour:
    """The colour `part` of the way from one to two."""
    r, g, b = (a + (c - a) * part for a, c in zip(one, two, strict=True))
    return r, g, b


def draw(dice: Dice, family: str, sex: str) -> Outfit:
    """An outfit; skirts only where the legs stay together."""
    tone = dice.between(0, len(SKINS) - 1.001)
    low, high, part = SKINS[int(tone)], SKINS[int(tone) + 1], tone % 1
    skin = blend(low, high, part)
    hair = dice.one_of(HAIRS)
    male = sex == "male"
    styles = (("short", 0.62), ("bald", 0.12), ("cap", 0.2), ("long", 0.06)) if male else (
        ("long", 0.4), ("bun", 0.18), ("tail", 0.2), ("short", 0.12), ("cap", 0.1)
    )  # fmt: skip
    top, bottom = cloth(dice), cloth(dice)
    if dice.chance(0.12):
        bottom = top  # dress or overall
    return Outfit(
        skin=Material(skin, gloss=0.08),
        top=top,
        bottom=bottom,
        shoes=Material(colour(dice), gloss=0.2),
        hair=hair,
        hair_style=dice.weighted(styles),
        hat=cloth(dice),
        iris=dice.one_of(IRISES),
        beard=male and dice.chance(0.3),
        glasses=dice.chance(0.15),
        sleeve=dice.weighted(((0.12, 0.15), (0.55, 0.3), (1.0, 0.08), (1.93, 0.47))),
        leg=dice.weighted(((0.45, 0.12), (0.9, 0.2), (1.5, 0.06), (1.95, 0.62))),
        skirt=not male and family in ("standing", "walking", "arms up", "reaching") and dice.chance(0.4),
        loose=dice.between(0.0, 0.016),
        backpack=cloth(dice) if dice.chance(0.08) else None,
    )


_ROUND = np.eye(3)


@dataclass
class Flesh:
    """A list of solids being built, all in one frame; `across` is a reference direction for texture around the axis."""

    rows: list[tuple] = field(default_factory=list)
    materials: list[tuple[int, int, float]] = field(default_factory=list)
    palette: list[Material] = field(default_factory=list)

    def limb(
        self,
        a: np.ndarray,
        b: np.ndarray,
        radii: tuple[float, float],
        frame: np.ndarray,
        first: Material,
        second: Material | None = None,
        until: float = 2.0,
        squash: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """A round cone from a to b, `squash`ed along the frame's axes; `first` up to s = `until`, then `second`."""
        metric = _ROUND if squash == (1.0, 1.0, 1.0) else (frame / np.square(squash)) @ frame.T
        self.rows.append((a, b - a, radii[0], radii[1] - radii[0], metric, frame[:, 2]))
        self.materials.append((self._colour(first), self._colour(second or first), until))

    def ball(
        self, centre: np.ndarray, half: np.ndarray | tuple[float, float, float], frame: np.ndarray, material: Material
    ) -> None:
        """An ellipsoid with the given half axes along the frame's axes."""
        metric = (frame / np.square(half)) @ frame.T
        self.rows.append((centre, np.zeros(3), 1.0, 0.0, metric, frame[:, 2]))
        self.materials.append((self._colour(material), self._colour(material), 2.0))

    def _colour(self, material: Material) -> int:
        for i, known in enumerate(self.palette):
            if known is material:
                return i
        self.palette.append(material)
        return len(self.palette) - 1

    def solids(self) -> Solids:
        start, span, radius, growth, metric, _ = zip(*self.rows, strict=True)
        return Solids(np.array(start), np.array(span), np.array(radius), np.array(growth), np.array(metric))

    def across(self) -> np.ndarray:
        return np.array([row[5] for row in self.rows])


def dress(figure: Figure, outfit: Outfit) -> tuple[Flesh, Face]:
    """Solids, materials and face of a dressed figure, in the figure's own coordinate system."""
    flesh = Flesh()
    _trunk(flesh, figure, outfit)
    for side in ("left", "right"):
        _arm(flesh, figure, outfit, side)
        _leg(flesh, figure, outfit, side)
    return flesh, _head(flesh, figure, outfit)


def _trunk(flesh: Flesh, figure: Figure, outfit: Outfit) -> None:
    p, f, build = figure.points, figure.frames, figure.build
    h, g, loose = build.stature_m, build.girth, outfit.loose
    hips = p["left_hip"] - p["right_hip"]
    flat = (1.0, 1.0, 0.80)
    pelvis = f["pelvis"]
    seat = p["pelvis"] + pelvis @ (0.0, 0.012 * h, -0.008 * h)
    wide = 0.058 * h * g + 0.6 * loose
    flesh.limb(seat - 0.36 * hips, seat + 0.36 * hips, (wide, wide), pelvis, outfit.bottom, squash=(1, 1.05, 0.92))
    waist = 0.072 * h * g * build.waist + loose
    flesh.limb(p["lumbar"], p["waist"], (1.02 * waist, waist), f["waist"], outfit.top, squash=(1, 1, 0.74))
    up = f["chest"][:, 1]
    chest = (0.5 * waist + 0.5 * 0.084 * h * g, 0.088 * h * g * build.lengths_m["half_shoulders"] / (0.108 * h) + loose)
    flesh.limb(p["waist"], p["thorax"] - 0.062 * h * up, chest, f["chest"], outfit.top, squash=(1, 1, 0.72))
    neck = p["thorax"] + 0.006 * h * up
    skin_or_top = outfit.top if outfit.sleeve > 0.2 else outfit.skin
    for side in ("left", "right"):
        end = p[f"{side}_shoulder"]
        radii = 0.031 * h * g, 0.029 * h * g**0.5 + 0.5 * loose
        flesh.limb(neck - 0.012 * h * up, end, radii, f["chest"], outfit.top, skin_or_top, 0.75, squash=flat)
    if build.sex == "female":
        for sign in (-1, 1):
            centre = p["thorax"] + f["chest"] @ (sign * 0.043 * h, -0.09 * h, 0.048 * h * g)
            flesh.ball(centre, (0.034 * h, 0.034 * h, 0.024 * h), f["chest"], outfit.top)
    if outfit.skirt:
        knees = 0.5 * (p["left_knee"] + p["right_knee"])
        hem = p["pelvis"] + 0.85 * (knees - p["pelvis"])
        flesh.limb(p["pelvis"], hem, (0.075 * h * g, 0.125 * h), pelvis, outfit.bottom, squash=(1, 0.3, 0.85))
    if outfit.backpack is not None:
        centre = p["thorax"] + f["chest"] @ (0.0, -0.12 * h, -0.105 * h)
        flesh.ball(centre, (0.085 * h, 0.125 * h, 0.055 * h), f["chest"], outfit.backpack)


def _arm(flesh: Flesh, figure: Figure, outfit: Outfit, side: str) -> None:
    p, h, g = figure.points, figure.build.stature_m, figure.build.girth**0.8
    upper, fore = figure.frames[f"{side}_upper_arm"], figure.frames[f"{side}_forearm"]
    shoulder, elbow, wrist = (p[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
    covered = outfit.loose if outfit.sleeve > 0.9 else 0.35 * outfit.loose
    radii = 0.0295 * h * g + covered, 0.0235 * h * g + covered
    flesh.limb(shoulder, elbow, radii, upper, outfit.top, outfit.skin, outfit.sleeve)
    covered = outfit.loose if outfit.sleeve > 1.5 else 0.0
    first = outfit.top if outfit.sleeve > 1 else outfit.skin
    radii = 0.0235 * h * g + covered, 0.0155 * h * g + 0.6 * covered
    flesh.limb(elbow, wrist, radii, fore, first, outfit.skin, outfit.sleeve - 1 if outfit.sleeve > 1 else 2.0)
    middle = 0.52 * wrist + 0.48 * p[f"{side}_fingers"]
    flesh.ball(middle, (0.018 * h, 0.05 * h, 0.0115 * h), fore @ _QUARTER, outfit.skin)


_QUARTER = np.array(((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)))  # palms face the body


def _leg(flesh: Flesh, figure: Figure, outfit: Outfit, side: str) -> None:
    p, h, g = figure.points, figure.build.stature_m, figure.build.girth
    thigh, shank, foot = (figure.frames[f"{side}_{name}"] for name in ("thigh", "shank", "foot"))
    hip, knee, ankle = (p[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    bare = outfit.skirt
    covered = 0.0 if bare else outfit.loose
    cover = 0.6 if bare else outfit.leg
    radii = 0.052 * h * g + 0.6 * covered, 0.034 * h * g**0.7 + covered
    flesh.limb(hip, knee, radii, thigh, outfit.bottom, outfit.skin, cover if cover < 1 else 2.0)
    covered = outfit.loose if cover > 1 else 0.0
    first = outfit.bottom if cover > 1 else outfit.skin
    until = cover - 1 if cover > 1 else 2.0
    back = -0.008 * h * shank[:, 2]  # the calf lies behind the bone
    calf = 0.34 * ankle + 0.66 * knee + back
    flesh.limb(
        knee, ankle, (0.032 * h * g**0.7 + covered, 0.0195 * h + 0.9 * covered), shank, first, outfit.skin, until
    )
    flesh.ball(calf, (0.0335 * h * g**0.7, 0.075 * h, 0.034 * h * g**0.7), shank, first)
    flesh.limb(p[f"{side}_heel"], p[f"{side}_toe"], (0.025 * h, 0.0205 * h), foot, outfit.shoes, squash=(1, 0.9, 1))


def _head(flesh: Flesh, figure: Figure, outfit: Outfit) -> Face:
    p, build = figure.points, figure.build
    h, axes, frame = build.stature_m, skull_axes_m(build), figure.frames["head"]
    centre, skin = p["head_centre"], outfit.skin
    neck_end = p["upper_neck"] + frame @ (0.0, 0.02 * h, -0.012 * h)
    radius = 0.031 * h * build.girth**0.6
    flesh.limb(p["thorax"], neck_end, (radius * 1.12, radius), figure.frames["neck"], skin)
    index = len(flesh.rows)
    flesh.ball(centre, axes, frame, skin)
    tip = axes * (0.0, -0.12, 1.02)
    flesh.limb(centre + frame @ (axes * (0, 0.18, 0.88)), centre + frame @ tip, (0.005 * h, 0.0085 * h), frame, skin)
    for sign in (-1.0, 1.0):
        ear = centre + frame @ (axes * (sign * 0.97, -0.02, -0.06))
        flesh.ball(ear, (0.006 * h, 0.016 * h, 0.011 * h), frame, skin)
    _hair(flesh, figure, outfit, centre, axes, frame)
    hairline = {"bald": (0.05, 1.6) if build.girth > 1 else (1.5, 0.0), "cap": (0.25, 0.45)}.get(
        outfit.hair_style, (0.02, 0.72)
    )
    return Face(
        solid=index, frame=frame, axes=axes, skin=skin.colour, hair=outfit.hair, eyes=outfit.iris,
        lips=blend(skin.colour, (0.5, 0.05, 0.10), 0.25),
        hairline=hairline, beard=outfit.beard, glasses=outfit.glasses,
    )  # fmt: skip


def _hair(
    flesh: Flesh, figure: Figure, outfit: Outfit, centre: np.ndarray, axes: np.ndarray, frame: np.ndarray
) -> None:
    h = figure.build.stature_m
    hair = Material(outfit.hair, blend(outfit.hair, (0.0, 0.0, 0.0), 0.4), "noise", 0.05, gloss=0.1)
    at = lambda *d: centre + frame @ (axes * d)  # noqa: E731
    match outfit.hair_style:
        case "short":
            flesh.ball(at(0, 0.16, -0.14), axes * (1.04, 0.93, 0.98), frame, hair)
        case "long":
            flesh.ball(at(0, 0.14, -0.18), axes * (1.08, 0.98, 0.98), frame, hair)
            low = p_low = figure.points["thorax"] - figure.frames["chest"] @ (0.0, 0.02 * h, 0.055 * h)
            flesh.limb(
                at(0, -0.1, -0.62), p_low, (0.040 * h, 0.030 * h), figure.frames["neck"], hair, squash=(1.15, 1, 0.6)
            )
        case "bun":
            flesh.ball(at(0, 0.14, -0.15), axes * (1.03, 0.95, 0.98), frame, hair)
            flesh.ball(at(0, 0.62, -0.95), (0.026 * h, 0.026 * h, 0.026 * h), frame, hair)
        case "tail":
            flesh.ball(at(0, 0.14, -0.15), axes * (1.03, 0.95, 0.98), frame, hair)
            low = figure.points["thorax"] - figure.frames["neck"] @ (0.0, 0.03 * h, 0.075 * h)
            flesh.limb(at(0, 0.35, -1.05), low, (0.020 * h, 0.010 * h), frame, hair)
        case "cap":
            flesh.ball(at(0, 0.32, -0.05), axes * (1.07, 0.76, 1.06), frame, outfit.hat)
            flesh.ball(at(0, 0.42, 0.95), axes * (0.75, 0.10, 0.62), frame, outfit.hat)
