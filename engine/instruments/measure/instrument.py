"""Measurement; see `engine.instruments.base`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.instruments.base import Instrument, Lane, instruments
from engine.instruments.completion import completed_task, constants_are_trained, graph_of, with_ablation
from engine.instruments.frames import metrics_frame
from engine.instruments.measure.request import Measure
from engine.instruments.measure.result import MeasureResult
from engine.instruments.words import circuit_size, task_line
from engine.progress import Report
from engine.runs.combine import chosen_edges
from engine.runs.folder import Run
from engine.runs.request import Request as AnyRequest
from engine.runs.store import RunStore

if TYPE_CHECKING:
    from engine.instruments.frames import DataFrame
    from engine.runs.found import Found
    from engine.workbench.ready import Workbench


@instruments.register("measure")
class MeasureInstrument(Instrument[Measure, MeasureResult]):
    """Measures circuits made of others."""

    kind = "measure"
    title = "Measurement"
    order = 40
    Request = Measure
    Result = MeasureResult

    def lane(self, asked: Measure, store: RunStore) -> Lane:
        """Return "short", unless constants are trained."""
        return "long" if constants_are_trained(asked) else "short"

    def complete(self, asked: Measure, store: RunStore) -> Measure:
        """Fill in hashes and settings, and check that the circuits exist; see the base class."""
        graph = graph_of(asked)
        for chosen in asked.circuits:
            chosen_edges(chosen, graph, store)
        return with_ablation(completed_task(asked))

    def find(self, asked: Measure, bench: "Workbench", report: Report) -> "Found":
        """Measure the circuits."""
        from engine.instruments.measure.find import measure

        return measure(asked, bench, report)

    def line(self, asked: Measure) -> str:
        """Return task, ablation and model."""
        return task_line(asked)

    def size(self, run: Run[Measure, MeasureResult]) -> str:
        """Return the first circuit's number of edges, and that of the graph."""
        return circuit_size(run.result.summary)

    def frame(self, run: Run[Measure, MeasureResult]) -> "DataFrame":
        """Return a row for every circuit: its name, its edges, and every metric with its interval."""
        return metrics_frame(run.result.curve)

    def ship(self, store: RunStore, carry_out: Callable[[AnyRequest], str]) -> None:
        """Measure combined circuits: of one task asked in two ways, and of one task under three ablations."""
        from engine.instruments.shipped import MEASURED, shared_circuits

        for tasks, first in MEASURED:
            for asked, circuits in shared_circuits(store, tasks, first):
                about = {"model": asked.model, "task": asked.task, "ablation": asked.ablation}
                carry_out(Measure.model_validate({**about, "circuits": circuits}))
