"""Stability of a circuit: the same discovery with other seeds, and with some templates held out.

The seed determines the training prompts and all randomness of the method. For held-out templates, the task's
templates are split into parts. For each part, the discovery is repeated without its templates, and the new
circuit is measured on these templates alone, beside the original circuit.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from engine.circuits.circuit import Circuit
from engine.circuits.overlap import Overlap, edge_overlap
from engine.instruments.base import Outcome
from engine.instruments.stability.request import Stability
from engine.models.load import load_tokens
from engine.runs.combine import Chosen, Part
from engine.runs.folder import AnyRun
from engine.runs.found import Found
from engine.runs.kinds import make_request
from engine.runs.request import OfACircuit, OfAGraph, Request
from engine.runs.store import RunStore
from engine.tasks.dataset import templates

ORIGIN = "the circuit"  # what the measurement of the circuit itself is called


def parts(asked: Stability, store: RunStore) -> list[Request]:
    """Return the requests of the repeats.

    These are a discovery for every other seed and, for every part of the templates, a discovery without them
    and
    a measurement of the circuit itself on them.
    """
    plan, origin = asked.stability, store.get(asked.circuit)
    discovery: OfACircuit = origin.request
    again = discovery.model_copy(update={"edges": asked.edges, "sparsity": None, "sizes": [asked.edges]})
    requests: list[Request] = [
        again.model_copy(update={"seed": seed}) for seed in plan.seeds if seed != discovery.seed
    ]
    wordings = templates(discovery.task, load_tokens(discovery.model)) if plan.folds else []
    chosen = Chosen(name=ORIGIN, parts=[Part(run=origin.run_id, edges=asked.edges or 1)])
    same = {name: getattr(discovery, name) for name in OfAGraph.model_fields if name != "kind"}
    for fold in range(min(plan.folds, len(wordings))):
        held_out = wordings[fold :: plan.folds]
        requests.append(again.model_copy(update={"held_out": held_out}))
        requests.append(make_request("measure", **same | {"held_out": held_out, "circuits": [chosen]}))
    return requests


def gather(asked: Stability, parts: Sequence[Request], outcomes: Sequence[Outcome], store: RunStore) -> Found:
    """Return the metrics and overlaps of the repeats, and the share of circuits that keep each edge."""
    repeats: list[dict[str, Any]] = []
    folds: list[dict[str, Any]] = []
    circuits = {asked.circuit: store.get(asked.circuit).circuit_at()}
    for part, outcome in zip(parts, outcomes, strict=True):
        assert isinstance(part, OfAGraph)
        row: dict[str, Any] = {"seed": part.seed, "held_out": part.held_out, "run": part.run_id()}
        row |= {"error": outcome} if isinstance(outcome, str) else {"error": None} | _numbers(outcome)
        if not isinstance(part, OfACircuit):  # a measurement of the circuit itself
            folds.append(row)
            continue
        repeats.append(row)
        if not isinstance(outcome, str):
            circuits[outcome.run_id] = outcome.circuit_at()
    overlaps = {pair: edge_overlap(*pair) for pair in combinations(circuits.values(), 2)}
    random = [_by_chance(overlap) for overlap in overlaps.values()]
    jaccard = [
        [1.0 if first is second else _jaccard(overlaps, first, second) for second in circuits.values()]
        for first in circuits.values()
    ]
    kept = np.array([circuit.kept for circuit in circuits.values()])
    result = {"repeats": repeats, "folds": folds, "circuits": list(circuits), "jaccard": jaccard}
    result |= {"expected": float(np.mean(random)) if random else None, "core": int(kept.all(0).sum())}
    return Found(result, {"frequency": kept.mean(0, dtype=np.float32)})


def _jaccard(overlaps: dict[tuple[Circuit, Circuit], Overlap], first: Circuit, second: Circuit) -> float:
    """Return the Jaccard overlap of two circuits; 1 for two empty ones."""
    overlap = overlaps.get((first, second)) or overlaps[second, first]
    return 1.0 if overlap.jaccard is None else overlap.jaccard


def _by_chance(overlap: Overlap) -> float:
    """Return the Jaccard overlap of two sets of these sizes that share the expected number of elements."""
    either = 2 * overlap.shared + overlap.only_first + overlap.only_second - overlap.expected
    return overlap.expected / either if either else 1.0


def _numbers(run: AnyRun) -> dict[str, Any]:
    return run.result.summary.model_dump(include={"n_edges", "kl", "faithfulness"})
