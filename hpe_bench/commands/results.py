"""`hpe-bench results`: the measurements of records as a table in the terminal, or as CSV, Parquet or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from hpe_bench.files import write_atomically
from hpe_bench.records import frame
from hpe_bench.terminal import plain_table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

SHOWN = 40  # rows that a terminal is given


def results(
    folders: Sequence[Path], filters: dict[str, list[str] | None], to: dict[str, Path], console: Console
) -> None:
    """Write the rows to every file that is named, by its format; without one, print the first of them.

    The file `-` is the standard output.
    """
    found = frame.results([str(f) for f in folders], **filters)
    for kind, path in to.items():
        data = frame.as_parquet(found) if kind == "parquet" else _text(kind, found).encode()
        if str(path) != "-":
            write_atomically(path, data)
            console.print(f"wrote {path}: {len(found):,} measurements", highlight=False, markup=False)
        elif kind == "parquet":
            raise ValueError("Parquet is not text; give --parquet a file")
        else:
            print(data.decode(), end="")
    if not to:
        print_results(console, found)


def _text(kind: str, found: pd.DataFrame) -> str:
    return frame.as_csv(found) if kind == "csv" else frame.as_json(found)


def print_results(console: Console, found: pd.DataFrame) -> None:
    """The first rows, and how many there are."""
    table = plain_table("what", "protocol", "key", " value", " 95 % interval", "unit", " n", "conditions")
    for row in ({k: frame.plain(v) for k, v in row.items()} for row in found.head(SHOWN).to_dict("records")):
        table.add_row(*map(escape, _words(row)))
    console.print(table)
    rest = f"; the first {SHOWN} are shown, --csv FILE has them all" if len(found) > SHOWN else ""
    console.print(f"{len(found):,} measurements of {found['record'].nunique():,} records{rest}", highlight=False)


def _words(row: dict[str, Any]) -> tuple[str, ...]:
    seed = "" if row["seed"] is None else f" seed {row['seed']}"
    interval = "" if row["interval_low"] is None else f"[{row['interval_low']:.6g}, {row['interval_high']:.6g}]"
    threads = "" if row["threads"] is None else f"{row['threads']} thread{'' if row['threads'] == 1 else 's'}"
    return (
        f"{row['paper']}/{row['variant']} {row['recipe']}".rstrip() + seed,
        *(row["protocol"], row["key"], f"{row['value']:,.6g}", interval, row["unit"], f"{row['n']:,}"),
        " ".join(filter(None, (row["scope"], row["runtime"], row["precision"], threads))),
    )
