"""Numbers that are there, or can be asked for: a finished run, or the button that starts its job."""

from collections.abc import Sequence

import streamlit as st

from app.data import store
from app.errors import show_error
from app.jobs import job_of, queue
from app.text import plain
from engine.errors import CircuitExplorerError
from engine.request import Request
from engine.runs import Run


def finished(request: Request) -> Run | None:
    """Return the run of a request if it is finished."""
    run_id = request.run_id()
    return store().get(run_id) if run_id in store() else None


def ask_button(requests: Sequence[Request], label: str, key: str, why: str | None = None) -> None:
    """Draw a button that starts the jobs of requests; while they are at work, say so instead.

    Args:
        requests: what is still to be computed; nothing is drawn if there is none.
        label, key, why: of the button.
    """
    waiting = [job for request in requests if (job := job_of(request.run_id())) is not None and job.active]
    if len(waiting) == len(requests):
        if waiting:
            st.caption(f":material/hourglass: {plain(waiting[0].message) or 'Waiting for a worker'} …")
        return
    st.button(
        label,
        key=key,
        help=why,
        on_click=_start,
        args=(requests,),
        icon=":material/play_arrow:",
        width="stretch",
    )


def _start(requests: Sequence[Request]) -> None:
    try:
        for request in requests:
            queue().submit(request)
    except CircuitExplorerError as error:
        show_error(str(error))
