"""A job of the queue, as it is shown."""

from dataclasses import dataclass
from typing import Literal

from engine.request import Request

State = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Job:
    """One job as it stands.

    Attributes:
        job_id: the id of its run.
        position: jobs ahead of it in the queue, running ones included; 0 once it runs.
        done, total, message: its last word on its progress; total is 0 before the first.
        error: one line for the user, of a failed job.
        submitted: seconds since the epoch.
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

    @property
    def active(self) -> bool:
        """Whether the job is still to end."""
        return self.state in ("queued", "running")
