"""Greater-than (Hanna et al., 2305.00586): an event cannot end before the year it started in."""

from random import Random

from engine.tasks.base import Pair, Split, Task, Words, tasks
from engine.tasks.draw import data, draw_pairs, require, split_of

TEMPLATE = "The {noun} lasted from the year {century}{start} to the year {century}"
CENTURIES = tuple(str(c) for c in range(11, 20))
STARTS = tuple(f"{y:02d}" for y in range(2, 99))
CORRUPT_START = "01"
LEAST_YEARS = 50


def event_split(noun: str, century: str) -> Split:
    """Return the split of all prompts about one kind of event in one century."""
    return split_of("greater-than", noun, century)


@tasks.register("greater-than")
class GreaterThan(Task):
    """Any later year of the century is right, any other two digits are wrong."""

    title = "Greater-than"
    description = "A later year: 'The war lasted from the year 1743 to the year 17' → '44', '45', … or '99'."
    metric = "probability_difference"

    def pairs(self, words: Words, split: Split, n: int, seed: int) -> list[Pair]:
        """A prompt's split is that of its noun and century; the corrupt start is year 01 of that century."""
        endings = [e for e in map("{:02d}".format, range(100)) if words.token_id(e) is not None]

        def splits_in_two(century: str, ending: str) -> bool:
            halves = [words.token_id(f" {century}"), words.token_id(ending)]
            return words.encode(f" {century}{ending}") == halves

        centuries = [c for c in CENTURIES if splits_in_two(c, CORRUPT_START)]
        years = [(c, s) for c in centuries for s in STARTS if splits_in_two(c, s) and s < endings[-1]]
        require(
            "greater-than",
            LEAST_YEARS,
            len(years),
            len(CENTURIES) * len(STARTS),
            "years that are two tokens of two digits",
        )
        nouns = data("words")["events"]

        def draw(rng: Random) -> Pair | None:
            noun, (century, start) = rng.choice(nouns), rng.choice(years)
            if event_split(noun, century) != split:
                return None
            return Pair(
                clean=TEMPLATE.format(noun=noun, century=century, start=start),
                corrupt=TEMPLATE.format(noun=noun, century=century, start=CORRUPT_START),
                answers=tuple(e for e in endings if e > start),
                wrong_answers=tuple(e for e in endings if e <= start),
                template=noun,
            )

        return draw_pairs(draw, words, n, f"greater-than-{split}-{seed}")
