"""A page that sets networks of several papers side by side: published accuracy against time, and why MACs are not time.

Which networks stand there a paper declares (`declare.SideBySide`). What they are made of (layers by kind, values
written) is counted from the code of the models; times are those of `networks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hpe_bench.catalog import LoadedPaper
from hpe_bench.cost.model_cost import Cost
from hpe_bench.cost.outline import outline
from hpe_bench.declare import SideBySide
from hpe_bench.records import query
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit import pareto
from hpe_bench.report.kit.latency_text import LATENCY, named, share_of_peak
from hpe_bench.report.kit.pareto import Dot
from hpe_bench.report.kit.tables import EMPTY, Cell, Column, Table, latency_cell
from hpe_bench.report.kit.text import NO_BREAK, exact, number, plural, span
from hpe_bench.report.pages import networks, provenance_view
from hpe_bench.report.pages.networks import FASTEST, Host, NetworkEntry, ScoreField
from hpe_bench.timing.rows import NetworkTime

SEPARATE = ("depthwise convolution", "grouped convolution")  # kinds whose channels do not all meet
BYTES = 4  # of a float32


@dataclass(frozen=True)
class SideBySidePage:
    """Everything the template needs."""

    asked: SideBySide
    answer: tuple[str, ...]
    accuracy: Table
    plots: tuple[tuple[str, Markup], ...]  # with their captions
    timings: tuple[Table, ...]
    energy: str  # where it was not measured: why
    make: Table
    why: tuple[str, ...]
    untimed: tuple[str, ...]  # names of networks that were not timed yet
    commands: tuple[str, ...]  # that time these
    environments: Table

    @property
    def tables(self) -> list[Table]:
        return [self.accuracy, *self.timings, self.make, self.environments]


def asked_of(papers: Sequence[LoadedPaper], found: Sequence[NetworkEntry]) -> list[SideBySide]:
    """The pages that there are: of which the baseline and another network were timed."""
    asked = [p.paper.side_by_side for p in papers if p.paper.side_by_side is not None]
    return [a for a in asked if len(_timed(sides(a, found))) > 1]


def sides(asked: SideBySide, found: Sequence[NetworkEntry]) -> list[NetworkEntry]:
    """The networks of a page, in its order, as far as they have a published figure or a time."""
    by_name = {f"{n.slug}/{n.variant.name}": n for n in found}
    return [by_name[name] for name in asked.networks if name in by_name]


def _timed(own: Sequence[NetworkEntry]) -> list[NetworkEntry]:
    """Those with timing runs; nothing if the first, the baseline, has none."""
    timed = [n for n in own if any(t.row for by in n.times.values() for t in by.values())]
    return timed if timed and own[0] is timed[0] else []


def build(asked: SideBySide, found: Sequence[NetworkEntry]) -> SideBySidePage | None:
    """The page; None until its baseline and another network were timed."""
    own = sides(asked, found)
    timed = _timed(own)
    if len(timed) < 2:
        return None
    hosts = _shared(timed)
    made = {n.id: outline(n.variant).cost for n in own}
    behind = {t.record.id: t.record for n in timed for by in n.times.values() for t in by.values() if t.row}
    return SideBySidePage(
        asked=asked,
        answer=tuple(_answer(timed, hosts[0])),
        accuracy=_accuracy(own, hosts[0]),
        plots=tuple(_plots(timed, hosts)),
        timings=tuple(_timings(timed, host) for host in hosts),
        energy="" if _has_energy(timed) else _no_energy(behind.values()),
        make=_make(own, made, hosts[0]),
        why=tuple(_why(timed, made, hosts[0])),
        untimed=tuple(f"{n.name} {n.size}" for n in own if n not in timed),
        commands=tuple(n.command for n in own if n not in timed),
        environments=provenance_view.environments(list(behind.values())),
    )


def _shared(timed: Sequence[NetworkEntry]) -> list[Host]:
    """Where the baseline and another network were timed: the machine of most networks, its most threads first."""
    base, others = timed[0], timed[1:]
    shared = [h for h in networks.hosts(timed) if h in base.times and any(h in n.times for n in others)]
    return [h for h in shared if h.machine == shared[0].machine]


# ---------------------------------------------------------------------------------------------------- in words


def _answer(timed: Sequence[NetworkEntry], host: Host) -> list[str]:
    """What the counts promise against the baseline, and what is measured, in each one's fastest of their runtimes."""
    base = timed[0]
    told = []
    for n in timed[1:]:
        both = n.times.get(host, {}).keys() & base.times.get(host, {}).keys()
        ours, theirs = (side.fastest(host, both) for side in (n, base))
        macs, base_macs = n.count("macs"), base.count("macs")
        if ours is None or theirs is None or not macs or not base_macs:
            continue
        same = n.variant.input_hw == base.variant.input_hw
        told.append(
            f"{n.name} needs ×{number(macs / base_macs, 2)} of {base.name}'s MACs and takes "
            f"×{number(ours.median_ms / theirs.median_ms, 2)} of its time: {number(ours.median_ms, 1)}{NO_BREAK}ms "
            f"{span(ours.interval_ms)} in {named(ours.runtime)} on {plural(host.threads, 'thread')}"
            f"{'' if ours.runtime == theirs.runtime else f', against {_in_its_runtime(theirs)}'}"
            f"{'' if ours.settled and theirs.settled else ', not settled'}"
            f"{'' if same else f', at an input of {n.size}'}."
        )
    return told


def _in_its_runtime(time: NetworkTime) -> str:
    return f"{number(time.median_ms, 1)}{NO_BREAK}ms in {named(time.runtime)}"


def _why(timed: Sequence[NetworkEntry], made: Mapping[str, Cost], host: Host) -> list[str]:
    """What separates the network that does most of its MACs a second from the one that does least."""
    speeds = {n.id: s for n in timed if (s := _speed(n, host)) is not None}
    there = [n for n in timed if n.id in speeds]
    if len(there) < 2:
        return []
    quick, slow = max(there, key=lambda n: speeds[n.id]), min(there, key=lambda n: speeds[n.id])
    if quick is slow:
        return []
    a, b = made[quick.id], made[slow.id]
    told = [
        f"{quick.name} does {number(speeds[quick.id], 0)} GMAC a second, {slow.name} {number(speeds[slow.id], 0)}: "
        f"a MAC of {slow.name} takes ×{number(speeds[quick.id] / speeds[slow.id], 1)} the time.",
        f"{slow.name} writes {number(1e3 * b.activations / b.macs, 1)} values for every thousand MACs, {quick.name} "
        f"{number(1e3 * a.activations / a.macs, 1)}: memory moves as much while less is multiplied.",
        f"{slow.name} comes in {_layers(b)} counted layers of {number(b.macs / _layers(b) / 1e6, 1)} MMAC on average, "
        f"{quick.name} in {_layers(a)} of {number(a.macs / _layers(a) / 1e6, 1)}; each is started, and waits for the "
        "one before it.",
    ]
    if _separate(b) > _separate(a):
        told.append(
            f"Depthwise and grouped convolutions are {_percent(_separate(b))} of {slow.name}'s MACs and "
            f"{_percent(_separate(a))} of {quick.name}'s: every value they read is used a few times only."
        )
    return told


def _percent(share: float) -> str:
    return f"{number(100 * share, 0)}{NO_BREAK}%"


def _layers(cost: Cost) -> int:
    return sum(k.layers for k in cost.kinds)


def _separate(cost: Cost) -> float:
    """Share of the MACs in layers whose channels do not all meet."""
    return sum(k.macs for k in cost.kinds if any(name in k.kind for name in SEPARATE)) / cost.macs


def _float32(n: NetworkEntry, host: Host) -> NetworkTime | None:
    """The fastest time in float32."""
    found = [t for t in n.times.get(host, {}).values() if t.row is not None and t.row.timing.precision == "fp32"]
    return min(found, key=lambda t: t.median_ms, default=None)


def _speed(n: NetworkEntry, host: Host) -> float | None:
    """GMAC a second in the fastest float32 runtime."""
    time = _float32(n, host)
    return None if time is None or time.row is None else time.row.gmacs_per_second


# ---------------------------------------------------------------------------------------------------- tables


def _network(n: NetworkEntry) -> Cell:
    return Cell(n.name, href=f"../{n.slug}/index.html", note=f"{n.slug} {n.variant.name}")


def _accuracy(own: Sequence[NetworkEntry], host: Host) -> Table:
    """Published figures under every protocol that two networks share, beside the fastest time."""
    fields = [f for f in networks.fields(own) if sum(f in n.printed for n in own) > 1]
    columns = (
        Column("Network"),
        *(Column(f"{f.name}, %, {f.protocol}", numeric=True) for f in fields),
        Column("Other figures"),
        Column("GMAC, true count", numeric=True),
        Column("Parameters, M", numeric=True),
        Column(f"Latency, ms, {plural(host.threads, 'thread')}", numeric=True),
    )
    rows = []
    for n in own:
        macs, params, time = n.count("macs"), n.count("params"), n.time(host, FASTEST)
        others = [f"{p.claim.printed} {f.name} ({f.protocol})" for f, p in n.printed.items() if f not in fields]
        fastest = Cell(EMPTY, "not timed yet")
        if time is not None:
            fastest = latency_cell(time)
            fastest = Cell(fastest.text, fastest.title, fastest.sort, f"{named(time.runtime)} · {fastest.note}")
        rows.append(
            (
                _network(n),
                *(_figure(n, f) for f in fields),
                Cell("; ".join(others[:2]) + ("; …" if len(others) > 2 else "") or EMPTY),
                _count(macs, 1e9, 2, "MAC"),
                _count(params, 1e6, 1, ""),
                fastest,
            )
        )
    note = "Figures as published, each under its protocol; none was measured here. Latency: in each network's fastest "
    note += "runtime."
    return Table("accuracy", f"What is published, and what it costs on {host.machine}.", columns, tuple(rows), note)


def _figure(n: NetworkEntry, field: ScoreField) -> Cell:
    p = n.printed.get(field)
    if p is None:
        return Cell(EMPTY)
    source = p.claim.source + (" (secondary source)" if p.secondary else "")
    return Cell(p.claim.printed, source, p.value, note=source)


def _count(value: float | None, unit: float, digits: int, name: str) -> Cell:
    return Cell(EMPTY) if value is None else Cell(number(value / unit, digits), exact(value, name), value / unit)


def _timings(timed: Sequence[NetworkEntry], host: Host) -> Table:
    """A row a network, a column a runtime; below each time its ratio to the baseline's."""
    base = timed[0]
    there = [n for n in timed if n.time(host, FASTEST) is not None]
    runtimes = [r for r in networks.runtimes(there) if any((t := n.times[host].get(r)) and t.row for n in there)]
    energy = _has_energy(there)
    columns = (
        Column("Network"),
        *(Column(f"{named(r)}, ms", numeric=True) for r in runtimes),
        *([Column("Energy, mJ", numeric=True)] if energy else []),
    )
    rows = [
        (_network(n), *(_time(n, base, host, r) for r in runtimes), *([_energy(n, host)] if energy else []))
        for n in there
    ]
    caption = f"Latency of one image on {plural(host.threads, 'thread')} of {host.machine}, by runtime."
    note = f"Below each time its 95 % CI and its ratio to {base.name}'s in the same runtime. {LATENCY}."
    return Table(
        f"threads-{host.threads}", caption, columns, tuple(rows), note, emphasised=(0,) if there[0] is base else ()
    )


def _time(n: NetworkEntry, base: NetworkEntry, host: Host, runtime: str) -> Cell:
    time, other = n.times[host].get(runtime), base.times.get(host, {}).get(runtime)
    if time is None or time.row is None:
        return Cell(EMPTY, "not timed")
    note = span(time.interval_ms)
    if other is not None and other is not time and (ratio := time.against(other)) is not None:
        note += f" ×{number(ratio.value, 2)}"
    return Cell(number(time.median_ms, 1), exact(time.median_ms, "ms"), time.median_ms, note=note)


def _joules(n: NetworkEntry, host: Host) -> float | None:
    """Of one image in the runtime that takes least."""
    times = n.times.get(host, {}).values()
    found = [j for t in times if t.row is not None and (j := t.row.timing.joules_per_image) is not None]
    return min(found, default=None)


def _has_energy(timed: Sequence[NetworkEntry]) -> bool:
    return any(_joules(n, host) is not None for n in timed for host in n.times)


def _energy(n: NetworkEntry, host: Host) -> Cell:
    joules = _joules(n, host)
    return Cell(EMPTY) if joules is None else Cell(number(1e3 * joules, 0), exact(joules, "J"), 1e3 * joules)


def _no_energy(behind: Iterable[RunRecord]) -> str:
    """Why there is no energy, as the newest record says."""
    told = [a.reason for r in query.oldest_first(behind) for a in r.absent if a.key == "energy"]
    return f"No energy was measured: {told[-1].rstrip('.')}." if told else "No energy was measured."


def _make(own: Sequence[NetworkEntry], made: Mapping[str, Cost], host: Host) -> Table:
    """What a network is made of, and how fast its MACs go."""
    columns = (
        Column("Network"),
        Column("GMAC, true count", numeric=True),
        Column("GMAC/s", numeric=True),
        Column("Counted layers", numeric=True),
        Column("MMAC a layer", numeric=True),
        Column("Depthwise and grouped, % of MACs", numeric=True),
        Column("Values written, M", numeric=True),
        Column("Values written per 1000 MACs", numeric=True),
        Column("MACs per byte of weights and values", numeric=True),
    )
    rows = []
    for n in own:
        cost, time, speed = made[n.id], _float32(n, host), _speed(n, host)
        moved = cost.weight_bytes + 2 * BYTES * cost.activations  # every value is written once and read at least once
        share = "" if time is None or time.row is None else share_of_peak(time.row)
        quick = Cell(EMPTY, "not timed yet")
        if speed is not None and time is not None:
            told = " · ".join(filter(None, (named(time.runtime), f"{share} of peak" if share else "")))
            quick = Cell(number(speed, 0 if speed >= 10 else 1), exact(speed, "GMAC/s"), speed, note=told)
        rows.append(
            (
                _network(n),
                _count(cost.macs, 1e9, 2, "MAC"),
                quick,
                _count(_layers(cost), 1, 0, ""),
                _count(cost.macs / _layers(cost), 1e6, 1, "MAC"),
                _count(100 * _separate(cost), 1, 1, "percent"),
                _count(cost.activations, 1e6, 1, "values"),
                _count(1e3 * cost.activations / cost.macs, 1, 1, ""),
                _count(cost.macs / moved, 1, 0, "MAC/byte"),
            )
        )
    caption = "What the networks are made of, and how many of their MACs are done in a second."
    note = (
        f"GMAC/s: in the fastest float32 runtime on {plural(host.threads, 'thread')} of {host.machine}. Counted "
        "layers: convolutions and matrix products. Values written: the outputs of those layers. The last column counts "
        "every weight once and every written value twice, as float32: the less there is to do with a byte, the more "
        "the memory decides."
    )
    return Table("make", caption, columns, tuple(rows), note)


# ---------------------------------------------------------------------------------------------------- plots


def _plots(timed: Sequence[NetworkEntry], hosts: Sequence[Host]) -> list[tuple[str, Markup]]:
    """Published accuracy against time, a plot a runtime, for the figure that most networks have."""
    known = networks.fields(timed)
    if not known:
        return []
    field, host = known[0], hosts[0]
    drawn = []
    for runtime in (FASTEST, *networks.runtimes(timed)):
        dots = [_dot(n, field, t) for n in timed if field in n.printed and (t := n.time(host, runtime)) and t.row]
        if len(dots) > 1:
            what = "each network's fastest runtime" if runtime == FASTEST else named(runtime)
            name = f"plot-{runtime.replace('_', '-')}"
            svg = pareto.plot(name, dots, "latency of one image, ms", f"published {field.name}, %")
            drawn.append((f"{field.protocol}: {what}, {plural(host.threads, 'thread')} of {host.machine}.", svg))
    return drawn


def _dot(n: NetworkEntry, field: ScoreField, time: NetworkTime) -> Dot:
    p = n.printed[field]
    told = f"{n.name}: {p.claim.printed} {field.name}, {number(time.median_ms, 1)} ms in {named(time.runtime)}"
    return Dot(n.name, time.median_ms, p.value, None, told, f"../{n.slug}/index.html", f"{n.slug}-{n.variant.name}")
