"""Data sets in COCO's file layout: OCHuman, COCO-WholeBody, Halpe and AI Challenger, their validation splits.

What is held to a split is its number of images (F3); no hash of the files is published that we know.

- OCHuman (Zhang et al., "Pose2Seg", CVPR 2019): persons that hide one another; COCO's 17 joints. In COCO's layout the
  authors release ochuman_coco_format_val_range_0.00_1.00.json.
- COCO-WholeBody (Jin et al., ECCV 2020): val2017 with feet, faces and hands, in fields of their own.
- Halpe (Li et al., CVPR 2020): val2017 with 136 joints, in one field.
- AI Challenger (Wu et al., 2017): 14 joints; the file aic_val.json in COCO's layout is MMPose's conversion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hpe_bench.data import coco
from hpe_bench.data.boxes import Boxes
from hpe_bench.data.coco import AnnotationLayout, Annotations, annotated_boxes
from hpe_bench.data.folders import find_folder, require_files
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import COCO_17, Skeleton
from hpe_bench.data.whole_body import AIC_14, HALPE_136, WHOLE_BODY_133
from hpe_bench.declare import PROSE, DataSource

PARTS = (
    ("foot_kpts", 6, "foot_valid"),
    ("face_kpts", 68, "face_valid"),
    ("lefthand_kpts", 21, "lefthand_valid"),
    ("righthand_kpts", 21, "righthand_valid"),
)


@dataclass(frozen=True)
class CocoLike(DataSource):
    """A split of a data set in COCO's layout: which file below its folder, with which images.

    `images` are folders below the root or below the data set's own, the first that has an image counts.
    """

    name: str
    folder: str
    annotations: str
    images: tuple[str, ...] = field(metadata=PROSE)  # no part of its identity
    image_count: int
    joints: Skeleton
    counted: int
    parts: tuple[tuple[str, int, str], ...] = ()

    @property
    def skeleton(self) -> Skeleton:
        return self.joints

    @property
    def layout(self) -> AnnotationLayout:
        """How its annotations are read."""
        return AnnotationLayout(self.joints, counted=self.counted, parts=self.parts)

    def load(self, split: str, root: str | None) -> PersonSet:
        """All annotated persons of "val", in the order of the file; every image must be there."""
        found = self.read(split, root)
        require_files(list(found.images.paths))
        return found.persons

    def truth(self, split: str, root: str | None) -> PersonSet:
        """As `load`, from the annotation file alone."""
        return self.read(split, root).persons

    def boxes(self, split: str, root: str | None) -> Boxes:
        """The annotated boxes of the persons with a keypoint, as COCO's."""
        return annotated_boxes(self.read(split, root))

    def read(self, split: str, root: str | None) -> Annotations:
        """The annotation file; ValueError for another split or another number of images."""
        if split != "val":
            raise ValueError(f"{self.name} has no split {split!r} here; use val")
        path, found = self.read_any(root)
        if len(found.images) != self.image_count:
            raise ValueError(
                f"{path}: {len(found.images):,} images, but {self.name}'s val has {self.image_count:,}; this is not it "
                "and its scores must not pass for it (F3): fetch the official file, or score against it with --truth"
            )
        return found

    def read_any(self, root: str | None) -> tuple[Path, Annotations]:
        """The annotation file whatever it holds, and its path."""
        top = self.annotations.partition("/")[0]
        folder = find_folder(root, self.folder, top, f"{self.annotations} and its images")
        path = folder / self.annotations
        if not path.is_file():
            raise ValueError(f"{path}: no such file; {self.folder}/ holds {self.annotations} and its images")
        places = [base / name for name in self.images for base in (folder, folder.parent)]
        return path, coco.read_own(path, places, self.layout)


OCHUMAN = CocoLike(
    name="ochuman",
    folder="ochuman",
    annotations="annotations/ochuman_coco_format_val_range_0.00_1.00.json",
    images=("images",),
    image_count=2_500,  # the authors' repository: 4,731 images, 2,500 in val and 2,231 in test
    joints=COCO_17,
    counted=17,
)
WHOLE_BODY = CocoLike(
    name="coco-wholebody",
    folder="coco",
    annotations="annotations/coco_wholebody_val_v1.0.json",
    images=("val2017", "images/val2017"),
    image_count=5_000,  # val2017
    joints=WHOLE_BODY_133,
    counted=17,  # num_keypoints is COCO's own, of the body
    parts=PARTS,
)
HALPE = CocoLike(
    name="halpe",
    folder="halpe",
    annotations="annotations/halpe_val_v1.json",
    images=("val2017", "hico_20160224_det/images/test2015", "coco/val2017"),
    image_count=5_000,  # val2017
    joints=HALPE_136,
    counted=136,
)
AIC = CocoLike(
    name="aic",
    folder="aic",
    annotations="annotations/aic_val.json",
    images=("ai_challenger_keypoint_validation_20170911/keypoint_validation_images_20170911",),
    image_count=30_000,  # the paper: 30,000 images to validate on
    joints=AIC_14,
    counted=14,
)
ALL = (OCHUMAN, WHOLE_BODY, HALPE, AIC)
