"""The run store: the folder of the user's runs, and the read-only folder of shipped runs.

A run is written to a temporary folder that is then renamed, so it appears atomically. The remains of a
crashed write have names that are never listed. `engine.runs.folder` describes the content of a run folder.
"""

import difflib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_data_path

from engine.errors import RequestError
from engine.runs.folder import AnyRun, Run, read_run, write_run
from engine.runs.request import Request
from engine.shipped import shipped

__all__ = ["BrokenRun", "Run", "RunStore", "default_user_dir"]

SHIPPED_RUNS = shipped("cached_runs")
RUN_ID = re.compile(r"[a-z0-9-]{1,200}")
_LEFTOVER_SECONDS = 24 * 3600


@dataclass(frozen=True)
class BrokenRun:
    """A folder among the runs that cannot be opened, and why."""

    folder: Path
    problem: str


def default_user_dir() -> Path:
    """Return the folder of the user's runs: `CIRCUIT_EXPLORER_RUNS`, or the system's folder for user data."""
    if folder := os.environ.get("CIRCUIT_EXPLORER_RUNS"):
        return Path(folder).expanduser()
    return user_data_path("circuit-explorer") / "runs"


class RunStore:
    """Runs in two folders: the user's, which can be written, and the shipped one.

    Args:
        user_dir: folder of the user's runs, created at the first write; None takes `default_user_dir()`.
        shipped_dir: folder of the shipped runs.
    """

    def __init__(self, user_dir: str | Path | None = None, shipped_dir: Path = SHIPPED_RUNS) -> None:
        self.user_dir = Path(user_dir or default_user_dir()).expanduser().resolve()
        self.shipped_dir = shipped_dir.resolve()
        self._read: dict[
            Path, tuple[object, AnyRun]
        ] = {}  # folder -> what its files looked like, and what they hold

    def list_broken(self) -> list[BrokenRun]:
        """Return the folders that look like runs but cannot be opened."""
        return [run for run in self._scan() if isinstance(run, BrokenRun)]

    def list(self) -> list[AnyRun]:
        """Return every run that can be opened, newest first; see `list_broken` for the others."""
        runs = [run for run in self._scan() if isinstance(run, Run)]
        return sorted(runs, key=lambda run: run.result.created, reverse=True)

    def get(self, run: str | Path) -> AnyRun:
        """Open a run.

        Args:
            run: a run id (str), or the folder of a run anywhere (Path).

        Raises:
            RequestError: there is no such run, or it is broken; the message names the folder and the fault.
        """
        if isinstance(run, Path):
            if not run.is_dir():
                raise RequestError(f"no run folder '{run}'")
            return self._open(run.resolve())
        if (folder := self._folder(run)) is None:
            raise self._unknown(run)
        return self._open(folder)

    def __contains__(self, run_id: str) -> bool:
        """Return whether the store has a run of this id that can be opened."""
        try:
            self.get(run_id)
        except RequestError:
            return False
        return True

    def check_writable(self) -> None:
        """Check that runs can be written, before hours are spent on one.

        Raises:
            RequestError: the user's folder cannot be created or written to.
        """
        try:
            self.user_dir.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.user_dir).close()
        except OSError as error:
            raise RequestError(
                f"runs cannot be written to '{self.user_dir}' ({error.strerror}); give another --runs-dir"
            ) from error

    def write(
        self,
        request: Request,
        result: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray] | None = None,
        circuit: Mapping[str, Any] | None = None,
    ) -> str:
        """Write a run to the user's folder, atomically, and return its id.

        A valid run of the same id is kept (it has the same request); a broken one is replaced.
        """
        return self.put(lambda folder: write_run(folder, request, result, tensors, circuit))

    def put(self, fill: Callable[[Path], None]) -> str:
        """Put a run into the user's folder, atomically, and return its id.

        A valid run of the same id is kept; a broken one is replaced.

        Args:
            fill: writes the files of a run into a given empty folder.

        Raises:
            RequestError: the written files are no run that can be opened.
        """
        self.user_dir.mkdir(parents=True, exist_ok=True)
        self._clear_leftovers()
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.user_dir))
        try:
            fill(temporary)
            run_id = read_run(temporary, shipped=False).request.run_id()
            if not RUN_ID.fullmatch(run_id):
                raise ValueError(f"'{run_id}' is no run id")
            if run_id not in self:
                self._put(temporary, self.user_dir / run_id)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return run_id

    def delete(self, run_id: str) -> None:
        """Delete one of the user's runs.

        Raises:
            RequestError: there is no such run, or it is shipped.
        """
        if (folder := self._folder(run_id)) is None:
            raise self._unknown(run_id)
        if folder.parent == self.shipped_dir:
            raise RequestError(f"run '{run_id}' is shipped with the program and cannot be deleted")
        _remove(folder)

    def _open(self, folder: Path) -> AnyRun:
        # Lists of runs are asked for again and again: a folder is read once, and anew when a file is changed.
        shipped = folder.parent == self.shipped_dir
        try:
            looks = [
                (file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in sorted(folder.iterdir())
            ]
        except OSError:  # deleted just now: reading it says so in one line
            return read_run(folder, shipped)
        cached = self._read.get(folder)
        if cached is None or cached[0] != looks:
            cached = looks, read_run(folder, shipped)
            self._read[folder] = cached
        return cached[1]

    def _put(self, temporary: Path, folder: Path) -> None:
        if folder.exists():
            try:
                read_run(folder, shipped=False)
                return
            except RequestError:
                _remove(folder)
        try:
            temporary.rename(folder)
        except OSError:
            # Another process was faster with the same request: its run is as good.
            read_run(folder, shipped=False)

    def _folders(self) -> Iterator[Path]:
        seen: set[str] = set()
        for parent in (self.shipped_dir, self.user_dir):
            for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
                if RUN_ID.fullmatch(folder.name) and folder.is_dir() and folder.name not in seen:
                    seen.add(folder.name)
                    yield folder

    def _folder(self, run_id: str) -> Path | None:
        if not RUN_ID.fullmatch(run_id):
            raise RequestError(f"'{run_id[:80]}' is no run id: small letters, digits and hyphens")
        for parent in (self.shipped_dir, self.user_dir):
            folder = parent / run_id
            # A link that leads out of the runs is not followed.
            if folder.is_dir() and folder.resolve().parent == parent:
                return folder
        return None

    def _unknown(self, run_id: str) -> RequestError:
        nearest = difflib.get_close_matches(run_id, [folder.name for folder in self._folders()], n=1)
        hint = f"did you mean '{nearest[0]}'? " if nearest else ""
        return RequestError(f"unknown run '{run_id}': {hint}runs are in '{self.user_dir}'")

    def _scan(self) -> Iterator[AnyRun | BrokenRun]:
        for folder in self._folders():
            try:
                yield self.get(folder.name)
            except RequestError as error:
                yield BrokenRun(folder, str(error))

    def _clear_leftovers(self) -> None:
        for leftover in self.user_dir.glob(".writing-*"):
            if time.time() - leftover.stat().st_mtime > _LEFTOVER_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)


def _remove(folder: Path) -> None:
    # Renamed first, so that the run is gone at once even if removing the files is cut short.
    doomed = Path(tempfile.mkdtemp(prefix=".writing-deleted-", dir=folder.parent))
    folder.rename(doomed / folder.name)
    shutil.rmtree(doomed)


def open_run(store: RunStore, run: str) -> AnyRun:
    """Open a run given by the user as an id in the store, or as a folder.

    Raises:
        RequestError: there is no such run, or it is broken.
    """
    return store.get(Path(run) if os.sep in run or Path(run).is_dir() else run)
