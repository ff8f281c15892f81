"""Carrying out a request for a command, in this process or through the queue, with shown progress."""

import time

from engine.errors import Cancelled, CircuitExplorerError
from engine.instruments.terminal import print_notes, progress
from engine.runs.folder import AnyRun
from engine.runs.request import Request
from engine.runs.store import RunStore

_LOOK = 0.3  # seconds between two looks at the job


def carry_out(request: Request, store: RunStore, workers: int | None = None) -> AnyRun:
    """Return the finished run of a request; its notes go to standard error.

    Args:
        request: the request.
        store: the run store.
        workers: number of queue processes that share its parts; None carries it out in this process.

    Raises:
        CircuitExplorerError: the request cannot be carried out, or was cancelled.
    """
    if workers is None:
        with progress() as report:
            from engine.experiments import run  # torch and the model library take seconds to import

            run_id = run(request, report, store)
    else:
        run_id = _queued(request, store, workers)
    finished = store.get(run_id)
    print_notes(finished.result.notes)
    return finished


def _queued(request: Request, store: RunStore, workers: int) -> str:
    from engine.jobs.queue import JobQueue  # brings the scheduler, which takes a while to import

    with progress() as report:
        queue, job_id = JobQueue(store, workers=workers), ""
        try:
            job_id = queue.submit(request)
            while (job := queue.status(job_id)).active:
                report(job.done, job.total, job.message)
                time.sleep(_LOOK)
        except KeyboardInterrupt as stop:
            if job_id:
                queue.cancel(job_id)
            raise Cancelled("cancelled") from stop
        finally:
            queue.close()
    if job.state == "cancelled":
        raise Cancelled("cancelled")
    if job.state == "failed":
        raise CircuitExplorerError(job.error or f"'{job_id}' failed")
    return job_id
