"""Colour: materials with patterns, one directional light and ambient light from above, faces; all per pixel at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpe_bench.data.mannequins.raycast import Solids

Colour = tuple[float, float, float]  # linear-ish RGB, 0 to 1
PATTERNS = ("plain", "rings", "pinstripe", "checks", "dots", "noise", "plaid")


@dataclass(frozen=True)
class Material:
    """Two colours and how they alternate: pattern, period in metres, shift in periods, and the share of the second."""

    colour: Colour
    second: Colour = (0.0, 0.0, 0.0)
    pattern: str = "plain"
    period_m: float = 0.1
    shift: float = 0.0
    share: float = 0.5
    gloss: float = 0.0

    def row(self) -> tuple[float, ...]:
        kind = float(PATTERNS.index(self.pattern))
        return (*self.colour, *self.second, kind, self.period_m, self.shift, self.share, self.gloss)


@dataclass(frozen=True)
class Face:
    """The look of a head solid: its frame [3,3] (left, up, forward) and half axes [3] in metres, and its colours."""

    solid: int
    frame: np.ndarray
    axes: np.ndarray
    skin: Colour
    hair: Colour
    eyes: Colour
    lips: Colour
    hairline: tuple[float, float]  # hair above y = a + b z on the unit head; a > 1 is bald
    beard: bool
    glasses: bool


@dataclass(frozen=True)
class Light:
    """Unit direction [3] towards the light, its colour times strength [3], ambient colour [3], unit up [3]."""

    towards: np.ndarray
    direct: np.ndarray
    ambient: np.ndarray
    up: np.ndarray


@dataclass(frozen=True)
class Surface:
    """Hit pixels of solids: unit normals [N,3], position s along the solid [N], the same in metres [N], and for
    textures the offset from the solid's spine [N,3] and the solid's row [N]."""

    normal: np.ndarray
    s: np.ndarray
    along_m: np.ndarray
    out: np.ndarray
    index: np.ndarray


def surface(solids: Solids, points_N3: np.ndarray, index_N: np.ndarray) -> Surface:
    """Where points lie on their solids; the formulas of `raycast`."""
    gm = np.einsum("pij,pj->pi", solids.metric, solids.span)
    K = np.einsum("pi,pi->p", gm, solids.span) - solids.growth**2
    scale = np.where(K > 1e-9, 1 / np.maximum(K, 1e-9), 0.0)
    length = np.linalg.norm(solids.span, axis=1)
    lean = gm * scale[:, None]
    shift = solids.growth * solids.radius * scale
    q = points_N3 - _rows(solids.start, index_N)
    s = np.clip(np.einsum("ni,ni->n", _rows(lean, index_N), q) + _rows(shift, index_N), 0, 1)
    out = q - s[:, None] * _rows(solids.span, index_N)
    normal = out.copy()
    squashed = np.flatnonzero((solids.metric != np.eye(3)).any((1, 2))[index_N])
    metric = _rows(solids.metric, index_N[squashed])
    normal[squashed] = np.einsum("nij,nj->ni", metric, out[squashed])
    normal /= np.sqrt(np.einsum("ni,ni->n", normal, normal))[:, None] + 1e-9
    along = np.where(_rows(length, index_N) == 0, out[:, 1], s * _rows(length, index_N))
    return Surface(normal, s, along, out, index_N)


def around_m(solids: Solids, across: np.ndarray, found: Surface, pick: np.ndarray) -> np.ndarray:
    """Texture coordinate around the solid in metres, of the picked pixels; `across` [P,3] is where it is zero."""
    index, out = found.index[pick], found.out[pick]
    spine = solids.span + 1e-6
    other = np.cross(across, spine / np.linalg.norm(spine, axis=1, keepdims=True))
    x, y = (np.einsum("ni,ni->n", out, _rows(v, index)) for v in (across, other))
    return np.arctan2(y, x) * _rows(solids.radius, index)


def _rows(table: np.ndarray, index_N: np.ndarray) -> np.ndarray:
    return np.take(table.astype(np.float32), index_N, axis=0)


def patterned(materials: np.ndarray, which_N: np.ndarray) -> np.ndarray:
    """Positions of the pixels whose material is not plain."""
    return np.flatnonzero(materials[:, 6][which_N])


def pattern_mix(rows: np.ndarray, along_m: np.ndarray, around_m: np.ndarray) -> np.ndarray:
    """Share [N] of the second colour, for `Material.row`s [N,11] at texture coordinates in metres."""
    kind, share = rows[:, 6], rows[:, 9]
    u = along_m / rows[:, 7] + rows[:, 8]
    v = around_m / rows[:, 7]
    fu, fv = u - np.floor(u), v - np.floor(v)
    ring, pin = fu < share, fv < share
    dot = (fu - 0.5) ** 2 + (fv - 0.5) ** 2 < 0.3 * share
    noise = 0.5 + 0.5 * np.sin(5.1 * u + 2.3 * np.sin(3.7 * v + rows[:, 8])) * np.sin(4.3 * v + 1.9 * np.sin(2.9 * u))
    options = (ring, pin, ring ^ pin, dot, noise, 0.5 * ring + 0.5 * pin)
    return np.select([kind == i for i in range(1, len(PATTERNS))], options).astype(np.float32)


def albedo(
    materials: np.ndarray, which_N: np.ndarray, pick: np.ndarray, along_m: np.ndarray, around: np.ndarray
) -> np.ndarray:
    """Colours [N,3] of materials; the picked pixels are patterned, with texture coordinates in metres."""
    colour = np.take(materials[:, 0:3], which_N, axis=0)
    rows = np.take(materials, which_N[pick], axis=0)
    colour[pick] += (rows[:, 3:6] - rows[:, 0:3]) * pattern_mix(rows, along_m, around)[:, None]
    return colour


def paint_face(face: Face, points_N3: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Colours [N,3] of a head: skin, hair above the hairline, eyes, brows, mouth."""
    frame = (face.frame / face.axes).astype(np.float32)
    x, y, z = ((points_N3 - centre.astype(np.float32)) @ frame).T
    front = z > 0
    colour = np.tile(np.array(face.skin, np.float32), (len(x), 1))
    side = np.abs(x) - 0.37
    colour[front & (np.abs(x) < 0.27) & (np.abs(y + 0.52) < 0.07)] = face.lips
    if face.beard:
        colour[(z > 0.05) & (y < -0.42) & ~(front & (np.abs(x) < 0.24) & (np.abs(y + 0.52) < 0.06))] = face.hair
    white = front & ((side / 0.2) ** 2 + ((y - 0.10) / 0.12) ** 2 < 1)
    colour[white] = (0.9, 0.9, 0.88)
    colour[white & (np.abs(side) < 0.10)] = face.eyes
    colour[front & (np.abs(side) < 0.2) & (np.abs(y - 0.33) < 0.06)] = np.array(face.hair, np.float32) * 0.7
    if face.glasses:
        ring = (side / 0.26) ** 2 + ((y - 0.10) / 0.22) ** 2
        colour[(front & (ring > 0.65) & (ring < 1.25)) | ((np.abs(y - 0.16) < 0.05) & (z > -0.1) & (z < 0.8))] = 0.06
    a, b = face.hairline
    colour[y > a + b * z] = face.hair
    return colour


def lit(colour_N3: np.ndarray, normal_N3: np.ndarray, gloss_N: np.ndarray, light: Light) -> np.ndarray:
    """Lambert shading with a hemisphere of ambient light and a Blinn-like highlight towards the camera."""
    towards = light.towards.astype(np.float32)
    facing = np.maximum(normal_N3 @ towards, 0)
    sky = 0.72 + 0.28 * (normal_N3 @ light.up.astype(np.float32))
    half = towards + np.array((0, 0, -1), np.float32)
    half /= np.linalg.norm(half)
    shine = gloss_N * np.maximum(normal_N3 @ half, 0) ** 24
    direct, ambient = light.direct.astype(np.float32), light.ambient.astype(np.float32)
    power = np.stack((facing, sky), 1) @ np.stack((direct, ambient))
    return colour_N3 * power + np.outer(shine, direct)
