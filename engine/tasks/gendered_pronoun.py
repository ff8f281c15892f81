"""Gendered pronouns (after Mathwin et al., 2023): the pronoun that goes with a first name."""

from random import Random

from engine.tasks.base import Pair, Split, Task, Words, tasks
from engine.tasks.draw import data, draw_pairs, one_token, require, split_of

TEMPLATES = (
    "Then {name} said that",
    "So {name} is a really great friend, isn't",
    "Nobody saw {name} because",
    "Everyone likes {name} since",
    "The letter from {name} says that",
    "We waited for {name} until",
    "Yesterday {name} was late, and today",
    "Once {name} had finished the work,",
    "The teacher asked {name} whether",
    "People noticed {name} when",
    "After the meeting {name} felt that",
    "My neighbour {name} is famous, but",
    "If {name} is hungry,",
    "Although {name} was tired,",
)
PRONOUNS = {"female": " she", "male": " he"}
LEAST_NAMES = 10


def name_split(name: str, template: str) -> Split:
    """Return the split of one name in one template."""
    return split_of("gendered-pronoun", name, template)


@tasks.register("gendered-pronoun")
class GenderedPronoun(Task):
    """The corrupt prompt has a name of the other gender in the same sentence."""

    title = "Gendered pronouns"
    description = "He or she: 'Then Mary said that' → ' she', not ' he'."

    def pairs(self, words: Words, split: Split, n: int, seed: int) -> list[Pair]:
        """A prompt's split is that of its name and template."""
        require(
            "gendered-pronoun",
            2,
            sum(words.token_id(pronoun) is not None for pronoun in PRONOUNS.values()),
            2,
            "pronouns that are one token",
        )
        people = {gender: one_token(words, group) for gender, group in data("names").items()}
        for gender, group in people.items():
            total = len(data("names")[gender])
            require("gendered-pronoun", LEAST_NAMES, len(group), total, f"{gender} names that are one token")

        def draw(rng: Random) -> Pair | None:
            gender, other = rng.sample(sorted(people), 2)
            template = rng.choice(TEMPLATES)
            name, stranger = rng.choice(people[gender]), rng.choice(people[other])
            if name_split(name, template) != split or name_split(stranger, template) != split:
                return None
            return Pair(
                clean=template.format(name=name),
                corrupt=template.format(name=stranger),
                answers=(PRONOUNS[gender],),
                wrong_answers=(PRONOUNS[other],),
                template=template,
            )

        return draw_pairs(draw, words, n, f"gendered-pronoun-{split}-{seed}")
