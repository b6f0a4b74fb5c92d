"""Accuracy against cost with the Pareto front, drawn as inline SVG whose marks can be pointed at and tabbed to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from markupsafe import Markup, escape

from hpe_bench.report.kit import labels

Interval = tuple[float, float]

WIDTH, HEIGHT = 680, 340
LEFT, RIGHT, TOP, BOTTOM = 52, 18, 14, 46  # margins of the drawing area
FEWEST = 3  # points that are worth a plot
LABELLED = 40  # marks of a plot that are all named, those of the front first; of more the front alone is


@dataclass(frozen=True)
class Dot:
    """A model: what it costs (in the plot's unit), its accuracy in percent, and where its record lies."""

    name: str
    cost: float
    value: float
    interval: Interval | None
    told: str  # name and values in words
    href: str
    row: str  # id of its row in the table


def front(dots: Sequence[Dot]) -> list[int]:
    """Dots that no other beats: none is at most as costly and at least as accurate, cheapest first.

    Equal ones stand on the front together.
    """
    order = sorted(range(len(dots)), key=lambda i: (dots[i].cost, -dots[i].value))
    kept: list[int] = []
    for i in order:
        last = dots[kept[-1]] if kept else None
        if last is None or dots[i].value > last.value or (dots[i].cost, dots[i].value) == (last.cost, last.value):
            kept.append(i)
    return kept


def plot(
    name: str,
    dots: Sequence[Dot],
    x_label: str,
    y_label: str,
    log: bool = False,
    limit: tuple[float, str] | None = None,
) -> Markup:
    """The plot; `name` makes its ids unique. Costs lie on a logarithmic axis with `log`; `limit` is a cost to be
    marked, and its text.
    """
    ends = [v for d in dots for v in (d.value, *(d.interval or ()))]
    costs = [*(d.cost for d in dots), *([limit[0]] if limit else [])]
    x = (LogScale if log else AxisScale).over(costs, LEFT, WIDTH - RIGHT)
    y = AxisScale.over(ends, HEIGHT - BOTTOM, TOP)
    best = front(dots)
    title = f"{y_label} against {x_label}, {len(dots)} networks, {len(best)} on the Pareto front"
    body = [*_grid(x, y, x_label, y_label), *_limit(limit, x), _line([dots[i] for i in best], x, y)]
    body += [*_labels(dots, best, x, y), *_marks(dots, best, x, y)]
    return Markup(
        '<svg class="pareto" viewBox="0 0 {w} {h}" role="group" aria-labelledby="{id}-title">\n'
        '<title id="{id}-title">{title}</title>\n{body}\n</svg>'
    ).format(w=WIDTH, h=HEIGHT, id=name, title=title, body=Markup("\n").join(body))


@dataclass(frozen=True)
class AxisScale:
    """From values to pixels, linear, with round ticks inside."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> Self:
        margin = 0.08 * (max(values) - min(values)) or 0.05 * abs(max(values)) or 1.0
        return cls(max(min(values) - margin, 0.0), max(values) + margin, start, end)

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Three to nine round values and how they are written."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.6)
        digits = max(0, -math.floor(math.log10(step)))
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [(k * step, f"{k * step:,.{digits}f}") for k in range(first, first + count)]


@dataclass(frozen=True)
class LogScale(AxisScale):
    """From values above 0 to pixels, logarithmic, with ticks at 1, 2 and 5 of every power of ten."""

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> Self:
        margin = max(values) / min(values)
        margin = margin**0.06 if margin > 1 else 1.5
        return cls(min(values) / margin, max(values) * margin, start, end)

    def at(self, value: float) -> float:
        return self.start + math.log(value / self.low) / math.log(self.high / self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = [m * 10.0**p for p in powers for m in (1, 2, 5)]
        return [(v, f"{v:,g}") for v in values if self.low <= v <= self.high]


def _grid(x: AxisScale, y: AxisScale, x_label: str, y_label: str) -> list[Markup]:
    bottom = HEIGHT - BOTTOM
    parts = []
    for value, text in x.ticks:
        at = f"{x.at(value):.1f}"
        parts.append(Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(at, bottom + 18, text))
    for value, text in y.ticks:
        at = f"{y.at(value):.1f}"
        line = Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, at, at)
        label = Markup('<text x="{}" y="{}" dy=".35em" text-anchor="end">{}</text>').format(LEFT - 8, at, text)
        parts += [line, label]
    parts.append(Markup('<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(LEFT, WIDTH - RIGHT, bottom))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(Markup('<text x="{:.0f}" y="{}" text-anchor="middle">{}</text>').format(middle, HEIGHT - 8, x_label))
    turned = '<text transform="translate(13 {:.0f}) rotate(-90)" text-anchor="middle">{}</text>'
    return [*parts, Markup(turned).format((TOP + bottom) / 2, y_label)]


def _line(best: Sequence[Dot], x: AxisScale, y: AxisScale) -> Markup:
    """The front as steps: between two marks, the cheaper one's accuracy is what can be had."""
    first = best[0]
    path = f"M{x.at(first.cost):.1f} {y.at(first.value):.1f}"
    path += "".join(f"H{x.at(d.cost):.1f}V{y.at(d.value):.1f}" for d in best[1:]) + f"H{WIDTH - RIGHT}"
    return Markup('<path class="steps" d="{}"/>').format(path)


def _marks(dots: Sequence[Dot], best: Sequence[int], x: AxisScale, y: AxisScale) -> list[Markup]:
    """Marks behind the front first, so that the front is never covered."""
    ahead = set(best)
    behind = [i for i in range(len(dots)) if i not in ahead]
    return [_mark(dots[i], x, y, i in ahead) for i in (*behind, *best)]


def _mark(d: Dot, x: AxisScale, y: AxisScale, ahead: bool) -> Markup:
    """A link to the model's record: its name and values as title, its interval as a whisker."""
    cx = f"{x.at(d.cost):.1f}"
    told, href, whisker = escape(d.told), escape(d.href), ""
    if d.interval is not None:
        low, high = (f"{y.at(end):.1f}" for end in d.interval)
        whisker = f'<line x1="{cx}" x2="{cx}" y1="{low}" y2="{high}"/>'
    look, radius = ("ahead", 5) if ahead else ("behind", 4)
    return Markup(
        f'<a class="{look}" href="{href}" data-row="{escape(d.row)}" aria-label="{told}">'
        f'<title>{told}</title>{whisker}<circle cx="{cx}" cy="{y.at(d.value):.1f}" r="{radius}"/></a>'
    )


def _labels(dots: Sequence[Dot], best: Sequence[int], x: AxisScale, y: AxisScale) -> list[Markup]:
    """Names beside the marks, those of the front first, none over another name or a mark."""
    rest = [i for i in range(len(dots)) if i not in set(best)]
    unnamed = set(rest) if len(dots) > LABELLED else set()
    order = [*best, *rest]
    marks = [(x.at(dots[i].cost), y.at(dots[i].value), "" if i in unnamed else dots[i].name) for i in order]
    parts = []
    for (cx, cy, name), label in zip(marks, labels.place(marks, (LEFT, 0, WIDTH, HEIGHT - BOTTOM)), strict=True):
        if label is None:
            continue
        if label.led:
            line = '<line class="leader" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'
            parts.append(Markup(line).format(cx, cy, label.x, label.y - 4))
        text = '<text class="name" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>'
        parts.append(Markup(text).format(label.x, label.y, label.anchor, name))
    return parts


def _limit(limit: tuple[float, str] | None, x: AxisScale) -> list[Markup]:
    """A cost that is not to be passed, as a line with its text at the foot."""
    if limit is None:
        return []
    at = f"{x.at(limit[0]):.1f}"
    line = Markup('<line class="limit" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(at, TOP, HEIGHT - BOTTOM)
    return [
        line,
        Markup('<text class="limit" x="{}" y="{}" dx="4">{}</text>').format(at, HEIGHT - BOTTOM - 5, limit[1]),
    ]
