"""A conjunction, which first-order scores miss: an MLP that fires if two heads both bring a 1.

    <s>  B1  D0  A1  C0  ?AB   ->   yes      (both A and B are 1)

From the last position, a0.h0 attends to the first letter asked for and a0.h1 to the second. Each copies the
bit there, b₀ and b₁, into one sum. The MLP m0 writes the answer by

    f(b₀ + b₁),     f(s) = 2 relu(s - 1.25) - 2 relu(s - 1.75):     f = 0 up to 1.25, f = 1 from 1.75 on.

If both bits are 1 (s = 2), and if at most one is (s ≤ 1), f is flat. So at both the clean and the corrupt
prompt the gradient through m0 is zero, and a score from this gradient is zero for the eight edges before m0,
although ablating any one of them turns yes into no. Gradients between the two prompts, or sampled masks,
detect them.

Conversely, m1 reads a number u of the query token, u = 0.25 or 1.75, and adds a multiple of
relu(u) - 2 relu(u - 1) to "yes". This is 0.25 for both, so its input does not matter, but the slopes are 1
and -1, so a score from the gradient at either prompt counts input->m1 as important. In between, the value
rises to 1, so a method with partial masks during training may keep input->m1 and m1->logits. Other values of
u would make these edges matter, so the circuit is known only under ablations by the outputs on other prompts.

In every second pair, the answer to the clean prompt is no, so that a circuit that always says yes fails. In
those pairs, any one kept path through m0 suffices for the right answer.
"""

from random import Random

from engine.planted.base import N_PAIRS, Pieces, Planted, draw_pairs, plant
from engine.planted.weights import Sizes, Weights

LETTERS = "ABCD"
SHARPNESS, GAIN = 6.0, 10.0
YES, NO = 0, 1  # dimensions of the answer

# What each planted edge carries.
CIRCUIT = {
    "input->a0.h0<q>": ("asked_0",),
    "input->a0.h0<k>": ("letters_0",),
    "input->a0.h0<v>": ("bits_0",),
    "input->a0.h1<q>": ("asked_1",),
    "input->a0.h1<k>": ("letters_1",),
    "input->a0.h1<v>": ("bits_1",),
    "a0.h0->m0": ("asked_0", "letters_0", "bits_0"),
    "a0.h1->m0": ("asked_1", "letters_1", "bits_1"),
    "m0->logits": ("asked_0", "letters_0", "bits_0", "asked_1", "letters_1", "bits_1"),
}
KNOWN_UNDER = ("counterfactual", "resample")


def build(seed: int = 0) -> Planted:
    """Return the planted model; `seed` determines distractors and prompts."""
    bits = [f"{letter}{bit}" for letter in LETTERS for bit in (0, 1)]
    asking = [f"?{first}{second}" for first in LETTERS for second in LETTERS if first != second]
    sizes = Sizes(n_layers=2, n_heads=3, d_head=4, d_mlp=6, n_ctx=6)
    parts = {"asked 0": len(LETTERS), "asked 1": len(LETTERS), "letter": len(LETTERS), "bit": 1}
    parts |= {"sum": 1, "u": 1, "answer": 2}
    weights = Weights(sizes, parts, ["<s>", "yes", "no", *bits, *asking], seed)
    for i, letter in enumerate(LETTERS):
        for bit in (0, 1):
            weights.embed(f"{letter}{bit}", "letter", i)
            weights.embed(f"{letter}{bit}", "bit", 0, bit)
    for token in asking:
        first, second = (LETTERS.index(letter) for letter in token[1:])
        weights.embed(token, "asked 0", first)
        weights.embed(token, "asked 1", second)
        weights.embed(token, "u", 0, 0.25 if first < second else 1.75)
    for place in (0, 1):
        weights.head(0, place, f"asked {place}", "letter", value="bit", into="sum", sharpness=SHARPNESS)
    for unit, (threshold, slope) in enumerate(((1.25, 2.0), (1.75, -2.0))):
        weights.unit(0, unit, {"sum": 1.0}, -threshold, {YES: slope, NO: -slope})
    weights.always(0, NO, 1.0)
    for unit, (threshold, slope) in enumerate(((0.0, 0.4), (1.0, -0.8))):
        weights.unit(1, unit, {"u": 1.0}, -threshold, {YES: slope})
    for token, index in (("yes", YES), ("no", NO)):
        weights.unembed(token, "answer", index, GAIN)
    pairs = draw_pairs(_draw, _answer, CIRCUIT, seed, N_PAIRS // 2)
    both = [pair for clean, corrupt in pairs for pair in ((clean, corrupt), (corrupt, clean))]
    return plant("planted-conjunction", weights, CIRCUIT, KNOWN_UNDER, both, _spell, _answer)


def _spell(pieces: Pieces) -> list[str]:
    named = [f"{letter}{bit}" for letter, bit in zip(pieces["letters_0"], pieces["bits_0"], strict=True)]
    return ["<s>", *named, f"?{pieces['asked_0']}{pieces['asked_1']}"]


def _draw(rng: Random) -> Pieces:
    letters = "".join(rng.sample(LETTERS, len(LETTERS)))
    bits, asked = tuple(rng.sample((0, 0, 1, 1), 4)), rng.sample(LETTERS, 2)
    return {
        f"{name}_{place}": value
        for place in (0, 1)
        for name, value in (("asked", asked[place]), ("letters", letters), ("bits", bits))
    }


def _answer(
    asked_0: str,
    letters_0: str,
    bits_0: tuple[int, ...],
    asked_1: str,
    letters_1: str,
    bits_1: tuple[int, ...],
) -> str:
    both = bits_0[letters_0.index(asked_0)] and bits_1[letters_1.index(asked_1)]
    return "yes" if both else "no"
