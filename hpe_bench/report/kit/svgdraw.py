"""Drawings of our own: skeletons over a person's crop, and intervals inside table cells."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from markupsafe import Markup

from hpe_bench.data.skeletons import COCO_17, LSP_14, MPII_16, Skeleton
from hpe_bench.records.schema import Heatmap, Sample
from hpe_bench.report.kit.theme import Style

LARGE_ERROR = 0.1  # of the box diagonal: a joint further off is marked
MARGIN = 0.15  # of the drawn square, around what must be seen
CROP_SIDE_PX = 320  # of an embedded picture, at most
JPEG_QUALITY = 82
HEAT_BGR, HEAT_ALPHA = (40, 190, 255), 220  # colour of a heatmap and its opacity at the peak

SKELETONS = {len(s.joints): s for s in (COCO_17, MPII_16, LSP_14)}


def skeleton_of(joints: int) -> Skeleton:
    """The skeleton with this number of joints."""
    if joints not in SKELETONS:
        raise ValueError(f"a skeleton of {joints} joints; known ones have {sorted(SKELETONS)}")
    return SKELETONS[joints]


@dataclass(frozen=True)
class Window:
    """The square part of an image that is drawn, in image pixels."""

    x: float
    y: float
    side: float


def window_of(samples: Sequence[Sample]) -> Window:
    """A square around a person's box and every joint drawn near it, the same for all predictions of the person."""
    x, y, w, h = samples[0].box
    corners = [(x, y), (x + w, y + h)]
    for sample in samples:
        corners += [p for p, labelled in zip(sample.truth, sample.labelled, strict=True) if labelled]
        corners += [(min(max(px, x - w), x + 2 * w), min(max(py, y - h), y + 2 * h)) for px, py in sample.predicted]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    side = max((1 + MARGIN) * float(np.max(high - low)), 1.0)
    left, top = (low + high - side) / 2
    return Window(float(left), float(top), side)


def person(
    sample: Sample, image: np.ndarray | None, window: Window, label: str, skeleton: Skeleton | None = None
) -> Markup:
    """A crop with the true skeleton (thin, white on dark) and the predicted one, large errors marked.

    `image` is uint8 RGB [height, width, 3] or None for a plain ground. `skeleton` says which joints a limb joins; a
    record's, which does not name its skeleton, is told by the number of joints.
    """
    known = skeleton or SKELETONS.get(len(sample.truth))  # of other joints than those, only the joints are drawn
    limbs = known.limbs if known else ()
    unit = window.side / 100  # stroke widths follow the person's size
    body = [_ground(image, window), "" if sample.heatmap is None else _heat(sample.heatmap)]
    body += [_limbs(limbs, sample, sample.truth, "truth", unit, only_labelled=True)]
    body += [_limbs(limbs, sample, sample.predicted, "guess", unit, only_labelled=False), _errors(sample, unit)]
    box = f"{window.x:.1f} {window.y:.1f} {window.side:.1f} {window.side:.1f}"
    return Markup(
        f'<svg class="person" viewBox="{box}" role="img" aria-label="%s">{"".join(b for b in body)}</svg>'
    ) % (label,)  # fmt: skip


def large_errors(sample: Sample) -> list[int]:
    """Labelled joints whose error exceeds 10 % of the box diagonal."""
    limit = LARGE_ERROR * float(np.hypot(*sample.box[2:]))
    away = np.linalg.norm(np.array(sample.truth) - np.array(sample.predicted), axis=1)
    return [j for j, labelled in enumerate(sample.labelled) if labelled and away[j] > limit]


def _ground(image: np.ndarray | None, w: Window) -> str:
    place = f'x="{w.x:.1f}" y="{w.y:.1f}" width="{w.side:.1f}" height="{w.side:.1f}"'
    if image is None:
        return f'<rect class="ground" {place}/>'
    return f'<image {place} preserveAspectRatio="none" href="data:image/jpeg;base64,{_jpeg(image, w)}"/>'


def _jpeg(image: np.ndarray, w: Window) -> str:
    """The window as base64 JPEG, grey where it leaves the image; pixel centres at whole numbers."""
    pixels = round(min(CROP_SIDE_PX, 2 * w.side))
    scale = pixels / w.side
    matrix = np.array([[scale, 0, -scale * w.x - 0.5], [0, scale, -scale * w.y - 0.5]])
    crop = cv2.warpAffine(
        np.ascontiguousarray(image),
        matrix,
        (pixels, pixels),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(96, 96, 96),
    )
    done, data = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return base64.b64encode(data.tobytes()).decode()


def heat_levels(found: Heatmap) -> np.ndarray:
    """Levels [rows, columns] uint8; 255 is the peak. ValueError where the record's bytes are not what it says."""
    data = zlib.decompress(base64.b64decode(found.pixels))
    if len(data) != found.hw[0] * found.hw[1]:
        raise ValueError(f"a heatmap of {found.hw[0]}x{found.hw[1]} has {len(data)} bytes; score its run again")
    return np.frombuffer(data, np.uint8).reshape(found.hw)


def _heat(found: Heatmap) -> str:
    """The heatmap as a glow over its part of the image, hidden until a reader asks for it."""
    levels = heat_levels(found)
    glow = np.empty((*found.hw, 4), np.uint8)  # OpenCV's order: blue, green, red, alpha
    glow[..., :3] = HEAT_BGR
    glow[..., 3] = (HEAT_ALPHA * (levels / 255) ** 0.5).round()
    done, data = cv2.imencode(".png", glow)
    assert done
    x, y, w, h = found.window
    place = f'x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"'
    href = base64.b64encode(data.tobytes()).decode()
    return f'<image class="heat" {place} preserveAspectRatio="none" href="data:image/png;base64,{href}"/>'


def _limbs(
    limbs: Sequence[tuple[int, int]],
    sample: Sample,
    points: Sequence[tuple[float, float]],
    role: str,
    unit: float,
    only_labelled: bool,
) -> str:
    drawn = [not only_labelled or labelled for labelled in sample.labelled]
    lines = [
        f"M{points[a][0]:.1f} {points[a][1]:.1f}L{points[b][0]:.1f} {points[b][1]:.1f}"
        for a, b in limbs
        if drawn[a] and drawn[b]
    ]
    path = "".join(lines)
    halo = f'<path class="halo" d="{path}" stroke-width="{2.6 * unit:.2f}"/>' if role == "guess" else ""
    joints = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{(1.5 if role == "truth" else 1.1) * unit:.2f}"/>'
        for (x, y), shown in zip(points, drawn, strict=True)
        if shown
    )
    width = (2.0 if role == "truth" else 1.2) * unit
    return f'{halo}<g class="{role}" stroke-width="{width:.2f}"><path d="{path}"/>{joints}</g>'


def _errors(sample: Sample, unit: float) -> str:
    marks = []
    for j in large_errors(sample):
        (ax, ay), (bx, by) = sample.truth[j], sample.predicted[j]
        marks.append(
            f'<path d="M{ax:.1f} {ay:.1f}L{bx:.1f} {by:.1f}" stroke-dasharray="{2 * unit:.2f} {1.2 * unit:.2f}"/>'
            f'<circle cx="{bx:.1f}" cy="{by:.1f}" r="{2.6 * unit:.2f}"/>'
        )
    return f'<g class="error" stroke-width="{0.9 * unit:.2f}">{"".join(marks)}</g>' if marks else ""


# ---------------------------------------------------------------------------------------------------- inside tables


@dataclass(frozen=True)
class Axis:
    """The shared horizontal axis of a column of intervals."""

    low: float
    high: float
    zero: bool = False  # draw a line at 0

    def at(self, value: float, width: float) -> float:
        """Position of a value on a strip of this width, kept inside it."""
        share = (value - self.low) / (self.high - self.low)
        return 4 + (width - 8) * min(max(share, 0.0), 1.0)


def axis_of(values: Sequence[float], zero: bool = False) -> Axis | None:
    """An axis around some values, with a margin; None where there is nothing to draw."""
    values = [*values, 0.0] if zero and values else list(values)
    if not values:
        return None
    margin = 0.08 * (max(values) - min(values)) or 1.0
    return Axis(min(values) - margin, max(values) + margin, zero)


def strip(value: float, interval: tuple[float, float] | None, axis: Axis, css: str, width: int = 132) -> Markup:
    """A value and its interval as a small mark on the column's shared axis; the numbers stand beside it."""
    at = f"{axis.at(value, width):.1f}"
    zero = ""
    if axis.zero:
        x = f"{axis.at(0.0, width):.1f}"
        zero = f'<line class="zero" x1="{x}" x2="{x}" y1="0" y2="18"/>'
    bar = ""
    if interval is not None:
        low, high = (f"{axis.at(end, width):.1f}" for end in interval)
        bar = f'<line x1="{low}" x2="{high}" y1="9" y2="9" stroke="{css}" stroke-width="2.5" stroke-linecap="round"/>'
    return Markup(
        f'<svg class="strip" viewBox="0 0 {width} 18" width="{width}" height="18" aria-hidden="true">'
        f'<line class="base" x1="2" x2="{width - 2}" y1="9" y2="9"/>{zero}{bar}'
        f'<circle cx="{at}" cy="9" r="4" fill="{css}"/></svg>'
    )


SHAPES = {
    "s": '<rect x="4" y="4" width="8" height="8"/>',
    "o": '<circle cx="8" cy="8" r="4.6"/>',
    "^": '<path d="M8 3l5 9H3z"/>',
    "D": '<path d="M8 2.6L13.4 8 8 13.4 2.6 8z"/>',
    "v": '<path d="M8 13L3 4h10z"/>',
    "P": '<path d="M6 3h4v3h3v4h-3v3H6v-3H3V6h3z"/>',
    "X": '<path d="M3 5l2-2 3 3 3-3 2 2-3 3 3 3-2 2-3-3-3 3-2-2 3-3z"/>',
    "p": '<path d="M8 2.5l5.5 4-2.1 6.5H4.6L2.5 6.500z"/>',
}


def swatch(style: Style) -> Markup:
    """The marker of a series, for legends and table rows."""
    return Markup(
        f'<svg class="swatch" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" fill="{style.css}">'
        f"{SHAPES[style.marker]}</svg>"
    )
