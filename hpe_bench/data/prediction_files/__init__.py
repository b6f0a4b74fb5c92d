"""Predictions in files: our own layout, COCO results, and arrays as MPII and LSP code writes them.

Reading aligns a file with the persons it is to be scored on. Whatever is wrong with a file becomes one ValueError that
names the file, the record and the field, and says what to do.
"""

from __future__ import annotations

from pathlib import Path

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files import coco_results, joint_arrays, own
from hpe_bench.data.prediction_files.joint_arrays import Origin
from hpe_bench.data.prediction_files.own import Header, PredictionFile, content_sha256, to_bytes

__all__ = ["Header", "Origin", "PredictionFile", "content_sha256", "read", "to_bytes"]


def read(path: Path, truth: PersonSet, origin: Origin | None = None) -> PredictionFile:
    """The predictions in a .npz, .json, .npy or .mat file, for the persons and images of `truth`.

    `origin` says where a bare array counts its pixels from, 0 or 1; the other layouts are 0-based by definition.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give a file of predictions (.npz, .json, .npy or .mat)")
    suffix = path.suffix.lower()
    if suffix in (".npy", ".mat") or (suffix == ".npz" and not own.is_own(path)):
        return joint_arrays.read(path, truth, origin)
    if suffix not in (".json", ".npz"):
        raise ValueError(
            f"{path}: unknown kind of file; give .npz (ours, or one array), .json (COCO results), .npy or .mat"
        )
    if origin == 1:
        raise ValueError(f"{path}: its layout is 0-based by definition; leave the origin out")
    return own.read(path, truth) if suffix == ".npz" else coco_results.read(path, truth)
