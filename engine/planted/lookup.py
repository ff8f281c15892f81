"""A chain of two heads: the second one reads what the first one copied.

    <s>  x=2  z=0  y=3  B>x  A>y  C>z  ?B   ->   2

At every pointer (B>x), the head a0.h2 attends to its link (q) among the definitions before (k) and copies the
value defined there (v). From the last position, a1.h0 attends to the letter asked for (q) among the pointers
(k) and copies the value that a0.h2 wrote there: the edge a0.h2->a1.h0<v> composes the two heads.
"""

from random import Random

from engine.planted.base import Pieces, Planted, draw_pairs, plant
from engine.planted.weights import Sizes, Weights

LINKS, VALUES, LETTERS = "xyz", "0123", "ABC"
SHARPNESS, GAIN = 6.0, 10.0

# What each planted edge carries.
CIRCUIT = {
    "input->a0.h2<q>": ("targets",),
    "input->a0.h2<k>": ("links",),
    "input->a0.h2<v>": ("values",),
    "a0.h2->a1.h0<v>": ("targets", "links", "values"),
    "input->a1.h0<q>": ("asked",),
    "input->a1.h0<k>": ("letters",),
    "a1.h0->logits": ("targets", "links", "values", "asked", "letters"),
}
KNOWN_UNDER = ("counterfactual", "counterfactual-mean", "mean", "resample", "zero")


def build(seed: int = 0) -> Planted:
    """Return the planted model; `seed` determines distractors and prompts."""
    defined = [f"{link}={value}" for link in LINKS for value in VALUES]
    pointers = [f"{letter}>{link}" for letter in LETTERS for link in LINKS]
    asking = [f"?{letter}" for letter in LETTERS]
    sizes = Sizes(n_layers=3, n_heads=3, d_head=4, d_mlp=6, n_ctx=8)
    parts = {"link": len(LINKS), "target": len(LINKS), "value": len(VALUES), "brought": len(VALUES)}
    parts |= {"letter": len(LETTERS), "asked": len(LETTERS), "answer": len(VALUES)}
    weights = Weights(sizes, parts, ["<s>", *VALUES, *defined, *pointers, *asking], seed)
    for i, link in enumerate(LINKS):
        for j, value in enumerate(VALUES):
            weights.embed(f"{link}={value}", "link", i)
            weights.embed(f"{link}={value}", "value", j)
        for j, letter in enumerate(LETTERS):
            weights.embed(f"{letter}>{link}", "target", i)
            weights.embed(f"{letter}>{link}", "letter", j)
    for j, letter in enumerate(LETTERS):
        weights.embed(f"?{letter}", "asked", j)
    for j, value in enumerate(VALUES):
        weights.unembed(value, "answer", j, GAIN)
    weights.head(0, 2, query="target", key="link", value="value", into="brought", sharpness=SHARPNESS)
    weights.head(1, 0, query="asked", key="letter", value="brought", into="answer", sharpness=SHARPNESS)
    pairs = draw_pairs(_draw, _answer, CIRCUIT, seed)
    return plant("planted-lookup", weights, CIRCUIT, KNOWN_UNDER, pairs, _spell, _answer)


def _spell(pieces: Pieces) -> list[str]:
    defined = [f"{link}={value}" for link, value in zip(pieces["links"], pieces["values"], strict=True)]
    pointers = [f"{letter}>{link}" for letter, link in zip(pieces["letters"], pieces["targets"], strict=True)]
    return ["<s>", *defined, *pointers, f"?{pieces['asked']}"]


def _draw(rng: Random) -> Pieces:
    return {
        "links": "".join(rng.sample(LINKS, len(LINKS))),
        "values": "".join(rng.sample(VALUES, len(LINKS))),
        "letters": "".join(rng.sample(LETTERS, len(LETTERS))),
        "targets": "".join(rng.sample(LINKS, len(LINKS))),
        "asked": rng.choice(LETTERS),
    }


def _answer(links: str, values: str, letters: str, targets: str, asked: str) -> str:
    return values[links.index(targets[letters.index(asked)])]
