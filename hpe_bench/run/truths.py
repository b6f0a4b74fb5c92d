"""Truth: the persons that predictions are scored against, and where they come from.

A protocol's own data are read from its root and are what its name says, because its data source counts or hashes them.
An annotation file named in their place is whatever it is: its hash and its number of persons become part of the
protocol's name, so that a subset never passes for the whole (F3).
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpe_bench import protocols
from hpe_bench.data import coco, crowdpose, mpii, own_skeleton
from hpe_bench.data.coco_like import CocoLike
from hpe_bench.data.file_kinds import head_of
from hpe_bench.data.folders import file_sha256
from hpe_bench.data.joint_subsets import Mapped, persons_of
from hpe_bench.data.lsp import boxes_around
from hpe_bench.data.mat_files import is_mat
from hpe_bench.data.own_skeleton import OwnData
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files import joint_arrays
from hpe_bench.data.progress import Progress
from hpe_bench.data.skeletons import MPII_16
from hpe_bench.declare import Protocol, fingerprint, replace
from hpe_bench.metrics.own_metrics import reference


@dataclass(frozen=True, eq=False)
class Truth:
    """Persons to score against under a protocol; `file` and its `sha256` are empty for the protocol's own data."""

    protocol: Protocol
    persons: PersonSet
    file: str = ""
    sha256: str = ""
    remarks: tuple[str, ...] = ()  # where a file of one's own departs from the official ones, in sentences
    told: str = ""  # what else a record says of it, such as where its sigmas are from

    @property
    def label(self) -> str:
        """The protocol's name, or a name that says that the truth is a file's."""
        return f"{self.protocol.name}.truth-{self.sha256[:8]}" if self.file else self.protocol.name

    @property
    def protocol_hash(self) -> str:
        """The protocol's fingerprint; that of protocol and file where the truth is a file's."""
        own = fingerprint(self.protocol)
        return fingerprint((own, self.sha256)) if self.file else own

    @property
    def described(self) -> str:
        """In words: where the persons come from and how many there are."""
        persons = f"{len(self.persons):,} persons on {len(self.persons.images):,} images"
        said = f"; {self.told}" if self.told else ""
        if not self.file:
            return f"{self.protocol.data.name}, split {self.protocol.test_split}: {persons}{said}"
        return f"truth: {self.file}, SHA-256 {self.sha256}, {persons}{said}"


def of_protocol(protocol: Protocol, root: str | None, progress: Progress | None = None) -> Truth:
    """The test split of the protocol's own data; images may be missing."""
    protocol.data.prepare(protocol.test_split, root, progress)
    return Truth(protocol, protocol.data.truth(protocol.test_split, root))


def of_file(protocol: Protocol, path: Path, images: Path | None) -> Truth:
    """An annotation file in the layout of the protocol's data set; `images` is the folder of its images, if known.

    COCO: person_keypoints_*.json. CrowdPose: crowdpose_*.json. MPII: gt_valid.mat, or valid.json with gt_valid.mat
    beside it, which adds which persons share an image.
    """
    sha256, folder = file_sha256(path), images or path.parent
    if isinstance(protocol.data, Mapped):
        whole = of_file(replace(protocol, data=protocol.data.data), path, images)
        persons = persons_of(whole.persons, protocol.data.columns, protocol.data.skeleton.name)
        return dataclasses.replace(whole, protocol=protocol, persons=persons)
    if isinstance(protocol.data, OwnData):
        layout = coco.AnnotationLayout(protocol.data.skeleton, counted=len(protocol.data.skeleton.joints))
        return _own(protocol, coco.read_own(path, folder, layout), path, sha256)
    if isinstance(protocol.data, CocoLike):
        return _own(protocol, coco.read_own(path, folder, protocol.data.layout), path, sha256)
    if isinstance(protocol.data, coco.COCO):
        return _own(protocol, coco.read_own(path, folder), path, sha256)
    if isinstance(protocol.data, crowdpose.CrowdPose):
        return _own(protocol, crowdpose.read_own(path, folder), path, sha256)
    if isinstance(protocol.data, mpii.MPII):
        if is_mat(head_of(path)):
            return Truth(protocol, mpii_arrays(path), path.name, sha256)
        arrays = path.with_name("gt_valid.mat")
        both = hashlib.sha256((sha256 + file_sha256(arrays)).encode()).hexdigest()
        persons = mpii.with_official_truth(mpii.read_annotations(path, folder), arrays)
        return Truth(protocol, persons, f"{path.name} with {arrays.name}", both)
    raise ValueError(f"{protocol.name} reads {protocol.data.name} from --root only; leave --truth out")


def of_own_data(path: Path, images: Path | None, sigmas: Path | None, by: str) -> Truth:
    """An annotation file that knows its own joints, under a protocol made for it; `by` is what PCK is relative to."""
    found = own_skeleton.read_skeleton(path, sigmas)
    told = f"{len(found.skeleton.joints)} joints, {found.sigmas_from}"
    protocol = protocols.own(found.skeleton, reference(by, found.skeleton), told)
    return dataclasses.replace(of_file(protocol, path, images), told=told)


def _own(protocol: Protocol, found: coco.Annotations, path: Path, sha256: str) -> Truth:
    return Truth(protocol, found.persons, path.name, sha256, found.remarks)


class NoImages:
    """Images that only have numbers: one for each person of an annotation file that names none."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"person {index}"

    def read(self, index: int) -> np.ndarray:
        raise ValueError(f"person {index}: the annotation file names no images")

    def digest(self) -> str:
        return f"none{self.count}"


def mpii_arrays(path: Path) -> PersonSet:
    """The persons of a gt_valid.mat alone, each taken for an image of its own, as it does not say who share one."""
    found, joints = joint_arrays.arrays(path), len(MPII_16.joints)
    missing, places = found.get("jnt_missing"), found.get("pos_gt_src")
    if missing is None or places is None or not missing.size or places.shape != (joints, 2, *missing.shape[1:]):
        raise ValueError(
            f"{path}: no jnt_missing [{joints}, persons] and pos_gt_src [{joints}, 2, persons]; give MPII's "
            "gt_valid.mat or valid.json"
        )
    count, labelled = missing.shape[1], missing.T == 0
    joints_img = np.nan_to_num(places.astype(float)).transpose(2, 0, 1) - 1
    unknown = PersonSet(
        skeleton=MPII_16,
        images=NoImages(count),
        image=np.arange(count),
        box=boxes_around(joints_img, labelled),
        joints=joints_img,
        labelled=labelled,
        visible=labelled,
        head_size=np.full(count, np.nan),
        area=np.full(count, np.nan),
    )
    return mpii.with_official_truth(unknown, path)
