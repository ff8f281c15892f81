"""Summaries of traces for results: of one prompt, or averages over a task's prompts by class of token."""

from typing import Any

import numpy as np

from engine.arrays import Numbers
from engine.metrics import estimate
from engine.models import Model
from engine.tracing.cells import METRICS
from engine.tracing.effects import average_effects, concentration, recovered_shares
from engine.tracing.names import CLASSES
from engine.tracing.prompts import Traced
from engine.tracing.traces import Traces

Parts = tuple[dict[str, Any], dict[str, Numbers]]  # of result.json, and arrays


def of_prompt(model: Model, traces: Traces, seed: int) -> Parts:
    """Return the result of one prompt; the intervals of its corrupted values are over draws."""
    ends = {"clean": _estimates(traces.clean[None], seed), "corrupted": _estimates(traces.corrupted, seed)}
    result: dict[str, Any] = {"traced": [_said(model, traces.prompt)], **ends, "classes": {}}
    arrays = {"effects": traces.effects, "restored": traces.restored}
    return result, {name: array.astype(np.float32) for name, array in arrays.items()}


def of_task(model: Model, traces: list[Traces], seed: int) -> Parts:
    """Return the result of many prompts."""
    clean = np.stack([of_one.clean for of_one in traces])
    corrupted = np.stack([of_one.corrupted.mean(0) for of_one in traces])
    # [n, classes, C, 3]
    restored = np.stack([_by_class(of_one.prompt, of_one.restored) for of_one in traces])
    effects = np.stack([_by_class(of_one.prompt, of_one.effects) for of_one in traces])
    result: dict[str, Any] = {
        "traced": [_said(model, of_one.prompt) for of_one in traces],
        "classes": class_summaries(clean, corrupted, restored, effects, seed),
        "clean": _estimates(clean, seed),
        "corrupted": _estimates(corrupted, seed),
    }
    arrays = {"effects": effects, "clean": clean, "corrupted": corrupted}
    return result, {name: array.astype(np.float32) for name, array in arrays.items()}


def class_summaries(
    clean: Numbers, corrupted: Numbers, restored: Numbers, effects: Numbers, seed: int
) -> dict[str, Any]:
    """Return the summaries of every class of token.

    Args:
        clean, corrupted: [n_prompts, 3].
        restored, effects: [n_prompts, classes, C, 3]; nan where a prompt has no such token.
        seed: seed of the bootstrap.
    """
    lost = np.clip(clean[:, None, None, 0] - restored[..., 0], 0, None)
    bare = np.clip(clean[:, 0] - corrupted[:, 0], 0, None)
    return {
        name: {
            "effects": {
                metric: average_effects(effects[:, i, :, j], seed) for j, metric in enumerate(METRICS)
            },
            "share": recovered_shares(lost[:, i], bare),
            # The shape of the shares: what they are divided by is the same for all layers.
            "concentration": concentration(bare[:, None] - lost[:, i], seed),
        }
        for i, name in enumerate(CLASSES)
    }


def _by_class(prompt: Traced, values: Numbers) -> Numbers:
    """Return means over versions and over the tokens of each class, [classes, C, 3], of values
    [S, C, versions, 3]; nan where there is no such token."""
    by_token = values.mean(2)
    classes = [prompt.token_class(position) for position in range(len(values))]
    means = np.full((len(CLASSES), *by_token.shape[1:]), np.nan)
    for i in {token_class for token_class in classes if token_class is not None}:
        means[i] = by_token[[token_class == i for token_class in classes]].mean(0)
    return means


def _estimates(values: Numbers, seed: int) -> dict[str, Any]:
    return {metric: estimate(values[:, i].astype(float), seed) for i, metric in enumerate(METRICS)}


def _said(model: Model, prompt: Traced) -> dict[str, Any]:
    """Return the description of a traced prompt for the result."""
    classes = [prompt.token_class(position) for position in range(len(prompt.tokens))]
    return {
        "text": prompt.text,
        "tokens": model.token_strings(prompt.tokens),
        "subject": list(prompt.subject),
        "classes": [None if token_class is None else CLASSES[token_class] for token_class in classes],
        "answer": model.text_of(prompt.answer),
        "wrong_answer": model.text_of([prompt.wrong]),
        "relation": prompt.relation,
    }
