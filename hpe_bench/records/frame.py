"""Results as tidy pandas frames: one row a measurement, with what it is of and under what conditions, a column each.

`hpe_bench.results()` reads folders of records; `hpe-bench results` writes what it gives. Everything is there at full
precision: group, pivot and join it. pandas is imported when it is needed, pyarrow when Parquet is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpe_bench.data import csv_files
from hpe_bench.records import store
from hpe_bench.records.schema import Measurement, RunRecord, Timing

if TYPE_CHECKING:
    import pandas as pd

Wanted = str | int | Iterable[str | int] | None
"""A filter: a value or several, words with `*` and `?` as in file names; None lets everything through."""

RECORD = ("kind", "scale", "paper", "variant", "recipe", "protocol", "seed", "timing_run", "samples_seen")
NUMBER = (
    *(
        "key",
        "metric",
        "part",
        "joint",
        "group",
        "bin",
        "against",
        "value",
        "unit",
        "interval_low",
        "interval_high",
        "n",
    ),
    *("scope", "runtime", "precision", "threads", "batch", "input_height", "input_width", "heatmap_height"),
    *("heatmap_width", "flip", "box_shift", "box_scale", "settled", "counts"),
)
SOURCE = ("machine", "started", "commit", "execution", "predictions_sha256", "weights_sha256", "record")
COLUMNS = (*RECORD, *NUMBER, *SOURCE)
WHOLE = (
    *("seed", "timing_run", "samples_seen", "n", "threads", "batch", "input_height", "input_width", "heatmap_height"),
    "heatmap_width",
)
FILTERS = ("kind", "scale", "paper", "variant", "recipe", "protocol", "seed", "key", "runtime", "record")
PER_RECORD = ("kind", "scale", "paper", "variant", "recipe", "seed", "record")  # which need no measurement


def results(path: str | Path | Sequence[str | Path] = "results", **filters: Wanted) -> pd.DataFrame:
    """The measurements of the finished records under a folder or several, one a row.

    Filters are columns (`FILTERS`): `paper="mine"`, `kind=("cost", "latency")`, `key="pckh@0.5*"`, `seed=0`. Latency
    records give `latency/median`, `latency/p90`, from 100 calls on `latency/p99`, and `images_per_second` of every
    row that was timed; `counts` is False where its maps failed the numerical check. Empty cells are None or NaN. A file
    that is no record is passed over with a warning. ValueError for a filter of another name, or a folder that is not
    there.
    """
    if unknown := [name for name in filters if name not in FILTERS]:
        raise ValueError(f"results cannot be filtered by {unknown[0]!r}; by {', '.join(FILTERS)}")
    folders = [Path(path)] if isinstance(path, str | Path) else [Path(p) for p in path]
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder of results; name one that `reproduce` or `score` has written")
    return of_records(store.load_folders(folders), **filters)


def of_records(records: Iterable[RunRecord], **filters: Wanted) -> pd.DataFrame:
    """The same of records at hand."""
    import pandas as pd

    passes = {name: _filter(wanted) for name, wanted in filters.items() if wanted is not None}
    early = {name: passes.pop(name) for name in PER_RECORD if name in passes}
    rows: list[tuple[Any, ...]] = []
    for r in records:
        if r.status != "done":
            continue
        own = record_fields(r)
        if all(ok(own[name]) for name, ok in early.items()):
            first, last = tuple(own[c] for c in RECORD), tuple(own[c] for c in SOURCE)
            for number in _numbers(r):
                row = {**own, **number}
                if all(ok(row[name]) for name, ok in passes.items()):
                    rows.append((*first[:5], row["protocol"], *first[6:], *(number[c] for c in NUMBER), *last))
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    return found.astype(dict.fromkeys(WHOLE, "Int64"))


def _filter(wanted: str | int | Iterable[str | int]) -> Any:
    several = [wanted] if isinstance(wanted, str | int) else list(wanted)
    patterns = [str(w) for w in several]
    return lambda value: any(fnmatchcase("" if value is None else str(value), p) for p in patterns)


def record_fields(r: RunRecord) -> dict[str, Any]:
    """What all rows of a record share."""
    i, p = r.identity, r.provenance
    return {
        "kind": i.kind,
        "scale": i.scale,
        "paper": i.paper,
        "variant": i.variant,
        "recipe": i.recipe,
        "protocol": i.protocol,
        "seed": i.seed,
        "timing_run": i.timing_run,
        "samples_seen": i.samples_seen,
        "machine": r.machine,
        "started": p.started,
        "commit": p.commit,
        "execution": i.execution,
        "predictions_sha256": r.predictions_sha256,
        "weights_sha256": r.weights_sha256,
        "record": r.id,
    }


def _numbers(r: RunRecord) -> Iterator[dict[str, Any]]:
    for m in r.measurements:
        yield _measured(m, m.conditions.protocol or r.identity.protocol)
    for t in r.timings:
        if t.status == "done":
            yield from _timed(t, r.identity.protocol)


def _measured(m: Measurement, protocol: str) -> dict[str, Any]:
    c = m.conditions
    return {
        "protocol": protocol,
        **m.name._asdict(),
        "value": m.value,
        "unit": m.unit,
        **_ends("interval", ("low", "high"), m.interval),
        "n": m.n,
        "scope": c.scope,
        "runtime": c.runtime,
        "precision": c.precision,
        "threads": c.threads,
        "batch": c.batch,
        **_ends("input", ("height", "width"), c.input_hw),
        **_ends("heatmap", ("height", "width"), c.heatmap_hw),
        "flip": c.flip,
        "box_shift": c.box_shift,
        "box_scale": c.box_scale,
        "settled": c.settled,
        "counts": True,
    }


def _ends(name: str, ends: tuple[str, str], pair: Sequence[float] | None) -> dict[str, Any]:
    first, second = pair or (None, None)
    return {f"{name}_{ends[0]}": first, f"{name}_{ends[1]}": second}


def _timed(t: Timing, protocol: str) -> Iterator[dict[str, Any]]:
    """The figures of a row that was timed, as measurements."""
    from hpe_bench.timing.statistics import CALLS_FOR_P99, counts, images_per_second, latency_of

    times = latency_of(t)
    figures: list[tuple[str, float, str, tuple[float, float] | None]] = [
        ("latency/median", times.median_ms, "ms", times.interval_ms),
        ("latency/p90", times.percentile_ms(90), "ms", None),
    ]
    figures += [("latency/p99", times.percentile_ms(99), "ms", None)] if times.n >= CALLS_FOR_P99 else []
    figures.append(("images_per_second", images_per_second(t), "1/s", None))
    for key, value, unit, interval in figures:
        m = Measurement(key=key, value=value, unit=unit, n=times.n, interval=interval)
        yield {
            **_measured(m, protocol),
            "scope": t.scope,
            "runtime": t.runtime,
            "precision": t.precision,
            "threads": t.threads,
            "batch": t.batch,
            **_ends("input", ("height", "width"), t.input_hw),
            "settled": t.settled,
            "counts": counts(t),
        }


# ---------------------------------------------------------------------------------------------------- written


def as_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV: full precision, nothing where there is nothing, no formulas."""
    if frame.columns.empty:
        return ""
    safe = frame.copy()
    for name in safe.columns:
        if safe[name].dtype == object or str(safe[name].dtype) in ("str", "string"):
            safe[name] = safe[name].map(csv_files.harmless)
    return str(safe.to_csv(index=False, lineterminator="\n"))


def as_json(frame: pd.DataFrame) -> str:
    """A frame as a list of objects at full precision; null where there is nothing."""
    import json

    rows = [{k: plain(v) for k, v in row.items()} for row in frame.to_dict("records")]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """A cell as JSON has it."""
    import pandas as pd

    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    return value.item() if hasattr(value, "item") else value


def as_parquet(frame: pd.DataFrame) -> bytes:
    """A frame as Parquet."""
    return bytes(frame.to_parquet(index=False))


def from_flat(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Rows of plain values as a frame whose whole numbers stay whole where some are missing."""
    import pandas as pd

    found = pd.DataFrame(rows)
    for name in found.columns:
        values = [row[name] for row in rows if row[name] is not None]
        if values and all(isinstance(v, bool) for v in values):
            found[name] = found[name].astype("boolean")
        elif values and all(isinstance(v, int) and not isinstance(v, bool) for v in values):
            found[name] = found[name].astype("Int64")
        elif values and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            found[name] = found[name].astype("float64")
    return found
