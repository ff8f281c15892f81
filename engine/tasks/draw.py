"""Helpers of generated tasks: word lists, stable splits, and drawing of distinct pairs of equal length."""

import hashlib
import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from engine.errors import RequestError
from engine.tasks.base import Pair, Split, Words

# After this many draws in a row without a new pair a split counts as used up.
FRUITLESS_DRAWS = 3000


@cache
def data(name: str) -> dict[str, Any]:
    """Return the word lists of `data/<name>.json`; callers must not change them."""
    return json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text(encoding="utf-8"))


def split_of(*key: str, train: float = 0.6, validation: float = 0.2) -> Split:
    """Return the split of the combination `key`, the same on every machine and for every seed and size."""
    digest = hashlib.sha256("\n".join(key).encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < train:
        return "train"
    return "validation" if place < train + validation else "test"


def one_token(words: Words, candidates: Iterable[str]) -> list[str]:
    """Return the candidates that are a single token of the model with a leading space."""
    return [word for word in candidates if words.token_id(f" {word}") is not None]


def require(task: str, least: int, available: int, total: int, kind: str) -> None:
    """Check that a task has enough items of a kind for a model.

    Args:
        task: name of the task.
        least: number of items needed.
        available: number of items that the model's tokenizer allows.
        total: number of all items.
        kind: name of the items in the message.

    Raises:
        RequestError: fewer than `least` are available.
    """
    if available < least:
        raise RequestError(
            f"task '{task}' needs at least {least} {kind} for this model; {available} of {total} are"
        )


def draw_pairs(draw: Callable[[Random], Pair | None], words: Words, n: int, seed_text: str) -> list[Pair]:
    """Draw up to `n` pairs with distinct clean prompts; stop when `draw` gives nothing new.

    Args:
        draw: returns one random pair, or None if the random choice does not fit.
        words: the model's tokenizer; pairs of unequal token length are left out.
        n: number of pairs wanted.
        seed_text: seeds the random choices.
    """
    rng = Random(seed_text)
    pairs: dict[str, Pair] = {}
    fruitless = 0
    while len(pairs) < n and fruitless < FRUITLESS_DRAWS:
        pair = draw(rng)
        if pair is None or pair.clean in pairs or not _comparable(pair, words):
            fruitless += 1
            continue
        pairs[pair.clean] = pair
        fruitless = 0
    return list(pairs.values())


def _comparable(pair: Pair, words: Words) -> bool:
    clean, corrupt = words.encode(pair.clean), words.encode(pair.corrupt)
    return len(clean) == len(corrupt) and clean != corrupt
