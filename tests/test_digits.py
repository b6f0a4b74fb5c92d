"""Figures as papers print them, and rows of claims whose two cells contradict each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpe_bench.catalog import CLAIM_COLUMNS, CatalogError, load_all, read_claims
from hpe_bench.metrics.digits import decimals, says
from tests.synthetic_paper import PAPER, claim


@pytest.mark.parametrize(
    ("printed", "value", "said"),
    [
        ("34.0M", 34.0, True),
        ("27 009 770", 27_009_770.0, True),
        ("34.0M", 34_000_000.0, True),  # in another unit
        ("58%", -58.0, True),
        ("0.883", 88.3, True),  # a share
        ("87.934 -> 89.040", 1.106, True),  # a difference of two figures
        ("74.4 against 73.4", 1.0, True),
        ("17 FPS", 58.8, True),
        ("17 FPS", 60.0, False),
        ("74.4", 74.9, False),
        ("34.0M", 33.0, False),
        ("about a half", 50.0, False),
    ],
)
def test_what_a_printed_text_says(printed: str, value: float, said: bool) -> None:
    assert says(printed, value) is said


def test_decimal_places_in_the_units_of_the_value() -> None:
    assert decimals("34.0M", 34_000_000.0) == -5
    assert decimals("0.883", 88.3) == 1
    assert decimals("0.883", 12.0) is None


def test_a_row_whose_value_is_not_what_is_printed_is_refused_with_its_line(tmp_path: Path) -> None:
    row = {name: getattr(claim(), name) for name in CLAIM_COLUMNS}
    row |= {"variant": "", "input_hw": "", "printed": "74.4", "value": 74.9}
    lines = [",".join(CLAIM_COLUMNS), ",".join("" if v is None else str(v) for v in row.values())]
    file = tmp_path / "claims.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(CatalogError, match=r"claims\.csv:2: value: 74\.9 is not what '74\.4' says"):
        read_claims(file, PAPER)


def test_every_bundled_claim_says_what_it_prints() -> None:
    loaded, broken = load_all()
    assert broken == []
    for p in loaded:
        assert all(says(c.printed, c.value) for c in p.claims if c.printed and c.value is not None)
