"""Arrays of numbers from MATLAB files, checked against what was expected of them; structs and cells where asked for.

A reader of our own because scipy's (1.17) trusts every length and type code: a single damaged byte can end the program
or keep it busy for ever. Format: MathWorks, "MAT-File Format", level 5 (what MATLAB saves with -v6 and -v7): elements
of (type, number of bytes, content); a compressed element holds a matrix element, and that its flags, dimensions, name
and numbers, column by column. Of variables that are no real, full arrays the kind is told, as is what to save instead
of a file of another version. Sizes are looked at before anything is unpacked.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpe_bench.data.file_kinds import content as content_of
from hpe_bench.data.file_kinds import told

HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # by element type
MEANT = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}  # by class
OTHERS = {
    1: "a cell array",
    2: "a struct",
    3: "an object",
    4: "text",
    5: "a sparse array",
    16: "a function",
    17: "an object (such as a table or a string)",
}
CLASS, COMPLEX = 0xFF, 0x800  # in a matrix's flags
CELLS, STRUCT, TEXT = 1, 2, 4  # classes
ENCODED = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}  # text, by element type
MOST_BYTES = 1 << 29  # of one variable: MPII's and LSP's are below 1 MB, predictions for all of COCO below 200 MB
SAVE = "save plain arrays of numbers with -v7"


def is_mat(head: bytes) -> bool:
    """Whether a file that begins so is a MATLAB file of any version, or an Octave one of level 5."""
    level5 = head[HEADER_BYTES - 2 : HEADER_BYTES] in (b"IM", b"MI") and 0 not in head[:4]
    return level5 or head.startswith(b"MATLAB") or _is_version_4(head)


def read_mat(path: Path, shapes: dict[str, tuple[int, ...]], what: str) -> dict[str, np.ndarray]:
    """The named arrays of a file that should be `what`'s; ValueError if one is missing, misshapen or unreadable."""
    arrays, others = _variables(path)
    for name, shape in shapes.items():
        found = arrays[name].shape if name in arrays else "no array of numbers"
        if found != shape:
            remedy = f"it is {others[name]}: {SAVE}" if name in others else f"this is another file than {what}'s"
            raise ValueError(f"{path}: {name} is {found}, expected {shape}; {remedy}")
    return {name: arrays[name] for name in shapes}


def read_every(path: Path) -> dict[str, np.ndarray]:
    """All arrays of numbers in a file, by name; ValueError if it is unreadable or holds only other things."""
    arrays, others = _variables(path)
    if not arrays and others:
        name, kind = next(iter(others.items()))
        raise ValueError(f"{path}: {name} is {kind}, no array of numbers; {SAVE}")
    return arrays


@dataclass(frozen=True)
class Compound:
    """A struct or cell array, in MATLAB's order (column by column); a part is read when it is asked for.

    A struct has `names`, its fields; a cell array has none.
    """

    names: tuple[str, ...]
    matrices: tuple[bytes, ...]
    order: str

    def __len__(self) -> int:
        return len(self.matrices) // max(1, len(self.names))

    def get(self, index: int, name: str = "") -> Value:
        """What a field of a struct, or a cell, holds; None where there is no such field, ValueError if damaged."""
        if name not in (self.names or ("",)):
            return None
        place = index * len(self.names) + self.names.index(name) if self.names else index
        try:
            return _value(self.matrices[place], self.order)
        except (IndexError, struct.error, UnicodeDecodeError) as error:
            raise ValueError(f"a damaged value ({error or type(error).__name__})") from None


Value = np.ndarray | str | Compound | None
"""Numbers, text, or a compound of such; None for what is of another kind."""


def read_struct(path: Path, name: str) -> Compound:
    """A struct of this name; ValueError if the file has none or is unreadable. Its values may be damaged still."""
    data = _of_level_5(path)
    try:
        for matrix, order in _matrices(data):
            if _head(matrix, order).name == name:
                found = _value(matrix, order)
                if isinstance(found, Compound) and found.names:
                    return found
                raise ValueError(f"{name} is no struct")
    except (ValueError, IndexError, struct.error, zlib.error, MemoryError) as error:
        raise ValueError(f"{path}: damaged MATLAB file ({error or type(error).__name__}); fetch it again") from None
    raise ValueError(f"{path}: no variable {name!r}; this is another file than was expected")


def _variables(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of numbers by name, and what the other variables are."""
    data = _of_level_5(path)
    arrays: dict[str, np.ndarray] = {}
    others: dict[str, str] = {}
    try:
        for name, value in _arrays(data):
            if isinstance(value, str):
                others[name] = value
            else:
                arrays[name] = value
    except (ValueError, IndexError, struct.error, zlib.error, MemoryError) as error:
        raise ValueError(f"{path}: damaged MATLAB file ({error or type(error).__name__}); fetch it again") from None
    return arrays, others


def _of_level_5(path: Path) -> bytes:
    """A file's content; ValueError saying what it is if it is none of level 5."""
    data = content_of(path, "a MATLAB file")
    if fault := _of_another_version(data):
        raise ValueError(f"{path}: {fault}")
    return data


def _of_another_version(data: bytes) -> str:
    """Why a file is none of level 5 and what to do, or an empty string."""
    if data[HEADER_BYTES - 2 : HEADER_BYTES] in (b"IM", b"MI") and 0 not in data[:4]:
        if data[HEADER_BYTES - 4 : HEADER_BYTES - 2] in (b"\x00\x02", b"\x02\x00") and b"HDF" in data[:1024]:
            return f"a MATLAB file of version 7.3 (HDF5); {SAVE}"
        return ""
    if data.startswith(b"MATLAB 7.3") or data.startswith(b"\x89HDF") or data[512:516] == b"\x89HDF":
        return f"a MATLAB file of version 7.3 (HDF5); {SAVE}"
    if data.startswith(b"# Created by Octave") or data.startswith(b"# name:"):
        return f"an Octave text file; {SAVE}"
    if _is_version_4(data):
        return f"a MATLAB file of version 4; {SAVE}"
    if data.startswith(b"MATLAB"):
        return "a truncated MATLAB file; fetch it again"
    return f"no MATLAB file; {told(data) or 'fetch it again'}"


def _is_version_4(head: bytes) -> bool:
    """Whether the first 20 bytes are a matrix header of level 4: type MOPT, rows, columns, imaginary, name length."""
    for order in "<>":
        if len(head) >= 20:
            kind, rows, columns, imaginary, name = struct.unpack(f"{order}5i", head[:20])
            number, precision, matrix = kind // 1000, kind // 10 % 10, kind % 10
            known = number in (0, 1) and kind // 100 % 10 == 0 and precision <= 5 and matrix <= 2 and kind >= 0
            if known and rows >= 0 and columns >= 0 and imaginary in (0, 1) and 1 < name <= 64:
                return True
    return False


def _arrays(data: bytes) -> Iterator[tuple[str, np.ndarray | str]]:
    """Name and content of a file's variables; of those that are no arrays of numbers, what they are."""
    for matrix, order in _matrices(data):
        yield from _array(matrix, order)


def _matrices(data: bytes) -> Iterator[tuple[bytes, str]]:
    """A file's variables as matrix elements, with their byte order."""
    order = "<" if data[HEADER_BYTES - 2 : HEADER_BYTES] == b"IM" else ">"
    for kind, content in _elements(data[HEADER_BYTES:], order):
        inside = _elements(_unpacked(content, order), order) if kind == COMPRESSED else [(kind, content)]
        for inner, matrix in inside:
            if inner != MATRIX:
                raise ValueError(f"a variable of data type {inner}")
            yield matrix, order


def _unpacked(content: bytes, order: str) -> bytes:
    """A compressed element, whose own first bytes say how large it is."""
    start = zlib.decompressobj().decompress(content, 8)
    size = struct.unpack(f"{order}II", start)[1] + 8
    if size > MOST_BYTES:
        raise ValueError(f"a variable of {size / 2**20:,.0f} MiB, more than {MOST_BYTES >> 20} MiB")
    return zlib.decompressobj().decompress(content, size)


@dataclass(frozen=True)
class _Head:
    """What a matrix element begins with, and the elements that follow."""

    flags: int
    shape: tuple[int, ...]
    name: str
    rest: Iterator[tuple[int, bytes]]

    @property
    def kind(self) -> int:
        return self.flags & CLASS

    @property
    def is_plain(self) -> bool:
        """Whether it is a real, full array of numbers."""
        return self.kind in MEANT and not self.flags & COMPLEX


def _head(matrix: bytes, order: str) -> _Head:
    parts = _elements(matrix, order)
    flags = struct.unpack_from(f"{order}I", next(parts, (0, b""))[1])[0]
    dimensions, name = next(parts, (0, b"")), next(parts, (0, b""))
    shape = tuple(np.frombuffer(dimensions[1], f"{order}i4").tolist())
    if min(shape, default=0) < 0:
        raise ValueError(f"an array of {shape}")
    return _Head(flags, shape, name[1].decode("latin-1"), parts)


def _array(matrix: bytes, order: str) -> Iterator[tuple[str, np.ndarray | str]]:
    """A matrix element's name and array, or what it is if it is no real, full array."""
    head = _head(matrix, order)
    if head.is_plain:
        yield head.name, _numbers(head, order)
        return
    what = "an array of complex numbers" if head.kind in MEANT else OTHERS.get(head.kind, "")
    if head.name.isprintable() and head.name and what:
        yield head.name, what


def _numbers(head: _Head, order: str) -> np.ndarray:
    kind, content = next(head.rest, (0, b""))
    if kind not in STORED:
        raise ValueError(f"numbers of data type {kind}")
    values, meant = np.frombuffer(content, order + STORED[kind]), np.dtype(MEANT[head.kind])
    if math.prod(head.shape) != len(values):
        raise ValueError(f"{len(values)} numbers for an array of {head.shape}")
    if len(values) * meant.itemsize > MOST_BYTES:
        raise ValueError(f"an array of {head.shape}, more than {MOST_BYTES >> 20} MiB")
    return values.astype(meant).reshape(head.shape, order="F")


def _value(matrix: bytes, order: str) -> Value:
    """A matrix element's content; one without any is an empty array of numbers, as MATLAB's [] in structs."""
    if not matrix:
        return np.empty((0, 0))
    head = _head(matrix, order)
    if head.is_plain:
        return _numbers(head, order)
    if head.kind == TEXT:
        kind, content = next(head.rest, (0, b""))
        encoding = ENCODED.get(kind, "latin-1")
        return content.decode({"utf-16": {"<": "utf-16-le", ">": "utf-16-be"}[order]}.get(encoding, encoding))
    if head.kind not in (CELLS, STRUCT):
        return None
    names = _field_names(head, order) if head.kind == STRUCT else ()
    matrices = tuple(content for kind, content in head.rest if kind == MATRIX)
    expected = math.prod(head.shape) * (len(names) if head.kind == STRUCT else 1)
    if len(matrices) != expected:
        raise ValueError(f"{len(matrices)} parts, expected {expected}")
    return Compound(names, matrices, order)


def _field_names(head: _Head, order: str) -> tuple[str, ...]:
    length = struct.unpack_from(f"{order}i", next(head.rest, (0, b""))[1])[0]
    text = next(head.rest, (0, b""))[1]
    if length < 1 or len(text) % length:
        raise ValueError(f"field names of {length} characters each in {len(text)}")
    return tuple(text[i : i + length].split(b"\0")[0].decode("latin-1") for i in range(0, len(text), length))


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(type, content) of the elements in a row; content of at most 4 bytes may share the tag's 8."""
    at = 0
    while at < len(data):
        word, size = struct.unpack_from(f"{order}II", data, at)
        small = word >> 16
        kind, size, start = (word & 0xFFFF, small, at + 4) if small else (word, size, at + 8)
        if small > 4 or start + size > len(data):
            raise ValueError("an element is longer than what holds it")
        yield kind, data[start : start + size]
        at = at + 8 if small else start + size + (-size % 8 if kind != COMPRESSED else 0)
