"""Evaluations of several runs: what is finished, what is being made, one button for what is missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from app.data import Opened, shelf, title_of
from app.errors import show_error
from app.jobs import evaluation_request, queue
from engine.ablations.base import ablations
from engine.errors import CircuitExplorerError
from engine.request import Request
from engine.runs import Run

OWN = "own"  # every run under the ablation it was found under


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a run's circuits under an ablation.

    Attributes:
        whose: what it is called in a list of what is missing.
        origin: id of the run.
        ablation: the ablation.
        run: the finished evaluation, or the run itself for its own ablation; None where there is none.
        active: it is being made.
    """

    whose: str
    origin: str
    ablation: str
    run: Run | None
    active: bool = False


def evaluation(opened: Opened, ablation: str, whose: str) -> Evaluation:
    """Look for the evaluation of a run under `ablation`, or under its own one (`OWN`)."""
    request, run_id = opened.request, opened.run.run_id
    if ablation in (OWN, request.ablation):
        return Evaluation(whose, run_id, request.ablation, opened.run)
    wanted = {"kind": "evaluate", "circuit": run_id} | _asked_for(request, ablation)
    return Evaluation(whose, run_id, ablation, finished(wanted), being_made(wanted))


def measurement_fields(origin: Request, ablation: str) -> dict[str, Any]:
    """Return what the request of a measurement on the task of a run has, but for its circuits."""
    same = ("model", "weights_hash", "task", "task_hash", "qkv", "bos", "dtype")
    fields = {name: getattr(origin, name) for name in same}
    return {"kind": "measure", "pairs": []} | fields | _asked_for(origin, ablation)


def _asked_for(origin: Request, ablation: str) -> dict[str, Any]:
    settings = ablations.get(ablation).Settings().model_dump(mode="json")
    fields = {"ablation": ablation, "ablation_settings": settings}
    return fields | {"split": origin.split, "n_prompts": origin.n_prompts}


def finished(wanted: Mapping[str, Any]) -> Run | None:
    """Return a run whose request has these fields.

    It is found by what it asks for and not by its id, for which the model would have to be there: runs are
    compared also where their model is not.
    """
    return next((run for run in shelf().others.values() if _fits(run.request, wanted)), None)


def being_made(wanted: Mapping[str, Any]) -> bool:
    """Return whether a job is at work on a request with these fields."""
    return any(job.active and _fits(job.request, wanted) for job in queue().jobs())


def _fits(request: Request, wanted: Mapping[str, Any]) -> bool:
    return all(getattr(request, name) == value for name, value in wanted.items())


def missing_evaluations(evaluations: Sequence[Evaluation], key: str, where: str) -> None:
    """Name the evaluations that are not there, and draw the button that starts them all.

    Args:
        key: of the button.
        where: ends the sentence that names them, "under zero".
    """
    lacking = [one for one in evaluations if one.run is None]
    if active := [one.whose for one in lacking if one.active]:
        st.caption(f":material/hourglass: Being evaluated {where}: {', '.join(active)}.")
    if waiting := [one for one in lacking if not one.active]:
        names = ", ".join(one.whose for one in waiting)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Not evaluated {where} yet, so without numbers: {names}.", width="content")
            st.button(
                "Evaluate it" if len(waiting) == 1 else f"Evaluate these {len(waiting)}",
                key=key,
                icon=":material/play_arrow:",
                on_click=start_jobs,
                args=([partial(evaluation_request, one.origin, one.ablation) for one in waiting],),
            )


def start_jobs(requests: Sequence[Callable[[], Request]]) -> None:
    """Make requests and put them into the queue; the first that is refused is shown, and no other tried."""
    try:
        for make in requests:
            queue().submit(make())
    except CircuitExplorerError as error:
        show_error(str(error))


def unlike(runs: Sequence[Run]) -> list[str]:
    """Return in words what was not the same when these runs were measured; [] if nothing was."""
    differing = []
    if len({run.request.task for run in runs}) > 1:
        differing.append("each on its own task")
    if len({(run.request.split, run.result["summary"]["kl"]["n"]) for run in runs}) > 1:
        differing.append("on other numbers or splits of prompts")
    by_ablation: dict[str, set[str]] = {}
    for run in runs:
        settings = f"{run.result['conditioning']} {sorted(run.request.ablation_settings.items())}"
        by_ablation.setdefault(run.request.ablation, set()).add(settings)
    differing += [
        f"with other settings of the ablation '{title_of('ablation', name)}'"
        for name, settings in by_ablation.items()
        if len(settings) > 1
    ]
    if len({run.request.model for run in runs}) > 1:
        differing.append("each in its own model")
    return differing
