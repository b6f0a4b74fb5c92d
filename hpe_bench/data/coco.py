"""COCO keypoints in their official layout: annotations/person_keypoints_<split>.json and <split>/ with the images.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; the keypoint splits of 2017. Every annotated person
is part of the truth that AP is scored on, crowds and persons without a keypoint included (AP ignores them, but a
detection may match them), and every listed image is, with or without persons. What is *predicted* is another thing
(F1):

- **Ground-truth boxes**: the persons with a keypoint that are no crowd, in their boxes cut to the image as the
  SimpleBaseline and HRNet code does it (x2 = min(W - 1, max(0, x) + w - 1), so a box loses a pixel of its size).
- **Detector boxes**: a file of somebody's detections, list of {image_id, category_id, bbox, score}, as it is.

Keypoints are taken as they stand (whole pixels, 0-based); flag 1 is labelled but hidden, 2 visible.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpe_bench.data.boxes import Boxes
from hpe_bench.data.folders import file_sha256, find_folder, require_files
from hpe_bench.data.images import FileImages
from hpe_bench.data.json_fields import file_name, integer, number, numbers, read_json, records, shown
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import COCO_17, Skeleton
from hpe_bench.declare import DataSource

IMAGES, PERSONS, WITH_KEYPOINTS = "images", "annotated persons", "persons with keypoints"
# Images: cocodataset.org (118K / 5K). val2017: 2,693 of its images show the 11,004 persons, 227 of which are crowds.
# Persons with keypoints: what the released SimpleBaseline and HRNet loaders count.
OFFICIAL: dict[str, dict[str, int]] = {
    "train2017": {IMAGES: 118_287, WITH_KEYPOINTS: 149_813},
    "val2017": {IMAGES: 5_000, PERSONS: 11_004, WITH_KEYPOINTS: 6_352},
}
LAYOUT = "annotations/person_keypoints_<split>.json and <split>/ with the images"
PERSON_CATEGORY = 1  # of COCO's 80, and of detection files


@dataclass(frozen=True)
class DetectionFile:
    """Person boxes of somebody's detector, under `person_detection_results/` of the data set's folder (F1, F2).

    `boxes` is how many person boxes it holds. `sha256` is empty where no published hash is known: then the number is
    all that is asserted, and `Boxes.sha256` says what was really used.
    """

    file: str
    boxes: int
    sha256: str = ""


@dataclass(frozen=True)
class COCO(DataSource):
    """COCO keypoints; official splits by their counts, or a subset by the hash of its annotation file.

    The root is the folder that holds `folder`, or that folder itself. Without `subset_sha256` a split must have the
    official counts: a smaller set never passes for it (F3).
    """

    folder: str = "coco"
    subset_sha256: str = ""
    detections: DetectionFile | None = None

    name = "coco"

    @property
    def skeleton(self) -> Skeleton:
        return COCO_17

    def load(self, split: str, root: str | None) -> PersonSet:
        """All annotated persons of "train2017" or "val2017", in the order of the file; every image must be there."""
        found = self._annotations(split, root)
        require_files(list(found.images.paths))
        return found.persons

    def truth(self, split: str, root: str | None) -> PersonSet:
        """As `load`, from the annotation file alone."""
        return self._annotations(split, root).persons

    def boxes(self, split: str, root: str | None) -> Boxes:
        """The detector's boxes where the source names a file, else those of the persons with keypoints."""
        annotations = self._annotations(split, root)
        if self.detections is None:
            return annotated_boxes(annotations)
        return read_declared_detections(self._folder(root), self.detections, annotations.persons)

    def _folder(self, root: str | None) -> Path:
        return find_folder(root, self.folder, "annotations", LAYOUT)

    def _annotations(self, split: str, root: str | None) -> Annotations:
        if split not in OFFICIAL:
            raise ValueError(f"COCO has no split {split!r} with keypoints; use one of {', '.join(OFFICIAL)}")
        folder = self._folder(root)
        path = annotation_path(folder, split)
        if self.subset_sha256:
            require_hash(path, self.subset_sha256)
        found = read_annotations(path, folder / split)
        if not self.subset_sha256:
            require_counts(path, split, found.persons)
        return found


def annotation_path(folder: Path, split: str) -> Path:
    """The annotation file of a split."""
    return folder / "annotations" / f"person_keypoints_{split}.json"


def require_hash(path: Path, expected: str) -> None:
    """ValueError unless a file has the expected SHA-256."""
    found = file_sha256(path)
    if found != expected:
        raise ValueError(f"{path}: its SHA-256 is {found}, expected {expected}; this is another file than declared")


def counts(persons: PersonSet) -> dict[str, int]:
    """How many images, annotated persons and persons with a labelled keypoint there are."""
    with_keypoints = int(persons.labelled.any(axis=1).sum())
    return {IMAGES: len(persons.images), PERSONS: len(persons), WITH_KEYPOINTS: with_keypoints}


def require_counts(path: Path, split: str, persons: PersonSet) -> None:
    """ValueError unless an annotation file holds what the official split holds (F3)."""
    found = {what: n for what, n in counts(persons).items() if what in OFFICIAL[split]}
    if found != OFFICIAL[split]:
        raise ValueError(
            f"{path}: {in_words(found)}, but {split} has {in_words(OFFICIAL[split])}; this is not {split} and its "
            "scores must not pass for it (F3): fetch the official file, or use a protocol made for the subset"
        )


def in_words(numbers_: dict[str, int]) -> str:
    """'5,000 images, 11,004 annotated persons'."""
    return ", ".join(f"{n:,} {what}" for what, n in numbers_.items())


# ---------------------------------------------------------------------------------------------------- annotations


@dataclass(frozen=True, eq=False)
class Annotations:
    """What an annotation file holds: all its persons, and the sizes [I,2] (h, w) of its images."""

    persons: PersonSet
    images: FileImages
    sizes_hw: np.ndarray


@dataclass(frozen=True)
class Layout:
    """What a data set in COCO's file layout has of its own.

    `num_keypoints` counts the labelled among the first `counted` joints, and nobody must be found of whom none of these
    is labelled; persons without an annotated area have `area_per_box` of their box's.
    """

    skeleton: Skeleton
    counted: int
    area_per_box: float | None = None


COCO_LAYOUT = Layout(COCO_17, counted=17)


def read_annotations(path: Path, images: Path, layout: Layout = COCO_LAYOUT) -> Annotations:
    """Read a keypoint annotation file of any size; `images` is the folder of its images, which need not exist.

    ValueError naming file, record and field for a file that is truncated, of another task, or inconsistent.
    """
    document = read_json(path, "COCO keypoint annotations")
    category = _person_category(document, layout.skeleton, path)
    listed = records(document, "images", str(path))
    names, ids = [], []
    sizes_hw = np.empty((len(listed), 2), np.int64)
    for i, record in enumerate(listed):
        where = f"{path}: image {i}"
        ids.append(integer(record, "id", where))
        names.append(file_name(record, "file_name", where))
        sizes_hw[i] = integer(record, "height", where), integer(record, "width", where)
        if sizes_hw[i].min() < 1:
            raise ValueError(f"{where}: 'height' x 'width' is {sizes_hw[i].tolist()}, expected positive numbers")
    position = _positions(ids, f"{path}: images")
    files = FileImages([images / name for name in names])
    persons = _persons(records(document, "annotations", str(path)), position, category, layout, path)
    return Annotations(replace(persons, images=files, image_ids=np.array(ids, np.int64)), files, sizes_hw)


def _person_category(document: Any, skeleton: Skeleton, path: Path) -> int:
    """The id of the category with keypoints, which must be the skeleton's."""
    there = isinstance(document, dict) and "categories" in document  # captions have none
    categories = records(document, "categories", str(path)) if there else []
    posed = [c for c in categories if "keypoints" in c]
    if len(posed) != 1:
        raise ValueError(
            f"{path}: {len(posed)} categories have keypoints, expected one; give person_keypoints_<split>.json, "
            "not the file of another task (instances, captions)"
        )
    if posed[0]["keypoints"] != list(skeleton.joints):
        raise ValueError(f"{path}: its category's 'keypoints' are not those of {skeleton.name}; give a file with them")
    return integer(posed[0], "id", f"{path}: the category with keypoints")


def _positions(ids: Iterable[int], named: str) -> dict[int, int]:
    """Position by id; ValueError for an id that stands twice."""
    position: dict[int, int] = {}
    for i, number_ in enumerate(ids):
        if position.setdefault(number_, i) != i:
            raise ValueError(f"{named} {position[number_]} and {i} have the same 'id' {number_}; ids must be unique")
    return position


def _persons(
    annotations: list[dict[str, Any]], position: dict[int, int], category: int, layout: Layout, path: Path
) -> PersonSet:
    """The persons of checked annotations, with no images yet."""
    n, j = len(annotations), len(layout.skeleton.joints)
    image, box, area = np.empty(n, np.int64), np.empty((n, 4)), np.empty(n)
    keypoints, crowd = np.empty((n, j * 3)), np.empty(n, bool)
    ids = []
    for i, record in enumerate(annotations):
        where = f"{path}: annotation {i}"
        ids.append(integer(record, "id", where))
        image[i] = _image_of(record, position, where)
        if integer(record, "category_id", where) != category:
            raise ValueError(f"{where}: 'category_id' is {record['category_id']}, expected {category}, the person's")
        keypoints[i], box[i], area[i], crowd[i] = _person(record, layout, where)
    _positions(ids, f"{path}: annotations")
    flags = keypoints[:, 2::3]
    flags[~flags[:, : layout.counted].any(axis=1)] = 0
    return PersonSet(
        skeleton=layout.skeleton,
        images=FileImages([]),
        image=image,
        box=box,
        joints=keypoints.reshape(n, j, 3)[..., :2].copy(),
        labelled=flags > 0,
        visible=flags == 2,
        head_size=np.full(n, np.nan),
        area=area,
        crowd=crowd,
    )


def _image_of(record: dict[str, Any], position: dict[int, int], where: str) -> int:
    """Position of a record's image."""
    image_id = integer(record, "image_id", where)
    if image_id not in position:
        raise ValueError(f"{where}: 'image_id' {image_id} is none of the annotated images")
    return position[image_id]


def _person(record: dict[str, Any], layout: Layout, where: str) -> tuple[list[float], list[float], float, bool]:
    """Keypoints (x, y, flag), box, area and whether it is a crowd."""
    keypoints = numbers(record, "keypoints", 3 * len(layout.skeleton.joints), where)
    box, crowd = numbers(record, "bbox", 4, where), integer(record, "iscrowd", where)
    area = number(record, "area", where) if layout.area_per_box is None else layout.area_per_box * box[2] * box[3]
    labelled = sum(flag > 0 for flag in keypoints[2 : 3 * layout.counted : 3])
    if not set(keypoints[2::3]) <= {0.0, 1.0, 2.0}:
        raise ValueError(f"{where}: 'keypoints' has a flag other than 0, 1 and 2")
    if integer(record, "num_keypoints", where) != labelled:
        raise ValueError(f"{where}: 'num_keypoints' is {record['num_keypoints']}, but {labelled} are labelled")
    if min(box[2:]) < 0 or (labelled and min(box[2:]) == 0):
        raise ValueError(f"{where}: 'bbox' is {box}, expected (x, y, width, height) with some width and height")
    if area < 0 or crowd not in (0, 1):
        raise ValueError(f"{where}: 'area' is {area} and 'iscrowd' {crowd}, expected an area from 0 on and 0 or 1")
    return keypoints, box, area, bool(crowd)


# ---------------------------------------------------------------------------------------------------- boxes


def annotated_boxes(annotations: Annotations) -> Boxes:
    """Ground-truth boxes as the SimpleBaseline and HRNet loaders make them; persons in the order of the file.

    Left out are crowds, persons without a keypoint, and boxes with nothing inside the image.
    """
    persons, sizes_hw = annotations.persons, annotations.sizes_hw[annotations.persons.image]
    assert persons.crowd is not None
    low = np.maximum(persons.box[:, :2], 0)
    high = np.minimum(sizes_hw[:, ::-1] - 1, low + np.maximum(persons.box[:, 2:] - 1, 0))
    extent = high - low
    inside = (extent.min(axis=1) >= 0) & (extent.max(axis=1) > 0)
    rows = np.flatnonzero(inside & ~persons.crowd & persons.labelled.any(axis=1) & (persons.area > 0))
    box = np.concatenate([low, extent], axis=1)[rows]
    return Boxes(persons.image[rows], box, np.ones(len(rows)), rows)


def read_declared_detections(folder: Path, declared: DetectionFile, truth: PersonSet) -> Boxes:
    """The boxes of a declared file; ValueError unless it has the declared hash (if any) and number of boxes."""
    path = folder / "person_detection_results" / declared.file
    if declared.sha256:
        require_hash(path, declared.sha256)
    found = read_detections(path, truth)
    if len(found) != declared.boxes:
        raise ValueError(
            f"{path}: {len(found):,} person boxes, expected {declared.boxes:,}; boxes of another detector make "
            "another protocol (F1)"
        )
    return found


def read_detections(path: Path, truth: PersonSet) -> Boxes:
    """The person boxes (category 1) of a detections file, in its order; other categories are passed over.

    ValueError naming file, record and field for an unknown image, a box without extent, or a value that is not finite.
    """
    assert truth.image_ids is not None
    position = {int(image_id): i for i, image_id in enumerate(truth.image_ids)}
    image, box, score = [], [], []
    for i, record in enumerate(records(read_json(path, "person detections"), None, str(path))):
        where = f"{path}: box {i}"
        if integer(record, "category_id", where) != PERSON_CATEGORY:
            continue
        image.append(_image_of(record, position, where))
        box.append(numbers(record, "bbox", 4, where))
        score.append(number(record, "score", where))
        if min(box[-1][2:]) < 0 or max(box[-1][2:]) == 0:
            raise ValueError(f"{where}: 'bbox' is {shown(box[-1])}, expected (x, y, width, height) with some extent")
    if not box:
        raise ValueError(f"{path}: no person boxes (category {PERSON_CATEGORY}); give a file with detections")
    return Boxes(np.array(image, np.int64), np.array(box), np.array(score), sha256=file_sha256(path))
