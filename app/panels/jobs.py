"""Progress of the jobs: what runs, how far it is, and a button to stop it."""

import streamlit as st

from app import state
from app.data import run_title
from app.jobs import queue
from engine.jobs import Job

POLL_SECONDS = 0.7


def jobs_panel() -> None:
    """Draw the jobs of this server; while one is active this panel alone is drawn again and again."""
    active = any(job.active for job in queue().jobs())
    st.fragment(_jobs, run_every=POLL_SECONDS if active else None, key="jobs")()


def _jobs() -> None:
    jobs = queue().jobs()
    mine = state.jobs()
    active = {job.job_id for job in jobs if job.active}
    for job in jobs:
        if job.active:
            _progress(job)
        elif job.state == "failed" and job.job_id not in mine.dismissed:
            _failure(job)
    changed = active != mine.active
    ended = [job for job in jobs if job.job_id in mine.active - active]
    mine.active = active
    for job in ended:
        if job.state == "done":
            st.toast(f"Finished: {_title(job)}", icon=":material/check_circle:")
            if mine.follow == job.job_id:
                mine.follow = None
                state.open_run(job.job_id)
    if changed:
        st.rerun()  # the page shows what is finished, and polling begins or ends


def _progress(job: Job) -> None:
    with st.container(border=True):
        st.markdown(f"**{_title(job)}**")
        waiting = f"Waiting, {job.position} ahead" if job.position else "Waiting for a worker"
        text = waiting if job.state == "queued" else job.message
        st.progress(min(job.done / job.total, 1.0) if job.total else 0.0, text=text)
        st.button(
            "Cancel",
            key=f"cancel-{job.job_id}",
            on_click=queue().cancel,
            args=(job.job_id,),
            icon=":material/stop_circle:",
            width="stretch",
        )


def _failure(job: Job) -> None:
    st.error(f"{_title(job)} failed: {job.error}", icon=":material/error:")
    st.button(
        "Dismiss",
        key=f"dismiss-{job.job_id}",
        on_click=state.jobs().dismissed.add,
        args=(job.job_id,),
        type="tertiary",
        icon=":material/close:",
    )


def _title(job: Job) -> str:
    kind = "Evaluation" if job.request.kind == "evaluate" else "Discovery"
    return f"{kind}: {run_title(job.request)}"
