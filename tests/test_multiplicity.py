"""Many tests at once: Holm's correction, families, ranks, and the spread of seeds that settings share."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hpe_bench.metrics import bootstrap
from hpe_bench.metrics.bootstrap import (
    Difference,
    Resampled,
    logit_interval,
    mean_p_value,
    next_value_interval,
    paired_difference,
    pooled_interval,
)
from hpe_bench.metrics.multiplicity import holm, holm_of_families, rank_ranges, told_apart
from hpe_bench.metrics.seed_variance import SETTINGS, SeedVariance, Spread, bartlett, fit
from hpe_bench.plan import FEWEST_SEEDS, MOST_SEEDS, another_seed
from hpe_bench.report.kit.ranking import rank_text

# ---------------------------------------------------------------------------------------------------- Holm


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.2, float("nan")])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms())
def test_holm_keeps_order_and_never_helps(p_values: list[float], random: object) -> None:
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    assert min(adjusted) == pytest.approx(min(1.0, min(p_values) * len(p_values)))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_a_family_is_one_test_and_needs_all_its_p_values() -> None:
    alone = holm_of_families({"a": [0.02], "b": [0.03]})
    assert alone == pytest.approx({"a": 0.04, "b": 0.04})
    decoders = holm_of_families({"a": [0.001, 0.02], "b": [0.03]})
    assert decoders == pytest.approx(alone)


def pairs(p_values: dict[tuple[int, int], tuple[float, float]]) -> dict[tuple[int, int], Difference]:
    return {pair: Difference(value, value - 1, value + 1, p) for pair, (value, p) in p_values.items()}


@pytest.mark.parametrize(
    ("found", "ranks"),
    [
        ({(0, 1): (9, 0.001), (0, 2): (18, 0.001), (1, 2): (9, 0.001)}, ["1", "2", "3"]),
        ({(0, 1): (1, 0.8), (0, 2): (18, 0.001), (1, 2): (17, 0.001)}, ["1–2", "1–2", "3"]),
        ({(0, 1): (-5, 0.3), (0, 2): (4, 0.3), (1, 2): (9, 0.001)}, ["1–3", "1–2", "2–3"]),
        ({(0, 1): (5, 0.03), (0, 2): (5, 0.03), (1, 2): (0, 1.0)}, ["1–3", "1–3", "1–3"]),  # alone, not together
    ],
)
def test_ranks_are_ranges_where_tests_do_not_tell_apart(
    found: dict[tuple[int, int], tuple[float, float]], ranks: list[str]
) -> None:
    assert [rank_text(r) for r in rank_ranges(3, told_apart(pairs(found)))] == ranks


# ---------------------------------------------------------------------------------------------------- seeds


def drawn(seed: int, sds: np.ndarray, seeds: int = 3) -> list[list[float]]:
    rng = np.random.default_rng(seed)
    return [list(50 + rng.normal(0, sd, seeds)) for sd in sds]


def test_bartlett_is_scipys() -> None:
    values = drawn(1, np.array([0.4, 0.7, 1.5, 0.6, 0.9, 0.5]), 4)
    ours = bartlett(np.array([np.var(v, ddof=1) for v in values]), np.full(6, 3.0))
    assert ours == pytest.approx(stats.bartlett(*values).pvalue)


def test_settings_that_are_alike_share_one_variance_with_all_degrees_of_freedom() -> None:
    values = [[49.0, 50.0, 51.0], [59.1, 60.0, 60.9], [69.0, 70.0, 71.0], [39.0, 40.0, 41.0], [29.1, 30.0, 30.9]]
    found = fit(values)
    assert found is not None
    assert (found.alike, found.freedom, found.settings) == (np.inf, 10, 5)
    assert found.common == pytest.approx((3 * 1.0 + 2 * 0.81) / 5)
    assert found.of(values[0]) == Spread(found.common, 10)
    assert found.of([50.0]) == Spread(found.common, 10)
    assert found.homogeneity_p > 0.9


def test_the_scatter_of_true_variances_is_recovered() -> None:
    rng = np.random.default_rng(3)
    found = fit(drawn(4, 0.7 * np.sqrt(10 / rng.chisquare(10, 4000))))
    assert found is not None
    assert found.alike == pytest.approx(10, rel=0.15)
    assert found.common == pytest.approx(0.49, rel=0.05)
    assert found.homogeneity_p < 1e-6


def test_a_variance_is_drawn_to_the_common_one_unless_it_is_too_large_for_it() -> None:
    known = SeedVariance(common=0.5, alike=8.0, freedom=50.0, settings=25, homogeneity_p=0.2)
    quiet, wild = [50.0, 50.2, 50.4], [44.0, 50.0, 56.0]
    assert known.of(quiet) == Spread(pytest.approx((8 * 0.5 + 2 * 0.04) / 10), 10.0)
    assert known.of(wild) == Spread(36.0, 2)


def test_few_settings_know_too_little_and_ties_do_not_break_it() -> None:
    assert fit(drawn(0, np.full(SETTINGS - 1, 0.7))) is None
    assert fit([[50.0]] * 10) is None
    assert fit([[50.0, 50.0]] * 10) is None
    assert fit([*drawn(0, np.full(6, 0.7)), [50.0, 50.0, 50.0]]) is not None


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 10))
def test_variances_scale_with_the_figures(seed: int, factor: float) -> None:
    values = drawn(seed, np.random.default_rng(seed).uniform(0.3, 2, 12))
    one, other = fit(values), fit([[7 + factor * v for v in own] for own in values])
    assert one is not None
    assert other is not None
    assert other.common == pytest.approx(factor**2 * one.common, rel=1e-6)
    assert other.homogeneity_p == pytest.approx(one.homogeneity_p, rel=1e-6)


# ---------------------------------------------------------------------------------------------------- intervals

EVEN = (np.full(40, 7), np.full(40, 14))  # every image alike: images add no variance
LOWER = (np.full(40, 6), np.full(40, 14))


def test_known_spreads_by_hand() -> None:
    """Without a part of images: t(f) * sqrt(variance / S), and for two arms the sum of both."""
    low, high = pooled_interval([EVEN] * 3, 50, spread=Spread(0.6, 20.0))
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 20) * np.sqrt(0.6 / 3))
    found = paired_difference([EVEN] * 3, [LOWER] * 5, 50, spreads=(Spread(0.6, 20.0), Spread(0.9, 20.0)))
    terms = 0.6 / 3, 0.9 / 5
    assert found.value == pytest.approx(100 / 14)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 20) * np.sqrt(sum(terms)))
    wild = paired_difference([EVEN] * 3, [LOWER] * 3, 50, spreads=(Spread(36.0, 2.0), Spread(0.5, 50.0)))
    freedom = (12 + 0.5 / 3) ** 2 / (12**2 / 2 + (0.5 / 3) ** 2 / 50)
    assert wild.high - wild.value == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(12 + 0.5 / 3))


def test_one_training_with_a_known_spread_is_wider_than_its_images_alone() -> None:
    rng = np.random.default_rng(0)
    tally = (rng.binomial(14, rng.beta(4, 2, 200)), np.full(200, 14))
    assert np.ptp(pooled_interval([tally], 200, spread=Spread(1.0, 30.0))) > np.ptp(pooled_interval([tally], 200))


def test_all_differences_of_a_table_are_those_of_its_pairs() -> None:
    rng = np.random.default_rng(5)
    image_I = rng.uniform(0.3, 0.7, 60)
    models = [[(rng.binomial(14, image_I + 0.1 * k), np.full(60, 14)) for _ in range(3)] for k in range(3)]
    spreads = [Spread(0.5, 30.0), Spread(0.5, 30.0), None]
    table = Resampled.of(models, 100).every_difference(spreads)
    assert table[0, 1] == paired_difference(models[0], models[1], 100, spreads=(spreads[0], spreads[1]))  # type: ignore[arg-type]
    assert table[1, 2] == paired_difference(models[1], models[2], 100)


def test_many_trainings_as_sums_say_what_each_one_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals and differences of crowds, chunk by chunk, against the covariances of all of their figures; some draws
    of these images count nothing.
    """
    rng = np.random.default_rng(6)
    counts = np.where(np.arange(6) < 2, 14, 0)
    sizes = (3, 60, 60, 75)
    models = [[(rng.binomial(counts, 0.4 + 0.1 * k), counts) for _ in range(s)] for k, s in enumerate(sizes)]
    spreads = [Spread(0.5 + k, 30.0) for k in range(4)]
    each = Resampled(
        tuple(np.array([100 * h.sum() / c.sum() for h, c in m]) for m in models),
        tuple(bootstrap._resampled_rates(m, 200, 0) for m in models),
        6,
    )
    assert any(np.isnan(drawn).any() for drawn in each.drawn)  # type: ignore[arg-type]
    monkeypatch.setattr(bootstrap, "TALLIES_AT_A_TIME", 7)
    table = Resampled.of(models, 200)
    assert [isinstance(drawn, bootstrap.Crowd) for drawn in table.drawn] == [False, True, True, True]
    for i in range(4):
        assert table.interval(i, spreads[i]) == pytest.approx(each.interval(i, spreads[i]))
        for j in range(i):
            wanted = each.difference(i, j, (spreads[i], spreads[j]))
            assert table.difference(i, j, (spreads[i], spreads[j])) == approx(wanted)
    assert table.difference(1, 2) == approx(each.difference(1, 2))
    with pytest.raises(ValueError, match="60 seeds against 75"):
        table.difference(1, 3)


def approx(found: Difference) -> Difference:
    return Difference(*(pytest.approx(value, rel=1e-9, abs=1e-9) for value in astuple(found)))


def test_an_interval_on_the_logit_scale_stays_inside_and_is_the_plain_one_in_the_middle() -> None:
    assert logit_interval(50.0, 0.5) == pytest.approx((49.5, 50.5), abs=1e-3)
    low, high = logit_interval(99.0, 0.9)
    assert 97 < low < 99 < high < 100
    assert 99 - low > high - 99
    assert logit_interval(100.0, 0.0) == (100.0, 100.0)
    assert logit_interval(0.0, 1.0) == (0.0, 1.0)


def test_one_more_training_by_hand() -> None:
    values = [61.0, 64.0, 62.5, 66.0]
    half = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) * np.sqrt(1 + 1 / 4)
    assert next_value_interval(values) == pytest.approx((np.mean(values) - half, np.mean(values) + half))
    assert np.ptp(next_value_interval(values[:1], Spread(1.0, 40.0))) == pytest.approx(
        2 * stats.t.ppf(0.975, 40) * np.sqrt(2)
    )
    with pytest.raises(ValueError, match="at least two"):
        next_value_interval([61.0])


def test_p_value_of_a_mean_is_students() -> None:
    values = [0.4, -0.2, 0.9, 0.3]
    assert mean_p_value(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert mean_p_value([0.0, 0.0]) == 1.0
    with pytest.raises(ValueError, match="at least two"):
        mean_p_value([1.0])


# ---------------------------------------------------------------------------------------------------- until


def test_a_study_ends_when_all_its_intervals_are_narrow_and_not_before_three_seeds() -> None:
    assert another_seed([0.1], 1.0, FEWEST_SEEDS - 1)
    assert not another_seed([0.9, 1.0], 1.0, FEWEST_SEEDS)
    assert another_seed([0.9, 1.01], 1.0, FEWEST_SEEDS)
    assert another_seed([0.9, None], 1.0, FEWEST_SEEDS)
    assert not another_seed([5.0], 1.0, MOST_SEEDS)
    assert not another_seed([5.0], 1.0, 4, most=4)
