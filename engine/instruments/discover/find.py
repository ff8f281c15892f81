"""The findings of a discovery: a method's scores, and circuits of every size by their ranking."""

import time
from functools import cache
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from engine.ablations.base import Replacer
from engine.ablations.constants import Constants, constant_replacer
from engine.circuits.circuit import Circuit, prune_dangling, top_edges
from engine.discovery.base import Problem, Step, methods
from engine.errors import RequestError
from engine.forward.masked import Replacement
from engine.instruments.completion import about, with_scores
from engine.instruments.discover.request import Discover
from engine.progress import Report, part_of
from engine.runs.found import Found
from engine.runs.kinds import make_request
from engine.runs.store import RunStore
from engine.settings import parse_settings
from engine.workbench.evaluation import Evaluator, measured_curve
from engine.workbench.memory import memory_mb
from engine.workbench.ready import CONSTANTS, Prepared, Workbench
from engine.workbench.shown import with_prompts


def discover(asked: Discover, bench: Workbench, report: Report) -> Found:
    """Score every edge by the request's method and measure the circuits of every size."""
    assert asked.edges is not None
    prepared = bench.prepare(asked, asked.settings)
    # Before the long part, so that a fault in the prompts evaluated on is found at once.
    evaluator = prepared.evaluator(asked)
    report(2, 100, evaluator.model_line)
    graph, method = prepared.forward.graph, methods.get(asked.method)
    settings = parse_settings(method.Settings, asked.settings)
    alone = prepared.trained is not None and not method.trains_constants

    @cache
    def replacer() -> Replacer:
        if not alone:
            return prepared.replace
        return constant_replacer(_constants_alone(asked, prepared, bench.store, report))

    problem = Problem(
        forward=prepared.forward,
        prepare=lambda size: prepared.batches(
            prepared.training, prepared.training.batches(size, asked.seed), replacer()
        ),
        target_edges=asked.edges,
        warm_start=_warm_start(settings, bench.store, graph.n_edges),
        checkpoint=bench.checkpoint,
        constants=Constants(prepared.trained.start) if prepared.trained and not alone else None,
        metric=prepared.training.metric,
    )
    # Circuits take long to measure where constants are trained for each of them.
    until = 88 if prepared.trained is None else 50
    began, before = time.perf_counter(), memory_mb(prepared.model.device, reset=True)
    discovery = method.discover(problem, settings, asked.seed, part_of(report, 2, until, 100))
    discovered, scores = time.perf_counter(), discovery.scores.numpy()
    peak = memory_mb(prepared.model.device, peak=True) - before
    last = 99 - 9 * bool(discovery.path)
    within = part_of(report, until, last, 100)
    result = measured_curve(evaluator, scores, asked.sizes, asked.edges, within, about(asked))
    result["cost"] = {"seconds": round(discovered - began, 3), "peak_mb": round(peak, 1)}
    if discovery.path:
        result["path"] = _path(evaluator, discovery.path, part_of(report, last, 99, 100), about(asked))
    circuit = top_edges(graph, scores, asked.edges, about(asked))
    findings = Found(result, {"scores": scores}, circuit, discovery.history, discovery.notes, discovered)
    return with_prompts(findings, prepared, evaluator, patterns=True)


def _constants_alone(asked: Discover, prepared: Prepared, store: RunStore, report: Report) -> Replacement:
    """Return the constants of every source ablated alone, from a finished importance run or trained now."""
    same = asked.model_dump(exclude={"kind", "method", "settings", "edges", "sparsity", "sizes"})
    run_id = make_request("importance", **same).run_id()
    if run_id in store and prepared.trained is not None:
        tensors, like = store.get(run_id).tensors, prepared.trained.start
        shapes = [tuple(value.shape) for value in (like.input, like.heads, like.mlps)]
        # A run may come from anywhere.
        if [tensors.shapes.get(name) for name in CONSTANTS] == shapes:
            stream, heads, mlps = (torch.as_tensor(tensors[name]).to(like.mlps) for name in CONSTANTS)
            return Replacement(stream, heads, mlps)
    return prepared.fit_alone(report).constants


def _path(
    evaluator: Evaluator, path: list[Step], report: Report, about: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the metrics of the circuits that a method chose itself, without dangling edges."""
    graph = evaluator.forward.graph
    points: list[dict[str, Any]] = []
    for done, step in enumerate(path):
        kept = prune_dangling(graph, step.kept.numpy())
        circuit = Circuit(graph, kept, np.full(graph.n_edges, np.nan), about)
        within = part_of(report, done, done + 1, len(path), f"{circuit.n_edges} edges: ")
        points.append({"penalty": step.penalty} | evaluator.measure(circuit, within)[0])
    return points


def _warm_start(settings: BaseModel, store: RunStore, n_edges: int) -> torch.Tensor | None:
    name = getattr(settings, "warm_start", None)
    if name is None:
        return None
    scores = with_scores(store, name).tensors["scores"]
    if len(scores) != n_edges:
        raise RequestError(
            f"run '{name}' has {len(scores)} edges, this graph {n_edges}: no warm start from it"
        )
    return torch.as_tensor(scores)
