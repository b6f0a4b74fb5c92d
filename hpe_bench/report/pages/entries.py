"""Rows of the leaderboard as plain values: what its tables, its plots and its downloads are made of."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from hpe_bench.records.schema import RunRecord
from hpe_bench.report.pages.latency_view import EAGER, RUNTIMES
from hpe_bench.report.pages.studies import latency

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

    @property
    def data(self) -> str:
        """The data set, which every protocol's name begins with."""
        return self.protocol.partition("-")[0]

    @property
    def facets(self) -> dict[str, str]:
        """What the page filters by, as HTML attributes."""
        named = {"data": self.data, "protocol": self.protocol, "scale": self.scale, "by": self.by, "paper": self.paper}
        return {**{f"data-{name}": value for name, value in named.items()}, **in_runtime(self.cost)}

    def cost_value(self, key: str) -> float | None:
        """A cost in its own unit: MACs and parameters as counts, latency in ms."""
        found = None if self.cost is None else latency(self.cost) if key == "latency" else self.cost.get(key)
        return None if found is None else found.value

    def flat(self) -> Flat:
        """Every value at full precision under a name that says its unit."""
        timed = None if self.cost is None else latency(self.cost)
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
            "latency_median_ms": None if timed is None else timed.value,
            "latency_scope": "" if timed is None else timed.scope,
            "source": self.source,
            "records": " ".join(self.records),
            "cost_record": "" if self.cost is None else self.cost.id,
        }


def in_runtime(cost: RunRecord | None) -> dict[str, str]:
    """The runtime of the latency that a row shows, as an HTML attribute; cost records time eager PyTorch."""
    timed = None if cost is None else latency(cost)
    return {"data-runtime": RUNTIMES[EAGER]} if timed is not None and timed.conditions.runtime == EAGER else {}


def as_csv(entries: Iterable[Row]) -> str:
    """A board, one entry a row; an empty cell where there is nothing."""
    rows = [e.flat() for e in entries]
    buffer = io.StringIO()
    if rows:
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: repr(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    return buffer.getvalue()


def as_json(entries: Iterable[Row]) -> str:
    """A board as a list of objects; null where there is nothing."""
    return json.dumps([e.flat() for e in entries], indent=1, ensure_ascii=False) + "\n"
