"""Notes of a user on a run: a title, and pinned nodes with a note each.

    <run folder>/notes.json               of the user's own runs
    <user_dir>/.notes/<run-id>.json       of shipped runs, whose folders are read-only

    {"schema": 1, "title": "The one for the talk", "pins": {"a3.h2": "name mover?"}}

Notes are no part of the run: its id, request and result do not depend on them. Damaged notes are read as
empty, so that a run can always be opened.
"""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import RequestError
from engine.files import is_object, parse_json, write_whole
from engine.runs.folder import AnyRun
from engine.runs.store import RunStore

_changing = threading.Lock()

SCHEMA = 1
LONGEST_TITLE = 120
LONGEST_NOTE = 2000
MOST_PINS = 200
_LONGEST_NAME = 40  # of a node; the longest there can be is "a1699.h1699"
_MAX_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Notes:
    """Notes of a user on one run.

    Attributes:
        title: title shown wherever runs are chosen; None shows a title made from the request.
        pins: notes of the pinned nodes, by name; a note may be empty.
    """

    title: str | None = None
    pins: dict[str, str] = field(default_factory=dict[str, str])


def read_notes(store: RunStore, run: AnyRun) -> Notes:
    """Return the notes on a run; empty ones if there are none, or none that can be read."""
    path = notes_file(store, run)
    try:
        if path.stat().st_size > _MAX_BYTES:
            return Notes()
        return parse_notes(parse_json(path.read_bytes()))
    except (OSError, ValueError, RequestError):
        return Notes()


def write_notes(store: RunStore, run: AnyRun, notes: Notes) -> None:
    """Replace the notes on a run, atomically.

    Raises:
        RequestError: a text is too long, there are too many pins, or the folder cannot be written to.
    """
    content = json.dumps(notes_to_json(notes), indent=1, ensure_ascii=False) + "\n"
    path = notes_file(store, run)
    try:
        if run.shipped:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content.encode())
        os.utime(store.user_dir)  # who keeps a list of the runs and their titles looks at this time
    except OSError as error:
        raise RequestError(
            f"the notes on run '{run.run_id}' cannot be written to '{path.parent}': {error.strerror}"
        ) from error


def change_notes(store: RunStore, run: AnyRun, change: Callable[[Notes], Notes]) -> None:
    """Apply `change` to the notes on a run, under a lock of this process.

    Raises:
        RequestError: as `write_notes`.
    """
    with _changing:
        write_notes(store, run, change(read_notes(store, run)))


def notes_file(store: RunStore, run: AnyRun) -> Path:
    """Return the path of the notes on a run."""
    return store.user_dir / ".notes" / f"{run.run_id}.json" if run.shipped else run.folder / "notes.json"


def notes_to_json(notes: Notes) -> dict[str, Any]:
    """Return the content of notes.json, with the title in one line, and an empty title as None.

    Raises:
        RequestError: a text is too long, or there are too many pins.
    """
    title = " ".join((notes.title or "").split()) or None
    if title is not None and len(title) > LONGEST_TITLE:
        raise RequestError(f"the title has {len(title)} characters; at most {LONGEST_TITLE} are kept")
    if len(notes.pins) > MOST_PINS:
        raise RequestError(f"{len(notes.pins)} nodes are pinned; at most {MOST_PINS} are kept")
    for name, text in notes.pins.items():
        if len(name) > _LONGEST_NAME:
            raise RequestError(f"'{name[:_LONGEST_NAME]}…' is no name of a node")
        if len(text) > LONGEST_NOTE:
            raise RequestError(
                f"the note on {name} has {len(text):,} characters; at most {LONGEST_NOTE:,} are kept"
            )
    return {"schema": SCHEMA, "title": title, "pins": notes.pins}


def parse_notes(content: Any) -> Notes:
    """Return the notes in a parsed notes.json.

    Raises:
        RequestError: the content is not in the form of notes, or too long.
    """
    if not is_object(content) or content.get("schema") != SCHEMA:
        raise RequestError(f"no notes: a JSON object of schema {SCHEMA} is needed")
    title, pins = content.get("title"), content.get("pins")
    if not (title is None or isinstance(title, str)):
        raise RequestError("no notes: 'title' is text or null")
    if not is_object(pins) or not all(isinstance(text, str) for text in pins.values()):
        raise RequestError("no notes: 'pins' is an object from a node's name to a text")
    checked = notes_to_json(Notes(title, pins))
    return Notes(checked["title"], checked["pins"])
