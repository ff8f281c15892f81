"""Importance; see `engine.instruments.base`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.instruments.base import Instrument, Lane, instruments
from engine.instruments.completion import completed_task, constants_are_trained, graph_of, with_ablation
from engine.instruments.frames import estimate_columns, frame
from engine.instruments.importance.request import Importance
from engine.instruments.importance.result import ImportanceResult
from engine.instruments.words import task_line
from engine.progress import Report
from engine.runs.folder import Run
from engine.runs.request import Request as AnyRequest
from engine.runs.store import RunStore

if TYPE_CHECKING:
    from engine.instruments.frames import DataFrame
    from engine.runs.found import Found
    from engine.workbench.ready import Workbench
    from engine.workbench.workload import Bench


@instruments.register("importance")
class ImportanceInstrument(Instrument[Importance, ImportanceResult]):
    """Ablates every node alone."""

    kind = "importance"
    title = "Importance"
    order = 50
    Request = Importance
    Result = ImportanceResult

    def lane(self, asked: Importance, store: RunStore) -> Lane:
        """Return "short", unless constants are trained for every node."""
        return "long" if constants_are_trained(asked) else "short"

    def complete(self, asked: Importance, store: RunStore) -> Importance:
        """Fill in hashes and settings; see the base class."""
        graph_of(asked)
        return with_ablation(completed_task(asked))

    def find(self, asked: Importance, bench: "Workbench", report: Report) -> "Found":
        """Measure every node."""
        from engine.instruments.importance.find import importance

        return importance(asked, bench, report)

    def line(self, asked: Importance) -> str:
        """Return task, ablation and model."""
        return task_line(asked)

    def size(self, run: Run[Importance, ImportanceResult]) -> str:
        """Return "every node"."""
        return "every node"

    def frame(self, run: Run[Importance, ImportanceResult]) -> "DataFrame":
        """Return a row for every node: the loss in nats, and its direct effects, with intervals."""
        return frame(
            {"node": node} | estimate_columns(estimates) for node, estimates in run.result.nodes.items()
        )

    def command(self) -> Callable[..., None]:
        """Return `circuit-explorer importance`."""
        from engine.instruments.importance.cli import importance

        return importance

    def benches(self) -> "dict[str, Bench]":
        """Return the bench of all nodes."""
        from engine.instruments.importance.bench import BENCHES

        return BENCHES

    def ship(self, store: RunStore, carry_out: Callable[[AnyRequest], str]) -> None:
        """Measure every node of the demo model on every shipped task under every ablation."""
        from engine.instruments.shipped import MODEL, SHIPPED, other_ablations, unless_refused

        for task in dict.fromkeys(task for task, _, _ in SHIPPED):
            for ablation in other_ablations():
                unless_refused(carry_out, Importance(model=MODEL, task=task, ablation=ablation))

    def tables(self, store: RunStore) -> dict[str, str]:
        """Return the table of the components' Δ under each ablation."""
        from engine.instruments.importance.table import gaps_table

        return {"gaps": gaps_table(store)}
