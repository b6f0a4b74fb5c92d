"""The numerical check: a runtime's time counts only if its maps are those of eager float32.

Compared are the final maps of seeded noise and of crops of people, by the very call that is timed. The deviation is
the root mean square of the difference over the standard deviation of the reference, the worse of the two sets: relative
to what a decoder looks at, and blind to the scale of an untrained network.

Tolerances. float32 runtimes differ by the order of their sums: by 1e-7 to 1e-5 in all papers' networks, trained or
calibrated; 1e-3 leaves room for deeper ones and refuses a layer left out or computed in less precision. bfloat16 keeps
8 bits, so every layer rounds by up to 2^-9 = 0.2 %: trained pocket networks of all eight papers deviate by 0.4 to 2.7
%, calibrated ones (see `sources.calibrate`) by 0.8 to 6.5 %. 0.1 leaves room for those; a runtime that ignored its
input would deviate by 0.14 at the least, one that got a layer wrong by about 1. In 8 bits calibrated networks deviate
by 0.02 to 0.35, trained ones by less (`inference/quantising.py`); what that costs is for a protocol to say.

N images, J joints, H W input, h w heatmap.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hpe_bench.data.augmentation import to_batch
from hpe_bench.data.crops import build_crops
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.inference.exporting import deviation
from hpe_bench.timing.runtimes.runtime import Call

PERSONS = Mannequins(train_persons=4, test_persons=4)  # rendered once, in a second
NOISE_IMAGES = 1
PADDING = 1.25


def inputs(input_hw: tuple[int, int], persons: int = 4) -> dict[str, Tensor]:
    """What is compared: noise [1,3,H,W] and crops of mannequins [persons,3,H,W], four at the most."""
    noise = torch.randn(NOISE_IMAGES, 3, *input_hw, generator=torch.Generator().manual_seed(2))
    crops = build_crops(PERSONS.load("test", None), input_hw, PADDING)
    return {"noise": noise, "mannequins": to_batch(torch.from_numpy(np.ascontiguousarray(crops.pixels[:persons])))}


def ranges(input_hw: tuple[int, int]) -> Tensor:
    """Other images of both kinds [N,3,H,W], for runtimes in 8 bits to take their ranges from."""
    noise = torch.randn(NOISE_IMAGES, 3, *input_hw, generator=torch.Generator().manual_seed(3))
    crops = build_crops(PERSONS.load("train", None), input_hw, PADDING)
    return torch.cat([noise, to_batch(torch.from_numpy(np.asarray(crops.pixels)))])


@dataclass(frozen=True)
class ReferenceOutput:
    """Inputs and the final maps [N,J,h,w] that eager float32 makes of them, in a file for other processes."""

    path: Path

    @classmethod
    def write(cls, path: Path, call: Call, input_hw: tuple[int, int], persons: int = 4) -> ReferenceOutput:
        """Make the reference; ValueError where maps say nothing (constant or not finite)."""
        sets = {}
        for name, images in inputs(input_hw, persons).items():
            maps = torch.cat([call(image[None]).clone() for image in images])
            deviation(maps, maps)  # refuses constant ones, against which nothing can be told
            sets[name] = (images, maps)
        torch.save(sets, path)
        return cls(path)

    def deviation(self, call: Call, batch: int) -> float:
        """The deviation of a call for batches of a fixed size; ValueError where the maps have another shape."""
        module = InBatches(call, batch)
        worst = 0.0
        for images, maps in torch.load(self.path, weights_only=True).values():
            (found,) = module(images)
            worst = max(worst, deviation(found, maps))
        return worst


class InBatches(nn.Module):
    """A runtime's call as a module for any number of images: in batches of its size, the last one filled up."""

    def __init__(self, call: Call, batch: int) -> None:
        super().__init__()
        self.call, self.batch = call, batch

    def forward(self, images_N3HW: Tensor) -> list[Tensor]:
        """The final maps [N,J,h,w] in host memory, as a list of one stack."""
        parts = []
        for part in images_N3HW.split(self.batch):
            filled = torch.cat([part, part.new_zeros(self.batch - len(part), *part.shape[1:])])
            parts.append(self.call(filled.contiguous())[: len(part)].cpu().clone())
        return [torch.cat(parts)]
