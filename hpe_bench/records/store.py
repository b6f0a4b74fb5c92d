"""Records on disk: one file a run, under `results/<paper>/`, written atomically, read strictly."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from hpe_bench.files import write_atomically
from hpe_bench.records.schema import RunRecord


class RecordError(ValueError):
    """A record file that cannot be read: names the file and what is wrong."""


def save(record: RunRecord, results: Path) -> Path:
    """Write a record under `results/<paper>/` and return its path; what is written reads back equal."""
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False)
    if RunRecord.model_validate_json(text) != record:
        raise AssertionError(f"record {record.id} does not survive a round trip")
    path = results / record.identity.paper / record.filename
    write_atomically(path, (compact(text) + "\n").encode())
    return path


def compact(text: str) -> str:
    """Long number lists on one line each: the files stay readable and their diffs small."""
    value = json.loads(text)
    lines = [f" {json.dumps(k)}: {_inline(v)}" for k, v in value.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def _inline(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n  " + ",\n  ".join(json.dumps(v, ensure_ascii=False) for v in value) + "\n ]"
    return json.dumps(value, ensure_ascii=False)


def load(path: Path) -> RunRecord:
    """Read one record; RecordError names the file, the field and what is wrong."""
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"]) or "the file"
        raise RecordError(f"{path}: {where}: {first['msg']}") from None


def load_all(results: Path, papers: Iterable[str] | None = None) -> list[RunRecord]:
    """All records below `results`, sorted by path. RecordError on a bad file or one prediction under two names."""
    wanted = None if papers is None else set(papers)
    paths = sorted(p for p in results.glob("*/*.json") if wanted is None or p.parent.name in wanted)
    with _without_collection():
        records = [load(path) for path in paths]
    refuse_shared_predictions(records)
    return records


@contextmanager
def _without_collection() -> Iterator[None]:
    """Records hold no cycles, but millions of numbers that the collector would walk through over and over."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def load_folders(folders: Sequence[Path]) -> list[RunRecord]:
    """The records of several results folders as one; of a record that stands in more than one, the newest.

    RecordError as `load_all`; ValueError for a folder that is not there; a single one may be missing yet.
    """
    if len(folders) > 1:
        for folder in folders:
            if not folder.is_dir():
                raise ValueError(
                    f"{folder}: no such folder of results; name one that `reproduce` or `score` has written"
                )
    newest: dict[str, RunRecord] = {}
    for record in (r for folder in folders for r in load_all(folder)):
        known = newest.get(record.id)
        if known is None or known.provenance.started < record.provenance.started:
            newest[record.id] = record
    records = list(newest.values())
    refuse_shared_predictions(records)
    return records


def refuse_shared_predictions(records: Iterable[RunRecord]) -> None:
    """RecordError if two trainings carry the same predictions (F26); two protocols may lead one to the same."""
    owner: dict[str, RunRecord] = {}
    for record in records:
        if not record.predictions_sha256:
            continue
        other = owner.setdefault(record.predictions_sha256, record)
        if other.identity.training != record.identity.training:
            raise RecordError(
                f"records {other.id} ({other.identity.paper}/{other.identity.variant}) and {record.id} "
                f"({record.identity.paper}/{record.identity.variant}) hold the same predictions (F26)"
            )
