"""The sources of a circuit (of whole edges) that affect its logits, and the positions at which they do.

A source is live if a kept edge leads from it to a reader whose node is live; `logits` is live. No other
source can change the circuit's logits at the last position, under any ablation. A live source matters at all
positions if the key or value of a live head reads it, or if an MLP or the query of a head reads it that
itself matters at all positions. Any other live source is read at the last position alone. Both rules are
exact.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engine.arrays import Flags, Integers
from engine.circuits.graph import Graph


@dataclass(frozen=True)
class Liveness:
    """The live sources of a circuit; columns after the graph's sources are further ones of the caller.

    Attributes:
        kept: bool [n_readers, n_columns], the edges kept.
        live: bool [n_columns], sources from which a path leads to the logits.
        everywhere: bool [n_columns], live sources that matter at all positions, not only the last.
    """

    kept: Flags
    live: Flags
    everywhere: Flags


def edge_matrix(graph: Graph, kept: Flags) -> Flags:
    """Return the edges kept (bool [n_edges]) as a matrix, bool [n_readers, n_sources]."""
    matrix = np.zeros((len(graph.readers), len(graph.sources)), dtype=bool)
    matrix[graph.edges[:, 1], graph.edges[:, 0]] = kept
    return matrix


@lru_cache(maxsize=1024)
def head_readers(graph: Graph, layer: int) -> Integers:
    """Return the readers of every head's q, k and v, int64 [3, H]; a merged reader appears three times."""
    first = layer * (graph.attention_readers + 1)
    readers = np.arange(first, first + graph.attention_readers).reshape(-1, graph.n_heads)
    return np.broadcast_to(readers, (3, graph.n_heads))


def mlp_reader(graph: Graph, layer: int) -> int:
    """Return the reader of a layer's MLP."""
    return layer * (graph.attention_readers + 1) + graph.attention_readers


def liveness(graph: Graph, kept: Flags) -> Liveness:
    """Return the live sources of the circuit of the edges `kept`, bool [n_readers, n_columns]."""
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


def reached(graph: Graph, matters: Liveness, changed: Flags) -> Flags:
    """Return the live sources that change if the sources `changed` do, these included, bool [n_columns]."""
    changed = changed & matters.live
    for layer in range(graph.n_layers):
        heads = slice(graph.sources_before(layer), graph.sources_before(layer) + graph.n_heads)
        hit = (matters.kept[head_readers(graph, layer)] & changed).any((0, 2))
        changed[heads] |= hit & matters.live[heads]
        if matters.live[heads.stop]:
            changed[heads.stop] |= (matters.kept[mlp_reader(graph, layer)] & changed).any()
    return changed
