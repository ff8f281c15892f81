"""Nodes, edges and counts of the graph."""

import networkx as nx
import numpy as np
import pytest

from engine.circuits.graph import Graph, Qkv
from engine.errors import RequestError


def edges_by_formula(layers: int, heads: int, qkv: Qkv) -> int:
    kinds = 3 if qkv == "split" else 1
    attention = kinds * (heads**2 * layers * (layers - 1) // 2 + heads * layers * (layers + 1) // 2)
    mlps = heads * layers * (layers + 1) // 2 + layers * (layers + 1) // 2
    return attention + mlps + 1 + layers * (heads + 1)


@pytest.mark.parametrize("qkv", ["split", "merged"])
@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (2, 3), (4, 8), (12, 12)])
def test_edge_count_is_the_formula(layers: int, heads: int, qkv: Qkv) -> None:
    assert Graph(layers, heads, qkv).n_edges == edges_by_formula(layers, heads, qkv)


@pytest.mark.parametrize(("qkv", "edges", "readers"), [("split", 32_491, 445), ("merged", 11_611, 157)])
def test_gpt2_small_has_the_published_counts(qkv: Qkv, edges: int, readers: int) -> None:
    graph = Graph(12, 12, qkv)
    assert (graph.n_edges, len(graph.sources), len(graph.readers)) == (edges, 157, readers)


def test_names_are_those_of_the_field() -> None:
    graph = Graph(2, 2)
    assert "a0.h1->a1.h0<q>" in graph.edge_index
    assert {"input->m0", "m1->logits", "a1.h0->m1"} <= set(graph.edge_names)
    assert "a0.h0->a0.h1<q>" not in graph.edge_index
    assert len(set(graph.edge_names)) == graph.n_edges


def test_an_mlp_beside_attention_does_not_see_it() -> None:
    parallel = Graph(2, 2, parallel=True)
    assert "a1.h0->m1" not in parallel.edge_index
    assert "a0.h0->m1" in parallel.edge_index
    assert parallel.n_edges == Graph(2, 2).n_edges - 2 * 2


@pytest.mark.parametrize("qkv", ["split", "merged"])
def test_networkx_graph_has_every_edge_and_no_cycle(qkv: Qkv) -> None:
    graph = Graph(3, 2, qkv)
    scores = np.arange(graph.n_edges, dtype=float)
    whole = graph.to_networkx(scores=scores)
    assert whole.number_of_edges() == graph.n_edges
    assert set(whole.nodes) == set(graph.nodes)
    assert nx.is_directed_acyclic_graph(whole)
    name = "input->a2.h1<q>" if qkv == "split" else "input->a2.h1"
    data = whole.edges["input", "a2.h1", name]
    assert data["score"] == graph.edge_index[name]
    assert data["kind"] == ("q" if qkv == "split" else "head")


def test_networkx_graph_of_kept_edges() -> None:
    graph = Graph(2, 2)
    kept = np.zeros(graph.n_edges, dtype=bool)
    kept[graph.indices(["input->m0", "m0->logits"])] = True
    assert sorted(graph.to_networkx(kept).edges()) == [("input", "m0"), ("m0", "logits")]


def test_an_unknown_edge_is_named() -> None:
    with pytest.raises(RequestError, match=r"a9\.h0->logits"):
        Graph(2, 2).indices(["input->m0", "a9.h0->logits"])
