"""DeepLabCut's predictions: CSV, and the HDF5 files that pandas writes for it.

Columns have three or four levels: scorer, individuals (where there are several animals), bodyparts, coords (x, y,
likelihood). Rows are images by their path, or frames by their number. HDF5 is read by h5py (an extra): the names of the
columns are pickled there, and are read by an unpickler that knows nothing but lists and texts.
"""

from __future__ import annotations

import csv
import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpe_bench.data.file_kinds import as_text, content
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files.gathered import Gathered
from hpe_bench.data.prediction_files.own import PredictionFile
from hpe_bench.errors import not_installed

LEVELS = ("scorer", "individuals", "bodyparts", "coords")
LIKELIHOOD = "likelihood"


def is_csv(head: bytes) -> bool:
    """Whether a file begins as DeepLabCut's CSV does."""
    return as_text(head).lstrip().lower().startswith("scorer,")


def read_csv(path: Path, truth: PersonSet) -> PredictionFile:
    """A CSV file; ValueError naming line and column."""
    rows = list(csv.reader(io.StringIO(as_text(content(path, "DeepLabCut's CSV")), newline="")))
    header = [row for row in rows[:4] if row and row[0].lower() in LEVELS]
    if [row[0].lower() for row in header] not in ([*LEVELS], [LEVELS[0], *LEVELS[2:]]):
        raise ValueError(f"{path}: its first lines are not scorer, (individuals,) bodyparts, coords; give DeepLabCut's")
    first = next((k for k, cell in enumerate(header[0][1:], 1) if cell), 1)
    columns = [tuple(row[k] for row in header) for k in range(first, len(header[0]))]
    labels, values = [], []
    for number, row in enumerate(rows[len(header) :], len(header) + 1):
        if not any(row):
            continue
        labels.append("/".join(cell for cell in row[:first] if cell))
        values.append([_number(cell, path, number) for cell in row[first:]])
        if len(values[-1]) != len(columns):
            raise ValueError(
                f"{path}:{number}: {len(values[-1])} values, expected {len(columns)}; write the file again"
            )
    return _gathered(columns, labels, np.array(values, float).reshape(len(labels), len(columns)), path, truth, "CSV")


def _number(cell: str, path: Path, line: int) -> float:
    try:
        return float(cell) if cell.strip() else np.nan
    except ValueError:
        raise ValueError(f"{path}:{line}: {cell[:40]!r} is no number") from None


def read_h5(path: Path, truth: PersonSet) -> PredictionFile:
    """A file that `DataFrame.to_hdf` wrote as a table or as fixed arrays."""
    try:
        import h5py
    except ImportError:
        raise ValueError(not_installed("h5py", "formats")) from None
    try:
        with h5py.File(path, "r") as file:
            group = next((node for node in file.values() if "pandas_type" in node.attrs), None)
            if group is None:
                raise ValueError(f"{path}: holds no table of pandas; give DeepLabCut's or SLEAP's file")
            columns, labels, values = _table(group) if "table" in group else _fixed(group)
    except (OSError, KeyError, pickle.UnpicklingError, EOFError, IndexError, TypeError) as error:
        raise ValueError(f"{path}: damaged or no table of DeepLabCut ({str(error)[:100]}); write it again") from None
    return _gathered(columns, labels, values, path, truth, "HDF5")


def _table(group: Any) -> tuple[list[tuple[str, ...]], list[str], np.ndarray]:
    """Of `format="table"`: rows of a compound type, the columns' names pickled beside."""
    table = group["table"][:]
    blocks = sorted(name for name in table.dtype.names or () if name.startswith("values_block_"))
    columns = [tuple(map(str, c)) for b in blocks for c in _plainly(group["table"].attrs[f"{b}_kind"])]
    values = np.concatenate([np.asarray(table[b], float).reshape(len(table), -1) for b in blocks], axis=1)
    return columns, [_label(row) for row in table["index"]], values


def _fixed(group: Any) -> tuple[list[tuple[str, ...]], list[str], np.ndarray]:
    """Of `format="fixed"`: levels and codes of columns and rows in arrays of their own."""
    values = np.concatenate([np.asarray(group[f"block{k}_values"][:], float) for k in range(_blocks(group))], axis=1)
    return _labels(group, "axis0"), ["/".join(label) for label in _labels(group, "axis1")], values


def _blocks(group: Any) -> int:
    return sum(name.startswith("block") and name.endswith("_values") for name in group)


def _labels(group: Any, axis: str) -> list[tuple[str, ...]]:
    """The labels of an axis, of one level or several."""
    if f"{axis}_level0" not in group:
        return [(_label(v),) for v in group[axis][:]]
    levels = []
    for k in range(sum(name.startswith(f"{axis}_level") for name in group)):
        names = [_label(v) for v in group[f"{axis}_level{k}"][:]]
        levels.append([names[code] for code in group[f"{axis}_label{k}"][:]])
    return list(zip(*levels, strict=True))


def _label(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class _Plain(pickle.Unpickler):
    """Lists, tuples, numbers and texts; no name is looked up, so nothing is executed."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"names {module}.{name}")


def _plainly(data: Any) -> Any:
    return _Plain(io.BytesIO(data if isinstance(data, bytes) else bytes(np.asarray(data).tobytes()))).load()


# ---------------------------------------------------------------------------------------------------- both


def _gathered(
    columns: Sequence[tuple[str, ...]],
    labels: Sequence[str],
    values: np.ndarray,
    path: Path,
    truth: PersonSet,
    kind: str,
) -> PredictionFile:
    """Poses of every row and individual."""
    if not columns or len(columns[0]) not in (3, 4) or values.shape != (len(labels), len(columns)):
        raise ValueError(f"{path}: its columns are not scorer, (individuals,) bodyparts, coords; give DeepLabCut's")
    keyed = {(c[1] if len(c) == 4 else "", c[-2], c[-1].lower()): k for k, c in enumerate(columns)}
    found = Gathered(tuple(dict.fromkeys(c[-2] for c in columns)))
    people = list(dict.fromkeys(key[0] for key in keyed))
    numbered = all(label.isdecimal() for label in labels)
    for label, row in zip(labels, values, strict=True):
        for one in people:
            pose = np.full((len(found.names), 3), np.nan)
            for j, name in enumerate(found.names):
                places = [keyed.get((one, name, part)) for part in ("x", "y", LIKELIHOOD)]
                pose[j] = [np.nan if at is None else row[at] for at in places]
                if places[2] is None:
                    pose[j, 2] = 1.0  # labels by hand have no likelihood
            found.add(int(label) if numbered else label, pose)
    return found.file(path, truth, f"DeepLabCut {kind}")
