"""The button that starts jobs for missing results."""

from collections.abc import Sequence

import streamlit as st

from app.requests import job_of, start
from app.text import plain
from engine.runs.request import Request


def ask_button(requests: Sequence[Request], label: str, key: str, why: str | None = None) -> None:
    """Draw a button that starts the jobs of requests; while all are active, draw their progress instead.

    Args:
        requests: the requests to start; without any, nothing is drawn.
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
        on_click=start,
        args=(requests,),
        icon=":material/play_arrow:",
        width="stretch",
    )
