"""Records on disk: one file a run, under `results/<paper>/`, written atomically, read strictly.

`load` reads one file whole, and refuses it with a sentence. `load_all` and `load_folders` read folders: a file that is
no record is named in a warning (`RecordWarning`) and passed over, so that one damaged or foreign file stops nothing. Of
most of a record's bytes (per-image counts, curve, drawn persons) they check the headline's counts and read the rest
when it is asked for, so that a hundred thousand records fit into memory.
"""

from __future__ import annotations

import gc
import hashlib
import json
import operator
import os
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from pydantic import PrivateAttr, ValidationError
from pydantic_core import from_json

from hpe_bench.errors import RecordWarning
from hpe_bench.files import write_atomically
from hpe_bench.records import query
from hpe_bench.records.query import Records
from hpe_bench.records.schema import LONG_PARTS, SAME_RATE, ImageCounts, RunRecord, check_counts

T = TypeVar("T")
MOST_ASKED = 3  # times that records are asked while their files change
REMEDY = "move it away, or run the command again that made it"


class RecordError(ValueError):
    """A record file that cannot be read: names the file and what is wrong."""


class PartError(RecordError):
    """A record was read as far as it was wanted; what was asked for since cannot be read, or contradicts the rest."""


# ---------------------------------------------------------------------------------------------------- one record


def save(record: RunRecord, results: Path) -> Path:
    """Write a record under `results/<paper>/` and return its path; what is written reads back equal."""
    record = record.whole()
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
    """Read one record whole; RecordError names the file, the field and what is wrong."""
    return _validated(path, _bytes(path))


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise RecordError(f"{path} is no file; {REMEDY}")
    return path.read_bytes()


def _validated(path: Path, data: bytes) -> RunRecord:
    try:
        return RunRecord.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"]) or "the file"
        raise RecordError(f"{path}: {where}: {first['msg']}; {REMEDY}") from None


# ---------------------------------------------------------------------------------------------------- lazily


LATER_PARTS = ("matches",)  # that records of this version lack if they are older than the part


class PackedCounts(array):
    """Whole numbers of a record, held tightly; nothing changes them, so that they can be looked up by."""

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self.tobytes())


class StoredRecord(RunRecord):
    """A record whose long parts stay in its file until they are asked for; RecordError if the file changed since."""

    _path: Path = PrivateAttr()
    _sha256: bytes = PrivateAttr(default=b"")
    _headline: tuple[str, PackedCounts, PackedCounts] | None = PrivateAttr(default=None)

    def sha256_at(self, path: Path) -> str:
        """SHA-256 of the file that it was read from, in hex; empty if that is another one."""
        return self._sha256.hex() if path == self._path else ""

    def __getattr__(self, item: str) -> Any:
        if item in LONG_PARTS:
            return getattr(_reread(self._path, self.id), item)
        return super().__getattr__(item)  # type: ignore[misc]

    def counts(self, key: str) -> tuple[Sequence[int], Sequence[int]] | None:
        """Of the headline without going to the file."""
        known = self.__pydantic_private__["_headline"]  # type: ignore[index]  # as `self._headline`, many times faster
        if known is not None and known[0] == key and "tallies" not in self.__dict__:
            return known[1:]
        return super().counts(key)

    def whole(self) -> RunRecord:
        """All of it, as `load` gives it, with what was changed in memory since."""
        return RunRecord.model_construct(**{name: getattr(self, name) for name in RunRecord.model_fields})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunRecord) and self.whole() == other.whole()

    __hash__ = RunRecord.__hash__


@lru_cache(maxsize=512)
def _reread(path: Path, record_id: str) -> RunRecord:
    """A record whose long parts are wanted: those of a page are asked for again and again."""
    try:
        found = load(path)
    except (RecordError, OSError) as error:
        raise PartError(str(error)) from None
    if found.id != record_id:
        raise PartError(f"{path}: it held record {record_id} a moment ago, now {found.id}; run the command again")
    return found


def speaking(records: Records, ask: Callable[[Records], T]) -> T:
    """What is asked of some records. Where one cannot answer (`PartError`), all are read whole, what is no record after
    all is passed over with a warning, and the others are asked anew.
    """
    for _ in range(MOST_ASKED):
        try:
            return ask(records)
        except PartError:
            records = sound(records)
    return ask(records)


def sound(records: Records) -> Records:
    """The records that can be read whole; the others are passed over with a warning."""
    found, reasons = [], []
    for record in records:
        try:
            if isinstance(record, StoredRecord):
                _reread(record._path, record.id)
            found.append(record)
        except PartError as error:
            reasons.append(str(error))
    told = _told(found, reasons)
    told.passed_over = (*records.passed_over, *told.passed_over)
    return told


def load_lazily(path: Path) -> RunRecord:
    """A record whose long parts wait in their file; one whose file is laid out otherwise is read whole."""
    data = _bytes(path)
    parted = _parted(data)
    if parted is None:
        return _validated(path, data)
    short, first_tally = parted
    try:
        record = StoredRecord.model_validate_json(short)
    except ValidationError:
        return _validated(path, data)  # which says what is wrong with the file as it is
    for part in LONG_PARTS:
        record.__dict__.pop(part)
    record._path, record._sha256 = path, hashlib.sha256(data).digest()
    if first_tally:
        record._headline = _headline_of(path, record, first_tally)
    return record


def _parted(data: bytes) -> tuple[bytes, bytes] | None:
    """A record without its long parts, and its first tally; None where the layout does not show where they are.

    Top-level fields begin a line with one space, and nothing within them does (`compact`; JSON strings hold no raw
    line ends). A file of another layout, or one that was cut off, has no such pieces or does not close.
    """
    if not data.rstrip().endswith(b"\n}"):
        return None
    kept, first_tally = data, b""
    for part in LONG_PARTS:
        start = kept.find(b'\n "%s": [' % part.encode())
        if start < 0 and part in LATER_PARTS:
            continue
        end = kept.find(b'\n "', start + 3)
        if start < 0 or end < 0 or kept[end - 2 : end] != b"],":
            return None
        if part == "tallies":
            row = kept.find(b"\n  {", start, end)
            row_end = kept.find(b"}", row, end) if row >= 0 else -1
            first_tally = kept[row + 3 : row_end + 1] if row_end >= 0 else b""
        kept = kept[:start] + kept[end:]
    return kept, first_tally


def _headline_of(path: Path, record: RunRecord, row: bytes) -> tuple[str, PackedCounts, PackedCounts]:
    """The counts of the first tally, held tightly; RecordError where they contradict the record."""
    found = _quickly(record, row)
    if found is not None:
        return found
    try:
        tally = ImageCounts.model_validate_json(row)
        check_counts(record.measurements, [tally])
    except ValidationError as error:
        raise RecordError(f"{path}: tallies.0: {error.errors()[0]['msg']}; {REMEDY}") from None
    except ValueError as error:
        raise RecordError(f"{path}: {error}; {REMEDY}") from None
    return tally.key, _tight(tally.hits), _shared(_tight(tally.counts).tobytes(), max(tally.counts))


def _quickly(record: RunRecord, row: bytes) -> tuple[str, PackedCounts, PackedCounts] | None:
    """The same where nothing is odd; None where a closer look must say what is."""
    try:
        given = from_json(row)
        key, hits, counts = given["key"], given["hits"], given["counts"]
        first, total = record.measurements[0], sum(counts)
        odd = (
            len(given) != 3
            or first.key != key
            or len(hits) != len(counts)
            or any(map(operator.gt, hits, counts))
            or abs(100.0 * sum(hits) / total - first.value) > SAME_RATE
            or total % first.n
        )
        return None if odd else (key, _tight(hits), _shared(_tight(counts).tobytes(), max(counts)))
    except (ValueError, TypeError, LookupError, ArithmeticError):  # OverflowError: a negative count
        return None


def _tight(values: Sequence[int]) -> PackedCounts:
    return PackedCounts(_code(max(values)), values)


def _code(largest: int) -> str:
    return "B" if largest < 1 << 8 else "H" if largest < 1 << 16 else "Q"


@lru_cache(maxsize=4096)
def _shared(values: bytes, largest: int) -> PackedCounts:
    """One array for all records that count the same images."""
    made = PackedCounts(_code(largest))
    made.frombytes(values)
    return made


# ---------------------------------------------------------------------------------------------------- folders


def load_all(results: Path, papers: Iterable[str] | None = None) -> Records:
    """All records below `results`, by path; what is no record is passed over with a warning."""
    wanted = None if papers is None else set(papers)
    return _gathered(load_files(p for p in _files(results) if wanted is None or p.parent.name in wanted))


def load_folders(folders: Sequence[Path]) -> Records:
    """The records of several results folders as one; ValueError for a folder that is not there.

    Of a record that stands in more than one, the one that is done, then the newest. A single folder may be missing yet.
    """
    if len(folders) > 1:
        for folder in folders:
            if not folder.is_dir():
                raise ValueError(
                    f"{folder}: no such folder of results; name one that `reproduce` or `score` has written"
                )
    return _gathered(load_files(chain.from_iterable(_files(folder) for folder in folders)))


def load_files(paths: Iterable[Path]) -> Records:
    """The records in some files; what is no record is passed over with a warning."""
    found, passed_over = [], []
    with _without_collection():
        for path in paths:
            try:
                found.append(_record_at(path))
            except (RecordError, OSError) as error:
                passed_over.append(str(error))
    return _told(found, passed_over)


def _record_at(path: Path) -> RunRecord:
    if path.name.startswith("."):
        raise RecordError(f"{path}: names that begin with '.' are left alone, as side files of macOS have; remove it")
    return load_lazily(path)


def _files(results: Path) -> list[Path]:
    """What may be a record: every name that ends so, one folder down."""
    if results.exists() and not results.is_dir():
        raise ValueError(f"{results} is a file; --results names a folder of records")
    folders = sorted(e.path for e in os.scandir(results) if e.is_dir()) if results.is_dir() else []
    names = (sorted(e.path for e in os.scandir(folder) if e.name.endswith(".json")) for folder in folders)
    return [Path(name) for name in chain.from_iterable(names)]


def _gathered(found: Records) -> Records:
    """One record a run; without those that hold another's predictions, or count other images than the rest."""
    kept: dict[str, RunRecord] = {}
    for record in found:
        known = kept.get(record.id)
        if known is None or query.standing(known) < query.standing(record):
            kept[record.id] = record
    records = list(kept.values())
    reasons = shared_predictions(records) | odd_images(records)
    told = _told([r for r in records if r.id not in reasons], list(dict.fromkeys(reasons.values())))
    told.passed_over = (*found.passed_over, *told.passed_over)
    return told


def _told(found: Iterable[RunRecord], passed_over: Sequence[str]) -> Records:
    for text in passed_over:
        warnings.warn(f"passed over: {text}", RecordWarning, stacklevel=2)
    made = Records(found)
    made.passed_over = tuple(passed_over)
    return made


@contextmanager
def _without_collection() -> Iterator[None]:
    """Records hold no cycles, but millions of numbers that the collector would walk through over and over.

    They are kept from it for good: what is freed is freed by its last reference.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


# ---------------------------------------------------------------------------------------------------- among records


def shared_predictions(records: Iterable[RunRecord]) -> dict[str, str]:
    """Why records cannot both be right, by id: two trainings with the same predictions (F26).

    Two protocols may lead one training to the same predictions, and so may a sweep at the value that a protocol has.
    """
    owner: dict[str, RunRecord] = {}
    found: dict[str, str] = {}
    for record in records:
        if not record.predictions_sha256:
            continue
        other = owner.setdefault(record.predictions_sha256, record)
        if not _of_one_training(other, record):
            text = f"{_named(other)} and {_named(record)} hold the same predictions (F26)"
            found |= {other.id: text, record.id: text}
    return found


def _of_one_training(one: RunRecord, other: RunRecord) -> bool:
    """Records of sweeps do not say which data their network was trained on."""
    (*network, data), (*others, others_data) = one.identity.training, other.identity.training
    return network == others and (data == others_data or "sweep" in (one.identity.kind, other.identity.kind))


def _named(record: RunRecord) -> str:
    return f"record {record.id} ({record.identity.paper}/{record.identity.variant})"


def refuse_shared_predictions(records: Iterable[RunRecord]) -> None:
    """RecordError if two trainings carry the same predictions (F26)."""
    for text in shared_predictions(records).values():
        raise RecordError(text)


def odd_images(records: Iterable[RunRecord]) -> dict[str, str]:
    """Why records cannot be held against the others of their condition, by id: their images count other joints.

    The persons of a condition have one digest, so that all of its records count the same; the fewer are the odd ones.
    """
    groups: dict[tuple[Any, ...], dict[bytes, list[RunRecord]]] = {}
    for r in records:
        if r.identity.kind != "accuracy" or r.status != "done":
            continue
        counts = r.counts(query.headline_key(r))
        if counts is not None:
            where = (*query.condition(r)[1:], query.headline_key(r))
            groups.setdefault(where, {}).setdefault(_tight(counts[1]).tobytes(), []).append(r)
    found = {}
    for alike in groups.values():
        most = max(alike.values(), key=len)
        for odd in (o for o in alike.values() if o is not most):
            for r in odd:
                found[r.id] = f"{_named(r)} counts other joints per image than the other records of its test persons"
    return found
