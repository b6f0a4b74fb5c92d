"""Damage done to whole files: bytes flipped, cut, doubled, swapped and made extreme, and documents with odd values.

`mutated(data, rng)` is deterministic in the generator, so that a seed and a number name an input for ever.
"""

from __future__ import annotations

import copy
import json
import math
from random import Random
from typing import Any

ODD_BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF, 0x0A, 0x0D, 0x22, 0x2C, 0x3B, 0x5B, 0x7B)
ODD_WORDS = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\x01\x00\x00\x80")
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 2**31, 2**53, 2**63, 2**70, -(2**70), 0.5, -0.0, 1e300, -1e300, 100.0),
    *(math.nan, math.inf, -math.inf, "", "x", "../x", "/x", "1", "nan", "\x00", "\x1b[2J", "é" * 300, "\ud800"),
    *([], {}, [[]], [None], {"a": 1}, [1, 2], [0] * 60, "=1+1", "C:\\x", [[1, 2]] * 16, [True] * 4),
)


def mutated(data: bytes, rng: Random) -> bytes:
    """The bytes with one to four faults."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        if changed:
            _fault(changed, rng)
    return bytes(changed)


def _fault(data: bytearray, rng: Random) -> None:
    # Half of the faults fall on the first bytes, where headers lie.
    at = rng.randrange(min(len(data), 200)) if rng.random() < 0.5 else rng.randrange(len(data))
    kind = rng.randrange(8)
    if kind == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at] = rng.randrange(256)
    elif kind == 2:
        data[at] = rng.choice(ODD_BYTES)
    elif kind == 3:
        del data[at:]
    elif kind == 4:
        del data[at : at + rng.choice((1, 2, 4, 8, 64))]
    elif kind == 5:
        data[at:at] = data[at : at + rng.choice((1, 4, 16, 100))]
    elif kind == 6:
        data[at : at + 4] = rng.choice(ODD_WORDS)
    else:
        data[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 3, 20))))


def odd_document(document: Any, rng: Random) -> Any:
    """A copy of a JSON document with one to three values replaced, dropped or doubled."""
    changed = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 2, 3))):
        changed = _odd_value(changed, rng)
    return changed


def _odd_value(document: Any, rng: Random) -> Any:
    holder, depth = document, rng.randrange(1, 6)
    if not isinstance(holder, (dict, list)) or not holder or rng.random() < 0.01:
        return copy.deepcopy(rng.choice(ODD_VALUES))
    while True:
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        inner = holder[key]
        if depth <= 0 or not isinstance(inner, (dict, list)) or not inner:
            break
        holder, depth = inner, depth - 1
    kind = rng.randrange(4)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[key] = copy.deepcopy(rng.choice(ODD_VALUES))
    return document


def as_bytes(document: Any, rng: Random) -> bytes:
    """JSON as some tool would write it: NaN spelled out, perhaps with a mark, another encoding, or indented."""
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, None, 1)))
    encoding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"))
    return text.encode(encoding, "surrogatepass")
