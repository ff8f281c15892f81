"""Data of the page "Lens": texts read by lenses, and trained lenses with their distance from the model."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import streamlit as st

from app.runs import Shelf, told_apart
from engine.errors import RequestError
from engine.instruments.lens.completion import completed_training
from engine.instruments.lens.instrument import ReadTextInstrument, TrainLensesInstrument
from engine.instruments.lens.request import ReadText, TrainLenses
from engine.instruments.lens.result import ReadTextResult, TrainLensesResult
from engine.instruments.words import model_name, quoted
from engine.lenses.base import LENSES, lenses
from engine.lenses.reading import stride
from engine.lenses.settings import LensTraining
from engine.models import ModelShape, find_model, weights_hash
from engine.runs.folder import Run
from engine.runs.request import Request, readable_id, slug

ReadRun: TypeAlias = Run[ReadText, ReadTextResult]
TrainedRun: TypeAlias = Run[TrainLenses, TrainLensesResult]

MOST_ROWS = 26  # of a picture: more layers are drawn with a stride
STATISTICS = {
    "probability": "Probability of the top word",
    "kl": "KL to the model (nats)",
    "entropy": "Entropy (nats)",
    "rank": "Rank of the model's word",
    "cross_entropy": "Cross-entropy of the next token (nats)",
    "next_rank": "Rank of the next token",
    "step_js": "JS to the next row (nats)",
    "step_kl": "KL(next row ‖ row) (nats)",
}
RANKS = ("rank", "next_rank")  # 1 is the best
UNBOUNDED = ("kl", "cross_entropy", "step_kl")  # many times as much at the first layers as at the last


@dataclass(frozen=True)
class Reading:
    """A text of one model that lenses have read.

    Attributes:
        key: its key in the address.
        label: its label in the chooser; no two are alike.
        request: the request of the reading.
        run: the finished run; None while its job is active.
    """

    key: str
    label: str
    request: ReadText
    run: ReadRun | None

    @property
    def title(self) -> str:
        """The text, shortened, and the intervention on the model (nodes ablated, or a circuit)."""
        return f"{quoted(self.request.lens.text)}{changed(self.request)}"


def reading_key(request: ReadText) -> str:
    """Return the key of a reading: readable parts and a hash."""
    fields = ("model", "weights_hash", "bos", "dtype")
    about = [request.lens.model_dump(), *(getattr(request, name) for name in fields)]
    parts = (model_name(request.model), request.lens.text)
    return readable_id([slug(part, 30).strip("-") for part in parts], about)


def readings(shelf: Shelf, asked: Iterable[Request]) -> dict[str, Reading]:
    """Return the readings by key: shipped ones first, and among these the whole model's first.

    Args:
        asked: requests of active jobs.
    """
    runs: dict[str, ReadRun] = {}
    requests: dict[str, ReadText] = {}
    for run in sorted(
        shelf.of(ReadTextInstrument),
        key=lambda run: (not run.shipped, run.shipped and changed(run.request) != ""),
    ):
        key = reading_key(run.request)
        runs[key], requests[key] = run, run.request
    for request in asked:
        if isinstance(request, ReadText):
            requests.setdefault(reading_key(request), request)
    labels = told_apart({key: _label(request) for key, request in requests.items()})
    return {key: Reading(key, labels[key], request, runs.get(key)) for key, request in requests.items()}


def _label(request: ReadText) -> str:
    names, change = request.lens.lenses, changed(request).strip()
    by = "" if set(LENSES) <= set(names) else f" · {', '.join(lens_title(name) for name in names)}"
    # What tells readings of one text apart comes first: a chooser shows the beginning.
    front = f"{change[0].upper()}{change[1:]}: " if change else ""
    return f"{front}{quoted(request.lens.text)} · {model_name(request.model)}{by}"


def changed(request: ReadText) -> str:
    """Return the intervention on the model (nodes ablated, or a circuit) in words; "" if there is none."""
    if request.lens.circuit is not None:
        return f" in a circuit of {request.lens.circuit.edges} edges"
    if request.lens.ablated:
        return f" without {', '.join(request.lens.ablated)} ({request.lens.ablation})"
    return ""


@st.cache_data(max_entries=32, show_spinner=False, ttl=20)
def present_weights(model: str) -> str | None:
    """Return the present hash of a model's weights; None if the model is not on this machine."""
    try:
        return weights_hash(find_model(model, download=False))
    except RequestError:
        return None


def trainings(shelf: Shelf, model: str) -> list[TrainedRun]:
    """Return the runs that trained lenses of a model, also with earlier weights."""
    return [run for run in shelf.of(TrainLensesInstrument) if run.request.model == model]


def default_training(shelf: Shelf, model: str, shape: ModelShape) -> TrainedRun | None:
    """Return the run whose lenses a reading takes by default; None if there is no such run.

    The engine's own `default_training` may ask the hub; here the model has to be on this machine.
    """
    settings = completed_training(LensTraining(), shape)
    wanted = TrainLenses(model=model, weights_hash=present_weights(model), lens_training=settings).run_id()
    return next((run for run in shelf.of(TrainLensesInstrument) if run.run_id == wanted), None)


def lenses_to_read(trained: TrainedRun | None) -> list[str]:
    """Return the lenses that can read a text: those that `trained` has, or all if they are yet to be trained.

    Args:
        trained: the run with their parameters; None if the lenses are yet to be trained.
    """
    return [
        name
        for name in all_lenses()
        if trained is None or name in trained.result.lenses or not lenses.get(name).has_parameters
    ]


def trained_run(shelf: Shelf, reading: Reading) -> TrainedRun | None:
    """Return the run that trained a reading's lenses, else one of the same model; None if there is none."""
    same = [
        run
        for run in shelf.of(TrainLensesInstrument)
        if run.request.weights_hash == reading.request.weights_hash
    ]
    wanted = reading.request.lens.trained
    return next((run for run in same if run.run_id == wanted), same[0] if same else None)


def all_lenses() -> list[str]:
    """Return the names of all registered lenses, those that come with the program first."""
    return [*LENSES, *(name for name in lenses.names() if name not in LENSES)]


def lens_title(name: str) -> str:
    """Return the title of a lens; of an unknown lens (in an imported run) its name."""
    return lenses.get(name).title if name in lenses.names() else name


def in_a_sentence(title: str) -> str:
    """Return a title in lower case for use within a sentence; abbreviations keep their capitals."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def lens_place(name: str) -> int:
    """Return the index of a lens in the order of colours."""
    names = all_lenses()
    return names.index(name) if name in names else len(names)


def rows_shown(run: ReadRun, every: int) -> list[int]:
    """Return the indices of the rows of every `every` layers."""
    return stride(run.result.places, every)


def statistic(run: ReadRun, name: str, lens: str) -> np.ndarray:
    """Return a statistic of a lens at every row and token, [rows, S]; nan where it has no value."""
    if name == "probability":
        return finite(run.tensors[f"top_p.{lens}"][..., 0])
    values = finite(run.tensors[f"{name}.{lens}"])
    if name.startswith("step_"):
        return np.vstack([values, np.full((1, values.shape[1]), np.nan)])
    if name == "next_rank":
        values[values == 0] = np.nan  # nothing follows the last token
    return values


def finite(values: np.ndarray) -> np.ndarray:
    """Return values as floats, with nan for infinite ones, which an imported run may have."""
    return np.where(np.isfinite(values), values, np.nan).astype(float)


def word_of(run: ReadRun, token: int) -> str:
    """Return the text of a token that a lens predicts."""
    return run.result.words.get(str(token), f"token {token}")


def row_name(place: str) -> str:
    """Return the name of a row: "L2", "L2 mid", "output"."""
    return place if place == "output" else f"L{place.replace('-', ' ')}"
