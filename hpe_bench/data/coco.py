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

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Annotated, NotRequired

import numpy as np
from pydantic import FailFast, TypeAdapter
from typing_extensions import TypedDict

from hpe_bench.data.boxes import Boxes
from hpe_bench.data.folders import file_sha256, find_folder, locate, require_files
from hpe_bench.data.images import FileImages
from hpe_bench.data.json_files import Anything, Number, Whole, finite, finite_list, parse, shown, whole
from hpe_bench.data.lsp import boxes_around
from hpe_bench.data.names import leads_out
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

    `boxes` is how many person boxes it holds, None where nobody says. `sha256` is empty where no published hash is
    known: then the number is all that is asserted, and `Boxes.sha256` says what was really used. `origin` says where
    the file comes from.
    """

    file: str
    boxes: int | None
    sha256: str = ""
    origin: str = field(default="", metadata={"hashed": False})


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

    @property
    def annotated(self) -> COCO:
        return replace(self, detections=None)

    def load(self, split: str, root: str | None) -> PersonSet:
        """All annotated persons of "train2017" or "val2017", in the order of the file; every image must be there."""
        found = self._annotations(split, root)
        require_files(found.images.paths, image_folders(self._folder(root), self._images_of(split))[1:])
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

    def _images_of(self, split: str) -> str:
        return split

    def _folder(self, root: str | None) -> Path:
        return find_folder(root, self.folder, "annotations", LAYOUT)

    def _annotations(self, split: str, root: str | None) -> Annotations:
        if split not in OFFICIAL:
            raise ValueError(f"COCO has no split {split!r} with keypoints; use one of {', '.join(OFFICIAL)}")
        folder = self._folder(root)
        path = annotation_path(folder, split)
        if self.subset_sha256:
            require_hash(path, self.subset_sha256)
        found = read_annotations(path, image_folders(folder, split))
        if not self.subset_sha256:
            require_counts(path, split, found.persons)
        return found


def annotation_path(folder: Path, split: str) -> Path:
    """The annotation file of a split."""
    return folder / "annotations" / f"person_keypoints_{split}.json"


def image_folders(folder: Path, split: str) -> tuple[Path, ...]:
    """Where the images of a split may lie: officially, and as HRNet, SimpleBaseline and Ultralytics lay them out."""
    return folder / split, folder / "images" / split, folder / "images", folder / split / split


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
    """What an annotation file holds: all its persons, and the sizes [I,2] (h, w) of its images.

    `remarks` say in sentences where it departs from the official files in what scoring does not need; sizes that are
    not given are 0. Of a data set's own files there are no remarks: they are refused.
    """

    persons: PersonSet
    images: FileImages
    sizes_hw: np.ndarray
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnnotationLayout:
    """What a data set in COCO's file layout has of its own.

    `num_keypoints` counts the labelled among the first `counted` joints, and nobody must be found of whom none of these
    is labelled; persons without an annotated area have `area_per_box` of their box's. `crowding`: every image says how
    crowded it is (`crowdIndex`). `parts` are fields that follow on `keypoints`, with their number of joints, and the
    field that says whether the part is annotated at all; their third value is a confidence, labelled above 0.
    """

    skeleton: Skeleton
    counted: int
    area_per_box: float | None = None
    crowding: bool = False
    parts: tuple[tuple[str, int, str], ...] = ()

    @property
    def own(self) -> int:
        """How many joints stand in `keypoints` itself."""
        return len(self.skeleton.joints) - sum(count for _, count, _ in self.parts)


COCO_LAYOUT = AnnotationLayout(COCO_17, counted=17)


class ImageEntry(TypedDict):
    """An entry of "images"."""

    id: Whole
    file_name: NotRequired[Anything]
    height: NotRequired[Anything]
    width: NotRequired[Anything]
    crowdIndex: NotRequired[Anything]


class PersonEntry(TypedDict):
    """An entry of "annotations"."""

    id: NotRequired[Anything]
    image_id: Whole
    category_id: NotRequired[Anything]
    keypoints: NotRequired[list[Number]]
    foot_kpts: NotRequired[Anything]
    face_kpts: NotRequired[Anything]
    lefthand_kpts: NotRequired[Anything]
    righthand_kpts: NotRequired[Anything]
    foot_valid: NotRequired[Anything]
    face_valid: NotRequired[Anything]
    lefthand_valid: NotRequired[Anything]
    righthand_valid: NotRequired[Anything]
    num_keypoints: NotRequired[Anything]
    area: NotRequired[Anything]
    bbox: NotRequired[Anything]
    iscrowd: NotRequired[Anything]


class Category(TypedDict):
    """An entry of "categories"."""

    id: NotRequired[Anything]
    name: NotRequired[Anything]
    keypoints: NotRequired[Anything]


class Document(TypedDict):
    """An annotation file."""

    images: Annotated[list[ImageEntry], FailFast()]
    annotations: Annotated[list[PersonEntry], FailFast()]
    categories: NotRequired[Annotated[list[Category], FailFast()]]


DOCUMENT = TypeAdapter(Document)


class Remarks:
    """What departs from the official files: the first of each kind, and how many there are."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[str, int]] = {}

    def add(self, kind: str, sentence: str) -> None:
        first, count = self.found.get(kind, (sentence, 0))
        self.found[kind] = first, count + 1

    def sentences(self) -> tuple[str, ...]:
        """One sentence a kind."""
        return tuple(f"{text} ({n:,} such)" if n > 1 else text for text, n in self.found.values())


def read_annotations(path: Path, images: Path | Sequence[Path], layout: AnnotationLayout = COCO_LAYOUT) -> Annotations:
    """Read a keypoint annotation file of any size; `images` are the folders its images may lie in, if they exist.

    ValueError naming file, record and field for a file that is truncated, of another task, or inconsistent.
    """
    found = read_own(path, images, layout)
    if found.remarks:
        raise ValueError(found.remarks[0])
    return found


def read_own(path: Path, images: Path | Sequence[Path], layout: AnnotationLayout = COCO_LAYOUT) -> Annotations:
    """The same for a file of one's own, which is refused only for what scoring reads.

    What pycocotools never looks at may be missing or odd, and what it passes over is passed over: remarks say so. Who
    must be found is then, as there, who has `num_keypoints` above 0.
    """
    document = parse(path, DOCUMENT, "COCO keypoint annotations", {"images": "image", "annotations": "annotation"})
    remarks = Remarks()
    category = _person_category(document.get("categories", []), layout, path, remarks)
    listed = document["images"]
    folders = [images] if isinstance(images, Path) else list(images)
    files, ids, sizes_hw = read_images(listed, path, folders, remarks)
    position = {number_: i for i, number_ in enumerate(ids.tolist())}
    persons = _persons(document["annotations"], position, category, layout, path, remarks)
    crowding = _crowding(listed, path, remarks) if layout.crowding else None
    whole_set = replace(persons, images=files, image_ids=ids, crowding=crowding)
    return Annotations(whole_set, files, sizes_hw, remarks.sentences())


def read_images(
    listed: Sequence[ImageEntry], path: Path, folders: Sequence[Path], remarks: Remarks
) -> tuple[FileImages, np.ndarray, np.ndarray]:
    """The images of a file, their numbers [I] int64 and sizes [I,2] (h, w); they may lie in any of the folders."""
    ids = [_required(record["id"], "id", f"{path}: image {i}") for i, record in enumerate(listed)]
    _positions(ids, f"{path}: images")
    names = [_image_name(record, f"{path}: image {i}", remarks) for i, record in enumerate(listed)]
    sizes_hw = np.array([_size(r, f"{path}: image {i}", remarks) for i, r in enumerate(listed)], np.int64)
    return FileImages(locate(names, folders), names), np.array(ids, np.int64), sizes_hw.reshape(-1, 2)


def _required(found: object, field: str, where: str) -> int:
    number = whole(found)
    if number is None:
        raise ValueError(f"{where}: {field!r} is {shown(found)}, expected a whole number")
    return number


def _person_category(
    categories: Sequence[Category], layout: AnnotationLayout, path: Path, remarks: Remarks
) -> int | None:
    """The id of the category with keypoints, which must be the skeleton's; None where the file does not say."""
    skeleton = replace(layout.skeleton, joints=layout.skeleton.joints[: layout.own])  # parts are in no category
    posed = [c for c in categories if isinstance(c.get("keypoints"), list)]
    if len(posed) != 1:
        remarks.add(
            "category",
            f"{path}: {len(posed)} categories have keypoints, expected one; give person_keypoints_<split>.json, "
            "not the file of another task (instances, captions)",
        )
        same = [c for c in posed if c["keypoints"] == list(skeleton.joints)]
        posed = same or posed or [c for c in categories if c.get("name") == "person"] or list(categories)
        if len(posed) != 1:
            return None
    names: list[object] = posed[0]["keypoints"] if isinstance(posed[0].get("keypoints"), list) else []
    if names and names != list(skeleton.joints):
        said = f"{path}: its category's 'keypoints' are not those of {skeleton.name}"
        _refuse_other_joints(names, skeleton, said)
        first = next(j for j, (a, b) in enumerate(zip(names, skeleton.joints, strict=True)) if a != b)
        remarks.add("names", f"{said}: joint {first} is {shown(names[first])}, not {skeleton.joints[first]!r}")
    return _required(posed[0].get("id"), "id", f"{path}: the category with keypoints")


def _refuse_other_joints(names: Sequence[object], skeleton: Skeleton, said: str) -> None:
    """ValueError for another number of joints, or the same ones in another order: names are no matter of spelling."""
    if len(names) != len(skeleton.joints):
        raise ValueError(f"{said}: {len(names)} joints, expected {len(skeleton.joints)}; give a file with them")
    spelled = [re.sub(r"[\W_]+", "", str(name)).lower() for name in names]
    wanted = [joint.replace("_", "") for joint in skeleton.joints]
    if sorted(spelled) == sorted(wanted) and spelled != wanted:
        first = next(j for j, (a, b) in enumerate(zip(spelled, wanted, strict=True)) if a != b)
        raise ValueError(
            f"{said}: joint {first} is {shown(names[first])}, not {skeleton.joints[first]!r}, so they stand in another "
            "order; write joints in the skeleton's order"
        )


def _image_name(record: ImageEntry, where: str, remarks: Remarks) -> str:
    """The name of an image below its folder; some name of its own where that cannot be used."""
    name = record.get("file_name")
    if not isinstance(name, str):
        said = "has no 'file_name'" if name is None else f"'file_name' is {shown(name)}, expected a file name"
        remarks.add("file_name", f"{where}: {said}")
        return f"image {record['id']}"
    if leads_out(name):
        remarks.add("file_name", f"{where}: 'file_name' is {shown(name)}, which leads out of the folder of images")
        return PureWindowsPath(name.replace("\0", "")).name or f"image {record['id']}"
    return name


def _size(record: ImageEntry, where: str, remarks: Remarks) -> tuple[int, int]:
    """Height and width; zeros where they are not said."""
    height, width = whole(record.get("height")), whole(record.get("width"))
    if height is None or width is None or min(height, width) < 1:
        missing = next((f for f in ("height", "width") if f not in record), None)
        found = [record.get("height"), record.get("width")]
        said = f"'height' x 'width' is {shown(found)}, expected positive numbers"
        remarks.add("size", f"{where} has no {missing!r}; give a file that has it" if missing else f"{where}: {said}")
        return 0, 0
    return height, width


def _crowding(listed: Sequence[ImageEntry], path: Path, remarks: Remarks) -> np.ndarray | None:
    """How crowded each image is, from 0 to 1; None where one does not say."""
    values = []
    for i, record in enumerate(listed):
        value, found = finite(record.get("crowdIndex")), record.get("crowdIndex")
        if value is None or not 0 <= value <= 1:
            missing = f"{path}: image {i} has no 'crowdIndex'; give a file that has it"
            odd = f"{path}: image {i}: 'crowdIndex' is {shown(found)}, expected 0 to 1"
            remarks.add("crowdIndex", odd if "crowdIndex" in record else missing)
        values.append(value)
    return None if "crowdIndex" in remarks.found else np.array(values, float)


def _positions(ids: Iterable[int], named: str) -> dict[int, int]:
    """Position by id; ValueError for an id that stands twice."""
    position: dict[int, int] = {}
    for i, number_ in enumerate(ids):
        if position.setdefault(number_, i) != i:
            raise ValueError(f"{named} {position[number_]} and {i} have the same 'id' {number_}; ids must be unique")
    return position


@dataclass
class _Rows:
    """Columns of persons as they are read."""

    ids: list[int] = field(default_factory=list)
    image: list[int] = field(default_factory=list)
    keypoints: list[list[float]] = field(default_factory=list)
    box: list[list[float]] = field(default_factory=list)
    area: list[float] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    wanted: list[bool] = field(default_factory=list)


def _persons(
    annotations: Sequence[PersonEntry],
    position: dict[int, int],
    category: int | None,
    layout: AnnotationLayout,
    path: Path,
    remarks: Remarks,
) -> PersonSet:
    """The persons of an annotation file, with no images yet."""
    j, rows = len(layout.skeleton.joints), _Rows()
    for i, record in enumerate(annotations):
        where = f"{path}: annotation {i}"
        if _passed_over(record, position, category, where, remarks):
            continue
        _append(rows, record, position, layout, where, remarks)
    _positions(rows.ids, f"{path}: annotations")
    n = len(rows.image)
    keypoints = np.array(rows.keypoints, float).reshape(n, 3 * j)
    flags, wanted = keypoints[:, 2::3], np.array(rows.wanted, bool)
    counted = (flags[:, : layout.counted] > 0).any(axis=1)
    if "num_keypoints" not in remarks.found:
        flags[~counted] = 0
    labelled = flags > 0
    joints = keypoints.reshape(n, j, 3)[..., :2].copy()
    box = np.array(rows.box, float).reshape(n, 4)
    bare = ~(box[:, 2:] > 0).all(axis=1) & labelled.any(axis=1)
    box[bare] = boxes_around(joints[bare], labelled[bare])
    return PersonSet(
        skeleton=layout.skeleton,
        images=FileImages([]),
        image=np.array(rows.image, np.int64),
        box=box,
        joints=joints,
        labelled=labelled,
        visible=flags >= 2,
        head_size=np.full(n, np.nan),
        area=np.array(rows.area, float),
        crowd=np.array(rows.crowd, bool),
        wanted=None if np.array_equal(wanted, labelled.any(axis=1)) else wanted,
        category_id=category,
    )


def _passed_over(
    record: PersonEntry, position: dict[int, int], category: int | None, where: str, remarks: Remarks
) -> bool:
    """Whether an annotation is none of the persons: of another category, or of an image that is not listed."""
    number = whole(record.get("category_id"))
    if category is not None and number != category:
        said = f"'category_id' is {shown(record.get('category_id'))}, expected {category}, the person's"
        remarks.add("category_id", f"{where}: {said}" if "category_id" in record else f"{where} has no 'category_id'")
        if number is not None:
            return True
    image_id = _required(record["image_id"], "image_id", where)
    if image_id not in position:
        remarks.add("image_id", f"{where}: 'image_id' {image_id} is none of the annotated images")
        return True
    return False


def _append(
    rows: _Rows, record: PersonEntry, position: dict[int, int], layout: AnnotationLayout, where: str, remarks: Remarks
) -> None:
    """One person's row."""
    keypoints = _keypoints(record, 3 * layout.own, where)
    for part in layout.parts:
        keypoints = keypoints + _part(record, part, where)
    flags = keypoints[2::3]
    if not set(flags) <= {0.0, 1.0, 2.0}:
        remarks.add("flags", f"{where}: 'keypoints' has a flag other than 0, 1 and 2")
    labelled = sum(flag > 0 for flag in flags[: layout.counted])
    rows.wanted.append(_wanted(record, labelled, where, remarks))
    rows.box.append(_box(record, labelled > 0, where, remarks))
    rows.area.append(_area(record, rows.box[-1], layout, where))
    rows.crowd.append(_crowd(record, where, remarks))
    rows.keypoints.append(keypoints)
    rows.image.append(position[_required(record["image_id"], "image_id", where)])
    number = whole(record.get("id"))
    if number is None:
        said = f": 'id' is {shown(record['id'])}, expected a whole number" if "id" in record else " has no 'id'"
        remarks.add("id", f"{where}{said}")
    else:
        rows.ids.append(number)


def _keypoints(record: PersonEntry, count: int, where: str) -> list[float]:
    """x, y and flag of every joint."""
    found = record.get("keypoints")
    if found is None:
        raise ValueError(f"{where} has no 'keypoints'; give a file that has it")
    if len(found) != count:
        raise ValueError(f"{where}: 'keypoints' has {len(found)} values, expected {count} numbers")
    if not all(map(math.isfinite, found)):
        i = next(i for i, v in enumerate(found) if not math.isfinite(v))
        raise ValueError(f"{where}: 'keypoints', value {i} is {found[i]}, expected a finite number")
    return found


def _part(record: PersonEntry, part: tuple[str, int, str], where: str) -> list[float]:
    """x, y and flag of a part's joints; nothing is labelled where the part is said not to be annotated."""
    name, count, valid = part
    found = finite_list(record.get(name), 3 * count)
    if found is None:
        raise ValueError(f"{where}: {name!r} is {shown(record.get(name))}, expected {3 * count} finite numbers")
    annotated = bool(record.get(valid, True))
    flags = [2.0 if annotated and confidence > 0 else 0.0 for confidence in found[2::3]]
    return [v for x, y, flag in zip(found[::3], found[1::3], flags, strict=True) for v in (x, y, flag)]


def _wanted(record: PersonEntry, labelled: int, where: str, remarks: Remarks) -> bool:
    """Whether the person must be found: by `num_keypoints`, else by the labelled joints."""
    number = whole(record.get("num_keypoints"))
    if number == labelled:
        return labelled > 0
    said = f"{where}: 'num_keypoints' is {shown(record.get('num_keypoints'))}, but {labelled} are labelled"
    remarks.add("num_keypoints", said if "num_keypoints" in record else f"{where} has no 'num_keypoints'")
    return labelled > 0 if number is None else number != 0


def _box(record: PersonEntry, labelled: bool, where: str, remarks: Remarks) -> list[float]:
    """(x, y, width, height) as it stands; zeros where there is none."""
    box = finite_list(record.get("bbox"), 4)
    if box is None or min(box[2:]) < 0 or (labelled and min(box[2:]) == 0):
        said = f"'bbox' is {shown(record.get('bbox'))}, expected (x, y, width, height) with some width and height"
        missing = f"{where} has no 'bbox'; give a file that has it"
        remarks.add("bbox", f"{where}: {said}" if "bbox" in record else missing)
    return box or [0.0, 0.0, 0.0, 0.0]


def _area(record: PersonEntry, box: Sequence[float], layout: AnnotationLayout, where: str) -> float:
    """px^2, which OKS is relative to."""
    if layout.area_per_box is not None:
        if finite_list(record.get("bbox"), 4) is None or min(box[2:]) < 0:
            raise ValueError(f"{where}: 'bbox' is {shown(record.get('bbox'))}, but the person's area is taken from it")
        return layout.area_per_box * box[2] * box[3]
    if "area" not in record:
        raise ValueError(
            f"{where} has no 'area', which OKS is relative to; give the area of the person's mask (0.53 of the box's "
            "is about that, as CrowdPose's evaluation has it)"
        )
    area = finite(record["area"])
    if area is None or area < 0:
        raise ValueError(f"{where}: 'area' is {shown(record['area'])}, expected px^2 from 0 on")
    return area


def _crowd(record: PersonEntry, where: str, remarks: Remarks) -> bool:
    """Whether it is a region of many people."""
    found = record.get("iscrowd", 0)
    number = int(found) if isinstance(found, bool) else whole(found)
    if "iscrowd" not in record:
        remarks.add("iscrowd", f"{where} has no 'iscrowd'; give a file that has it")
    elif number not in (0, 1):
        remarks.add("iscrowd", f"{where}: 'iscrowd' is {shown(found)}, expected 0 or 1")
    return bool(found)


# ---------------------------------------------------------------------------------------------------- boxes


class Detection(TypedDict):
    """An entry of a file of detections; those of other categories than persons are not looked into."""

    category_id: Whole
    image_id: NotRequired[Anything]
    bbox: NotRequired[Anything]
    score: NotRequired[Anything]


DETECTIONS = TypeAdapter(Annotated[list[Detection], FailFast()])


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
    if not path.is_file():
        origin = f" ({declared.origin})" if declared.origin else ""
        raise ValueError(
            f"{path}: no such file; put the detections there{origin}; ground-truth boxes are another protocol, whose "
            "scores are higher (F1): --protocol names it"
        )
    if declared.sha256:
        require_hash(path, declared.sha256)
    found = read_detections(path, truth)
    if declared.boxes is not None and len(found) != declared.boxes:
        raise ValueError(
            f"{path}: {len(found):,} person boxes, expected {declared.boxes:,}; boxes of another detector make "
            "another protocol (F1)"
        )
    return found


def _detections(path: Path) -> list[Detection]:
    return parse(path, DETECTIONS, "person detections", {"": "box"})


def read_detections(path: Path, truth: PersonSet) -> Boxes:
    """The person boxes (category 1) of a detections file, in its order; other categories are passed over.

    ValueError naming file, record and field for an unknown image, a box without extent, or a value that is not finite.
    """
    assert truth.image_ids is not None
    position = {int(image_id): i for i, image_id in enumerate(truth.image_ids)}
    image, box, score = [], [], []
    for i, record in enumerate(_detections(path)):
        where = f"{path}: box {i}"
        if _required(record["category_id"], "category_id", where) != PERSON_CATEGORY:
            continue
        image_id = _required(record.get("image_id"), "image_id", where)
        if image_id not in position:
            raise ValueError(f"{where}: 'image_id' {image_id} is none of the annotated images")
        image.append(position[image_id])
        corners, sure = finite_list(record.get("bbox"), 4), finite(record.get("score"))
        if corners is None or min(corners[2:]) < 0 or max(corners[2:]) == 0:
            said = f"'bbox' is {shown(record.get('bbox'))}, expected (x, y, width, height) with some extent"
            raise ValueError(f"{where}: {said}")
        if sure is None:
            raise ValueError(f"{where}: 'score' is {shown(record.get('score'))}, expected a finite number")
        box.append(corners)
        score.append(sure)
    if not box:
        raise ValueError(f"{path}: no person boxes (category {PERSON_CATEGORY}); give a file with detections")
    return Boxes(np.array(image, np.int64), np.array(box), np.array(score), sha256=file_sha256(path))
