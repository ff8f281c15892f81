"""Messages of failed jobs for the user."""

import logging

from engine.errors import CircuitExplorerError

logger = logging.getLogger(__name__)


def one_line(job_id: str, error: BaseException | None) -> str:
    """Return a one-line message for the error of a job; None stands for a job that the scheduler gave up.

    Unforeseen errors are logged with their traceback.
    """
    from distributed.scheduler import KilledWorker

    if error is None:
        return "its scheduler ended; submit it again, or start anew, and it goes on from its checkpoint"
    if isinstance(error, CircuitExplorerError):
        return str(error)
    if isinstance(error, KilledWorker):
        times = error.allowed_failures + 1
        return f"its worker process died {times} times, probably out of memory: lower the number of prompts"
    logger.error("job %s failed", job_id, exc_info=error)
    first = (str(error).splitlines() or [""])[0]
    return f"unexpected failure, the log has more: {type(error).__name__}: {first}"
