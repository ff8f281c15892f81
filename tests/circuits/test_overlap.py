"""Overlap of circuits, compared with counting all possibilities."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from engine.circuits.circuit import Circuit
from engine.circuits.graph import Graph
from engine.circuits.overlap import edge_overlap, node_overlap, overlap, used_nodes
from engine.errors import RequestError

GRAPH = Graph(2, 2)


def mask(n: int, chosen: tuple[int, ...]) -> np.ndarray:
    found = np.zeros(n, dtype=bool)
    found[list(chosen)] = True
    return found


def circuit(*names: str, graph: Graph = GRAPH) -> Circuit:
    kept = np.zeros(graph.n_edges, dtype=bool)
    kept[graph.indices(names)] = True
    return Circuit(graph, kept, np.full(graph.n_edges, np.nan))


@pytest.mark.parametrize("shared", range(4))
def test_expectation_and_p_are_those_of_all_pairs_of_sets(shared):
    n, a, b = 7, 3, 4
    first = mask(n, (0, 1, 2))
    second = mask(n, (*range(shared), *range(3, 3 + b - shared)))
    seen = [int((first & mask(n, chosen)).sum()) for chosen in combinations(range(n), b)]
    assert len(seen) == comb(n, b)
    found = overlap(first, second)
    assert (found.shared, found.only_first, found.only_second) == (shared, a - shared, b - shared)
    assert found.expected == pytest.approx(np.mean(seen))
    assert found.p == pytest.approx(np.mean([count >= shared for count in seen]))
    assert found.jaccard == pytest.approx(shared / (a + b - shared))


def test_equal_sets_and_empty_sets():
    whole = mask(5, (0, 1))
    assert overlap(whole, whole).jaccard == 1
    assert overlap(whole, whole).p == pytest.approx(1 / comb(5, 2))
    nothing = overlap(mask(5, ()), mask(5, ()))
    assert (nothing.shared, nothing.jaccard, nothing.p) == (0, None, 1)


def test_edges_and_nodes_of_two_circuits():
    one = circuit("input->a0.h0<q>", "a0.h0->logits", "input->logits")
    other = circuit("input->a0.h0<k>", "a0.h0->m1", "m1->logits", "input->logits")
    edges, nodes = edge_overlap(one, other), node_overlap(one, other)
    assert (edges.shared, edges.only_first, edges.only_second) == (1, 2, 3)
    assert edges.expected == pytest.approx(3 * 4 / GRAPH.n_edges)
    assert (nodes.shared, nodes.only_first, nodes.only_second) == (1, 0, 1)
    assert nodes.expected == pytest.approx(1 * 2 / 6)  # four heads and two MLPs


def test_used_nodes_are_both_ends_of_every_edge():
    used = used_nodes(circuit("input->a0.h1<v>", "a0.h1->logits"))
    assert [name for name, is_used in zip(GRAPH.nodes, used, strict=True) if is_used] == [
        "input",
        "a0.h1",
        "logits",
    ]


@pytest.mark.parametrize("compare", [edge_overlap, node_overlap])
def test_circuits_of_other_graphs_have_no_overlap(compare):
    with pytest.raises(RequestError, match="no overlap"):
        compare(circuit(), circuit(graph=Graph(2, 2, parallel=True)))


def test_sets_of_other_sizes_have_no_overlap():
    with pytest.raises(RequestError, match="no overlap"):
        overlap(mask(3, ()), mask(4, ()))
