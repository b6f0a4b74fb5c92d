"""MPII Human Pose as the SimpleBaseline and HRNet line lays it out: json lists and gt_valid.mat in annot/, and images/.

Andriluka et al., "2D Human Pose Estimation: New Benchmark and State of the Art Analysis", CVPR 2014; the split into
22,246 persons to train and 2,958 to validate is that of Tompson et al. annot/train.json and annot/valid.json are lists
of {image, center, scale, joints, joints_vis}; the mat holds pos_gt_src [16,2,N], jnt_missing [16,N] and headboxes_src
[2,2,N], persons in the same order.

- **Origin.** Both files count pixels from 1; 1 is taken off joints and centres.
- **Box.** A square of 200 px * scale round (x, y + 15 * scale); the rest of the released code's rule, scale * 1.25, is
  the protocol's padding. No clipping.
- **Truth of the validation split** is the mat's, as every published PCKh is computed from it. 13 of its joints are
  wrongly 0 where the json has a position; they are left as they are.
- **Visible.** joints_vis says "annotated", hidden joints included. Where the json also has `joints_visible`, that
  decides about visibility; else every annotated joint counts as visible.
- **Head size** is 0.6 times the diagonal of the head box (the factor of the official evaluation), and not known for the
  train split. Area is undefined (NaN).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import FailFast, TypeAdapter
from typing_extensions import TypedDict

from hpe_bench.data.folders import find_folder, locate, require_files
from hpe_bench.data.images import FileImages
from hpe_bench.data.json_files import Anything, finite, finite_list, kind, parse, shown
from hpe_bench.data.mat_files import read_mat
from hpe_bench.data.names import leads_out
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import MPII_16, Skeleton
from hpe_bench.declare import DataSource

COUNTS = {"train": 22_246, "valid": 2_958}  # persons; what the released SimpleBaseline and HRNet loaders count
LAYOUT = "annot/valid.json, annot/gt_valid.mat and images/"
PIXELS_PER_SCALE = 200.0  # MPII: `scale` is the person's height / 200 px
DOWN_PER_SCALE_PX = 15.0  # the released code moves the crop down, so that feet are less likely to be cut off
HEAD_SIZE_SHARE = 0.6  # of the head box's diagonal (SC_BIAS of the official evaluation)
DIFFERENT_PX, DIFFERENT_SHARE = 1.0, 0.01  # more joints than this apart: json and mat list other persons


@dataclass(frozen=True)
class MPII(DataSource):
    """MPII single persons; the root is the folder that holds `mpii/`, or `mpii/` itself."""

    name = "mpii"

    @property
    def skeleton(self) -> Skeleton:
        return MPII_16

    def load(self, split: str, root: str | None) -> PersonSet:
        """Persons of "train" or "valid" in the order of the json; every image must be there."""
        persons = self.truth(split, root)
        assert isinstance(persons.images, FileImages)
        require_files(list(persons.images.paths))
        return persons

    def truth(self, split: str, root: str | None) -> PersonSet:
        """As `load`, from the annotation files alone."""
        if split not in COUNTS:
            raise ValueError(f"MPII has no split {split!r} with published joints; use one of {', '.join(COUNTS)}")
        folder = find_folder(root, "mpii", "annot", LAYOUT)
        annotations = folder / "annot" / f"{split}.json"
        persons = read_annotations(annotations, folder / "images")
        if len(persons) != COUNTS[split]:
            raise ValueError(
                f"{annotations}: {len(persons):,} persons, but MPII's {split} split has {COUNTS[split]:,}; this is a "
                "subset or another split, and its scores must not pass for that one's (F3)"
            )
        return with_official_truth(persons, folder / "annot" / "gt_valid.mat") if split == "valid" else persons


class MPIIEntry(TypedDict):
    """One person of the json."""

    image: Anything
    center: Anything
    scale: Anything
    joints: Anything
    joints_vis: Anything
    joints_visible: NotRequired[Anything]


ENTRIES = TypeAdapter(Annotated[list[MPIIEntry], FailFast()])


def read_annotations(path: Path, images: Path) -> PersonSet:
    """Persons of a json of any length, without head sizes; `images` is the folder of its images, which need not exist.

    ValueError naming file, record and field for what is missing or wrong.
    """
    listed = parse(path, ENTRIES, "MPII annotations", {"": "person"})
    if not listed:
        raise ValueError(f"{path}: no persons; fetch MPII's annotations again")
    rows = [_person(record, f"{path}: person {i}") for i, record in enumerate(listed)]
    names = list(dict.fromkeys(row["image"] for row in rows))
    position = {name: i for i, name in enumerate(names)}
    nothing = np.full(len(rows), np.nan)
    return PersonSet(
        skeleton=MPII_16,
        images=FileImages(locate(names, [images]), names),
        image=np.array([position[row["image"]] for row in rows]),
        box=np.array([row["box"] for row in rows]),
        joints=np.array([row["joints"] for row in rows]),
        labelled=np.array([row["labelled"] for row in rows]),
        visible=np.array([row["visible"] for row in rows]),
        head_size=nothing,
        area=nothing,
    )


def _person(record: MPIIEntry, where: str) -> dict[str, Any]:
    """One record with 0-based coordinates."""
    center = _numbers(record["center"], "center", 2, where)
    scale = finite(record["scale"])
    if scale is None or scale <= 0:
        found = shown(record["scale"] if scale is None else scale)
        raise ValueError(f"{where}: 'scale' is {found}, expected the person's height / 200 px")
    points = record["joints"]
    if not isinstance(points, list) or len(points) != len(MPII_16.joints):
        count = len(points) if isinstance(points, list) else "no list"
        raise ValueError(f"{where}: 'joints' has {count}, expected {len(MPII_16.joints)} pairs (x, y)")
    joints = [_numbers(point, "joints", 2, f"{where}, joint {j}") for j, point in enumerate(points)]
    labelled = _flags(record["joints_vis"], "joints_vis", where)
    visible = _flags(record["joints_visible"], "joints_visible", where) if "joints_visible" in record else labelled
    if (visible & ~labelled).any():
        raise ValueError(f"{where}: 'joints_visible' marks a joint that 'joints_vis' does not; give consistent flags")
    name = record["image"]
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}: 'image' is {shown(name)}, expected a file name")
    if leads_out(name):
        raise ValueError(f"{where}: 'image' is {shown(name)}, which leads out of the folder of images")
    return {
        "image": name,
        "box": square(center[0] - 1, center[1] - 1, scale),
        "joints": np.array(joints) - 1,
        "labelled": labelled,
        "visible": visible,
    }


def _numbers(found: object, field: str, count: int, where: str) -> list[float]:
    """A list of `count` finite numbers."""
    if not isinstance(found, list) or len(found) != count:
        length = f"{len(found)} values" if isinstance(found, list) else kind(found)
        raise ValueError(f"{where}: {field!r} has {length}, expected {count} numbers")
    values = finite_list(found, count)
    if values is None:
        i = next(i for i, v in enumerate(found) if finite(v) is None)
        raise ValueError(f"{where}: {field!r}, value {i} is {shown(found[i])}, expected a finite number")
    return values


def square(x: float, y: float, scale: float) -> tuple[float, float, float, float]:
    """Box (x, y, w, h) of a person with MPII's centre (0-based) and scale, before padding."""
    side = PIXELS_PER_SCALE * scale
    return x - side / 2, y + DOWN_PER_SCALE_PX * scale - side / 2, side, side


def _flags(found: object, field: str, where: str) -> np.ndarray:
    flags = _numbers(found, field, len(MPII_16.joints), where)
    if not set(flags) <= {0.0, 1.0}:
        raise ValueError(f"{where}: {field!r} has a flag other than 0 and 1")
    return np.array(flags) == 1


def with_official_truth(persons: PersonSet, path: Path) -> PersonSet:
    """The persons with joints and head sizes of gt_valid.mat; ValueError unless both list the same persons."""
    n, j = len(persons), len(MPII_16.joints)
    shapes = {"jnt_missing": (j, n), "pos_gt_src": (j, 2, n), "headboxes_src": (2, 2, n)}
    arrays = {name: values.astype(float) for name, values in read_mat(path, shapes, f"the {n:,} persons").items()}
    for name, values in arrays.items():
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            raise ValueError(f"{path}: {name} of person {bad[0][-1]} is not finite; fetch the file again")
    joints, labelled = arrays["pos_gt_src"].transpose(2, 0, 1) - 1, arrays["jnt_missing"].T == 0
    _require_same_persons(path, persons, joints, labelled)
    heads = arrays["headboxes_src"].transpose(2, 0, 1)
    head_size = HEAD_SIZE_SHARE * np.linalg.norm(heads[:, 1] - heads[:, 0], axis=-1)
    if not (head_size > 0).all():
        raise ValueError(f"{path}: headboxes_src of person {int(np.argmin(head_size))} has no extent; fetch it again")
    return replace(persons, joints=joints, labelled=labelled, visible=persons.visible & labelled, head_size=head_size)


def _require_same_persons(path: Path, persons: PersonSet, joints: np.ndarray, labelled: np.ndarray) -> None:
    """Person by person the same joints, but for the few that are known to differ."""
    other = (persons.labelled != labelled).any(axis=1)
    if other.any():
        raise ValueError(
            f"{path}: person {int(np.argmax(other))} has other joints missing than in the json; "
            "the files do not list the same persons in the same order"
        )
    apart = (np.abs(joints - persons.joints).max(axis=-1) > DIFFERENT_PX) & labelled
    if apart.sum() > DIFFERENT_SHARE * labelled.sum():
        row = int(np.argmax(apart.any(axis=1)))
        raise ValueError(
            f"{path}: {apart.sum()} of {labelled.sum()} joints differ from the json's, first those of person {row}; "
            "the files do not list the same persons in the same order"
        )
