"""A store and a queue for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.jobs.queue import JobQueue
from engine.runs.store import RunStore
from tests.jobs.watching import FAKE


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs", tmp_path / "shipped")


@pytest.fixture
def queue(store: RunStore) -> Iterator[JobQueue]:
    queue = JobQueue(store, FAKE)
    yield queue
    queue.close()
