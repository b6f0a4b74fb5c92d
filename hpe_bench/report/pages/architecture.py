"""The architecture of a network, drawn from its code: blocks in columns as they run, in rows by resolution.

A drawing is a function of the code alone (`cost/outline.py`). A line goes around what stands between its ends in a row,
along the row's upper edge; where several share that edge, they are one stream that every block taps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hpe_bench.cost.outline import IMAGE, Outline, OutlineBlock, OutlineStage, Size, outline
from hpe_bench.declare import Claim, Paper, Variant
from hpe_bench.report.kit.tables import Cell, Column, Table
from hpe_bench.report.kit.text import exact, identifier, number, plural, size

BOX_W, BOX_H, GAP = 66, 50, 18  # px
ROW_H, LEFT, TOP = 74, 84, 8
NAME_LETTERS = 12  # of a name that fits a box


@dataclass(frozen=True)
class Architecture:
    """A network's drawing and what its stages cost."""

    title: str
    svg: Markup
    caption: str
    stages: Table


def architectures(paper: Paper, claims: Sequence[Claim]) -> tuple[Architecture, ...]:
    """The full-size variant that most claims are about (of several, the first declared), then the first miniature."""
    about = Counter(c.variant for c in claims)
    full = sorted((v for v in paper.variants if v.scale == "full"), key=lambda v: -about[v.name])[:1]
    small = [v for v in paper.variants if v.scale == "pocket"][:1]
    return tuple(_architecture(v, outline(v)) for v in (*full, *small))


def _architecture(variant: Variant, found: Outline) -> Architecture:
    name = identifier(variant.name).replace(".", "-")
    scale = "full size" if variant.scale == "full" else "in miniature"
    share = 100 * found.left_out / found.cost.macs
    rest = f" Lines stand for small layers too, {number(share, 1)} % of the MACs." if found.left_out else ""
    caption = (
        f"Read from the code of {variant.name}, input {size(variant.input_hw)} px. Rows are resolutions; a box names "
        "its module, the channels it gives, its MACs (true count) and parameters, and is the darker the more MACs it "
        "has. A tall box is a module that works at all the resolutions it covers; a dot marks blocks whose heatmaps "
        f"are supervised on the way.{rest}"
    )
    return Architecture(
        f"{variant.name}, {scale}", drawing(f"net-{name}", variant.name, found), caption, stage_table(variant, found)
    )


# ---------------------------------------------------------------------------------------------------- layout


@dataclass(frozen=True)
class Place:
    """Where a block stands: column, and the rows from the finest to the coarsest size it works at."""

    column: int
    top: int
    bottom: int
    row: int  # of what it gives

    @property
    def x(self) -> float:
        return LEFT + self.column * (BOX_W + GAP)

    @property
    def y(self) -> float:
        return TOP + self.row * ROW_H + ROW_H / 2


def rows_of(found: Outline) -> list[Size]:
    """The sizes at which blocks work, and of the last heatmaps, finest first."""
    sizes = {s for b in found.blocks for s in (b.hw, *b.spans)} | {found.outputs[-1].hw}
    return sorted(sizes, reverse=True)


def places(found: Outline) -> tuple[list[Place], Place]:
    """A place for every block, and one for the last heatmaps: right of all that feeds it and of its rows' others."""
    row = {hw: k for k, hw in enumerate(rows_of(found))}
    taken = [0] * len(row)  # columns by row; the first is the image's
    placed: list[Place] = []

    def put(inputs: Sequence[int], sizes: Sequence[Size], hw: Size) -> Place:
        rows = range(row[max(sizes)], row[min(sizes)] + 1)
        after = [placed[i].column for i in inputs if 0 <= i < len(placed)]
        column = 1 + max([0, *after, *(taken[r] for r in rows)])
        for r in rows:
            taken[r] = column
        return Place(column, rows[0], rows[-1], row[hw])

    for b in found.blocks:
        place = put(b.inputs, (b.hw, *b.spans), b.hw)
        placed.append(place)
    last = found.outputs[-1]
    return placed, put(last.inputs, (last.hw,), last.hw)


# ---------------------------------------------------------------------------------------------------- drawing


def drawing(name: str, title: str, found: Outline) -> Markup:
    """The outline as SVG; `name` makes its ids unique."""
    placed, end = places(found)
    rows = rows_of(found)
    image = Place(0, placed[0].row, placed[0].row, placed[0].row)
    width = LEFT + (end.column + 1) * (BOX_W + GAP)
    height = TOP + len(rows) * ROW_H + 4
    at = {IMAGE: image, **dict(enumerate(placed))}
    body = [
        *_rows(rows, found.input_hw, width),
        *_lines([(at[i], at[k]) for k, b in enumerate(found.blocks) for i in b.inputs], placed),
        *_lines([(at[i], end) for i in found.outputs[-1].inputs], placed),
        _pill(image, "image", size(found.input_hw)),
        *_boxes(found, placed),
        _pill(end, f"{found.outputs[-1].joints} maps", size(found.outputs[-1].hw)),
    ]
    return Markup(
        '<svg class="network" viewBox="0 0 {w} {h}" style="min-width: {least}px; max-width: {w}px" role="img" '
        'aria-labelledby="{id}-title {id}-desc">\n<title id="{id}-title">Architecture of {title}</title>\n'
        '<desc id="{id}-desc">{told}</desc>\n{body}\n</svg>'
    ).format(
        w=width,
        h=height,
        least=round(0.8 * width),
        id=name,
        title=title,
        told=told(found),
        body=Markup("\n").join(body),
    )


def told(found: Outline) -> str:
    """The drawing in words: resolutions, and every block with what feeds it."""
    names = {IMAGE: "the image", **{k: b.name for k, b in enumerate(found.blocks)}}
    blocks = "; ".join(
        f"{b.name}: {b.channels} channels, {size(b.hw)}, from {', '.join(names[i] for i in b.inputs)}"
        for b in found.blocks
    )
    last = found.outputs[-1]
    return (
        f"{plural(len(found.blocks), 'block')}. {blocks}. "
        f"{last.joints} heatmaps of {size(last.hw)} from {', '.join(names[i] for i in last.inputs)}."
    )


def _rows(rows: Sequence[Size], input_hw: Size, width: int) -> Iterator[Markup]:
    for k, hw in enumerate(rows):
        y = TOP + k * ROW_H
        if k % 2 == 0:
            yield Markup('<rect class="band" x="0" y="{}" width="{}" height="{}"/>').format(y, width, ROW_H)
        stride = f"1/{input_hw[0] / hw[0]:g}"
        label = '<text class="stride" x="8" y="{}">{}</text><text x="8" y="{}">{}</text>'
        yield Markup(label).format(y + ROW_H / 2 - 3, stride, y + ROW_H / 2 + 11, f"{size(hw)} px")


def _lines(ends: Sequence[tuple[Place, Place]], placed: Sequence[Place]) -> Iterator[Markup]:
    """From the right edge of what gives to the left edge of what takes.

    Lines are level until the last gap, so that they cross rows beside boxes rather than over them.
    """
    for a, b in ends:
        x1, x2 = a.x + BOX_W, b.x
        y1, y2 = a.y, b.y if b.top == b.bottom else _entry(b, a)
        blocked = any(p.top <= a.row <= p.bottom and a.column < p.column < b.column for p in placed)
        bend = x2 - (6 if y1 == y2 else GAP)
        bus = f"L{x1 + 6:g} {y1 - BOX_H / 2 - 6:g}" if blocked else ""
        yield Markup('<path class="flow" d="M{:g} {:g}{}H{:g}L{:g} {:g}"/>').format(x1, y1, bus, bend, x2, y2)


def _entry(b: Place, a: Place) -> float:
    """Height at which a tall box is entered: its source's row, if it covers that one."""
    row = min(max(a.row, b.top), b.bottom)
    return TOP + row * ROW_H + ROW_H / 2


def _boxes(found: Outline, placed: Sequence[Place]) -> Iterator[Markup]:
    most = max(b.macs for b in found.blocks)
    supervised = {i for maps in found.outputs[:-1] for i in maps.inputs}
    for k, (b, p) in enumerate(zip(found.blocks, placed, strict=True)):
        y = TOP + p.top * ROW_H + (ROW_H - BOX_H) / 2
        height = BOX_H + (p.bottom - p.top) * ROW_H
        middle, x = p.y - BOX_H / 2, p.x + BOX_W / 2
        texts = [short(b.name), f"{b.channels} ch", f"{amount(b.macs)}MAC", f"{amount(b.params)} param"]
        lines = Markup("").join(
            Markup('<text class="{}" x="{:g}" y="{:g}">{}</text>').format(
                "name" if n == 0 else "", x, middle + 12 + 11 * n, text
            )
            for n, text in enumerate(texts)
        )
        dot = Markup('<circle class="mark" cx="{:g}" cy="{:g}" r="4"/>').format(p.x + BOX_W - 2, y + 2)
        yield Markup(
            '<g class="box"><title>{}</title>'
            '<rect class="ground" x="{x:g}" y="{y:g}" width="{w}" height="{h:g}" rx="3"/>'
            '<rect class="fill" x="{x:g}" y="{y:g}" width="{w}" height="{h:g}" rx="3" fill-opacity="{o:.3f}"/>{}{}</g>'
        ).format(
            _title(b, found), lines, dot if k in supervised else "", x=p.x, y=y, w=BOX_W, h=height,
            o=0.04 + 0.36 * b.macs / most,
        )  # fmt: skip


def _title(b: OutlineBlock, found: Outline) -> str:
    return (
        f"{b.name} ({b.kind}): {b.channels} channels, {size(b.hw)} px; {b.macs:,} MAC, "
        f"{number(100 * b.macs / found.cost.macs, 1)} %; {b.params:,} parameters, "
        f"{number(100 * b.params / found.cost.params, 1)} %; {plural(b.convolutions, 'convolution')}"
    )


def _pill(place: Place, what: str, detail: str) -> Markup:
    x, y = place.x, place.y
    return Markup(
        '<g class="pill"><rect x="{:g}" y="{:g}" width="{}" height="34" rx="17"/>'
        '<text class="name" x="{:g}" y="{:g}">{}</text><text x="{:g}" y="{:g}">{}</text></g>'
    ).format(x, y - 17, BOX_W, x + BOX_W / 2, y - 2, what, x + BOX_W / 2, y + 10, detail)


def short(name: str) -> str:
    """A module's path in the letters of a box: words but the last become initials, the longest first; then the middle
    is left out.
    """
    *parts, last = name.split(".")
    while len(".".join([*parts, last])) > NAME_LETTERS and any(len(p) > 1 and not p.isdigit() for p in parts):
        longest = max(range(len(parts)), key=lambda k: (not parts[k].isdigit(), len(parts[k])))
        parts[longest] = parts[longest][0]
    whole = ".".join([*parts, last])
    if len(whole) <= NAME_LETTERS:
        return whole
    return f"{'.'.join(parts)[: max(NAME_LETTERS - len(last) - 1, 0)]}…{last[-(NAME_LETTERS - 1) :]}"


def amount(count: int) -> str:
    """Three significant figures with a prefix: `1.47 G`, `235 M`, `16.8 k`."""
    for unit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * unit:
            value = count / unit
            return f"{number(value, 2 if value < 9.995 else 1 if value < 99.95 else 0)} {prefix}"
    return str(count)


# ---------------------------------------------------------------------------------------------------- stages


def stage_table(variant: Variant, found: Outline) -> Table:
    """What each child of the network costs, in the order they run."""
    name = identifier(variant.name).replace(".", "-")
    unit, prefix = (1e9, "G") if variant.scale == "full" else (1e6, "M")
    whole = found.cost
    rows = [_stage_row(s, found, unit) for s in found.stages]
    rows.append(
        (
            Cell("Whole network"),
            Cell(f"{found.outputs[-1].joints} maps, {size(found.outputs[-1].hw)}"),
            *_cost_cells(whole.macs, whole.macs_hrnet_counter, whole.params, whole.activations, unit),
        )
    )
    columns = (
        Column("Stage"),
        Column("Gives, channels and px"),
        Column(f"{prefix}MAC, true count", numeric=True),
        Column(f"{prefix}MAC, HRNet counter", numeric=True),
        Column("Parameters, M", numeric=True),
        Column("Activations, M", numeric=True),
    )
    note = (
        f"One image of {size(variant.input_hw)} px; exact counts, no interval. Bars: share of the whole. MACs do not "
        "order speed (F20): latencies of the whole network stand under Cost. Activations "
        "are the elements that convolutions and matrix products write. HRNet counter: transposed convolutions at "
        f"output resolution, here in units of 10{'⁹' if prefix == 'G' else '⁶'} like the true count."
    )
    return Table(f"stages-{name}", f"{variant.name}: cost by stage.", columns, tuple(rows), note, (len(rows) - 1,))


def _stage_row(s: OutlineStage, found: Outline, unit: float) -> tuple[Cell, ...]:
    whole = found.cost
    shares = (s.macs / whole.macs, s.macs_hrnet_counter / whole.macs_hrnet_counter, s.params / whole.params)
    cells = _cost_cells(s.macs, s.macs_hrnet_counter, s.params, s.activations, unit)
    shown = zip(cells, (*shares, s.activations / whole.activations), strict=True)
    return (
        Cell(s.name, note=s.kind),
        Cell(f"{s.channels}, {size(s.hw)}"),
        *(_with_bar(c, share) for c, share in shown),
    )


def _cost_cells(macs: int, hrnet: int, params: int, activations: int, unit: float) -> tuple[Cell, ...]:
    digits = 3 if unit == 1e9 else 2
    values = (
        (macs, unit, digits, "MAC"),
        (hrnet, unit, digits, "MAC"),
        (params, 1e6, 3, ""),
        (activations, 1e6, 2, ""),
    )
    return tuple(Cell(number(v / per, d), exact(v, what), v / per) for v, per, d, what in values)


def _with_bar(cell: Cell, share: float) -> Cell:
    mark = Markup(
        '<svg class="share" viewBox="0 0 60 5" width="60" height="5" aria-hidden="true"><rect class="whole" width="60" '
        'height="5"/><rect class="part" width="{:.1f}" height="5"/></svg>'
    ).format(60 * share)
    return Cell(cell.text, cell.title, cell.sort, note=f"{number(100 * share, 1)} %", mark=mark)
