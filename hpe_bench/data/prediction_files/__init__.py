"""Predictions in files: our own layout, COCO results, arrays as MPII and LSP code writes them, and what tools write.

Which layout a file has is told from its content, not from its name. Reading aligns a file with the persons it is to be
scored on. Whatever is wrong with a file becomes one ValueError that names the file, the record and the field, and says
what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hpe_bench.data.file_kinds import as_text, head_of, told
from hpe_bench.data.mat_files import is_mat
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files import coco_results, joint_arrays, own
from hpe_bench.data.prediction_files.joint_arrays import NPY, NPZ, Origin
from hpe_bench.data.prediction_files.own import Header, PredictionFile, content_sha256, to_bytes

__all__ = ["Header", "Origin", "PredictionFile", "content_sha256", "read", "to_bytes"]

KINDS = (
    "give .npz (ours, or one array), .json (COCO results, as Ultralytics, Detectron2 and MMPose write them too), .npy, "
    ".mat, MMPose's .pkl, DeepLabCut's .csv or .h5, or SLEAP's .slp"
)
HDF5, PICKLE = b"\x89HDF\r\n\x1a\n", b"\x80"


def read(path: Path, truth: PersonSet, origin: Origin | None = None) -> PredictionFile:
    """The predictions in a file, whatever its layout, for the persons and images of `truth`.

    `origin` says where a bare array counts its pixels from, 0 or 1; the other layouts are 0-based by definition.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give a file of predictions (.npz, .json, .npy, .mat, ...)")
    try:
        head = head_of(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); look at its permissions") from error
    zipped = head.startswith(NPZ)
    if head.startswith(NPY) or is_mat(head) or (zipped and not own.is_own(path)):
        return joint_arrays.read(path, truth, origin)
    if (of_tool := _reader(path, head)) is not None:
        if origin == 1:
            raise ValueError(f"{path}: its layout is 0-based by definition; leave the origin out")
        return of_tool(path, truth)
    if not zipped and not as_text(head).lstrip().startswith(("[", "{")):
        return _other(path, head, truth, origin)
    if origin == 1:
        raise ValueError(f"{path}: its layout is 0-based by definition; leave the origin out")
    return own.read(path, truth) if zipped else coco_results.read(path, truth)


def _reader(path: Path, head: bytes) -> Callable[[Path, PersonSet], PredictionFile] | None:
    """What reads a file of one of the tools, told by how it begins; None for any other file."""
    from hpe_bench.data.prediction_files import deeplabcut, mmpose_dump, sleap

    if head.startswith(HDF5):
        return sleap.read if sleap.is_sleap(path) else deeplabcut.read_h5
    if head.startswith(PICKLE) and len(head) > 1 and 2 <= head[1] <= 5:
        return mmpose_dump.read
    return deeplabcut.read_csv if deeplabcut.is_csv(head) else None


def _other(path: Path, head: bytes, truth: PersonSet, origin: Origin | None) -> PredictionFile:
    """A file that begins like none of the layouts: its name says what it should be, and its reader what it lacks."""
    if head and told(head):
        raise ValueError(f"{path}: no file of predictions: {told(head)}; {KINDS}")
    suffix = path.suffix.lower()
    if suffix in (".npy", ".mat"):
        return joint_arrays.read(path, truth, origin)
    if suffix == ".npz":
        raise ValueError(f"{path}: truncated or no .npz file; write it again")
    if suffix == ".json":
        return coco_results.read(path, truth)
    raise ValueError(f"{path}: unknown kind of file; {KINDS}")
