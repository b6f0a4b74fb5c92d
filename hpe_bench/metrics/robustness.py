"""Scores under corruptions together: the mean corruption score, by kind and severity, with paired differences.

The mean corruption score is the mean of the headline over kinds and severities, each counting alike (Michaelis et al.,
arXiv:1907.07484, call it mean performance under corruption). All scores are of the same images, which are resampled
jointly (F25), so what makes an image hard for every corruption cancels in differences.

K scores of one model, I images, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpe_bench.metrics import average_precision, match_tables
from hpe_bench.metrics.bootstrap import Difference, Interval, Resampled, difference_of, percentile_interval
from hpe_bench.metrics.packed import packed, unpacked


def pack(values: Sequence[int]) -> str:
    """Whole numbers from 0 to 65535 as base64 of zlib of little-endian uint16."""
    found = np.asarray(values)
    if found.min(initial=0) < 0 or found.max(initial=0) > np.iinfo(np.uint16).max:
        raise ValueError("numbers per image lie between 0 and 65,535")
    return packed(found.astype("<u2").tobytes())


def unpack(text: str) -> np.ndarray:
    """What `pack` was given, as int64; ValueError for a damaged text."""
    return np.frombuffer(unpacked(text, "the text of hits per image"), "<u2").astype(int)


@dataclass(frozen=True, eq=False)
class Draws:
    """A model's K scores in percent, and the same under common draws of the images [R,K]."""

    values_K: np.ndarray
    drawn_RK: np.ndarray
    images: int

    def mean(self, places: Sequence[int]) -> tuple[float, Interval]:
        """The mean of some scores with its 95 % interval."""
        return float(self.values_K[list(places)].mean()), percentile_interval(self._drawn(places))

    def less(self, places: Sequence[int], other: Draws, theirs: Sequence[int]) -> Difference:
        """The mean of some scores less that of some of a model that was drawn together with this one (or of this)."""
        a, b = self.values_K[list(places)].mean(keepdims=True), other.values_K[list(theirs)].mean(keepdims=True)
        return difference_of(a, b, self._drawn(places)[:, None], other._drawn(theirs)[:, None], self.images)

    def _drawn(self, places: Sequence[int]) -> np.ndarray:
        found: np.ndarray = self.drawn_RK[:, list(places)].mean(axis=1)
        return found


def of_hits(models: Sequence[Sequence[np.ndarray]], counts_I: np.ndarray) -> list[Draws]:
    """Models' hits per image under the same counts, drawn together; ValueError where the images are not the same."""
    if any(len(hits_I) != len(counts_I) for hits in models for hits_I in hits):
        raise ValueError("scores under corruptions are of different images; measure them again")
    sizes = [len(hits) for hits in models]
    return _draws(Resampled.of([[(hits_I, counts_I)] for hits in models for hits_I in hits]), sizes)


def of_matches(models: Sequence[Sequence[str]], key: str) -> list[Draws]:
    """Models' tables of matches, AP being accumulated again under common draws."""
    tables = [[match_tables.unpack(text)] for texts in models for text in texts]
    return _draws(average_precision.resample(tables)[key], [len(texts) for texts in models])


def _draws(found: Resampled, sizes: Sequence[int]) -> list[Draws]:
    """Every score was drawn as a model of its own; here they are put together again, so many to a model."""
    values_S = np.concatenate(found.values)
    drawn_RS = np.concatenate([d for d in found.drawn if isinstance(d, np.ndarray)], axis=1)
    ends = np.cumsum(sizes)[:-1]
    parts = zip(np.split(values_S, ends), np.split(drawn_RS, ends, axis=1), strict=True)
    return [Draws(values_K, drawn_RK, found.images) for values_K, drawn_RK in parts]
