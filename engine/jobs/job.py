"""A job of the queue, as it is shown."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from engine.runs.request import Request

State = Literal["queued", "running", "done", "failed", "cancelled"]


class Reported(NamedTuple):
    """One report of a job; `when` in seconds since the epoch."""

    when: float
    done: int
    total: int
    message: str


@dataclass(frozen=True)
class Job:
    """One job as it stands.

    Attributes:
        job_id: the id of its run.
        position: jobs ahead of it in the queue, running ones included; 0 once it runs.
        done, total, message: its last word on its progress; total is 0 before the first.
        error: one line for the user, of a failed job.
        submitted: seconds since the epoch.
        log: what it reported, the last lines of it, oldest first.
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
        """Whether the job is still to end."""
        return self.state in ("queued", "running")
