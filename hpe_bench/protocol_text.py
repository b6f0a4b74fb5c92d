"""Protocols in words: what one says, and how two differ, field by field."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from hpe_bench import protocols
from hpe_bench.declare import fingerprint

if TYPE_CHECKING:
    from rich.console import Console

ABSENT = "not part of it"


class Difference(NamedTuple):
    """One field, by its path from the protocol ("codec: sigma_px"), and what each of the two says."""

    field: str
    first: str
    second: str


def differences(first: Any, second: Any, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    """Every field in which two declared values differ; prose is left out, as it is from their identity.

    Values of one kind, and the two outermost whatever their kinds, are compared field by field; others as wholes.
    """
    if path and type(first) is not type(second):
        yield Difference(": ".join(path), in_words(first), in_words(second))
    elif dataclasses.is_dataclass(first):
        ours, theirs = _fields(first), _fields(second)
        for name in dict.fromkeys((*ours, *theirs)):
            if name in ours and name in theirs:
                yield from differences(ours[name], theirs[name], (*path, name))
            else:
                sides = (in_words(side[name]) if name in side else ABSENT for side in (ours, theirs))
                yield Difference(": ".join((*path, name)), *sides)
    elif first != second:
        yield Difference(": ".join(path), in_words(first), in_words(second))


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


# ---------------------------------------------------------------------------------------------------- printing


def print_list(console: Console) -> None:
    """All protocols: name, hash, data set and split, boxes, metrics."""
    known = protocols.every()
    width = max(map(len, known)) + 2
    for name, p in known.items():
        keys = ", ".join(metric.key for metric in p.metrics)
        text = f"{name:<{width}}{fingerprint(p)}  {p.data.name} {p.test_split}, {p.boxes} boxes, {keys}"
        console.print(text, highlight=False, markup=False)


def print_protocol(console: Console, name: str) -> None:
    """Everything that a protocol says."""
    protocol = protocols.named(name)
    say = [*lines(protocol), f"hash: {fingerprint(protocol)}", *([f"note: {protocol.note}"] if protocol.note else [])]
    for line in say:
        console.print(line, highlight=False, markup=False)


def print_diff(console: Console, first: str, second: str) -> None:
    """How two protocols differ, in a sentence a field; scores under protocols that differ are not comparable."""
    one, other = protocols.named(first), protocols.named(second)
    found = [d for d in differences(one, other) if d.field != "name"]
    if not found:
        console.print(f"{first} and {second} do not differ", highlight=False, markup=False)
    for d in found:
        console.print(f"{d.field}: {d.first} in {first}, {d.second} in {second}", highlight=False, markup=False)
