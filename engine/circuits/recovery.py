"""Precision, recall and AUROC of edge scores against a known, planted circuit.

The planted edges are the positives. Of k planted edges, precision and recall are those of the k edges with
the highest scores; ties for the last places count by their expectation over random tie-breaking. AUROC is the
probability that a planted edge scores higher than another edge, with ties counting half (Mann & Whitney
1947). An edge without a score (nan) is never chosen and ranks below all others.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from scipy import stats  # pyright: ignore[reportMissingTypeStubs] - it has none

from engine.arrays import Flags, Numbers
from engine.circuits.graph import Graph


def recovery(graph: Graph, scores: Numbers, planted: Sequence[str]) -> dict[str, float]:
    """Return "precision", "recall" and "auroc" of scores against the planted edges.

    Args:
        scores: [n_edges], higher keeps first; nan is no score.
        planted: names of the planted edges: some, but not all of the graph's.

    Raises:
        RequestError: a name is no edge of this graph.
    """
    positive = np.zeros(graph.n_edges, dtype=bool)
    positive[graph.indices(planted)] = True
    ranked = np.where(np.isnan(scores), -np.inf, scores).astype(float)
    k = int(positive.sum())
    chosen, hits = _chosen(ranked, positive, k)
    return {
        "precision": hits / chosen if chosen else 0.0,
        "recall": hits / k,
        "auroc": _auroc(ranked, positive),
    }


def _chosen(scores: Numbers, positive: Flags, k: int) -> tuple[int, float]:
    """Return how many edges are chosen, at most k, and how many positives are expected among them."""
    scored = scores > -np.inf
    chosen = min(k, int(scored.sum()))
    if not chosen:
        return 0, 0.0
    last = np.sort(scores[scored])[-chosen]
    above, tied = scores > last, scores == last
    share = (chosen - above.sum()) / tied.sum()
    return chosen, float(positive[above].sum() + share * positive[tied].sum())


def _auroc(scores: Numbers, positive: Flags) -> float:
    n, others = int(positive.sum()), int((~positive).sum())
    ranks = cast("Any", stats).rankdata(scores)[positive].sum()
    return float((ranks - n * (n + 1) / 2) / (n * others))
