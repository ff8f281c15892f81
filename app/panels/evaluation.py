"""The switch of the ablation under which the circuit is evaluated, and the evaluation it calls for."""

import streamlit as st

from app.data import Opened, found_by, store
from app.errors import show_error
from app.jobs import evaluation_request, job_of, queue
from app.text import plain
from engine.ablations.base import ablations
from engine.errors import CircuitExplorerError
from engine.runs import Run


def evaluation_choice(opened: Opened) -> tuple[Run, str]:
    """Draw the switch; return the run whose evaluation is to be shown, and a line that says which it is.

    That is the discovery itself under its own ablation, or the finished evaluation under another one. While
    there is none yet, it is the discovery's own.
    """
    own = opened.request.ablation
    names = ablations.names()
    if st.session_state.get("under") not in names:
        st.session_state["under"] = own
    under = st.selectbox(
        "Evaluated under",
        names,
        key="under",
        format_func=lambda name: ablations.get(name).title + (" (as discovered)" if name == own else ""),
        help="The ablation that stands in for the edges outside the circuit when its metrics are measured.",
        on_change=_start,
        args=(opened,),
        persist_state="session",
    )
    found = plain(found_by(opened))
    found = f"{found[0].upper()}{found[1:]}, "
    if under == own:
        return opened.run, f"{found}evaluated under {own}."
    try:
        run_id = evaluation_request(opened.run.run_id, under).run_id()
    except CircuitExplorerError as error:
        show_error(f"Under {under} it cannot be evaluated: {error}")
        return opened.run, f"{found}evaluated under {own}."
    if run_id in store():
        return store().get(run_id), f"{found}evaluated under {under}."
    job = job_of(run_id)
    if job is not None and job.active:
        return (
            opened.run,
            f":material/hourglass: Being evaluated under {under}. Until then the numbers are under {own}.",
        )
    st.button(
        f"Evaluate under {under}",
        on_click=_start,
        args=(opened,),
        icon=":material/play_arrow:",
        width="stretch",
    )
    return opened.run, f"Not evaluated under {under} yet: the numbers are those under {own}."


def _start(opened: Opened) -> None:
    under = st.session_state["under"]
    if under == opened.request.ablation:
        return
    try:
        queue().submit(evaluation_request(opened.run.run_id, under))
    except CircuitExplorerError as error:
        show_error(str(error))
