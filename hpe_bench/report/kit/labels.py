"""Names beside the marks of a plot, so that none covers another name or a mark. `static/networks.js` has the same rule.

Pixels, y downwards. A name goes to the first place around its mark that is free, further away with a leader line; where
none is, the mark stays without a name, which pointer, keyboard and table still tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LETTER_PX, LINE_PX = 7.0, 13.0  # of a label of 11 px: a letter's mean width in a wide face, and its height
MARK_PX = 6.0  # around a mark's centre
AWAY_PX = (0.0, 14.0, 28.0, 44.0)  # from the nearest place; above 0 a leader line is drawn
AROUND = (  # (right, down, anchor) from the mark's centre to the text's base line; above and left of a front is nothing
    (-7.0, -7.0, "end"),
    (0.0, -9.0, "middle"),
    (-9.0, 4.0, "end"),
    (7.0, -7.0, "start"),
    (9.0, 4.0, "start"),
    (7.0, 15.0, "start"),
    (0.0, 18.0, "middle"),
    (-7.0, 15.0, "end"),
)
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Label:
    """A name's base line, how it is set there, and whether a line leads to its mark."""

    x: float
    y: float
    anchor: str
    led: bool


def place(marks: Sequence[tuple[float, float, str]], within: Box) -> list[Label | None]:
    """Labels of marks (x, y, name), in their order; the first choose first. One without a name only stands there."""
    taken = [(x - MARK_PX, y - MARK_PX, x + MARK_PX, y + MARK_PX) for x, y, _ in marks]
    found: list[Label | None] = []
    for x, y, name in marks:
        label, box = _free(x, y, name, within, taken) if name else (None, None)
        found.append(label)
        taken += [box] if box else []
    return found


def _free(x: float, y: float, name: str, within: Box, taken: Sequence[Box]) -> tuple[Label | None, Box | None]:
    for away in AWAY_PX:
        for right, down, anchor in AROUND:
            at = (x + right + _further(right, away), y + down + _further(down - 4, away))
            box = _box(*at, anchor, LETTER_PX * len(name))
            if _inside(box, within) and not any(_meet(box, other) for other in taken):
                return Label(*at, anchor, away > 0), box
    return None, None


def _further(offset: float, away: float) -> float:
    return 0.0 if offset == 0 else away if offset > 0 else -away


def _box(x: float, y: float, anchor: str, width: float) -> Box:
    left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
    return left, y - LINE_PX + 3, left + width, y + 3


def _inside(box: Box, within: Box) -> bool:
    return box[0] >= within[0] and box[1] >= within[1] and box[2] <= within[2] and box[3] <= within[3]


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
