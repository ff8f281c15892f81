"""Average effects, shares recovered with delta-method intervals, and concentration."""

import numpy as np
import pytest

from engine.tracing.effects import (
    average_effects,
    concentration,
    effective_number,
    peaks,
    recovered_shares,
)


def test_averages_leave_out_prompts_without_such_a_token() -> None:
    """A class that no prompt has is none."""
    effects = np.array([[0.1, 0.2], [np.nan, np.nan], [0.3, 0.6]])
    first, second = average_effects(effects, 0)
    assert first is not None
    assert second is not None
    assert (first["mean"], first["n"]) == (pytest.approx(0.2), 2)
    assert second["mean"] == pytest.approx(0.4)
    assert average_effects(np.full((3, 2), np.nan), 0) == [None, None]


def test_shares_are_ratios_of_means_with_delta_method_intervals() -> None:
    """The textbook formula of the variance of a ratio, and the coverage of a simulation."""
    rng = np.random.default_rng(0)
    lost = rng.uniform(0, 1, 50)
    left = lost * rng.uniform(0, 1, 50)
    (share,) = recovered_shares(left[:, None], lost)
    assert share is not None
    n, ratio = 50, left.mean() / lost.mean()
    variance = ratio**2 * (
        left.var(ddof=1) / left.mean() ** 2
        + lost.var(ddof=1) / lost.mean() ** 2
        - 2 * np.cov(left, lost)[0, 1] / (left.mean() * lost.mean())
    )
    half = 1.959964 * np.sqrt(variance / n)
    assert share["mean"] == pytest.approx(1 - ratio)
    assert share["ci95"] == pytest.approx([1 - ratio - half, 1 - ratio + half], abs=1e-6)


def test_shares_cover_the_truth_about_as_often_as_they_say() -> None:
    """400 samples of 60 prompts; the true share is one half."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(400):
        lost = rng.uniform(0, 1, 60)
        (share,) = recovered_shares((lost * rng.uniform(0, 1, 60))[:, None], lost)
        assert share is not None
        low, high = share["ci95"]
        covered += low < 0.5 < high
    assert 0.91 < covered / 400 < 0.98


@pytest.mark.parametrize("rows", [0, 1])
def test_shares_of_nothing_lost_or_of_one_prompt(rows: int) -> None:
    """No share where nothing is lost, no interval of one prompt."""
    if rows:
        assert recovered_shares(np.array([[0.1]]), np.array([0.4])) == [
            {"mean": pytest.approx(0.75), "ci95": [None, None], "n": 1}
        ]
    else:
        assert recovered_shares(np.zeros((3, 2)), np.zeros(3)) == [None, None]


def test_effective_number_counts_layers() -> None:
    """One layer, four equal ones, negative parts left out, nothing at all."""
    profiles = np.array([[0, 3, 0, 0], [1, 1, 1, 1], [2, 2, -9, 0], [0, -1, 0, 0]], dtype=float)
    assert effective_number(profiles)[:3] == pytest.approx([1, 4, 2])
    assert np.isnan(effective_number(profiles)[3])


def test_concentration_is_of_the_average_profile() -> None:
    """Two prompts with one layer each are two layers together; a prompt without the token is left out."""
    effects = np.array([[1.0, 0, 0], [0, 1.0, 0], [np.nan] * 3])
    number = concentration(effects, 0)
    assert number is not None
    assert (number["mean"], number["n"]) == (pytest.approx(2), 2)
    assert number["ci95"] == pytest.approx([1, 2])
    assert concentration(np.zeros((2, 3)), 0) is None


def test_peaks_are_the_largest_effects_that_are_large_enough() -> None:
    """-1 for a prompt of which no state alone brings enough back."""
    effects = np.array([[0.1, 0.5, 0.2], [0.3, 0.2, 0.1], [0.01, 0.02, 0.0]])
    assert peaks(effects, np.array([0.1, 0.1, 0.1])).tolist() == [1, 0, -1]
