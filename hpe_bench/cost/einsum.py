"""What an Einstein summation costs, contracted two operands at a time as torch does."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = tuple[int, ...]
Operand = dict[str, int]  # sizes by index


def contraction(equation: str, shapes: Sequence[Shape], path: Sequence[int] | None = None) -> tuple[int, int]:
    """Multiply-adds, and elements written on the way.

    `path` lists pairs of positions to contract, the result going to the end, as torch and NumPy do; without one
    operands are taken from the left. An index that only one operand has is summed before it is multiplied. A single
    operand is rearranged or summed, which costs nothing.
    """
    operands, result = _read(equation, shapes)
    macs = written = 0
    for first, second in _pairs(path, len(operands)):
        left, right = operands[first], operands[second]
        operands = [o for k, o in enumerate(operands) if k not in (first, second)]
        later = {*result, *(index for o in operands for index in o)}
        kept = {i: n for i, n in _joined(left, right).items() if i in later or (i in left and i in right)}
        given = {i: n for i, n in kept.items() if i in later}
        macs += prod(kept.values())
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


def _joined(left: Operand, right: Operand) -> Operand:
    """Sizes of all indices of two operands; one of size 1 stretches."""
    return {i: max(left.get(i, 1), right.get(i, 1)) for i in {**left, **right}}


def _read(equation: str, shapes: Sequence[Shape]) -> tuple[list[Operand], str]:
    """Operands as sizes by index, and the indices of the result; what an ellipsis stands for gets numbered names."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = [_expanded(term, len(shape)) for term, shape in zip(left.split(","), shapes, strict=True)]
    operands: list[Operand] = []
    for term, shape in zip(terms, shapes, strict=True):
        sizes: Operand = {}
        for index, size in zip(term, shape, strict=True):
            sizes[index] = max(size, sizes.get(index, 1))
        operands.append(sizes)
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
