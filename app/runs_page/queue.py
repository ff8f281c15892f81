"""The queue: running and waiting jobs with their reports, failed jobs, and ended jobs."""

from datetime import datetime

import pandas as pd
import streamlit as st

from app.errors import show_error
from app.parts.jobs import cancel_button, dismiss_button, failure_to_read, job_title, progress_bar, watch_jobs
from app.requests import queue
from app.text import plain
from engine.errors import CircuitExplorerError
from engine.jobs.queue import Job

_STATES = {"done": "finished", "failed": "failed", "cancelled": "cancelled"}


def queue_panel() -> None:
    """Draw the queue of this server; while a job is active, redraw the queue alone at intervals."""
    watch_jobs(_queue)


def _queue(jobs: list[Job]) -> None:
    # The next to be done first: that is the order of a queue.
    active = [job for job in reversed(jobs) if job.active]
    failed = [job for job in jobs if failure_to_read(job)]
    ended = [job for job in jobs if not job.active]
    if not active and not failed:
        st.caption(":material/check: Nothing is running or waiting. A discovery starts on the Explore page.")
    if active:
        with st.container(border=True, gap="small"):
            for job in sorted(active, key=lambda job: job.state != "running"):
                _active(job)
    for job in failed:
        _failed(job)
    if ended:
        _ended(ended)


def _active(job: Job) -> None:
    name, progress, log, cancel = st.columns([4, 4, 1.25, 1.45], vertical_alignment="center")
    # Its id tells it apart from the same request with another seed.
    name.markdown(f"**{plain(job_title(job))}** :gray[{job.job_id.rsplit('-', 1)[-1]}]")
    with progress:
        progress_bar(job)
    with log:
        _log(job)
    with cancel:
        cancel_button(job, width="stretch")


def _failed(job: Job) -> None:
    with st.container(border=True):
        show_error(f"{job_title(job)} failed: {job.error}")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Run again",
                key=f"again-{job.job_id}",
                on_click=_again,
                args=(job,),
                icon=":material/replay:",
                help="It goes on from where it was, as far as that was kept.",
            )
            dismiss_button(job)
            _log(job)


def _again(job: Job) -> None:
    try:
        queue().submit(job.request)
    except CircuitExplorerError as error:
        show_error(str(error))


def _log(job: Job) -> None:
    """Draw the button that shows the reports of a job, newest first."""
    if not job.log:
        return
    with st.popover("Log", key=f"log-{job.job_id}"):
        lines = [
            f"{_time(line.when)}  {100 * line.done // max(line.total, 1):3} %  {line.message}"
            for line in reversed(job.log)
        ]
        st.code("\n".join(lines), language=None, height=260)


def _ended(jobs: list[Job]) -> None:
    with st.expander(f"Ended since the server started ({len(jobs)})", icon=":material/history:", key="ended"):
        table = {
            "submitted": [_time(job.submitted) for job in jobs],
            "job": [job_title(job) for job in jobs],
            "how": [_STATES[job.state] for job in jobs],
            "last": [job.error or (job.log[-1].message if job.log else "") for job in jobs],
        }
        st.dataframe(
            pd.DataFrame(table),
            hide_index=True,
            alt="Jobs that have ended",
            column_config={
                "submitted": st.column_config.TextColumn(width="small"),
                "how": st.column_config.TextColumn("ended as", width="small"),
                "last": st.column_config.TextColumn("last word"),
            },
        )


def _time(seconds: float) -> str:
    """Return the time of day, in the server's zone."""
    return datetime.fromtimestamp(seconds).strftime("%H:%M:%S")
