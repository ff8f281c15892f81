"""Paths through a circuit, upstream and downstream of nodes or edges."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from engine.arrays import Flags, Integers
from engine.circuits.graph import Graph

Way = Literal["neighbours", "upstream", "downstream", "both"]


def traced_edges(graph: Graph, kept: Flags, names: Sequence[str], way: Way) -> Flags:
    """Return the kept edges at the named nodes or edges, or on paths to or from them, bool [n_edges].

    Args:
        graph: the graph.
        kept: bool [n_edges].
        names: names of nodes or of edges; paths of an edge start at its own ends. Unknown names are ignored.
        way: "neighbours": the edges at the nodes, and the named edges; "upstream": all edges on paths to
            them; "downstream": all edges on paths from them; "both": upstream and downstream.
    """
    sources, readers = graph.edges[:, 0], graph.reader_nodes[graph.edges[:, 1]]
    picked = np.zeros(graph.n_edges, dtype=bool)
    picked[[graph.edge_index[name] for name in names if "->" in name and name in graph.edge_index]] = True
    nodes = np.zeros(len(graph.nodes), dtype=bool)
    nodes[[graph.nodes.index(name) for name in names if name in graph.nodes]] = True
    if way == "neighbours":
        return kept & (picked | nodes[sources] | nodes[readers])
    traced = kept & picked
    if way in ("upstream", "both"):
        traced |= _follow(kept, readers, sources, nodes, picked)
    if way in ("downstream", "both"):
        traced |= _follow(kept, sources, readers, nodes, picked)
    return traced


def _follow(kept: Flags, near: Integers, far: Integers, nodes: Flags, picked: Flags) -> Flags:
    """Return the kept edges reached from `nodes` and from the far ends of the edges `picked`.

    Args:
        near, far: nodes at the two ends of each edge, int [n_edges]; edges are followed from `near` to `far`.
    """
    reached = nodes.copy()
    reached[far[picked]] = True
    while True:
        edges = kept & reached[near]
        before = reached.sum()
        reached[far[edges]] = True
        if reached.sum() == before:
            return edges
