"""Persons: annotated instances of a data set, as arrays.

Coordinates are image pixels, 0-based, (x, y), with pixel centres at whole numbers. Boxes are (x, y, width, height).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Protocol as Interface

import numpy as np

from hpe_bench.data.skeletons import Skeleton


class Images(Interface):
    """The images of a data set, by position."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What a person would call it (a file name)."""
        ...

    def read(self, index: int) -> np.ndarray:
        """Pixels as uint8 RGB [height, width, 3]; ValueError naming the file if it cannot be read."""
        ...

    def digest(self) -> str:
        """Changes with the images as far as that can be told without reading them all; keys what is cut from them."""
        ...


@dataclass(frozen=True, eq=False)
class PersonSet:
    """N persons with J joints.

    `image` [N] int64 positions into `images`; `box` [N,4]; `joints` [N,J,2]; `labelled` [N,J] the joint has a position;
    `visible` [N,J] and it can be seen (implies labelled); `head_size` [N] in px and `area` [N] in px^2 (NaN where the
    data set has none). Several persons may share an image; images without persons count in AP. `crowd` [N] marks
    regions of many people that nobody is expected to find (None: there are none). `image_ids` [len(images)] int64 are
    the data set's own image numbers (None: the positions), `crowding` [len(images)] how much the persons of an image
    stand in each other's way, from 0 to 1 (None: the data set does not say). `wanted` [N] who must be found, crowds
    aside (None: who has a labelled joint); `category_id` the number of the category "person" in its files (None: 1).
    """

    skeleton: Skeleton
    images: Images
    image: np.ndarray
    box: np.ndarray
    joints: np.ndarray
    labelled: np.ndarray
    visible: np.ndarray
    head_size: np.ndarray
    area: np.ndarray
    crowd: np.ndarray | None = None
    image_ids: np.ndarray | None = None
    crowding: np.ndarray | None = None
    wanted: np.ndarray | None = None
    category_id: int | None = None

    def __post_init__(self) -> None:
        n, j = len(self.image), len(self.skeleton.joints)
        shapes = {
            "box": (n, 4),
            "joints": (n, j, 2),
            "labelled": (n, j),
            "visible": (n, j),
            "head_size": (n,),
            "area": (n,),
        }
        if self.crowd is not None:
            shapes["crowd"] = (n,)
        if self.wanted is not None:
            shapes["wanted"] = (n,)
        if self.image_ids is not None:
            shapes["image_ids"] = (len(self.images),)
        if self.crowding is not None:
            shapes["crowding"] = (len(self.images),)
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"persons: {name} has shape {getattr(self, name).shape}, expected {shape}")
        if not np.isfinite(self.joints[self.labelled]).all():
            raise ValueError("persons: a labelled joint has a coordinate that is not finite")
        if (self.visible & ~self.labelled).any():
            raise ValueError("persons: a joint is visible but not labelled")

    @classmethod
    def nobody(cls, skeleton: Skeleton, images: Images, image_ids: np.ndarray | None = None) -> PersonSet:
        """Images in which nobody is annotated: predictions are made there, and scored nowhere."""
        j = len(skeleton.joints)
        return cls(
            skeleton=skeleton,
            images=images,
            image=np.zeros(0, np.int64),
            box=np.zeros((0, 4)),
            joints=np.zeros((0, j, 2)),
            labelled=np.zeros((0, j), bool),
            visible=np.zeros((0, j), bool),
            head_size=np.zeros(0),
            area=np.zeros(0),
            image_ids=image_ids,
        )

    def __len__(self) -> int:
        return len(self.image)

    @property
    def ids(self) -> np.ndarray:
        """Number of each image, [len(images)] int64: the data set's own, else its position."""
        return np.arange(len(self.images)) if self.image_ids is None else self.image_ids

    def subset(self, rows: np.ndarray) -> PersonSet:
        """The persons in the given rows, with the same images."""
        return replace(self, **{name: values[rows] for name, values in self._per_person().items()})

    def _per_person(self) -> dict[str, np.ndarray]:
        """The arrays that have one row per person, in the order of the fields."""
        of_images = ("image_ids", "crowding")
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in of_images}
        return {name: values for name, values in found.items() if isinstance(values, np.ndarray)}

    def digest(self) -> str:
        """SHA-256 over skeleton and annotations (not pixels), first 16 hex digits."""
        h = hashlib.sha256(self.skeleton.name.encode())
        for values in self._per_person().values():
            h.update(np.ascontiguousarray(values).tobytes())
        return h.hexdigest()[:16]
