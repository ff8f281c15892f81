"""Circuits made of others."""

from pathlib import Path

import numpy as np
import pytest

from engine.circuits.circuit import prune_dangling
from engine.circuits.graph import Graph
from engine.errors import RequestError
from engine.runs.combine import Chosen, Part, chosen_edges
from engine.runs.store import RunStore
from tests.app.fake_run import write_fake_run


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs", tmp_path / "shipped")


@pytest.fixture
def two_runs(store: RunStore) -> tuple[Graph, str, str]:
    graph = Graph(4, 8)
    return graph, write_fake_run(store, graph), write_fake_run(store, graph, seed=1)


@pytest.mark.parametrize(
    ("join", "naive"),
    [("intersection", np.logical_and), ("union", np.logical_or), ("difference", lambda a, b: a & ~b)],
)
def test_circuits_are_joined_and_pruned(store, two_runs, join, naive):
    graph, first, second = two_runs
    a, b = (store.get(run).circuit_at(150).kept for run in (first, second))
    chosen = Chosen(name="x", join=join, parts=[Part(run=first, edges=150), Part(run=second, edges=150)])
    found = chosen_edges(chosen, graph, store)
    assert (found == prune_dangling(graph, naive(a, b))).all()
    assert 0 < found.sum() != a.sum()


def test_an_edge_or_a_node_is_taken_out_and_nothing_else(store, two_runs):
    graph, first, _ = two_runs
    whole = chosen_edges(Chosen(name="x"), graph, store)
    assert whole.all()
    part = Part(run=first, edges=150)
    circuit = chosen_edges(Chosen(name="x", parts=[part]), graph, store)
    edge = graph.edge_names[np.flatnonzero(circuit)[3]]
    less = chosen_edges(Chosen(name="x", parts=[part], without=[edge]), graph, store)
    assert circuit.sum() - less.sum() == 1
    assert not less[graph.edge_index[edge]]
    silent = chosen_edges(Chosen(name="x", without=["a1.h2"]), graph, store)
    gone = [graph.edge_names[i] for i in np.flatnonzero(~silent)]
    assert gone == [name for name in graph.edge_names if name.startswith("a1.h2->")]


def test_what_cannot_be_joined_is_said(store, two_runs):
    graph, first, _ = two_runs
    other = Chosen(name="x", parts=[Part(run=first, edges=10)])
    with pytest.raises(RequestError, match="another graph"):
        chosen_edges(other, Graph(2, 8), store)
    with pytest.raises(RequestError, match="no edge 'm9->m1'"):
        chosen_edges(Chosen(name="x", without=["m9->m1"]), graph, store)
    with pytest.raises(RequestError, match="unknown run"):
        chosen_edges(Chosen(name="x", parts=[Part(run="nothing", edges=10)]), graph, store)
