"""Figures: matplotlib to inline SVG that follows the page's theme and font; the same input, the same bytes (R3)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from xml.sax.saxutils import escape

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from hpe_bench.report.kit.theme import CSS, INK, LINE, MUTED, SERIES, SURFACE, Style

PER_INCH = 72  # units of matplotlib's SVG
PX = 1 / PER_INCH  # figure sizes are given in CSS pixels
WIDTH_PX = 400  # fits a phone, where 13 px text stays above 11 px
RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hpe-bench",
    "font.size": 13,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelpad": 8,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "errorbar.capsize": 0,
}


@dataclass(frozen=True)
class PlotPoint:
    """One mark: position, value, 95 % CI."""

    x: float
    y: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Line:
    """One arm's training curves: shared samples seen, probe accuracy per seed."""

    label: str
    style: Style
    samples: tuple[float, ...]
    probes: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Dots:
    """One arm's (or codec's) values by category, with intervals."""

    label: str
    style: Style
    values: tuple[float | None, ...]
    intervals: tuple[tuple[float, float] | None, ...]


@contextmanager
def _axes(width_px: int, height_px: int) -> Iterator[tuple[Figure, Axes]]:
    with mpl.rc_context(RC):
        figure = Figure(figsize=(width_px * PX, height_px * PX), dpi=PER_INCH, layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        yield figure, axes


def scatter(name: str, points: Sequence[tuple[str, Style, PlotPoint]], x_label: str, y_label: str) -> Markup:
    """Accuracy against cost, with vertical intervals."""
    with _axes(WIDTH_PX, 300) as (figure, axes):
        for _, style, p in points:
            if p.interval is not None:
                axes.vlines(p.x, *p.interval, color=style.sentinel, linewidth=1.8)
            axes.plot(p.x, p.y, style.marker, color=style.sentinel, markersize=8, markeredgecolor=SURFACE)
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.margins(x=0.08, y=0.12)
        axes.set_xlim(left=0)
        told = "; ".join(f"{label}: {p.y:.1f} at {p.x:.4g}" for label, _, p in points)
        return _svg(figure, name, f"{y_label} against {x_label}", told)


def curves(name: str, lines: Sequence[Line], y_label: str) -> Markup:
    """Probe accuracy against samples seen: the mean over seeds, each seed thin behind it."""
    import pandas as pd
    import seaborn as sns  # slow to import, and no command but a page's needs it

    found = [
        (str(i), seed, x, y)
        for i, line in enumerate(lines)
        for seed, probe in enumerate(line.probes)
        for x, y in zip(line.samples, probe, strict=True)
    ]
    by_seed = pd.DataFrame(found, columns=["row", "seed", "x", "y"])
    palette = {str(i): line.style.sentinel for i, line in enumerate(lines)}
    with _axes(WIDTH_PX, 300) as (figure, axes):
        sns.lineplot(
            by_seed,
            x="x",
            y="y",
            hue="row",
            palette=palette,
            units="seed",
            estimator=None,
            linewidth=0.8,
            alpha=0.35,
            legend=False,
            ax=axes,
        )
        sns.lineplot(
            by_seed,
            x="x",
            y="y",
            hue="row",
            style="row",
            palette=palette,
            dashes={str(i): line.style.dash[1] or "" for i, line in enumerate(lines)},
            estimator="mean",
            errorbar=None,  # seeds are drawn one by one
            linewidth=2.2,
            legend=False,
            ax=axes,
        )
        ends = [float(np.mean(line.probes, axis=0)[-1]) for line in lines]
        for line, end in zip(lines, ends, strict=True):
            colour, mark = line.style.sentinel, line.style.marker
            axes.plot(line.samples[-1:], [end], mark, color=colour, markeredgecolor=SURFACE, markersize=7)
        axes.set(xlabel="training samples seen", ylabel=y_label)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        axes.locator_params(axis="x", nbins=5)
        told = "; ".join(f"{line.label} ends at {end:.1f}" for line, end in zip(lines, ends, strict=True))
        return _svg(figure, name, f"{y_label} against training samples seen", told)


def grid(
    name: str, rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]], title: str
) -> Markup:
    """Values by row and column as shades with their numbers, darker for more; what was not measured stays empty."""
    import seaborn as sns  # likewise

    shades = np.array([[np.nan if v is None else v for v in row] for row in values], float)
    with _axes(WIDTH_PX, 50 + 26 * len(rows)) as (figure, axes):
        sns.heatmap(
            shades,
            annot=True,
            fmt=".1f",
            cmap=sns.light_palette("#8fbfe0", as_cmap=True),
            cbar=False,
            linewidths=1.5,
            linecolor=SURFACE,
            xticklabels=list(columns),
            yticklabels=list(rows),
            annot_kws={"fontsize": 12},
            ax=axes,
        )
        axes.grid(visible=False)
        axes.xaxis.tick_top()
        axes.tick_params(labelcolor=INK, labelrotation=0)
        told = "; ".join(f"{row}: {_listed(columns, line)}" for row, line in zip(rows, values, strict=True))
        return _svg(figure, name, title, told)


def spreads(name: str, rows: Sequence[tuple[str, Sequence[float]]], x_label: str) -> Markup:
    """Single measurements, a row each: a box over the middle half with the median, whiskers from 5 to 95 %."""
    import pandas as pd
    import seaborn as sns  # likewise

    found = pd.DataFrame([(label, v) for label, values in rows for v in values], columns=["row", "value"])
    with _axes(WIDTH_PX, 60 + 26 * len(rows)) as (figure, axes):
        sns.boxplot(
            found,
            x="value",
            y="row",
            color=SERIES[1],
            saturation=1.0,
            whis=(5, 95),
            showfliers=False,
            width=0.6,
            linewidth=1.2,
            linecolor=INK,
            ax=axes,
        )
        axes.set(xlabel=x_label, ylabel="")
        axes.tick_params(axis="y", labelcolor=INK)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(left=0)
        told = "; ".join(f"{label}: median {np.median(values):.4g}" for label, values in rows)
        return _svg(figure, name, f"{x_label}, single measurements", told)


@dataclass(frozen=True)
class Trace:
    """One arm's values over a quantity, with intervals."""

    label: str
    style: Style
    points: tuple[PlotPoint, ...]


def traces(
    name: str, rows: Sequence[Trace], x_label: str, y_label: str, *, ticks: Sequence[float] = (), log: bool = False
) -> Markup:
    """Values over a quantity, one line a row, with vertical intervals; `ticks` name the places that are labelled."""
    import pandas as pd
    import seaborn as sns  # likewise

    found = [(str(i), p.x, p.y) for i, row in enumerate(rows) for p in row.points]
    styles = {str(i): row.style for i, row in enumerate(rows)}
    with _axes(WIDTH_PX, 320) as (figure, axes):
        sns.lineplot(
            pd.DataFrame(found, columns=["row", "x", "y"]),
            x="x",
            y="y",
            hue="row",
            style="row",
            hue_order=list(styles),
            style_order=list(styles),
            palette={key: style.sentinel for key, style in styles.items()},
            markers={key: style.marker for key, style in styles.items()},
            dashes={key: style.dash[1] or "" for key, style in styles.items()},
            estimator=None,
            errorbar=None,  # the intervals are those of the tables
            legend=False,
            markersize=7,
            markeredgecolor=SURFACE,
            ax=axes,
        )
        for row in rows:
            for p in row.points:
                if p.interval is not None:
                    axes.vlines(p.x, *p.interval, color=row.style.sentinel, linewidth=1.8)
        axes.set(xlabel=x_label, ylabel=y_label)
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(lambda x, _: "")
            axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        if ticks:
            axes.set_xticks(list(ticks), [_short(t) for t in ticks])
        told = "; ".join(f"{r.label}: " + ", ".join(f"{p.y:.1f} at {p.x:,.4g}" for p in r.points) for r in rows)
        return _svg(figure, name, f"{y_label} against {x_label}", told)


def _short(value: float) -> str:
    """A number on an axis: 40 k for 40,000."""
    return f"{value / 1000:g} k" if value >= 1000 and value % 1000 == 0 else f"{value:g}"


def lines(
    name: str, series: Sequence[tuple[str, Style, np.ndarray, np.ndarray]], x_label: str, y_label: str, top: float
) -> Markup:
    """Curves without markers, y from 0 to `top`; each series is label, style, x and y."""
    with _axes(WIDTH_PX, 300) as (figure, axes):
        for _, style, x, y in series:
            axes.plot(x, y, color=style.sentinel, linewidth=2.0, linestyle=style.dash)
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.set_xlim(left=0)
        axes.set_ylim(0, top)
        told = "; ".join(f"{label} ends at {y[-1]:.1f}" for label, _, _, y in series)
        return _svg(figure, name, f"{y_label} against {x_label}", told)


def dots(name: str, categories: Sequence[str], rows: Sequence[Dots], x_label: str) -> Markup:
    """Values by category, one mark per arm side by side, with horizontal intervals."""
    height = 60 + len(categories) * max(38, 16 * len(rows) + 12)
    with _axes(WIDTH_PX, height) as (figure, axes):
        gap = min(0.24, 0.7 / max(len(rows), 1))
        for i, row in enumerate(rows):
            offset = (i - (len(rows) - 1) / 2) * gap
            for y, (value, interval) in enumerate(zip(row.values, row.intervals, strict=True)):
                if value is None:
                    continue
                if interval is not None:
                    axes.hlines(y + offset, *interval, color=row.style.sentinel, linewidth=1.8)
                axes.plot(
                    value, y + offset, row.style.marker, color=row.style.sentinel, markersize=7, markeredgecolor=SURFACE
                )
        axes.set_yticks(range(len(categories)), categories)
        axes.set_ylim(len(categories) - 0.5, -0.5)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.grid(visible=False, axis="y")
        for y in range(1, len(categories)):
            axes.axhline(y - 0.5, color=LINE, linewidth=0.8)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(x_label)
        told = "; ".join(f"{r.label}: " + _listed(categories, r.values) for r in rows)
        return _svg(figure, name, f"{x_label} by joint group", told)


def steps(name: str, categories: Sequence[str], rows: Sequence[Dots], x_label: str, y_label: str) -> Markup:
    """Values over ordered categories, one line per row, with vertical intervals; marks stand a little apart."""
    with _axes(WIDTH_PX, 340) as (figure, axes):
        gap = min(0.05, 0.5 / max(len(rows), 1))
        for i, row in enumerate(rows):
            shown = [
                (x + (i - (len(rows) - 1) / 2) * gap, value, interval)
                for x, (value, interval) in enumerate(zip(row.values, row.intervals, strict=True))
                if value is not None
            ]
            colour, place = row.style.sentinel, [x for x, _, _ in shown]
            axes.plot(place, [v for _, v, _ in shown], color=colour, linewidth=1.4, linestyle=row.style.dash)
            for x, value, interval in shown:
                if interval is not None:
                    axes.vlines(x, *interval, color=colour, linewidth=1.8)
                axes.plot(x, value, row.style.marker, color=colour, markersize=7, markeredgecolor=SURFACE)
        axes.set_xticks(range(len(categories)), categories)
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.grid(visible=False, axis="x")
        told = "; ".join(f"{r.label}: " + _listed(categories, r.values) for r in rows)
        return _svg(figure, name, f"{y_label} against {x_label}", told)


@dataclass(frozen=True)
class Ranked:
    """One line of a rank chart: its rank (1 is the least) under each heading."""

    label: str
    short: str  # for the narrow right-hand side, where colour and marker tell the rest
    style: Style
    ranks: tuple[int, ...]


def slopes(name: str, headings: Sequence[str], rows: Sequence[Ranked], title: str) -> Markup:
    """How an order changes from heading to heading; names stand at both ends."""
    with _axes(WIDTH_PX, 70 + 25 * len(rows)) as (figure, axes):
        place = range(len(headings))
        for row in rows:
            moves = len(set(row.ranks)) > 1
            look: dict[str, Any] = {"color": row.style.sentinel, "alpha": 1.0 if moves else 0.45}
            axes.plot(place, row.ranks, linewidth=2.2 if moves else 1.4, linestyle=row.style.dash, **look)
            axes.plot(place, row.ranks, row.style.marker, markersize=7, markeredgecolor=SURFACE, **look)
        right = axes.twinx()
        for side, at in ((axes, 0), (right, -1)):
            ordered = sorted(rows, key=lambda row: row.ranks[at])
            side.set_yticks([row.ranks[at] for row in ordered], [row.short if at else row.label for row in ordered])
            side.tick_params(axis="y", labelcolor=INK, labelsize=11)
            side.set_ylim(len(rows) + 0.6, 0.4)
            side.grid(visible=False)
            for spine in side.spines.values():
                spine.set_visible(False)
        axes.set_xticks(place, headings)
        axes.xaxis.tick_top()
        axes.set_xlim(-0.12, len(headings) - 0.88)
        told = "; ".join(f"{row.label}: {', '.join(map(str, row.ranks))}" for row in rows)
        return _svg(figure, name, title, f"ranks under {', '.join(h.replace(chr(10), ' ') for h in headings)}: {told}")


def speeds(
    name: str, points: Sequence[tuple[str, Style, float, float]], roof: float | None, x_label: str, y_label: str
) -> Markup:
    """Marks (label, style, x, y), x on a logarithmic axis; `roof` is a line that no mark can pass."""
    with _axes(WIDTH_PX, 320) as (figure, axes):
        for _, style, x, y in points:
            axes.plot(x, y, style.marker, color=style.sentinel, markersize=7, markeredgecolor=SURFACE)
        if roof is not None:
            axes.axhline(roof, color=MUTED, linewidth=1.4, linestyle=(0, (6, 3)))
        axes.set(xlabel=x_label, ylabel=y_label, xscale="log")
        axes.set_ylim(0, 1.08 * max([y for *_, y in points] + ([] if roof is None else [roof])))
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.xaxis.set_minor_formatter(lambda x, _: "")
        told = "; ".join(f"{label}: {y:.1f} at {x:.3g}" for label, _, x, y in points)
        return _svg(figure, name, f"{y_label} against {x_label}", told)


def _listed(categories: Sequence[str], values: Sequence[float | None]) -> str:
    return ", ".join(f"{c} {v:.1f}" for c, v in zip(categories, values, strict=True) if v is not None)


def _svg(figure: Figure, name: str, title: str, description: str) -> Markup:
    """The figure as an SVG element: themed, its ids made unique by `name`, its text in the page's font."""
    layout = figure.get_layout_engine()
    assert layout is not None
    layout.execute(figure)
    figure.set_layout_engine(None)  # else it is drawn twice, the first time for the layout
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([0-9.]+px) [^;\"]*", r"font-size: \1; font-family: inherit", text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    for sentinel, css in CSS.items():
        text = text.replace(sentinel, css)
    text = _renamed(text, name)
    view = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', text)
    assert view is not None
    head = (
        f'<svg class="plot" viewBox="0 0 {view[1]} {view[2]}" style="max-width: {float(view[1]):.0f}px" role="img" '
        f'aria-labelledby="{name}-title {name}-desc" xmlns:xlink="http://www.w3.org/1999/xlink">\n'
        f' <title id="{name}-title">{escape(title)}</title>\n <desc id="{name}-desc">{escape(description)}</desc>'
    )
    return Markup(head + text[text.index(">", text.index("<svg")) + 1 :].rstrip())


def _renamed(text: str, name: str) -> str:
    """Short ids of our own in place of matplotlib's, which repeat from figure to figure of a page."""
    fresh = count()
    ids = {old: f"{name}-{next(fresh)}" for old in dict.fromkeys(re.findall(r'\bid="([^"]+)"', text))}
    text = re.sub(r'\bid="([^"]+)"', lambda m: f'id="{ids[m[1]]}"', text)
    return re.sub(r'(url\(|href=")#([^")]+)', lambda m: f"{m[1]}#{ids[m[2]]}", text)
