"""Bare arrays of joints [N,J,2] or [N,J,3], one row per person in the data set's order: .npy, .npz or .mat.

MPII and LSP code writes these, MATLAB's with the axes the other way round. HRNet's `pred.mat` holds `preds` [N,16,2]
counted from 1 (its `mpii.py` adds 1 before `savemat`), which is what a .mat with `preds` is taken for; of any other
array the origin must be stated. A third column is a score per joint; without one, all joints score 1.
"""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hpe_bench.data.file_kinds import head_of
from hpe_bench.data.mat_files import is_mat, read_every
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files.own import (
    UNREADABLE,
    PredictionFile,
    check_finite,
    content_sha256,
    require_modest,
)
from hpe_bench.data.predictions import Predictions

Origin = Literal[0, 1]
HRNET_NAME = "preds"
NPY, NPZ = b"\x93NUMPY", b"PK\x03\x04"


def read(path: Path, truth: PersonSet, origin: Origin | None) -> PredictionFile:
    """An array of joints as predictions of the persons of `truth`, row by row (F23).

    Axes in another order, as MATLAB keeps them, are put in order where the shape can be read in one way only; the
    layout says so.
    """
    name, values = _only_array(path)
    if origin is None and name == HRNET_NAME and is_mat(head_of(path)):
        origin = 1
    if origin is None:
        raise ValueError(f"{path}: say with --origin 0 or --origin 1 where its pixels are counted from")
    values, order = _ordered(path, name, values, (len(truth), len(truth.skeleton.joints)))
    check_finite(values, name, truth.skeleton.joints, path)
    values = values.astype(np.float64)
    scores_NJ = values[..., 2] if values.shape[-1] == 3 else np.ones(values.shape[:2])
    predictions = Predictions(
        image=truth.image.astype(np.int64),
        joints=values[..., :2] - origin,
        joint_scores=scores_NJ,
        score=scores_NJ.mean(axis=1),
        person=np.arange(len(truth)),
    )
    sha256 = content_sha256(predictions, truth.ids[truth.image], truth.skeleton.joints)
    turned = "" if order is None else f", axes {order} of the file's"
    return PredictionFile(predictions, f"array of joints, {origin}-based{turned}", sha256)


def _only_array(path: Path) -> tuple[str, np.ndarray]:
    """Name and values of the array: `preds` where there is one by that name, else the only one."""
    found = arrays(path)
    if HRNET_NAME in found:
        return HRNET_NAME, found[HRNET_NAME]
    if len(found) != 1:
        names = ", ".join(sorted(found)) or "nothing"
        raise ValueError(f"{path}: holds {names}; keep one array of joints, or name it {HRNET_NAME!r}")
    return next(iter(found.items()))


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a file, by name; nothing in it is executed, and sizes are looked at before it is unpacked."""
    head = head_of(path)
    if is_mat(head) or (path.suffix.lower() == ".mat" and not head.startswith((NPY, NPZ))):
        return read_every(path)
    try:
        if head.startswith(NPZ):
            require_modest(path)
        loaded: Any = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"the array": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except UNREADABLE as error:
        if "allow_pickle" in str(error):
            raise ValueError(
                f"{path}: refused, because it is pickled and opening it could execute code; save plain numbers"
            ) from None
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise ValueError(f"{path}: truncated or no array file ({reason}); write it again") from None


def _ordered(
    path: Path, name: str, values: np.ndarray, shape_NJ: tuple[int, int]
) -> tuple[np.ndarray, tuple[int, ...] | None]:
    """The array as [N,J,2] or [N,J,3], and the order that its axes were put in (None: as it stands).

    ValueError unless the shape has one reading; MATLAB drops a last axis of 1, which is put back.
    """
    wanted = [(*shape_NJ, 2), (*shape_NJ, 3)]
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{path}: {name} is of type {values.dtype}; joints are numbers")
    if values.shape in wanted:
        return values, None
    whole = values[..., None] if values.ndim == 2 and shape_NJ[0] == 1 else values
    orders = [o for o in permutations(range(3)) if whole.ndim == 3 and whole.transpose(o).shape in wanted]
    if len(orders) == 1:
        return whole.transpose(orders[0]), orders[0]
    several = " or ".join(map(str, orders))
    remedy = f"transpose it by {several}" if orders else "give one row per person and one column per joint (F23)"
    raise ValueError(f"{path}: {name} has shape {values.shape}, expected {wanted[0]} or {wanted[1]}; {remedy}")
