"""The pages' view of the queue: one for the whole server, shared by all sessions."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.data import store
from engine.jobs import Job, JobQueue
from engine.request import Chosen, OwnPair, Request


@st.cache_resource(show_spinner=False, on_release=JobQueue.close)
def queue() -> JobQueue:
    """Return the queue; its workers start with the first job, not with the first page."""
    return JobQueue(store())


def job_of(job_id: str) -> Job | None:
    """Return the job for the run of this id, if there is one."""
    return next((job for job in queue().jobs() if job.job_id == job_id), None)


def evaluation_request(run_id: str, ablation: str) -> Request:
    """Return the request that evaluates a run's circuits under another ablation.

    Raises:
        RequestError: the run's model or task file is not there any more.
    """
    origin = store().get(run_id).request
    return _completed(
        kind="evaluate",
        model=origin.model,
        task=origin.task,
        ablation=ablation,
        split=origin.split,
        n_prompts=origin.n_prompts,
        circuit=run_id,
    )


def measure_request(
    model: str,
    task: str,
    ablation: str,
    circuits: Sequence[Chosen],
    origin_run_id: str,
    pairs: Sequence[OwnPair] = (),
) -> Request:
    """Return the request that measures circuits made of others.

    Args:
        model, task, ablation: what they are measured on and under.
        circuits: the circuits.
        origin_run_id: a run whose split, number of prompts and other details are taken.
        pairs: measured on these instead of the task's prompts.

    Raises:
        RequestError: a circuit cannot be made, or model or task are not there any more.
    """
    return _completed(
        **_details(origin_run_id),
        kind="measure",
        model=model,
        task=task,
        ablation=ablation,
        circuits=[chosen.model_dump() for chosen in circuits],
        pairs=[pair.model_dump() for pair in pairs],
    )


def importance_request(run_id: str, ablation: str) -> Request:
    """Return the request that ablates every node of a run's model alone, on the run's task.

    Raises:
        RequestError: the run's model or task file is not there any more.
    """
    origin = store().get(run_id).request
    details = _details(run_id) | {"model": origin.model, "task": origin.task}
    return _completed(**details, kind="importance", ablation=ablation)


def _details(run_id: str) -> dict[str, Any]:
    origin = store().get(run_id).request
    return {name: getattr(origin, name) for name in ("split", "n_prompts", "qkv", "bos", "dtype")}


@st.cache_data(max_entries=256, show_spinner=False)
def _completed(**fields: Any) -> Request:
    from engine.experiments import completed  # takes a second to import, which no page that shows a run needs

    return completed(Request.model_validate(fields), store())
