"""JSON files from elsewhere: validated by pydantic, and whatever is wrong told by file, entry and field.

A file is text in UTF-8 (or UTF-16, with or without a byte order mark). NaN and Infinity are read, as Python writes
them, and refused where a number is expected to be finite. Fields that are not declared are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, Strict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from hpe_bench.data.file_kinds import content, told

T = TypeVar("T")
LARGEST = 2**63  # ids are kept as int64
Number = Annotated[float, Strict()]
Whole = Annotated[Annotated[int, Strict()] | Annotated[float, Strict()], Field(union_mode="left_to_right")]
"""A whole number as it is written: 139, or 139.0 by tools that keep ids as floating point; `whole` reads it."""
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def parse(path: Path, adapter: TypeAdapter[T], what: str, entries: Mapping[str, str]) -> T:
    """The content of a file that should be `what`; `entries` calls an entry of a list by name ("images": "image").

    ValueError naming file, entry and field.
    """
    data = content(path, what, f"expected {what} here")
    try:
        return adapter.validate_json(_utf8(data, path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    except (MemoryError, RecursionError):
        raise ValueError(f"{path}: larger than the memory that is free; free some, or give a smaller file") from None
    if first["type"] == "json_invalid":
        reason = str(first.get("ctx", {}).get("error", first["msg"]))
        raise ValueError(f"{path}: not a whole json file ({reason}); {told(data) or f'fetch {what} again'}")
    raise ValueError(_sentence(path, first, entries))


def _utf8(data: bytes, path: Path) -> bytes:
    """The text without its mark, in UTF-8."""
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            try:
                return data.decode(encoding).encode()
            except UnicodeError as error:
                raise ValueError(f"{path}: not a whole json file ({error}); save it in UTF-8") from None
    return data


def _sentence(path: Path, error: ErrorDetails, entries: Mapping[str, str]) -> str:
    """A fault that pydantic found, in words."""
    where, fields = str(path), [part for part in error["loc"] if part not in ("int", "float")]
    if fields and isinstance(fields[0], int):
        where, fields = f"{path}: {entries['']} {fields[0]}", fields[1:]
    elif len(fields) > 1 and isinstance(fields[1], int):
        where, fields = f"{path}: {entries.get(str(fields[0]), str(fields[0]))} {fields[1]}", fields[2:]
    found = error["input"]
    if not fields:
        wanted = "a list of records" if error["type"] == "list_type" else "a record with named fields"
        return f"{where} is {kind(found)}, expected {wanted}"
    field, *inside = fields
    if error["type"] == "missing":
        return f"{where} has no {field!r}; give a file that has it"
    value = "".join(f", value {part}" for part in inside)
    return f"{where}: {field!r}{value} is {shown(found)}, expected {EXPECTED.get(error['type'], error['msg'])}"


EXPECTED = {
    "list_type": "a list",
    "int_type": "a whole number",
    "int_parsing_size": "a whole number",
    "float_type": "a finite number",
    "string_type": "text",
    "dict_type": "a record with named fields",
}


def whole(found: object) -> int | None:
    """A whole number that fits int64, also where it is written as 139.0; None for anything else."""
    if type(found) is float and math.isfinite(found) and found == int(found):
        found = int(found)
    return found if type(found) is int and -LARGEST <= found < LARGEST else None


def finite(found: object) -> float | None:
    """A finite number; None for anything else."""
    if type(found) is float or type(found) is int:
        try:
            return float(found) if math.isfinite(found) else None
        except OverflowError:  # a whole number beyond what a float holds
            return None
    return None


def finite_list(found: object, count: int) -> list[float] | None:
    """`count` finite numbers; None for anything else."""
    if type(found) is not list or len(found) != count:
        return None
    values = [finite(v) for v in found]
    return None if None in values else values  # type: ignore[return-value]


def kind(found: object) -> str:
    """What a json value is, in words."""
    words = {dict: "a record", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return words.get(type(found), "a number")


def shown(found: object) -> str:
    """A value short enough for a sentence."""
    if type(found) is int and abs(found) >= LARGEST:
        return "a number beyond all bounds"
    written = repr(found)
    return written if len(written) <= 40 else f"{written[:37]}..."


Anything = Any
"""A field that is looked at only where it is needed, and then by hand: no file is refused for it."""
