"""Complete a request: fill in everything that decides its run, and refuse what cannot be carried out."""

from pathlib import Path
from typing import Any

from engine.ablations.base import ablations
from engine.circuits.graph import Graph
from engine.discovery.base import methods
from engine.errors import RequestError
from engine.findings import with_scores
from engine.lenses.requests import completed_lens
from engine.models import find_model, shape_of_folder, weights_hash
from engine.runs.combine import chosen_edges
from engine.runs.imports import kept_circuit, ranking
from engine.runs.request import Kind, Request, Sweep
from engine.runs.store import RunStore
from engine.settings import parse_settings
from engine.sweep import sizes
from engine.tasks.dataset import check_task
from engine.tasks.user_file import file_hash, is_task_file
from engine.tracing.base import corruptions

_SAME = ("model", "weights_hash", "task", "task_hash", "qkv", "bos", "dtype", "edges")
# What requests about a finished run take over from it, by their kind.
OF_A_RUN: dict[Kind, tuple[str, ...]] = {
    "evaluate": (*_SAME, "seed"),
    "stability": (*_SAME, "seed", "ablation", "ablation_settings", "split", "n_prompts"),
}


def completed(request: Request, store: RunStore) -> Request:
    """Return the request with everything filled in that decides its run: hashes, sizes, plain settings.

    Nothing is loaded, so a wrong request is refused at once.

    Raises:
        RequestError: unknown model, task, method, ablation or run; settings out of range; too many edges.
    """
    if request.kind in ("train-lenses", "lens"):
        return completed_lens(request, store)
    if request.kind in OF_A_RUN:
        origin = with_scores(store, request.circuit or "").request
        if request.kind == "stability" and (origin.kind != "discover" or origin.held_out):
            raise RequestError(
                f"run '{request.circuit}' is no discovery on all templates: it cannot be repeated"
            )
        if request.kind == "stability" and origin.split == "train":
            raise RequestError(
                f"run '{request.circuit}' is measured on its training prompts: nothing is held out"
            )
        same = {name: getattr(origin, name) for name in OF_A_RUN[request.kind]}
        request = request.model_copy(update=same | {"sparsity": None})
    graph = shape_of_folder(find_model(request.model)).graph(request.qkv)
    if request.sweep is not None:
        request = _completed_sweep(request, request.sweep, graph)
    if request.trace is not None and request.trace.window > graph.n_layers:
        raise RequestError(
            f"a window of {request.trace.window} layers; '{request.model}' has {graph.n_layers}"
        )
    edges = _edges(request, graph, store)
    check_task(request.task)
    kinds = corruptions if request.kind == "trace" else ablations
    ablation = parse_settings(kinds.get(request.ablation).Settings, request.ablation_settings)
    update: dict[str, Any] = {
        "weights_hash": weights_hash(find_model(request.model)),
        "task_hash": file_hash(Path(request.task)) if is_task_file(request.task) else None,
        "ablation_settings": ablation.model_dump(mode="json"),
        "edges": edges,
        "sparsity": None,
    }
    if request.sweep is not None:
        update["ablation_settings"] = {}
    if request.method is not None:
        settings = parse_settings(methods.get(request.method).Settings, request.settings)
        update["settings"] = settings.model_dump(mode="json")
        if (start := update["settings"].get("warm_start")) is not None:
            with_scores(store, start)
    for name, what in (("weights_hash", f"model '{request.model}'"), ("task_hash", f"task '{request.task}'")):
        if getattr(request, name) not in (None, update[name]):
            since = f" since run '{request.circuit}' was made" if request.kind in OF_A_RUN else ""
            raise RequestError(f"{what} has changed{since}: discover again")
    return request.model_copy(update=update)


def _edges(request: Request, graph: Graph, store: RunStore) -> int | None:
    """Return the size of the circuit that is asked for; None where circuits or nodes are asked for by name.

    Raises:
        RequestError: more edges than the graph has, or circuits that are not there.
    """
    if request.kind == "measure":
        for chosen in request.circuits:
            chosen_edges(chosen, graph, store)
        return None
    if request.kind in ("importance", "trace"):
        return None
    if request.kind == "import":
        return ranking(kept_circuit(store, request.circuit or "")).edges
    edges = request.target_edges(graph.n_edges)
    if (most := max([edges, *request.sizes])) > graph.n_edges:
        raise RequestError(
            f"{most} edges were asked for, but the graph of '{request.model}' has {graph.n_edges}"
        )
    return edges


def _completed_sweep(request: Request, sweep: Sweep, graph: Graph) -> Request:
    """Return the request of a sweep with the settings of its methods filled in, and MIB's sizes by default.

    Raises:
        RequestError: a method, an ablation or a task is not known, settings of no method, or what a sweep
            does not take.
    """
    if request.pairs or request.held_out or request.ablation_settings:
        raise RequestError("a sweep takes no pairs, no templates held out and no settings of ablations")
    known = ((sweep.methods, methods.get), (sweep.ablations, ablations.get), (sweep.tasks, check_task))
    for names, check in known:
        for name in names:
            check(name)
    if rest := sweep.settings.keys() - set(sweep.methods):
        raise RequestError(f"settings of '{min(rest)}', which is not among the methods of the sweep")
    settings = {
        name: parse_settings(methods.get(name).Settings, sweep.settings.get(name, {})).model_dump(mode="json")
        for name in sweep.methods
    }
    hashes = {task: file_hash(Path(task)) for task in sweep.tasks if is_task_file(task)}
    if changed := [task for task, known in sweep.task_hashes.items() if hashes.get(task) != known]:
        raise RequestError(f"task '{changed[0]}' has changed since the sweep was asked for: ask again")
    return request.model_copy(
        update={
            "task": sweep.tasks[0],
            "ablation": sweep.ablations[0],
            "sizes": request.sizes or sizes(graph.n_edges),
            "sweep": sweep.model_copy(update={"settings": settings, "task_hashes": hashes}),
        }
    )
