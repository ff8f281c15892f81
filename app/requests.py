"""The pages' view of the queue: one for the whole server, shared by all sessions."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.errors import show_error
from app.runs import store
from engine.ablations.base import ablations
from engine.completion import OF_A_RUN
from engine.errors import CircuitExplorerError, RequestError
from engine.jobs.queue import Job, JobQueue
from engine.runs.request import Chosen, Kind, OwnPair, Request, Stability
from engine.runs.store import Run
from engine.settings import parse_settings

# What two requests have in common that are about the same model, task and prompts.
SAME = ("model", "weights_hash", "task", "task_hash", "qkv", "bos", "dtype", "split", "n_prompts", "seed")


@st.cache_resource(show_spinner=False, on_release=JobQueue.close)
def queue() -> JobQueue:
    """Return the queue; its workers start with the first job, not with the first page."""
    return JobQueue(store())


def job_of(job_id: str) -> Job | None:
    """Return the job for the run of this id, if there is one."""
    return next((job for job in queue().jobs() if job.job_id == job_id), None)


def finished(request: Request) -> Run | None:
    """Return the run of a request if it is finished."""
    try:
        return store().get(request.run_id())
    except RequestError:
        return None


def being_made(request: Request) -> bool:
    """Return whether a job is at work on a request, or waits to be."""
    job = job_of(request.run_id())
    return job is not None and job.active


def start(requests: Sequence[Request]) -> None:
    """Put requests into the queue; the first that is refused is shown, and no other tried."""
    try:
        for request in requests:
            queue().submit(request)
    except CircuitExplorerError as error:
        show_error(str(error))


def evaluation_request(origin: Run, ablation: str) -> Request:
    """Return the request that evaluates a run's circuits under another ablation."""
    return _like(origin, "evaluate", ablation, circuit=origin.run_id, edges=origin.request.edges)


def measure_request(
    origin: Run, ablation: str, circuits: Sequence[Chosen], pairs: Sequence[OwnPair] = ()
) -> Request:
    """Return the request that measures circuits on the task of a run.

    Args:
        origin: the run whose model, task, split, number of prompts and seed are taken.
        ablation: what stands in for what is outside the circuits.
        circuits: the circuits.
        pairs: measured on these instead of the task's prompts.
    """
    return _like(origin, "measure", ablation, circuits=list(circuits), pairs=list(pairs))


def stability_request(origin: Run, seeds: Sequence[int], folds: int = 2) -> Request:
    """Return the request that repeats a run's discovery, complete as the engine would make it.

    Args:
        origin: a discovery.
        seeds: the seeds to repeat it with.
        folds: parts of the task's templates, each of which is left out once.
    """
    fields = {name: getattr(origin.request, name) for name in OF_A_RUN["stability"]}
    plan = Stability(seeds=list(seeds), folds=folds)
    return Request(kind="stability", circuit=origin.run_id, stability=plan, **fields)


def importance_request(origin: Run, ablation: str) -> Request:
    """Return the request that ablates every node of a run's model alone, on the run's task."""
    return _like(origin, "importance", ablation)


def importance_by_default(like: Request, ablation: str) -> Request:
    """Return the request that ablates every node alone by the ablation's default settings.

    Args:
        like: a completed request about the same model, task and prompts.
    """
    return _request(like, "importance", ablation, defaults(ablation))


def defaults(ablation: str) -> dict[str, Any]:
    """Return the settings that an ablation has by default, all of them, as a completed request has them."""
    return parse_settings(ablations.get(ablation).Settings, {}).model_dump(mode="json")


def _like(origin: Run, kind: Kind, ablation: str, **more: Any) -> Request:
    """Return a request about what a run was about, complete as `engine.experiments.completed` would make it.

    Nothing but the run is looked at: its model may be gone, or on the hub, and a page only asks whether
    the answer is there. When it is submitted, a model or task that has changed since is refused.
    """
    own = ablation == origin.request.ablation
    settings = origin.request.ablation_settings if own else defaults(ablation)
    return _request(origin.request, kind, ablation, settings, **more)


def _request(like: Request, kind: Kind, ablation: str, settings: dict[str, Any], **more: Any) -> Request:
    fields = {name: getattr(like, name) for name in SAME}
    return Request(kind=kind, ablation=ablation, ablation_settings=settings, **fields, **more)
