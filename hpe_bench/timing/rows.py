"""Latency rows over timing runs, and the one time that stands for a network under a condition.

A row is a network in a runtime under conditions on a machine. What several timing runs say of it is pooled, as far as
they executed the same thing: the newest one's code, version and weights. Times that older cost records hold were taken
in the process of the command, by another method, without the numerical check; they speak only for a network and number
of threads that no timing run was made of, and never stand against timing runs in a ratio.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from hpe_bench.cost.model_cost import one_image
from hpe_bench.records import query
from hpe_bench.records.schema import Measurement, RunRecord, Timing
from hpe_bench.timing.statistics import CALLS_FOR_P99, Latency, Ratio, Rounds, alike, counts, peak_of, ratio

EAGER = "eager"  # float32 as PyTorch runs it by default: what other runtimes are held against
ALONE = "network"  # the scope of the forward pass
Size = tuple[int, int]
IN_PROCESS = "timed in process"  # what is said of an older cost record's time


@dataclass(frozen=True)
class TimedRow:
    """A row and its timing runs, oldest first; at least one. `timing` and `record` are the newest ones."""

    found: tuple[tuple[RunRecord, Timing], ...]

    @property
    def record(self) -> RunRecord:
        return self.found[-1][0]

    @property
    def timing(self) -> Timing:
        return self.found[-1][1]

    @property
    def machine(self) -> str:
        return self.record.machine

    @property
    def records(self) -> tuple[str, ...]:
        """Ids of the records behind it."""
        return tuple(dict.fromkeys(r.id for r, _ in self.found))

    @property
    def timed(self) -> bool:
        """Whether there are times at all."""
        return self.timing.status == "done"

    @property
    def counts(self) -> bool:
        """Whether it may be compared: its maps are those of eager float32."""
        return counts(self.timing)

    @property
    def settled(self) -> bool:
        """Whether every timing run settled."""
        return all(t.settled for _, t in self.found)

    @property
    def runs(self) -> int:
        return len(self.found)

    @cached_property
    def latency(self) -> Latency:
        """Its times; only of a row that has some."""
        return Latency(tuple(rounds for _, rounds in self.calls))

    @property
    def median_ms(self) -> float:
        return self.latency.median_ms

    @property
    def calls(self) -> list[tuple[str, Rounds]]:
        """The calls of every timing run, by its name."""
        return [(turns_of(r, t), t.rounds_ms) for r, t in self.found]

    @property
    def images_per_second(self) -> float:
        """At the median."""
        return 1e3 * self.timing.batch / self.median_ms

    def count(self, key: str) -> Measurement | None:
        """A count of one image of this row's input size."""
        return self.record.get(key, one_image(self.timing.input_hw))

    @property
    def gmacs_per_second(self) -> float | None:
        """True multiply-adds a second at the median; None where they were not counted, or more than these is timed."""
        macs = self.count("macs")
        return None if macs is None or self.timing.scope != ALONE else self.images_per_second * macs.value / 1e9

    @property
    def share_of_peak(self) -> float | None:
        """Of what the processor multiplied in float32 beside it, in percent; may exceed 100, see `over_peak`."""
        speed, peak = self.gmacs_per_second, peak_of(self.record, self.timing.threads)
        on_processor = not self.timing.runtime.startswith("cuda")
        if speed is None or peak is None or self.timing.precision != "fp32" or not on_processor:
            return None
        return 100 * speed / peak

    def against(self, other: TimedRow) -> Ratio:
        """The ratio of this row's time to another's."""
        return ratio(self.calls, other.calls)


OVER_PEAK = (
    "More than 100 % of the peak: counted are the multiply-adds of the definition, and convolutions by Winograd's "
    "algorithm make do with fewer, or the machine was slower while the peak was measured."
)


def turns_of(record: RunRecord, timing: Timing) -> str:
    """The name of a timing run: rows that have the same one were timed in turns with each other.

    Records of older versions say only when their timing run began.
    """
    return timing.turns or f"{record.provenance.started} {record.provenance.device}"


def rows(records: Iterable[RunRecord]) -> list[TimedRow]:
    """All latency records' rows, timing runs of one row pooled; those that were not timed stand with their reason.

    A timing run whose row was refused, failed or skipped has no say where another run's counts; of several without
    times the newest tells why, a failure before what was skipped.
    """
    groups: dict[tuple[object, ...], list[tuple[RunRecord, Timing]]] = {}
    for r in query.oldest_first(query.of(records).finished("latency")):
        i = r.identity
        for t in r.timings:
            network = (i.paper, i.variant_hash, r.machine)
            key = (*network, t.runtime, t.precision, t.scope, t.input_hw, t.batch, t.threads)
            groups.setdefault(key, []).append((r, t))
    return [TimedRow(_pooled(found)) for found in groups.values()]


def _pooled(found: Sequence[tuple[RunRecord, Timing]]) -> tuple[tuple[RunRecord, Timing], ...]:
    """Those that speak, oldest first."""
    for wanted in (counts, lambda t: t.status == "done", lambda t: t.status == "failed"):
        kept = [(r, t) for r, t in found if wanted(t)]
        if kept:
            break
    else:
        kept = list(found)
    last_record, last = kept[-1]
    if last.status != "done":
        return (kept[-1],)
    same = [
        (r, t)
        for r, t in kept
        if t.version == last.version
        and r.identity.code == last_record.identity.code
        and r.weights_sha256 == last_record.weights_sha256
    ]
    by_turns = {turns_of(r, t): (r, t) for r, t in same}
    return tuple(by_turns.values())


def eager_of(found: Iterable[TimedRow], row: TimedRow) -> TimedRow | None:
    """What a row is held against: eager float32 of the same network and machine, under the same conditions."""
    i = row.record.identity
    return next(
        (
            b
            for b in found
            if b.timing.runtime == EAGER
            and b.timed
            and alike(b.timing, row.timing)
            and (b.machine, b.record.identity.paper, b.record.identity.variant_hash)
            == (row.machine, i.paper, i.variant_hash)
        ),
        None,
    )


# --------------------------------------------------------------------------------------------------- one time a network


@dataclass(frozen=True)
class NetworkTime:
    """The time of a network's forward pass of one image: of timing runs, or of an older cost record (no `row`)."""

    record: RunRecord
    runtime: str
    threads: int
    median_ms: float
    interval_ms: tuple[float, float] | None
    p90_ms: float | None
    p99_ms: float | None
    n: int  # calls
    settled: bool
    row: TimedRow | None = None

    @property
    def machine(self) -> str:
        return self.record.machine

    @property
    def runs(self) -> int:
        return 1 if self.row is None else self.row.runs

    @property
    def scope(self) -> str:
        """What was timed, in words."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        precision = "fp32" if self.row is None else self.row.timing.precision
        return f"network only, batch 1, {self.runtime} {precision}, {threads}"

    def against(self, other: NetworkTime) -> Ratio | None:
        """The ratio to another network's time; None where the two were not timed alike (M1, M2)."""
        if (self.machine, self.threads, self.runtime) != (other.machine, other.threads, other.runtime):
            return None
        if self.row is not None and other.row is not None:
            return self.row.against(other.row)
        if self.row is not None or other.row is not None:
            return None
        value, a, b = self.median_ms / other.median_ms, self.interval_ms, other.interval_ms
        ends = (value, value) if a is None or b is None else (a[0] / b[1], a[1] / b[0])  # wider than resampling
        return Ratio(value, ends, False, 1)


def time_of_row(row: TimedRow) -> NetworkTime:
    """A row that has times, as a time."""
    times, t = row.latency, row.timing
    p99 = times.percentile_ms(99) if times.n >= CALLS_FOR_P99 else None
    return NetworkTime(
        record=row.record,
        runtime=t.runtime,
        threads=t.threads,
        median_ms=times.median_ms,
        interval_ms=times.interval_ms,
        p90_ms=times.percentile_ms(90),
        p99_ms=p99,
        n=times.n,
        settled=row.settled,
        row=row,
    )


def _in_process(record: RunRecord) -> list[NetworkTime]:
    """The times in an older cost record."""
    found = []
    for m in query.latencies(record).values():
        p90, p99 = (None if (p := record.get(f"latency/p{q}", m.scope)) is None else p.value for q in (90, 99))
        threads, settled = m.conditions.threads or 1, m.conditions.settled
        found.append(NetworkTime(record, EAGER, threads, m.value, m.interval, p90, p99, m.n, settled))
    return found


Network = tuple[str, str, Size | None]
"""A paper, the hash of a variant, and its own input size; without one the first that its newest record timed."""


class NetworkTimes:
    """The times that stand for networks: looked up once for boards of thousands of records.

    Times of several machines are no comparison, and which processor one gets is often chance. So a network speaks with
    its time on the machine where most networks were timed, of equals the one timed last, if it was timed there.
    """

    def __init__(self, records: Iterable[RunRecord]) -> None:
        records = query.of(records)
        self.rows: dict[tuple[str, str], list[TimedRow]] = {}
        for row in rows(records):
            i, t = row.record.identity, row.timing
            if (t.scope, t.batch) == (ALONE, 1):
                self.rows.setdefault((i.paper, i.variant_hash), []).append(row)
        self.older: dict[tuple[str, str], RunRecord] = {}
        for r in query.oldest_first(records.finished("cost")):
            if query.latencies(r):
                self.older[r.identity.paper, r.identity.variant_hash] = r
        self._usual = self._ranking()

    def _ranking(self) -> dict[str, tuple[int, tuple[datetime, str]]]:
        """By machine how many networks have timing runs there, and when something was timed there last."""
        timed: dict[str, set[tuple[str, str]]] = {}
        last = {record.machine: query.age(record) for record in query.oldest_first(self.older.values())}
        for network, own in self.rows.items():
            for row in (row for row in own if row.counts):
                timed.setdefault(row.machine, set()).add(network)
                last[row.machine] = max(last.get(row.machine, _began(row)), _began(row))
        return {machine: (len(timed.get(machine, ())), at) for machine, at in last.items()}

    def together(self, networks: Sequence[Network]) -> list[dict[int, NetworkTime]]:
        """Eager PyTorch by number of threads, of several networks on one machine: where most of them were timed, of
        equals the usual one. Empty for a network that was not timed there.
        """
        found = [self._by_machine(*network) for network in networks]
        there = Counter(machine for own in found for machine in own)
        chosen = max(there, key=lambda machine: (there[machine], self._usual[machine]), default="")
        return [own.get(chosen, {}) for own in found]

    def _by_machine(self, paper: str, variant_hash: str, input_hw: Size | None) -> dict[str, dict[int, NetworkTime]]:
        """Eager times by machine and threads; a row stands before what an older cost record timed in process."""
        older = self.older.get((paper, variant_hash))
        times = [] if older is None else _in_process(older)
        rows = [row for row in self.counted(paper, variant_hash, input_hw) if row.timing.runtime == EAGER]
        found: dict[str, dict[int, NetworkTime]] = {}
        for t in (*times, *map(time_of_row, rows)):
            found.setdefault(t.machine, {})[t.threads] = t
        return {machine: dict(sorted(own.items())) for machine, own in found.items()}

    def eager(self, paper: str, variant_hash: str, input_hw: Size | None = None) -> dict[int, NetworkTime]:
        """Eager PyTorch on one machine by number of threads; empty where nothing was timed."""
        return self.together([(paper, variant_hash, input_hw)])[0]

    def shown(self, paper: str, variant_hash: str, input_hw: Size | None = None) -> NetworkTime | None:
        """The eager time that a table shows: of the fewest threads."""
        return self.shown_together([(paper, variant_hash, input_hw)])[0]

    def shown_together(self, networks: Sequence[Network]) -> list[NetworkTime | None]:
        """What a table shows of networks beside each other: `together`, each at its fewest threads."""
        return [next(iter(of_network.values()), None) for of_network in self.together(networks)]

    def counted(self, paper: str, variant_hash: str, input_hw: Size | None = None) -> list[TimedRow]:
        """The rows of one image that count, in every runtime, on every machine."""
        found = self.rows.get((paper, variant_hash), [])
        if input_hw is None and found:
            input_hw = max(found, key=_began).record.timings[0].input_hw
        return [row for row in found if row.counts and row.timing.input_hw == input_hw]

    def fastest(self, paper: str, variant_hash: str, input_hw: Size, threads: int | None = None) -> TimedRow | None:
        """The counting row of least time on one machine, at the fewest threads there are unless given."""
        found = self.counted(paper, variant_hash, input_hw)
        machine = max((row.machine for row in found), key=self._usual.__getitem__, default="")
        found = [row for row in found if row.machine == machine]
        wanted = min((row.timing.threads for row in found), default=1) if threads is None else threads
        return min((r for r in found if r.timing.threads == wanted), key=lambda r: r.median_ms, default=None)


def _began(row: TimedRow) -> tuple[datetime, str]:
    return query.age(row.record)
