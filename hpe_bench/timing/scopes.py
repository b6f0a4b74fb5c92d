"""What is timed around the network: nothing, the mirrored pass, cropping and decoding, or all from a JPEG to joints.

The image has 640x480 pixels, as COCO's; a batch is that many persons in it. Crops, decoding and flip merge are those
that accuracies are measured with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.data.crops import build_crops
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import COCO_17, LSP_14, MPII_16, Skeleton
from hpe_bench.declare import Codec
from hpe_bench.inference.predictor import merged_maps, predict
from hpe_bench.timing.check import PADDING, PERSONS

PHOTOGRAPH_HW = (480, 640)
JPEG_QUALITY = 95
SKELETONS = {len(s.joints): s for s in (COCO_17, MPII_16, LSP_14)}


@dataclass(frozen=True)
class Decoding:
    """How maps become joints; by default as the SimpleBaseline and HRNet code does, argmax and a quarter step."""

    codec: Codec = Gaussian(sigma_px=2.0, centre="rounded", decoder="quarter")
    activate: Callable[[Tensor], Tensor] | None = None

    def activated(self, maps: Tensor) -> Tensor:
        """Heatmaps from raw maps."""
        return maps if self.activate is None else self.activate(maps)


class OneImage:
    """An image in memory, decoded or as the bytes of a JPEG file, which every reading decodes."""

    def __init__(self, pixels: np.ndarray, encoded: bool) -> None:
        self.pixels = pixels
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        self.encoded = cv2.imencode(".jpg", pixels[..., ::-1], quality)[1] if encoded else None

    def __len__(self) -> int:
        return 1

    def name(self, index: int) -> str:
        return f"image {index}"

    def digest(self) -> str:
        return ""  # crops of it are never cached

    def read(self, index: int) -> np.ndarray:
        """Pixels [480,640,3], RGB."""
        if self.encoded is None:
            return self.pixels
        pixels_bgr = cv2.imdecode(self.encoded, cv2.IMREAD_COLOR)
        assert pixels_bgr is not None
        return cv2.cvtColor(pixels_bgr, cv2.COLOR_BGR2RGB)


def photograph(count: int, skeleton: Skeleton, encoded: bool) -> PersonSet:
    """A rendered scene, enlarged, with `count` boxes round its first person, each a pixel further right."""
    scene = PERSONS.load("test", None)
    pixels = scene.images.read(0)
    height, width = PHOTOGRAPH_HW
    enlarged_4 = np.tile([width / pixels.shape[1], height / pixels.shape[0]], 2)
    box_N4 = np.repeat(scene.box[:1] * enlarged_4, count, 0) + np.arange(count)[:, None] * [1, 0, 0, 0]
    joints = len(skeleton.joints)
    return PersonSet(
        skeleton=skeleton,
        images=OneImage(cv2.resize(pixels, (width, height)), encoded),
        image=np.zeros(count, np.int64),
        box=box_N4,
        joints=np.zeros((count, joints, 2)),
        labelled=np.zeros((count, joints), bool),
        visible=np.zeros((count, joints), bool),
        head_size=np.full(count, np.nan),
        area=np.full(count, np.nan),
    )


def flip_call(module: nn.Module, images_B3HW: Tensor, joints: int, decoding: Decoding) -> Callable[[], object]:
    """The forward pass, the mirrored one, and the merge of both."""
    pairs = skeleton_of(joints).flip_pairs
    return torch.inference_mode()(partial(merged_maps, module, images_B3HW, decoding.codec, decoding.activated, pairs))


def pose_call(
    module: nn.Module, input_hw: tuple[int, int], batch: int, joints: int, decoding: Decoding, encoded: bool
) -> Callable[[], object]:
    """From the image (its pixels, or its JPEG bytes if `encoded`) to joints in its pixels, without a mirrored pass."""
    persons = photograph(batch, skeleton_of(joints), encoded)

    def call() -> object:
        crops = build_crops(persons, input_hw, PADDING)
        return predict(module, crops, decoding.codec, decoding.activated, flip_pairs=None)

    return call


def skeleton_of(joints: int) -> Skeleton:
    """The skeleton with this many joints; ValueError where we know none."""
    if joints not in SKELETONS:
        known = ", ".join(map(str, sorted(SKELETONS)))
        raise ValueError(
            f"{joints} maps belong to no skeleton known here ({known} joints), so which to swap is unknown"
        )
    return SKELETONS[joints]
