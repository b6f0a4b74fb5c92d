"""Images of one's own, with boxes in a CSV file: columns image, x, y, width, height and, if known, score."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from hpe_bench.data.boxes import Boxes
from hpe_bench.data.folders import require_files
from hpe_bench.data.images import FileImages
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import Skeleton

COLUMNS = ("image", "x", "y", "width", "height")


def read(folder: Path, table: Path, skeleton: Skeleton) -> tuple[PersonSet, Boxes]:
    """The images that a CSV file names, with nobody annotated, and its boxes in image pixels (score 1 where not given).

    ValueError naming file, line and column for what is missing or wrong.
    """
    rows = _rows(table)
    names = list(dict.fromkeys(name for name, _ in rows))
    position = {name: i for i, name in enumerate(names)}
    images = FileImages([folder / name for name in names])
    require_files(list(images.paths))
    values_B5 = np.array([values for _, values in rows])
    boxes = Boxes(np.array([position[name] for name, _ in rows]), values_B5[:, :4], values_B5[:, 4])
    j = len(skeleton.joints)
    nobody = PersonSet(
        skeleton=skeleton,
        images=images,
        image=np.zeros(0, np.int64),
        box=np.zeros((0, 4)),
        joints=np.zeros((0, j, 2)),
        labelled=np.zeros((0, j), bool),
        visible=np.zeros((0, j), bool),
        head_size=np.zeros(0),
        area=np.zeros(0),
    )
    return nobody, boxes


def _rows(table: Path) -> list[tuple[str, list[float]]]:
    """Image name and x, y, width, height, score of every line."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"{table}: no column {missing[0]!r}; it needs {', '.join(COLUMNS)}, and may have score"
                )
            rows = [_row(line, f"{table}:{reader.line_num}") for line in reader]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{table}: no readable CSV file ({error})") from None
    if not rows:
        raise ValueError(f"{table}: no boxes; write one a line")
    return rows


def _row(line: dict[str, str | None], where: str) -> tuple[str, list[float]]:
    values = []
    for column in (*COLUMNS[1:], "score"):
        text = line.get(column) or ("1" if column == "score" else "")
        try:
            values.append(float(text))
        except ValueError:
            values.append(math.nan)
        if not math.isfinite(values[-1]):
            raise ValueError(f"{where}: {column} {text!r} is no number")
    if min(values[2:4]) <= 0:
        raise ValueError(f"{where}: width {values[2]:g} and height {values[3]:g}; a box needs some extent")
    if not line["image"]:
        raise ValueError(f"{where}: image is empty; name the file")
    return line["image"], values
