"""MATLAB files, read with what was expected of them."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError


def read_mat(path: Path, shapes: dict[str, tuple[int, ...]], what: str) -> dict[str, np.ndarray]:
    """The named arrays of a file that should be `what`'s.

    ValueError if the file cannot be read, or an array is missing, misshapen or holds something that is no number.
    """
    try:
        content = loadmat(path)
    except (MatReadError, zlib.error, OSError, ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(f"{path}: cannot be read as a MATLAB file ({error}); fetch it again") from error
    for name, shape in shapes.items():
        found = getattr(content.get(name), "shape", "nothing")
        if found != shape:
            raise ValueError(f"{path}: {name} is {found}, expected {shape}; this is another file than {what}'s")
        if content[name].dtype.kind not in "buif":
            raise ValueError(f"{path}: {name} holds {content[name].dtype}, expected numbers")
    return {name: content[name] for name in shapes}
