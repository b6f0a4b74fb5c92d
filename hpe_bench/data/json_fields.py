"""Fields of json records, checked one by one: what is missing or wrong is named by file, record and field.

`where` is the record in words ("valid.json: person 17"); every ValueError begins with it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path, PurePosixPath
from typing import Any

LARGEST = 2**63  # ids are kept as int64


def read_json(path: Path, what: str) -> Any:
    """The content of a json file; ValueError naming the file if it is missing, truncated or not json."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); expected {what} here") from error
    except (ValueError, RecursionError) as error:  # bytes that are not UTF-8 are a ValueError, too
        raise ValueError(f"{path}: not a whole json file ({error}); fetch {what} again") from error


def records(document: Any, field: str | None, where: str) -> list[dict[str, Any]]:
    """The list of dictionaries under a field (None: the document itself)."""
    found = document if field is None else value(document, field, where)
    named = where if field is None else f"{where}: {field!r}"
    if not isinstance(found, list):
        raise ValueError(f"{named} is {kind(found)}, expected a list of records")
    for number_, record in enumerate(found):
        if not isinstance(record, dict):
            raise ValueError(f"{named}, record {number_} is {kind(record)}, expected a record with named fields")
    return found


def value(record: Any, field: str, where: str) -> Any:
    """A field that must be there."""
    if not isinstance(record, dict):
        raise ValueError(f"{where} is {kind(record)}, expected a record with named fields")
    if field not in record:
        raise ValueError(f"{where} has no {field!r}; give a file that has it")
    return record[field]


def integer(record: dict[str, Any], field: str, where: str) -> int:
    """A whole number that fits int64."""
    found = value(record, field, where)
    if type(found) is not int or not -LARGEST <= found < LARGEST:
        raise ValueError(f"{where}: {field!r} is {shown(found)}, expected a whole number")
    return found


def number(record: dict[str, Any], field: str, where: str) -> float:
    """A finite number."""
    return _finite(value(record, field, where), repr(field), where)


def numbers(record: dict[str, Any], field: str, count: int, where: str) -> list[float]:
    """A list of `count` finite numbers."""
    found = value(record, field, where)
    if not isinstance(found, list) or len(found) != count:
        length = f"{len(found)} values" if isinstance(found, list) else kind(found)
        raise ValueError(f"{where}: {field!r} has {length}, expected {count} numbers")
    if _plain(found):
        return [float(v) for v in found]
    return [_finite(v, f"{field!r}, value {i}", where) for i, v in enumerate(found)]


def _plain(found: list[Any]) -> bool:
    """Nothing but finite numbers, as nearly every list is; told without a call per value."""
    try:
        return {*map(type, found)} <= {int, float} and all(map(math.isfinite, found))
    except OverflowError:
        return False


def file_name(record: dict[str, Any], field: str, where: str) -> str:
    """The name of a file inside a folder: relative, and not leading out of it."""
    found = value(record, field, where)
    if not isinstance(found, str) or not found or "\0" in found:
        raise ValueError(f"{where}: {field!r} is {shown(found)}, expected a file name")
    path = PurePosixPath(found)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ValueError(f"{where}: {field!r} is {shown(found)}, which leads out of the folder of images")
    return found


def _finite(found: Any, named: str, where: str) -> float:
    if type(found) is float or type(found) is int:
        try:
            if math.isfinite(found):
                return float(found)
        except OverflowError:
            pass  # a whole number beyond what a float holds
    raise ValueError(f"{where}: {named} is {shown(found)}, expected a finite number")


def kind(found: Any) -> str:
    """What a json value is, in words."""
    words = {dict: "a record", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return words.get(type(found), "a number")


def shown(found: Any) -> str:
    """A value short enough for a sentence."""
    if type(found) is int and abs(found) >= LARGEST:
        return "a number beyond all bounds"
    written = repr(found)
    return written if len(written) <= 40 else f"{written[:37]}..."
