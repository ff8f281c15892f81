"""Evaluations of several runs: what is finished, what is being made, one button for what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.requests import being_made, evaluation_request, finished, start
from app.runs import Opened
from engine.instruments.evaluate.request import Evaluate
from engine.instruments.words import title_of
from engine.runs.folder import AnyRun, Run
from engine.runs.record import CurveResult
from engine.runs.request import OfACircuit

CurveRun = Run[OfACircuit, CurveResult]

OWN = "own"  # every run under the ablation it was found under


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a run's circuits under an ablation.

    Attributes:
        whose: what it is called in a list of what is missing.
        ablation: the ablation.
        run: the finished evaluation, or the run itself for its own ablation; None where there is none.
        request: what makes it; None for the run itself.
    """

    whose: str
    ablation: str
    run: CurveRun | None
    request: Evaluate | None = None


def evaluation(opened: Opened, ablation: str, whose: str) -> Evaluation:
    """Look for the evaluation of a run under `ablation`, or under its own one (`OWN`)."""
    if ablation in (OWN, opened.request.ablation):
        return Evaluation(whose, opened.request.ablation, opened.run)
    request = evaluation_request(opened.run, ablation)
    return Evaluation(whose, ablation, finished(request), request)


def missing_evaluations(evaluations: Sequence[Evaluation], key: str, where: str) -> None:
    """Name the evaluations that are not there, and draw the button that starts them all.

    Args:
        key: of the button.
        where: ends the sentence that names them, "under zero".
    """
    lacking = {
        missing.whose: missing.request
        for missing in evaluations
        if missing.run is None and missing.request is not None
    }
    active = [whose for whose, request in lacking.items() if being_made(request)]
    if active:
        st.caption(f":material/hourglass: Being evaluated {where}: {', '.join(active)}.")
    if waiting := {whose: request for whose, request in lacking.items() if whose not in active}:
        names = ", ".join(waiting)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Not evaluated {where} yet, so without numbers: {names}.", width="content")
            st.button(
                "Evaluate it" if len(waiting) == 1 else f"Evaluate these {len(waiting)}",
                key=key,
                icon=":material/play_arrow:",
                on_click=start,
                args=(list(waiting.values()),),
            )


def unlike(runs: Sequence[AnyRun]) -> list[str]:
    """Return in words what was not the same when these runs were measured; [] if nothing was."""
    differing = []
    if len({run.request.task for run in runs}) > 1:
        differing.append("each on its own task")
    if len({(run.request.split, run.result.summary.kl.n) for run in runs}) > 1:
        differing.append("on other numbers or splits of prompts")
    by_ablation: dict[str, set[str]] = {}
    for run in runs:
        settings = f"{run.result.conditioning} {sorted(run.request.ablation_settings.items())}"
        by_ablation.setdefault(run.request.ablation, set()).add(settings)
    differing += [
        f"with other settings of the ablation '{title_of('ablation', name)}'"
        for name, settings in by_ablation.items()
        if len(settings) > 1
    ]
    if len({run.request.model for run in runs}) > 1:
        differing.append("each in its own model")
    return differing
