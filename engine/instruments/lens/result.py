"""The results of training lenses, and of reading a text."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from engine.circuits.graph import Graph
from engine.instruments.lens.request import ReadText, TrainLenses
from engine.lenses.shapes import INTEGERS, shapes_of_reading, shapes_of_training
from engine.runs.record import MOST, Count, Estimate, Form, Record, Shapes, Share, Texts

# "3" before a layer, "3-mid" in its middle.
Place = Annotated[str, Field(pattern=r"^[0-9]{1,4}(-mid)?$")]


class LensMeasured(Form):
    """Metrics of a lens on held-out texts at every place, in nats, and its number of parameters."""

    parameters: Count
    kl: list[Estimate]
    cross_entropy: list[Estimate]
    entropy: list[Estimate]


class Faithful(Form):
    """Agreement of a lens's and the model's reactions to changes of the stream at a place; 1 is perfect."""

    lens: str
    place: str
    directions: Literal["random", "aligned"]
    intervention: Literal["projection", "steering", "resample"]
    magnitude: Share
    direction: Share
    n_directions: Count
    n_texts: Count


class TrainLensesResult(Record):
    """The lenses of a model, by name; arrays "kl.<lens>" [n_texts, n_places] and "<lens>.<parameter>".

    Each lens was trained on some texts, selected on others (validation) and measured on `n_texts` further
    ones, held out from both.

    Attributes:
        texts: description of the texts.
        length: largest length of a text, in tokens.
        positions: number of positions that count, by kind of text.
    """

    texts: str
    n_training: Count
    n_validation: Count
    n_texts: Count
    length: Count
    positions: dict[Literal["training", "validation", "held_out"], Count]
    places: Annotated[list[Place], Field(min_length=1, max_length=MOST)]
    lenses: Annotated[dict[str, LensMeasured], Field(min_length=1, max_length=MOST)]
    model: dict[str, Estimate]
    faithfulness: list[Faithful] = Field(default_factory=list[Faithful], max_length=100_000)
    history: dict[str, list[FiniteFloat]]

    def misfit(self, request: TrainLenses) -> str | None:
        """Return the first inconsistency; see the base class."""
        for name, lens in self.lenses.items():
            if {len(lens.kl), len(lens.cross_entropy), len(lens.entropy)} != {len(self.places)}:
                return f"the lens '{name}' is not measured at every place"
        for row in self.faithfulness:
            if row.place not in self.places or row.lens not in self.lenses:
                return f"the faithfulness of '{row.lens}' at '{row.place}' is of no lens or place it has"
        return None

    def arrays(self, request: TrainLenses, shapes: Shapes, graph: Graph | None) -> Shapes:
        """Return the shapes of the arrays that pages read; parameters are checked when they are used."""
        return shapes_of_training(self.lenses, self.n_texts, len(self.places))


class ReadTextResult(Record):
    """One text read by lenses; for its arrays see `engine.lenses.reading`.

    Attributes:
        places: names of the rows of the arrays, with the output last.
        words: texts of the token ids in the arrays.
        trained: id of the run that trained the lenses.
    """

    integers = INTEGERS

    text: str
    tokens: Texts
    places: Annotated[list[Place | Literal["output"]], Field(min_length=2, max_length=MOST)]
    lenses: Annotated[list[str], Field(min_length=1, max_length=MOST)]
    raced: Annotated[list[str], Field(max_length=MOST)]
    words: dict[str, str]
    trained: str | None

    def misfit(self, request: ReadText) -> str | None:
        """Return the first inconsistency; see the base class."""
        if [place for place in self.places if place == "output"] != self.places[-1:]:
            return "the last of its places, and no other, is to be the output"
        return None

    def arrays(self, request: ReadText, shapes: Shapes, graph: Graph | None) -> Shapes:
        """Return the shapes of the lenses' arrays; see the base class."""
        rows = (len(self.places), len(self.tokens))
        return shapes_of_reading(self.lenses, *rows, len(self.raced))
