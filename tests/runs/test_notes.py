"""Notes on runs: beside the run, whole or not at all, and never in the way of opening it."""

import json
from pathlib import Path

import pytest

from engine.errors import RequestError
from engine.runs.notes import (
    LONGEST_NOTE,
    LONGEST_TITLE,
    MOST_PINS,
    Notes,
    notes_file,
    read_notes,
    write_notes,
)
from engine.runs.store import Run, RunStore
from tests.app.fake_run import write_fake_run

SAID = Notes("Für den Vortrag", {"a1.h2": "moves names?", "m3": ""})


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "user", tmp_path / "shipped")


@pytest.fixture
def run(store: RunStore) -> Run:
    return store.get(write_fake_run(store))


@pytest.fixture
def shipped(store: RunStore, tmp_path: Path) -> Run:
    return store.get(write_fake_run(RunStore(tmp_path / "shipped"), ablation="mean"))


def test_notes_come_back_and_replace_each_other(store: RunStore, run: Run):
    assert read_notes(store, run) == Notes(None, {})
    write_notes(store, run, SAID)
    assert read_notes(store, run) == SAID
    write_notes(store, run, Notes())
    assert read_notes(store, run) == Notes()
    names = {path.name for path in run.folder.iterdir()}
    assert names == {"request.json", "result.json", "circuit.json", "tensors.safetensors", "notes.json"}


def test_notes_of_a_shipped_run_lie_in_the_users_folder(store: RunStore, shipped: Run):
    before = sorted(shipped.folder.iterdir())
    write_notes(store, shipped, SAID)
    assert read_notes(store, shipped) == SAID
    assert sorted(shipped.folder.iterdir()) == before
    assert notes_file(store, shipped).is_relative_to(store.user_dir)
    assert store.list_broken() == []
    assert [found.run_id for found in store.list()] == [shipped.run_id]


def test_a_title_is_one_line_and_an_empty_one_is_none(store: RunStore, run: Run):
    write_notes(store, run, Notes("  two \n lines\t"))
    assert read_notes(store, run).title == "two lines"
    write_notes(store, run, Notes(" \n "))
    assert read_notes(store, run).title is None


@pytest.mark.parametrize(
    ("notes", "problem"),
    [
        (Notes("x" * (LONGEST_TITLE + 1)), "title has 121 characters"),
        (Notes(None, {"m0": "x" * (LONGEST_NOTE + 1)}), "note on m0 has 2,001 characters"),
        (Notes(None, {f"m{i}": "" for i in range(MOST_PINS + 1)}), "201 nodes are pinned"),
        (Notes(None, {"m" * 100: ""}), "no name of a node"),
    ],
)
def test_what_is_too_long_is_refused_and_the_notes_stay(
    store: RunStore, run: Run, notes: Notes, problem: str
):
    write_notes(store, run, SAID)
    with pytest.raises(RequestError, match=problem):
        write_notes(store, run, notes)
    assert read_notes(store, run) == SAID


DAMAGED = {
    "cut short": b'{"schema": 1, "title": "a',
    "no text": b"\xff\xfe\x00",
    "a list": b"[1]",
    "newer": b'{"schema": 2, "title": "a", "pins": {}}',
    "a title that is no text": b'{"schema": 1, "title": 3, "pins": {}}',
    "pins that are no texts": b'{"schema": 1, "title": "a", "pins": {"m0": {}}}',
    "a title without end": json.dumps({"schema": 1, "title": "a" * 10_000, "pins": {}}).encode(),
    "deep": b"[" * 200_000,
    "large": b'{"schema": 1, "title": "a", "pins": {}}' + b" " * 5_000_000,
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_notes_read_as_none_and_can_be_written_again(store: RunStore, run: Run, damage: str):
    notes_file(store, run).write_bytes(DAMAGED[damage])
    assert read_notes(store, run) == Notes()
    write_notes(store, run, SAID)
    assert read_notes(store, run) == SAID


def test_a_folder_that_is_gone_says_so(store: RunStore, run: Run):
    store.delete(run.run_id)
    assert read_notes(store, run) == Notes()
    with pytest.raises(RequestError, match="cannot be written"):
        write_notes(store, run, SAID)


def test_a_failed_write_leaves_the_notes_and_nothing_else(
    store: RunStore, run: Run, monkeypatch: pytest.MonkeyPatch
):
    write_notes(store, run, SAID)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RequestError, match="No space left"):
        write_notes(store, run, Notes("other"))
    assert read_notes(store, run) == SAID
    assert not list(run.folder.glob(".notes-*"))
