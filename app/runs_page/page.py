"""Runs: what has been run, what is running?"""

import streamlit as st

from app import state
from app.runs import Shelf, shelf, store
from app.runs_page.actions import actions, broken_runs
from app.runs_page.detail import run_detail
from app.runs_page.facets import FACETS
from app.runs_page.queue import queue_panel
from app.runs_page.table import first_kinds, history, select_run
from app.runs_page.upload import import_panel
from engine.errors import RequestError

LISTS = ("kind", "selected", *FACETS)
PARAMETERS = (
    state.Parameter("text", default=""),
    state.Parameter("origin", default="all"),
    *(state.Parameter(name, lambda text: list(state.names_of(text)), state.text_of, []) for name in LISTS),
)


def page() -> None:
    """Draw the page: import on the left, queue on top, then the history and the actions on its runs."""
    state.take_address("runs", PARAMETERS, prefix="runs-")
    _take_finished()
    with st.sidebar:
        import_panel()
    st.title("Runs", anchor=False)
    queue_panel()
    current_shelf = shelf()
    if not current_shelf.runs and not current_shelf.others:
        st.info(
            "There is no finished run yet. Discover a circuit on the Explore page, or import one here.",
            icon=":material/hub:",
        )
    else:
        selected = history(current_shelf, lambda selected: actions(selected, current_shelf))
        if len(selected) == 1:
            run_detail(selected[0], current_shelf)
    if current_shelf.broken:
        st.subheader("Folders that cannot be opened", anchor=False)
        broken_runs(current_shelf.broken)
    _write_url(current_shelf)


def _take_finished() -> None:
    """Select, once, the finished run that this session was waiting for; Explore opens it later."""
    finished = st.session_state.get("open-next")
    if finished is None or finished == st.session_state.get("runs-finished"):
        return
    st.session_state["runs-finished"] = finished
    try:
        select_run(store().get(finished))
    except RequestError:
        return  # deleted meanwhile


def _write_url(current_shelf: Shelf) -> None:
    state.put_address("runs", PARAMETERS, prefix="runs-", defaults={"kind": first_kinds(current_shelf)})


page()
