"""Import; see `engine.instruments.base`."""

from typing import TYPE_CHECKING

from engine.instruments.base import Instrument, Lane, instruments
from engine.instruments.completion import completed_task, constants_are_trained, with_ablation
from engine.instruments.frames import edge_frame
from engine.instruments.imported.request import Import
from engine.instruments.words import circuit_size, task_line
from engine.progress import Report
from engine.runs.folder import Run
from engine.runs.imports import kept_circuit, ranking
from engine.runs.record import CurveResult
from engine.runs.store import RunStore

if TYPE_CHECKING:
    from engine.instruments.frames import DataFrame
    from engine.runs.found import Found
    from engine.workbench.ready import Workbench


@instruments.register("import")
class ImportInstrument(Instrument[Import, CurveResult]):
    """Measures a circuit file of this or another program."""

    kind = "import"
    title = "Import"
    order = 20
    Request = Import
    Result = CurveResult
    has_circuit = True

    def lane(self, asked: Import, store: RunStore) -> Lane:
        """Return "short", unless constants are trained for every size."""
        return "long" if constants_are_trained(asked) else "short"

    def complete(self, asked: Import, store: RunStore) -> Import:
        """Fill in hashes and the size of the file's circuit; see the base class."""
        edges = ranking(kept_circuit(store, asked.circuit), asked.edges).edges
        asked = asked.model_copy(update={"edges": edges, "sparsity": None})
        return with_ablation(completed_task(asked))

    def find(self, asked: Import, bench: "Workbench", report: Report) -> "Found":
        """Measure the circuits of every size."""
        from engine.instruments.imported.find import imported

        return imported(asked, bench, report)

    def line(self, asked: Import) -> str:
        """Return task, ablation and model."""
        return task_line(asked)

    def size(self, run: Run[Import, CurveResult]) -> str:
        """Return the circuit's number of edges, and that of the graph."""
        return circuit_size(run.result.summary)

    def frame(self, run: Run[Import, CurveResult]) -> "DataFrame":
        """Return every edge of the graph: its name, its score, and whether it is in the circuit."""
        return edge_frame(run.circuit_at())
