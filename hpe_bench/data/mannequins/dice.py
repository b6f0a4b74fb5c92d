"""Random draws of a scene: independent named streams, and the few distributions the generator needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

STREAMS = ("layout", "people", "surroundings", "occluders", "lens")


class Dice:
    """One random stream (Philox, counter based: the same numbers on every machine)."""

    def __init__(self, seed: np.random.SeedSequence) -> None:
        self.rng = np.random.Generator(np.random.Philox(seed))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.rng.random())

    def normal(self, mean: float, sd: float) -> float:
        """Normal, cut at two standard deviations so that no draw is absurd."""
        return mean + sd * min(max(float(self.rng.standard_normal()), -2.0), 2.0)

    def one_of(self, options: Sequence[T]) -> T:
        return options[int(self.rng.random() * len(options))]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """One of (option, weight) pairs; weights need not sum to one."""
        left = float(self.rng.random()) * sum(weight for _, weight in options)
        for option, weight in options:
            left -= weight
            if left < 0:
                return option
        return options[-1][0]

    def child(self) -> Dice:
        """An independent stream, so that what one person draws never shifts what the next one gets."""
        return Dice(np.random.SeedSequence([int(v) for v in self.rng.integers(0, 2**32, 4)]))


def streams(*key: int) -> dict[str, Dice]:
    """The streams of one scene. They are independent: a dial that adds occluders leaves the people as they were."""
    children = np.random.SeedSequence(key).spawn(len(STREAMS))
    return {name: Dice(child) for name, child in zip(STREAMS, children, strict=True)}
