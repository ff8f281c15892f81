"""Complete requests of the kinds "train-lenses" and "lens"; nothing is loaded, wrong ones fail at once."""

from pathlib import Path
from typing import Any

from engine.errors import RequestError
from engine.lenses.base import all_places, lenses
from engine.lenses.settings import LensTraining
from engine.lenses.texts import LENGTH
from engine.models import ModelShape, find_model, shape_of_folder, weights_hash
from engine.runs.combine import chosen_edges
from engine.runs.request import Chosen, LensReading, Request
from engine.runs.store import Run, RunStore
from engine.tasks.user_file import file_hash

# What every request of these kinds has: no task, no ablation.
_FIXED = {"task": "text", "ablation": "none"}
# Settings of lenses that are trained because a text is to be read: the default ones.
DEFAULTS: dict[str, Any] = {}


def completed_lens(request: Request, store: RunStore) -> Request:
    """Return the request with everything filled in that decides its run.

    Raises:
        RequestError: unknown model, lens, node, circuit or run; settings that the model cannot have; a file
            that is not there or has changed.
    """
    folder = find_model(request.model)
    shape, digest = shape_of_folder(folder), weights_hash(folder)
    if request.weights_hash not in (None, digest):
        raise RequestError(f"model '{request.model}' has changed since it was asked for: ask again")
    request = request.model_copy(update={"weights_hash": digest, **_FIXED})
    if request.lens_training is not None and request.kind == "train-lenses":
        training = completed_training(request.lens_training, shape)
        return request.model_copy(update={"lens_training": training, "lens": None})
    assert request.lens is not None
    qkv = request.qkv
    if request.lens.circuit is not None:
        qkv = _circuit_run(request.lens.circuit.run, digest, store).request.qkv
    graph = shape.graph(qkv)
    if request.lens.circuit is not None:
        chosen_edges(Chosen(name="circuit", parts=[request.lens.circuit]), graph, store)
    all_places(shape, request.lens.middle)
    for node in request.lens.ablated:
        if node not in graph.sources[1:]:
            raise RequestError(f"no node '{node}' can be ablated: heads are called a0.h1, MLPs m0")
    trained = _trained(request, request.lens, store)
    reading = request.lens.model_copy(update={"trained": trained})
    return request.model_copy(update={"lens": reading, "lens_training": None, "qkv": qkv})


def default_training(request: Request, store: RunStore) -> Request:
    """Return the request, completed, that trains the lenses of a model with default settings."""
    plain = {"model": request.model, "dtype": request.dtype, **_FIXED}
    asked = Request.model_validate({"kind": "train-lenses", "lens_training": DEFAULTS, **plain})
    return completed_lens(asked, store)


def _trained(request: Request, reading: LensReading, store: RunStore) -> str | None:
    """Return the id of the run that trained the lenses, or will; None where nothing asked for is trained."""
    if not any(lenses.get(name).has_parameters for name in reading.lenses):
        return None
    default = default_training(request, store).run_id()
    if reading.trained not in (None, default):
        run = store.get(reading.trained)
        if run.request.kind != "train-lenses" or run.request.weights_hash != request.weights_hash:
            raise RequestError(f"run '{reading.trained}' trained no lenses of '{request.model}'")
        return reading.trained
    return default


def _circuit_run(run_id: str, digest: str, store: RunStore) -> Run:
    run = store.get(run_id)
    if run.request.weights_hash != digest:
        raise RequestError(f"run '{run_id}' is of another model: give a circuit of this one")
    return run


def completed_training(settings: LensTraining, shape: ModelShape) -> LensTraining:
    """Return settings with what the model allows filled in: length, middle, and hashes of files.

    Raises:
        RequestError: the model cannot have them; a file that is not there or has changed.
    """
    length = min(LENGTH, shape.n_ctx) if settings.length is None else settings.length
    if length > shape.n_ctx:
        raise RequestError(f"texts of {length} tokens; the model reads {shape.n_ctx} at most")
    middle = settings.middle
    if settings.tuned_from is not None:
        if middle:
            raise RequestError(
                "the tuned-lens package has no translators in the middle of layers: leave it out"
            )
        middle = False
    middle = not shape.parallel if middle is None else middle
    all_places(shape, middle)
    return settings.model_copy(
        update={
            "length": length,
            "middle": middle,
            "texts_hash": _hash("texts", settings.texts, settings.texts_hash),
            "tuned_hash": _hash("translators", _weights(settings.tuned_from), settings.tuned_hash),
        }
    )


def _weights(folder: str | None) -> str | None:
    return None if folder is None else str(translators_file(Path(folder)))


def translators_file(folder: Path) -> Path:
    """Return the file of weights in a folder of the tuned-lens package, by preference the one without pickle.

    Raises:
        RequestError: there is none.
    """
    for name in ("params.safetensors", "params.pt"):
        if (folder / name).is_file():
            return folder / name
    raise RequestError(f"'{folder}' has no params.safetensors or params.pt, as the tuned-lens package saves")


def _hash(what: str, path: str | None, known: str | None) -> str | None:
    if path is None:
        return None
    try:
        found = file_hash(Path(path))
    except OSError as error:
        raise RequestError(f"{what} '{path}' cannot be read: {error.strerror}") from error
    if known not in (None, found):
        raise RequestError(f"{what} '{path}' has changed since it was asked for: ask again")
    return found
