"""Full-size networks as an engineer chooses among them: published accuracy beside the time measured here.

A network is a variant at its input size. Its times are those of its forward pass of one image on every machine, in
every runtime and number of threads; a variant that was timed at another variant's input size (the same builder) has
that time, too. Published figures stay under their protocol and are never mixed with what was measured here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Claim, Variant, fingerprint
from hpe_bench.records import query
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit.latency_text import named
from hpe_bench.report.kit.tables import MIB
from hpe_bench.report.kit.text import metric, size
from hpe_bench.timing.rows import ALONE, EAGER, NetworkTime, NetworkTimes, TimedRow, time_of_row
from hpe_bench.verdicts import STATUSES, Status, Verdict

HEADLINES = ("ap", "pckh@0.5", "pck@0.2")
FASTEST = "fastest"  # asks for each network's fastest runtime
Builder = tuple[str, str, int]


@dataclass(frozen=True)
class ScoreField:
    """Published figures that may be compared: one metric under one protocol."""

    protocol: str
    metric: str

    @property
    def key(self) -> str:
        return f"{self.protocol}|{self.metric}"

    @property
    def name(self) -> str:
        """What readers call the figure: AP."""
        return metric(self.metric)


@dataclass(frozen=True)
class Printed:
    """A published figure of a network: of several of one protocol the paper's own before those of others."""

    claim: Claim
    others: tuple[Claim, ...] = ()

    @property
    def value(self) -> float:
        assert self.claim.value is not None
        return self.claim.value

    @property
    def secondary(self) -> bool:
        return self.claim.status != "published"


@dataclass(frozen=True)
class Host:
    """Where and how times were taken, apart from the runtime."""

    machine: str
    threads: int

    @property
    def key(self) -> str:
        return f"{self.machine}|{self.threads}"


@dataclass(frozen=True)
class NetworkEntry:
    """A variant, what is printed about it, what it costs and how long it takes by machine, threads and runtime."""

    slug: str
    variant: Variant
    name: str
    printed: Mapping[ScoreField, Printed]
    cost: RunRecord | None
    times: Mapping[Host, Mapping[str, NetworkTime]]
    held: Mapping[Status, int]  # verdicts on the claims about it

    @property
    def id(self) -> str:
        """Of its row on a page."""
        return f"network-{self.slug}-{self.variant.name}"

    def count(self, key: str) -> float | None:
        """A count of its cost record, or of a timing run's where there is none."""
        counted = [None if self.cost is None else self.cost.get(key)]
        counted += [t.row.count(key) for by in self.times.values() for t in by.values() if t.row is not None]
        return next((m.value for m in counted if m is not None), None)

    @property
    def size(self) -> str:
        return size(self.variant.input_hw)

    @property
    def command(self) -> str:
        """What times it again."""
        return f"hpe-bench profile {self.slug} {self.variant.name}"

    def time(self, host: Host, runtime: str) -> NetworkTime | None:
        """Its time in a runtime; the least of all runtimes for `FASTEST`, timings in process left out."""
        found = self.times.get(host, {})
        return self.fastest(host, found) if runtime == FASTEST else found.get(runtime)

    def fastest(self, host: Host, runtimes: Collection[str]) -> NetworkTime | None:
        """Its least time in some runtimes, timings in process left out."""
        found = (t for runtime, t in self.times.get(host, {}).items() if runtime in runtimes and t.row is not None)
        return min(found, key=lambda t: t.median_ms, default=None)

    @property
    def tested(self) -> int:
        return sum(n for status, n in self.held.items() if status != "not attempted")

    def least(self) -> float:
        """Its least time anywhere, for ordering; infinite where it was not timed."""
        return min((t.median_ms for by in self.times.values() for t in by.values()), default=float("inf"))


@dataclass(frozen=True)
class View:
    """What is asked for: figures of a field, times on a machine in a runtime, within a limit, at an input size."""

    field: ScoreField
    host: Host
    runtime: str
    within_ms: float
    size: str = ""  # of all inputs if empty
    joints: frozenset[int] = frozenset()  # of networks with a figure of the field

    def has(self, network: NetworkEntry) -> bool:
        """Whether a network belongs to it: it has a figure of the field, or has none at all and could have this one."""
        if self.size and network.size != self.size:
            return False
        return self.field in network.printed or (not network.printed and network.variant.joints in self.joints)


# ---------------------------------------------------------------------------------------------------- finding


def build(
    papers: Sequence[LoadedPaper],
    records: query.Records,
    times: NetworkTimes,
    rows: Iterable[TimedRow],
    verdicts: Mapping[str, Sequence[Verdict]],
) -> tuple[NetworkEntry, ...]:
    """Full-size networks with a published figure or a time, by paper in their declared order."""
    builders = {(p.paper.slug, fingerprint(v)): _builder(v) for p in papers for v in p.paper.variants}
    timed = _timed(rows, builders)
    found = []
    for loaded in papers:
        slug, about = loaded.paper.slug, _by_variant(loaded, verdicts.get(loaded.paper.slug, ()))
        for variant in loaded.paper.variants:
            if variant.scale != "full":
                continue
            own = dict(timed.get((slug, _builder(variant), variant.input_hw), {}))
            _add_in_process(own, times, slug, variant)
            network = NetworkEntry(
                slug=slug,
                variant=variant,
                name=loaded.paper.name_of(variant.name),
                printed=printed(loaded.claims, variant.name),
                cost=records.cost_of(slug, fingerprint(variant)),
                times=own,
                held=about.get(variant.name, {}),
            )
            if network.printed or any(t.row for by in own.values() for t in by.values()):
                found.append(network)
    return tuple(found)


def _builder(variant: Variant) -> Builder:
    """What is one network at several input sizes."""
    return variant.builder.__module__, variant.builder.__qualname__, variant.joints


Times = dict[Host, dict[str, NetworkTime]]


def _timed(
    rows: Iterable[TimedRow], builders: Mapping[tuple[str, str], Builder]
) -> dict[tuple[str, Builder, tuple[int, int]], Times]:
    """Counting rows of one image, by paper, builder and input size; of several about one thing the newest record's."""
    found: dict[tuple[str, Builder, tuple[int, int]], dict[Host, dict[str, TimedRow]]] = {}
    for row in rows:
        i, t = row.record.identity, row.timing
        builder = builders.get((i.paper, i.variant_hash))
        if builder is None or (t.scope, t.batch) != (ALONE, 1) or not row.counts:
            continue
        own = found.setdefault((i.paper, builder, t.input_hw), {}).setdefault(Host(row.machine, t.threads), {})
        if t.runtime not in own or query.age(own[t.runtime].record) < query.age(row.record):
            own[t.runtime] = row
    return {
        key: {host: {name: time_of_row(row) for name, row in own.items()} for host, own in by.items()}
        for key, by in found.items()
    }


def _add_in_process(own: Times, times: NetworkTimes, slug: str, variant: Variant) -> None:
    """Eager times of older cost records, where no timing run of the network was made on their machine."""
    for threads, time in times.eager(slug, fingerprint(variant), variant.input_hw).items():
        if time.row is None:
            own.setdefault(Host(time.machine, threads), {}).setdefault(EAGER, time)


def printed(claims: Iterable[Claim], variant: str) -> dict[ScoreField, Printed]:
    """Published headline figures of a variant by field, each from where it is printed.

    Of several the paper's own speaks before other sources', the released recipe before others, then the first.
    """
    groups: dict[ScoreField, list[Claim]] = {}
    for claim in claims:
        if claim.variant == variant and is_headline(claim):
            groups.setdefault(ScoreField(claim.protocol, claim.metric), []).append(claim)
    ordered = {field: sorted(own, key=_standing) for field, own in groups.items()}
    return {field: Printed(own[0], tuple(own[1:])) for field, own in ordered.items()}


def is_headline(claim: Claim) -> bool:
    """Whether a claim prints a score of the kind that tables rank by: a gain in points is none."""
    return (
        claim.kind == "value"
        and claim.status in ("published", "secondary")
        and claim.value is not None
        and claim.metric in HEADLINES
        and claim.unit == "percent"
        and bool(claim.protocol)
    )


def _standing(claim: Claim) -> tuple[bool, bool]:
    return claim.status != "published", bool(claim.recipe or claim.checkpoint)


def _by_variant(loaded: LoadedPaper, verdicts: Iterable[Verdict]) -> dict[str, dict[Status, int]]:
    about = {claim.id: claim.variant for claim in loaded.claims if claim.variant}
    found: dict[str, dict[Status, int]] = {}
    for v in verdicts:
        if v.claim in about:
            counts = found.setdefault(about[v.claim], dict.fromkeys(STATUSES, 0))
            counts[v.status] += 1
    return found


# ---------------------------------------------------------------------------------------------------- views


def fields(networks: Iterable[NetworkEntry]) -> list[ScoreField]:
    """All fields, those that most timed networks have a figure of first."""
    found: dict[ScoreField, tuple[int, int]] = {}
    for n in networks:
        for field in n.printed:
            timed, every = found.get(field, (0, 0))
            found[field] = timed + any(t.row for by in n.times.values() for t in by.values()), every + 1
    return sorted(found, key=lambda f: (*(-k for k in found[f]), f.key))


def hosts(networks: Iterable[NetworkEntry]) -> list[Host]:
    """All machines and threads: the machine with most timed networks first, there most threads first."""
    found: dict[Host, int] = {}
    for n in networks:
        for host, by in n.times.items():
            found[host] = found.get(host, 0) + any(t.row for t in by.values())
    machines: dict[str, int] = {}
    for host, count in found.items():
        machines[host.machine] = max(machines.get(host.machine, 0), count)
    return sorted(found, key=lambda p: (-machines[p.machine], p.machine, -p.threads))


def runtimes(networks: Iterable[NetworkEntry]) -> list[str]:
    """All runtimes, by what readers call them."""
    return sorted({r for n in networks for by in n.times.values() for r in by}, key=named)


def first_view(networks: Sequence[NetworkEntry], within_ms: float) -> View | None:
    """What the page opens with; None where nothing was timed or printed."""
    known, where = fields(networks), hosts(networks)
    return view_of(networks, known[0], where[0], FASTEST, within_ms) if known and where else None


def view_of(
    networks: Iterable[NetworkEntry], field: ScoreField, host: Host, runtime: str, within_ms: float, size: str = ""
) -> View:
    """A view of some networks."""
    joints = frozenset(n.variant.joints for n in networks if field in n.printed)
    return View(field, host, runtime, within_ms, size, joints)


def in_order(networks: Iterable[NetworkEntry], view: View) -> list[NetworkEntry]:
    """Networks of the view that were timed, the most accurate first and those without a figure last; then the rest."""

    def standing(n: NetworkEntry) -> tuple[bool, float, float, str, str]:
        time, figure = n.time(view.host, view.runtime), n.printed.get(view.field)
        ms = float("inf") if time is None else time.median_ms
        return not (time and view.has(n)), 1.0 if figure is None else -figure.value, ms, n.name, n.size

    return sorted(networks, key=standing)


def as_json(n: NetworkEntry, links: Mapping[str, str]) -> dict[str, Any]:
    """What the page's script needs of a network; `links` are addresses by record id. Values in full precision."""
    times: dict[str, dict[str, Any]] = {}
    for host, by in n.times.items():
        times[host.key] = {
            runtime: {
                "ms": t.median_ms,
                "ci": t.interval_ms,
                "p90": t.p90_ms,
                "n": t.n,
                "runs": 0 if t.row is None else t.runs,
                "settled": t.settled,
                "mib": None if t.row is None or (b := t.row.timing.peak_rss_bytes) is None else b / MIB,
                "href": links.get(t.record.id, ""),
            }
            for runtime, t in by.items()
        }
    scores = {
        field.key: {
            "v": p.value,
            "p": p.claim.printed,
            "from": p.claim.source + (" (secondary source)" if p.secondary else ""),
            "also": [f"{c.printed}: {c.source}" for c in p.others],
        }
        for field, p in n.printed.items()
    }
    return {
        "name": n.name,
        "input": n.size,
        "joints": n.variant.joints,
        "command": n.command,
        "scores": scores,
        "times": times,
    }
