"""A study's figures: accuracy against MACs, accuracy by joint group, training curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hpe_bench.report.kit import plots, svgdraw
from hpe_bench.report.kit.studies import ArmResult, StudyResult, group_keys, sample_size
from hpe_bench.report.kit.text import arm_label, metric, where
from hpe_bench.verdicts import evidence

MEGA = 1e6


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption and legend."""

    svg: Markup
    caption: str
    legend: tuple[tuple[Markup, str], ...]


def legend(results: Sequence[ArmResult]) -> tuple[tuple[Markup, str], ...]:
    """Marker and name of each arm."""
    return tuple((svgdraw.swatch(a.style), arm_label(a.arm)) for a in results)


def _extent(results: Sequence[ArmResult], key: str) -> str:
    return f"n = {sample_size([r for a in results for r in a.runs], key)}, {_seeds(results)}"


def _seeds(results: Sequence[ArmResult]) -> str:
    seeds = sorted({a.accuracy.seeds for a in results if a.accuracy})
    return f"{' or '.join(map(str, seeds))} seeds an arm"


def accuracy_against_macs(name: str, result: StudyResult, results: Sequence[ArmResult]) -> Figure | None:
    """Accuracy with its interval against true MACs; None where no cost was measured."""
    shown = [a for a in results if a.accuracy and a.cost and a.cost.get("macs")]
    points = []
    for a in shown:
        macs = a.cost.get("macs") if a.cost else None
        assert macs is not None
        assert a.accuracy is not None
        points.append(
            (arm_label(a.arm), a.style, plots.PlotPoint(macs.value / MEGA, a.accuracy.value, a.accuracy.interval))
        )
    if not points:
        return None
    svg = plots.scatter(name, points, "MMAC per crop, true count", f"{metric(result.key)}, %")
    caption = (
        f"{where(result.where)}. Bars: 95 % CIs over images and seeds; {_extent(shown, result.key)}. "
        "MACs are no measure of speed; the table has the latency."
    )
    return Figure(svg, caption, legend(shown))


def by_joint(name: str, result: StudyResult, results: Sequence[ArmResult]) -> Figure | None:
    """Accuracy by joint group; None where groups were not measured."""
    keys = group_keys(results, result.key)
    if not keys:
        return None
    rows = []
    for a in results:
        found = [
            evidence.pooled(list(a.runs), k, result.pools) if all(r.get(k) for r in a.runs) else None for k in keys
        ]
        values = tuple(None if e is None else e.value for e in found)
        rows.append(
            plots.Dots(arm_label(a.arm), a.style, values, tuple(None if e is None else e.interval for e in found))
        )
    names = [k.rpartition("/")[2].replace("_", " ") for k in keys]
    svg = plots.dots(name, names, rows, f"{metric(result.key)}, %")
    methods = sorted({evidence.pooled(list(a.runs), keys[0], result.pools).method for a in results})
    how = f"95 % CIs ({', '.join(methods)}); {_extent(results, result.key)}"
    caption = f"{where(result.where)}. Mean over seeds with {how}."
    return Figure(svg, caption, legend(results))


def training_curves(name: str, result: StudyResult, results: Sequence[ArmResult]) -> Figure | None:
    """Probe accuracy against samples seen; None without curves."""
    lines, shown = [], []
    for a in results:
        runs = [r for r in a.runs if len(r.curve) > 1]
        grids = {tuple(p.samples for p in r.curve) for r in runs}
        if len(grids) == 1:
            grid = tuple(float(s) for s in grids.pop())
            lines.append(
                plots.Line(arm_label(a.arm), a.style, grid, tuple(tuple(p.probe for p in r.curve) for r in runs))
            )
            shown.append(a)
    if not lines:
        return None
    svg = plots.curves(name, lines, f"{metric(result.key)} on the probe persons, %")
    caption = (
        f"{where(result.where)}. Bold: mean over seeds; thin: each seed; {_seeds(shown)}, no interval. The probe is a "
        "fixed spread of at most 250 test persons without flip test, decoded as the headline protocol says."
    )
    return Figure(svg, caption, legend(shown))
