"""What the page "Lens" shows: texts that lenses have read, and how near the lenses of a model come to it."""

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
        key: what the address calls it.
        label: what the chooser calls it; no two are alike.
        request: that was asked for.
        run: None while it is being made.
    """

    key: str
    label: str
    request: ReadText
    run: ReadRun | None

    @property
    def title(self) -> str:
        """The text, shortened, and what was changed while it ran."""
        return f"{quoted(self.request.lens.text)}{changed(self.request)}"


def reading_key(request: ReadText) -> str:
    """Return what tells a reading from others: readable parts and a hash."""
    fields = ("model", "weights_hash", "bos", "dtype")
    about = [request.lens.model_dump(), *(getattr(request, name) for name in fields)]
    parts = (model_name(request.model), request.lens.text)
    return readable_id([slug(part, 30).strip("-") for part in parts], about)


def readings(shelf: Shelf, asked: Iterable[Request]) -> dict[str, Reading]:
    """Return what there is to show, by key: shipped readings first, of these the whole model's.

    Args:
        asked: requests that are being carried out.
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
    """Return what was changed while the text ran, in words; "" if nothing."""
    if request.lens.circuit is not None:
        return f" in a circuit of {request.lens.circuit.edges} edges"
    if request.lens.ablated:
        return f" without {', '.join(request.lens.ablated)} ({request.lens.ablation})"
    return ""


@st.cache_data(max_entries=32, show_spinner=False, ttl=20)
def present_weights(model: str) -> str | None:
    """Return the hash of a model's weights as they are now; None if it is not on this machine."""
    try:
        return weights_hash(find_model(model, download=False))
    except RequestError:
        return None


def trainings(shelf: Shelf, model: str) -> list[TrainedRun]:
    """Return the runs that trained lenses of a model, whatever its weights were then."""
    return [run for run in shelf.of(TrainLensesInstrument) if run.request.model == model]


def default_training(shelf: Shelf, model: str, shape: ModelShape) -> TrainedRun | None:
    """Return the run whose lenses a reading takes that asks for none; None if it is not here.

    The model is on this machine; the engine's own `default_training` may ask the hub for it.
    """
    settings = completed_training(LensTraining(), shape)
    wanted = TrainLenses(model=model, weights_hash=present_weights(model), lens_training=settings).run_id()
    return next((run for run in shelf.of(TrainLensesInstrument) if run.run_id == wanted), None)


def lenses_to_read(trained: TrainedRun | None) -> list[str]:
    """Return the lenses that can read a text: all of them, if they are trained or will be.

    Args:
        trained: the run with their parameters; None if it is still to be made.
    """
    return [
        name
        for name in all_lenses()
        if trained is None or name in trained.result.lenses or not lenses.get(name).has_parameters
    ]


def trained_run(shelf: Shelf, reading: Reading) -> TrainedRun | None:
    """Return the run that trained the lenses of a reading, else of its model; None if there is none."""
    same = [
        run
        for run in shelf.of(TrainLensesInstrument)
        if run.request.weights_hash == reading.request.weights_hash
    ]
    wanted = reading.request.lens.trained
    return next((run for run in same if run.run_id == wanted), same[0] if same else None)


def all_lenses() -> list[str]:
    """Return the names of all lenses known here, those that come with the program first."""
    return [*LENSES, *(name for name in lenses.names() if name not in LENSES)]


def lens_title(name: str) -> str:
    """Return the title of a lens; of one that is not known here its name, which others chose."""
    return lenses.get(name).title if name in lenses.names() else name


def in_a_sentence(title: str) -> str:
    """Return a title as it stands within a sentence: abbreviations keep their capitals."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def lens_place(name: str) -> int:
    """Return the place of a lens in the order of colours."""
    names = all_lenses()
    return names.index(name) if name in names else len(names)


def rows_shown(run: ReadRun, every: int) -> list[int]:
    """Return the numbers of the rows of every so many layers."""
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
    """Return values as floats, nan for those that are not finite: a run that was imported may have any."""
    return np.where(np.isfinite(values), values, np.nan).astype(float)


def word_of(run: ReadRun, token: int) -> str:
    """Return the text of a token that a lens says."""
    return run.result.words.get(str(token), f"token {token}")


def row_name(place: str) -> str:
    """Return what a row is called: "L2", "L2 mid", "output"."""
    return place if place == "output" else f"L{place.replace('-', ' ')}"
