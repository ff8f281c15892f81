"""Rank correlations and ratios, against definitions written the slow way."""

import numpy as np
import pytest
from scipy import stats

from engine.instruments.importance.comparison import LEAST, RESAMPLES, agreement, gaps, ratios


def of(kl):
    """Gaps of per-prompt values [n, n_prompts]."""
    kl = np.asarray(kl, dtype=np.float32)
    return gaps(kl.astype(np.float64).mean(1), kl)


@pytest.fixture
def two():
    """Per-prompt KL of 30 components under two ablations that agree in part, on 40 prompts."""
    rng = np.random.default_rng(3)
    size = np.exp(rng.normal(-4, 2, (30, 1)))
    prompts = np.exp(rng.normal(0, 0.5, (30, 40)))
    return of(size * prompts), of(size * np.exp(rng.normal(-1, 1, (30, 1))) * prompts[::-1])


def test_correlations_are_those_of_scipy(two):
    first, second = two
    found = agreement(first, second)
    assert found.spearman == pytest.approx(stats.spearmanr(first.mean, second.mean)[0])
    assert found.pearson == pytest.approx(stats.pearsonr(np.log(first.mean), np.log(second.mean))[0])
    assert (found.n, found.n_log) == (30, 30)


def test_ties_share_their_rank():
    first, second = of([[1], [1], [2], [3.0]]), of([[1], [2], [2], [4.0]])
    assert agreement(first, second).spearman == pytest.approx(stats.spearmanr(first.mean, second.mean)[0])


def test_intervals_hold_the_value_and_are_of_paired_prompts(two):
    found = agreement(*two)
    assert found.spearman is not None
    assert found.pearson is not None
    for value, interval in ((found.spearman, found.spearman_ci), (found.pearson, found.pearson_ci)):
        assert interval is not None
        low, high = interval
        assert low < value < high
        assert high - low < 0.5
    # The same measurements twice agree on every draw of prompts, and are everywhere equal.
    same, ratio = agreement(two[0], two[0]), ratios(two[0], two[0])
    assert same.spearman_ci == pytest.approx((1, 1))
    assert ratio.median_ci == pytest.approx((1, 1))
    assert ratio.share_ci == (1, 1)


def test_resamples_are_means_of_prompts_drawn_with_replacement(two):
    first = two[0]
    assert first.resampled.shape == (RESAMPLES, 30)
    assert first.resampled.mean(0) == pytest.approx(first.mean, rel=0.05)


def test_the_interval_is_a_bootstrap_over_prompts(two):
    kl = np.exp(np.random.default_rng(1).normal(size=(1, 40)))
    drawn = of(kl).resampled
    assert drawn is not None
    spread = kl.std() / np.sqrt(40)
    assert drawn.std() == pytest.approx(spread, rel=0.1)


def test_one_prompt_has_no_interval():
    first, second = of([[1.0], [2.0], [3.0]]), of([[2.0], [3.0], [5.0]])
    found = agreement(first, second)
    assert found.spearman == pytest.approx(1)
    assert found.spearman_ci is None
    assert ratios(first, second).median_ci is None


def test_ratios_with_median_quartiles_and_share():
    first, second = gaps(np.array([1.0, 2.0, 3.0, 8.0])), gaps(np.array([4.0, 4.0, 4.0, 4.0]))
    found = ratios(first, second)
    assert found.values.tolist() == [0.25, 0.5, 0.75, 2.0]
    assert found.median == 0.625
    assert found.quartiles == pytest.approx((0.4375, 1.0625))
    assert (found.share, found.n) == (0.75, 4)


def test_what_is_rounding_has_no_ratio_and_no_logarithm():
    first = gaps(np.array([1.0, 2.0, 3.0, LEAST / 2, 5.0]))
    second = gaps(np.array([2.0, 4.0, 9.0, 8.0, -LEAST]))
    found = ratios(first, second)
    assert np.isnan(found.values[4])
    assert found.n == 4
    both = agreement(first, second)
    assert (both.n, both.n_log) == (5, 3)
    assert both.pearson == pytest.approx(stats.pearsonr(np.log(first.mean[:3]), np.log(second.mean[:3]))[0])


def test_components_that_one_lacks_are_left_out():
    first, second = gaps(np.array([1.0, np.nan, 3.0, 4.0])), gaps(np.array([2.0, 1.0, 6.0, 8.0]))
    assert agreement(first, second).n == 3
    assert ratios(first, second).n == 3
    assert ratios(second, first).n == 3


def test_nothing_is_said_where_nothing_can_be():
    few = gaps(np.array([1.0, 2.0]))
    assert agreement(few, few).spearman is None
    none = gaps(np.zeros(5))
    assert agreement(none, none).spearman is None
    assert agreement(none, none).pearson is None
    found = ratios(none, none)
    assert (found.n, found.median, found.share) == (0, None, None)
