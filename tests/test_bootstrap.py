"""Intervals over images and seeds: exact small cases, pairing, determinism, and coverage of a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hpe_bench.metrics import bootstrap
from hpe_bench.metrics.bootstrap import (
    image_weights,
    mean_interval,
    paired_difference,
    pooled_interval,
    rate,
    rate_interval,
)


def tally(rng: np.random.Generator, chance_I: np.ndarray, joints: int = 14) -> tuple[np.ndarray, np.ndarray]:
    return rng.binomial(joints, chance_I), np.full(len(chance_I), joints)


def test_weights_are_whole_resamples_of_the_images() -> None:
    rows = np.concatenate(list(image_weights(7, 50)))
    assert rows.shape == (50, 7)
    assert (rows.sum(axis=1) == 7).all()
    assert (rows == rows.astype(int)).all()
    assert abs(rows.mean() - 1) < 1e-12
    assert rows.std() > 0.5


def test_chunks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(image_weights(9, 40, seed=3)))
    monkeypatch.setattr(bootstrap, "CHUNK_CELLS", 63)
    assert np.array_equal(whole, np.concatenate(list(image_weights(9, 40, seed=3))))


def test_two_images_give_the_exact_distribution() -> None:
    # The rate is 0, 50 or 100 with chances 1/4, 1/2, 1/4: both tails of 2.5 % reach the ends.
    assert rate_interval([0, 4], [4, 4]) == (0.0, 100.0)


def test_same_seed_same_interval_other_seed_other_interval() -> None:
    hits, counts = tally(np.random.default_rng(0), np.random.default_rng(1).beta(4, 2, 120))
    assert rate_interval(hits, counts) == rate_interval(hits, counts)
    assert rate_interval(hits, counts) != rate_interval(hits, counts, seed=1)


def test_interval_of_a_rate_agrees_with_the_linearised_variance() -> None:
    rng = np.random.default_rng(5)
    counts = rng.integers(1, 15, 800)
    hits = rng.binomial(counts, rng.beta(3, 2, 800))
    low, high = rate_interval(hits, counts)
    residual = 100 * (hits - hits.sum() / counts.sum() * counts) / counts.mean()  # ratio estimator, first order
    half = 1.96 * residual.std() / np.sqrt(800)
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)
    assert (high + low) / 2 == pytest.approx(rate(hits, counts), abs=0.1 * half)


def test_clusters_widen_the_interval() -> None:
    """Joints of one image fail together (F25): treating each as an image of its own would claim too much."""
    hits = np.repeat([0, 14], 50)
    per_image = np.ptp(rate_interval(hits, np.full(100, 14)))
    per_joint = np.ptp(rate_interval(np.repeat([0, 1], 700), np.ones(1400)))
    assert per_image == pytest.approx(per_joint * np.sqrt(14), rel=0.1)


def test_images_without_joints_change_nothing_but_the_draw() -> None:
    hits, counts = [3, 0, 5, 2], [6, 0, 6, 6]
    low, high = rate_interval(hits, counts)
    assert 0 <= low <= rate(hits, counts) <= high <= 100


@pytest.mark.parametrize(
    ("hits", "counts", "words"),
    [([], [], "at least two images"), ([1], [2], "at least two images"), ([0, 0], [0, 0], "0 joints")],
)
def test_too_little_to_resample_is_an_error(hits: list[int], counts: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rate_interval(hits, counts)


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="same test images"):
        paired_difference([([1, 2], [2, 2])], [([1, 2], [2, 3])])
    with pytest.raises(ValueError, match="same seeds"):
        paired_difference([([1, 2], [2, 2])] * 2, [([1, 2], [2, 2])])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(5, 40))
def test_difference_is_antisymmetric_and_p_agrees_with_the_interval(seed: int, seeds: int, images: int) -> None:
    rng = np.random.default_rng(seed)
    a = [tally(rng, rng.beta(6, 4, images)) for _ in range(seeds)]
    b = [tally(rng, rng.beta(5, 5, images)) for _ in range(seeds)]
    forth, back = paired_difference(a, b, 200), paired_difference(b, a, 200)
    assert forth.value == pytest.approx(-back.value)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert forth.low <= forth.value <= forth.high
    assert forth.decided == (forth.p_value < 0.05)
    assert forth.value == pytest.approx(np.mean([rate(*x) - rate(*y) for x, y in zip(a, b, strict=True)]))


def test_an_arm_against_itself_differs_by_exactly_nothing() -> None:
    arm = [tally(np.random.default_rng(s), np.full(30, 0.6)) for s in range(3)]
    same = paired_difference(arm, arm)
    assert (same.value, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert not same.decided


def test_pairing_removes_what_the_images_share() -> None:
    """Two arms that differ by a constant on very uneven images: paired tells them apart, separate intervals do not."""
    rng = np.random.default_rng(2)
    hard = rng.integers(0, 12, 60)
    a, b, counts = hard + (rng.random(60) < 0.5), hard, np.full(60, 12)
    assert paired_difference([(a, counts)], [(b, counts)]).decided
    assert rate_interval(a, counts)[0] < rate_interval(b, counts)[1]


def test_more_seeds_narrow_the_interval_and_one_seed_is_the_image_interval() -> None:
    rng = np.random.default_rng(8)
    chance = rng.beta(4, 2, 200)
    runs = [tally(rng, np.clip(chance + shift, 0, 1)) for shift in (-0.03, 0.0, 0.03) * 4]
    assert pooled_interval(runs[:1]) == rate_interval(*runs[0])
    assert np.ptp(pooled_interval(runs)) < np.ptp(pooled_interval(runs[:3]))


def test_mean_interval_is_student_t() -> None:
    values = [61.0, 64.0, 62.5, 66.0]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((expected.low, expected.high))
    with pytest.raises(ValueError, match="at least two"):
        mean_interval([1.0])


# What a run is in the simulations: images have a difficulty, seeds a common shift, and each pair its own luck.
@pytest.mark.parametrize(("seed_sd", "seeds"), [(0.0, 3), (0.02, 3), (0.06, 3), (0.02, 1)])
def test_pooled_interval_covers_the_truth(seed_sd: float, seeds: int) -> None:
    """Nominal 95 %. An interval from one seed does not cover the truth over seeds, and its docstring says so."""
    rng, covered, trials = np.random.default_rng(int(1000 * seed_sd) + seeds), 0, 250
    truth = 100 * 0.6
    for _ in range(trials):
        chance = 0.3 + 0.6 * rng.beta(2, 2, 80)
        runs = [tally(rng, np.clip(chance + rng.normal(0, seed_sd), 0, 1)) for _ in range(seeds)]
        low, high = pooled_interval(runs, replicates=150)
        covered += low <= truth <= high
    if seeds > 1:
        assert 0.93 <= covered / trials < 1
    else:
        assert covered / trials < 0.93


@pytest.mark.parametrize("seed_sd", [0.0, 0.01, 0.04])
def test_paired_difference_covers_the_truth(seed_sd: float) -> None:
    rng, covered, trials = np.random.default_rng(int(1000 * seed_sd)), 0, 250
    for _ in range(trials):
        chance = 0.2 + 0.6 * rng.beta(2, 2, 80)
        arms = [
            [tally(rng, np.clip(chance + gain + rng.normal(0, seed_sd), 0, 1)) for _ in range(3)] for gain in (0.05, 0)
        ]
        found = paired_difference(*arms, replicates=150)
        covered += found.low <= 5.0 <= found.high
    assert 0.93 <= covered / trials < 1
