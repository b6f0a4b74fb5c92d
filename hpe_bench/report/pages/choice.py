"""The first screen: full-size networks in one table and one plot, and the answer in sentences.

The page opens with one view; `static/networks.js` shows any other from what each row carries. Rows outside of a view
stand in a second, folded table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hpe_bench.report.kit import pareto
from hpe_bench.report.kit.latency_text import named, timing_runs
from hpe_bench.report.kit.pareto import Dot
from hpe_bench.report.kit.tables import EMPTY, HRNET_UNIT, MIB, Cell, Column, Table, exact_span
from hpe_bench.report.kit.text import exact, number, plural, span
from hpe_bench.report.pages import advice, networks
from hpe_bench.report.pages.advice import Advice, Candidate
from hpe_bench.report.pages.networks import FASTEST, NetworkEntry, ScoreField, View
from hpe_bench.timing.rows import NetworkTime
from hpe_bench.verdicts import STATUSES

WITHIN_MS = 30.0  # what the page opens with
GIGA, MEGA = 1e9, 1e6


@dataclass(frozen=True)
class Choice:
    """Everything the template needs of it."""

    view: View
    advice: Advice
    table: Table
    others: Table | None
    plot: Markup
    fields: tuple[tuple[ScoreField, int], ...]  # with the number of networks that have a figure
    machines: tuple[str, ...]
    threads: tuple[int, ...]
    runtimes: tuple[tuple[str, str], ...]  # with what readers call them
    sizes: tuple[str, ...]

    @property
    def tables(self) -> list[Table]:
        return [self.table, *([self.others] if self.others else [])]


def build(found: Sequence[NetworkEntry], links: Mapping[str, str]) -> Choice | None:
    """The first screen over some networks; `links` are addresses of records by id. None where there is no choice."""
    view = networks.first_view(found, WITHIN_MS)
    if view is None:
        return None
    ordered = networks.in_order(found, view)
    chosen = advice.candidates(found, view, links)
    advised = advice.advise(chosen, view)
    hosts = networks.hosts(found)
    rest = ordered[len(chosen) :]
    return Choice(
        view=view,
        advice=advised,
        table=_table("networks", [c.network for c in chosen], view, links, advised.pick),
        others=_table("other-networks", rest, view, links) if rest else None,
        plot=plot(chosen, view),
        fields=tuple((f, sum(f in n.printed for n in found)) for f in networks.fields(found)),
        machines=tuple(dict.fromkeys(h.machine for h in hosts)),
        threads=tuple(sorted({h.threads for h in hosts}, reverse=True)),
        runtimes=((FASTEST, "each network's fastest"), *((r, named(r)) for r in networks.runtimes(found))),
        sizes=tuple(sorted({n.size for n in found}, key=lambda s: [int(side) for side in s.split("×")])),
    )


# ---------------------------------------------------------------------------------------------------- the table


def _table(
    id: str, shown: Sequence[NetworkEntry], view: View, links: Mapping[str, str], pick: Candidate | None = None
) -> Table:
    columns = (
        Column("Network"),
        Column("Input, px"),
        Column(f"Published {view.field.name}, %", numeric=True),
        Column("Latency, ms", numeric=True),
        Column("Images/s", numeric=True),
        Column("GMAC, true count", numeric=True),
        Column("Parameters, M", numeric=True),
        Column("Memory, MiB", numeric=True),
        Column("Its claims"),
    )
    return Table(
        id,
        caption(view) if id == "networks" else "Not timed so, or without a figure of this protocol.",
        columns,
        tuple(_row(n, view, links) for n in shown),
        attributes=tuple(
            {
                "id": n.id,
                "data-network": json.dumps(networks.as_json(n, links), ensure_ascii=False, separators=(",", ":")),
                **({"class": "pick"} if pick is not None and n is pick.network else {}),
            }
            for n in shown
        ),
    )


def caption(view: View) -> str:
    """What the table shows."""
    runtime = "each network's fastest runtime" if view.runtime == FASTEST else named(view.runtime)
    return (
        f"{view.field.name} as published under {view.field.protocol}; latency measured in {runtime} on "
        f"{plural(view.host.threads, 'thread')} of {view.host.machine}, one image."
    )


def _row(n: NetworkEntry, view: View, links: Mapping[str, str]) -> tuple[Cell, ...]:
    time = n.time(view.host, view.runtime) if view.has(n) else None
    page = f"{n.slug}/index.html"
    macs, hrnet, params = n.count("macs"), n.count("macs/hrnet_counter"), n.count("params")
    return (
        Cell(n.name, href=page, note=f"{n.slug} {n.variant.name}"),
        Cell(n.size, sort=float(n.variant.input_hw[0] * n.variant.input_hw[1])),
        _figure(n, view, page),
        _latency(time, view, links),
        Cell(EMPTY) if time is None else Cell(number(1e3 / time.median_ms, 1), sort=1e3 / time.median_ms),
        Cell(EMPTY, "not counted")
        if macs is None
        else Cell(
            number(macs / GIGA, 2),
            exact(macs, "MAC") + ("" if hrnet is None else f"; {hrnet / HRNET_UNIT:.2f} by HRNet's counter"),
            macs / GIGA,
        ),
        Cell(EMPTY, "not counted") if params is None else Cell(number(params / MEGA, 1), exact(params), params / MEGA),
        _memory(time),
        _held(n, page),
    )


def _figure(n: NetworkEntry, view: View, page: str) -> Cell:
    figure = n.printed.get(view.field)
    if figure is None:
        return Cell(EMPTY, note="none published")
    others = "".join(f"; also {c.printed}: {c.source}" for c in figure.others)
    source = figure.claim.source + (" (secondary source)" if figure.secondary else "")
    return Cell(figure.claim.printed, f"{source}{others}", figure.value, note=source, href=f"{page}#claims")


def _latency(time: NetworkTime | None, view: View, links: Mapping[str, str]) -> Cell:
    if time is None:
        return Cell(EMPTY, "not timed")
    told = [span(time.interval_ms), named(time.runtime) if view.runtime == FASTEST else "", timing_runs(time)]
    told += ["" if time.settled else "not settled"]
    title = f"{exact(time.median_ms, 'ms')}, {exact_span(time.interval_ms)}, {time.n} calls"
    note = " · ".join(filter(None, told))
    return Cell(number(time.median_ms, 1), title, time.median_ms, note=note, href=links.get(time.record.id, ""))


def _memory(time: NetworkTime | None) -> Cell:
    peak = None if time is None or time.row is None else time.row.timing.peak_rss_bytes
    return Cell(EMPTY) if peak is None else Cell(number(peak / MIB, 0), exact(peak, "byte"), peak / MIB)


def _held(n: NetworkEntry, page: str) -> Cell:
    """What became of the claims about it that were tested."""
    told = ", ".join(f"{n.held[s]} {s}" for s in STATUSES if n.held.get(s) and s != "not attempted")
    waiting = n.held.get("not attempted", 0)
    note = f"{waiting} not attempted" if waiting else ""
    return Cell(told or EMPTY, note=note, href=f"{page}#claims" if told else "")


# ---------------------------------------------------------------------------------------------------- the plot


def plot(chosen: Sequence[Candidate], view: View) -> Markup:
    """Published accuracy against latency, every mark named and linked to its record; empty without a rated network."""
    dots = [
        Dot(
            c.name,
            c.time.median_ms,
            c.value,
            None,
            f"{c.name}: {c.printed} {view.field.name}, {number(c.time.median_ms, 1)} ms in {named(c.time.runtime)}",
            c.record or f"#{c.network.id}",
            c.network.id,
        )
        for c in chosen
        if c.value is not None
    ]
    if not dots:
        return Markup("")
    y_label = f"published {view.field.name}, %"
    limit = (view.within_ms, f"{view.within_ms:g} ms")
    return pareto.plot("plot-networks", dots, "latency of one image, ms", y_label, log=True, limit=limit)
