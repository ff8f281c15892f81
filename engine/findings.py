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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from engine.circuit import Circuit, check_graph, top_edges
from engine.combine import chosen_edges
from engine.discovery.base import Problem, Report, methods
from engine.errors import RequestError
from engine.evaluation import Evaluator, curve, ends
from engine.importance import node_importance
from engine.imports import kept_circuit, ranking
from engine.request import Kind, Request
from engine.runs import Run, RunStore
from engine.settings import parse_settings
from engine.workbench import Workbench


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
    problem = Problem(
        forward=bench.forward,
        prepare=lambda size: bench.batches(bench.training, bench.training.batches(size, request.seed)),
        target_edges=request.edges,
        warm_start=_warm_start(settings, work.store, graph.n_edges),
        checkpoint=work.checkpoint,
    )
    found = method.discover(problem, settings, request.seed, _part(report, 2, 88))
    discovered, scores, about = time.perf_counter(), found.scores.numpy(), _about(request, request.method)
    measured = curve(work.evaluator, graph, scores, request.edges, _part(report, 88, 99), about)
    circuit = top_edges(graph, scores, request.edges, about)
    return Found(measured, {"scores": scores}, circuit, found.history, found.notes, discovered)


def evaluate(work: Work, report: Report) -> Found:
    """Measure the circuits of every size of a finished run."""
    request, graph = work.request, work.bench.forward.graph
    assert request.edges is not None
    began, origin = time.perf_counter(), with_scores(work.store, request.circuit or "")
    about = _about(request, origin.request.method)
    scores = origin.tensors["scores"]
    measured = curve(work.evaluator, graph, scores, request.edges, _part(report, 2, 99), about)
    return Found(measured, discovered=began)


def measure(work: Work, report: Report) -> Found:
    """Measure the circuits that the request names."""
    request, graph, began = work.request, work.bench.forward.graph, time.perf_counter()
    points, tops = [], {}
    for done, chosen in enumerate(request.circuits):
        report(done, len(request.circuits), f"measuring {chosen.name}")
        kept = chosen_edges(chosen, graph, work.store)
        circuit = Circuit(graph, kept, np.full(graph.n_edges, np.nan), _about(request, None))
        point, tops[chosen.name] = work.evaluator.measure(circuit)
        points.append({"name": chosen.name} | point)
    result = {"summary": points[0], **ends(work.evaluator), "curve": points, "circuit_top": tops}
    return Found(result, discovered=began)


def importance(work: Work, report: Report) -> Found:
    """Measure every node: what is lost when it alone is ablated, and its direct effect on the answer."""
    began = time.perf_counter()
    result, tensors = node_importance(work.evaluator, report)
    return Found(result, tensors, discovered=began)


def imported(work: Work, report: Report) -> Found:
    """Measure an imported circuit at every size that its scores give."""
    request, began = work.request, time.perf_counter()
    circuit = kept_circuit(work.store, request.circuit or "")
    check_graph(circuit, work.bench.forward.graph, request.model)
    scores, k, notes = ranking(circuit)
    about = _about(request, circuit.about.get("method"))
    measured = curve(work.evaluator, circuit.graph, scores, k, _part(report, 2, 99), about)
    ranked = top_edges(circuit.graph, scores, k, about)
    return Found(measured, {"scores": scores}, ranked, notes=notes, discovered=began)


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


def _part(report: Report, first: int, last: int) -> Report:
    """Return a report that fills the part from `first` to `last` per cent of another."""

    def part(done: int, total: int, message: str) -> None:
        report(first + (last - first) * done // max(total, 1), 100, message)

    return part
