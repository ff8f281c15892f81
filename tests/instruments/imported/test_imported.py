"""What imports find, against evaluating the circuit as it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import experiments
from engine.circuits.circuit import Circuit, top_edges
from engine.circuits.graph import Graph
from engine.errors import RequestError
from engine.instruments.evaluate.find import evaluate_circuit
from engine.runs.imports import keep_circuit
from engine.runs.record import Estimate
from engine.runs.store import RunStore
from tests.instruments.asking import ask, nothing


def imported(store: RunStore, folder: Path, task: str, circuit: Circuit) -> Any:
    digest = keep_circuit(store, circuit, 24)
    return store.get(experiments.run(ask(folder, task, "import", circuit=digest), nothing, store))


def tiny_circuit(scores: np.ndarray, k: int = 50) -> Circuit:
    graph = Graph(3, 4)
    return Circuit(graph, top_edges(graph, scores, k).kept, scores, {"method": "eap"})


def test_an_imported_circuit_is_measured_as_it_is(tiny_folder, task, store):
    graph = Graph(3, 4)
    scores = np.random.default_rng(0).normal(size=graph.n_edges).astype(np.float32)
    circuit = tiny_circuit(scores)
    run = imported(store, tiny_folder, task, circuit)
    naive = evaluate_circuit(circuit, run.request, nothing)
    assert run.result.summary.kl == Estimate.model_validate(naive["kl"])
    assert run.result.summary.n_edges == circuit.n_edges
    kept = np.flatnonzero(circuit.kept)
    assert run.tensors["scores"][kept] == pytest.approx(scores[kept])
    assert run.circuit["method"] == "eap"
    assert (run.circuit_at().kept == circuit.kept).all()


def test_signed_scores_rank_by_size_and_missing_ones_make_one_circuit(tiny_folder, task, store):
    graph = Graph(3, 4)
    scores = np.random.default_rng(1).normal(size=graph.n_edges)
    kept = tiny_circuit(np.abs(scores)).kept
    signed = imported(store, tiny_folder, task, Circuit(graph, kept, scores))
    assert "size of their scores" in signed.result.notes[-1]
    assert (signed.circuit_at().kept == kept).all()
    bare = imported(store, tiny_folder, task, Circuit(graph, kept, np.full(graph.n_edges, np.nan)))
    assert "one size" in bare.result.notes[-1]
    assert (bare.circuit_at().kept == kept).all()
    assert bare.result.summary.kl == signed.result.summary.kl


@pytest.mark.parametrize("sign", [1, -1])
def test_scores_without_kept_edges_are_ranked_by_size_for_a_number_of_edges(tiny_folder, task, store, sign):
    graph = Graph(3, 4)
    scores = np.abs(np.random.default_rng(2).normal(size=graph.n_edges))
    scores[::2] *= sign
    bare = Circuit(graph, np.zeros(graph.n_edges, dtype=bool), scores)
    with pytest.raises(RequestError, match="no edge is marked as kept: give the number of edges"):
        imported(store, tiny_folder, task, bare)
    digest = keep_circuit(store, bare, 24)
    asked = ask(tiny_folder, task, "import", circuit=digest, edges=50)
    run = store.get(experiments.run(asked, nothing, store))
    assert (run.circuit_at().kept == tiny_circuit(np.abs(scores)).kept).all()
    assert any("size of their scores" in note for note in run.result.notes) == (sign < 0)
    with pytest.raises(RequestError, match="edges were asked for"):
        experiments.completed(ask(tiny_folder, task, "import", circuit=digest, edges=9999), store)


def test_an_import_of_another_graph_is_refused(tiny_folder, task, store):
    graph = Graph(2, 4)
    circuit = top_edges(graph, np.arange(graph.n_edges, dtype=float), 30)
    with pytest.raises(RequestError, match="does not fit"):
        imported(store, tiny_folder, task, circuit)
    with pytest.raises(RequestError, match="not there any more"):
        experiments.completed(ask(tiny_folder, task, "import", circuit="0" * 64), store)


def test_an_import_without_a_path_is_refused(tiny_folder, task, store):
    graph = Graph(3, 4)
    kept = np.arange(graph.n_edges) == 0
    with pytest.raises(RequestError, match="no path"):
        imported(store, tiny_folder, task, Circuit(graph, kept, np.where(kept, 1.0, np.nan)))
