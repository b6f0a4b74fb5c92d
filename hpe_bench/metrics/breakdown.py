"""Where a model fails: its headline rate by visibility and size, and what kinds its joints' errors are, as scores.

Keys begin with `diagnosis/`. `visible` and `hidden` split the labelled joints, `stature/<band>` the persons by the
height of their boxes (thirds of the test set): these are rates under the headline's threshold, with tallies, so that
differences between models can be paired. Where the skeleton has OKS sigmas, `found` is the share of persons with
OKS >= 0.1, and `kind/<kind>` and `kind/<kind>/<group>` are shares of the labelled joints of those (`diagnosis.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.data.predictions import Predictions
from hpe_bench.declare import Metric, Score
from hpe_bench.metrics.bootstrap import rate
from hpe_bench.metrics.diagnosis import KINDS, Diagnosis, crowds, diagnose
from hpe_bench.metrics.diagnosis_tables import stature_bands
from hpe_bench.metrics.rates import DistanceRate, tallied_scores

PREFIX = "diagnosis/"


def breakdown(metric: Metric, truth: PersonSet, predictions: Predictions) -> list[Score]:
    """The parts that the metric and the data set allow; a part without joints is left out.

    A rate goes person by person, so that there is one prediction a person, in their order.
    """
    found: list[Score] = []
    if isinstance(metric, DistanceRate):
        found += _rates(metric, truth, predictions.joints)
    if truth.skeleton.sigmas and np.isfinite(truth.area).all():
        found += _kinds(truth, diagnose(truth, predictions))
    return found


def _rates(metric: DistanceRate, truth: PersonSet, joints_NJ2: np.ndarray) -> Iterator[Score]:
    hits_NJ = metric.hits(truth, joints_NJ2)
    headline = [j for j, name in enumerate(truth.skeleton.joints) if name not in metric.excluded]
    wanted_N = truth.labelled.any(axis=1) & ~crowds(truth)
    names, band_N = stature_bands(truth, wanted_N)
    parts = {f"stature/{name}": truth.labelled & (band_N == k)[:, None] for k, name in enumerate(names)}
    if (truth.labelled & ~truth.visible).any():  # where only visible joints are labelled, there is nothing to split
        parts = {"visible": truth.visible, "hidden": truth.labelled & ~truth.visible, **parts}
    for name, kept_NJ in parts.items():
        yield from tallied_scores(truth.image, kept_NJ, hits_NJ & kept_NJ, {PREFIX + name: headline})


def _kinds(truth: PersonSet, found: Diagnosis) -> Iterator[Score]:
    persons = int(found.wanted.sum())
    if not persons:
        return
    yield Score(f"{PREFIX}found", rate(int((found.wanted & found.found).sum()), persons), persons)
    groups = [("", tuple(range(len(truth.skeleton.joints)))), *((f"/{name}", g) for name, g in truth.skeleton.groups)]
    for name, joints in groups:
        kinds = found.kind[:, list(joints)]
        judged = kinds[kinds >= 0]
        for k, kind in enumerate(KINDS):
            if len(judged):
                yield Score(f"{PREFIX}kind/{kind}{name}", rate(int((judged == k).sum()), len(judged)), len(judged))
