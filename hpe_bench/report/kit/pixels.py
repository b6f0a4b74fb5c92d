"""Pixels behind drawn persons: rendered again for the embedded data set; photographs may not be passed on."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hpe_bench.data.mannequins import Mannequins, Scene, render
from hpe_bench.data.mannequins.body import JOINTS
from hpe_bench.declare import Protocol
from hpe_bench.records.schema import Sample
from hpe_bench.report.kit.gallery import Images
from hpe_bench.report.kit.studies import Protocols

SAME_PX = 0.02  # records round coordinates to hundredths


def readers(protocols: Protocols) -> dict[str, Images]:
    """A way to the pixels of each protocol whose images are ours to show."""
    return {name: _reader(p, p.data) for name, p in protocols.items() if isinstance(p.data, Mannequins)}


def _reader(protocol: Protocol, data: Mannequins) -> Images:
    order = [JOINTS.index(name) for name in data.skeleton.joints]

    @lru_cache(maxsize=64)
    def scene(index: int) -> Scene:
        return render(index, split=protocol.test_split, seed=data.seed, version=data.version, dials=data.dials)

    def pixels(sample: Sample) -> np.ndarray | None:
        """The scene, unless the sample's person is not in it: then another generator made the record."""
        if sample.image < 0 or len(sample.labelled) != len(order):
            return None
        found = scene(sample.image)
        shown = np.array(sample.labelled)
        truth = np.array(sample.truth)[shown]
        off = np.abs(found.joints_px[:, order][:, shown] - truth).max(axis=(1, 2), initial=0.0)
        return found.image if len(off) and off.min() < SAME_PX else None

    return pixels
