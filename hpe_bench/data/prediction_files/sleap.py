"""SLEAP's .slp files: HDF5 with instances, their points, and a text of JSON with skeletons and videos; by h5py.

What SLEAP predicted is read; where it predicted nothing, what was labelled by hand. A frame is an image by its name,
where the video is a list of images, else the image whose number is the frame's. Before format 1.1 a pixel's corner, not
its middle, was at whole numbers, and half a pixel is taken off (SLEAP's own reader).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files.gathered import Gathered
from hpe_bench.data.prediction_files.own import PredictionFile
from hpe_bench.errors import not_installed

PREDICTED = 1  # type of an instance
CENTRED = 1.1  # format from which on pixel middles are at whole numbers
NEEDED = ("metadata", "frames", "instances", "points", "pred_points")


def is_sleap(path: Path) -> bool:
    """Whether an HDF5 file is SLEAP's; ValueError where h5py is not installed, or it is damaged."""
    try:
        import h5py
    except ImportError:
        raise ValueError(not_installed("h5py", "formats")) from None
    try:
        with h5py.File(path, "r") as file:
            return all(name in file for name in NEEDED)
    except OSError as error:
        raise ValueError(f"{path}: damaged or no HDF5 file ({str(error)[:100]}); write it again") from None


def read(path: Path, truth: PersonSet) -> PredictionFile:
    """The instances of a .slp file; ValueError naming what it lacks."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            about: dict[str, Any] = json.loads(_text(file["metadata"].attrs["json"]))
            version = float(file["metadata"].attrs.get("format_id", 1.0))
            tables = {name: file[name][:] for name in NEEDED[1:]}
            videos = [json.loads(_text(v)) for v in file["videos_json"][:]] if "videos_json" in file else []
        return _read(path, truth, about, version, tables, videos)
    except (OSError, KeyError, IndexError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: damaged, or not as SLEAP writes it ({str(error)[:100]}); write it again") from None


def _read(
    path: Path,
    truth: PersonSet,
    about: dict[str, Any],
    version: float,
    tables: dict[str, np.ndarray],
    videos: list[dict[str, Any]],
) -> PredictionFile:
    found = Gathered(_nodes(about))
    frames = {int(f["frame_id"]): f for f in tables["frames"]}
    instances = tables["instances"]
    predicted = instances[instances["instance_type"] == PREDICTED]
    for instance in predicted if len(predicted) else instances:
        made = int(instance["instance_type"]) == PREDICTED
        points = tables["pred_points" if made else "points"]
        rows = points[int(instance["point_id_start"]) : int(instance["point_id_end"])]
        if len(rows) != len(found.names):
            raise ValueError(f"{path}: an instance has {len(rows)} points, expected {len(found.names)}")
        pose = np.full((len(rows), 3), np.nan)
        pose[:, 0], pose[:, 1] = rows["x"], rows["y"]
        pose[:, 2] = rows["score"] if made else 1.0
        pose[~rows["visible"].astype(bool)] = np.nan
        if version < CENTRED:
            pose[:, :2] -= 0.5
        frame = frames[int(instance["frame_id"])]
        found.add(_image(frame, videos), pose, float(instance["score"]) if made else None)
    return found.file(path, truth, "SLEAP, " + ("predicted instances" if len(predicted) else "instances by hand"))


def _nodes(about: dict[str, Any]) -> tuple[str, ...]:
    """The joints of the first skeleton, in the order of an instance's points."""
    names = [str(node["name"]) for node in about["nodes"]]
    return tuple(names[int(node["id"])] for node in about["skeletons"][0]["nodes"])


def _image(frame: Any, videos: list[dict[str, Any]]) -> str | int:
    """The name of a frame's image where its video is a list of them, else the frame's number."""
    video, index = int(frame["video"]), int(frame["frame_idx"])
    backend = videos[video].get("backend", {}) if 0 <= video < len(videos) else {}
    listed = backend.get("image_filenames") or backend.get("filename")
    return str(listed[index]) if isinstance(listed, list) else index


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
