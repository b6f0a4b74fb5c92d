"""`hpe-bench list`: the papers with their verdicts so far.

Judging takes seconds, most of them to import the papers' networks, and gives the same as long as papers, records and
the rules are the same files: so the answer is kept in the cache under a digest of all of them, and this module imports
nothing heavy before it is needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import hpe_bench.papers
from hpe_bench.data.cache import cache_folder
from hpe_bench.errors import RecordWarning
from hpe_bench.files import discard, state, write_with_digest

if TYPE_CHECKING:
    from rich.console import Console

    from hpe_bench.records.query import Records

CODE = Path(hpe_bench.__file__).parent
KEPT = 8  # answers in the cache, the newest
COLUMNS = 100  # of characters that the table of papers takes


@dataclass(frozen=True)
class Listing:
    """One row a paper: slug, year, variants, claims, verdicts by status; `broken` are slugs with what is wrong."""

    statuses: list[str]
    rows: list[list[str | int]]
    broken: list[list[str]]
    passed_over: list[str]


def print_list(console: Console, results: Path) -> bool:
    """One line a paper, with its verdicts so far; True if a folder is broken."""
    from hpe_bench.terminal import plain_table

    found = listing(results)
    if console.width < COLUMNS:
        for line in narrow(found):
            console.print(line, highlight=False, markup=False)
    else:
        table = plain_table("paper", "year", " variants", " claims", *(f" {s}" for s in found.statuses))
        for row in found.rows:
            table.add_row(*map(str, row))
        console.print(table)
    console.print("A claim has a verdict for every convention and scale it can be tested under.", highlight=False)
    for slug, message in found.broken:
        console.print(f"[bold]{slug}[/bold] does not load: ", end="", highlight=False)
        console.print(message, highlight=False, markup=False)
    return bool(found.broken)


def narrow(found: Listing) -> Iterator[str]:
    """The papers in lines for a terminal that the table does not fit."""
    for slug, year, _, claims, *counts in found.rows:
        yield f"{slug} ({year}): {claims} claims"
        yield "  " + ", ".join(f"{n} {status}" for n, status in zip(counts, found.statuses, strict=True) if n)


def listing(results: Path) -> Listing:
    """The papers and their verdicts, as they were judged when the same files were there."""
    place = cache_folder("listings") / f"{digest(results)}.json"
    if state(place) == "sound":
        known = Listing(**json.loads(place.read_bytes()))
        for text in known.passed_over:
            warnings.warn(f"passed over: {text}", RecordWarning, stacklevel=2)
        return known
    made = judged(results)
    if not made.broken:
        write_with_digest(place, json.dumps(asdict(made)).encode())
        _tidy(place.parent)
    return made


def judged(results: Path) -> Listing:
    """The papers and their verdicts, from papers and records."""
    from hpe_bench import catalog, verdicts
    from hpe_bench.records import store

    papers, broken = catalog.load_all()

    def listed(found: Records) -> Listing:
        rows: list[list[str | int]] = []
        for loaded in papers:
            counts = verdicts.count(verdicts.judge_all(loaded.claims, loaded.paper, found))
            paper = loaded.paper
            rows.append([paper.slug, paper.year, len(paper.variants), len(loaded.claims), *counts.values()])
        return Listing(list(verdicts.STATUSES), rows, [[p.slug, p.message] for p in broken], list(found.passed_over))

    return store.speaking(store.load_all(results), listed)


def digest(results: Path) -> str:
    """Changes with every file that the answer follows from: our code, the papers, the records."""
    named = [Path(p) for p in os.environ.get("HPE_BENCH_PAPERS", "").split(os.pathsep) if p]
    h = hashlib.sha256(f"{sys.version} {[str(p.resolve()) for p in named]} {results.resolve()}".encode())
    parents = [CODE, *(Path(p) for p in hpe_bench.papers.__path__), *named]
    for entry in _entries([*parents, results], (".py", ".csv", ".json")):
        h.update(entry.encode())
    return h.hexdigest()[:32]


def _entries(folders: Iterable[Path], suffixes: tuple[str, ...]) -> Iterator[str]:
    """Path, size and time of change of the files below some folders."""
    for folder in dict.fromkeys(f.resolve() for f in folders):
        for where, below, names in os.walk(folder):
            below.sort()
            for name in sorted(names):
                if name.endswith(suffixes):
                    found = os.stat(os.path.join(where, name), follow_symlinks=True)  # noqa: PTH116, PTH118
                    yield f"{where}/{name} {found.st_size} {found.st_mtime_ns}\n"


def _tidy(folder: Path) -> None:
    """Only the newest answers are kept."""
    there = sorted(folder.glob("*.json"), key=lambda p: p.stat().st_mtime_ns)
    for old in there[:-KEPT]:
        discard(old)
