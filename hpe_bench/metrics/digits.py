"""Figures as papers print them: the numbers in a text, their decimal places, and whether they say a value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import permutations

NUMBER = re.compile(r"\d{1,3}(?:[ ,]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
PREFIXES = (0, 3, 6, 9)  # a figure printed in thousands, millions or billions of a claim's unit
PERCENT = 2  # 0.883 is 88.3 percent
PER_SECOND = "FPS"  # 17 FPS are 58.8 ms


def numbers(printed: str) -> Iterator[tuple[Fraction, int]]:
    """Every number of a text without its sign, and its decimal places."""
    for text in NUMBER.findall(printed):
        figure = text.replace(" ", "").replace(",", "")
        yield Fraction(figure), len(figure.partition(".")[2])


def decimals(printed: str, value: float) -> int | None:
    """Decimal places, in the value's unit, of the number that says it; negative where 34.0 M stands for a plain count.

    None where no number does.
    """
    target = abs(Fraction(str(value)))
    for figure, places in numbers(printed):
        for power in (*PREFIXES, PERCENT):
            if figure * 10**power == target:
                return places - power
    return None


def says(printed: str, value: float) -> bool:
    """Whether a printed text says a value: as one of its numbers, as the difference of two of them, or, of images a
    second, as the ms of one image to the digits of the value.
    """
    target = abs(Fraction(str(value)))
    places = len(str(value).partition(".")[2])
    if PER_SECOND in printed and any(f and round(1000 / f, places) == target for f, _ in numbers(printed)):
        return True
    return decimals(printed, value) is not None or any(
        (a - b) * 10**power == target for (a, _), (b, _) in permutations(numbers(printed), 2) for power in (0, PERCENT)
    )
