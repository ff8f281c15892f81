"""Induction (Olsson et al., 2209.11895): random words that are repeated continue as they did before."""

from random import Random

from engine.tasks.base import Pair, Split, Task, Words, tasks
from engine.tasks.draw import data, draw_pairs, one_token, require, split_of

OPENING = "Repeat:"
LENGTHS = range(8, 17)
LEAST_WORDS = 100


def sequence_words() -> list[str]:
    """Return the words that sequences are made of."""
    lists = data("words")
    return sorted({*lists["things"], *lists["objects"], *lists["places"], *lists["adjectives"]})


def sequence_split(sequence: list[str]) -> Split:
    """Return the split of a sequence of words."""
    return split_of("induction", *sequence)


def prompt(sequence: list[str], repeated: int) -> str:
    """Return a sequence, followed by its first `repeated` words once more."""
    return " ".join([OPENING, *sequence, *sequence[:repeated]])


@tasks.register("induction")
class Induction(Task):
    """The corrupt prompt repeats another sequence, whose continuation is the wrong answer."""

    title = "Induction"
    description = "Repeated random words go on as before: 'Repeat: lamp river cup … lamp river' → ' cup'."

    def pairs(self, words: Words, split: Split, n: int, seed: int) -> list[Pair]:
        """A prompt's split is that of its sequence."""
        vocabulary = one_token(words, sequence_words())
        require("induction", LEAST_WORDS, len(vocabulary), len(sequence_words()), "words that are one token")

        def draw(rng: Random) -> Pair | None:
            length = rng.choice(LENGTHS)
            drawn = rng.sample(vocabulary, 2 * length)
            first, second = drawn[:length], drawn[length:]
            if sequence_split(first) != split or sequence_split(second) != split:
                return None
            repeated = rng.randrange(1, length)
            return Pair(
                clean=prompt(first, repeated),
                corrupt=prompt(second, repeated),
                answers=(f" {first[repeated]}",),
                wrong_answers=(f" {second[repeated]}",),
                template=f"{length} words",
            )

        return draw_pairs(draw, words, n, f"induction-{split}-{seed}")
