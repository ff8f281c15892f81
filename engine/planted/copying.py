"""A head that copies: the answer is the value at the mark asked for.

    <s>  A:2  C:0  B:3  ?B   ->   3

Every token in the middle has a mark and a value. From the last position, the head a1.h1 attends to the mark
asked for (q) among the marks (k), and copies the value there (v) to the logits. Its attention is sharp but
not saturated, so that first-order scores see all four edges.
"""

from random import Random

from engine.planted.base import Pieces, Planted, draw_pairs, plant
from engine.planted.weights import Sizes, Weights

MARKS, VALUES = "ABC", "0123"
SHARPNESS, GAIN = 5.0, 10.0

# What each planted edge carries.
CIRCUIT = {
    "input->a1.h1<q>": ("asked",),
    "input->a1.h1<k>": ("marks",),
    "input->a1.h1<v>": ("values",),
    "a1.h1->logits": ("asked", "marks", "values"),
}
KNOWN_UNDER = ("counterfactual", "counterfactual-mean", "mean", "resample", "zero")


def build(seed: int = 0) -> Planted:
    """Return the planted model; `seed` determines distractors and prompts."""
    named = [f"{mark}:{value}" for mark in MARKS for value in VALUES]
    asking = [f"?{mark}" for mark in MARKS]
    sizes = Sizes(n_layers=2, n_heads=3, d_head=4, d_mlp=6, n_ctx=5)
    parts = {"asked": len(MARKS), "mark": len(MARKS), "value": len(VALUES), "answer": len(VALUES)}
    weights = Weights(sizes, parts, ["<s>", *VALUES, *named, *asking], seed)
    for i, mark in enumerate(MARKS):
        weights.embed(f"?{mark}", "asked", i)
        for j, value in enumerate(VALUES):
            weights.embed(f"{mark}:{value}", "mark", i)
            weights.embed(f"{mark}:{value}", "value", j)
    for j, value in enumerate(VALUES):
        weights.unembed(value, "answer", j, GAIN)
    weights.head(1, 1, query="asked", key="mark", value="value", into="answer", sharpness=SHARPNESS)

    pairs = draw_pairs(_draw, _answer, CIRCUIT, seed)
    return plant("planted-copying", weights, CIRCUIT, KNOWN_UNDER, pairs, _spell, _answer)


def _spell(pieces: Pieces) -> list[str]:
    middle = [f"{mark}:{value}" for mark, value in zip(pieces["marks"], pieces["values"], strict=True)]
    return ["<s>", *middle, f"?{pieces['asked']}"]


def _draw(rng: Random) -> Pieces:
    return {
        "asked": rng.choice(MARKS),
        "marks": "".join(rng.sample(MARKS, len(MARKS))),
        "values": "".join(rng.sample(VALUES, len(MARKS))),
    }


def _answer(asked: str, marks: str, values: str) -> str:
    return values[marks.index(asked)]
