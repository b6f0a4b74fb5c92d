"""Mutated inputs through every reader of files: each is read, or refused in one sentence.

    HPE_BENCH_MUTATIONS=100000 python -m pytest tests/test_mutations.py -m torture -s

`HPE_BENCH_MUTATIONS` is the number of inputs over all readers (2,000 by default, some seconds), `HPE_BENCH_SEED` where
they start. A reader may raise ValueError (or RecordError, which is one) of a single line; anything else is an escape,
and the input is kept in `HPE_BENCH_ESCAPES` if that names a folder.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import safetensors.torch
import torch
from scipy.io import savemat
from torch import nn

from hpe_bench.data import coco, crowdpose, images, mat_files, mpii, own_images, prediction_files
from hpe_bench.data.skeletons import COCO_17, MPII_16
from hpe_bench.inference import weights
from hpe_bench.inference.model_file import read_convention
from hpe_bench.metrics import ap_pycocotools
from hpe_bench.records import store
from hpe_bench.run import truths
from tests import predicted
from tests.mutations import as_bytes, mutated, odd_document

COUNT = int(os.environ.get("HPE_BENCH_MUTATIONS", "2000"))
SEED = int(os.environ.get("HPE_BENCH_SEED", "0"))
ESCAPES = os.environ.get("HPE_BENCH_ESCAPES")
RECORDS = Path(__file__).parent / "data" / "records_v1"


@dataclass(frozen=True)
class Reader:
    """A reader of files with whole inputs; `document` is the content of a JSON file, whose values are mutated, too."""

    read: Callable[[Path], Any]
    name: str
    data: bytes
    document: Any = None
    share: float = 1.0


def made(folder: Path) -> list[Reader]:
    """Every reader with an input that it reads whole."""
    return [*_annotations(folder), *_predictions(folder), *_arrays(folder), *_photographs(), *_checkpoints(folder),
            *_tables(folder), *_records()]  # fmt: skip


def _json(read: Callable[[Path], Any], name: str, document: Any, share: float = 1.0) -> Reader:
    return Reader(read, name, json.dumps(document).encode(), document, share)


def _annotations(folder: Path) -> list[Reader]:
    truth = predicted.persons(3, 2)
    document = ap_pycocotools.as_coco(truth)
    for i, image in enumerate(document["images"]):
        image |= {"file_name": f"{i}.jpg", "height": 120, "width": 160}
    boxes = [{"image_id": 100, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5}] * 3
    crowd = json.loads(json.dumps(document))
    crowd["categories"][0]["keypoints"] = list(crowdpose.CROWDPOSE_14.joints)
    for image in crowd["images"]:
        image["crowdIndex"] = 0.5
    for person in crowd["annotations"]:
        person["keypoints"], person["num_keypoints"] = person["keypoints"][:42], 12
    entry = {"image": "a.jpg", "center": [50, 60.0], "scale": 1.5, "joints": [[5, 6]] * 16, "joints_vis": [1] * 16}
    return [
        _json(lambda p: coco.read_own(p, folder), "coco.json", document, 2),
        _json(lambda p: coco.read_annotations(p, folder), "strict.json", document),
        _json(lambda p: coco.read_detections(p, truth), "boxes.json", boxes),
        _json(lambda p: crowdpose.read_own(p, folder), "crowdpose.json", crowd),
        _json(lambda p: mpii.read_annotations(p, folder), "mpii.json", [entry, entry | {"image": "b/c.jpg"}]),
    ]


def _predictions(folder: Path) -> list[Reader]:
    truth = predicted.persons(3, 2)
    found = predicted.answers(truth)
    listed = predicted.results(truth, found)
    boxed = [{**d, "bbox": [1.0, 2, 30, 40]} for d in listed]
    header = prediction_files.Header(COCO_17.joints, "a test", "p", truth.digest())
    with_areas = replace(found, area=np.full(3, 900.0))
    own = prediction_files.to_bytes(with_areas, truth.ids[found.image], header)
    np.save(folder / "a.npy", truth.joints)
    np.savez_compressed(folder / "a.npz", preds=truth.joints)

    def read(path: Path) -> Any:
        return prediction_files.read(path, truth, 0 if path.suffix in (".npy", ".npz") else None)

    return [
        _json(read, "results.json", listed, 2),
        _json(read, "boxed.json", boxed),
        Reader(lambda p: prediction_files.read(p, truth), "own.npz", own, share=2),
        Reader(read, "array.npy", (folder / "a.npy").read_bytes()),
        Reader(read, "array.npz", (folder / "a.npz").read_bytes()),
    ]


def _arrays(folder: Path) -> list[Reader]:
    truth = predicted.persons(3, 2, skeleton=MPII_16)
    heads = np.stack([np.full((3, 2), 5.0), np.full((3, 2), 25.0)]).transpose(0, 2, 1)
    arrays = {
        "jnt_missing": np.zeros((16, 3)),
        "pos_gt_src": truth.joints.transpose(1, 2, 0) + 1,
        "headboxes_src": heads,
        "names": np.array(["a", "b"], object),
    }
    readers = []
    for name, compressed in (("plain.mat", False), ("compressed.mat", True)):
        savemat(folder / name, arrays, do_compression=compressed)
        data = (folder / name).read_bytes()
        readers += [
            Reader(truths.mpii_arrays, name, data),
            Reader(mat_files.read_every, f"every-{name}", data),
        ]
    savemat(folder / "p.mat", {"preds": truth.joints + 1}, do_compression=True)
    data = (folder / "p.mat").read_bytes()
    return [*readers, Reader(lambda p: prediction_files.read(p, truth), "preds.mat", data)]


def _photographs() -> list[Reader]:
    pixels = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8), (5, 5), 2)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6

    def read(path: Path) -> Any:
        found = images.FileImages([path])
        found.orientation(0)
        return found.read(0)

    readers = []
    for suffix, options in ((".jpg", ()), (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)), (".png", ()), (".webp", ()),
                            (".bmp", ()), (".tiff", ()), (".gif", ())):  # fmt: skip
        readers.append(Reader(read, f"p{len(readers)}{suffix}", cv2.imencode(suffix, pixels, options)[1].tobytes()))
    return readers


def _checkpoints(folder: Path) -> list[Reader]:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    state = network.state_dict()
    arrays = {"sigmas": np.ones(3, np.float32), "best": np.float64(0.5)}
    checkpoint = {"epoch": 3, "meta": arrays, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    torch.save(checkpoint, folder / "new.pth")
    torch.save(checkpoint, folder / "old.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(state, folder / "w.safetensors")

    def read(path: Path) -> Any:
        weights.load_weights(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)), path)

    return [Reader(read, name, (folder / name).read_bytes()) for name in ("new.pth", "old.pth", "w.safetensors")]


def _tables(folder: Path) -> list[Reader]:
    (folder / "a.jpg").write_bytes(b"x")
    table = b"image,x,y,width,height,score\na.jpg,1,2,30,40,0.5\na.jpg,1.5,2,3e1,40,\n"
    told = b'mean = [1, 2, 3]\nstd = [1.0, 2.0, 3]\ncolours = "bgr"\njoints = "coco-17"\noutput = "heatmaps"\n'
    return [
        Reader(lambda p: own_images.read_own_images(folder, p, COCO_17), "boxes.csv", table),
        Reader(lambda p: read_convention(p.with_suffix(".onnx")), "net.toml", told),
    ]


def _records() -> list[Reader]:
    return [_json(store.load, f"record-{path.name}", json.loads(path.read_bytes()), 0.5)
            for path in sorted(RECORDS.glob("*.json"))]  # fmt: skip


def escape_of(read: Callable[[Path], Any], path: Path) -> str:
    """What was raised that should not have been, or nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
    except ValueError as error:
        message = str(error)
        fine = bool(message) and "\n" not in message and not isinstance(error, UnicodeError)
        return "" if fine else f"{type(error).__name__}: {message[:300]!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:300]!r}"
    return ""


@pytest.mark.torture
def test_mutated_inputs_are_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    readers, started = made(tmp_path), time.monotonic()
    for reader in readers:  # each reads its own input whole
        (tmp_path / reader.name).write_bytes(reader.data)
        assert escape_of(reader.read, tmp_path / reader.name) == "", reader.name
    rounds = COUNT / sum(reader.share for reader in readers)
    tried: Counter[str] = Counter()
    escapes: list[str] = []
    for reader in readers:
        path = tmp_path / reader.name
        for number in range(round(rounds * reader.share)):
            rng = Random(f"{SEED} {reader.name} {number}")
            odd = reader.document is not None and rng.random() < 0.6
            path.write_bytes(as_bytes(odd_document(reader.document, rng), rng) if odd else mutated(reader.data, rng))
            tried[reader.name] += 1
            if escape := escape_of(reader.read, path):
                escapes.append(f"{reader.name} {number}: {escape}")
                if ESCAPES is not None:
                    (Path(ESCAPES) / f"{number}-{reader.name}").write_bytes(path.read_bytes())
    seconds = time.monotonic() - started
    print(f"\n{sum(tried.values()):,} mutated inputs through {len(readers)} readers in {seconds:.0f} s, "
          f"{len(escapes)} escapes (seed {SEED})")  # fmt: skip
    assert not escapes, "\n".join(escapes[:20])
