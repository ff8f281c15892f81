"""A circuit: the edges kept, from scores or from a file; `circuit.json` in and out."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import RequestError
from engine.graph import Graph

SCHEMA = 1
_MOST_SOURCES = 1700  # a graph of 4 million edges; a file must not make us build a larger one
_LARGEST_FILE = 64_000_000  # bytes; a circuit.json with every edge of a 32,491-edge graph has about 2 million


@dataclass(frozen=True, eq=False)
class Circuit:
    """Edges kept of a graph.

    Attributes:
        kept: bool [n_edges], in the order of `graph.edges`.
        scores: float [n_edges]; higher keeps first, nan where a file gave none.
        about: model, task, method and ablation, as far as known.
    """

    graph: Graph
    kept: np.ndarray
    scores: np.ndarray
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def n_edges(self) -> int:
        """Number of edges kept."""
        return int(self.kept.sum())

    @property
    def sparsity(self) -> float:
        """Share of the graph's edges that are ablated."""
        return 1 - self.n_edges / self.graph.n_edges


def prune_dangling(graph: Graph, kept: np.ndarray) -> np.ndarray:
    """Return the kept edges that lie on a path from `input` to `logits`, bool [n_edges].

    An edge whose source gets nothing, or whose reader's node leads nowhere, changes nothing under any
    ablation by the other prompt, and is not counted as part of the circuit.
    """
    sources, readers = graph.edges[:, 0], graph.reader_nodes[graph.edges[:, 1]]
    kept = kept.copy()
    while True:
        fed = np.zeros(len(graph.nodes), dtype=bool)
        fed[readers[kept]] = True
        fed[0] = True
        used = np.zeros(len(graph.nodes), dtype=bool)
        used[sources[kept]] = True
        used[-1] = True
        alive = kept & fed[sources] & used[readers]
        if alive.sum() == kept.sum():
            return alive
        kept = alive


def top_edges(graph: Graph, scores: np.ndarray, k: int, about: dict[str, Any] | None = None) -> Circuit:
    """Return the circuit of the `k` highest scores, without dangling edges.

    Raises:
        RequestError: `k` is less than 1, or more than the graph has or than have a score.
    """
    if not 1 <= k <= graph.n_edges:
        raise RequestError(f"{k} edges were asked for, but the graph has {graph.n_edges}")
    if k > (scored := int(np.isfinite(scores).sum())):
        raise RequestError(f"{k} edges were asked for, but only {scored} have a score")
    order = np.argsort(-scores, kind="stable")
    kept = np.zeros(graph.n_edges, dtype=bool)
    kept[order[:k]] = True
    return Circuit(graph, prune_dangling(graph, kept), scores, about or {})


def check_graph(circuit: Circuit, graph: Graph, model: str) -> None:
    """Check that a circuit is of the graph of `model`.

    Raises:
        RequestError: it is not; the message describes both.
    """
    if circuit.graph != graph:
        raise RequestError(
            f"the circuit does not fit '{model}': it is of {_describe(circuit.graph)}, "
            f"the model has {_describe(graph)}"
        )


def _describe(graph: Graph) -> str:
    return f"{graph.n_layers} layers, {graph.n_heads} heads, qkv={graph.qkv}, parallel={graph.parallel}"


def circuit_to_json(circuit: Circuit, d_model: int, ranking: bool = False) -> dict[str, Any]:
    """Return `circuit.json` as a dictionary: the edges kept, in the form MIB and EAP-IG use, plus ours.

    Args:
        circuit: the circuit.
        d_model: of its model.
        ranking: list every edge that has a score, those outside the circuit too.
    """
    graph = circuit.graph
    listed = circuit.kept | np.isfinite(circuit.scores) if ranking else circuit.kept
    edges = {
        graph.edge_names[i]: {
            "score": None if np.isnan(score := circuit.scores[i]) else float(score),
            "in_graph": bool(circuit.kept[i]),
        }
        for i in np.flatnonzero(listed)
    }
    model = {
        "id": circuit.about.get("model"),
        "n_layers": graph.n_layers,
        "n_heads": graph.n_heads,
        "d_model": d_model,
        "parallel": graph.parallel,
    }
    about = {key: circuit.about.get(key) for key in ("task", "method", "ablation")}
    rest = {"qkv": graph.qkv, "n_edges_total": graph.n_edges, "edges": edges}
    return {"schema": SCHEMA, "model": model, **about, **rest}


def circuit_from_json(content: Any) -> Circuit:
    """Return the circuit in a parsed `circuit.json`; edges it does not list are ablated.

    Raises:
        RequestError: the content is not a circuit; the message says what is wrong.
    """
    if not isinstance(content, dict) or not isinstance(content.get("edges"), dict):
        raise RequestError("no circuit: a JSON object with an object 'edges' is needed")
    if content.get("schema", SCHEMA) != SCHEMA:
        raise RequestError(f"circuit of schema {content['schema']!r}; this version reads schema {SCHEMA}")
    model = content.get("model")
    model = model if isinstance(model, dict) else {}
    n_layers, n_heads = (model.get(name) for name in ("n_layers", "n_heads"))
    if not (isinstance(n_layers, int) and isinstance(n_heads, int) and min(n_layers, n_heads) >= 1):
        raise RequestError("no circuit: 'model' needs 'n_layers' and 'n_heads', whole numbers from 1 on")
    if n_layers * (n_heads + 1) > _MOST_SOURCES:
        raise RequestError(f"a circuit of {n_layers} layers and {n_heads} heads is larger than can be opened")
    qkv = content.get("qkv", "split")
    if qkv not in ("split", "merged"):
        raise RequestError(f"circuit with qkv={qkv!r}; it is 'split' or 'merged'")
    graph = Graph(n_layers, n_heads, qkv, bool(model.get("parallel", False)))
    kept, scores = np.zeros(graph.n_edges, dtype=bool), np.full(graph.n_edges, np.nan)
    for index, (name, edge) in zip(
        graph.indices(list(content["edges"])), content["edges"].items(), strict=True
    ):
        if not isinstance(edge, dict):
            raise RequestError(f"edge '{name}' is no object with 'score' and 'in_graph'")
        score = edge.get("score")
        if score is not None and not isinstance(score, int | float):
            raise RequestError(f"edge '{name}' has a score that is no number: {score!r}")
        kept[index] = bool(edge.get("in_graph", True))
        scores[index] = np.nan if score is None else score
    about = {key: content.get(key) for key in ("task", "method", "ablation")} | {"model": model.get("id")}
    return Circuit(graph, kept, scores, about)


def read_circuit(path: Path) -> Circuit:
    """Return the circuit in a JSON file.

    Raises:
        RequestError: no such file, too large, no JSON, or no circuit; the message names the file.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise RequestError(
                f"'{path}' has more than {_LARGEST_FILE // 1_000_000} MB; no circuit is that large"
            )
        return circuit_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"'{path}' cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise RequestError(f"'{path}' is no JSON: {error}") from error
    except RequestError as error:
        raise RequestError(f"'{path}': {error}") from error
