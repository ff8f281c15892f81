"""Completion of requests of lenses. No model is loaded, so wrong requests fail at once."""

from pathlib import Path

from engine.errors import RequestError
from engine.instruments.lens.request import Reading, ReadText, TrainLenses
from engine.lenses.base import all_places, lenses
from engine.lenses.imported import translators_file
from engine.lenses.settings import LensTraining
from engine.lenses.texts import LENGTH
from engine.models import ModelShape, find_model, shape_of_folder, weights_hash
from engine.runs.combine import Chosen, chosen_edges
from engine.runs.folder import AnyRun
from engine.runs.request import Request
from engine.runs.store import RunStore
from engine.tasks.user_file import file_hash


def completed_lenses(asked: TrainLenses) -> TrainLenses:
    """Return a request to train lenses with all fields filled in that determine its run.

    Raises:
        RequestError: unknown model; settings that the model cannot have; a file that is missing or has
            changed.
    """
    digest, shape = _model(asked)
    training = completed_training(asked.lens_training, shape)
    return asked.model_copy(update={"weights_hash": digest, "lens_training": training})


def completed_reading(asked: ReadText, store: RunStore) -> ReadText:
    """Return a request to read a text with all fields filled in that determine its run.

    Raises:
        RequestError: unknown model, lens, node, circuit or run; settings that the model cannot have.
    """
    digest, shape = _model(asked)
    qkv, circuit = asked.qkv, asked.lens.circuit
    if circuit is not None:
        qkv = _circuit_run(circuit.run, digest, store).request.qkv
    graph = shape.graph(qkv)
    if circuit is not None:
        chosen_edges(Chosen(name="circuit", parts=[circuit]), graph, store)
    all_places(shape, asked.lens.middle)
    for node in asked.lens.ablated:
        if node not in graph.sources[1:]:
            raise RequestError(f"no node '{node}' can be ablated: heads are called a0.h1, MLPs m0")
    asked = asked.model_copy(update={"weights_hash": digest, "qkv": qkv})
    reading = asked.lens.model_copy(update={"trained": _trained(asked, asked.lens, store)})
    return asked.model_copy(update={"lens": reading})


def default_training(asked: ReadText) -> TrainLenses:
    """Return the completed request that trains the lenses of a reading's model with default settings."""
    return completed_lenses(TrainLenses(model=asked.model, dtype=asked.dtype, lens_training=LensTraining()))


def completed_training(settings: LensTraining, shape: ModelShape) -> LensTraining:
    """Return settings with length and middle filled in by the model's sizes, and with hashes of files.

    Raises:
        RequestError: settings that the model cannot have; a file that is missing or has changed.
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


def _hash(kind: str, path: str | None, expected: str | None) -> str | None:
    if path is None:
        return None
    try:
        digest = file_hash(Path(path))
    except OSError as error:
        raise RequestError(f"{kind} '{path}' cannot be read: {error.strerror}") from error
    if expected not in (None, digest):
        raise RequestError(f"{kind} '{path}' has changed since it was asked for: ask again")
    return digest


def _model(asked: Request) -> tuple[str, ModelShape]:
    """Return the hash of a model's weights and its shape.

    Raises:
        RequestError: there is no such model, or it has changed.
    """
    folder = find_model(asked.model)
    digest = weights_hash(folder)
    if asked.weights_hash not in (None, digest):
        raise RequestError(f"model '{asked.model}' has changed since it was asked for: ask again")
    return digest, shape_of_folder(folder)


def _trained(asked: ReadText, reading: Reading, store: RunStore) -> str | None:
    """Return the id of the run that trains the lenses, finished or not; None if none has parameters."""
    chosen = [lenses.get(name) for name in reading.lenses]  # an unknown one is refused
    if not any(lens.has_parameters for lens in chosen):
        return None
    default = default_training(asked).run_id()
    if reading.trained not in (None, default):
        run = store.get(reading.trained)
        if run.request.kind != "train-lenses" or run.request.weights_hash != asked.weights_hash:
            raise RequestError(f"run '{reading.trained}' trained no lenses of '{asked.model}'")
        return reading.trained
    return default


def _circuit_run(run_id: str, digest: str, store: RunStore) -> AnyRun:
    run = store.get(run_id)
    if run.request.weights_hash != digest:
        raise RequestError(f"run '{run_id}' is of another model: give a circuit of this one")
    return run
