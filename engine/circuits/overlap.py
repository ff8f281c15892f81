"""The overlap of two circuits, compared with the overlap expected by chance.

Two random sets of a and b out of N edges share ab/N edges on average. The number of shared edges is
hypergeometric, so its upper tail is the probability of an overlap at least as large.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy.stats import hypergeom  # pyright: ignore[reportMissingTypeStubs] - it has none

from engine.arrays import Flags
from engine.circuits.circuit import Circuit
from engine.errors import RequestError


@dataclass(frozen=True)
class Overlap:
    """The overlap of two sets.

    Attributes:
        shared, only_first, only_second: number of elements in both sets, and in one set alone.
        jaccard: number in both over number in either; None if both sets are empty.
        expected: number that two random sets of these sizes share on average.
        p: probability that two random sets of these sizes share at least as many (hypergeometric).
    """

    shared: int
    only_first: int
    only_second: int
    jaccard: float | None
    expected: float
    p: float


def overlap(first: Flags, second: Flags) -> Overlap:
    """Compare two sets.

    Args:
        first, second: bool [n], membership of the same n elements in each set.

    Raises:
        RequestError: the arrays differ in length.
    """
    if first.shape != second.shape:
        raise RequestError(f"sets out of {len(first)} and of {len(second)} things have no overlap")
    n, shared = len(first), int((first & second).sum())
    a, b, either = int(first.sum()), int(second.sum()), int((first | second).sum())
    return Overlap(
        shared=shared,
        only_first=a - shared,
        only_second=b - shared,
        jaccard=shared / either if either else None,
        expected=a * b / n if n else 0.0,
        p=float(cast("Any", hypergeom).sf(shared - 1, n, a, b)),
    )


def edge_overlap(first: Circuit, second: Circuit) -> Overlap:
    """Compare the edges of two circuits.

    Raises:
        RequestError: their graphs are not of the same shape.
    """
    _check(first, second)
    return overlap(first.kept, second.kept)


def node_overlap(first: Circuit, second: Circuit) -> Overlap:
    """Compare the heads and MLPs that two circuits use; input and logits are in every circuit.

    Raises:
        RequestError: their graphs are not of the same shape.
    """
    _check(first, second)
    return overlap(used_nodes(first)[1:-1], used_nodes(second)[1:-1])


def used_nodes(circuit: Circuit) -> Flags:
    """Return which of `graph.nodes` are an end of an edge of the circuit, bool [n_nodes]."""
    graph, used = circuit.graph, np.zeros(len(circuit.graph.nodes), dtype=bool)
    edges = graph.edges[circuit.kept]
    used[edges[:, 0]] = True
    used[graph.reader_nodes[edges[:, 1]]] = True
    return used


def _check(first: Circuit, second: Circuit) -> None:
    if first.graph != second.graph:
        raise RequestError(
            f"circuits of graphs with {first.graph.n_edges:,} and {second.graph.n_edges:,} edges, "
            "differently built, have no overlap"
        )
