"""Scores to circuits, dangling edges, and circuit.json in and out."""

import json

import networkx as nx
import numpy as np
import pytest

from engine.circuits.circuit import circuit_from_json, circuit_to_json, prune_dangling, top_edges
from engine.circuits.graph import Graph
from engine.errors import RequestError

GRAPH = Graph(3, 2)


def kept(*names: str) -> np.ndarray:
    mask = np.zeros(GRAPH.n_edges, dtype=bool)
    mask[GRAPH.indices(names)] = True
    return mask


def test_edges_without_input_or_outlet_are_pruned_to_the_end() -> None:
    path = ("input->a0.h0<v>", "a0.h0->a2.h1<q>", "a2.h1->logits")
    unfed = ("a0.h1->a1.h0<k>", "a1.h0->logits")
    unused = ("input->m0", "m0->m1")
    assert (prune_dangling(GRAPH, kept(*path, *unfed, *unused)) == kept(*path)).all()


def test_pruning_keeps_exactly_the_edges_on_paths_from_input_to_logits() -> None:
    mask = np.random.default_rng(0).random(GRAPH.n_edges) < 0.12
    network = GRAPH.to_networkx(mask)
    reached = {"input", *nx.descendants(network, "input")}
    leading = {"logits", *nx.ancestors(network, "logits")}
    nodes = np.array(GRAPH.nodes)
    ends = zip(nodes[GRAPH.edges[:, 0]], nodes[GRAPH.reader_nodes[GRAPH.edges[:, 1]]], strict=True)
    expected = mask & np.array([source in reached and reader in leading for source, reader in ends])
    assert 0 < expected.sum() < mask.sum()
    assert (prune_dangling(GRAPH, mask) == expected).all()


def test_top_edges_takes_the_highest_and_counts_what_is_left() -> None:
    scores = np.linspace(-1, 0, GRAPH.n_edges)
    scores[GRAPH.indices(["input->logits", "a2.h0->logits"])] = [2, 1]
    circuit = top_edges(GRAPH, scores, 2)
    assert circuit.n_edges == 1  # a2.h0 reads nothing
    assert circuit.kept[GRAPH.edge_index["input->logits"]]
    assert circuit.sparsity == pytest.approx(1 - 1 / GRAPH.n_edges)
    assert top_edges(GRAPH, scores, GRAPH.n_edges).n_edges == GRAPH.n_edges


def test_more_edges_than_the_graph_has_are_refused() -> None:
    with pytest.raises(RequestError, match=rf"999 edges were asked for, but the graph has {GRAPH.n_edges}"):
        top_edges(GRAPH, np.zeros(GRAPH.n_edges), 999)


@pytest.mark.parametrize("k", [0, -5])
def test_fewer_than_one_edge_is_refused(k: int) -> None:
    with pytest.raises(RequestError, match=f"{k} edges were asked for"):
        top_edges(GRAPH, np.zeros(GRAPH.n_edges), k)


def test_edges_without_a_score_are_never_filled_in() -> None:
    scores = np.full(GRAPH.n_edges, np.nan)
    scores[:10] = 1
    with pytest.raises(RequestError, match="11 edges were asked for, but only 10 have a score"):
        top_edges(GRAPH, scores, 11)


def test_json_round_trip() -> None:
    scores = np.random.default_rng(1).normal(size=GRAPH.n_edges)
    about = {"model": "m", "task": "ioi", "method": "edge-pruning", "ablation": "zero"}
    circuit = top_edges(GRAPH, scores, 40, about)
    content = json.loads(json.dumps(circuit_to_json(circuit, d_model=24)))
    assert content["schema"] == 1
    assert content["model"] == {"id": "m", "n_layers": 3, "n_heads": 2, "d_model": 24, "parallel": False}
    assert (content["task"], content["qkv"], content["n_edges_total"]) == ("ioi", "split", GRAPH.n_edges)
    assert len(content["edges"]) == circuit.n_edges
    back = circuit_from_json(content)
    assert (back.kept == circuit.kept).all()
    np.testing.assert_allclose(back.scores[back.kept], scores[back.kept])
    assert back.about == about
