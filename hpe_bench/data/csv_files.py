"""CSV as this suite writes it: full precision, and no cell that a spreadsheet would take for a formula.

Names of models, files and submitters come from outside. A spreadsheet runs a cell that begins with one of = + - @ (or
with a tab or a carriage return before it), so that such a text gets an apostrophe in front; numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA_STARTS: tuple[str, ...] = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "\N{FULLWIDTH EQUALS SIGN}",
    "\N{FULLWIDTH PLUS SIGN}",
)
FORMULA_STARTS += ("\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")


def text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV, the names of the columns first; floats as `repr`, None as an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return buffer.getvalue()


def harmless(cell: object) -> object:
    """A cell that no spreadsheet runs: text that looks like a formula gets an apostrophe in front."""
    if isinstance(cell, float):
        return repr(cell)
    if not isinstance(cell, str):
        return cell
    line = cell.replace("\r", " ")  # which csv does not quote, and which would begin a row
    formula = cell.startswith(FORMULA_STARTS) or line.lstrip().startswith(FORMULA_STARTS)
    return f"'{line}" if formula and not _is_number(cell) else line


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell == cell.strip()
