"""Metrics of a circuit against the full model: per-prompt values, means, bootstrap intervals.

All are computed at the answer position, over the whole vocabulary: KL(full model ‖ circuit) in nats; the
logit difference and probability difference between answers and wrong answers; accuracy (the top prediction is
an answer); agreement (the top prediction is the full model's); and faithfulness, the task's metric m on a
scale from 0 (all ablated) to 1 (nothing ablated), (m(circuit) - m(ablated)) / (m(model) - m(ablated)).
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from scipy import stats  # pyright: ignore[reportMissingTypeStubs] - it has none
from torch import Tensor

from engine.arrays import Numbers

RESAMPLES = 1000
Values = dict[str, Numbers]  # metric name -> one value per prompt
Summary = dict[str, Any]  # {"mean": …, "ci95": [lo, hi], "n": …}, None where undefined


def per_prompt(
    logits: Tensor, model_logits: Tensor, answers: list[list[int]], wrong: list[list[int]]
) -> Values:
    """Return every metric but faithfulness for every prompt.

    Args:
        logits, model_logits: [B, V] of the circuit and of the full model at the answer position.
        answers, wrong: token ids of the answers and wrong answers of each prompt.
    """
    logits, model_logits = logits.float(), model_logits.float()
    p, top = logits.softmax(-1), logits.argmax(-1)
    pairs = list(zip(answers, wrong, strict=True))
    return {
        "kl": kl_divergence(logits, model_logits).cpu().double().numpy(),
        "logit_difference": np.array(
            [float(x[a].mean() - x[w].mean()) for x, (a, w) in zip(logits, pairs, strict=True)]
        ),
        "probability_difference": np.array(
            [float(x[a].sum() - x[w].sum()) for x, (a, w) in zip(p, pairs, strict=True)]
        ),
        "accuracy": np.array([float(int(t) in a) for t, a in zip(top, answers, strict=True)]),
        "agreement": (top == model_logits.argmax(-1)).cpu().double().numpy(),
    }


def kl_divergence(logits: Tensor, model_logits: Tensor) -> Tensor:
    """Return KL(full model ‖ circuit) in nats, [..., B], for logits [..., B, V] of the circuit."""
    log_p, full = logits.float().log_softmax(-1), model_logits.float().log_softmax(-1)
    return (full.exp() * (full - log_p)).sum(-1)


def join(parts: list[Values]) -> Values:
    """Concatenate the values of several batches."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def summarise(values: Values, metric: str, model: Values, ablated: Values, seed: int) -> dict[str, Summary]:
    """Return every metric's mean over prompts with its 95 % bootstrap interval, faithfulness included.

    Args:
        values: the circuit's per-prompt values.
        model, ablated: values of the full model and of the model with all edges ablated, on the same prompts.
        metric: the task's metric, on which faithfulness is based.
        seed: seed of the bootstrap.
    """
    summary = {name: estimate(value, seed) for name, value in values.items()}
    summary["faithfulness"] = _interval((values[metric], model[metric], ablated[metric]), _faithfulness, seed)
    return summary


def estimate(values: Numbers, seed: int) -> Summary:
    """Return the mean of per-prompt values [n] with its 95 % bootstrap interval."""
    return _interval((values,), _mean, seed)


def _mean(values: Numbers, axis: int = -1) -> Numbers:
    return values.mean(axis)


def _faithfulness(circuit: Numbers, model: Numbers, ablated: Numbers, axis: int = -1) -> Numbers:
    span = model.mean(axis) - ablated.mean(axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (circuit.mean(axis) - ablated.mean(axis)) / span


def _interval(samples: tuple[Numbers, ...], statistic: Callable[..., Numbers], seed: int) -> Summary:
    """Return mean, 95 % percentile bootstrap interval over prompts, and the number of prompts.

    Undefined numbers (the interval of one prompt, faithfulness if ablation changes nothing) are None.
    """
    mean, n = _defined(statistic(*samples)), len(samples[0])
    if n == 1 or mean is None:
        return {"mean": mean, "ci95": [None, None], "n": n}
    bootstrap = cast("Any", stats).bootstrap
    interval = bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return {"mean": mean, "ci95": [_defined(interval.low), _defined(interval.high)], "n": n}


def _defined(value: Numbers | float) -> float | None:
    return float(value) if np.isfinite(value) else None
