"""Depth buffers: exact ray intersections of a pinhole camera with round cones, ellipsoids and boxes.

Camera frame: x right, y down, z forward, metres. The ray of a pixel is t * (X, Y, 1) with X = (column - cx) / f and
Y = (row - cy) / f, so t is the depth z. Pixel centres are at whole numbers.

A *solid* is the union of the spheres with centre a + s m and radius r + s k, 0 <= s <= 1, in the metric |v|^2 = v'Gv:
G = 1 gives a round cone (a limb), any other G an oblique flattened one (a trunk), and m = 0 an ellipsoid.
The first hit of its mantle: minimising |q - s m|^2 - (r + s k)^2 over s, q = t d - a, gives s = (m'Gq + k r) / K with
K = m'Gm - k^2, and with that |q|^2 - r^2 - K s^2 = 0, a quadratic in t. The ends are the two spheres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FAR = np.float32(np.inf)
NEAREST_M = 0.3  # solids that come closer to the camera than this are not drawn
NOTHING = -1


@dataclass(frozen=True)
class Camera:
    """Focal length and principal point in pixels, image size (h, w); `rotation` [3,3] from world to camera."""

    focal_px: float
    centre_xy: tuple[float, float]
    size_hw: tuple[int, int]
    rotation: np.ndarray

    def project(self, points_P3: np.ndarray) -> np.ndarray:
        """Pixels [P,2] (x, y) of points in the camera frame."""
        return points_P3[:, :2] / points_P3[:, 2:] * self.focal_px + self.centre_xy

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """X [w] of every column and Y [h] of every row."""
        height, width = self.size_hw
        x = (np.arange(width) - self.centre_xy[0]) / self.focal_px
        y = (np.arange(height) - self.centre_xy[1]) / self.focal_px
        return x.astype(np.float32), y.astype(np.float32)


@dataclass(frozen=True)
class Solids:
    """P solids: a [P,3], m [P,3], r [P], k [P], G [P,3,3]."""

    start: np.ndarray
    span: np.ndarray
    radius: np.ndarray
    growth: np.ndarray
    metric: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def windows(self, camera: Camera) -> np.ndarray:
        """Pixel windows [P,4] (x0, y0, x1, y1; ends excluded) that hold each solid, cut to the image; maybe empty."""
        reach = np.sqrt(np.linalg.inv(self.metric)[:, (0, 1, 2), (0, 1, 2)])
        low, high = [], []
        for centre, radius in ((self.start, self.radius), (self.start + self.span, self.radius + self.growth)):
            half = reach * radius[:, None]
            z = np.maximum(centre[:, 2:], NEAREST_M)
            near = np.maximum(z - half[:, 2:], NEAREST_M)
            # |x / z| over the bounding box of the sphere moves by at most this much from its centre's.
            slack = (half[:, :2] + np.abs(centre[:, :2]) / z * half[:, 2:]) / near * camera.focal_px + 1.0
            pixel = centre[:, :2] / z * camera.focal_px + camera.centre_xy
            low.append(pixel - slack)
            high.append(pixel + slack)
        height, width = camera.size_hw
        limits = (width, height)
        start = np.clip(np.floor(np.minimum(*low)), 0, limits)
        stop = np.clip(np.ceil(np.maximum(*high)) + 1, 0, limits)
        behind = np.minimum(self.start[:, 2], self.start[:, 2] + self.span[:, 2]) < NEAREST_M
        stop[behind] = 0
        return np.hstack((start, stop)).astype(np.int64)


@dataclass(frozen=True)
class Buffer:
    """A window of the image: depth [h,w] (infinite where nothing is hit) and index [h,w] of the solid hit, or -1."""

    x0: int
    y0: int
    depth: np.ndarray
    index: np.ndarray

    @staticmethod
    def empty(window: tuple[int, int, int, int]) -> Buffer:
        x0, y0, x1, y1 = window
        shape = max(y1 - y0, 0), max(x1 - x0, 0)
        return Buffer(x0, y0, np.full(shape, FAR, np.float32), np.full(shape, NOTHING, np.int16))

    def add(self, window: tuple[int, int, int, int], depth: np.ndarray, index: int | np.ndarray) -> None:
        """Keep what is nearer; `depth` covers `window`, which lies inside this buffer."""
        x0, y0, x1, y1 = window
        rows, columns = slice(y0 - self.y0, y1 - self.y0), slice(x0 - self.x0, x1 - self.x0)
        mine = self.depth[rows, columns]
        nearer = depth < mine
        np.copyto(mine, depth, where=nearer)
        np.copyto(self.index[rows, columns], np.asarray(index, np.int16), where=nearer)

    @property
    def window(self) -> tuple[int, int, int, int]:
        height, width = self.depth.shape
        return self.x0, self.y0, self.x0 + width, self.y0 + height


def draw(solids: Solids, camera: Camera, offset: int = 0) -> Buffer:
    """Depth and index (counted from `offset`) of the nearest solid at every pixel of the window that holds them all."""
    windows = solids.windows(camera)
    full = windows[(windows[:, 2] > windows[:, 0]) & (windows[:, 3] > windows[:, 1])]
    if not len(full):
        return Buffer.empty((0, 0, 0, 0))
    buffer = Buffer.empty((*full[:, :2].min(0).tolist(), *full[:, 2:].max(0).tolist()))
    x, y = camera.rays()
    with np.errstate(invalid="ignore", divide="ignore"):
        # a ray that misses has a negative discriminant and becomes NaN
        for i, (x0, y0, x1, y1) in enumerate(windows.tolist()):
            if x1 > x0 and y1 > y0:
                depth = solid_depth(solids, i, x[None, x0:x1], y[y0:y1, None])
                buffer.add((x0, y0, x1, y1), depth, offset + i)
    return buffer


def solid_depth(solids: Solids, i: int, x_1W: np.ndarray, y_H1: np.ndarray) -> np.ndarray:
    """Depth [H,W] of the first hit of solid `i`, NaN where the ray misses it.

    Rays start near the solid (w = z0 d - a, with z0 the depth of its first centre), which keeps float32 differences
    small. Sums of a row and a column are left for last: they cost one pass over the window each.
    """
    (ax, ay, z0), m = solids.start[i].tolist(), solids.span[i]
    (g00, g01, g02), (_, g11, g12), (_, _, g22) = solids.metric[i].tolist()
    r, k = float(solids.radius[i]), float(solids.growth[i])
    wx, wy = z0 * x_1W - ax, z0 * y_H1 - ay
    gx, gy = g00 * x_1W + g02, g11 * y_H1 + g12
    dd = (gx + g02) * x_1W + ((gy + g12) * y_H1 + g22)
    wd = gx * wx + gy * wy
    wwx, wwy = g00 * wx * wx - r * r, g11 * wy * wy
    c = wwx + wwy
    if g01:
        dd += (2 * g01 * y_H1) * x_1W
        wd += (g01 * wy) * x_1W + (g01 * y_H1) * wx
        c += (cross := (2 * g01 * wy) * wx)
    first = _sphere(dd, wd, c)
    gm = solids.metric[i] @ m
    length2 = float(m @ gm)
    if length2 == 0.0:
        return first + z0
    mx, my, mz = gm.tolist()
    md = mx * x_1W + (my * y_H1 + mz)
    c_last = (wwx - 2 * mx * wx) + (wwy - 2 * my * wy + (length2 + r * r - (r + k) ** 2))
    if g01:
        c_last += cross
    nearest = np.fmin(first, _sphere(dd, wd - md, c_last))
    if length2 <= k * k:  # one sphere holds the other: there is no mantle
        return nearest + z0
    root = (length2 - k * k) ** 0.5  # of K; s and the products with m are counted in units of it
    md *= 1 / root
    e = (mx / root) * wx + ((my / root) * wy + k * r / root)
    qa, qb = dd - md * md, wd - md * e
    t = (qb + np.sqrt(qb * qb - qa * (c - e * e))) / -qa
    s = e + t * md
    return np.fmin(nearest, np.where((s >= 0) & (s <= root), t, np.float32(np.nan))) + z0


def _sphere(dd: np.ndarray, wd: np.ndarray, c: np.ndarray) -> np.ndarray:
    """First root of dd t^2 + 2 wd t + c, NaN where there is none."""
    return (wd + np.sqrt(wd * wd - dd * c)) / -dd


@dataclass(frozen=True)
class Box:
    """A box: centre [3], axes [3,3] in columns, half sizes [3], all in the camera frame."""

    centre: np.ndarray
    axes: np.ndarray
    half: np.ndarray

    def window(self, camera: Camera) -> tuple[int, int, int, int]:
        """Pixel window that holds the box; the whole image if it comes too close to the camera."""
        signs = np.array(np.meshgrid((-1, 1), (-1, 1), (-1, 1))).reshape(3, 8).T
        corners = self.centre + (signs * self.half) @ self.axes.T
        height, width = camera.size_hw
        if corners[:, 2].min() < NEAREST_M:
            return 0, 0, width, height
        pixels = camera.project(corners)
        x0, y0 = np.floor(pixels.min(0)).clip(0, (width, height)).astype(int).tolist()
        x1, y1 = (np.ceil(pixels.max(0)) + 1).clip(0, (width, height)).astype(int).tolist()
        return x0, y0, x1, y1

    def depth(self, window: tuple[int, int, int, int], camera: Camera) -> np.ndarray:
        """Depth [h,w] over the window by the slab method, infinite where the ray passes the box."""
        x0, y0, x1, y1 = window
        x, y = camera.rays()
        x, y = x[None, x0:x1], y[y0:y1, None]
        enter = np.full((len(y), x.shape[1]), NEAREST_M, np.float32)
        leave = np.full_like(enter, FAR)
        for axis, half in zip(self.axes.T, self.half, strict=True):
            slope = float(axis[0]) * x + (float(axis[1]) * y + float(axis[2]))
            slope = np.where(np.abs(slope) < 1e-6, np.float32(1e-6), slope)
            start = float(axis @ self.centre)
            one, two = (start - float(half)) / slope, (start + float(half)) / slope
            enter, leave = np.maximum(enter, np.minimum(one, two)), np.minimum(leave, np.maximum(one, two))
        return np.where(enter < leave, enter, FAR).astype(np.float32)
