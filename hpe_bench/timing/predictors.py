"""Somebody's predictor, timed whole: from an image in memory, or from a JPEG file's bytes, to joints in image pixels.

What it does inside (its runtime, its precision, how often it looks) is its own matter, so its times stand beside no
network's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import torch

from hpe_bench.data.crops import build_crops
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.inference.predictor_process import declared
from hpe_bench.inference.predictors import Estimator
from hpe_bench.timing.check import PADDING
from hpe_bench.timing.interleave import Prepared, Subject
from hpe_bench.timing.runtimes.runtime import host_time_ms
from hpe_bench.timing.scopes import Decoding, photograph

SCOPES = ("processed", "end-to-end")


@dataclass(frozen=True)
class PredictorSubject(Subject):
    """The predictor at `FILE.py:function`, for `persons` boxes in an image of 640x480, in its worker's own process."""

    where: str
    threads: int
    persons: int = 1

    def prepare(self) -> Prepared:
        torch.set_num_threads(self.threads)
        cv2.setNumThreads(self.threads)
        estimator = Estimator(declared(self.where), self.where, "", "")
        calls = {scope: _pose_call(estimator, self.persons, scope == "end-to-end") for scope in SCOPES}
        return Prepared({scope: partial(host_time_ms, call) for scope, call in calls.items()})


def _pose_call(estimator: Estimator, persons: int, encoded: bool) -> Callable[[], object]:
    """Boxes of one image to joints in its pixels, without a mirrored pass."""
    own = Skeleton("its own", estimator.predictor.names, (), (), ())
    found = photograph(persons, own, encoded)

    def call() -> object:
        if estimator.input_hw is None:
            return estimator.on_image(found.images.read(0), found.box.astype(float), "the photograph", own)
        crops = build_crops(found, estimator.input_hw, PADDING)
        return estimator.on_crops(crops, Decoding().codec, None, "the photograph", own)

    return call
