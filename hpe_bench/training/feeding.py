"""Feeding: the batch of each step, drawn from (seed, step) alone, the same on every device.

On the CPU, rows are read from the memory-mapped crops as they are needed. On a GPU the crops live in its memory as
uint8, and the next batch is prepared on a stream of its own while the present one is trained on: augmentation, targets
and the copies from the host, each of which would otherwise wait for everything the GPU still has to do (M6).

B batch, J joints, h w context crop; N training persons.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from hpe_bench.data.augmentation import on_device, sample_gain, sample_linear, transform
from hpe_bench.data.crop_store import CropStore
from hpe_bench.data.crops import CropSet
from hpe_bench.data.half_body import half_bodies
from hpe_bench.declare import Batch, Codec, Curriculum, Recipe

STEPS_AHEAD = 2
DECODED_AHEAD = 3  # steps whose stored crops are decoded meanwhile


def seeded(*key: int) -> np.random.Generator:
    """A generator that depends on the key alone."""
    return np.random.default_rng(np.random.SeedSequence(list(key)))


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, size: int) -> np.ndarray:
    return seeded(seed, 1, epoch).permutation(size)


def batch_rows(seed: int, step: int, batch: int, size: int) -> np.ndarray:
    """Rows of a batch: the epochs' permutations laid end to end, cut into batches. [batch] int64."""
    positions = np.arange(step * batch, (step + 1) * batch)
    return np.array([_epoch_order(seed, p // size, size)[p % size] for p in positions.tolist()])


@lru_cache(maxsize=4)
def withheld_rows(seed: int, withheld: float, size: int) -> np.ndarray:
    """[size] bool: whose labels a recipe does not show. Any two recipes that withhold as much withhold the same."""
    hidden = np.zeros(size, dtype=bool)
    hidden[seeded(seed, 3).permutation(size)[: round(withheld * size)]] = True
    return hidden


@dataclasses.dataclass(frozen=True, eq=False)
class DrawnBatch:
    """What chance decides about a step: rows [B], whether labels are shown [B], maps, flips and colours.

    The rows of each micro-batch stand in file order, so that they are read one after the other.
    """

    rows: np.ndarray
    shown: np.ndarray
    linear_B22: Tensor
    flip_B: Tensor
    shift_B2: Tensor | None = None  # of half bodies
    gain_B3: Tensor | None = None  # of colour channels

    def part(self, index: int, count: int) -> DrawnBatch:
        """One of `count` micro-batches."""
        size = len(self.rows) // count
        own = slice(index * size, (index + 1) * size)
        shift_B2, gain_B3 = (None if t is None else t[own] for t in (self.shift_B2, self.gain_B3))
        return DrawnBatch(self.rows[own], self.shown[own], self.linear_B22[own], self.flip_B[own], shift_B2, gain_B3)


def draw(
    recipe: Recipe, crops: CropSet, seed: int, step: int, parts: int = 1, upper: tuple[int, ...] = ()
) -> DrawnBatch:
    """The draws of a step over the training persons, for a batch in `parts` micro-batches.

    They depend on (recipe, persons, seed, step, parts) alone, not on who computes which part. `upper` are the joints of
    the upper body, for recipes with half bodies.
    """
    size = len(crops.joints)
    withheld = recipe.withheld if isinstance(recipe, Curriculum) else 0.0
    hidden = withheld_rows(seed, withheld, size)
    teacherless = not (isinstance(recipe, Curriculum) and recipe.teacher)
    persons = np.flatnonzero(~hidden) if teacherless else np.arange(size)
    rows = persons[batch_rows(seed, step, recipe.batch, len(persons))]
    rows = np.sort(rows.reshape(parts, -1), axis=1).ravel()
    generator = torch.Generator("cpu").manual_seed(int(seeded(seed, 2, step).integers(2**62)))
    linear_B22, flip_B = sample_linear(len(rows), recipe.augmentation, generator)
    gain_B3 = sample_gain(len(rows), recipe.augmentation, generator)
    if not recipe.augmentation.half_body_p:
        return DrawnBatch(rows, ~hidden[rows], linear_B22, flip_B, None, gain_B3)
    chosen_B = torch.rand(len(rows), generator=generator) < recipe.augmentation.half_body_p
    normal_B = torch.randn(len(rows), generator=generator)
    shift_B2, size_B = half_bodies(
        crops.joints[rows],
        crops.labelled[rows],
        upper,
        chosen_B.numpy(),
        normal_B.numpy(),
        crops.input_hw,
        (crops.pixels.shape[1], crops.pixels.shape[2]),
    )
    linear_B22 = linear_B22 / torch.from_numpy(size_B)[:, None, None]
    return DrawnBatch(rows, ~hidden[rows], linear_B22, flip_B, torch.from_numpy(shift_B2), gain_B3)


@dataclasses.dataclass
class Feed:
    """Batches from crops that lie in the host's memory or in a file, for any device.

    `own` are the micro-batches, of `parts` in a batch, that this process trains on; `upper` the joints of the upper
    body.
    """

    crops: CropSet
    recipe: Recipe
    mirrored: tuple[int, ...]
    seed: int
    device: str
    parts: int = 1
    own: Sequence[int] = (0,)
    upper: tuple[int, ...] = ()

    def at(self, step: int) -> Iterator[tuple[Batch, Codec]]:
        """A step's own micro-batches, one at a time, each with the codec that its loss is to encode targets with."""
        for index in self.own:
            yield self.make(step, index), self.recipe.codec

    def prepare(self, step: int) -> None:
        """Begin with a later step's batch, where that can be done beside the present one; here it cannot."""

    def make(self, step: int, index: int = 0) -> Batch:
        """A step's micro-batch."""
        drawn = self.drawn(step, index)
        if isinstance(self.crops.pixels, CropStore):
            for later in range(step + 1, step + 1 + DECODED_AHEAD):
                self.crops.pixels.expect(self.drawn(later, index).rows)
        pixels, joints, labelled, visible = self.taken(drawn.rows)
        shown = on_device(torch.from_numpy(drawn.shown), self.device)[:, None]
        return transform(
            pixels,
            joints,
            labelled & shown,
            visible & shown,
            drawn.linear_B22,
            drawn.flip_B,
            self.mirrored,
            self.crops.input_hw,
            drawn.shift_B2,
            drawn.gain_B3,
        )

    def drawn(self, step: int, index: int) -> DrawnBatch:
        """What chance decides about a micro-batch."""
        return draw(self.recipe, self.crops, self.seed, step, self.parts, self.upper).part(index, self.parts)

    def taken(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pixels [B,h,w,3] uint8, joints [B,J,2], labelled and visible [B,J] bool of some rows, on the device."""
        crops = self.crops
        parts = (
            np.ascontiguousarray(crops.pixels[rows]),
            crops.joints[rows],
            crops.labelled[rows],
            crops.visible[rows],
        )
        pixels, joints, labelled, visible = (torch.from_numpy(part).to(self.device) for part in parts)
        return pixels, joints, labelled, visible


class ResidentFeed(Feed):
    """Batches from crops that live on a GPU, each prepared while the one before is trained on.

    Crops in a store are too many for that: their batches are decoded on the host, a few steps ahead.
    """

    def __post_init__(self) -> None:
        crops, device = self.crops, self.device
        small = (crops.joints, crops.labelled, crops.visible)
        self.pixels = None if isinstance(crops.pixels, CropStore) else _copied(crops.pixels, device)
        self.resident = tuple(_copied(array, device) for array in small)
        self.side = torch.cuda.Stream(device, priority=-1)
        self.sizes: dict[tuple[int, int], None] = {}  # heatmap sizes that the loss has asked targets for
        self.ahead: tuple[int, list[tuple[Batch, ReadyTargets]]] | None = None
        self.begun: deque[torch.cuda.Event] = deque()  # of the steps whose kernels are on their way

    def at(self, step: int) -> Iterator[tuple[Batch, Codec]]:
        if self.ahead is None or self.ahead[0] != step:
            self.ahead = self._prepared(step)
        _, pairs = self.ahead
        self.ahead = None
        present = torch.cuda.current_stream()
        present.wait_stream(self.side)
        for batch, codec in pairs:
            for tensor in (*tensors_of(batch), *codec.tensors()):
                tensor.record_stream(present)
        yield from pairs

    def prepare(self, step: int) -> None:
        """Begin with a later step's batch; called once the present step's kernels are on their way.

        Waits until no more than `STEPS_AHEAD` steps are, since each holds its batch in memory.
        """
        event = torch.cuda.Event()
        event.record()
        self.begun.append(event)
        if len(self.begun) > STEPS_AHEAD:
            self.begun.popleft().synchronize()
        self.ahead = self._prepared(step)

    def _prepared(self, step: int) -> tuple[int, list[tuple[Batch, ReadyTargets]]]:
        pairs = []
        with torch.cuda.stream(self.side), torch.no_grad():
            for index in self.own:
                batch = self.make(step, index)
                images = batch.images_B3HW.contiguous(memory_format=torch.channels_last)
                batch = dataclasses.replace(batch, images_B3HW=images)
                pairs.append((batch, ReadyTargets(self.recipe.codec, batch, self.sizes)))
        return step, pairs

    def taken(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        index = on_device(torch.from_numpy(rows), self.device)
        joints, labelled, visible = (array.index_select(0, index) for array in self.resident)
        if self.pixels is not None:
            return self.pixels.index_select(0, index), joints, labelled, visible
        return on_device(torch.from_numpy(self.crops.pixels[rows]), self.device), joints, labelled, visible


class ReadyTargets(Codec):
    """A recipe's codec with the targets of one batch encoded ahead, at the sizes `sizes` collects from its requests."""

    def __init__(self, codec: Codec, batch: Batch, sizes: dict[tuple[int, int], None]) -> None:
        self.codec, self.batch, self.sizes = codec, batch, sizes
        self.ready = {hw: codec.encode(batch.joints_BJ2, batch.labelled_BJ, batch.input_hw, hw) for hw in sizes}

    def encode(
        self, joints_BJ2: Tensor, labelled_BJ: Tensor, input_hw: tuple[int, int], heatmap_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        mine = joints_BJ2 is self.batch.joints_BJ2 and labelled_BJ is self.batch.labelled_BJ
        if mine and heatmap_hw in self.ready:
            return self.ready[heatmap_hw]
        if mine:
            self.sizes[heatmap_hw] = None
        return self.codec.encode(joints_BJ2, labelled_BJ, input_hw, heatmap_hw)

    def decode(self, maps_BJHW: Tensor, input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        return self.codec.decode(maps_BJHW, input_hw)

    def unflip(self, maps_BJHW: Tensor, flip_pairs: tuple[tuple[int, int], ...]) -> Tensor:
        return self.codec.unflip(maps_BJHW, flip_pairs)

    def tensors(self) -> list[Tensor]:
        """All targets and weights."""
        return [tensor for pair in self.ready.values() for tensor in pair]


def tensors_of(batch: Batch) -> list[Tensor]:
    """A batch's tensors, in the order of its fields."""
    values = (getattr(batch, f.name) for f in dataclasses.fields(batch))
    return [value for value in values if value is not None]


def feed_class(device: str) -> type[Feed]:
    """The feed for a device: resident on a GPU, from the host's memory elsewhere."""
    return ResidentFeed if device.startswith("cuda") else Feed


ROWS_A_COPY = 512


def _copied(values: np.ndarray, device: str) -> Tensor:
    """An array on the device, some rows at a time: a memory-mapped file is never whole in the host's memory."""
    first = torch.from_numpy(np.ascontiguousarray(values[:1]))
    there = torch.empty(values.shape, dtype=first.dtype, device=device)
    for start in range(0, len(values), ROWS_A_COPY):
        rows = slice(start, start + ROWS_A_COPY)
        there[rows] = torch.from_numpy(np.ascontiguousarray(values[rows])).to(device)
    return there
