"""Calibration: scores that are probabilities have no error, overconfident ones are cooled, risk follows the order."""

from __future__ import annotations

import numpy as np
import pytest

from hpe_bench.metrics import calibration
from hpe_bench.metrics.calibration import Judged
from hpe_bench.metrics.pck import PCK
from hpe_bench.run import scoring
from tests import small
from tests.predicted import of_each, persons


def drawn(sharpness: float, images: int = 400) -> Judged:
    """Joints that are right as often as their scores said, before these were sharpened."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.95, (images, 14))
    right = rng.random(p.shape) < p
    odds = (p / (1 - p)) ** sharpness
    return Judged("pck@0.2", right, odds / (1 + odds), np.ones(p.shape, bool), np.arange(images))


def test_probabilities_have_no_error_and_sharpened_ones_do() -> None:
    honest, sharp = drawn(1.0), drawn(3.0)
    errors = [calibration.expected_error(j.score_NJ.ravel(), j.right_NJ.ravel()) for j in (honest, sharp)]
    assert errors[0] < 3 < 8 < errors[1]
    interval = calibration.error_interval(sharp)
    assert interval is not None
    assert interval[0] < errors[1] < interval[1]


def test_the_error_is_the_mean_distance_of_the_bins() -> None:
    score, right = np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, True, True, True])
    assert calibration.expected_error(score, right) == pytest.approx(100 * (0.5 * 0.4 + 0.5 * 0.1))
    assert [b.n for b in calibration.bins(score, right)] == [2, 2]


def test_a_temperature_undoes_a_sharpening() -> None:
    found = calibration.temperature(drawn(3.0))
    assert found is not None
    assert found.value == pytest.approx(3.0, rel=0.15)
    assert found.after < 4 < found.before
    assert found.n == 200 * 14


def test_risk_is_least_for_scores_that_know_and_does_not_depend_on_the_order_of_equal_scores() -> None:
    right = np.array([True, False, True, False])
    knowing, blind = np.array([0.9, 0.1, 0.8, 0.2]), np.full(4, 0.5)
    assert calibration.risks(knowing, right).tolist() == pytest.approx([0, 0, 100 / 3, 50])
    assert calibration.risks(blind, right).tolist() == pytest.approx([50] * 4)
    assert calibration.risks(blind, right[::-1]).tolist() == pytest.approx([50] * 4)
    assert calibration.risk_coverage(knowing, right)[-1] == (100, 50)


def test_scores_that_are_all_alike_say_nothing_and_others_are_kept_in_the_record() -> None:
    truth = persons(8, 4)
    rng = np.random.default_rng(1)
    joints = truth.joints + rng.normal(0, 8, truth.joints.shape)
    flat = np.ones(truth.labelled.shape)
    protocol = small.PROTOCOLS[0]
    assert scoring.calibrated(protocol, truth, of_each(truth, joints, flat)) is None
    found = scoring.calibrated(protocol, truth, of_each(truth, joints, rng.random(flat.shape)))
    assert found is not None
    assert found.parts[0].n == truth.labelled.sum() == sum(b.n for b in found.bins)
    assert {p.part for p in found.parts} >= {"", "joint/nose"}
    assert PCK(0.2).key != found.key == protocol.metrics[0].key
