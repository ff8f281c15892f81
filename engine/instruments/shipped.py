"""Shipped runs of the demo model, and helpers for computing them (`Instrument.ship`).

They are circuits by Edge Pruning, each evaluated under every other ablation, the importance of every node
under every ablation, and more, so that pages show them without computation. Two of the tasks are one task
asked in two ways, as in the case study of Edge Pruning (Bhaskar et al. 2024, section 5).
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from engine.errors import RequestError
from engine.runs.combine import Chosen, Part, combinations
from engine.runs.folder import AnyRun
from engine.runs.request import OfACircuit, Request
from engine.runs.store import RunStore
from engine.tracing.names import State

MODEL, METHOD = "explorer-4l", "edge-pruning"
SHIPPED = (  # task, ablation, share of the edges to leave out
    ("ioi", "counterfactual", 0.95),
    ("greater-than", "counterfactual", 0.95),
    ("gendered-pronoun", "counterfactual", 0.95),
    ("facts", "counterfactual", 0.95),
    ("ioi", "mean", 0.95),
    ("ioi", "zero", 0.95),
    ("boolean-instruction", "counterfactual", 0.85),
    ("boolean-few-shot", "counterfactual", 0.85),
)
SWEPT: dict[str, Any] = {
    "methods": [
        "ugs",
        "hcgs",
        "edge-pruning",
        "eap-then-edge-pruning",
        "node-pruning",
        "acdc",
        "eap",
        "eap-ig",
        "random",
    ],
    "ablations": ["counterfactual", "optimal"],
    "tasks": ["ioi", "greater-than"],
    "seeds": [0],
}
SIZES = (7, 15, 30, 76, 151, 303, 759, 1519)  # MIB's from .5 % of the 1,519 edges on
REPEATS: dict[str, Any] = {"seeds": [1, 2, 3], "folds": 2}  # of the first shipped discovery
TRACED_STATES: tuple[State, ...] = ("residual", "attention", "mlp", "head")
TRACED_PROMPTS = (  # besides all facts, which come first
    ("The capital of South Korea is", "South Korea"),
    ("The author of Pride and Prejudice is", "Pride and Prejudice"),
)
READ: tuple[dict[str, Any], ...] = (
    {"text": "The capital of South Korea is", "words": [" Seoul", " Tokyo", " Korea"], "middle": True},
    {
        "text": "When Mary and John went to the store, John gave a drink to",
        "words": [" Mary", " John", " the"],
    },
    {"text": "The capital of South Korea is", "words": [" Seoul", " Tokyo"], "ablated": ["m0"]},
)
READ_IN = ("ioi", "mean")  # in whose circuit the second is read, too: lenses put means in the place of edges
ASKED_TWICE = ("boolean-instruction", "boolean-few-shot")  # by an instruction and by three examples
# Tasks whose circuits are compared, and on how many of them that is measured; None on all.
MEASURED: tuple[tuple[tuple[str, ...], int | None], ...] = ((ASKED_TWICE, None), (("ioi",), 1))


def shipped_discoveries(store: RunStore) -> list[AnyRun]:
    """Return the runs of `SHIPPED` that are in the store, in its order."""
    order = [(task, ablation) for task, ablation, _ in SHIPPED]
    runs = {_subject(run.request): run for run in store.list() if run.request.kind == "discover"}
    return [runs[subject] for subject in order if subject in runs]


def other_ablations(own: str | None = None) -> list[str]:
    """Return the names of all ablations except `own`."""
    from engine.ablations.base import ablations

    return [name for name in ablations.names() if name != own]


def corruption_names() -> list[str]:
    """Return the names of all corruptions."""
    from engine.tracing.base import corruptions

    return corruptions.names()


def unless_refused(carry_out: Callable[[Request], str], request: Request) -> None:
    """Carry out a request, and ignore its refusal with a message on standard error.

    Resampling, for example, is refused if a prompt is the only one of its length.
    """
    try:
        carry_out(request)
    except RequestError as error:
        sys.stderr.write(f"no {request.run_id()}: {error}\n")


def shared_circuits(
    store: RunStore, tasks: Sequence[str], first: int | None
) -> Iterator[tuple[OfACircuit, list[Chosen]]]:
    """Yield the requests of shipped discoveries, each with the combinations of the circuits of all of them.

    Args:
        store: the store of the discoveries.
        tasks: the tasks whose discoveries are taken.
        first: number of requests to yield, in the order of `SHIPPED`; None yields all.
    """
    runs = [run for run in shipped_discoveries(store) if run.request.task in tasks]
    parts = [Part(run=run.run_id, edges=run.request.edges) for run in runs]
    for run in runs[:first]:
        yield run.request, combinations(parts)


def read_in(store: RunStore) -> dict[str, Any]:
    """Return the circuit through which a text is read by lenses."""
    run = next(run for run in shipped_discoveries(store) if _subject(run.request) == READ_IN)
    return {"run": run.run_id, "edges": SIZES[4]}


def _subject(request: OfACircuit) -> tuple[str, str]:
    return request.task, request.ablation
