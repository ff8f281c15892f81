"""Which parts of a circuit of whole edges lead to the logits, and at which positions they matter there.

A source is live if a kept edge joins it to a reader whose node is live; `logits` is. Nothing else of the
circuit can change its logits at the last position, whatever the ablation. A live source matters at all
positions if a live head's key or value reads it, or the query of a head, or an MLP, that itself matters at
all positions; any other is only read at the last position. Both are exact.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engine.circuits.graph import Graph


@dataclass(frozen=True)
class Liveness:
    """What matters in a circuit; columns beyond the graph's sources are sources of the caller's own.

    Attributes:
        kept: bool [n_readers, n_columns], the edges kept.
        live: bool [n_columns], sources that lead to the logits.
        everywhere: bool [n_columns], those of them that matter at other positions than the last.
    """

    kept: np.ndarray
    live: np.ndarray
    everywhere: np.ndarray


def edge_matrix(graph: Graph, kept: np.ndarray) -> np.ndarray:
    """Return the edges kept (bool [n_edges]) as a matrix, bool [n_readers, n_sources]."""
    matrix = np.zeros((len(graph.readers), len(graph.sources)), dtype=bool)
    matrix[graph.edges[:, 1], graph.edges[:, 0]] = kept
    return matrix


@lru_cache(maxsize=1024)
def head_readers(graph: Graph, layer: int) -> np.ndarray:
    """Return the readers of every head's q, k and v, int64 [3, H]; where they are merged, one thrice."""
    first = layer * (graph.attention_readers + 1)
    readers = np.arange(first, first + graph.attention_readers).reshape(-1, graph.n_heads)
    return np.broadcast_to(readers, (3, graph.n_heads))


def mlp_reader(graph: Graph, layer: int) -> int:
    """Return the reader of a layer's MLP."""
    return layer * (graph.attention_readers + 1) + graph.attention_readers


def liveness(graph: Graph, kept: np.ndarray) -> Liveness:
    """Return what matters where only the edges `kept` (bool [n_readers, n_columns]) are."""
    live, everywhere = kept[-1].copy(), np.zeros_like(kept[-1])
    for layer in reversed(range(graph.n_layers)):
        heads = slice(graph.sources_before(layer), graph.sources_before(layer) + graph.n_heads)
        mlp = kept[mlp_reader(graph, layer)]
        live |= mlp & live[heads.stop]
        everywhere |= mlp & everywhere[heads.stop]
        q, k, v = kept[head_readers(graph, layer)]
        key_value = (k | v)[live[heads]].any(0)
        live |= key_value | q[live[heads]].any(0)
        everywhere |= key_value | q[everywhere[heads]].any(0)
    return Liveness(kept, live, everywhere)


def reached(graph: Graph, of: Liveness, changed: np.ndarray) -> np.ndarray:
    """Return which live sources change when those of `changed` (bool [n_columns]) do, themselves included."""
    changed = changed & of.live
    for layer in range(graph.n_layers):
        heads = slice(graph.sources_before(layer), graph.sources_before(layer) + graph.n_heads)
        hit = (of.kept[head_readers(graph, layer)] & changed).any((0, 2))
        changed[heads] |= hit & of.live[heads]
        if of.live[heads.stop]:
            changed[heads.stop] |= (of.kept[mlp_reader(graph, layer)] & changed).any()
    return changed
