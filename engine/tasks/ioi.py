"""Indirect object identification (Wang et al., 2211.00593): one of two people gives something to the other.

Corrupt prompts are of the ABC kind: they have three other, different names.
"""

from random import Random

from engine.tasks.base import Pair, Split, Task, Words, tasks
from engine.tasks.draw import data, draw_pairs, one_token, require, split_of

# {a} and {b} are the couple, {s} is the one of them who acts; the answer is the other one.
TEMPLATES = (
    "When {a} and {b} went to the {place}, {s} gave a {object} to",
    "Then, {a} and {b} went to the {place}. {s} gave a {object} to",
    "Then, {a} and {b} had a long talk at the {place}. Afterwards {s} handed a {object} to",
    "After {a} and {b} arrived at the {place}, {s} offered a {object} to",
    "While {a} and {b} were working at the {place}, {s} passed a {object} to",
    "Yesterday {a} and {b} met at the {place}, and {s} brought a {object} to",
    "Friends {a} and {b} found a {object} at the {place}. {s} gave it to",
    "Once {a} and {b} were inside the {place}, {s} sold a {object} to",
    "Last week {a} and {b} visited the {place}. There {s} showed a {object} to",
    "The {place} was closed when {a} and {b} came, so {s} lent a {object} to",
    "As soon as {a} and {b} left the {place}, {s} threw a {object} to",
    "In the morning {a} and {b} walked to the {place}, where {s} gave a {object} to",
    "It rained, so {a} and {b} stayed at the {place} until {s} mailed a {object} to",
    "Later {a} and {b} got lost near the {place}, but {s} carried a {object} to",
    "Because {a} and {b} liked the {place}, {s} bought a {object} there and gave it to",
    "At the {place}, {a} and {b} were bored, and {s} tossed a {object} to",
    "Every year {a} and {b} return to the {place}, and {s} always gives a {object} to",
    "Long ago {a} and {b} worked at the {place}. One day {s} wrote about a {object} to",
)
LEAST_NAMES = 20


def names() -> list[str]:
    """Return all first names."""
    return [name for group in data("names").values() for name in group]


def couple_split(a: str, b: str) -> Split:
    """Return the split of a couple, whichever of the two is named first."""
    return split_of("ioi", *sorted((a, b)))


@tasks.register("ioi")
class IndirectObjects(Task):
    """Many templates; the receiver is named first (ABBA) or second (BABA)."""

    name = "ioi"
    templates = TEMPLATES
    title = "Indirect objects"
    description = (
        "Who receives the gift: 'When Mary and John went to the store, John gave a drink to' → ' Mary'."
    )

    def pairs(self, words: Words, split: Split, n: int, seed: int) -> list[Pair]:
        """A prompt's split is that of its couple: receiver and actor; if corrupt, the first two names."""
        people = one_token(words, names())
        require(self.name, LEAST_NAMES, len(people), len(names()), "names that are one token")
        lists = data("words")

        def draw(rng: Random) -> Pair | None:
            receiver, actor, x, y, z = rng.sample(people, 5)
            if couple_split(receiver, actor) != split or couple_split(x, y) != split:
                return None
            a, b = rng.choice([(receiver, actor), (actor, receiver)])
            template = rng.choice(self.templates)
            rest = {"place": rng.choice(lists["places"]), "object": rng.choice(lists["objects"])}
            return Pair(
                clean=template.format(a=a, b=b, s=actor, **rest),
                corrupt=template.format(a=x, b=y, s=z, **rest),
                answers=(f" {receiver}",),
                wrong_answers=(f" {actor}",),
                template=template,
            )

        return draw_pairs(draw, words, n, f"{self.name}-{split}-{seed}")


@tasks.register("ioi-t1")
class IndirectObjectsOneTemplate(IndirectObjects):
    """The first template alone, so that every position has the same role in every prompt."""

    name = "ioi-t1"
    templates = TEMPLATES[:1]
    title = "Indirect objects, one template"
    description = "Indirect objects with the one template 'When A and B went to the …, B gave a … to'."
