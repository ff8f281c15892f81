"""Agreement of two ablations on the importance of components, and ratios of their loss gaps.

Δ(A, x) is the ablation loss gap of a component A under an ablation x, in nats (Li & Janson 2024,
2409.09951, section 2). Two ablations are compared over all components, as in the paper's scatter plots and
Table 1: by the rank correlation of Δ, the Pearson correlation of log Δ, and the ratios Δ_optimal / Δ_x.

The paper gives no intervals. Here they come from a bootstrap over prompts: every ablation is measured on the
same prompts, so all are resampled together. The intervals show the uncertainty from the choice of prompts.
The components are not resampled, since all of them are measured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy import stats  # pyright: ignore[reportMissingTypeStubs] - it has none

from engine.arrays import Flags, Numbers

LEAST = 1e-6  # nats: less is rounding, since KL is computed in float32
RESAMPLES = 1000
FEWEST = 3  # components that have a correlation

Interval = tuple[float, float] | None  # 95 %; None where prompts are not known one by one


@dataclass(frozen=True)
class Gaps:
    """Δ of every component under one ablation.

    Attributes:
        mean: means over prompts, [n], in nats; nan where a component was not measured.
        resampled: means over resampled prompts, [RESAMPLES, n]; None where per-prompt values are unknown.
    """

    mean: Numbers
    resampled: Numbers | None = None


@dataclass(frozen=True)
class Agreement:
    """The agreement of two ablations.

    Attributes:
        spearman, pearson: rank correlation of Δ, and correlation of log Δ; None where undefined.
        spearman_ci, pearson_ci: 95 % intervals over prompts.
        n: number of components measured under both, which are ranked.
        n_log: number of these with Δ above `LEAST` under both, whose logarithms are correlated.
    """

    spearman: float | None
    spearman_ci: Interval
    pearson: float | None
    pearson_ci: Interval
    n: int
    n_log: int


@dataclass(frozen=True)
class Ratios:
    """Δ_a / Δ_b of every component.

    Attributes:
        values: [n]; nan where Δ_b is not above `LEAST`, or one of the two was not measured.
        median, quartiles: over the components that have a ratio; None if none has.
        share: share of these components with Δ_a ≤ Δ_b.
        median_ci, share_ci: 95 % intervals over prompts.
        n: number of components that have a ratio.
    """

    values: Numbers
    median: float | None
    median_ci: Interval
    quartiles: tuple[float, float] | None
    share: float | None
    share_ci: Interval
    n: int


def gaps(mean: Numbers, kl: Numbers | None = None) -> Gaps:
    """Return the gaps of components with their bootstrap resamples.

    Args:
        mean: [n], in nats.
        kl: [n, n_prompts], of every component and prompt; the prompts must be the same for all ablations.
    """
    if kl is None or kl.shape[1] < 2:
        return Gaps(mean)
    n = kl.shape[1]
    # Always the same draws, so that two ablations are resampled as pairs.
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    return Gaps(mean, counts @ kl.astype(np.float64).T / n)


def agreement(first: Gaps, second: Gaps) -> Agreement:
    """Compare the components' Δ under two ablations, given in the same order."""
    defined = np.isfinite(first.mean) & np.isfinite(second.mean)
    logs = defined & (_least(first.mean) > LEAST) & (_least(second.mean) > LEAST)
    spearman, spearman_ci = _with_interval(_spearman, first, second, defined)
    pearson, pearson_ci = _with_interval(_pearson_of_logs, first, second, logs)
    return Agreement(spearman, spearman_ci, pearson, pearson_ci, int(defined.sum()), int(logs.sum()))


def ratios(first: Gaps, second: Gaps) -> Ratios:
    """Return Δ_first / Δ_second of every component, given in the same order."""
    has = np.isfinite(first.mean) & (_least(second.mean) > LEAST)
    values = np.full(len(first.mean), np.nan)
    values[has] = _ratio(first.mean[has], second.mean[has])
    if not has.any():
        return Ratios(values, None, None, None, None, None, 0)
    median, median_ci = _with_interval(_median_ratio, first, second, has, fewest=1)
    share, share_ci = _with_interval(_share, first, second, has, fewest=1)
    low, high = np.quantile(values[has], (0.25, 0.75))
    return Ratios(values, median, median_ci, (float(low), float(high)), share, share_ci, int(has.sum()))


def _with_interval(
    statistic: Callable[[Numbers, Numbers], Numbers],
    first: Gaps,
    second: Gaps,
    chosen: Flags,
    fewest: int = FEWEST,
) -> tuple[float | None, Interval]:
    """Return a statistic (arrays [rows, n] -> [rows]) over the chosen components with its interval."""
    if chosen.sum() < fewest:
        return None, None
    value = float(statistic(first.mean[None, chosen], second.mean[None, chosen])[0])
    if not np.isfinite(value):
        return None, None
    if first.resampled is None or second.resampled is None:
        return value, None
    drawn = statistic(first.resampled[:, chosen], second.resampled[:, chosen])
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return value, None
    low, high = np.quantile(drawn, (0.025, 0.975))
    return value, (float(low), float(high))


def _spearman(first: Numbers, second: Numbers) -> Numbers:
    rankdata = cast("Any", stats).rankdata
    return _pearson(rankdata(first, axis=1), rankdata(second, axis=1))


def _pearson_of_logs(first: Numbers, second: Numbers) -> Numbers:
    return _pearson(np.log(first.clip(LEAST)), np.log(second.clip(LEAST)))


def _pearson(first: Numbers, second: Numbers) -> Numbers:
    first, second = (x - x.mean(1, keepdims=True) for x in (first, second))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (first * second).sum(1) / np.sqrt((first**2).sum(1) * (second**2).sum(1))


def _ratio(first: Numbers, second: Numbers) -> Numbers:
    return first.clip(0) / second.clip(LEAST)


def _median_ratio(first: Numbers, second: Numbers) -> Numbers:
    return np.median(_ratio(first, second), axis=1)


def _share(first: Numbers, second: Numbers) -> Numbers:
    return (first <= second).mean(1)


def _least(mean: Numbers) -> Numbers:
    """Return the means, with 0 in place of nan."""
    return np.nan_to_num(mean, nan=0.0, posinf=0.0)
