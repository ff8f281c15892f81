"""Completion of requests: hashes of files, default settings, sizes. No model is loaded."""

from pathlib import Path
from typing import TypeVar

from engine.circuits.graph import Graph
from engine.errors import RequestError
from engine.runs.folder import AnyRun
from engine.runs.request import OfACircuit, OfAGraph, OfATask, Request
from engine.runs.store import RunStore
from engine.settings import parse_settings, settings_to_json

OfATaskT = TypeVar("OfATaskT", bound=OfATask)
OfACircuitT = TypeVar("OfACircuitT", bound=OfACircuit)
# What requests about a finished run take over from it.
SAME = ("model", "weights_hash", "task", "task_hash", "qkv", "bos", "dtype", "edges", "seed")


def graph_of(asked: OfAGraph) -> Graph:
    """Return the graph of a request's model.

    Raises:
        RequestError: there is no such model.
    """
    from engine.models import find_model, shape_of_folder  # brings torch, as all models do

    return shape_of_folder(find_model(asked.model)).graph(asked.qkv)


def completed_task(asked: OfATaskT, since: str = "") -> OfATaskT:
    """Return a request with the hashes of its model and its task file.

    Args:
        since: ending of the error message for a file that has changed.

    Raises:
        RequestError: there is no such model or task, or one of them has changed.
    """
    from engine.models import find_model, weights_hash
    from engine.tasks.dataset import check_task
    from engine.tasks.user_file import file_hash, is_task_file

    check_task(asked.task)
    task_hash = file_hash(Path(asked.task)) if is_task_file(asked.task) else None
    hashes = {"weights_hash": weights_hash(find_model(asked.model)), "task_hash": task_hash}
    for name, changed in (("weights_hash", f"model '{asked.model}'"), ("task_hash", f"task '{asked.task}'")):
        if getattr(asked, name) not in (None, hashes[name]):
            raise RequestError(f"{changed} has changed{since}: discover again")
    return asked.model_copy(update=hashes)


def with_ablation(asked: OfATaskT) -> OfATaskT:
    """Return a request with all settings of its ablation filled in.

    Raises:
        RequestError: there is no such ablation, or a setting is unknown or out of range.
    """
    from engine.ablations.base import ablations

    settings = parse_settings(ablations.get(asked.ablation).Settings, asked.ablation_settings)
    return asked.model_copy(update={"ablation_settings": settings_to_json(settings)})


def with_edges(asked: OfACircuitT, graph: Graph) -> OfACircuitT:
    """Return a request with its size in edges.

    Raises:
        RequestError: more edges than the graph has.
    """
    edges = asked.target_edges(graph.n_edges)
    if (most := max([edges, *asked.sizes])) > graph.n_edges:
        raise RequestError(
            f"{most} edges were asked for, but the graph of '{asked.model}' has {graph.n_edges}"
        )
    return asked.model_copy(update={"edges": edges, "sparsity": None})


def with_scores(store: RunStore, run_id: str) -> AnyRun:
    """Return a run that has scores of its own.

    Raises:
        RequestError: there is no such run, or it has no scores.
    """
    run = store.get(run_id)
    if run.circuit is None:
        origin = run.request.origin
        instead = "" if origin is None else f"; take the run it evaluates: '{origin}'"
        raise RequestError(f"run '{run_id}' has no scores of its own{instead}")
    return run


def constants_are_trained(asked: OfATask) -> bool:
    """Return whether the ablation of a request has trained constants, which take long to compute."""
    from engine.ablations.base import ablations
    from engine.ablations.optimal import Optimal

    return asked.ablation in ablations.names() and isinstance(ablations.get(asked.ablation), Optimal)


def about(request: Request) -> dict[str, str | None]:
    """Return the description of a circuit's origin: model, task, method and ablation."""
    facets = request.facets()
    return {name: (facets[name] or [None])[0] for name in ("model", "task", "method", "ablation")}
