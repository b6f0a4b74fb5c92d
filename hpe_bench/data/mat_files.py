"""Arrays of numbers from MATLAB files, checked against what was expected of them.

A reader of our own because scipy's (1.17) trusts every length and type code: a single damaged byte can end the program
or keep it busy for ever. Format: MathWorks, "MAT-File Format", level 5 (what MATLAB saves with -v6 and -v7): elements
of (type, number of bytes, content); a compressed element holds a matrix element, and that its flags, dimensions, name
and numbers, column by column. Anything but real, full arrays is passed over.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # by element type
MEANT = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}  # by class
CLASS, COMPLEX = 0xFF, 0x800  # in a matrix's flags


def read_mat(path: Path, shapes: dict[str, tuple[int, ...]], what: str) -> dict[str, np.ndarray]:
    """The named arrays of a file that should be `what`'s; ValueError if one is missing, misshapen or unreadable."""
    content = read_every(path)
    for name, shape in shapes.items():
        found = content[name].shape if name in content else "no array of numbers"
        if found != shape:
            raise ValueError(f"{path}: {name} is {found}, expected {shape}; this is another file than {what}'s")
    return {name: content[name] for name in shapes}


def read_every(path: Path) -> dict[str, np.ndarray]:
    """All arrays of numbers in a file, by name; ValueError if it is unreadable."""
    try:
        return dict(_arrays(path.read_bytes()))
    except (OSError, ValueError, IndexError, struct.error, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read as a MATLAB file ({error}); fetch it again") from error


def _arrays(data: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Name and content of a file's arrays."""
    order = {b"IM": "<", b"MI": ">"}.get(data[HEADER_BYTES - 2 : HEADER_BYTES])
    if order is None or 0 in data[:4]:
        raise ValueError("no header of level 5")
    for kind, content in _elements(data[HEADER_BYTES:], order):
        inside = _elements(zlib.decompress(content), order) if kind == COMPRESSED else [(kind, content)]
        for inner, matrix in inside:
            if inner != MATRIX:
                raise ValueError(f"a variable of data type {inner}")
            yield from _array(matrix, order)


def _array(matrix: bytes, order: str) -> Iterator[tuple[str, np.ndarray]]:
    """A matrix element's name and array, or nothing if it is no real, full array."""
    parts = _elements(matrix, order)
    flags = struct.unpack_from(f"{order}I", next(parts, (0, b""))[1])[0]
    if flags & CLASS not in MEANT or flags & COMPLEX:
        return
    dimensions, name, numbers = (next(parts, (0, b"")) for _ in range(3))
    shape = tuple(np.frombuffer(dimensions[1], f"{order}i4").tolist())
    if numbers[0] not in STORED:
        raise ValueError(f"numbers of data type {numbers[0]}")
    values = np.frombuffer(numbers[1], order + STORED[numbers[0]])
    if min(shape, default=0) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"{len(values)} numbers for an array of {shape}")
    yield name[1].decode("latin-1"), values.astype(MEANT[flags & CLASS]).reshape(shape, order="F")


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
