"""Evaluations of several runs: finished ones, those in the queue, and one button for the missing ones."""

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
        whose: its name in the list of missing evaluations.
        ablation: the ablation.
        run: the finished evaluation, or the run itself for its own ablation; None where there is none.
        request: the request that computes it; None for the run itself.
    """

    whose: str
    ablation: str
    run: CurveRun | None
    request: Evaluate | None = None


def evaluation(opened: Opened, ablation: str, whose: str) -> Evaluation:
    """Return the evaluation of a run under `ablation`, or under the run's own ablation (`OWN`)."""
    if ablation in (OWN, opened.request.ablation):
        return Evaluation(whose, opened.request.ablation, opened.run)
    request = evaluation_request(opened.run, ablation)
    return Evaluation(whose, ablation, finished(request), request)


def missing_evaluations(evaluations: Sequence[Evaluation], key: str, where: str) -> None:
    """Name the missing evaluations, and draw the button that starts them all.

    Args:
        key: of the button.
        where: the end of the sentence that names them, for example "under zero".
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
    """Return, in words, the settings in which the measurements of these runs differ; [] if they agree."""
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
