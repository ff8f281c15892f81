"""Paths through a circuit, against networkx."""

import networkx as nx
import numpy as np
import pytest

from engine.circuits.circuit import top_edges
from engine.circuits.graph import Graph
from engine.circuits.paths import Way, traced_edges
from tests.app.fake_run import fake_scores

GRAPH = Graph(4, 8)
KEPT = top_edges(GRAPH, fake_scores(GRAPH), 150).kept


def names(mask: np.ndarray) -> set[str]:
    return {GRAPH.edge_names[i] for i in np.flatnonzero(mask)}


def naive(way: Way, node: str) -> set[str]:
    """Edges whose both ends are on the way, in networkx's words."""
    graph = GRAPH.to_networkx(KEPT)
    before, after = nx.ancestors(graph, node) | {node}, nx.descendants(graph, node) | {node}
    edges = {name: (source, target) for source, target, name in graph.edges(keys=True)}
    up = {name for name, (_, target) in edges.items() if target in before}
    down = {name for name, (source, _) in edges.items() if source in after}
    near = {name for name, ends in edges.items() if node in ends}
    return {"upstream": up, "downstream": down, "both": up | down, "neighbours": near}[way]


@pytest.mark.parametrize("way", ["neighbours", "upstream", "downstream", "both"])
@pytest.mark.parametrize("node", sorted(GRAPH.to_networkx(KEPT))[::4])
def test_paths_of_a_node_are_networkx_ancestors_and_descendants(way, node):
    assert names(traced_edges(GRAPH, KEPT, [node], way)) == naive(way, node)


def test_paths_of_an_edge_go_on_from_its_ends():
    edge = next(name for name in names(KEPT) if name.startswith("a1") and "logits" not in name)
    source, target = edge.split("->")[0], edge.split("->")[1].split("<")[0]
    assert names(traced_edges(GRAPH, KEPT, [edge], "neighbours")) == {edge}
    assert names(traced_edges(GRAPH, KEPT, [edge], "upstream")) == naive("upstream", source) | {edge}
    both = naive("upstream", source) | naive("downstream", target) | {edge}
    assert names(traced_edges(GRAPH, KEPT, [edge], "both")) == both


def test_names_that_are_not_there_are_passed_over():
    assert not traced_edges(GRAPH, KEPT, ["a9.h9", "m9->m8", "<script>"], "both").any()
