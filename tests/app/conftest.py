"""What every test of the app needs."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st

from app import runs as data
from engine.errors import RequestError
from engine.runs.request import Request
from engine.runs.store import RunStore


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Put the real main module back: AppTest leaves its script there, and spawned workers would import it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(autouse=True)
def fresh_caches() -> None:
    """Caches outlive a test; the folder of runs does not."""
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def store(own_runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """A store without the shipped runs."""
    store = RunStore(own_runs_dir, own_runs_dir / "nothing-shipped")
    monkeypatch.setattr(data, "RunStore", lambda: store)
    return store


@pytest.fixture
def asked(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What is put into the queue, which refuses it and says so."""
    submitted: list[Request] = []

    def submit(queue: object, request: Request) -> str:
        submitted.append(request)
        raise RequestError("put into the queue")

    monkeypatch.setattr("app.requests.JobQueue.submit", submit)
    return submitted
