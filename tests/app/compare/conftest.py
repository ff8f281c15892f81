"""What the tests of the page Compare share."""

import pytest

from engine.ablations.base import ablations
from engine.runs.request import OfATask, Request
from engine.runs.store import RunStore
from tests.app.fake_run import write_fake_run


@pytest.fixture
def pair(store) -> tuple[str, str]:
    """Two runs of one task, found under other ablations."""
    return write_fake_run(store), write_fake_run(store, ablation="mean", seed=1)


@pytest.fixture
def asked(store, monkeypatch) -> list[Request]:
    """What is put into the queue."""
    submitted: list[Request] = []
    monkeypatch.setattr("app.requests.JobQueue.submit", lambda queue, request: submitted.append(request))
    monkeypatch.setattr("engine.experiments.completed", _completed)
    return submitted


def _completed(request: OfATask, store: RunStore) -> Request:
    """What `completed` does for a model that is there; that of made-up runs is not."""
    settings = ablations.get(request.ablation).Settings().model_dump(mode="json")
    return request.model_copy(update={"ablation_settings": settings})
