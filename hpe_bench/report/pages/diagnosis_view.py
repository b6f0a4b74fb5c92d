"""Where models fail, side by side: by visibility and size, and by kinds of errors, from the records' `diagnosis/` keys.

Records made before these were measured have none; what is drawn needs them in every run of every model shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hpe_bench.metrics.breakdown import PREFIX
from hpe_bench.metrics.diagnosis import KINDS
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit import svgdraw
from hpe_bench.report.kit.figures import Figure
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, exact_span
from hpe_bench.report.kit.text import exact, metric, number, signed, span
from hpe_bench.report.kit.theme import Style
from hpe_bench.verdicts import evidence
from hpe_bench.verdicts.pools import SeedPools

KIND = f"{PREFIX}kind/"
BAR_W, BAR_H, LABEL_W, VALUE_W = 300, 13, 64, 46  # px
KIND_STYLES = dict(zip(KINDS, ("kind-good", "kind-jitter", "kind-inversion", "kind-swap", "kind-miss"), strict=True))


@dataclass(frozen=True)
class DiagnosedModel:
    """A model as a page shows it: its name, its look and its runs by seed."""

    label: str
    style: Style
    runs: Mapping[int, RunRecord]
    pools: SeedPools

    def estimate(self, key: str) -> evidence.Estimate | None:
        """The mean over seeds, if every run has the key."""
        runs = list(self.runs.values())
        return evidence.pooled(runs, key, self.pools) if runs and all(r.get(key) for r in runs) else None


def keys_of(models: Sequence[DiagnosedModel]) -> list[str]:
    """The diagnosis' keys that every run of every model has, in the order of the records."""
    runs = [r for m in models for r in m.runs.values()]
    first = [m.key for m in runs[0].measurements if m.key.startswith(PREFIX)] if runs else []
    return [key for key in first if all(r.get(key) for r in runs)]


# ---------------------------------------------------------------------------------------------------- parts


def part(key: str) -> str:
    """A part of the test set in words."""
    name = key.removeprefix(PREFIX)
    words = {"visible": "visible joints", "hidden": "hidden joints", "found": "persons found, OKS ≥ 0.1"}
    return words.get(name) or name.replace("stature/", "persons of box height ")


def parts_table(id: str, caption: str, models: Sequence[DiagnosedModel], headline: str) -> Table | None:
    """The headline rate of each part of the test set; of two models also the paired difference, second less first."""
    keys = [k for k in keys_of(models) if not k.startswith(KIND)]
    if not keys:
        return None
    pair = (models[1], models[0]) if len(models) == 2 else None
    gains = {k: None if pair is None else gain(*pair, k) for k in (headline, *keys)}
    axis = svgdraw.axis_of([v for g in gains.values() if g and g.interval for v in (g.value, *g.interval)], zero=True)
    rows = []
    for key in (headline, *keys):
        m = next(iter(models[0].runs.values())).get(key)
        assert m is not None
        cells = [Cell("all joints" if key == headline else part(key)), Cell(f"{m.n:,}", sort=float(m.n))]
        cells += [_rate(model.estimate(key)) for model in models]
        if pair is not None:
            cells += _gain(gains[key], axis, models[1].style)
        rows.append(tuple(cells))
    columns = [
        Column("Part"),
        Column("n", numeric=True),
        *(Column(f"{m.label}, {metric(headline)}, %", numeric=True) for m in models),
    ]
    if pair is not None:
        columns += [Column("Difference, points", numeric=True), Column("95 % CI, points")]
    note = "n counts joints, of persons found the persons, in one run. In brackets: 95 % CIs over images and seeds."
    if any(k.endswith("found") for k in keys):
        note += f" Persons found: the share of all persons in %, not {metric(headline)}."
    return Table(id, caption, tuple(columns), tuple(rows), note, emphasised=(0,))


def gain(a: DiagnosedModel, b: DiagnosedModel, key: str) -> evidence.Estimate | None:
    """a less b under a key, paired; None where budgets differ or nothing is tallied."""
    runs = [*a.runs.values(), *b.runs.values()]
    if evidence.unequal_budgets(dict(a.runs), dict(b.runs)) or any(evidence.rates(r, key) is None for r in runs):
        return None
    return evidence.difference(dict(a.runs), dict(b.runs), key, a.pools)


def _rate(e: evidence.Estimate | None) -> Cell:
    if e is None:
        return Cell(EMPTY)
    return Cell(number(e.value, 1), f"{exact(e.value, 'percent')}, {e.method}", e.value, note=span(e.interval))


def _gain(g: evidence.Estimate | None, axis: svgdraw.Axis | None, style: Style) -> list[Cell]:
    if g is None or axis is None:
        return [Cell(EMPTY), Cell("")]
    mark = svgdraw.strip(g.value, g.interval, axis, style.css)
    return [
        Cell(signed(g.value, 1), exact(g.value, "points"), g.value),
        Cell(span(g.interval, sign=True), f"{exact_span(g.interval)} points, {g.method}", mark=mark),
    ]


# ---------------------------------------------------------------------------------------------------- kinds of errors


def shares(model: DiagnosedModel, group: str) -> list[float] | None:
    """Shares of KINDS in percent among the judged joints of a group (all of them if empty), mean over seeds."""
    found = [model.estimate(f"{KIND}{kind}{f'/{group}' if group else ''}") for kind in KINDS]
    return None if any(e is None for e in found) else [e.value for e in found if e is not None]


def groups_of(models: Sequence[DiagnosedModel]) -> list[str]:
    """Joint groups that are diagnosed in every run; empty for all joints, which come first."""
    keys = [k.removeprefix(KIND).partition("/")[2] for k in keys_of(models) if k.startswith(KIND)]
    return list(dict.fromkeys(keys))


def kinds_figure(name: str, caption: str, models: Sequence[DiagnosedModel]) -> Figure | None:
    """Errors stacked by kind, group by group, model under model; good joints are what is missing to 100 %."""
    groups = groups_of(models)
    if not groups:
        return None
    rows = [(g, m, s) for g in groups for m in models if (s := shares(m, g)) is not None]
    top = max(sum(s[1:]) for _, _, s in rows) or 1.0
    height = 8 + sum(BAR_H + 3 for _ in rows) + 9 * len(groups) + 18
    body, y = [], 4.0
    for g in groups:
        own = [(m, s) for group, m, s in rows if group == g]
        middle = y + (BAR_H + 3) * len(own) / 2
        body.append(Markup('<text class="group" x="0" y="{:.1f}" dy=".35em">{}</text>').format(middle - 1, g or "all"))
        for model, found in own:
            body.append(_bar(model, g or "all joints", found, y, top))
            y += BAR_H + 3
        y += 9
    axis = '<text x="{}" y="{:.1f}">0</text><text x="{}" y="{:.1f}" text-anchor="end">{} % of joints</text>'
    body.append(Markup(axis).format(LABEL_W + 18, y + 8, LABEL_W + 18 + BAR_W, y + 8, number(top, 0)))
    told = "; ".join(
        f"{m.label}, {g or 'all joints'}: " + ", ".join(f"{k} {v:.1f} %" for k, v in zip(KINDS, s, strict=True))
        for g, m, s in rows
    )
    svg = Markup(
        '<svg class="kinds" viewBox="0 0 {w} {h:.0f}" style="max-width: {w}px" role="img" '
        'aria-labelledby="{id}-title {id}-desc">\n<title id="{id}-title">Kinds of errors by joint group</title>\n'
        '<desc id="{id}-desc">{told}</desc>\n{body}\n</svg>'
    ).format(w=LABEL_W + 18 + BAR_W + VALUE_W, h=height, id=name, told=told, body=Markup("\n").join(body))
    legend = tuple((_key(kind), kind) for kind in KINDS[1:]) + tuple((svgdraw.swatch(m.style), m.label) for m in models)
    return Figure(svg, caption, legend)


def _bar(model: DiagnosedModel, group: str, found: Sequence[float], y: float, top: float) -> Markup:
    x = float(LABEL_W + 18)
    parts = [
        Markup('<g transform="translate({},{:.1f}) scale(.8)">{}</g>').format(LABEL_W, y, svgdraw.swatch(model.style))
    ]
    for kind, value in list(zip(KINDS, found, strict=True))[1:]:
        width = BAR_W * value / top
        rect = '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{}"><title>{}</title></rect>'
        title = f"{model.label}, {group}: {kind} {number(value, 1)} %"
        parts.append(Markup(rect).format(KIND_STYLES[kind], x, y, width, BAR_H, title))
        x += width
    total = Markup('<text x="{:.1f}" y="{:.1f}">{} %</text>').format(x + 4, y + BAR_H - 2.5, number(sum(found[1:]), 1))
    return Markup("<g>{}{}</g>").format(Markup("").join(parts), total)


def _key(kind: str) -> Markup:
    return Markup(
        '<svg class="swatch" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">'
        '<rect class="{}" x="2" y="3" width="12" height="10"/></svg>'
    ).format(KIND_STYLES[kind])


def kinds_table(id: str, caption: str, models: Sequence[DiagnosedModel]) -> Table | None:
    """The same shares as numbers."""
    rows = [
        (Cell(g or "all joints"), Cell(m.label, before=svgdraw.swatch(m.style)), *_share_cells(found))
        for g in groups_of(models)
        for m in models
        if (found := shares(m, g)) is not None
    ]
    if not rows:
        return None
    columns = (Column("Joints"), Column("Model"), *(Column(f"{kind}, %", numeric=True) for kind in KINDS))
    note = (
        "Labelled joints of found persons, mean over seeds: good (within the spread of human annotators), jitter, on "
        "the mirror joint (inversion), on another person's joint (swap), missed; after Ronchi and Perona (ICCV 2017)."
    )
    return Table(id, caption, columns, tuple(rows), note)


def _share_cells(found: Sequence[float]) -> tuple[Cell, ...]:
    return tuple(Cell(number(v, 1), exact(v, "percent"), v) for v in found)
