"""The functions that run a job in a worker process, with progress reports and cancellation.

Progress goes to the scheduler as events of one topic, to which the queue subscribes. Cancellation is a flag
in the scheduler, which is checked at most five times a second; a check takes a few milliseconds.
"""

import importlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.errors import Cancelled
from engine.jobs.errors import one_line
from engine.runs.kinds import request_from_json
from engine.runs.store import RunStore

TOPIC = "circuit-explorer-progress"
# The resources that workers declare: of a cluster all "gpu", on this machine one "gpu" and one "interactive".
LONG, SHORT = "gpu", "interactive"
_STALE_CHECKPOINT = 30 * 24 * 3600  # seconds after which nobody will go on with a failed job
_INTERVAL = 0.2  # seconds between two looks at the scheduler


def work(
    key: str,
    request: dict[str, Any],
    experiments: str,
    user_dir: str,
    shipped_dir: str,
    after: Sequence[str | None] = (),
) -> None:
    """Carry out one request and write its run to the run store, which this worker must be able to reach.

    Args:
        key: the task's key in the scheduler, which is also the name of its cancel flag.
        request: the request as JSON.
        experiments: the module whose `run` does the work.
        user_dir, shipped_dir: folders of the run store.
        after: for each part of the request, its error or None; the scheduler waits for them.
    """
    report = _Reporter(key)
    report.start()
    store = RunStore(Path(user_dir), Path(shipped_dir))
    asked, module = request_from_json(request), importlib.import_module(experiments)
    if after:
        module.gather(asked, list(after), store)
    else:
        module.run(asked, report, store, checkpoint_folder(store, asked.run_id()))


def work_part(key: str, index: int, request: dict[str, Any], experiments: str, *folders: str) -> str | None:
    """Carry out one part of a request, and return its error in one line; None if the part is finished.

    Args:
        key: the key of the whole request's task, which shares progress and cancellation.
        index: index of the part.
        request, experiments, folders: as in `work`.
    """
    report = _Reporter(key, index)
    report.start()
    store = RunStore(*map(Path, folders))
    asked = request_from_json(request)
    folder = checkpoint_folder(store, asked.run_id())
    problem = None
    try:
        importlib.import_module(experiments).run(asked, report, store, folder)
    except Cancelled:
        raise
    except Exception as error:  # one part that goes wrong in whatever way does not stop the others
        problem = one_line(asked.run_id(), error)
    shutil.rmtree(folder, ignore_errors=True)
    report.end()
    return problem


def checkpoint_folder(store: RunStore, run_id: str) -> Path:
    """Return the folder of a job's checkpoint, from which the job resumes after it was killed."""
    return store.user_dir / ".checkpoints" / run_id


def clear_stale_checkpoints(store: RunStore) -> None:
    """Remove old checkpoints of failed jobs."""
    for folder in (store.user_dir / ".checkpoints").glob("*"):
        if time.time() - folder.stat().st_mtime > _STALE_CHECKPOINT:
            shutil.rmtree(folder, ignore_errors=True)


class _Reporter:
    """The `report` function of a job."""

    def __init__(self, key: str, part: int | None = None) -> None:
        self._key, self._part = key, part
        from distributed import Event  # see engine.jobs

        self._cancel = Event(key)
        self._last = 0.0

    def start(self) -> None:
        self._send(0, 0, "starting")

    def end(self) -> None:
        self._send(1, 1, "done")

    def __call__(self, done: int, total: int, message: str) -> None:
        if time.monotonic() - self._last >= _INTERVAL:
            self._send(done, total, message)

    def _send(self, done: int, total: int, message: str) -> None:
        from distributed import get_worker

        if self._cancel.is_set():
            raise Cancelled("cancelled")
        event = {"key": self._key, "part": self._part, "done": done, "total": total, "message": message}
        get_worker().log_event(TOPIC, event)
        self._last = time.monotonic()
