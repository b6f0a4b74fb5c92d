"""What an Einstein summation costs, contracted two operands at a time as torch does."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = tuple[int, ...]
Operand = dict[str, int]  # sizes by index, those of 1 left out: they are never summed, and stretch to any other


def contraction(equation: str, shapes: Sequence[Shape], path: Sequence[int] | None = None) -> tuple[int, int]:
    """Multiply-adds, and elements written on the way.

    `path` lists pairs of positions to contract, the result going to the end, as torch and NumPy do; without one
    operands are taken from the left. An index that only one operand has is summed before it is multiplied. What sums
    nothing, such as an outer product or one operand that is rearranged, works element by element and costs nothing.
    """
    operands, result = _read(equation, shapes)
    macs = written = 0
    for first, second in _pairs(path, len(operands)):
        left, right = operands[first], operands[second]
        operands = [o for k, o in enumerate(operands) if k not in (first, second)]
        later = {*result, *(index for o in operands for index in o)}
        given = {i: n for i, n in {**left, **right}.items() if i in later}
        summed = [n for i, n in left.items() if i in right and i not in later]
        if summed:
            macs += prod(given.values()) * prod(summed)
            written += prod(given.values())
        if path is None:
            operands.insert(0, given)
        else:
            operands.append(given)
    return macs, written


def _pairs(path: Sequence[int] | None, operands: int) -> list[tuple[int, int]]:
    if path:
        return [(path[k], path[k + 1]) for k in range(0, len(path), 2)]
    return [(0, 1)] * (operands - 1)


def _read(equation: str, shapes: Sequence[Shape]) -> tuple[list[Operand], str]:
    """Operands as sizes by index, and the indices of the result; what an ellipsis stands for gets numbered names."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = [_expanded(term, len(shape)) for term, shape in zip(left.split(","), shapes, strict=True)]
    operands: list[Operand] = []
    for term, shape in zip(terms, shapes, strict=True):
        operands.append({index: size for index, size in zip(term, shape, strict=True) if size > 1})
    widest = max(terms, key=lambda t: sum(ord(c) < 32 for c in t))
    dots = "".join(c for c in widest if ord(c) < 32)
    if arrow:
        return operands, right.replace("...", dots)
    once = sorted(c for c in set("".join(terms)) if "".join(terms).count(c) == 1 and ord(c) >= 32)
    return operands, dots + "".join(once)


def _expanded(term: str, dimensions: int) -> str:
    """A term with its ellipsis written out: dimensions counted from the right, as characters below the blank."""
    named = len(term.replace("...", ""))
    dots = "".join(chr(k) for k in range(dimensions - named, 0, -1))
    return term.replace("...", dots)
