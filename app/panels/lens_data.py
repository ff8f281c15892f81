"""What the page "Lens" shows: texts that lenses have read, and how near the lenses of a model come to it."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from app.data import Shelf, model_name
from engine.lenses.base import LENSES, lenses
from engine.lenses.reading import stride
from engine.request import Request
from engine.runs import Run

MOST_ROWS = 26  # of a picture: more layers are drawn with a stride
STATISTICS = {
    "probability": "Probability of the top word",
    "kl": "KL to the model (nats)",
    "entropy": "Entropy (nats)",
    "rank": "Rank of the model's word",
    "cross_entropy": "Cross-entropy of the next token (nats)",
    "step_js": "JS to the next row (nats)",
}


@dataclass(frozen=True)
class Reading:
    """A text of one model that lenses have read.

    Attributes:
        key: what the address calls it.
        label: what the page calls it.
        request: that was asked for.
        run: None while it is being made.
    """

    key: str
    label: str
    request: Request
    run: Run | None


def reading_key(request: Request) -> str:
    """Return what tells a reading from others: readable parts and a hash."""
    assert request.lens is not None
    fields = ("model", "weights_hash", "bos", "dtype")
    about = [request.lens.model_dump(), *(getattr(request, name) for name in fields)]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]
    parts = [model_name(request.model), request.lens.text, digest]
    return "-".join(re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")[:30].strip("-") for part in parts)


def readings(shelf: Shelf, asked: Iterable[Request]) -> dict[str, Reading]:
    """Return what there is to show, by key: shipped readings first, then the user's.

    Args:
        asked: requests that are being carried out.
    """
    runs: dict[str, Run | None] = {}
    requests: dict[str, Request] = {}
    for run in sorted(shelf.others.values(), key=lambda run: not run.shipped):
        if run.request.kind == "lens":
            runs[reading_key(run.request)], requests[reading_key(run.request)] = run, run.request
    for request in asked:
        if request.kind == "lens":
            requests.setdefault(reading_key(request), request)
    labels = {key: _label(request) for key, request in requests.items()}
    several = {label for label in labels.values() if list(labels.values()).count(label) > 1}
    found = {}
    for key, request in requests.items():
        label = f"{labels[key]} · {key.rsplit('-', 1)[-1]}" if labels[key] in several else labels[key]
        found[key] = Reading(key, label, request, runs.get(key))
    return found


def _label(request: Request) -> str:
    assert request.lens is not None
    text = " ".join(request.lens.text.split())
    shown = text if len(text) <= 44 else f"{text[:43]}…"
    return f"“{shown}”{changed(request)} · {model_name(request.model)}"


def changed(request: Request) -> str:
    """Return what was changed while the text ran, in words; "" if nothing."""
    assert request.lens is not None
    if request.lens.circuit is not None:
        return f" in a circuit of {request.lens.circuit.edges} edges"
    if request.lens.ablated:
        return f" without {', '.join(request.lens.ablated)} ({request.lens.ablation})"
    return ""


def trained_run(shelf: Shelf, reading: Reading) -> Run | None:
    """Return the run that trained the lenses of a reading, else of its model; None if there is none."""
    same = [
        run
        for run in shelf.others.values()
        if run.request.kind == "train-lenses" and run.request.weights_hash == reading.request.weights_hash
    ]
    wanted = reading.request.lens.trained if reading.request.lens is not None else None
    return next((run for run in same if run.run_id == wanted), same[0] if same else None)


def lens_title(name: str) -> str:
    """Return the title of a lens; of one that is not known here, its name."""
    return lenses.get(name).title if name in lenses.names() else name


def lens_place(name: str) -> int:
    """Return the place of a lens in the order of colours."""
    return LENSES.index(name) if name in LENSES else len(LENSES)


def rows_shown(run: Run, every: int) -> list[int]:
    """Return the numbers of the rows of every so many layers."""
    return stride(run.result["places"], every)


def statistic(run: Run, name: str, lens: str) -> np.ndarray:
    """Return a statistic of a lens at every row and token, [rows, S]; nan where it has no value."""
    if name == "probability":
        return run.tensors[f"top_p.{lens}"][..., 0]
    values = run.tensors[f"{name}.{lens}"].astype(float)
    if name.startswith("step_"):
        return np.vstack([values, np.full((1, values.shape[1]), np.nan)])
    return values


def top_words(run: Run, lens: str) -> list[list[list[str]]]:
    """Return the most probable words of a lens, best first, for every row and token."""
    words = run.result["words"]
    return [
        [[words.get(str(i), f"token {i}") for i in cell] for cell in row]
        for row in run.tensors[f"top_ids.{lens}"].tolist()
    ]


def row_name(place: str) -> str:
    """Return what a row is called: "L2", "L2 mid", "output"."""
    return place if place == "output" else f"L{place.replace('-', ' ')}"
