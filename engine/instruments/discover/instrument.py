"""Discovery; see `engine.instruments.base`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.instruments.base import Instrument, instruments
from engine.instruments.completion import completed_task, graph_of, with_ablation, with_edges, with_scores
from engine.instruments.discover.request import Discover
from engine.instruments.frames import edge_frame
from engine.instruments.words import circuit_size, task_line
from engine.progress import Report
from engine.runs.folder import Run
from engine.runs.record import CurveResult
from engine.runs.request import Request as AnyRequest
from engine.runs.store import RunStore
from engine.settings import parse_settings, settings_to_json

if TYPE_CHECKING:
    from engine.instruments.frames import DataFrame
    from engine.runs.found import Found
    from engine.workbench.ready import Workbench


@instruments.register("discover")
class DiscoverInstrument(Instrument[Discover, CurveResult]):
    """Scores every edge by a method."""

    kind = "discover"
    title = "Discovery"
    order = 10
    Request = Discover
    Result = CurveResult
    has_circuit = True

    def complete(self, asked: Discover, store: RunStore) -> Discover:
        """Fill in hashes, size and all settings; see the base class."""
        from engine.discovery.base import methods

        asked = with_ablation(completed_task(with_edges(asked, graph_of(asked))))
        settings = settings_to_json(parse_settings(methods.get(asked.method).Settings, asked.settings))
        if (start := settings.get("warm_start")) is not None:
            with_scores(store, start)
        return asked.model_copy(update={"settings": settings})

    def find(self, asked: Discover, bench: "Workbench", report: Report) -> "Found":
        """Score the edges and measure the circuits of every size."""
        from engine.instruments.discover.find import discover

        return discover(asked, bench, report)

    def line(self, asked: Discover) -> str:
        """Return task, ablation and model."""
        return task_line(asked)

    def size(self, run: Run[Discover, CurveResult]) -> str:
        """Return the circuit's number of edges, and that of the graph."""
        return circuit_size(run.result.summary)

    def frame(self, run: Run[Discover, CurveResult]) -> "DataFrame":
        """Return every edge of the graph: its name, its score, and whether it is in the circuit."""
        return edge_frame(run.circuit_at())

    def command(self) -> Callable[..., None]:
        """Return `circuit-explorer discover`."""
        from engine.instruments.discover.cli import discover

        return discover

    def ship(self, store: RunStore, carry_out: Callable[[AnyRequest], str]) -> None:
        """Discover circuits of the demo model by Edge Pruning."""
        from engine.instruments.shipped import METHOD, MODEL, SHIPPED

        for task, ablation, sparsity in SHIPPED:
            carry_out(Discover(model=MODEL, task=task, method=METHOD, ablation=ablation, sparsity=sparsity))

    def tables(self, store: RunStore) -> dict[str, str]:
        """Return the table of shipped circuits."""
        from engine.instruments.discover.table import runs_table

        return {"runs": runs_table(store)}
