"""The instruments of lenses: training, and reading texts; see `engine.instruments.base`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.instruments.base import Instrument, Lane, instruments
from engine.instruments.frames import estimate_columns, frame
from engine.instruments.lens.request import ReadText, TrainLenses
from engine.instruments.lens.result import ReadTextResult, TrainLensesResult
from engine.instruments.words import model_name, quoted
from engine.progress import Report
from engine.runs.folder import Run
from engine.runs.request import Request as AnyRequest
from engine.runs.store import RunStore

if TYPE_CHECKING:
    from engine.instruments.frames import DataFrame
    from engine.runs.found import Found
    from engine.workbench.ready import Workbench
    from engine.workbench.workload import Bench


@instruments.register("train-lenses")
class TrainLensesInstrument(Instrument[TrainLenses, TrainLensesResult]):
    """Trains the lenses of a model, once."""

    kind = "train-lenses"
    title = "Lens training"
    order = 90
    Request = TrainLenses
    Result = TrainLensesResult

    def complete(self, asked: TrainLenses, store: RunStore) -> TrainLenses:
        """Fill in hashes and settings by the model's sizes; see the base class."""
        from engine.instruments.lens.completion import completed_lenses

        return completed_lenses(asked)

    def find(self, asked: TrainLenses, bench: "Workbench", report: Report) -> "Found":
        """Train the lenses and measure them."""
        from engine.instruments.lens.train import train_lenses

        return train_lenses(asked, bench, report)

    def line(self, asked: TrainLenses) -> str:
        """Return the model."""
        return f"lenses · {model_name(asked.model)}"

    def size(self, run: Run[TrainLenses, TrainLensesResult]) -> str:
        """Return the number of trained lenses, and of texts that they were measured on."""
        return f"{len(run.result.lenses)} lenses, measured on {run.result.n_texts} texts"

    def frame(self, run: Run[TrainLenses, TrainLensesResult]) -> "DataFrame":
        """Return a row for every lens and place: its distances from the model, with intervals."""
        return frame(
            {"lens": name, "place": place}
            | estimate_columns({"kl": kl, "cross_entropy": cross_entropy, "entropy": entropy})
            for name, lens in run.result.lenses.items()
            for place, kl, cross_entropy, entropy in zip(
                run.result.places, lens.kl, lens.cross_entropy, lens.entropy, strict=True
            )
        )

    def benches(self) -> "dict[str, Bench]":
        """Return the benches of a training step."""
        from engine.instruments.lens.bench import BENCHES

        return BENCHES

    def tables(self, store: RunStore) -> dict[str, str]:
        """Return the table of the shipped lenses."""
        from engine.instruments.lens.table import lenses_table

        return {"lenses": lenses_table(store)}


@instruments.register("lens")
class ReadTextInstrument(Instrument[ReadText, ReadTextResult]):
    """Reads a text by lenses, which are trained first if they are not yet."""

    kind = "lens"
    title = "Lens"
    order = 100
    Request = ReadText
    Result = ReadTextResult

    def lane(self, asked: ReadText, store: RunStore) -> Lane:
        """Return "short"."""
        return "short"

    def complete(self, asked: ReadText, store: RunStore) -> ReadText:
        """Fill in hashes and the run that trains the lenses; see the base class."""
        from engine.instruments.lens.completion import completed_reading

        return completed_reading(asked, store)

    def before(self, asked: ReadText, store: RunStore) -> AnyRequest | None:
        """Return the training of the lenses, if they are not trained yet."""
        from engine.instruments.lens.read import before_reading

        return before_reading(asked, store)

    def find(self, asked: ReadText, bench: "Workbench", report: Report) -> "Found":
        """Read the text."""
        from engine.instruments.lens.read import read_text

        return read_text(asked, bench, report)

    def line(self, asked: ReadText) -> str:
        """Return the text and the model."""
        return f"{quoted(asked.lens.text)} · {model_name(asked.model)}"

    def size(self, run: Run[ReadText, ReadTextResult]) -> str:
        """Return the length of the text in tokens, and the number of lenses."""
        n, by = len(run.result.tokens), len(run.result.lenses)
        return f"{n} tokens, {by} {'lens' if by == 1 else 'lenses'}"

    def frame(self, run: Run[ReadText, ReadTextResult]) -> "DataFrame":
        """Return a row for every lens, place and token: the top word, and distances from the model."""
        from engine.instruments.lens.frame import reading_frame

        return reading_frame(run)

    def command(self) -> Callable[..., None]:
        """Return `circuit-explorer lens`."""
        from engine.instruments.lens.cli import lens

        return lens

    def ship(self, store: RunStore, carry_out: Callable[[AnyRequest], str]) -> None:
        """Read texts by the demo model's lenses, one of them also through a circuit."""
        from engine.instruments.shipped import MODEL, READ, read_in

        for reading in (*READ, READ[1] | {"circuit": read_in(store)}):
            carry_out(ReadText.model_validate({"model": MODEL, "lens": reading}))
