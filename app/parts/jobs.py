"""The panel of jobs: progress of each, and a button to cancel it."""

from collections.abc import Callable
from typing import Literal

import streamlit as st

from app import state
from app.errors import show_error
from app.requests import queue
from app.runs import kind_name, run_title
from app.text import plain
from engine.jobs.queue import Job

POLL_SECONDS = 0.7


def jobs_panel() -> None:
    """Draw the jobs of this server; while a job is active, redraw this panel alone at intervals."""
    watch_jobs(_panel)


def watch_jobs(draw: Callable[[list[Job]], None]) -> None:
    """Draw the jobs, newest first; while one is active, redraw at intervals and announce jobs that ended."""
    active = any(job.active for job in queue().jobs())
    st.fragment(_watch, run_every=POLL_SECONDS if active else None, key="jobs")(draw)


def _watch(draw: Callable[[list[Job]], None]) -> None:
    jobs = queue().jobs()
    mine = state.jobs()
    active = {job.job_id for job in jobs if job.active}
    draw(jobs)
    changed = active != mine.active
    ended = [job for job in jobs if job.job_id in mine.active - active]
    mine.active = active
    for job in ended:
        if job.state == "done":
            st.toast(plain(f"Finished: {job_title(job)}"), icon=":material/check_circle:")
            if mine.follow == job.job_id:
                mine.follow = None
                state.open_run(job.job_id)
    if changed:
        st.rerun()  # the page shows what is finished, and polling begins or ends


def _panel(jobs: list[Job]) -> None:
    for job in jobs:
        if job.active:
            _progress(job)
        elif failure_to_read(job):
            _failure(job)


def failure_to_read(job: Job) -> bool:
    """Return whether a job failed and this session has not dismissed its message."""
    return job.state == "failed" and job.job_id not in state.jobs().dismissed


def _progress(job: Job) -> None:
    with st.container(border=True):
        st.markdown(f"**{plain(job_title(job))}**")
        progress_bar(job)
        cancel_button(job, width="stretch")


def progress_bar(job: Job) -> None:
    """Draw the progress of an active job, or its position in the queue."""
    waiting = f"Waiting, {job.position} ahead" if job.position else "Waiting for a worker"
    text = waiting if job.state == "queued" else plain(job.message)
    st.progress(min(job.done / job.total, 1.0) if job.total else 0.0, text=text)


def cancel_button(job: Job, width: Literal["stretch", "content"]) -> None:
    """Draw the button that cancels an active job."""
    st.button(
        "Cancel",
        key=f"cancel-{job.job_id}",
        on_click=queue().cancel,
        args=(job.job_id,),
        icon=":material/stop_circle:",
        width=width,
    )


def _failure(job: Job) -> None:
    show_error(f"{job_title(job)} failed: {job.error}")
    dismiss_button(job)


def dismiss_button(job: Job) -> None:
    """Draw the button that hides a failed job in this session."""
    st.button(
        "Dismiss",
        key=f"dismiss-{job.job_id}",
        on_click=state.jobs().dismissed.add,
        args=(job.job_id,),
        type="tertiary",
        icon=":material/close:",
    )


def job_title(job: Job) -> str:
    """Return a one-line description of a job."""
    return f"{kind_name(job.request.kind)}: {run_title(job.request)}"
