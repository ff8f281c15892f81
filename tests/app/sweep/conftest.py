"""What the tests of comparisons of methods share."""

import pytest

from engine.runs.request import Request


@pytest.fixture
def asked(store, monkeypatch) -> list[Request]:
    """What is put into the queue."""
    submitted: list[Request] = []

    def submit(queue: object, request: Request) -> str:
        submitted.append(request)
        return request.run_id()

    monkeypatch.setattr("app.requests.JobQueue.submit", submit)
    return submitted
