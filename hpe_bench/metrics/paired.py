"""Two sets of predictions for the same persons under a rate metric: is one better?"""

from __future__ import annotations

import numpy as np

from hpe_bench.data.persons import PersonSet
from hpe_bench.declare import Metric
from hpe_bench.metrics.bootstrap import Difference, paired_difference


def paired_rates(metric: Metric, truth: PersonSet, a_NJ2: np.ndarray, b_NJ2: np.ndarray) -> dict[str, Difference]:
    """rate(a) - rate(b) in points by key: the headline and its groups, with 95 % interval and p value.

    Images are resampled jointly for both (F25), so what makes an image hard for either cancels. Covers other test
    images and not other trainings. ValueError for a metric that is no rate, such as AP, and for a single image.
    """
    tallies = [
        {
            score.key: (score.hits_per_image, score.counts_per_image)
            for score in metric.evaluate(truth, joints_NJ2, np.ones(truth.labelled.shape))
            if score.hits_per_image is not None and score.counts_per_image is not None
        }
        for joints_NJ2 in (a_NJ2, b_NJ2)
    ]
    if not tallies[0]:
        raise ValueError(f"{metric.key}: no rate, so it has no tallies to pair; compare PCKh, PCK, PCP or their AUC")
    return {key: paired_difference([tallies[0][key]], [tallies[1][key]]) for key in tallies[0]}
