"""Made-up readings of a text by lenses, and lenses trained."""

from typing import Any

import numpy as np

from engine.instruments.lens.request import ReadText
from engine.instruments.lens.result import TrainLensesResult
from engine.lenses.base import LENSES
from engine.lenses.shapes import INTEGERS, TOP, shapes_of_reading
from engine.runs.kinds import request_from_json
from engine.runs.store import RunStore
from tests.made_up import made_up, write

LAYERS, TEXTS = 4, 6
CROSS_ENTROPY, ENTROPY = 1.2, 0.9  # of the model
TOKENS = ["<s>", "The", " capital", " of", " South", " Korea", " is"]
TEXT = "The capital of South Korea is"
WORDS = [" Seoul", " Tokyo", " the", " a", " in", " of", " is", " and", " to", " on", " at"]
MODEL = {"model": "fake-4l", "weights_hash": "0" * 64}


def write_training(store: RunStore, faithful: bool = True, **about: Any) -> str:
    """Write trained lenses without parameters and return the run's id.

    Args:
        about: fields of the request that differ; those of other kinds make another run, too.
    """
    request = request_from_json(
        {"kind": "train-lenses", "lens_training": {"middle": False}, **MODEL, **about}
    )
    rng, places = np.random.default_rng(0), [str(layer) for layer in range(LAYERS)]
    lenses = {}
    for i, name in enumerate(LENSES):
        kl = [(2 - 0.3 * i) * (LAYERS - layer) / LAYERS for layer in range(LAYERS)]
        lenses[name] = {
            "parameters": 1000 * i,
            "kl": [_estimate(value) for value in kl],
            "cross_entropy": [_estimate(CROSS_ENTROPY + value) for value in kl],
            "entropy": [_estimate(ENTROPY - value / 4) for value in kl],
        }
    kinds = [(kind, of, 8) for kind in ("projection", "steering") for of in ("random", "aligned")]
    rows = [
        {
            "lens": lens,
            "place": place,
            "directions": directions,
            "intervention": kind,
            "magnitude": _estimate(0.8),
            "direction": _estimate(0.6),
            "n_directions": n,
            "n_texts": TEXTS,
        }
        for lens in ("tuned", "oca")
        for place in places
        for kind, directions, n in [*kinds, ("resample", "aligned", 5), ("resample", "aligned", 20)]
    ]
    result = {
        "texts": "sampled from the model",
        "n_training": 10,
        "n_validation": 5,
        "n_texts": TEXTS,
        "length": 16,
        "positions": {"training": 100, "validation": 50, "held_out": 60},
        "places": places,
        "lenses": lenses,
        "model": {"cross_entropy": _estimate(CROSS_ENTROPY), "entropy": _estimate(ENTROPY)},
        "faithfulness": rows if faithful else [],
    }
    tensors = {f"kl.{name}": rng.uniform(0, 1, (TEXTS, LAYERS)).astype(np.float32) for name in LENSES}
    # `write` cannot be given a field called "model".
    return store.write(request, {"schema": 1} | made_up(TrainLensesResult) | result, tensors)


def write_reading(
    store: RunStore,
    text: str = TEXT,
    words: tuple[str, ...] = (),
    trained: str | None = None,
    model: str = "fake-4l",
    spoilt: tuple[str, float] | None = None,
    **lens: Any,
) -> str:
    """Write a reading of a text of seven tokens and return the run's id.

    Args:
        spoilt: an array, and what it says of the first token at the first layer.
    """
    reading = {"text": text, "words": list(words), "trained": trained, **lens}
    request = ReadText.model_validate(MODEL | {"model": model, "lens": reading})
    names = request.lens.lenses
    rng, rows = np.random.default_rng(len(text)), LAYERS + 1
    tensors = {}
    for name, shape in shapes_of_reading(names, rows, len(TOKENS), len(words)).items():
        whole = name.startswith(INTEGERS)
        tensors[name] = (
            rng.integers(0, len(WORDS), shape).astype(np.int32)
            if whole
            else rng.uniform(0, 1, shape).astype(np.float32)
        )
        if name.startswith("top_p."):
            tensors[name] = -np.sort(-tensors[name] / TOP, axis=-1)
        if name.startswith("rank."):
            tensors[name] += 1
        if name.startswith("cross_entropy."):
            tensors[name][:, -1] = np.nan
        if name.startswith("next_rank."):
            tensors[name] += 1
            tensors[name][:, -1] = 0
    if spoilt is not None:
        tensors[spoilt[0]][..., 0, 0] = spoilt[1]
    result = {
        "text": text,
        "tokens": TOKENS,
        "places": [*(str(layer) for layer in range(LAYERS)), "output"],
        "lenses": names,
        "raced": list(words),
        "words": {str(i): word for i, word in enumerate(WORDS)},
        "trained": trained,
    }
    return write(store, request, tensors, **result)


def _estimate(mean: float) -> dict[str, Any]:
    return {"mean": mean, "ci95": [0.9 * mean, 1.1 * mean], "n": TEXTS}
