"""Task files of users: JSONL with one row a line, JSON with a list "prompts" of rows, CSV with columns.

`engine.tasks.forms` has the forms of rows, those of other tools among them.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from engine.errors import RequestError
from engine.files import is_list, is_object
from engine.tasks.base import Split
from engine.tasks.forms import OURS, FilePair, form_of, read_pair, with_others

SUFFIXES = (".jsonl", ".json", ".csv")
LEAST_TO_SPLIT = 30  # smaller files are used whole
_LARGEST_FILE = 100_000_000  # bytes
_SPLIT_SEED = 0


def is_task_file(task: str) -> bool:
    """Return whether `task` denotes a file rather than a shipped task."""
    return task.endswith(SUFFIXES) or "/" in task or "\\" in task


def file_hash(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_pairs(path: Path) -> list[FilePair]:
    """Return the pairs of a task file.

    Raises:
        RequestError: no such file, unknown form, empty, or a broken line; the message has the line number.
    """
    try:
        exists = path.is_file()
    except OSError as error:  # too long a name
        raise RequestError(f"task file '{str(path)[:80]}' cannot be looked for: {error.strerror}") from error
    if not exists:
        raise RequestError(f"task file '{path}' does not exist")
    if path.suffix not in SUFFIXES:
        raise RequestError(f"task file '{path}' must end in {', '.join(SUFFIXES)}")
    if path.stat().st_size > _LARGEST_FILE:
        raise RequestError(f"task file '{path}' has more than {_LARGEST_FILE // 1_000_000} MB")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"task file '{path}' is no UTF-8 text: {error}") from error
    except OSError as error:
        raise RequestError(f"task file '{path}' cannot be read: {error.strerror}") from error
    rows = {".jsonl": _jsonl, ".json": _json, ".csv": _csv}[path.suffix]
    pairs = [_pair(path, line, row) for line, row in rows(path, text)]
    if not pairs:
        raise RequestError(f"task file '{path}' is empty: it needs at least one pair of prompts")
    try:
        return with_others(pairs)
    except ValueError as error:
        raise RequestError(f"task file '{path}': {error}") from error


def split_pairs(pairs: list[FilePair], split: Split) -> tuple[list[FilePair], str | None]:
    """Return the pairs of a split, 60/20/20 by a seeded shuffle, and a note if the file cannot be split.

    Pairs that share a prompt, clean or corrupt, go to the same split.
    """
    whole = "it is used whole, so the circuit is evaluated on the prompts it was found with"
    if len(pairs) < LEAST_TO_SPLIT:
        return pairs, f"the task file has {len(pairs)} pairs, fewer than {LEAST_TO_SPLIT}: {whole}"
    groups = _groups(pairs)
    Random(_SPLIT_SEED).shuffle(groups)
    splits: dict[Split, list[FilePair]] = {"train": [], "validation": [], "test": []}
    for group in groups:
        filled = sum(map(len, splits.values())) / len(pairs)
        splits["train" if filled < 0.6 else "validation" if filled < 0.8 else "test"] += group
    if not all(splits.values()):
        return pairs, f"the pairs of the task file share their prompts: {whole}"
    return splits[split], None


def _groups(pairs: list[FilePair]) -> list[list[FilePair]]:
    """Return the pairs in groups that share no prompt with each other."""
    import networkx as nx  # see engine.circuits.graph

    texts = nx.Graph((pair.clean, pair.corrupt) for pair in pairs)
    group_of = {text: i for i, group in enumerate(nx.connected_components(texts)) for text in group}
    groups: dict[int, list[FilePair]] = {}
    for pair in pairs:
        groups.setdefault(group_of[pair.clean], []).append(pair)
    return list(groups.values())


def _jsonl(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):  # splitlines() would split inside strings too
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise RequestError(f"task file '{path}', line {number}: no JSON ({error.msg})") from error


def _json(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise RequestError(f"task file '{path}', line {error.lineno}: no JSON ({error.msg})") from error
    if not is_object(content) or not is_list(prompts := content.get("prompts")):
        raise RequestError(f"task file '{path}', line 1: an object with a list 'prompts' is needed")
    yield from enumerate(prompts, 1)


def _csv(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        form_of(dict.fromkeys(reader.fieldnames or [], ""))
    except ValueError as error:
        if not {"clean", "corrupted"} <= set(reader.fieldnames or []):
            raise RequestError(f"task file '{path}', line 1: {error}") from error
    for row in reader:
        yield reader.line_num, row


def _pair(path: Path, line: int, row: Any) -> FilePair:
    where = f"task file '{path}', {'prompt' if path.suffix == '.json' else 'line'} {line}"
    if not is_object(row):
        raise RequestError(f"{where}: an object with {', '.join(OURS.fields)} is needed")
    try:
        return read_pair(line, row)
    except ValueError as error:
        raise RequestError(f"{where}: {error}") from error
