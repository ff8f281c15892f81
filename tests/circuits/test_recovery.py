"""Scores against a known circuit: by hand, and AUROC against every pair of edges."""

from itertools import product

import numpy as np
import pytest

from engine.circuits.graph import Graph
from engine.circuits.recovery import recovery
from engine.errors import RequestError

GRAPH = Graph(1, 1)
PLANTED = ("input->a0.h0<v>", "a0.h0->logits", "m0->logits")
WHERE = GRAPH.indices(PLANTED)


def scores(planted: list[float], others: list[float]) -> np.ndarray:
    found = np.empty(GRAPH.n_edges)
    found[WHERE] = planted
    found[np.setdiff1d(np.arange(GRAPH.n_edges), WHERE)] = others
    return found


def test_a_perfect_and_a_reversed_ranking() -> None:
    perfect = scores([3, 4, 5], [0, 1, 2, -1, -2])
    assert recovery(GRAPH, perfect, PLANTED) == {"precision": 1.0, "recall": 1.0, "auroc": 1.0}
    assert recovery(GRAPH, -perfect, PLANTED) == {"precision": 0.0, "recall": 0.0, "auroc": 0.0}


def test_at_k_the_number_of_planted_edges_counts() -> None:
    found = recovery(GRAPH, scores([9, 8, 1], [7, 0, 0, 0, 0]), PLANTED)
    assert found["precision"] == found["recall"] == pytest.approx(2 / 3)


def test_ties_count_in_expectation() -> None:
    assert recovery(GRAPH, np.zeros(8), PLANTED) == pytest.approx(
        {"precision": 3 / 8, "recall": 3 / 8, "auroc": 0.5}
    )
    # one place left for one planted edge and three others
    found = recovery(GRAPH, scores([5, 4, 1], [1, 1, 1, 0, 0]), PLANTED)
    assert found["recall"] == pytest.approx((2 + 1 / 4) / 3)


def test_edges_without_a_score_are_not_chosen() -> None:
    found = recovery(GRAPH, scores([5, np.nan, np.nan], [1, np.nan, np.nan, np.nan, np.nan]), PLANTED)
    assert (found["precision"], found["recall"]) == pytest.approx((1 / 2, 1 / 3))
    assert recovery(GRAPH, np.full(8, np.nan), PLANTED) == {"precision": 0.0, "recall": 0.0, "auroc": 0.5}


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        found = rng.integers(0, 4, GRAPH.n_edges).astype(float)
        others = np.delete(found, WHERE)
        pairs = [1.0 if p > o else 0.5 if p == o else 0.0 for p, o in product(found[WHERE], others)]
        assert recovery(GRAPH, found, PLANTED)["auroc"] == pytest.approx(np.mean(pairs))


def test_an_unknown_edge_is_refused() -> None:
    with pytest.raises(RequestError, match="no edge 'm9->logits'"):
        recovery(GRAPH, np.zeros(8), ("m9->logits",))
