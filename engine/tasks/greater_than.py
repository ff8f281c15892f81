"""Greater-than (Hanna et al., 2305.00586): an event cannot end before the year it started in.

The paper's prompts end in a century, and the answer is the token of the last two digits, as in GPT-2's
vocabulary. Where a tokenizer splits years in another way, the answer is one digit: after the century the next
one, or after three digits the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from engine.errors import RequestError
from engine.tasks.base import Pair, Split, Task, Words, tasks
from engine.tasks.draw import data, draw_pairs, split_of

TEMPLATE = "The {noun} lasted from the year {century}{start} to the year {century}"
CENTURIES = tuple(str(c) for c in range(11, 20))
STARTS = tuple(f"{y:02d}" for y in range(2, 99))
LEAST_YEARS = 50


@dataclass(frozen=True)
class Ending:
    """One way to end a prompt within a year.

    Attributes:
        shown: number of digits of the year that the prompt ends with.
        n_digits: number of digits of an answer.
        corrupt: digits of the corrupt start after those that stay.
        note: what the answer is, if it is not the paper's.
    """

    shown: int
    n_digits: int
    corrupt: str
    note: str | None = None

    def answers(self, digits: Sequence[str], year: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the right and the wrong answers after a year among `digits`; one may be neither."""
        start = year[self.shown : self.shown + self.n_digits]
        whole = self.shown + self.n_digits == len(year)  # else the same digit is right for some years
        right = tuple(answer for answer in digits if answer > start)
        return right, tuple(answer for answer in digits if answer < start or (whole and answer == start))

    def digits(self, words: Words) -> list[str]:
        """Return the possible answers that are one token."""
        answers = (f"{i:0{self.n_digits}d}" for i in range(10**self.n_digits))
        return [answer for answer in answers if words.token_id(answer) is not None]

    def corrupted(self, year: str) -> str:
        """Return the corrupt start for a year."""
        return year[: len(year) - len(self.corrupt)] + self.corrupt

    def fits(self, words: Words, year: str) -> bool:
        """Return whether the tokenizer writes a year as the digits shown, and tokens of `n_digits` digits."""
        shown = words.encode(f" {year[: self.shown]}")
        rest = [year[i : i + self.n_digits] for i in range(self.shown, len(year), self.n_digits)]
        # The paper's century is one token.
        whole = len(shown) == 1 or self.note is not None
        return whole and words.encode(f" {year}") == [*shown, *map(words.token_id, rest)]

    def years(self, words: Words) -> list[str]:
        """Return the years that prompts can start in: those that fit, with right and wrong answers."""
        digits = self.digits(words)
        years = [f"{century}{start}" for century in CENTURIES for start in STARTS]
        corrupted = {start: self.fits(words, start) for start in {self.corrupted(year) for year in years}}
        return [
            year
            for year in years
            if year not in corrupted
            and corrupted[self.corrupted(year)]
            and all(self.answers(digits, year))
            and self.fits(words, year)
        ]


ENDINGS = (
    Ending(2, 2, "01"),
    Ending(2, 1, "01", "the answer is the next digit of the year: this tokenizer has a token for each digit"),
    Ending(3, 1, "0", "the answer is the last digit of the year: this tokenizer has tokens of three digits"),
)


def event_split(noun: str, century: str) -> Split:
    """Return the split of all prompts about one kind of event in one century."""
    return split_of("greater-than", noun, century)


def ending_of(words: Words) -> tuple[Ending, list[str]]:
    """Return how prompts end for a tokenizer, and the years that they start in.

    Raises:
        RequestError: the tokenizer splits years in none of these ways.
    """
    most = 0
    for ending in ENDINGS:
        years = ending.years(words)
        if len(years) >= LEAST_YEARS:
            return ending, years
        most = max(most, len(years))
    raise RequestError(
        f"task 'greater-than' needs at least {LEAST_YEARS} years that this tokenizer writes as century and "
        "two digits, digit by digit, or as three digits and one; of "
        f"{len(CENTURIES) * len(STARTS)} years {most} are"
    )


@tasks.register("greater-than")
class GreaterThan(Task):
    """Any later year of the century is right, any other two digits are wrong."""

    title = "Greater-than"
    description = "A later year: 'The war lasted from the year 1743 to the year 17' → '44', '45', … or '99'."
    metric = "probability_difference"

    def pairs(self, words: Words, split: Split, n: int, seed: int) -> list[Pair]:
        """A prompt's split is that of its noun and century; the corrupt start is year 01 of that century.

        Where the answer is the last digit, the corrupt start is the first year of the decade.
        """
        ending, years = ending_of(words)
        nouns, digits = data("words")["events"], ending.digits(words)

        def draw(rng: Random) -> Pair | None:
            noun, year = rng.choice(nouns), rng.choice(years)
            if event_split(noun, year[:2]) != split:
                return None
            prompts = [
                TEMPLATE.format(noun=noun, century=start[: ending.shown], start=start[ending.shown :])
                for start in (year, ending.corrupted(year))
            ]
            right, wrong = ending.answers(digits, year)
            return Pair(
                clean=prompts[0],
                corrupt=prompts[1],
                answers=right,
                wrong_answers=wrong,
                template=noun,
            )

        return draw_pairs(draw, words, n, f"greater-than-{split}-{seed}")

    def note(self, words: Words) -> str | None:
        """Return what the answer is, where the tokenizer has no tokens of two digits."""
        return ending_of(words)[0].note
