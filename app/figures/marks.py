"""Marks of compared runs: a letter, a colour, and a shape for readers who cannot tell colours apart."""

from dataclasses import dataclass
from string import ascii_uppercase

from app.figures.style import Look

SHAPES = {
    "circle": "●",
    "square": "■",
    "diamond": "◆",
    "triangle-up": "▲",
    "triangle-down": "▼",
    "star": "★",
    "cross": "✚",
}
DASHES = ("solid", "dash", "dot")


@dataclass(frozen=True)
class Mark:
    """The mark of one of several runs.

    Attributes:
        letter: "A" for the first.
        colour: of its lines.
        symbol, glyph: of its marks, for Plotly and in text.
        dash: of its lines; another one where the colours are used up.
    """

    letter: str
    colour: str
    symbol: str
    glyph: str
    dash: str

    @property
    def sign(self) -> str:
        """The glyph and the letter: "● A"."""
        return f"{self.glyph} {self.letter}"


def run_mark(place: int, scheme: Look) -> Mark:
    """Return the mark of the run with index `place`; the first 42 marks are all different."""
    symbol = list(SHAPES)[place % len(SHAPES)]
    turn, colour = divmod(place, len(scheme.runs))
    letter = ascii_uppercase[place % 26] * (1 + place // 26)
    return Mark(letter, scheme.runs[colour], symbol, SHAPES[symbol], DASHES[turn % len(DASHES)])
