"""The findings of a reading: one text read by several lenses."""

import numpy as np
import torch
from torch import Tensor

from engine.errors import RequestError
from engine.instruments.lens.completion import completed_reading, default_training
from engine.instruments.lens.request import Reading, ReadText
from engine.instruments.lens.train import basis_shapes
from engine.lenses.base import Lens, Parameters, Place, all_places, at, lenses
from engine.lenses.imported import reads_uncentred, stream_means
from engine.lenses.patched import AblatedNodes, circuit_streams, constants_of
from engine.lenses.reading import read
from engine.lenses.settings import LensTraining
from engine.lenses.streams import Streams, read_streams
from engine.models import Model
from engine.models.load import load_tokens
from engine.models.tokens import Tokens
from engine.progress import Report, part_of
from engine.runs.combine import Chosen, chosen_edges
from engine.runs.folder import AnyRun
from engine.runs.found import Found
from engine.runs.request import Request
from engine.runs.store import RunStore
from engine.workbench.ready import Workbench


def read_text(asked: ReadText, bench: Workbench, report: Report) -> Found:
    """Return the predictions of lenses, with the parameters of the run that trained them.

    Raises:
        RequestError: the text is too long, a word is no single token, the lenses' run does not fit.
    """
    model, reading = bench.model, asked.lens
    tokens = _tokens(model, reading, asked)
    raced = [_word(model, word) for word in reading.words]
    trained = None if reading.trained is None else bench.store.get(reading.trained)
    places = all_places(model.shape, reading.middle)
    within = part_of(report, 20, 100, 100)
    streams = _streams(model, asked, tokens, places, bench.store, part_of(report, 0, 20, 100))
    by: list[tuple[Lens, Parameters, Tensor]] = []
    for name in reading.lenses:
        lens, parameters = lenses.get(name), {}
        if lens.has_parameters:
            assert trained is not None
            parameters = parameters_of(model, trained, name, lens, places)
        at_places = streams.at[:, 0]
        if trained is not None and reads_uncentred(model, _settings(trained), name):
            if reading.ablated or reading.circuit:
                raise RequestError(
                    f"the tuned lens of run '{trained.run_id}' comes from the tuned-lens package and reads "
                    "only the whole model: take lenses trained here for ablated texts and circuits"
                )
            at_places = (
                at_places + stream_means(model, torch.tensor([tokens], device=model.device), places)[:, 0]
            )
        by.append((lens, parameters, at_places))

    def finals(here: slice) -> Tensor:
        # A lens reads no other position, so a long text is read some positions at a time.
        return torch.stack(
            [
                lens.final(model.transformer, parameters, places, at_places[:, here])
                for lens, parameters, at_places in by
            ]
        )

    arrays = read(
        model.transformer, reading.lenses, finals, len(places), streams.final[0], tokens, raced, within
    )
    token_ids = {int(i) for name in reading.lenses for i in np.unique(arrays[f"top_ids.{name}"])}
    result = {
        "text": reading.text,
        "tokens": model.token_strings(tokens),
        "places": [*(place.name for place in places), "output"],
        "lenses": reading.lenses,
        "raced": model.token_strings(raced),
        "words": {
            str(i): word for i, word in zip(token_ids, model.token_strings(list(token_ids)), strict=True)
        },
        "trained": reading.trained,
    }
    return Found(result, arrays, notes=_notes(model, reading.text, raced))


def _notes(tokens: Tokens, text: str, raced: list[int]) -> list[str]:
    """Return notes on tokens that are only spaces, which nobody may have meant."""
    notes: list[str] = []
    if tokens.ends_in_space(text):
        notes.append("the text ends in a space, which is a token of its own")
    if any(map(tokens.is_space, raced)):
        notes.append("one of the words that are followed is a token that is only a space")
    return notes


def parameters_of(model: Model, run: AnyRun, name: str, lens: Lens, places: list[Place]) -> Parameters:
    """Return a lens's parameters at some places, from the run that trained it.

    Raises:
        RequestError: the run lacks parameters of this lens or place, or they do not fit the model.
    """
    trained_places = all_places(model.shape, bool(_settings(run).middle))
    if missing := [place.name for place in places if place not in trained_places]:
        raise RequestError(f"run '{run.run_id}' trained no lens at '{missing[0]}', in the middle of a layer")
    parameters: Parameters = {}
    for key, like in lens.start(basis_shapes(model, trained_places)).items():
        array = run.tensors.get(f"{name}.{key}")
        # A run may come from anywhere.
        if array is None or array.shape != tuple(like.shape) or array.dtype.kind != "f":
            raise RequestError(
                f"run '{run.run_id}' has no '{name}.{key}' of shape {list(like.shape)}: if it is older than "
                "this lens, delete it, and lenses are trained again"
            )
        parameters[key] = torch.as_tensor(array).to(model.device)
    return at(parameters, [trained_places.index(place) for place in places])


def _settings(run: AnyRun) -> LensTraining:
    return run.request.lens_training


def _streams(
    model: Model,
    asked: ReadText,
    tokens: list[int],
    places: list[Place],
    store: RunStore,
    report: Report,
) -> Streams:
    """Return the streams of the text in a plain run, with nodes ablated, or through a circuit."""
    reading, row = asked.lens, torch.tensor([tokens], device=model.device)
    if not (reading.ablated or reading.circuit):
        return read_streams(model.transformer, row, places)
    constants = constants_of(model, reading.ablation, report)
    if reading.circuit is None:
        return read_streams(model.transformer, row, places, AblatedNodes(reading.ablated, constants))
    graph = model.shape.graph(asked.qkv)
    kept = chosen_edges(Chosen(name="circuit", parts=[reading.circuit]), graph, store)
    return circuit_streams(model.transformer, graph, kept, row, constants, places)


def check_reading(asked: ReadText, store: RunStore) -> None:
    """Check a request whose lenses are still to be trained.

    Raises:
        RequestError: an unknown model, lens, node, circuit or run; too long a text; a word of several tokens.
    """
    completed_reading(asked, store)
    _check_text(asked)


def before_reading(asked: ReadText, store: RunStore) -> Request | None:
    """Return the request that trains the lenses, if they are not trained yet; else None.

    Raises:
        RequestError: the text is too long, or a word is no single token.
    """
    if asked.lens.trained is None or asked.lens.trained in store:
        return None
    _check_text(asked)
    return default_training(asked)


def _check_text(asked: ReadText) -> None:
    tokens = load_tokens(asked.model)
    _tokens(tokens, asked.lens, asked)
    for word in asked.lens.words:
        _word(tokens, word)


def _tokens(model: Tokens, reading: Reading, asked: ReadText) -> list[int]:
    tokens = model.prompt_ids(reading.text, asked.bos)
    if not 0 < len(tokens) <= model.shape.n_ctx:
        raise RequestError(
            f"the text has {len(tokens)} tokens; '{asked.model}' reads 1 to {model.shape.n_ctx}"
        )
    return tokens


def _word(model: Tokens, word: str) -> int:
    if (token := model.token_id(word)) is None:
        hint = "" if word.startswith(" ") else "; a word within a text begins with a space"
        raise RequestError(f"'{word}' is not one token of this model and cannot be followed{hint}")
    return token
