"""CrowdPose in COCO's layout with 14 joints: json/crowdpose_<split>.json and images/.

Li et al., "CrowdPose: Efficient Crowded Scenes Pose Estimation and A New Benchmark", CVPR 2019. Two things differ from
COCO beside the joints: annotations have no area, and the released evaluation takes 0.53 of the box's instead; and every
image says how crowded it is (`crowdIndex`, the paper's equation 1), by which results are split.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hpe_bench.data.boxes import Boxes
from hpe_bench.data.coco import AnnotationLayout, Annotations, annotated_boxes
from hpe_bench.data.coco import read_annotations as read_coco
from hpe_bench.data.coco import read_own as read_own_coco
from hpe_bench.data.folders import find_folder, require_files
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import CROWDPOSE_14, Skeleton
from hpe_bench.declare import DataSource

# 0.53 of the box stands in for the area of a person's mask (the released evaluation). `num_keypoints` counts the limbs'
# twelve joints, not head and neck, so that nobody of whom only these are labelled must be found.
COCO_LIKE = AnnotationLayout(CROWDPOSE_14, counted=12, area_per_box=0.53, crowding=True)
IMAGES = {"train": 10_000, "val": 2_000, "test": 8_000}  # the paper, section 4: 20,000 images, split 5 : 1 : 4
LAYOUT = "json/crowdpose_<split>.json and images/"


@dataclass(frozen=True)
class CrowdPose(DataSource):
    """CrowdPose; a split must have the official number of images (F3)."""

    folder: str = "crowdpose"

    name = "crowdpose"

    @property
    def skeleton(self) -> Skeleton:
        return CROWDPOSE_14

    def load(self, split: str, root: str | None) -> PersonSet:
        """All annotated persons of "train", "val" or "test", in the order of the file; every image must be there."""
        found = self._annotations(split, root)
        require_files(list(found.images.paths))
        return found.persons

    def truth(self, split: str, root: str | None) -> PersonSet:
        """As `load`, from the annotation file alone."""
        return self._annotations(split, root).persons

    def boxes(self, split: str, root: str | None) -> Boxes:
        """The annotated boxes of the persons with a keypoint, as COCO's."""
        return annotated_boxes(self._annotations(split, root))

    def _annotations(self, split: str, root: str | None) -> Annotations:
        if split not in IMAGES:
            raise ValueError(f"CrowdPose has no split {split!r}; use one of {', '.join(IMAGES)}")
        folder = find_folder(root, self.folder, "json", LAYOUT)
        path = folder / "json" / f"crowdpose_{split}.json"
        found = read_annotations(path, folder / "images")
        if len(found.images) != IMAGES[split]:
            raise ValueError(
                f"{path}: {len(found.images):,} images, but {split} has {IMAGES[split]:,}; this is not {split} and its "
                "scores must not pass for it (F3): fetch the official file, or score against it with --truth"
            )
        return found


def read_annotations(path: Path, images: Path) -> Annotations:
    """Read an annotation file of any size; ValueError as COCO's, and for an image without its `crowdIndex`."""
    return read_coco(path, images, COCO_LIKE)


def read_own(path: Path, images: Path) -> Annotations:
    """The same for a file of one's own, as COCO's; without `crowdIndex` there are no figures by crowding."""
    return read_own_coco(path, images, COCO_LIKE)
