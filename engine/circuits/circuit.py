"""Circuits: kept edges, chosen by scores or read from a file; reading and writing of `circuit.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.arrays import Flags, Numbers
from engine.circuits.graph import Graph, Qkv, shared_graph
from engine.errors import RequestError
from engine.files import is_object

SCHEMA = 1
_MOST_SOURCES = 1700  # a graph of 4 million edges; a file must not make us build a larger one
_LARGEST_SCORE = float(np.finfo(np.float32).max)  # scores are kept in single precision
_LONGEST_NAME = 1000  # of a model or a task, which may be a path


class UnknownGraphError(RequestError):
    """A circuit file does not name its graph, so its model must be named."""


@dataclass(frozen=True, eq=False)
class Circuit:
    """A circuit: the kept edges of a graph.

    Attributes:
        kept: bool [n_edges], in the order of `graph.edges`.
        scores: float [n_edges]; higher keeps first, nan where a file gave none.
        about: model, task, method and ablation, as far as known.
    """

    graph: Graph
    kept: Flags
    scores: Numbers
    about: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def n_edges(self) -> int:
        """Number of edges kept."""
        return int(self.kept.sum())

    @property
    def sparsity(self) -> float:
        """Share of the graph's edges that are ablated."""
        return 1 - self.n_edges / self.graph.n_edges


def prune_dangling(graph: Graph, kept: Flags) -> Flags:
    """Return the kept edges that lie on a path from `input` to `logits`, bool [n_edges].

    Other edges are dangling: no path of kept edges leads from `input` to their source, or from their reader's
    node to `logits`. Under an ablation by the corrupt prompt they change nothing, and do not count.
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


def top_edges(graph: Graph, scores: Numbers, k: int, about: dict[str, Any] | None = None) -> Circuit:
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
    """Check that a circuit belongs to the graph of `model`.

    Raises:
        RequestError: the graphs differ; the message describes both.
    """
    if circuit.graph != graph:
        raise RequestError(
            f"the circuit does not fit '{model}': it is of {_describe(circuit.graph)}, "
            f"the model has {_describe(graph)}"
        )


def _describe(graph: Graph) -> str:
    return f"{graph.n_layers} layers, {graph.n_heads} heads, qkv={graph.qkv}, parallel={graph.parallel}"


def circuit_to_json(circuit: Circuit, d_model: int, ranking: bool = False) -> dict[str, Any]:
    """Return the content of `circuit.json`: the kept edges in the form of MIB and EAP-IG, and our own fields.

    Args:
        circuit: the circuit.
        d_model: width of its model.
        ranking: list every edge that has a score, also outside the circuit.
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


def graph_from_json(content: dict[str, Any]) -> Graph | None:
    """Return the graph of a parsed circuit file; None if the file does not give its sizes.

    Args:
        content: has the sizes under "model" as in our circuit.json, or under "cfg" as in EAP-IG's files.

    Raises:
        RequestError: the sizes are invalid, or the graph is too large to be opened.
    """
    ours, theirs = content.get("model"), content.get("cfg")
    sizes = ours if is_object(ours) else theirs if is_object(theirs) else None
    if sizes is None:
        return None
    n_layers, n_heads = (sizes.get(name) for name in ("n_layers", "n_heads"))
    if not (type(n_layers) is int and type(n_heads) is int and min(n_layers, n_heads) >= 1):
        raise RequestError("no circuit: 'model' needs 'n_layers' and 'n_heads', whole numbers from 1 on")
    qkv = content.get("qkv", "split")
    if qkv not in ("split", "merged"):
        raise RequestError(f"circuit with qkv={qkv!r}; it is 'split' or 'merged'")
    return graph_of_sizes(n_layers, n_heads, qkv, bool(sizes.get("parallel", sizes.get("parallel_attn_mlp"))))


def graph_of_sizes(n_layers: int, n_heads: int, qkv: Qkv, parallel: bool) -> Graph:
    """Return a graph whose sizes come from a file.

    Raises:
        RequestError: the graph is too large to be opened.
    """
    if n_layers * (n_heads + 1) > _MOST_SOURCES:
        raise RequestError(f"a circuit of {n_layers} layers and {n_heads} heads is larger than can be opened")
    return shared_graph(n_layers, n_heads, qkv, parallel)


def circuit_from_json(content: Any, graph: Graph | None = None) -> Circuit:
    """Return the circuit in a parsed `circuit.json`, or in a JSON file of EAP-IG.

    Args:
        content: the parsed file; edges it does not list are ablated.
        graph: the graph to use if the file does not name its graph.

    Raises:
        RequestError: the content is not a circuit; the message says what is wrong.
        UnknownGraphError: the content does not name its graph, and `graph` is None.
    """
    if not is_object(content) or not is_object(listed := content.get("edges")):
        raise RequestError("no circuit: a JSON object with an object 'edges' is needed")
    if content.get("schema", SCHEMA) != SCHEMA:
        raise RequestError(f"circuit of schema {content['schema']!r}; this version reads schema {SCHEMA}")
    if (graph := graph_from_json(content) or graph) is None:
        raise UnknownGraphError("the file does not say which graph it is of, in 'n_layers' and 'n_heads'")
    if (total := content.get("n_edges_total", graph.n_edges)) != graph.n_edges:
        raise RequestError(f"the file says its graph has {total!r} edges, but it has {graph.n_edges}")
    model = content.get("model")
    about = {key: content.get(key) for key in ("task", "method", "ablation")}
    about["model"] = model.get("id") if is_object(model) else model
    edges: dict[str, tuple[Any, bool]] = {}
    for name, edge in listed.items():
        if not is_object(edge):
            raise RequestError(f"edge '{name[:80]}' is no object with 'score' and 'in_graph'")
        edges[name] = edge.get("score"), bool(edge.get("in_graph", True))
    return circuit_of_edges(graph, edges, about)


def circuit_of_edges(
    graph: Graph, edges: Mapping[str, tuple[float | None, bool]], about: dict[str, Any]
) -> Circuit:
    """Return the circuit that a file describes edge by edge.

    Args:
        graph: the graph.
        edges: by name, the score (None or nan if there is none) and whether the edge is kept.
        about: model, task, method and ablation that the file names, None for those that it does not.

    Raises:
        RequestError: a name is no edge of the graph, a score is not finite, or `about` has values but text.
    """
    for key, value in about.items():
        if not (value is None or (isinstance(value, str) and len(value) <= _LONGEST_NAME)):
            raise RequestError(f"the circuit's {key} is not a name: {str(value)[:80]}")
    kept, scores = np.zeros(graph.n_edges, dtype=bool), np.full(graph.n_edges, np.nan)
    for index, (name, (score, in_graph)) in zip(graph.indices(list(edges)), edges.items(), strict=True):
        given = score is not None and score == score  # nan is no score
        if given and not (isinstance(score, int | float) and abs(score) <= _LARGEST_SCORE):
            raise RequestError(f"edge '{name}' has a score that is no number: {str(score)[:80]!r}")
        kept[index] = in_graph
        scores[index] = score if given else np.nan
    return Circuit(graph, kept, scores, about)
