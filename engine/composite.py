"""Requests that are carried out by way of others: a sweep over methods, a discovery repeated.

Their parts are ordinary requests, each of which leaves a run of its own: what is finished already is not
computed again, a job that was stopped goes on with what is left, and any number of workers can share the
parts (`engine.jobs.queue`). A part that cannot be carried out does not stop the others; the result says why
it is missing.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine import stability, sweep
from engine.errors import Cancelled, CircuitExplorerError
from engine.progress import Report, part_of
from engine.runs.request import Kind, Request
from engine.runs.store import Run, RunStore

# (request, report, store, checkpoint) -> id of its run; `engine.experiments.run`
RunPart = Callable[[Request, Report, RunStore, Path | None], str]
Outcome = Run | str  # the run of a part, or why there is none
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Composite:
    """One kind of such requests.

    Attributes:
        parts: from a completed request to its parts, not completed, in the order in which to begin.
        gather: from the request, its parts and their outcomes to a part of result.json, and tensors.
    """

    parts: Callable[[Request, RunStore], list[Request]]
    gather: Callable[[Request, list[Request], list[Outcome], RunStore], tuple[dict[str, Any], Arrays]]


COMPOSITES: dict[Kind, Composite] = {
    "sweep": Composite(sweep.parts, sweep.gather),
    "stability": Composite(stability.parts, stability.gather),
}


def run_parts(
    parts: list[Request], run: RunPart, report: Report, store: RunStore, checkpoint: Path | None
) -> list[str | None]:
    """Carry out the parts of a request one after the other, as far as they are not finished.

    Args:
        parts: completed.
        run: carries out one part.
        checkpoint: the request's own folder; those of the parts lie beside it.

    Returns:
        Why each part cannot be carried out, None for those that are done.
    """
    problems: list[str | None] = []
    for done, part in enumerate(parts):
        within = part_of(report, done, done + 1, len(parts), f"{done + 1} of {len(parts)}, {about(part)}: ")
        folder = None if checkpoint is None else checkpoint.parent / part.run_id()
        problem = None
        try:
            run(part, within, store, folder)
        except Cancelled:
            raise
        except CircuitExplorerError as error:
            problem = str(error)
        problems.append(problem)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return problems


def gathered(
    request: Request, parts: list[Request], problems: list[str | None], store: RunStore
) -> tuple[dict[str, Any], Arrays]:
    """Return a part of result.json, and tensors, of a request whose parts have been tried.

    Args:
        request: of a kind in `COMPOSITES`, completed.
        parts: its parts, completed.
        problems: why each of them cannot be carried out, None for those that are done.

    Raises:
        CircuitExplorerError: none of them could be.
    """
    pairs = zip(parts, problems, strict=True)
    outcomes: list[Outcome] = [problem or store.get(part.run_id()) for part, problem in pairs]
    runs = [one for one in outcomes if isinstance(one, Run)]
    if not runs:
        raise CircuitExplorerError(f"none of the parts could be carried out; the first: {problems[0]}")
    found, tensors = COMPOSITES[request.kind].gather(request, parts, outcomes, store)
    return found | _origin(runs), tensors


def about(part: Request) -> str:
    """Return what a part is, in a few words."""
    first = part.method or part.kind
    return f"{first} of {part.task} under {part.ablation}, seed {part.seed}"


def _origin(runs: list[Run]) -> dict[str, Any]:
    """Return what a result says of where it was computed, from its parts."""
    fields = ("seconds", "discovery_seconds", "evaluation_seconds")
    timings = {name: round(sum(run.result["timings"][name] for run in runs), 3) for name in fields}
    notes = {note for run in runs for note in run.result["notes"]}
    same = {name: runs[0].result[name] for name in ("versions", "device", "dtype")}
    return same | {"timings": timings, "notes": sorted(notes)}
