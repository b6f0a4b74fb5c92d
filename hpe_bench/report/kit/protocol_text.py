"""Protocols in words: what one says, and how two differ, field by field."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

ABSENT = "not part of it"


class ProtocolDifference(NamedTuple):
    """One field, by its path from the protocol ("codec: sigma_px"), and what each of the two says."""

    field: str
    first: str
    second: str


def differences(first: Any, second: Any, path: tuple[str, ...] = ()) -> Iterator[ProtocolDifference]:
    """Every field in which two declared values differ; prose is left out, as it is from their identity.

    Values of one kind, and the two outermost whatever their kinds, are compared field by field; others as wholes.
    """
    if path and type(first) is not type(second):
        yield ProtocolDifference(": ".join(path), in_words(first), in_words(second))
    elif dataclasses.is_dataclass(first):
        ours, theirs = _fields(first), _fields(second)
        for name in dict.fromkeys((*ours, *theirs)):
            if name in ours and name in theirs:
                yield from differences(ours[name], theirs[name], (*path, name))
            else:
                sides = (in_words(side[name]) if name in side else ABSENT for side in (ours, theirs))
                yield ProtocolDifference(": ".join((*path, name)), *sides)
    elif first != second:
        yield ProtocolDifference(": ".join(path), in_words(first), in_words(second))


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a declared value that make its identity."""
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.metadata.get("hashed", True)}


def in_words(value: Any) -> str:
    """A declared value on one line."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(in_words, value))
    if dataclasses.is_dataclass(value):
        said = "; ".join(f"{name} {in_words(v)}" for name, v in _fields(value).items())
        return f"{type(value).__name__}" + (f" ({said})" if said else "")
    if callable(value):
        return str(value.__qualname__)
    return str(value) or "none"


def lines(value: Any, depth: int = 0) -> Iterator[str]:
    """A declared value as indented lines, a field each."""
    for name, found in _fields(value).items():
        indent = "  " * depth
        if dataclasses.is_dataclass(found):
            yield f"{indent}{name}: {type(found).__name__}"
            yield from lines(found, depth + 1)
        else:
            yield f"{indent}{name}: {in_words(found)}"
