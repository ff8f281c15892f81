"""Atomic writing of files, and parsing of untrusted JSON."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, TypeGuard


def write_whole(path: Path, content: bytes) -> None:
    """Write or replace a file atomically: a reader sees either the old content or the new one.

    Raises:
        OSError: the folder cannot be written to; an old file stays unchanged.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", dir=path.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        unfinished.chmod(0o644)  # mkstemp lets only the owner read
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def parse_json(content: bytes) -> Any:
    """Return the parsed content of a JSON file.

    Raises:
        ValueError: the content is no JSON, nested too deep, or has text that is no Unicode.
    """
    try:
        parsed = json.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if b"\\ud" in content.lower():  # half a surrogate pair can be read, but no browser can be sent it
        json.dumps(parsed, ensure_ascii=False).encode("utf-8")
    return parsed


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether a value parsed from JSON is an object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Return whether a value parsed from JSON is a list."""
    return isinstance(value, list)
