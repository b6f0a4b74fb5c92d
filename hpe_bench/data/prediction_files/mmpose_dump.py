"""MMPose's dump of a test (`tools/test.py --dump results.pkl`): a pickled list of samples, read without executing it.

Of a sample `img_id` (or `img_path`) and of its `pred_instances` `keypoints`, `keypoint_scores` and, where there are
any, `bbox_scores` are looked at. NumPy's arrays are rebuilt here from their bytes; classes of MMEngine and MMPose come
out as what they hold; whatever else the file names is refused.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from hpe_bench.data.file_kinds import content
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files.gathered import Gathered
from hpe_bench.data.prediction_files.own import PredictionFile
from hpe_bench.data.weight_files import NUMPY, StoredArray, StoredDtype

OF_TOOLS = ("mmengine.", "mmpose.", "mmcv.", "mmdet.")
PLAIN = {"collections.OrderedDict": OrderedDict, "builtins.set": set, "builtins.slice": slice}
BEFORE = b"\x80"  # how a pickle of protocol 2 and later begins


class Held:
    """Stands in for an object of a tool: its state is its attributes."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> StoredArray:
    """Stands in for what rebuilds an array of pickle protocol 5."""
    array = StoredArray()
    array.state = (1, shape, dtype, order == "F", bytes(data))
    return array


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands in for what rebuilds bytes of pickle protocol 2."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("it holds bytes in an encoding of its own")
    return text.encode("latin1")


class _Careful(pickle.Unpickler):
    """An unpickler in which every name is a stand-in of ours, or is refused."""

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in PLAIN:
            return PLAIN[full]
        if full == "_codecs.encode":
            return _encoded
        if full in NUMPY:
            return NUMPY[full]
        if full.endswith("numeric._frombuffer") and module.startswith("numpy."):
            return _from_buffer
        if full in ("numpy.dtype", "numpy.dtypes"):
            return StoredDtype
        if full.startswith(OF_TOOLS):
            return Held
        raise pickle.UnpicklingError(f"it names {full}, which is not needed for predictions")


def read(path: Path, truth: PersonSet) -> PredictionFile:
    """The predictions in a dump; ValueError naming the sample and what it lacks."""
    try:
        samples = _Careful(io.BytesIO(content(path, "MMPose's dump"))).load()
    except Exception as error:  # what unpicklers raise over damaged bytes has no common base
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{path}: refused or damaged ({reason}); save predictions as COCO results in JSON") from None
    if not isinstance(samples, list):
        raise ValueError(f"{path}: holds no list of samples; give what MMPose's --dump writes")
    found = Gathered(truth.skeleton.joints)
    for number, sample in enumerate(samples):
        _add(found, sample, f"{path}: sample {number}", len(truth.skeleton.joints))
    return found.file(path, truth, "MMPose dump")


def _add(found: Gathered, sample: Any, where: str, joints: int) -> None:
    fields = _fields(sample)
    image, instances = fields.get("img_id", fields.get("img_path")), _fields(fields.get("pred_instances"))
    if not isinstance(image, (int, str)) or isinstance(image, bool):
        raise ValueError(f"{where}: has no img_id or img_path; give what MMPose's --dump writes")
    keypoints, scores = (_array(instances.get(name)) for name in ("keypoints", "keypoint_scores"))
    if keypoints is None or scores is None:
        raise ValueError(f"{where}: pred_instances has no keypoints and keypoint_scores; give what --dump writes")
    if keypoints.ndim != 3 or keypoints.shape[1:] != (joints, 2) or scores.shape != keypoints.shape[:2]:
        raise ValueError(f"{where}: keypoints have shape {keypoints.shape}, expected (persons, {joints}, 2)")
    boxes = _array(instances.get("bbox_scores"))
    for k, pose in enumerate(np.concatenate([keypoints, scores[..., None]], axis=-1).astype(float)):
        box = 1.0 if boxes is None or boxes.shape != (len(keypoints),) else float(boxes[k])
        found.add(image, pose, box * float(pose[:, 2].mean()))


def _fields(value: Any) -> dict[str, Any]:
    """What an object or a dictionary holds, by name."""
    state = value.state if isinstance(value, Held) else value
    if not isinstance(state, dict):
        return {}
    return {str(k).lstrip("_"): v for k, v in state.items()}


def _array(value: Any) -> np.ndarray | None:
    if isinstance(value, StoredArray):
        tensor = value.tensor()
        return None if isinstance(tensor, StoredArray) else np.asarray(tensor)
    if isinstance(value, list):
        try:
            return np.array(value, float)
        except (TypeError, ValueError):
            return None
    return None
