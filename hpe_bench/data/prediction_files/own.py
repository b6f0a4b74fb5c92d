"""Our own layout of predictions: a few arrays and a line of JSON in an uncompressed .npz.

| entry | what |
|---|---|
| `header` | JSON text: format, version, joint names, protocol, digest of the persons, creator, image names |
| `image_ids` [D] int64 | the data set's own image numbers (positions where it has none) |
| `joints` [D,J,2] float | (x, y) in image pixels, 0-based; float32 unless that would change a value |
| `joint_scores` [D,J] float | one score a joint |
| `scores` [D] float64 | one score a detection, what AP ranks by |
| `areas` [D] float64 | px^2, where a detection's is not that of the box around its joints; else left out |
| `persons` [D] int64 | the row of the person whose box was given, or -1 in all rows for detections of their own |

Nothing in it is pickled. D detections, J joints.
"""

from __future__ import annotations

import hashlib
import io
import json
import tokenize
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions

MOST_BYTES = 2 << 30  # a hundred thousand detections of 133 joints take 0.4 GB
FORMAT, VERSION = "hpe-bench predictions", 1
ARRAYS = ("image_ids", "joints", "joint_scores", "scores", "persons")
AREAS = "areas"
UNREADABLE = (
    *(ValueError, OSError, EOFError, LookupError, TypeError, SyntaxError, OverflowError, MemoryError),
    *(RuntimeError, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
"""What NumPy and zipfile raise over bytes that are no array: a damaged header is parsed as Python, a damaged shape
asks for any amount of memory, a damaged flag for decryption or an unknown compression (a RuntimeError)."""


@dataclass(frozen=True)
class Header:
    """What a file of predictions says about itself.

    `persons` is the digest of the persons it was made for (empty where there are none); `images` are names, in the
    order of the image ids 0, 1, ..., for images of one's own.
    """

    joints: tuple[str, ...]
    creator: str
    protocol: str = ""
    persons: str = ""
    images: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PredictionFile:
    """Predictions read from a file, aligned with the persons they are scored on.

    `sha256` identifies the content: the same answers in another layout or under another file name have the same.
    """

    predictions: Predictions
    layout: str
    sha256: str
    creator: str = ""
    protocol: str = ""


# ---------------------------------------------------------------------------------------------------- writing


def to_bytes(predictions: Predictions, image_ids_D: np.ndarray, header: Header) -> bytes:
    """The bytes of a file in our layout; the same predictions give the same bytes."""
    text = json.dumps({"format": FORMAT, "version": VERSION, **asdict(header)}, ensure_ascii=False)
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "header": np.array(text),
        "image_ids": image_ids_D.astype(np.int64),
        "joints": narrowed(predictions.joints),
        "joint_scores": narrowed(predictions.joint_scores),
        "scores": predictions.score.astype(np.float64),
        "persons": _rows(predictions),
    }
    if predictions.area is not None:
        arrays[AREAS] = predictions.area.astype(np.float64)
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def narrowed(values: np.ndarray) -> np.ndarray:
    """As float32 where that keeps every value, else as float64."""
    single = values.astype(np.float32)
    return single if single.dtype == values.dtype or np.array_equal(single, values) else values.astype(np.float64)


def content_sha256(predictions: Predictions, image_ids_D: np.ndarray, joints: tuple[str, ...]) -> str:
    """SHA-256 over joint names, image numbers, coordinates, scores and person rows, as 64-bit values in order.

    Areas follow where there are any, as they change a score.
    """
    h = hashlib.sha256(json.dumps(joints).encode())
    for values in (predictions.joints, predictions.joint_scores, predictions.score):
        h.update(values.astype("<f8").tobytes())
    for numbers in (image_ids_D, _rows(predictions)):
        h.update(numbers.astype("<i8").tobytes())
    if predictions.area is not None:
        h.update(predictions.area.astype("<f8").tobytes())
    return h.hexdigest()


def _rows(predictions: Predictions) -> np.ndarray:
    """Person rows [D] int64, -1 where there are none."""
    rows = predictions.person
    return np.full(len(predictions), -1, np.int64) if rows is None else rows.astype(np.int64)


# ---------------------------------------------------------------------------------------------------- reading


def is_own(path: Path) -> bool:
    """Whether a .npz has a header of ours; ValueError if it is no .npz at all."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "header.npy" in archive.namelist()
    except UNREADABLE as error:
        raise ValueError(f"{path}: truncated or no .npz file ({_first_line(error)}); write it again") from None


def require_modest(path: Path) -> None:
    """ValueError for an archive that unpacks to more than predictions ever take."""
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MOST_BYTES:
        raise ValueError(f"unpacks to {size / 2**30:,.1f} GiB, more than {MOST_BYTES >> 30} GiB")


def read(path: Path, truth: PersonSet) -> PredictionFile:
    """A file in our layout, for the persons and images of `truth`."""
    header, arrays = load(path)
    if header.joints != truth.skeleton.joints:
        raise ValueError(
            f"{path}: header: the joints are {', '.join(header.joints)}, but {truth.skeleton.name} has "
            f"{', '.join(truth.skeleton.joints)} in this order; write the file in that order"
        )
    if header.images:
        raise ValueError(
            f"{path}: header: made for images of its own ({header.images[0]}, ...), of which there is no truth"
        )
    if header.persons != truth.digest() and (truth.image_ids is None or (arrays["persons"] != -1).any()):
        raise ValueError(
            f"{path}: header: made for persons {header.persons or '(not said)'}, but these are {truth.digest()}; "
            "score it under the protocol and data it was made for"
        )
    image_D = positions(arrays["image_ids"], truth, path)
    predictions = Predictions(
        image=image_D,
        joints=arrays["joints"],
        joint_scores=arrays["joint_scores"],
        score=arrays["scores"].astype(np.float64),
        person=_checked_rows(arrays["persons"], image_D, truth, path),
        area=arrays.get(AREAS),
    )
    sha256 = content_sha256(predictions, arrays["image_ids"], header.joints)
    return PredictionFile(predictions, "hpe-bench npz", sha256, header.creator, header.protocol)


def load(path: Path) -> tuple[Header, dict[str, np.ndarray]]:
    """Header and arrays, checked in themselves: types, shapes, finite values."""
    try:
        require_modest(path)
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except UNREADABLE as error:
        raise ValueError(f"{path}: damaged ({_first_line(error)}); write it again") from None
    missing = [name for name in ("header", *ARRAYS) if name not in found]
    if missing:
        raise ValueError(f"{path}: entry {missing[0]!r} is missing; write the file with hpe-bench predict")
    header = _header(found.pop("header"), path)
    _check_shapes(found, len(header.joints), path)
    for name in ("joints", "joint_scores", "scores", *([AREAS] if AREAS in found else [])):
        check_finite(found[name], name, header.joints, path)
    return header, found


def _header(entry: np.ndarray, path: Path) -> Header:
    """The header, field by field."""
    try:
        values: Any = json.loads(str(entry))
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: header: no JSON text; write the file with hpe-bench predict") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ValueError(f"{path}: header: format is not {FORMAT!r}; write the file with hpe-bench predict")
    if values.get("version") != VERSION:
        raise ValueError(f"{path}: header: version {values.get('version')!r}; this hpe-bench reads version {VERSION}")
    for name in ("joints", "images"):
        if not isinstance(values.get(name), list) or not all(isinstance(v, str) for v in values[name]):
            raise ValueError(f"{path}: header: {name} must be a list of names")
    for name in ("creator", "protocol", "persons"):
        if not isinstance(values.get(name), str):
            raise ValueError(f"{path}: header: {name} must be text")
    return Header(
        tuple(values["joints"]), values["creator"], values["protocol"], values["persons"], tuple(values["images"])
    )


def _check_shapes(arrays: dict[str, np.ndarray], joints: int, path: Path) -> None:
    """ValueError naming the first entry of the wrong kind or shape."""
    count = len(arrays["image_ids"]) if arrays["image_ids"].ndim else 0
    shapes: dict[str, tuple[int, ...]] = {"image_ids": (count,), "scores": (count,), "persons": (count,)}
    shapes |= {"joints": (count, joints, 2), "joint_scores": (count, joints)}
    shapes |= {AREAS: (count,)} if AREAS in arrays else {}
    for name, shape in shapes.items():
        kinds = "iu" if name in ("image_ids", "persons") else "f"
        if arrays[name].shape != shape or arrays[name].dtype.kind not in kinds:
            what = "whole numbers" if kinds == "iu" else "floating-point numbers"
            raise ValueError(
                f"{path}: {name} has shape {arrays[name].shape} and type {arrays[name].dtype}, expected {shape}, {what}"
            )


def check_finite(values: np.ndarray, name: str, joints: tuple[str, ...], path: Path) -> None:
    """ValueError naming the first detection (and joint) with a value that is not finite."""
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        where = f"detection {bad[0][0]}" + (f", joint {joints[bad[0][1]]!r}" if values.ndim > 1 else "")
        raise ValueError(
            f"{path}: {name} of {where} is {values[tuple(bad[0])]} ({len(bad)} values are not finite); "
            "every joint needs a position and a score"
        )


def positions(image_ids_D: np.ndarray, truth: PersonSet, path: Path) -> np.ndarray:
    """Positions [D] of image numbers in the truth's images; ValueError naming the first unknown one."""
    known = truth.ids
    order = np.argsort(known, kind="stable")
    place = np.searchsorted(known, image_ids_D, sorter=order).clip(max=max(len(known) - 1, 0))
    found = order[place] if len(known) else np.zeros(len(image_ids_D), np.int64)
    unknown = np.flatnonzero(known[found] != image_ids_D) if len(known) else np.arange(len(image_ids_D))
    if len(unknown):
        raise ValueError(
            f"{path}: record {unknown[0]}: image id {image_ids_D[unknown[0]]} is none of the data set's "
            f"{len(known)} images ({len(unknown)} such records); check split and protocol"
        )
    return found


def _checked_rows(rows_D: np.ndarray, image_D: np.ndarray, truth: PersonSet, path: Path) -> np.ndarray | None:
    """Person rows, or None where no record names one; ValueError naming the first record that is wrong."""
    if (rows_D == -1).all():
        return None
    outside = np.flatnonzero((rows_D < 0) | (rows_D >= len(truth)))
    if len(outside):
        raise ValueError(
            f"{path}: record {outside[0]}: person row {rows_D[outside[0]]} is outside of 0 to {len(truth) - 1}; "
            "name a row in every record, or -1 in all of them"
        )
    first = np.unique(rows_D, return_index=True)[1]
    if len(first) < len(rows_D):
        again = int(np.setdiff1d(np.arange(len(rows_D)), first)[0])
        raise ValueError(
            f"{path}: record {again}: person row {rows_D[again]} stands twice; give one prediction a person (F23)"
        )
    elsewhere = np.flatnonzero(truth.image[rows_D] != image_D)
    if len(elsewhere):
        raise ValueError(
            f"{path}: record {elsewhere[0]}: person row {rows_D[elsewhere[0]]} is not in the record's image"
        )
    return rows_D.astype(np.int64)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:120]
