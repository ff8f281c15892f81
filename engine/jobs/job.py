"""The state of a job of the queue, for display."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from engine.runs.request import Request

State = Literal["queued", "running", "done", "failed", "cancelled"]


class Reported(NamedTuple):
    """One progress report of a job; `when` is in seconds since the epoch."""

    when: float
    done: int
    total: int
    message: str


@dataclass(frozen=True)
class Job:
    """A snapshot of one job.

    Attributes:
        job_id: the id of its run.
        position: number of jobs ahead in the queue, running ones included; 0 once the job runs.
        done, total, message: its last progress report; total is 0 before the first report.
        error: one line for the user, if the job failed.
        submitted: time of submission, in seconds since the epoch.
        log: its last reports, oldest first.
    """

    job_id: str
    request: Request
    state: State
    position: int
    done: int
    total: int
    message: str
    error: str | None
    submitted: float
    log: tuple[Reported, ...] = ()

    @property
    def active(self) -> bool:
        """Whether the job is waiting or running."""
        return self.state in ("queued", "running")
