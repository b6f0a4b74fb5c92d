"""The figures of the simulations, with the limits that they must hold, as a file that is committed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from hpe_bench.files import write_atomically
from hpe_bench.records.marked import filled

Key = TypeVar("Key")

ERRORS = 2.0  # standard errors of the simulation that a figure may be outside its limits by


@dataclass(frozen=True)
class TruthFinding:
    """One figure of one rule in one world. `rule` in use is held to its limits; what it replaced is shown beside it.

    `value` is in percent where `unit` says so, with the standard error of the simulation over `trials` worlds.
    """

    section: str
    world: str
    rule: str
    figure: str
    value: float
    error: float
    trials: int
    unit: str = "percent"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def held(self) -> bool:
        """Within its limits, but for the simulation's own error."""
        low = -np.inf if self.at_least is None else self.at_least
        high = np.inf if self.at_most is None else self.at_most
        return bool(low - ERRORS * self.error <= self.value <= high + ERRORS * self.error)


def of_trials(
    section: str,
    world: str,
    rule: str,
    figure: str,
    values: Sequence[float],
    scale: float = 100.0,
    unit: str = "percent",
    limits: tuple[float | None, float | None] = (None, None),
) -> TruthFinding:
    """The mean of a figure that every trial has one value of."""
    found = scale * np.asarray(values, dtype=float)
    found = found[np.isfinite(found)]
    error = float(found.std(ddof=1) / np.sqrt(len(found)))
    if unit == "percent":  # a share that no trial showed is not known without error
        error = max(error, 100.0 / len(found) / 2)
    return TruthFinding(section, world, rule, figure, float(found.mean()), error, len(found), unit, *limits)


def save(path: Path, findings: Iterable[TruthFinding]) -> None:
    """Write the figures as JSON, one finding a line."""
    lines = [json.dumps(asdict(rounded(f)), ensure_ascii=False) for f in findings]
    write_atomically(path, ("[\n " + ",\n ".join(lines) + "\n]\n").encode())


def load(path: Path) -> list[TruthFinding]:
    """The figures of a file that `save` wrote."""
    return [TruthFinding(**values) for values in json.loads(path.read_text(encoding="utf-8"))]


def rounded(f: TruthFinding) -> TruthFinding:
    """To two decimals: more are noise."""
    return TruthFinding(**{**asdict(f), "value": round(f.value, 2), "error": round(f.error, 2)})


def tables(findings: Sequence[TruthFinding]) -> dict[str, str]:
    """One Markdown table a section: worlds and rules as rows, figures as columns."""
    return {section: _table([f for f in findings if f.section == section]) for section in _order(findings, _section)}


def with_tables(text: str, found: Mapping[str, str]) -> str:
    """A document with the tables between its markers made anew; ValueError names a table that has no place."""
    for section, table in found.items():
        text = filled(text, section, "make truth", f"{table}\n")
    return text


def _table(found: Sequence[TruthFinding]) -> str:
    figures = _order(found, lambda f: f.figure)
    rows = _order(found, lambda f: (f.world, f.rule))
    lines = ["| world | rule | " + " | ".join(figures) + " | trials |", "|---|---|" + "---:|" * (len(figures) + 1)]
    for world, rule in rows:
        own = {f.figure: f for f in found if (f.world, f.rule) == (world, rule)}
        cells = [_cell(own[name]) if name in own else "" for name in figures]
        trials = max(f.trials for f in own.values())
        lines.append(f"| {world} | {rule} | {' | '.join(cells)} | {trials:,} |")
    return "\n".join(lines)


def _cell(f: TruthFinding) -> str:
    digits = 1 if f.unit == "percent" else 2
    text = f"{f.value:.{digits}f} ± {f.error:.{digits}f}"
    return f"**{text}**" if (f.at_least, f.at_most) != (None, None) else text


def _section(f: TruthFinding) -> str:
    return f.section


def _order(findings: Sequence[TruthFinding], pick: Callable[[TruthFinding], Key]) -> list[Key]:
    return list(dict.fromkeys(pick(f) for f in findings))
