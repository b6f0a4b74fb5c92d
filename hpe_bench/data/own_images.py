"""Images of one's own, with boxes in a CSV file: columns image, x, y, width, height and, if known, score.

`image` is a path below the folder of images; the images keep these paths as their names, so that `a/1.jpg` and
`b/1.jpg` are told apart. Boxes are in stored pixels: an EXIF orientation is not applied (`turned` names such images).
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np

from hpe_bench.data.boxes import Boxes
from hpe_bench.data.file_kinds import content, told
from hpe_bench.data.folders import locate, require_files
from hpe_bench.data.images import UPRIGHT, FileImages
from hpe_bench.data.names import leads_out
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import Skeleton

COLUMNS = ("image", "x", "y", "width", "height")
SEPARATORS = (",", ";", "\t")


def read_own_images(folder: Path, table: Path, skeleton: Skeleton) -> tuple[PersonSet, Boxes]:
    """The images that a CSV file names, with nobody annotated, and its boxes in image pixels (score 1 where not given).

    ValueError naming file, line and column for what is missing or wrong.
    """
    rows = _rows(table)
    names = list(dict.fromkeys(name for name, _ in rows))
    position = {name: i for i, name in enumerate(names)}
    images = FileImages(locate(names, [folder]), names)
    require_files(images.paths)
    values_B5 = np.array([values for _, values in rows])
    boxes = Boxes(np.array([position[name] for name, _ in rows]), values_B5[:, :4], values_B5[:, 4])
    return PersonSet.nobody(skeleton, images), boxes


def turned(images: FileImages) -> dict[str, int]:
    """The EXIF orientation (2 to 8) of each image that has one, by name: viewers show these turned or mirrored."""
    found = {images.name(i): images.orientation(i) for i in range(len(images))}
    return {name: orientation for name, orientation in found.items() if orientation != UPRIGHT}


def _rows(table: Path) -> list[tuple[str, list[float]]]:
    """Image name and x, y, width, height, score of every line."""
    text = _text(table)
    first = text.partition("\n")[0]
    separator = max(SEPARATORS, key=first.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        missing = [c for c in COLUMNS if c not in reader.fieldnames]
        if missing:
            raise ValueError(f"{table}: no column {missing[0]!r}; it needs {', '.join(COLUMNS)}, and may have score")
        rows = [_row(line, f"{table}:{reader.line_num}") for line in reader]
    except csv.Error as error:
        raise ValueError(
            f"{table}: no readable CSV file ({error}); write {', '.join(COLUMNS)}, one box a line"
        ) from None
    if not rows:
        raise ValueError(f"{table}: no boxes; write one a line")
    return rows


def _text(table: Path) -> str:
    """The file as text: UTF-8, or UTF-16 as spreadsheets write it."""
    data = content(table, "a CSV file of boxes")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        reason = told(data) or f"{error.reason}: save it as CSV in UTF-8"
        raise ValueError(f"{table}: no readable CSV file; {reason}") from None


def _row(line: dict[str, str | None], where: str) -> tuple[str, list[float]]:
    values = []
    for column in (*COLUMNS[1:], "score"):
        text = line.get(column) or ("1" if column == "score" else "")
        values.append(_number(text))
        if not math.isfinite(values[-1]):
            hint = " (write a point, not a comma)" if "," in text else ""
            raise ValueError(f"{where}: {column} {text[:40]!r} is no number{hint}")
    if min(values[2:4]) <= 0:
        raise ValueError(f"{where}: width {values[2]:g} and height {values[3]:g}; a box needs some extent")
    name = line["image"]
    if not name:
        raise ValueError(f"{where}: image is empty; name the file")
    if leads_out(name):
        raise ValueError(f"{where}: image {name[:60]!r} leads out of the folder of images; give a path below it")
    return name, values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
