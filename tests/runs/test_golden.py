"""Runs stay readable, under their names: the shipped ones, and whatever schema 1 could say."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.errors import RequestError
from engine.runs.kinds import kinds, make_request, request_from_json
from engine.runs.request import SCHEMA_1
from engine.runs.store import SHIPPED_RUNS, RunStore

# Requests of all kinds as version 0.1.0 wrote them, with the ids it gave them.
SCHEMA_1_REQUESTS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("schema_1.json").read_text())
FOLDERS = sorted(folder.name for folder in SHIPPED_RUNS.iterdir())


@pytest.mark.parametrize("name", FOLDERS)
def test_a_shipped_run_opens_under_its_name(name: str, tmp_path: Path) -> None:
    run = RunStore(tmp_path).get(name)
    assert run.request.run_id() == name
    assert type(run.request) is kinds.get(run.request.kind).Request
    assert type(run.result) is kinds.get(run.request.kind).Result
    # What is written today is what was written then, but for fields of other kinds that say nothing.
    written = json.loads((run.folder / "request.json").read_text())
    now = run.request.to_json()
    assert {key: written[key] for key in now} == now
    assert not any(written[key] for key in written.keys() - now.keys())


def test_every_kind_is_shipped_or_written_down() -> None:
    kinds_there = {entry["request"]["kind"] for entry in SCHEMA_1_REQUESTS}
    assert kinds_there == set(kinds.names())


@pytest.mark.parametrize("entry", SCHEMA_1_REQUESTS, ids=lambda entry: entry["run_id"])
def test_a_request_of_schema_1_keeps_its_name(entry: dict[str, Any]) -> None:
    request = request_from_json(entry["request"])
    assert request.run_id() == entry["run_id"]
    again = request_from_json(request.to_json())
    assert again == request
    assert again.run_id() == entry["run_id"]


def test_fields_of_other_kinds_are_refused_where_requests_are_made() -> None:
    about = {"model": "m", "task": "t", "ablation": "zero"}
    with pytest.raises(RequestError, match=r"unknown field .method."):
        make_request("importance", **about, method="eap")
    with pytest.raises(RequestError, match=r"unknown kind of run 'importence': did you mean 'importance'"):
        make_request("importence", **about)
    with pytest.raises(ValidationError, match="colour"):
        request_from_json(SCHEMA_1 | {"kind": "importance", **about, "colour": "red"})
