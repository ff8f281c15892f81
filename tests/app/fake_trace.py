"""Made-up traces of one prompt and of a task, under both corruptions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.instruments.trace.request import Trace
from engine.instruments.trace.summaries import class_summaries
from engine.runs.store import RunStore
from engine.tracing.cells import METRICS
from engine.tracing.names import CLASSES
from engine.tracing.prompts import Traced
from tests.made_up import write

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
    request = Trace.model_validate(
        {
            "model": "fake-4l",
            "ablation": corruption,
            "ablation_settings": SETTINGS.get(corruption, {}) | (settings or {}),
            "trace": {"state": state} | (PROMPT if own else {}) | trace,
        }
    )
    rng = np.random.default_rng(sum(map(ord, corruption + state)) + seed)
    columns = layers * HEADS if state == "head" else layers
    about = {"n_heads": HEADS, "clean": _ends(0.9), "corrupted": _ends(corrupted)}
    if own:
        effects = np.zeros((len(tokens), columns, 3, len(METRICS)), dtype=np.float32)
        effects[SUBJECT[0] :] = rng.uniform(-0.05, 0.8, effects[SUBJECT[0] :].shape)
        arrays = {"effects": effects, "restored": np.float32(corrupted) + effects}
        return write(store, request, arrays, traced=[_traced(tokens=tokens)], classes={}, n_drawn=1, **about)
    effects = rng.uniform(-0.05, 0.8, (PROMPTS, len(CLASSES), columns, len(METRICS))).astype(np.float32)
    effects[PROMPTS // 2 :, 1] = np.nan  # half of the subjects have no token in the middle
    ends = {
        name: np.full((PROMPTS, len(METRICS)), value, dtype=np.float32)
        for name, value in (("clean", 0.9), ("corrupted", corrupted))
    }
    classes = class_summaries(ends["clean"], ends["corrupted"], corrupted + effects, effects, 0)
    traced = [_traced(f"{PROMPT['prompt']} ({i})") for i in asked]
    arrays = {"effects": effects} | ends
    return write(store, request, arrays, traced=traced, classes=classes, n_drawn=20, **about)


def _ends(value: float) -> dict[str, Any]:
    return {metric: {"mean": value, "ci95": [value - 0.1, value + 0.1], "n": 10} for metric in METRICS}


def _traced(text: str = PROMPT["prompt"], tokens: Sequence[str] = TOKENS) -> dict[str, Any]:
    prompt = Traced(text, list(range(len(tokens))), SUBJECT, [1], 2)
    classes = [prompt.token_class(i) for i in range(len(tokens))]
    return {
        "text": prompt.text,
        "tokens": list(tokens),
        "subject": list(SUBJECT),
        "classes": [None if place is None else CLASSES[place] for place in classes],
        "answer": " Seoul",
        "wrong_answer": " Tokyo",
        "relation": "capital",
    }
