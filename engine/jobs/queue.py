"""The job queue: dask.distributed, in worker processes on this machine or on a cluster.

Without the environment variable `CIRCUIT_EXPLORER_SCHEDULER`, the queue starts a scheduler and two worker
processes of its own, one for long jobs and one for short ones. With it, jobs go to that scheduler, whose
workers declare `--resources gpu=1` and see the same runs folder. Results go to the run store, never through
the scheduler.

The id of a job is that of its run, so submitting a request twice gives one job. A worker that dies is
restarted, and its job resumes from the checkpoint. A server that is stopped leaves its jobs to the next one
(`engine.jobs.journal`).

Since `distributed` takes a while to import, it is imported with the first job: pages of finished runs do not
need it.
"""

import importlib
import itertools
import os
import shutil
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.errors import CircuitExplorerError, RequestError, unknown_name
from engine.jobs.errors import one_line
from engine.jobs.job import Job, Reported, State
from engine.jobs.journal import Entry, Journal
from engine.jobs.worker import LONG, SHORT, TOPIC, checkpoint_folder, clear_stale_checkpoints, work, work_part
from engine.runs.request import Request
from engine.runs.store import RunStore

if TYPE_CHECKING:
    from distributed import SpecCluster

KEPT = 50  # jobs that `jobs` remembers
LOGGED = 200  # reports of a job that are remembered, at most
PATIENCE = 10  # seconds for a scheduler to answer

__all__ = ["KEPT", "Job", "JobQueue"]


@dataclass
class _Task:
    """The queue's record of a job. The client's event loop writes `log` without a lock."""

    request: Request
    key: str = ""
    lane: str = LONG
    future: Any = None  # a `Future` of distributed, whose methods have no types, or None
    log: list[Reported] = field(default_factory=list[Reported])
    parts: list[float] = field(default_factory=list[float])  # the share of each part that is done
    cancelling: bool = False
    ended: State | None = None
    error: str | None = None
    submitted: float = field(default_factory=time.time)

    @property
    def state(self) -> State:
        return self.ended or ("running" if self.log else "queued")


class JobQueue:
    """The queue that carries out requests in the background.

    There is one per process; its methods may be called from any thread. The scheduler starts with the first
    job, or with the first unfinished job of a former server.

    Args:
        store: store of the results.
        experiments: name of a module with the functions of `engine.experiments`.
        scheduler: address of a scheduler; None takes `CIRCUIT_EXPLORER_SCHEDULER`, or starts one here.
        workers: number of processes for long jobs, if the scheduler is started here.
    """

    def __init__(
        self,
        store: RunStore,
        experiments: str = "engine.experiments",
        scheduler: str | None = None,
        workers: int = 1,
    ) -> None:
        self._store, self._workers = store, workers
        self._experiments = experiments
        self._address = scheduler or os.environ.get("CIRCUIT_EXPLORER_SCHEDULER")
        self._tasks: dict[str, _Task] = {}
        self._lock = threading.RLock()
        self._client: Any = None  # a `Client` of distributed, or None
        self._cluster: SpecCluster | None = None
        self._closing = False
        self._journal: Journal | None = None
        with suppress(RequestError):  # a folder that cannot be written to has no jobs to go on with
            self._open_journal()

    def submit(self, request: Request) -> str:
        """Put a request into the queue and return its job id, which is the id of its run.

        The same request again gives the same job; a request whose run is finished gives a finished job.

        Raises:
            RequestError: the request cannot be carried out as written, or runs cannot be written.
            CircuitExplorerError: the scheduler cannot be reached.
        """
        request = importlib.import_module(self._experiments).completed(request, self._store)
        job_id = request.run_id()
        if self._is_known(job_id, request):
            return job_id
        plan = self._plan(request)  # takes a while, in which the lock would hold up every page
        with self._lock:
            if not self._is_known(job_id, request):  # nor asked for meanwhile
                self._start(Entry(request, f"{job_id}-{uuid.uuid4().hex[:8]}"), *plan)
        return job_id

    def _is_known(self, job_id: str, request: Request) -> bool:
        """Return whether a job is active or its run is finished; record a finished job for such a run."""
        with self._lock:
            task = self._tasks.get(job_id)
            if task is not None and task.ended is None and not task.cancelling:
                return True
            if job_id in self._store:
                self._remember(job_id, _Task(request, ended="done"))
                return True
            return False

    def status(self, job_id: str) -> Job:
        """Return the present state of a job.

        Raises:
            RequestError: the queue knows no such job.
        """
        with self._lock:
            return self._job(job_id, self._task(job_id))

    def jobs(self) -> list[Job]:
        """Return the latest jobs, newest first."""
        with self._lock:
            return [self._job(job_id, task) for job_id, task in reversed(self._tasks.items())]

    def cancel(self, job_id: str) -> None:
        """Cancel a job: a waiting one at once, a running one at its next report; an ended one is unchanged.

        Raises:
            RequestError: the queue knows no such job.
        """
        with self._lock:
            task = self._task(job_id)
            if task.ended or task.cancelling or task.future is None:
                return
            task.cancelling = True
            self._open_journal().remove(job_id)  # now: this queue may be closed before the job has ended
        # Outside the lock: these wait for the scheduler. The flag first, should the job start just now.
        from distributed import Event

        Event(task.key, client=self._client).set()
        if task.state == "queued":
            task.future.cancel(force=True)

    def close(self) -> None:
        """Stop the workers of this queue; unfinished jobs are left to the next queue."""
        self._closing = True
        if self._client is not None:
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()
        if self._journal is not None:
            self._journal.close()

    def _open_journal(self) -> Journal:
        """Return the journal; at the first call, restart the jobs of former servers."""
        if self._journal is None:
            self._store.check_writable()
            clear_stale_checkpoints(self._store)
            self._journal = Journal(self._store.user_dir / ".jobs")
            self._go_on(self._journal.adopt())
        return self._journal

    def _go_on(self, entries: list[Entry]) -> None:
        """Restart the jobs of former servers; one that cannot be restarted fails and stays in the journal."""
        for entry in entries:
            try:
                self._start(entry, *self._plan(entry.request))
            except CircuitExplorerError as error:
                self._remember(entry.request.run_id(), _Task(entry.request, ended="failed", error=str(error)))

    def _plan(self, request: Request) -> tuple[list[Request], str]:
        """Return the parts of a request, and the lane of the remaining work."""
        experiments = importlib.import_module(self._experiments)
        # A cluster's workers are all alike.
        short = self._address is None and experiments.lane(request, self._store) == "short"
        return experiments.parts_of(request, self._store), SHORT if short else LONG

    def _start(self, entry: Entry, parts: list[Request], lane: str) -> None:
        from distributed import fire_and_forget  # pyright: ignore[reportUnknownVariableType] - of anything

        journal, client = self._open_journal(), self._connect()
        job_id = entry.request.run_id()
        journal.add(job_id, entry)
        common = (self._experiments, str(self._store.user_dir), str(self._store.shipped_dir))
        before = [
            client.submit(
                work_part,
                entry.key,
                index,
                part.to_json(),
                *common,
                key=f"{entry.key}-{index}",
                resources={LONG: 1},
                priority=-index,
            )
            for index, part in enumerate(parts)
        ]
        future = client.submit(
            work,
            entry.key,
            entry.request.to_json(),
            *common,
            after=before,
            key=entry.key,
            resources={lane: 1},
        )
        fire_and_forget(future)  # on a cluster the job goes on while no server is there
        task = _Task(entry.request, entry.key, lane, future, parts=[0.0] * len(parts))
        self._remember(job_id, task)

        def ended(future: Any) -> None:
            self._ended(job_id, task, future)

        future.add_done_callback(ended)

    def _connect(self) -> Any:
        from distributed import Client

        from engine.jobs.cluster import local_cluster

        if self._client is None:
            if self._address is None:
                self._cluster = local_cluster(self._workers)
            try:
                self._client = Client(self._cluster or self._address, timeout=PATIENCE, set_as_default=False)
            except OSError as error:
                raise CircuitExplorerError(f"no scheduler answers at '{self._address}'") from error
            self._client.subscribe_topic(TOPIC, self._progressed)
        return self._client

    def _progressed(self, event: tuple[float, dict[str, Any]]) -> None:
        """Record a report of a job. Runs in the client's event loop, so it must not wait for the lock."""
        report = event[1]
        for task in list(self._tasks.values()):
            if task.key == report["key"]:
                line = Reported(event[0], *_progress(task, report))
                # Thinned out where it grows long, the early lines most: it always tells of the whole job.
                task.log = [*(task.log if len(task.log) < LOGGED else task.log[::2]), line]

    def _ended(self, job_id: str, task: _Task, future: Any) -> None:
        """Record the end of a job. This runs in a thread of its own."""
        from distributed.scheduler import KilledWorker

        if self._closing:
            return
        error: BaseException | None = future.exception()
        with self._lock:
            if isinstance(error, KilledWorker) and task.state == "queued":
                # Its worker died of the jobs before it; the scheduler blames all that were assigned there.
                entry = Entry(task.request, f"{job_id}-{uuid.uuid4().hex[:8]}")
                try:
                    self._start(entry, *self._plan(task.request))
                    return
                except CircuitExplorerError as problem:  # what it is about has gone meanwhile
                    error = problem
            if future.status == "finished":
                task.ended = "done"
            elif task.cancelling:
                task.ended = "cancelled"
            else:
                task.ended, task.error = "failed", one_line(job_id, error)
            given_up = task.ended == "failed" and error is None  # by a scheduler that ends: the next goes on
            if given_up or self._tasks.get(job_id) is not task:  # or asked for again since it was cancelled
                return
            self._open_journal().remove(job_id)
            if task.ended != "failed":
                shutil.rmtree(checkpoint_folder(self._store, job_id), ignore_errors=True)

    def _remember(self, job_id: str, task: _Task) -> None:
        self._tasks.pop(job_id, None)
        self._tasks[job_id] = task
        ended = [job_id for job_id, task in self._tasks.items() if task.ended]
        for job_id in ended[: max(0, len(self._tasks) - KEPT)]:
            del self._tasks[job_id]

    def _task(self, job_id: str) -> _Task:
        if job_id not in self._tasks:
            raise unknown_name("job", job_id, self._tasks)
        return self._tasks[job_id]

    def _job(self, job_id: str, task: _Task) -> Job:
        log = tuple(task.log)
        done, total, message = log[-1][1:] if log else (0, 0, "")
        if task.ended == "done":
            done, total, message = max(total, 1), max(total, 1), "done"
        if task.cancelling and task.ended is None:
            message = "cancelling"
        position = 0
        if task.state == "queued":
            earlier = itertools.takewhile(lambda other: other is not task, self._tasks.values())
            position = sum(other.ended is None and other.lane == task.lane for other in earlier)
        return Job(
            job_id, task.request, task.state, position, done, total, message, task.error, task.submitted, log
        )


def _progress(task: _Task, report: dict[str, Any]) -> tuple[int, int, str]:
    """Return done, total and message of a job after a report of the job or of one of its parts."""
    if (part := report["part"]) is None or part >= len(task.parts):
        return report["done"], report["total"], report["message"]
    task.parts[part] = report["done"] / max(report["total"], 1)
    ended = sum(share == 1 for share in task.parts)
    message = f"{ended} of {len(task.parts)} done; part {part + 1}: {report['message']}"
    return round(1000 * sum(task.parts) / len(task.parts)), 1000, message
