"""Files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, in place of one that may be there, so that a reader sees the old one or the new one.

    Raises:
        OSError: the folder cannot be written to; what was there stays.
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
