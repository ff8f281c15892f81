"""How much of a circuit is chance: the same discovery with other seeds, and without some of its templates.

A seed decides the training prompts and everything random in the method. For the second question the task's
templates are parted; the discovery is repeated without those of each part, and its circuit measured on them
alone, beside the circuit that was found with them.
"""

from itertools import combinations
from typing import Any

import numpy as np

from engine.circuits.circuit import Circuit
from engine.circuits.overlap import Overlap, edge_overlap
from engine.models.load import load_tokens
from engine.runs.request import Chosen, Part, Request, Stability
from engine.runs.store import Run, RunStore
from engine.tasks.dataset import templates

ORIGIN = "the circuit"  # what the measurement of the circuit itself is called


def parts(request: Request, store: RunStore) -> list[Request]:
    """Return a discovery for every other seed, and for every part of the templates a discovery without them
    and a measurement of the circuit itself on them."""
    plan, origin = _plan(request), store.get(request.circuit or "")
    asked = origin.request.model_copy(update={"edges": request.edges, "sparsity": None})
    again = asked.model_copy(update={"sizes": [request.edges]})
    found = [again.model_copy(update={"seed": seed}) for seed in plan.seeds if seed != asked.seed]
    known = templates(asked.task, load_tokens(asked.model)) if plan.folds else []
    for fold in range(min(plan.folds, len(known))):
        held_out = known[fold :: plan.folds]
        found.append(again.model_copy(update={"held_out": held_out}))
        chosen = Chosen(name=ORIGIN, parts=[Part(run=origin.run_id, edges=request.edges or 1)])
        measure = {"kind": "measure", "method": None, "settings": {}, "edges": None, "sizes": []}
        measure |= {"held_out": held_out, "circuits": [chosen]}
        found.append(asked.model_copy(update=measure))
    return found


def gather(
    request: Request, parts: list[Request], outcomes: list[Run | str], store: RunStore
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return how the repeats came out, and how many of them keep each edge.

    Returns:
        "repeats": of every discovery its seed, the templates held out (none: it is measured on all), run,
        error, number of edges, KL and faithfulness; "folds": the same of the circuit itself on the templates
        of each part; "circuits": the runs of those compared, the circuit itself first; "jaccard": their
        overlaps, pair by pair; "expected": the mean Jaccard overlap of random circuits of their sizes;
        "core": how many edges all of them keep. And "frequency": float32 [n_edges], the share of them that
        keeps each edge.
    """
    repeats, folds, circuits = [], [], {request.circuit or "": store.get(request.circuit or "").circuit_at()}
    for part, outcome in zip(parts, outcomes, strict=True):
        row: dict[str, Any] = {"seed": part.seed, "held_out": part.held_out, "run": part.run_id()}
        row |= {"error": outcome} if isinstance(outcome, str) else {"error": None} | _numbers(outcome)
        if part.kind == "measure":
            folds.append(row)
            continue
        repeats.append(row)
        if isinstance(outcome, Run):
            circuits[outcome.run_id] = outcome.circuit_at()
    overlaps = {pair: edge_overlap(*pair) for pair in combinations(circuits.values(), 2)}
    random = [_by_chance(o) for o in overlaps.values()]
    jaccard = [
        [1.0 if one is other else _jaccard(overlaps, one, other) for other in circuits.values()]
        for one in circuits.values()
    ]
    kept = np.array([circuit.kept for circuit in circuits.values()])
    found = {"repeats": repeats, "folds": folds, "circuits": list(circuits), "jaccard": jaccard}
    found |= {"expected": float(np.mean(random)) if random else None, "core": int(kept.all(0).sum())}
    return found, {"frequency": kept.mean(0, dtype=np.float32)}


def _jaccard(overlaps: dict[tuple[Circuit, Circuit], Overlap], one: Circuit, other: Circuit) -> float:
    """Return the Jaccard overlap of two circuits; two empty ones are alike."""
    found = overlaps.get((one, other)) or overlaps[other, one]
    return 1.0 if found.jaccard is None else found.jaccard


def _by_chance(found: Overlap) -> float:
    """Return the Jaccard overlap of random sets of these sizes, taking the mean of what they share."""
    either = 2 * found.shared + found.only_first + found.only_second - found.expected
    return found.expected / either if either else 1.0


def _numbers(run: Run) -> dict[str, Any]:
    return {name: run.result["summary"][name] for name in ("n_edges", "kl", "faithfulness")}


def _plan(request: Request) -> Stability:
    assert request.stability is not None
    return request.stability
