"""What each kind of request finds, on a workbench that is ready: the middle part of `engine.experiments.run`.

discover     a method's scores, and the circuits of every size they rank
evaluate     the circuits of a finished run under another ablation
measure      circuits made of others, one by one
importance   every node ablated alone, and its direct effect on the answer
import       the circuits of every size that an imported circuit file ranks
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from engine.ablations.base import Replacer
from engine.ablations.constants import Constants, constant_replacer
from engine.circuits.circuit import Circuit, check_graph, prune_dangling, top_edges
from engine.discovery.base import Problem, Step, methods
from engine.errors import RequestError
from engine.forward.masked import Replacement
from engine.instruments.importance.nodes import node_importance
from engine.progress import Report, part_of
from engine.runs.combine import chosen_edges
from engine.runs.imports import kept_circuit, ranking
from engine.runs.request import Kind, Request
from engine.runs.store import Run, RunStore
from engine.settings import parse_settings
from engine.workbench.evaluation import Evaluator, curve, edge_grid, ends
from engine.workbench.memory import memory_mb
from engine.workbench.ready import Workbench


@dataclass(frozen=True)
class Work:
    """What a finding has to work with."""

    request: Request
    bench: Workbench
    evaluator: Evaluator
    store: RunStore
    checkpoint: Path | None


@dataclass(frozen=True)
class Found:
    """What is written into the run folder: a part of result.json, tensors, a circuit.

    Attributes:
        discovered: when discovery was done and evaluation began, by `time.perf_counter`.
    """

    result: dict[str, Any]
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    circuit: Circuit | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    discovered: float = field(default_factory=time.perf_counter)


def discover(work: Work, report: Report) -> Found:
    """Score every edge by the request's method and measure the circuits of every size."""
    request, bench = work.request, work.bench
    assert request.method is not None
    assert request.edges is not None
    graph, method = bench.forward.graph, methods.get(request.method)
    settings = parse_settings(method.Settings, request.settings)
    alone = bench.trained is not None and not method.trains_constants

    @cache
    def replacer() -> Replacer:
        return constant_replacer(_constants_alone(work, report)) if alone else bench.replace

    problem = Problem(
        forward=bench.forward,
        prepare=lambda size: bench.batches(
            bench.training, bench.training.batches(size, request.seed), replacer()
        ),
        target_edges=request.edges,
        warm_start=_warm_start(settings, work.store, graph.n_edges),
        checkpoint=work.checkpoint,
        constants=Constants(bench.trained.start) if bench.trained and not alone else None,
        metric=bench.training.metric,
    )
    # Circuits take long to measure where constants are trained for each of them.
    until = 88 if bench.trained is None else 50
    began, before = time.perf_counter(), memory_mb(bench.model.device, reset=True)
    found = method.discover(problem, settings, request.seed, part_of(report, 2, until, 100))
    discovered, scores, about = time.perf_counter(), found.scores.numpy(), _about(request, request.method)
    peak = memory_mb(bench.model.device, peak=True) - before
    last = 99 - 9 * bool(found.path)
    measured = _curve(work, scores, part_of(report, until, last, 100), about)
    measured["cost"] = {"seconds": round(discovered - began, 3), "peak_mb": round(peak, 1)}
    if found.path:
        measured["path"] = _path(work, found.path, part_of(report, last, 99, 100), about)
    circuit = top_edges(graph, scores, request.edges, about)
    return Found(measured, {"scores": scores}, circuit, found.history, found.notes, discovered)


def evaluate(work: Work, report: Report) -> Found:
    """Measure the circuits of every size of a finished run."""
    request = work.request
    began, origin = time.perf_counter(), with_scores(work.store, request.circuit or "")
    about = _about(request, origin.request.method)
    scores = origin.tensors["scores"]
    measured = _curve(work, scores, part_of(report, 2, 99, 100), about)
    return Found(measured, discovered=began)


def measure(work: Work, report: Report) -> Found:
    """Measure the circuits that the request names."""
    request, graph, began = work.request, work.bench.forward.graph, time.perf_counter()
    points, tops = [], {}
    for done, chosen in enumerate(request.circuits):
        report(done, len(request.circuits), f"measuring {chosen.name}")
        kept = chosen_edges(chosen, graph, work.store)
        circuit = Circuit(graph, kept, np.full(graph.n_edges, np.nan), _about(request, None))
        within = part_of(report, done, done + 1, len(request.circuits), f"{chosen.name}: ")
        point, tops[chosen.name] = work.evaluator.measure(circuit, within)
        points.append({"name": chosen.name} | point)
    result = {"summary": points[0], **ends(work.evaluator), "curve": points, "circuit_top": tops}
    return Found(result, discovered=began)


def importance(work: Work, report: Report) -> Found:
    """Measure every node: what is lost when it alone is ablated, and its direct effect on the answer."""
    began = time.perf_counter()
    if work.bench.trained is None:
        result, tensors = node_importance(work.evaluator, part_of(report, 2, 99, 100))
        return Found(result, tensors, discovered=began)
    fit = work.bench.fit_alone(part_of(report, 2, 80, 100))
    evaluator = work.bench.evaluator(work.request, constant_replacer(fit.constants))
    result, tensors = node_importance(evaluator, part_of(report, 80, 99, 100))
    values = (fit.constants.input, fit.constants.heads, fit.constants.mlps)
    tensors |= {name: value.float().cpu().numpy() for name, value in zip(CONSTANTS, values, strict=True)}
    return Found(result, tensors, history=fit.history, discovered=began)


def imported(work: Work, report: Report) -> Found:
    """Measure an imported circuit at every size that its scores give."""
    request, began = work.request, time.perf_counter()
    circuit = kept_circuit(work.store, request.circuit or "")
    check_graph(circuit, work.bench.forward.graph, request.model)
    scores, k, notes = ranking(circuit)
    about = _about(request, circuit.about.get("method"))
    measured = _curve(work, scores, part_of(report, 2, 99, 100), about)
    ranked = top_edges(circuit.graph, scores, k, about)
    return Found(measured, {"scores": scores}, ranked, notes=notes, discovered=began)


CONSTANTS = ("constants.input", "constants.heads", "constants.mlps")


def _constants_alone(work: Work, report: Report) -> Replacement:
    """Return the constants of every source ablated alone: of a finished importance run, or trained now."""
    plain: dict[str, Any] = {"kind": "importance", "method": None, "settings": {}, "edges": None, "sizes": []}
    asked = work.request.model_copy(update=plain)
    if asked.run_id() in work.store and work.bench.trained is not None:
        tensors, like = work.store.get(asked.run_id()).tensors, work.bench.trained.start
        shapes = [tuple(value.shape) for value in (like.input, like.heads, like.mlps)]
        # A run may come from anywhere.
        if [tensors.shapes.get(name) for name in CONSTANTS] == shapes:
            stream, heads, mlps = (torch.from_numpy(tensors[name]).to(like.mlps) for name in CONSTANTS)
            return Replacement(stream, heads, mlps)
    return work.bench.fit_alone(report).constants


def _curve(work: Work, scores: np.ndarray, report: Report, about: dict[str, Any]) -> dict[str, Any]:
    """Measure the circuits of a ranking at the sizes that the request asks for."""
    request, graph = work.request, work.bench.forward.graph
    assert request.edges is not None
    sizes = request.sizes or edge_grid(int(np.isfinite(scores).sum()))
    return curve(work.evaluator, graph, scores, sizes, request.edges, report, about)


def _path(work: Work, path: list[Step], report: Report, about: dict[str, Any]) -> list[dict[str, Any]]:
    """Measure the circuits that a method chose itself, without their dangling edges."""
    graph, points = work.bench.forward.graph, []
    for done, step in enumerate(path):
        kept = prune_dangling(graph, step.kept.numpy())
        circuit = Circuit(graph, kept, np.full(graph.n_edges, np.nan), about)
        within = part_of(report, done, done + 1, len(path), f"{circuit.n_edges} edges: ")
        points.append({"penalty": step.penalty} | work.evaluator.measure(circuit, within)[0])
    return points


FINDINGS: dict[Kind, Callable[[Work, Report], Found]] = {
    "discover": discover,
    "evaluate": evaluate,
    "measure": measure,
    "importance": importance,
    "import": imported,
}


def with_scores(store: RunStore, run_id: str) -> Run:
    """Return a run that has scores of its own.

    Raises:
        RequestError: no such run, or one without scores.
    """
    found = store.get(run_id)
    if found.circuit is None:
        origin = found.request.circuit
        instead = "" if origin is None else f"; take the run it evaluates: '{origin}'"
        raise RequestError(f"run '{run_id}' has no scores of its own{instead}")
    return found


def _warm_start(settings: BaseModel, store: RunStore, n_edges: int) -> torch.Tensor | None:
    name = getattr(settings, "warm_start", None)
    if name is None:
        return None
    scores = with_scores(store, name).tensors["scores"]
    if len(scores) != n_edges:
        raise RequestError(
            f"run '{name}' has {len(scores)} edges, this graph {n_edges}: no warm start from it"
        )
    return torch.from_numpy(scores)


def _about(request: Request, method: str | None) -> dict[str, Any]:
    """Return what a circuit says of itself."""
    return {"model": request.model, "task": request.task, "method": method, "ablation": request.ablation}
