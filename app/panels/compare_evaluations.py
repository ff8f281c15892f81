"""Evaluations of several runs: what is finished, what is being made, one button for what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.data import Opened, store, title_of
from app.jobs import evaluation_request, job_of, queue
from app.text import plain
from engine.errors import CircuitExplorerError
from engine.request import Request
from engine.runs import Run

OWN = "own"  # every run under the ablation it was found under


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a run's circuits under an ablation, or why there is none.

    Attributes:
        whose: the run in words, for lists of what is missing.
        run: the finished evaluation, `opened.run` itself for its own ablation.
        request: what would make it, where it is missing.
        active: it is being made.
        problem: why it cannot be made, one line.
    """

    whose: str
    run: Run | None = None
    request: Request | None = None
    active: bool = False
    problem: str | None = None


def evaluation(opened: Opened, ablation: str, whose: str) -> Evaluation:
    """Look for the evaluation of a run under `ablation`, or under its own one (`OWN`)."""
    if ablation in (OWN, opened.request.ablation):
        return Evaluation(whose, opened.run)
    try:
        request = evaluation_request(opened.run.run_id, ablation)
        found = store().get(request.run_id()) if request.run_id() in store() else None
    except CircuitExplorerError as error:
        return Evaluation(whose, problem=str(error))
    job = job_of(request.run_id())
    return Evaluation(whose, found, request, job is not None and job.active)


def missing_evaluations(evaluations: Sequence[Evaluation], key: str, where: str) -> None:
    """Name the evaluations that are not there, and draw the button that starts them all.

    Args:
        key: of the button.
        where: ends the sentence that names them, "under zero ablation".
    """
    lacking = [one for one in evaluations if one.run is None]
    for one in lacking:
        if one.problem:
            st.error(
                plain(f"{one.whose} cannot be evaluated {where}: {one.problem}"), icon=":material/error:"
            )
    if active := [one for one in lacking if one.active]:
        st.caption(f":material/hourglass: Being evaluated {where}: {_named(active)}.")
    if waiting := [one for one in lacking if one.request is not None and not one.active]:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Not evaluated {where} yet, so without numbers: {_named(waiting)}.", width="content")
            st.button(
                "Evaluate it" if len(waiting) == 1 else f"Evaluate these {len(waiting)}",
                key=key,
                icon=":material/play_arrow:",
                on_click=submit_all,
                args=([one.request for one in waiting if one.request is not None],),
            )


def submit_all(requests: Sequence[Request]) -> None:
    """Put requests into the queue; the first that is refused is shown, the others are not tried."""
    try:
        for request in requests:
            queue().submit(request)
    except CircuitExplorerError as error:
        st.error(plain(str(error)), icon=":material/error:")


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


def _named(evaluations: Sequence[Evaluation]) -> str:
    return ", ".join(one.whose for one in evaluations)
