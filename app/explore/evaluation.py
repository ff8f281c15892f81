"""The switch of the ablation under which the circuit is evaluated, and the button for that evaluation."""

import streamlit as st

from app.requests import being_made, evaluation_request, finished, start
from app.runs import Opened, found_by
from app.text import plain
from engine.ablations.base import ablations
from engine.instruments.words import title_of
from engine.runs.folder import Run
from engine.runs.record import CurveResult
from engine.runs.request import OfACircuit


def evaluation_choice(opened: Opened) -> tuple[Run[OfACircuit, CurveResult], str]:
    """Draw the switch; return the run whose evaluation is shown, and a line that describes it.

    Under the discovery's own ablation the run is the discovery. Under another ablation it is the finished
    evaluation, or the discovery while there is none yet.
    """
    own = opened.request.ablation
    names = [*ablations.names(), *([] if own in ablations.names() else [own])]
    if st.session_state.get("under") not in names:
        st.session_state["under"] = own
    under = st.selectbox(
        "Evaluated under",
        names,
        key="under",
        format_func=lambda name: title_of("ablation", name) + (" (as discovered)" if name == own else ""),
        help="The ablation that stands in for the edges outside the circuit when its metrics are measured.",
        on_change=_start,
        args=(opened,),
        persist_state="session",
    )
    words = plain(found_by(opened))
    words = f"{words[0].upper()}{words[1:]}, evaluated under {plain(under)}."
    if under == own:
        return opened.run, words
    request = evaluation_request(opened.run, under)
    if (run := finished(request)) is not None:
        return run, words
    until = f"the numbers are those under {plain(own)}."
    if being_made(request):
        return opened.run, f":material/hourglass: Being evaluated under {under}. Until then {until}"
    st.button(
        f"Evaluate under {under}",
        on_click=_start,
        args=(opened,),
        icon=":material/play_arrow:",
        width="stretch",
    )
    return opened.run, f"Not evaluated under {under} yet: {until}"


def _start(opened: Opened) -> None:
    under = st.session_state["under"]
    # A click while the page turns to another run brings this run's wording of a choice, which is none there.
    if under in ablations.names() and under != opened.request.ablation:
        start([evaluation_request(opened.run, under)])
