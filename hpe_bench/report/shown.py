"""Which records a page shows: a digest that the page carries, so that anybody can tell whether it is up to date.

The digest is that of the lines `<sha256 of a record's file>  <paper>/<file>`, sorted, as `sha256sum` writes them. A
page is given the records of certain papers and no others, so it cannot show what its digest leaves out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hpe_bench.records.schema import RunRecord
from hpe_bench.records.store import StoredRecord

STATED = re.compile(r'<meta name="records" content="([0-9a-f]{64})">')


class RecordFiles:
    """The files of the records of some folders, each read once: most when the records were."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self.known: dict[str, list[str]] = {}

    def digest(self, records: Iterable[RunRecord]) -> str:
        """SHA-256 of what the files of some records hold, whatever their order. 64 hex digits."""
        lines = sorted(line for record in records for line in self._lines(record))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _lines(self, record: RunRecord) -> list[str]:
        """One line for each folder that holds the record."""
        name = f"{record.identity.paper}/{record.filename}"
        if name not in self.known:
            there = [path for folder in self.folders if (path := folder / name).is_file()]
            self.known[name] = [f"{_sha256(record, path)}  {name}" for path in there]
        return self.known[name]


def _sha256(record: RunRecord, path: Path) -> str:
    """Of what a record was read from, as it was then; of another file as it is."""
    known = record.sha256_at(path) if isinstance(record, StoredRecord) else ""
    return known or hashlib.sha256(path.read_bytes()).hexdigest()


def stated(page: Path) -> str:
    """The digest that a written page carries; empty where there is no such page, or none in it."""
    if not page.is_file():
        return ""
    match = STATED.search(page.read_text(encoding="utf-8"))
    return match[1] if match else ""
