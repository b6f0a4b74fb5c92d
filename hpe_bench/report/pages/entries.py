"""Rows of the leaderboard as plain values: what its tables, its plots and its downloads are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from hpe_bench.records import frame
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit.latency_text import named
from hpe_bench.timing.rows import NetworkTime

if TYPE_CHECKING:
    import pandas as pd

Source = Literal["us", "the paper", "others", "submitted"]
Interval = tuple[float, float]
Flat = dict[str, str | float | int | None]


class Row(Protocol):
    """Anything that a download has a row for."""

    def flat(self) -> Flat: ...


@dataclass(frozen=True)
class Entry:
    """One model's score under one protocol: a measurement of ours over its seeds, or a published figure.

    `value` and `interval` are in percent; `rank` is the best and the worst rank among the comparable rows.
    """

    by: Source
    scale: str
    protocol: str
    metric: str
    paper: str
    variant: str
    value: float
    recipe: str = ""
    training_samples: int | None = None
    interval: Interval | None = None
    rank: tuple[int, int] | None = None
    seeds: int = 0
    images: int = 0
    source: str = ""  # of a published figure
    records: tuple[str, ...] = ()
    cost: RunRecord | None = None
    time: NetworkTime | None = None  # eager
    other_times: tuple[NetworkTime, ...] = ()  # in other runtimes, on the same machine
    called: str = ""  # what readers call it

    @property
    def name(self) -> str:
        return self.called or f"{self.paper} {self.variant}"

    @property
    def data(self) -> str:
        """The data set, which every protocol's name begins with."""
        return self.protocol.partition("-")[0]

    @property
    def facets(self) -> dict[str, str]:
        """What the page filters by, as HTML attributes."""
        named = {"data": self.data, "protocol": self.protocol, "scale": self.scale, "by": self.by, "paper": self.paper}
        return {**{f"data-{name}": value for name, value in named.items()}, **in_runtime(self.time)}

    def cost_value(self, key: str) -> float | None:
        """A cost in its own unit: MACs and parameters as counts, latency in ms."""
        if key == "latency":
            return None if self.time is None else self.time.median_ms
        found = None if self.cost is None else self.cost.get(key)
        return None if found is None else found.value

    def in_runtime(self, name: str) -> NetworkTime | None:
        """The latency that the page shows when it is asked for a runtime, by the runtime's name for readers."""
        times = (*([] if self.time is None else [self.time]), *self.other_times)
        return next((time for time in times if named(time.runtime) == name), None)

    def flat(self) -> Flat:
        """Every value at full precision under a name that says its unit."""
        timed = self.time
        low, high = self.interval or (None, None)
        best, worst = self.rank or (None, None)
        return {
            "data_set": self.data,
            "protocol": self.protocol,
            "scale": self.scale,
            "measured_by": self.by,
            "metric": self.metric,
            "training_samples": self.training_samples,
            "rank_best": best,
            "rank_worst": worst,
            "paper": self.paper,
            "variant": self.variant,
            "recipe": self.recipe,
            "value_percent": self.value,
            "interval95_low_percent": low,
            "interval95_high_percent": high,
            "seeds": self.seeds or None,
            "images": self.images or None,
            "macs": self.cost_value("macs"),
            "macs_hrnet_counter": self.cost_value("macs/hrnet_counter"),
            "parameters": self.cost_value("params"),
            "latency_median_ms": None if timed is None else timed.median_ms,
            "latency_scope": "" if timed is None else timed.scope,
            "latency_timing_runs": None if timed is None or timed.row is None else timed.runs,
            "source": self.source,
            "records": " ".join(self.records),
            "cost_record": "" if self.cost is None else self.cost.id,
        }


def in_runtime(time: NetworkTime | None) -> dict[str, str]:
    """The runtime of the latency that a row shows, as an HTML attribute."""
    return {} if time is None else {"data-runtime": named(time.runtime)}


def frame_of(entries: Iterable[Row]) -> pd.DataFrame:
    """A board as a frame, one entry a row."""
    return frame.from_flat([e.flat() for e in entries])
