"""The job queue, one for the whole server and all sessions, and the requests that pages submit."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.errors import show_error
from app.runs import store
from engine.ablations.base import ablations
from engine.errors import CircuitExplorerError, RequestError
from engine.instruments.evaluate.request import Evaluate
from engine.instruments.importance.request import Importance
from engine.instruments.measure.request import Measure
from engine.instruments.stability.instrument import REPEATED
from engine.instruments.stability.request import Stability, StabilityPlan
from engine.jobs.queue import Job, JobQueue
from engine.runs.combine import Chosen
from engine.runs.folder import AnyRun, Run
from engine.runs.record import CurveResult
from engine.runs.request import OfACircuit, OfAGraph, Request
from engine.settings import parse_settings, settings_to_json
from engine.tasks.own_pair import OwnPair

# What two requests have in common that are about the same model, task and prompts.
SAME = ("model", "weights_hash", "task", "task_hash", "qkv", "bos", "dtype", "split", "n_prompts", "seed")


@st.cache_resource(show_spinner=False, on_release=JobQueue.close)
def queue() -> JobQueue:
    """Return the queue; its workers start with the first job, not with the first page."""
    return JobQueue(store())


def job_of(job_id: str) -> Job | None:
    """Return the job for the run of this id, if there is one."""
    return next((job for job in queue().jobs() if job.job_id == job_id), None)


def finished(request: Request) -> AnyRun | None:
    """Return the run of a request if it is finished."""
    try:
        return store().get(request.run_id())
    except RequestError:
        return None


def being_made(request: Request) -> bool:
    """Return whether a request has a job that runs or waits."""
    job = job_of(request.run_id())
    return job is not None and job.active


def start(requests: Sequence[Request]) -> None:
    """Put requests into the queue; if one is refused, show the error and skip the remaining ones."""
    try:
        for request in requests:
            queue().submit(request)
    except CircuitExplorerError as error:
        show_error(str(error))


def evaluation_request(origin: Run[OfACircuit, CurveResult], ablation: str) -> Evaluate:
    """Return the request that evaluates a run's circuits under another ablation."""
    return Evaluate(**_like(origin, ablation), circuit=origin.run_id, edges=origin.request.edges)


def measure_request(
    origin: AnyRun, ablation: str, circuits: Sequence[Chosen], pairs: Sequence[OwnPair] = ()
) -> Measure:
    """Return the request that measures circuits on the task of a run.

    Args:
        origin: the run whose model, task, split, number of prompts and seed are taken.
        ablation: the ablation of the edges outside the circuits.
        circuits: the circuits.
        pairs: prompts to measure on, instead of the task's.
    """
    return Measure(**_like(origin, ablation), circuits=list(circuits), pairs=list(pairs))


def stability_request(origin: AnyRun, seeds: Sequence[int], folds: int = 2) -> Stability:
    """Return the completed request that repeats a run's discovery.

    Args:
        origin: a discovery.
        seeds: the seeds to repeat it with.
        folds: parts of the task's templates, each of which is left out once.
    """
    fields: dict[str, Any] = {name: getattr(origin.request, name) for name in REPEATED}
    plan = StabilityPlan(seeds=list(seeds), folds=folds)
    return Stability(circuit=origin.run_id, stability=plan, **fields)


def importance_request(origin: AnyRun, ablation: str) -> Importance:
    """Return the request that ablates every node of a run's model alone, on the run's task."""
    return Importance(**_like(origin, ablation))


def importance_by_default(request: OfAGraph, ablation: str) -> Importance:
    """Return the request that ablates every node alone by the ablation's default settings.

    Args:
        request: a completed request about the same model, task and prompts.
    """
    return Importance(**_same(request), ablation=ablation, ablation_settings=defaults(ablation))


def defaults(ablation: str) -> dict[str, Any]:
    """Return all settings of an ablation with their defaults, as JSON values."""
    return settings_to_json(parse_settings(ablations.get(ablation).Settings, {}))


def _like(origin: AnyRun, ablation: str) -> dict[str, Any]:
    """Return the fields of a completed request on a run's model, task and prompts, under an ablation.

    They are read from the run alone, not from its model, which may be missing or on the hub: a page only
    looks for the finished run. A request is refused at submission if its model or task has changed since.
    """
    own = ablation == origin.request.ablation
    settings = origin.request.ablation_settings if own else defaults(ablation)
    return _same(origin.request) | {"ablation": ablation, "ablation_settings": settings}


def _same(request: OfAGraph) -> dict[str, Any]:
    return {name: getattr(request, name) for name in SAME}
