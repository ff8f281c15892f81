"""Sweep; see `engine.instruments.base`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import RequestError
from engine.instruments.base import Instrument, Outcome, instruments
from engine.instruments.completion import completed_task, graph_of, with_edges
from engine.instruments.frames import frame, point_columns
from engine.instruments.sweep.request import Sweep
from engine.instruments.sweep.result import SweepResult
from engine.instruments.words import model_name, title_of
from engine.runs.folder import Run
from engine.runs.request import Request as AnyRequest
from engine.runs.store import RunStore
from engine.settings import parse_settings, settings_to_json

if TYPE_CHECKING:
    from engine.instruments.frames import DataFrame
    from engine.runs.found import Found


@instruments.register("sweep")
class SweepInstrument(Instrument[Sweep, SweepResult]):
    """Compares methods by way of discoveries, each of which leaves a run of its own."""

    kind = "sweep"
    title = "Sweep"
    order = 60
    Request = Sweep
    Result = SweepResult

    def complete(self, asked: Sweep, store: RunStore) -> Sweep:
        """Fill in the settings of the methods, and MIB's sizes by default; see the base class."""
        from engine.ablations.base import ablations
        from engine.discovery.base import methods
        from engine.instruments.sweep.parts import mib_sizes
        from engine.tasks.dataset import check_task
        from engine.tasks.user_file import file_hash, is_task_file

        plan, graph = asked.sweep, graph_of(asked)
        if asked.held_out or asked.ablation_settings:
            raise RequestError("a sweep takes no templates held out and no settings of ablations")
        checks = ((plan.methods, methods.get), (plan.ablations, ablations.get), (plan.tasks, check_task))
        for names, check in checks:
            for name in names:
                check(name)
        if unused := plan.settings.keys() - set(plan.methods):
            raise RequestError(f"settings of '{min(unused)}', which is not among the methods of the sweep")
        settings = {
            name: settings_to_json(parse_settings(methods.get(name).Settings, plan.settings.get(name, {})))
            for name in plan.methods
        }
        hashes = {task: file_hash(Path(task)) for task in plan.tasks if is_task_file(task)}
        if changed := [task for task, known in plan.task_hashes.items() if hashes.get(task) != known]:
            raise RequestError(f"task '{changed[0]}' has changed since the sweep was asked for: ask again")
        asked = asked.model_copy(
            update={
                "task": plan.tasks[0],
                "ablation": plan.ablations[0],
                "sizes": asked.sizes or mib_sizes(graph.n_edges),
                "sweep": plan.model_copy(update={"settings": settings, "task_hashes": hashes}),
            }
        )
        return completed_task(with_edges(asked, graph))

    def parts(self, asked: Sweep, store: RunStore) -> list[AnyRequest]:
        """Return the discoveries; see the base class."""
        from engine.instruments.sweep.parts import parts

        return parts(asked)

    def gather(
        self, asked: Sweep, parts: Sequence[AnyRequest], outcomes: Sequence[Outcome], store: RunStore
    ) -> "Found":
        """Return a row for every discovery."""
        from engine.instruments.sweep.parts import gather

        return gather(asked, parts, outcomes)

    def line(self, asked: Sweep) -> str:
        """Return task, method and ablation (or their numbers, if several) and the model."""
        plan = asked.sweep
        task, ablation, method = (
            title_of(kind, names[0]) if len(names) == 1 else f"{len(names)} {kind}s"
            for kind, names in (("task", plan.tasks), ("ablation", plan.ablations), ("method", plan.methods))
        )
        return f"{task} · {method} · {ablation} · {model_name(asked.model)}"

    def size(self, run: Run[Sweep, SweepResult]) -> str:
        """Return the number of discoveries compared."""
        return f"{len(run.result.rows)} discoveries"

    def frame(self, run: Run[Sweep, SweepResult]) -> "DataFrame":
        """Return a row for every discovery and size: method, ablation, task, seed, and the metrics."""
        names = ("method", "ablation", "task", "seed", "run", "cpr", "cmd", "seconds", "error")
        return frame(
            {name: getattr(row, name) for name in names} | point
            for row in run.result.rows
            for point in ([point_columns(point) for point in row.points] or [{}])
        )

    def command(self) -> Callable[..., None]:
        """Return `circuit-explorer sweep`."""
        from engine.instruments.sweep.cli import sweep

        return sweep

    def ship(self, store: RunStore, carry_out: Callable[[AnyRequest], str]) -> None:
        """Compare all methods on the demo model."""
        from engine.instruments.shipped import MODEL, SIZES, SWEPT

        about = {"model": MODEL, "task": "ioi", "ablation": "counterfactual"}
        carry_out(Sweep.model_validate({**about, "sweep": SWEPT, "sizes": list(SIZES)}))

    def tables(self, store: RunStore) -> dict[str, str]:
        """Return the table of the shipped sweep."""
        from engine.instruments.sweep.table import sweep_table

        return {"sweep": sweep_table(store)}
