"""Runs with made-up numbers, so that pages and figures can be tested without a model."""

from typing import Any

import numpy as np

from engine.circuits.circuit import circuit_to_json, top_edges
from engine.circuits.graph import Graph
from engine.instruments.completion import about
from engine.instruments.importance.request import Importance
from engine.instruments.importance.result import ImportanceResult
from engine.instruments.measure.request import Measure
from engine.instruments.measure.result import MeasureResult
from engine.runs.kinds import kinds, make_request
from engine.runs.record import CurveResult, MeasuredResult, Point
from engine.runs.request import OfACircuit, Request
from engine.runs.store import RunStore
from tests.made_up import made_up

SIZES = (10, 30, 76, 150, 300, 700, 1519)
SIZE = 150
CLEAN = "When Mary and John went to the store , John gave a drink to"
TOKENS = ["<|bos|>", *CLEAN.split()]
PROMPTS = 3
PROMPT = {
    "clean": CLEAN,
    "corrupt": "When Anna and Paul went to the store , Tom gave a drink to",
    "tokens": TOKENS,
    "corrupt_tokens": TOKENS,
    "answers": [" Mary"],
    "wrong_answers": [" John"],
    "model_top": [[" Mary", 0.91], [" John", 0.05], [" the", 0.01]],
}
TOP = [[" Mary", 0.85], [" John", 0.1], [" the", 0.01]]


def fake_scores(graph: Graph, seed: int = 0) -> np.ndarray:
    """Heavy-tailed scores, float32 [n_edges], in which a few nodes matter more than the rest."""
    rng = np.random.default_rng(seed)
    weight = np.exp(rng.normal(0, 1, len(graph.nodes)))
    weight[[0, -1]] = 6, 4
    score = weight[graph.edges[:, 0]] * weight[graph.reader_nodes[graph.edges[:, 1]]]
    score = np.log(score * np.exp(rng.normal(0, 0.8, graph.n_edges)))
    return (score - np.quantile(score, 0.95)).astype(np.float32)


def estimate(mean: float, width: float = 0.02) -> dict[str, Any]:
    return {"mean": mean, "ci95": [mean - width, mean + width], "n": 200}


def fake_result(
    graph: Graph, scores: np.ndarray, sizes: tuple[int, ...], size: int, scale: float = 1
) -> dict[str, Any]:
    """Return the result of a discovery, as JSON."""
    curve = [_point(graph, scores, edges, size, scale) for edges in sizes]
    return _measured(CurveResult) | {
        "summary": next(point for point in curve if point["edges_requested"] == size),
        "curve": curve,
        "circuit_top": {str(edges): [TOP] * PROMPTS for edges in sizes},
    }


def fake_curve(graph: Graph, seed: int = 0, scale: float = 1) -> list[Point]:
    """Return the circuits of all `SIZES` with made-up numbers."""
    return CurveResult.model_validate(fake_result(graph, fake_scores(graph, seed), SIZES, SIZE, scale)).curve


def write_fake_run(
    store: RunStore,
    graph: Graph | None = None,
    sizes: tuple[int, ...] = SIZES,
    size: int = SIZE,
    scale: float = 1,
    kind: str = "discover",
    method: str | None = "edge-pruning",
    **request: Any,
) -> str:
    """Write a run of circuits of many sizes into `store` and return its id.

    Args:
        method: of a discovery.
        request: overrides fields of the request.
    """
    fields = {"model": "explorer-4l", "task": "ioi", "ablation": "counterfactual", "edges": size}
    fields |= {"method": method} if kind == "discover" else {}
    return write_fake_circuits(store, make_request(kind, **fields | request), graph, sizes, size, scale)


def write_fake_circuits(
    store: RunStore,
    request: OfACircuit,
    graph: Graph | None = None,
    sizes: tuple[int, ...] = SIZES,
    size: int = SIZE,
    scale: float = 1,
) -> str:
    """Write a run of a request for circuits of many sizes and return its id."""
    graph = graph or Graph(4, 8)
    scores = fake_scores(graph, request.seed)
    result = fake_result(graph, scores, sizes, size, scale)
    if not kinds.get(request.kind).has_circuit:
        return store.write(request, result)
    rng = np.random.default_rng(request.seed)
    n = len(TOKENS)
    pattern = np.tril(rng.gamma(0.25, 1, (PROMPTS, graph.n_layers, graph.n_heads, n, n)) + 1e-6)
    pattern /= pattern.sum(-1, keepdims=True)
    tensors = {"scores": scores} | {f"attention.{i}": pattern[i].astype(np.float16) for i in range(PROMPTS)}
    circuit = top_edges(graph, scores, size, about(request))
    return store.write(request, result, tensors, circuit_to_json(circuit, 256))


def write_fake_answer(store: RunStore, request: Request) -> str:
    """Write made-up numbers for a completed request to measure circuits, or nodes' importance."""
    graph = Graph(4, 8)
    if isinstance(request, Importance):
        values = ("kl", "logit_difference", "answer", "wrong_answer")
        nodes = {
            node: {name: estimate(i / 10 + k) for k, name in enumerate(values)}
            for i, node in enumerate(graph.sources)
        }
        return store.write(request, _measured(ImportanceResult) | {"nodes": nodes})
    assert isinstance(request, Measure)
    own = [pair.model_dump(exclude={"wrong_answers"}) for pair in request.pairs[:1]]
    prompts = [PROMPT | pair for pair in own] or [PROMPT] * PROMPTS
    names = [chosen.name for chosen in request.circuits]
    points = [
        {"name": name} | _point(graph, fake_scores(graph), size, SIZE, 1)
        for name, size in zip(names, SIZES, strict=False)
    ]
    tops = {name: [TOP] * len(prompts) for name in names}
    found = {"prompts": prompts, "summary": points[0], "curve": points, "circuit_top": tops}
    return store.write(request, _measured(MeasureResult) | found)


def _measured(result: type[MeasuredResult]) -> dict[str, Any]:
    """Return JSON of a result class, with what all measurements have."""
    whole = {"logit_difference": estimate(6.0), "probability_difference": estimate(0.9), "kl": estimate(0, 0)}
    none = {"logit_difference": estimate(0.0), "probability_difference": estimate(0.0), "kl": estimate(3)}
    return (
        {"schema": 1}
        | made_up(result)
        | {
            "model": whole
            | {"accuracy": estimate(0.99), "agreement": estimate(1), "faithfulness": estimate(1)},
            "ablated": none
            | {"accuracy": estimate(0.3), "agreement": estimate(0.2), "faithfulness": estimate(0)},
            "metric": "logit_difference",
            "prompts": [PROMPT] * PROMPTS,
            "history": {"loss": [3.0, 1.5, 1.0]},
            "timings": {"seconds": 75.0, "discovery_seconds": 60.0, "evaluation_seconds": 15.0},
            "conditioning": "none",
            "created": "2026-01-01T00:00:00+00:00",
            "versions": {"python": "3.11", "torch": "2.13"},
            "notes": ["a note on this run"],
        }
    )


def _point(graph: Graph, scores: np.ndarray, edges: int, size: int, scale: float) -> dict[str, Any]:
    n = top_edges(graph, scores, edges).n_edges
    part = 1 - float(np.exp(-2.6 * edges / size))
    return {
        "edges_requested": edges,
        "n_edges": n,
        "n_edges_total": graph.n_edges,
        "sparsity": 1 - n / graph.n_edges,
        "kl": estimate(scale * (3 * (1 - part) + 0.004), 0.1 * (1 - part)),
        "logit_difference": estimate(6 * part, 0.2),
        "probability_difference": estimate(0.9 * part),
        "accuracy": estimate(0.3 + 0.69 * part),
        "agreement": estimate(0.2 + 0.78 * part),
        "faithfulness": estimate(part),
    }
