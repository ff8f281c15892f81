"""Effects of a trace over many prompts: average indirect effects, intervals, and concentration.

The indirect effect of a state is the metric of the answer when this state alone is restored, less that on the
corrupted prompt (Meng et al. 2022, 2202.05262, section 2.1), here corrupted by the same noise or constant.
The share recovered is the part of the lost probability that is restored, each with the constant trained for
it,

    share  =  1 - E[max(0, p(x) - p_restored(x))] / E[max(0, p(x) - p_corrupted(x))] ,

a ratio of means over prompts, with an interval by the delta method (Li & Janson 2024, 2409.09951, section 4).
The concentration of a profile over layers is measured by its effective number of layers: exp of the entropy
of the positive part, which is 1 if one layer has all of it.
"""

import numpy as np

from engine.metrics import RESAMPLES, Summary, estimate

Z = 1.959963984540054  # of a 95 % interval


def average_effects(effects: np.ndarray, seed: int) -> list[Summary | None]:
    """Return the average indirect effect of every column with its bootstrap interval.

    Args:
        effects: [n_prompts, columns]; nan where a prompt has no such token.

    Returns:
        {"mean", "ci95", "n"} per column; None where no prompt has such a token.
    """
    defined = ~np.isnan(effects[:, 0])
    if not defined.any():
        return [None] * effects.shape[1]
    return [estimate(column[defined], seed) for column in effects.T]


def recovered_shares(lost: np.ndarray, lost_with_nothing: np.ndarray) -> list[Summary | None]:
    """Return the share of the lost probability that every column recovers, with delta-method intervals.

    Args:
        lost: [n_prompts, columns], probability still lost with the state restored, at least 0; nan where a
            prompt has no such token.
        lost_with_nothing: [n_prompts], with nothing restored.

    Returns:
        {"mean", "ci95", "n"} per column; None where no prompt has such a token or nothing is lost.
    """
    defined = ~np.isnan(lost[:, 0])
    n, d = int(defined.sum()), lost_with_nothing[defined].astype(float)
    if not n or d.mean() <= 0:
        return [None] * lost.shape[1]
    shares: list[Summary | None] = []
    for column in lost[defined].astype(float).T:
        ratio = column.mean() / d.mean()
        if n == 1:
            shares.append({"mean": 1 - ratio, "ci95": [None, None], "n": 1})
            continue
        # Var(N/D) = (Var N - 2 R Cov(N, D) + R² Var D) / (n D²): the residuals' variance, never negative.
        spread = (column - ratio * d).std(ddof=1) / (d.mean() * np.sqrt(n))
        ends = [1 - ratio - Z * spread, 1 - ratio + Z * spread]
        shares.append({"mean": float(1 - ratio), "ci95": [float(end) for end in ends], "n": n})
    return shares


def effective_number(profile: np.ndarray) -> np.ndarray:
    """Return exp of the entropy of the positive part of profiles [..., columns]; nan if there is none."""
    positive = np.clip(profile, 0, None)
    total = positive.sum(-1, keepdims=True)
    share = np.divide(positive, total, out=np.full_like(positive, np.nan), where=total > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.exp(-(share * logs).sum(-1))


def concentration(effects: np.ndarray, seed: int) -> Summary | None:
    """Return the effective number of layers of the average profile, with a bootstrap interval over prompts.

    Args:
        effects: [n_prompts, n_layers]; nan where a prompt has no such token.

    Returns:
        {"mean" (of the average profile), "ci95", "n"}; None where no prompt has such a token, or nothing is
        positive.
    """
    rows = effects[~np.isnan(effects[:, 0])]
    number = effective_number(rows.mean(0)) if len(rows) else np.nan
    if np.isnan(number):
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(rows), (RESAMPLES, len(rows)))
    numbers = effective_number(np.stack([rows[some].mean(0) for some in drawn]))
    low, high = np.nanquantile(numbers, [0.025, 0.975])
    ends = [float(low), float(high)] if len(rows) > 1 else [None, None]
    return {"mean": float(number), "ci95": ends, "n": len(rows)}


def peaks(effects: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return the column of every prompt's largest effect, [n_prompts]; -1 if this effect is below `least`.

    Args:
        effects: [n_prompts, columns], none of them nan.
        least: [n_prompts], the smallest effect that counts.
    """
    best = effects.argmax(1)
    return np.where(effects[np.arange(len(effects)), best] >= least, best, -1)
