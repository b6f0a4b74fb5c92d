"""Faults put into small json files: for every one a reader must either load or say one sentence."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

ODD = (None, True, 0, 1, -1, 3, 2**70, 10**400, 0.5, -0.0, 1e300, math.nan, math.inf, "", "x", "../x", [], {}, [[]])


def spots(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a json document, as keys and positions from its root."""
    keys = document.keys() if isinstance(document, dict) else range(len(document) if isinstance(document, list) else 0)
    return [path, *(spot for key in keys for spot in spots(document[key], (*path, key)))]


def changed(document: Any, spot: tuple[Any, ...], fault: str, value: Any) -> Any:
    """A copy in which one place is replaced, dropped, or (in a list) doubled."""
    if not spot:
        return value
    copied = copy.deepcopy(document)
    holder = copied
    for key in spot[:-1]:
        holder = holder[key]
    if fault == "replace":
        holder[spot[-1]] = value
    elif fault == "drop":
        del holder[spot[-1]]
    elif isinstance(holder, list):
        holder.insert(spot[-1], copy.deepcopy(holder[spot[-1]]))
    return copied


def faulty(document: Any) -> st.SearchStrategy[Any]:
    """The document with one to three faults."""

    def one(current: Any) -> st.SearchStrategy[Any]:
        places = st.sampled_from(spots(current))
        kinds = st.sampled_from(["replace", "drop", "double"])
        return st.builds(changed, st.just(current), places, kinds, st.sampled_from(ODD))

    return one(document) | one(document).flatmap(one) | one(document).flatmap(one).flatmap(one)


def cut_or_flipped(path: Path, draw: Any) -> bytes:
    """The bytes of a file cut short, or with one byte changed."""
    data = bytearray(path.read_bytes())
    position = draw(st.integers(0, len(data) - 1))
    if draw(st.booleans()):
        return bytes(data[:position])
    data[position] = draw(st.integers(0, 255))
    return bytes(data)


def write(path: Path, document: Any) -> None:
    """Json with NaN and Infinity spelled out, as Python's own writer does it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def one_sentence(error: ValueError, path: Path) -> None:
    """One line, the file named first, no traceback of a library's making."""
    message = str(error)
    assert message.startswith(str(path)), message
    assert "\n" not in message, message
    assert type(error) is ValueError, repr(error)
