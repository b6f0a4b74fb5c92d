"""Printed figures: does an exact value round, or truncate, to the digits on the page? Exact arithmetic throughout."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal

from hpe_bench.declare import Claim
from hpe_bench.metrics import digits

Digits = Literal["rounds", "truncates", ""]


def decimals(claim: Claim) -> int:
    """Decimal places of the printed figure in the claim's unit; negative where 34.0 M stands for a plain count.

    Falls back on the digits of `value` where `printed` does not contain it.
    """
    assert claim.value is not None
    if (places := digits.decimals(claim.printed, claim.value)) is not None:
        return places
    whole, _, part = repr(claim.value).partition(".")
    return 0 if part in ("", "0") or "e" in whole + part else len(part)


def matches(exact: Fraction, claim: Claim) -> Digits:
    """How `exact`, in the claim's unit, becomes the printed figure: by rounding, by truncation, or not at all."""
    assert claim.value is not None
    grid = Fraction(10) ** decimals(claim)
    printed = Fraction(str(claim.value)) * grid
    sign = -1 if exact < 0 else 1
    if sign * math.floor(abs(exact) * grid + Fraction(1, 2)) == printed:
        return "rounds"
    if sign * math.floor(abs(exact) * grid) == printed:
        return "truncates"
    return ""


def deviation_percent(exact: Fraction, claim: Claim) -> float:
    """100 (measured - printed) / |printed|; infinite where the printed figure is zero."""
    assert claim.value is not None
    printed = Fraction(str(claim.value))
    return float(100 * (exact - printed) / abs(printed)) if printed else math.inf


def figure(claim: Claim) -> str:
    """The figure as sentences name it; what no page printed is called what it is."""
    return f"printed {claim.printed}" if claim.printed else f"{claim.value:g} ({claim.status}, not printed)"
