"""The pages' view of the queue: one for the whole server, shared by all sessions."""

import streamlit as st

from app.data import store
from engine.experiments import completed
from engine.jobs import Job, JobQueue
from engine.request import Request


@st.cache_resource(show_spinner=False, on_release=JobQueue.close)
def queue() -> JobQueue:
    """Return the queue; its workers start with the first job, not with the first page."""
    return JobQueue(store())


def job_of(job_id: str) -> Job | None:
    """Return the job for the run of this id, if there is one."""
    return next((job for job in queue().jobs() if job.job_id == job_id), None)


@st.cache_data(max_entries=64, show_spinner=False)
def evaluation_request(run_id: str, ablation: str) -> Request:
    """Return the request that evaluates a run's circuits under another ablation.

    Raises:
        RequestError: the run's model or task file is not there any more.
    """
    origin = store().get(run_id).request
    request = {
        "kind": "evaluate",
        "model": origin.model,
        "task": origin.task,
        "ablation": ablation,
        "split": origin.split,
        "n_prompts": origin.n_prompts,
        "circuit": run_id,
    }
    return completed(Request.model_validate(request), store())
