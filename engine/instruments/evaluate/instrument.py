"""Evaluation; see `engine.instruments.base`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.instruments.base import Instrument, Lane, instruments
from engine.instruments.completion import (
    SAME,
    completed_task,
    constants_are_trained,
    graph_of,
    with_ablation,
    with_edges,
    with_scores,
)
from engine.instruments.evaluate.request import Evaluate
from engine.instruments.frames import metrics_frame
from engine.instruments.words import circuit_size, task_line
from engine.progress import Report
from engine.runs.folder import Run
from engine.runs.record import CurveResult
from engine.runs.request import Request as AnyRequest
from engine.runs.store import RunStore

if TYPE_CHECKING:
    from engine.instruments.frames import DataFrame
    from engine.runs.found import Found
    from engine.workbench.ready import Workbench


@instruments.register("evaluate")
class EvaluateInstrument(Instrument[Evaluate, CurveResult]):
    """Measures a finished run's circuits under another ablation."""

    kind = "evaluate"
    title = "Evaluation"
    order = 30
    Request = Evaluate
    Result = CurveResult

    def lane(self, asked: Evaluate, store: RunStore) -> Lane:
        """Return "short", unless constants are trained for every size."""
        return "long" if constants_are_trained(asked) else "short"

    def complete(self, asked: Evaluate, store: RunStore) -> Evaluate:
        """Copy fields of the evaluated run, and fill in hashes and settings; see the base class."""
        origin = with_scores(store, asked.circuit).request
        asked = asked.model_copy(update={name: getattr(origin, name) for name in SAME} | {"sparsity": None})
        since = f" since run '{asked.circuit}' was made"
        return with_ablation(completed_task(with_edges(asked, graph_of(asked)), since))

    def find(self, asked: Evaluate, bench: "Workbench", report: Report) -> "Found":
        """Measure the circuits of every size."""
        from engine.instruments.evaluate.find import evaluate

        return evaluate(asked, bench, report)

    def line(self, asked: Evaluate) -> str:
        """Return task, ablation and model."""
        return task_line(asked)

    def size(self, run: Run[Evaluate, CurveResult]) -> str:
        """Return the circuit's number of edges, and that of the graph."""
        return circuit_size(run.result.summary)

    def frame(self, run: Run[Evaluate, CurveResult]) -> "DataFrame":
        """Return a row for every size of circuit: its edges, and every metric with its interval."""
        return metrics_frame(run.result.curve)

    def command(self) -> Callable[..., None]:
        """Return `circuit-explorer evaluate`."""
        from engine.instruments.evaluate.cli import evaluate

        return evaluate

    def ship(self, store: RunStore, carry_out: Callable[[AnyRequest], str]) -> None:
        """Evaluate every shipped circuit under every other ablation."""
        from engine.instruments.shipped import other_ablations, shipped_discoveries, unless_refused

        for run in shipped_discoveries(store):
            asked = run.request
            for ablation in other_ablations(asked.ablation):
                request = Evaluate(model=asked.model, task=asked.task, ablation=ablation, circuit=run.run_id)
                unless_refused(carry_out, request)
