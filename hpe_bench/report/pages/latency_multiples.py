"""Latency by runtime as small multiples: a panel a runtime, every network in one order and on one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hpe_bench.report.kit.latency_text import named
from hpe_bench.report.kit.pareto import LogScale
from hpe_bench.report.kit.text import number, plural, span
from hpe_bench.report.pages.networks import Host, NetworkEntry
from hpe_bench.timing.rows import NetworkTime

FEWEST_RUNTIMES = 3  # in which a network must be timed to stand here
WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 400, 172, 46, 6, 20, 24


@dataclass(frozen=True)
class Panel:
    """A runtime."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Multiples:
    """The panels of a machine."""

    machine: str
    threads: tuple[int, ...]  # most first: its marks are filled, those of the others hollow
    panels: tuple[Panel, ...]


def build(found: Sequence[NetworkEntry], links: Mapping[str, str]) -> tuple[Multiples, ...]:
    """One for each machine, that of most networks first; `links` are addresses of records by id."""
    machines: dict[str, list[NetworkEntry]] = {}
    for n in found:
        for machine in dict.fromkeys(h.machine for h in n.times):
            if len(_runtimes(n, machine)) >= FEWEST_RUNTIMES:
                machines.setdefault(machine, []).append(n)
    ordered = sorted(machines.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return tuple(_multiples(machine, own, links) for machine, own in ordered)


def _runtimes(n: NetworkEntry, machine: str) -> set[str]:
    """In which it was timed there, times in process left out."""
    return {r for host, by in n.times.items() if host.machine == machine for r, t in by.items() if t.row is not None}


def _multiples(machine: str, own: Sequence[NetworkEntry], links: Mapping[str, str]) -> Multiples:
    threads = tuple(sorted({h.threads for n in own for h in n.times if h.machine == machine}, reverse=True))
    names = [n.name for n in own]
    called = [n.name if names.count(n.name) == 1 else f"{n.name} {n.size}" for n in own]
    shown = [
        _Line(n, name, {k: _timed(n, Host(machine, k)) for k in threads}) for n, name in zip(own, called, strict=True)
    ]
    shown.sort(key=lambda line: (line.least, line.name))
    every = [t.median_ms for line in shown for by in line.times.values() for t in by.values()]
    x = LogScale.over(every, LEFT, WIDTH - RIGHT)
    runtimes = {r for line in shown for by in line.times.values() for r in by}
    fastest = {r: min(_all(shown, r)) for r in runtimes}
    ordered = sorted(runtimes, key=lambda r: (fastest[r], named(r)))
    panels = (Panel(named(r), _panel(r, machine, shown, threads, x, links)) for r in ordered)
    return Multiples(machine, threads, tuple(panels))


@dataclass(frozen=True)
class _Line:
    """A network's times by threads and runtime."""

    network: NetworkEntry
    name: str
    times: Mapping[int, Mapping[str, NetworkTime]]

    @property
    def least(self) -> float:
        return min(t.median_ms for by in self.times.values() for t in by.values())


def _timed(n: NetworkEntry, host: Host) -> dict[str, NetworkTime]:
    return {r: t for r, t in n.times.get(host, {}).items() if t.row is not None}


def _all(shown: Sequence[_Line], runtime: str) -> list[float]:
    return [by[runtime].median_ms for line in shown for by in line.times.values() if runtime in by]


def _panel(
    runtime: str, machine: str, shown: Sequence[_Line], threads: Sequence[int], x: LogScale, links: Mapping[str, str]
) -> Markup:
    height = TOP + ROW * len(shown) + BOTTOM
    foot = height - BOTTOM
    parts = [Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, foot, foot)]
    for value, text in _few(x.ticks):
        at = f"{x.at(value):.1f}"
        parts.append(Markup('<line class="grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(at, TOP, foot))
        parts.append(Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(at, height - 8, text))
    for k, line in enumerate(shown):
        parts += _line(runtime, line, threads, TOP + ROW * k + ROW / 2, x, links)
    title = f"{named(runtime)}: latency of one image, ms, on {machine}"
    return Markup('<svg class="multiple" viewBox="0 0 {} {}" role="group" aria-label="{}">{}</svg>').format(
        WIDTH, height, title, Markup("").join(parts)
    )


def _few(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Powers of ten where there are many."""
    round_ones = [t for t in ticks if t[1].replace(",", "").strip("0.") == "1"]
    return list(ticks) if len(ticks) <= 5 else round_ones


def _line(
    runtime: str, line: _Line, threads: Sequence[int], y: float, x: LogScale, links: Mapping[str, str]
) -> list[Markup]:
    """A network's name, a mark for each number of threads, and the time at the most."""
    found = [(k, by[runtime]) for k in threads if runtime in (by := line.times[k])]
    missing = "" if found else " missing"
    name = Markup('<text class="name{}" x="{}" y="{}" dy=".35em" text-anchor="end">{}</text>')
    parts = [name.format(missing, LEFT - 10, f"{y:g}", line.name)]
    if len(found) > 1:
        ends = [x.at(t.median_ms) for _, t in found]
        bar = '<line class="bar" x1="{:.1f}" x2="{:.1f}" y1="{y:g}" y2="{y:g}"/>'
        parts.append(Markup(bar).format(min(ends), max(ends), y=y))
    for k, t in reversed(found):
        look = "most" if k == threads[0] else "fewer"
        told = f"{line.name} in {named(runtime)}, {plural(k, 'thread')}: {number(t.median_ms, 1)} ms"
        told = f"{told} {span(t.interval_ms)}".rstrip()
        parts.append(_mark(look, x.at(t.median_ms), y, told, links.get(t.record.id, f"#{line.network.id}")))
    if found:
        ms = found[0][1].median_ms
        text = Markup('<text x="{}" y="{}" dy=".35em" text-anchor="end">{}</text>')
        parts.append(text.format(WIDTH - 2, f"{y:g}", number(ms, 1 if ms < 100 else 0)))
    return parts


def _mark(look: str, cx: float, cy: float, told: str, href: str) -> Markup:
    mark = (
        '<a class="{}" href="{}" aria-label="{told}"><title>{told}</title><circle cx="{:.1f}" cy="{:g}" r="4.5"/></a>'
    )
    return Markup(mark).format(look, href, cx, cy, told=told)
