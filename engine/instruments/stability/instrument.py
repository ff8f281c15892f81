"""Stability; see `engine.instruments.base`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.errors import RequestError
from engine.instruments.base import Instrument, Outcome, instruments
from engine.instruments.completion import (
    SAME,
    completed_task,
    graph_of,
    with_ablation,
    with_edges,
    with_scores,
)
from engine.instruments.frames import frame, point_columns
from engine.instruments.stability.request import Stability
from engine.instruments.stability.result import StabilityResult
from engine.instruments.words import task_line
from engine.runs.folder import Run
from engine.runs.request import Request as AnyRequest
from engine.runs.store import RunStore

if TYPE_CHECKING:
    from engine.instruments.frames import DataFrame
    from engine.runs.found import Found

# What the repeats of a discovery have in common with it.
REPEATED = (*SAME, "ablation", "ablation_settings", "split", "n_prompts")


@instruments.register("stability")
class StabilityInstrument(Instrument[Stability, StabilityResult]):
    """Repeats a discovery."""

    kind = "stability"
    title = "Stability"
    order = 70
    Request = Stability
    Result = StabilityResult

    def complete(self, asked: Stability, store: RunStore) -> Stability:
        """Copy fields of the discovery, and fill in hashes and settings; see the base class."""
        origin = with_scores(store, asked.circuit).request
        if origin.kind != "discover" or origin.held_out:
            raise RequestError(
                f"run '{asked.circuit}' is no discovery on all templates: it cannot be repeated"
            )
        if origin.split == "train":
            raise RequestError(
                f"run '{asked.circuit}' is measured on its training prompts: nothing is held out"
            )
        same = {name: getattr(origin, name) for name in REPEATED}
        asked = asked.model_copy(update=same | {"sparsity": None})
        since = f" since run '{asked.circuit}' was made"
        return with_ablation(completed_task(with_edges(asked, graph_of(asked)), since))

    def parts(self, asked: Stability, store: RunStore) -> list[AnyRequest]:
        """Return the repeats; see the base class."""
        from engine.instruments.stability.parts import parts

        return parts(asked, store)

    def gather(
        self, asked: Stability, parts: Sequence[AnyRequest], outcomes: Sequence[Outcome], store: RunStore
    ) -> "Found":
        """Return the metrics of the repeats; see the base class."""
        from engine.instruments.stability.parts import gather

        return gather(asked, parts, outcomes, store)

    def line(self, asked: Stability) -> str:
        """Return task, ablation and model."""
        return task_line(asked)

    def size(self, run: Run[Stability, StabilityResult]) -> str:
        """Return the number of repeats."""
        return f"{len(run.result.repeats)} repeats"

    def frame(self, run: Run[Stability, StabilityResult]) -> "DataFrame":
        """Return a row for every repeat: its seed, the templates held out, and the metrics."""
        on_part = [(repeat, False) for repeat in run.result.repeats]
        on_part += [(repeat, True) for repeat in run.result.folds]
        return frame({"the circuit itself": itself} | point_columns(repeat) for repeat, itself in on_part)

    def ship(self, store: RunStore, carry_out: Callable[[AnyRequest], str]) -> None:
        """Repeat the first shipped discovery."""
        from engine.instruments.shipped import REPEATS, shipped_discoveries

        first = shipped_discoveries(store)[0]
        about = {name: getattr(first.request, name) for name in ("model", "task", "ablation")}
        carry_out(Stability.model_validate({**about, "circuit": first.run_id, "stability": REPEATS}))
