"""Runs with made-up numbers, so that pages and figures can be tested without a model."""

from typing import Any

import numpy as np

from engine.circuits.circuit import circuit_to_json, top_edges
from engine.circuits.graph import Graph
from engine.runs.request import Request
from engine.runs.store import RunStore

SIZES = (10, 30, 76, 150, 300, 700, 1519)
SIZE = 150
CLEAN = "When Mary and John went to the store , John gave a drink to"
TOKENS = ["<|bos|>", *CLEAN.split()]
PROMPTS = 3


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
) -> dict:
    curve = [_point(graph, scores, edges, size, scale) for edges in sizes]
    whole = {"logit_difference": estimate(6.0), "probability_difference": estimate(0.9), "kl": estimate(0, 0)}
    none = {"logit_difference": estimate(0.0), "probability_difference": estimate(0.0), "kl": estimate(3)}
    prompt = {
        "clean": CLEAN,
        "corrupt": "When Anna and Paul went to the store , Tom gave a drink to",
        "tokens": TOKENS,
        "corrupt_tokens": TOKENS,
        "answers": [" Mary"],
        "wrong_answers": [" John"],
        "model_top": [[" Mary", 0.91], [" John", 0.05], [" the", 0.01]],
    }
    top = [[[" Mary", 0.85], [" John", 0.1], [" the", 0.01]]] * PROMPTS
    return {
        "schema": 1,
        "created": "2026-01-01T00:00:00+00:00",
        "summary": next(point for point in curve if point["edges_requested"] == size),
        "model": whole | {"accuracy": estimate(0.99), "agreement": estimate(1), "faithfulness": estimate(1)},
        "ablated": none
        | {"accuracy": estimate(0.3), "agreement": estimate(0.2), "faithfulness": estimate(0)},
        "curve": curve,
        "metric": "logit_difference",
        "prompts": [prompt] * PROMPTS,
        "circuit_top": {str(edges): top for edges in sizes},
        "history": {"loss": [3.0, 1.5, 1.0]},
        "timings": {"seconds": 75.0, "discovery_seconds": 60.0, "evaluation_seconds": 15.0},
        "versions": {"python": "3.11", "torch": "2.13"},
        "device": "cpu",
        "dtype": "float32",
        "threads": 2,
        "conditioning": "none",
        "notes": ["a note on this run"],
    }


def write_fake_run(
    store: RunStore,
    graph: Graph | None = None,
    sizes: tuple[int, ...] = SIZES,
    size: int = SIZE,
    scale: float = 1,
    **request: Any,
) -> str:
    """Write a run into `store` and return its id; `request` overrides fields of the request."""
    graph = graph or Graph(4, 8)
    fields = {"model": "explorer-4l", "task": "ioi", "ablation": "counterfactual", "method": "edge-pruning"}
    asked = Request.model_validate(fields | {"edges": size} | request)
    scores = fake_scores(graph, asked.seed)
    result = fake_result(graph, scores, sizes, size, scale)
    if asked.kind == "evaluate":
        return store.write(asked, result)
    rng = np.random.default_rng(asked.seed)
    n = len(TOKENS)
    pattern = np.tril(rng.gamma(0.25, 1, (PROMPTS, graph.n_layers, graph.n_heads, n, n)) + 1e-6)
    pattern /= pattern.sum(-1, keepdims=True)
    tensors = {"scores": scores} | {f"attention.{i}": pattern[i].astype(np.float16) for i in range(PROMPTS)}
    about = {"model": asked.model, "task": asked.task, "method": asked.method, "ablation": asked.ablation}
    return store.write(asked, result, tensors, circuit_to_json(top_edges(graph, scores, size, about), 256))


def write_fake_answer(store: RunStore, request: Request) -> str:
    """Write made-up numbers for a completed request to measure circuits, or nodes' importance."""
    graph = Graph(4, 8)
    result = fake_result(graph, fake_scores(graph), SIZES, SIZE)
    if request.pairs:
        pair = request.pairs[0]
        own = {"clean": pair.clean, "corrupt": pair.corrupt, "answers": pair.answers}
        result["prompts"] = [result["prompts"][0] | own]
    if request.kind == "importance":
        for unused in ("summary", "curve", "circuit_top"):
            del result[unused]
        values = ("kl", "logit_difference", "answer", "wrong_answer")
        nodes = {
            node: {name: estimate(i / 10 + k) for k, name in enumerate(values)}
            for i, node in enumerate(graph.sources)
        }
        return store.write(request, result | {"nodes": nodes})
    points = [
        {"name": chosen.name} | _point(graph, fake_scores(graph), SIZES[i], SIZE, 1)
        for i, chosen in enumerate(request.circuits)
    ]
    tops = {chosen.name: result["circuit_top"]["76"][: len(result["prompts"])] for chosen in request.circuits}
    return store.write(request, result | {"summary": points[0], "curve": points, "circuit_top": tops})


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
