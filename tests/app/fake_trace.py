"""Made-up traces of one prompt and of a task, under both corruptions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.runs.request import Request
from engine.runs.store import RunStore
from engine.tracing.cells import METRICS
from engine.tracing.effects import average_effects, concentration, recovered_shares
from engine.tracing.prompts import CLASSES, Traced

LAYERS, HEADS, PROMPTS = 4, 2, 12
TOKENS = ["<s>", "The", " capital", " of", " South", " Korea", " is"]
SUBJECT = (4, 6)
PROMPT = {"prompt": "The capital of South Korea is", "subject": "South Korea"}
SETTINGS: dict[str, dict[str, Any]] = {
    "gaussian": {"noise": 3.0, "draws": 10},
    "optimal": {"steps": 200, "rate": 0.1, "batch_size": 16, "prompts": 1000},
}


def write_trace(
    store: RunStore,
    corruption: str = "gaussian",
    state: str = "residual",
    own: bool = True,
    settings: dict[str, Any] | None = None,
    asked: Sequence[int] = range(PROMPTS),
    tokens: Sequence[str] = TOKENS,
    layers: int = LAYERS,
    corrupted: float = 0.1,
    seed: int = 0,
    **trace: Any,
) -> str:
    """Write a made-up trace of the prompt, or of a task, and return its id.

    Args:
        asked: which prompts of the task; each has a text of its own.
        tokens: of the prompt.
        layers: of the model.
        corrupted: what the answer is worth with nothing restored; 0.9 clean.
        seed: of the effects.
    """
    request = Request.model_validate(
        {
            "kind": "trace",
            "model": "fake-4l",
            "task": "facts",
            "ablation": corruption,
            "ablation_settings": SETTINGS.get(corruption, {}) | (settings or {}),
            "trace": {"state": state} | (PROMPT if own else {}) | trace,
        }
    )
    rng = np.random.default_rng(sum(map(ord, corruption + state)) + seed)
    columns = layers * HEADS if state == "head" else layers
    about = {
        "schema": 1,
        "created": "2026-01-01T00:00:00+00:00",
        "n_heads": HEADS,
        "history": {},
        "notes": [],
        "versions": {"torch": "0"},
        "device": "cpu",
        "dtype": "float32",
        "timings": {"seconds": 1.0, "discovery_seconds": 1.0, "evaluation_seconds": 0.0},
    }
    if own:
        effects = np.zeros((len(tokens), columns, 3, len(METRICS)), dtype=np.float32)
        effects[SUBJECT[0] :] = rng.uniform(-0.05, 0.8, effects[SUBJECT[0] :].shape)
        one = about | {"traced": [_traced(tokens=tokens)], "classes": {}, "n_drawn": 1}
        return store.write(
            request,
            one | {"clean": _ends(0.9), "corrupted": _ends(corrupted)},
            {"effects": effects, "restored": np.float32(corrupted) + effects},
        )
    effects = rng.uniform(-0.05, 0.8, (PROMPTS, len(CLASSES), columns, len(METRICS))).astype(np.float32)
    effects[PROMPTS // 2 :, 1] = np.nan  # half of the subjects have no token in the middle
    ends = {
        name: np.full((PROMPTS, len(METRICS)), value, dtype=np.float32)
        for name, value in (("clean", 0.9), ("corrupted", corrupted))
    }
    classes, bare = {}, 0.9 - corrupted
    for i, name in enumerate(CLASSES):
        lost = np.clip(bare - effects[:, i, :, 0], 0, None)
        classes[name] = {
            "effects": {metric: average_effects(effects[:, i, :, j], 0) for j, metric in enumerate(METRICS)},
            "share": recovered_shares(lost, np.full(PROMPTS, bare)),
            "concentration": concentration(bare - lost, 0),
        }
    traced = [_traced(f"{PROMPT['prompt']} ({i})") for i in asked]
    whole = {"traced": traced, "clean": _ends(0.9), "corrupted": _ends(corrupted)}
    return store.write(
        request, about | whole | {"classes": classes, "n_drawn": 20}, {"effects": effects} | ends
    )


def _ends(value: float) -> dict[str, Any]:
    return {metric: {"mean": value, "ci95": [value - 0.1, value + 0.1], "n": 10} for metric in METRICS}


def _traced(text: str = PROMPT["prompt"], tokens: Sequence[str] = TOKENS) -> dict[str, Any]:
    prompt = Traced(text, list(range(len(tokens))), SUBJECT, [1], 2)
    classes = [prompt.token_class(i) for i in range(len(tokens))]
    return {
        "text": prompt.text,
        "tokens": list(tokens),
        "subject": list(SUBJECT),
        "classes": [None if one is None else CLASSES[one] for one in classes],
        "answer": " Seoul",
        "wrong_answer": " Tokyo",
        "relation": "capital",
    }
