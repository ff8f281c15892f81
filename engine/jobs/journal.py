"""The journal of unfinished jobs, on disk, so that they survive when a server is stopped or killed.

    <folder>/<server>/<job-id>.json      one unfinished job: {"request": …, "key": …}
    <folder>/<server>/lock               held as long as that server lives

A server that starts takes over the jobs of every ended server. A lock is released when its process ends in
any way, so two servers on the same runs never take each other's jobs.
"""

import json
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from engine.errors import RequestError
from engine.runs.kinds import request_from_json
from engine.runs.request import Request

_PATIENCE = 10  # seconds to wait while another server starts


@dataclass(frozen=True)
class Entry:
    """One unfinished job: its request, and the key its task has in the scheduler."""

    request: Request
    key: str


class Journal:
    """The unfinished jobs of this process.

    Args:
        folder: shared by all servers on the same runs.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._own = folder / uuid.uuid4().hex
        self._lock = FileLock(self._own / "lock")
        with self._starting():
            self._own.mkdir()
            self._lock.acquire(timeout=0)

    def add(self, job_id: str, entry: Entry) -> None:
        """Add an unfinished job."""
        content = {"request": entry.request.to_json(), "key": entry.key}
        unfinished = self._own / f"{job_id}.unfinished"
        unfinished.write_text(json.dumps(content), encoding="utf-8")
        os.replace(unfinished, self._own / f"{job_id}.json")

    def remove(self, job_id: str) -> None:
        """Remove a job that has ended."""
        (self._own / f"{job_id}.json").unlink(missing_ok=True)

    def adopt(self) -> list[Entry]:
        """Take over the jobs of ended servers and return them, oldest first."""
        entries: list[tuple[float, Entry]] = []
        with self._starting():
            for other in self._folder.iterdir():
                if other == self._own or not other.is_dir():
                    continue
                lock = FileLock(other / "lock")
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue
                entries += [
                    (file.stat().st_mtime, entry) for file in other.glob("*.json") if (entry := _read(file))
                ]
                for _, entry in entries:
                    self.add(entry.request.run_id(), entry)
                lock.release()
                shutil.rmtree(other)
        return [entry for _, entry in sorted(entries, key=lambda item: item[0])]

    def close(self) -> None:
        """Release the lock, which leaves unfinished jobs to the next server."""
        self._lock.release()

    def _starting(self) -> FileLock:
        return FileLock(self._folder / "starting.lock", timeout=_PATIENCE)


def _read(file: Path) -> Entry | None:
    """Return the entry in a file; None if it is damaged or of another version."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return Entry(request_from_json(content["request"]), str(content["key"]))
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError, RequestError):
        return None
