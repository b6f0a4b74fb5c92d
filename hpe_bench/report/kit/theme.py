"""Colours by role, as CSS variables, and the sentinels that stand for them while matplotlib draws.

matplotlib knows no CSS variables: figures are drawn in sentinel colours that occur nowhere else, and the SVG text is
rewritten afterwards. One drawing then serves light, dark and print.
"""

from __future__ import annotations

from dataclasses import dataclass

INK, MUTED, LINE, SURFACE = "#fe0001", "#fe0002", "#fe0003", "#fe0004"
SERIES = tuple(f"#fd000{i}" for i in range(8))  # 0 is the control, 1 the proposal, wherever they appear
MEAN_POSE = MUTED

CSS = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)", SURFACE: "var(--surface)"} | {
    colour: f"var(--series-{i})" for i, colour in enumerate(SERIES)
}
MARKERS = ("s", "o", "^", "D", "v", "P", "X", "p")
DASHES: tuple[tuple[float, tuple[float, ...] | None], ...] = ((0, None), (0, (6, 2)), (0, (2, 2)))


@dataclass(frozen=True)
class Style:
    """How a series looks wherever it appears: colour, marker and dash together, so that colour is never alone."""

    index: int

    @property
    def sentinel(self) -> str:
        """The control's grey is never used again; the other colours repeat with another marker and dash."""
        return SERIES[self.index if self.index == 0 else 1 + (self.index - 1) % (len(SERIES) - 1)]

    @property
    def css(self) -> str:
        return CSS[self.sentinel]

    @property
    def marker(self) -> str:
        return MARKERS[self.index % len(MARKERS)]

    @property
    def dash(self) -> tuple[float, tuple[float, ...] | None]:
        return DASHES[max(self.index - 1, 0) // (len(SERIES) - 1) % len(DASHES)]
