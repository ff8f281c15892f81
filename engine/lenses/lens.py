"""Carry out a request of kind "lens": read one text by several lenses."""

import numpy as np
import torch
from torch import Tensor

from engine.errors import RequestError
from engine.findings import Found
from engine.lenses.base import Lens, Parameters, Place, all_places, at, lenses
from engine.lenses.imported import reads_uncentred, stream_means
from engine.lenses.patched import AblatedNodes, circuit_streams, constants_of
from engine.lenses.reading import read
from engine.lenses.requests import default_training
from engine.lenses.settings import LensTraining
from engine.lenses.streams import Streams, read_streams
from engine.lenses.train_lenses import basis_shapes
from engine.models import Model
from engine.models.load import load_tokens
from engine.models.tokens import Tokens
from engine.progress import Report, part_of
from engine.runs.combine import chosen_edges
from engine.runs.request import Chosen, LensReading, Request
from engine.runs.store import Run, RunStore


def lens(model: Model, request: Request, store: RunStore, report: Report) -> Found:
    """Return what the lenses say, with the parameters of the run that trained them.

    Raises:
        RequestError: the text is too long, a word is no single token, the lenses' run does not fit.
    """
    asked = request.lens
    assert asked is not None
    tokens = _tokens(model, asked, request)
    raced = [_word(model, word) for word in asked.words]
    trained = None if asked.trained is None else store.get(asked.trained)
    places = all_places(model.shape, asked.middle)
    within = part_of(report, 20, 100, 100)
    streams = _streams(model, request, asked, tokens, places, store, part_of(report, 0, 20, 100))
    by: list[tuple[Lens, Parameters, Tensor]] = []
    for name in asked.lenses:
        one, parameters = lenses.get(name), {}
        if one.has_parameters:
            assert trained is not None
            parameters = parameters_of(model, trained, name, one, places)
        at_places = streams.at[:, 0]
        if trained is not None and reads_uncentred(model, _settings(trained), name):
            if asked.ablated or asked.circuit:
                raise RequestError(
                    f"the tuned lens of run '{trained.run_id}' comes from the tuned-lens package and reads "
                    "only the whole model: take lenses trained here for ablated texts and circuits"
                )
            at_places = (
                at_places + stream_means(model, torch.tensor([tokens], device=model.device), places)[:, 0]
            )
        by.append((one, parameters, at_places))

    def finals(here: slice) -> Tensor:
        # A lens reads no other position, so a long text is read some positions at a time.
        return torch.stack(
            [
                one.final(model.transformer, parameters, places, at_places[:, here])
                for one, parameters, at_places in by
            ]
        )

    arrays = read(
        model.transformer, asked.lenses, finals, len(places), streams.final[0], tokens, raced, within
    )
    said = {int(i) for name in asked.lenses for i in np.unique(arrays[f"top_ids.{name}"])}
    result = {
        "text": asked.text,
        "tokens": model.token_strings(tokens),
        "places": [*(place.name for place in places), "output"],
        "lenses": asked.lenses,
        "raced": model.token_strings(raced),
        "words": {str(i): word for i, word in zip(said, model.token_strings(list(said)), strict=True)},
        "trained": asked.trained,
    }
    return Found(result, arrays)


def parameters_of(model: Model, run: Run, name: str, one: Lens, places: list[Place]) -> Parameters:
    """Return a lens's parameters at some places, from the run that trained it.

    Raises:
        RequestError: the run has none of this lens or place, or they do not fit the model.
    """
    known = all_places(model.shape, bool(_settings(run).middle))
    if missing := [place.name for place in places if place not in known]:
        raise RequestError(f"run '{run.run_id}' trained no lens at '{missing[0]}', in the middle of a layer")
    found: Parameters = {}
    for key, like in one.start(basis_shapes(model, known)).items():
        array = run.tensors.get(f"{name}.{key}")
        # A run may come from anywhere.
        if array is None or array.shape != tuple(like.shape) or array.dtype.kind != "f":
            raise RequestError(
                f"run '{run.run_id}' has no '{name}.{key}' of shape {list(like.shape)}: if it is older than "
                "this lens, delete it, and lenses are trained again"
            )
        found[key] = torch.from_numpy(array).to(model.device)
    return at(found, [known.index(place) for place in places])


def _settings(run: Run) -> LensTraining:
    assert run.request.lens_training is not None
    return run.request.lens_training


def _streams(
    model: Model,
    request: Request,
    asked: LensReading,
    tokens: list[int],
    places: list[Place],
    store: RunStore,
    report: Report,
) -> Streams:
    """Return the streams of the text as it runs plainly, with nodes ablated, or through a circuit."""
    row = torch.tensor([tokens], device=model.device)
    if not (asked.ablated or asked.circuit):
        return read_streams(model.transformer, row, places)
    constants = constants_of(model, asked.ablation, report)
    if asked.circuit is None:
        return read_streams(model.transformer, row, places, AblatedNodes(asked.ablated, constants))
    graph = model.shape.graph(request.qkv)
    kept = chosen_edges(Chosen(name="circuit", parts=[asked.circuit]), graph, store)
    return circuit_streams(model.transformer, graph, kept, row, constants, places)


def before_lens(request: Request, store: RunStore) -> Request | None:
    """Return the request that has to be carried out first: the training of the lenses, if they are not
    trained yet.

    Raises:
        RequestError: the text is too long, or a word is no single token.
    """
    asked = request.lens
    assert asked is not None
    if asked.trained is None or asked.trained in store:
        return None
    tokens = load_tokens(request.model)
    _tokens(tokens, asked, request)
    for word in asked.words:
        _word(tokens, word)
    return default_training(request, store)


def _tokens(model: Tokens, asked: LensReading, request: Request) -> list[int]:
    tokens = model.prompt_ids(asked.text, request.bos)
    if not 0 < len(tokens) <= model.shape.n_ctx:
        raise RequestError(
            f"the text has {len(tokens)} tokens; '{request.model}' reads 1 to {model.shape.n_ctx}"
        )
    return tokens


def _word(model: Tokens, word: str) -> int:
    if (found := model.token_id(word)) is None:
        hint = "" if word.startswith(" ") else "; a word within a text begins with a space"
        raise RequestError(f"'{word}' is not one token of this model and cannot be followed{hint}")
    return found
