"""A task file and an empty store for every test of an instrument."""

from pathlib import Path

import pytest

from engine.runs.store import RunStore
from tests.instruments.asking import write_task


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_task(tmp_path_factory.mktemp("tasks") / "pairs.jsonl"))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs", tmp_path / "shipped")
