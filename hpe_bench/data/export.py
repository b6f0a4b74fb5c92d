"""Export of persons to the two layouts that other tools read: COCO keypoints and MPII.

An export is written to a temporary folder beside the target and renamed when it is whole, so a target folder either
does not exist or is complete. Images are PNG, so that no pixel changes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from hpe_bench.data.mannequins import Mannequins, contact_sheet
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.progress import Progress
from hpe_bench.data.skeletons import MPII_16, Skeleton
from hpe_bench.files import require_empty, whole_folder

SHEET = "sheet.png"
COCO_JSON = Path("annotations") / "person_keypoints.json"
MPII_JSON = Path("annot") / "valid.json"
MPII_MAT = Path("annot") / "gt_valid.mat"
# fmt: off
MPII_SHORT = ["rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thor",
              "neck", "head", "rwri", "relb", "rsho", "lsho", "lelb", "lwri"]
# fmt: on
MPII_PIXELS_PER_SCALE = 200.0  # MPII's `scale` is the person's height divided by 200 px


def write_images(persons: PersonSet, folder: Path, progress: Progress | None) -> list[tuple[str, int, int]]:
    """Write every image as a PNG named after its data set name; returns (file name, height, width) of each."""
    folder.mkdir(parents=True)
    written = []
    for i in range(len(persons.images)):
        pixels = persons.images.read(i)
        name = Path(persons.images.name(i).replace("/", "_")).with_suffix(".png").name
        path = folder / name
        if path.exists():
            raise ValueError(f"two images are named {name}; the data set's image names must differ")
        if not cv2.imwrite(str(path), pixels[..., ::-1]):
            raise ValueError(f"{path} cannot be written; check the free space and the permissions")
        written.append((name, *pixels.shape[:2]))
        if progress is not None:
            progress(i + 1, len(persons.images))
    return written


# ---------------------------------------------------------------------------------------------------- COCO


def export_mannequins(target: Path, layout: str, split: str, persons: int, with_sheet: bool) -> None:
    """Write the first `persons` of a split in the "coco" or "mpii" layout, with a contact sheet beside if asked.

    ValueError, before anything is rendered, if `target` exists and is not empty.
    """
    require_empty(target)
    joints_as: Literal["coco-17", "mpii-16"] = "coco-17" if layout == "coco" else "mpii-16"
    source = Mannequins(train_persons=persons, test_persons=persons, joints_as=joints_as)
    chosen = source.load(split, None)
    (export_coco if layout == "coco" else export_mpii)(chosen, target)
    if with_sheet:
        pixels = contact_sheet(split=split, skeleton=source.skeleton)
        cv2.imwrite(str(target / SHEET), pixels[..., ::-1])


def export_coco(persons: PersonSet, folder: Path, progress: Progress | None = None) -> None:
    """Write `images/` and `annotations/person_keypoints.json`, the COCO keypoint layout with the persons' own skeleton.

    Keypoints are 0-based (x, y, v) with v = 0 not labelled (then x = y = 0), 1 labelled but hidden, 2 visible; image
    and annotation ids count from 1. Every image is listed, with or without persons. `area` is the persons' area, or
    that of the box where they have none. ValueError if `folder` exists and is not empty.
    """
    with whole_folder(folder) as partial:
        images = write_images(persons, partial / "images", progress)
        path = partial / COCO_JSON
        path.parent.mkdir()
        path.write_text(json.dumps(coco_document(persons, images)))


def coco_document(persons: PersonSet, images: list[tuple[str, int, int]]) -> dict[str, object]:
    """The COCO json as a dictionary; `images` are (file name, height, width) in the order of `persons.images`."""
    return {
        "info": {"description": f"exported by hpe-bench, skeleton {persons.skeleton.name}", "version": "1.0"},
        "licenses": [],
        "images": [{"id": i + 1, "file_name": name, "height": h, "width": w} for i, (name, h, w) in enumerate(images)],
        "annotations": [_coco_annotation(persons, row) for row in range(len(persons))],
        "categories": [_coco_category(persons.skeleton)],
    }


def _coco_category(skeleton: Skeleton) -> dict[str, object]:
    limbs = [[a + 1, b + 1] for a, b in skeleton.limbs]  # COCO counts joints from 1 here
    return {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.joints),
        "skeleton": limbs,
    }


def _coco_annotation(persons: PersonSet, row: int) -> dict[str, object]:
    labelled, box = persons.labelled[row], persons.box[row]
    flags = labelled.astype(int) + persons.visible[row]
    joints = np.where(labelled[:, None], persons.joints[row], 0.0)
    area = float(persons.area[row])
    return {
        "id": row + 1,
        "image_id": int(persons.image[row]) + 1,
        "category_id": 1,
        "keypoints": np.column_stack((joints, flags)).ravel().tolist(),
        "num_keypoints": int(labelled.sum()),
        "area": area if np.isfinite(area) else float(box[2] * box[3]),
        "bbox": box.tolist(),
        "iscrowd": 0,
    }


# ---------------------------------------------------------------------------------------------------- MPII


def export_mpii(persons: PersonSet, folder: Path, progress: Progress | None = None) -> None:
    """Write `images/`, `annot/valid.json` and `annot/gt_valid.mat`, the layout the common PCKh evaluators read.

    All coordinates are 1-based, as MPII's are. The json is a list of {image, center, scale, joints, joints_vis}:
    `center` the middle of the box, `scale` its longer side / 200 px, joints that are not labelled (-1, -1) with
    joints_vis 0. The mat has jnt_missing 16 x N, pos_gt_src 16 x 2 x N (missing joints at 0), headboxes_src 2 x 2 x N
    (corner, xy, person) and dataset_joints. Head boxes are squares round the head centre with MPII's head size, 0.6
    times the diagonal, equal to `head_size`. ValueError for another skeleton, persons without head size, or a folder
    that exists and is not empty.
    """
    from scipy.io import savemat  # slow to import

    if persons.skeleton != MPII_16:
        raise ValueError(f"the MPII layout needs the skeleton mpii-16, not {persons.skeleton.name}; load it as mpii-16")
    if not np.isfinite(persons.head_size).all():
        raise ValueError("the MPII layout needs a head size for every person; this data set has none for some")
    with whole_folder(folder) as partial:
        images = write_images(persons, partial / "images", progress)
        (partial / MPII_JSON).parent.mkdir()
        (partial / MPII_JSON).write_text(json.dumps([_mpii_row(persons, row, images) for row in range(len(persons))]))
        savemat(partial / MPII_MAT, mpii_arrays(persons), do_compression=True)


def _mpii_row(persons: PersonSet, row: int, images: list[tuple[str, int, int]]) -> dict[str, object]:
    labelled, (x, y, w, h) = persons.labelled[row], persons.box[row].tolist()
    # The box counts pixels as unit squares; the middle of its pixel centres is half a pixel further in.
    return {
        "image": images[int(persons.image[row])][0],
        "center": [x + (w - 1) / 2 + 1, y + (h - 1) / 2 + 1],
        "scale": max(w, h) / MPII_PIXELS_PER_SCALE,
        "joints": np.where(labelled[:, None], persons.joints[row] + 1, -1.0).tolist(),
        "joints_vis": labelled.astype(int).tolist(),
    }


def mpii_arrays(persons: PersonSet) -> dict[str, np.ndarray]:
    """The arrays of gt_valid.mat, see `export_mpii`."""
    labelled = persons.labelled
    joints = np.where(labelled[..., None], persons.joints + 1, 0.0)
    neck, top = (persons.joints[:, MPII_16.index(name)] + 1 for name in ("upper_neck", "head_top"))
    half_side = (persons.head_size / 0.6 / np.sqrt(2) / 2)[:, None]
    centre = np.where(np.isfinite(neck + top), (neck + top) / 2, 0.0)
    return {
        "jnt_missing": (~labelled).T.astype(np.float64),
        "pos_gt_src": joints.transpose(1, 2, 0),
        "headboxes_src": np.stack((centre - half_side, centre + half_side)).transpose(0, 2, 1),
        "dataset_joints": np.array(MPII_SHORT, dtype=object)[None],
    }
