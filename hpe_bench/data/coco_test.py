"""COCO's test images: their persons are known to its server alone, so there are images and a detector's boxes.

What is predicted in them goes to the server as COCO results (`hpe-bench predict --to results.json`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import FailFast, TypeAdapter
from typing_extensions import TypedDict

from hpe_bench.data.coco import COCO, Annotations, ImageEntry, Remarks, image_folders, read_images, require_hash
from hpe_bench.data.folders import find_folder
from hpe_bench.data.json_files import parse
from hpe_bench.data.persons import PersonSet

OFFICIAL = {"test-dev2017": 20_288}  # images: cocodataset.org
FOLDER = "test2017"  # of the images, those of test-dev among the others
LAYOUT = "annotations/image_info_<split>.json and test2017/ with the images"


class ImageList(TypedDict):
    """A file of images without annotations."""

    images: Annotated[list[ImageEntry], FailFast()]


IMAGE_LIST = TypeAdapter(ImageList)


@dataclass(frozen=True)
class COCOTest(COCO):
    """The images of "test-dev2017" and nobody in them; official by their number, or a subset by its file's hash."""

    def _folder(self, root: str | None) -> Path:
        return find_folder(root, self.folder, "annotations", LAYOUT)

    def _images_of(self, split: str) -> str:
        return FOLDER

    def _annotations(self, split: str, root: str | None) -> Annotations:
        if split not in OFFICIAL:
            raise ValueError(f"COCO has no test split {split!r}; use one of {', '.join(OFFICIAL)}")
        folder = self._folder(root)
        path = folder / "annotations" / f"image_info_{split}.json"
        if self.subset_sha256:
            require_hash(path, self.subset_sha256)
        listed = parse(path, IMAGE_LIST, "a list of COCO's images", {"images": "image"})["images"]
        if not self.subset_sha256 and len(listed) != OFFICIAL[split]:
            raise ValueError(
                f"{path}: {len(listed):,} images, but {split} has {OFFICIAL[split]:,}; fetch the official file"
            )
        remarks = Remarks()
        images, ids, sizes_hw = read_images(listed, path, image_folders(folder, FOLDER), remarks)
        if said := remarks.sentences():
            raise ValueError(said[0])
        nobody = replace(PersonSet.nobody(self.skeleton, images, ids), crowd=np.zeros(0, bool))
        return Annotations(nobody, images, sizes_hw)
