"""Archives of runs: a zip of a run folder, for backup or exchange.

    <run-id>/request.json result.json tensors.safetensors circuit.json notes.json

Archives are not trusted: only these names are read, no links, and sizes are capped before and while reading.
The content is checked like every run folder, and the id is computed anew from the request.
"""

import io
import json
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from engine.circuits.circuit import circuit_from_json
from engine.errors import RequestError
from engine.files import parse_json
from engine.runs.folder import AnyRun, open_folder
from engine.runs.notes import Notes, notes_to_json, parse_notes, read_notes
from engine.runs.record import FaultError
from engine.runs.store import RunStore

LARGEST = 200 * 2**20  # bytes of an archive; a run of GPT-2 small has about 2 MiB
_LARGEST_FILES = {  # bytes
    "request.json": 2**24,
    "result.json": 2**26,
    "circuit.json": 2**26,
    "tensors.safetensors": 2**30,
    "notes.json": 2**22,
}
_ENCRYPTED = 0x1


def pack(store: RunStore, run: AnyRun) -> bytes:
    """Return a run, with the notes on it, as a zip.

    Raises:
        RequestError: the run is gone, or too large for one file.
    """
    packed = io.BytesIO()
    try:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in _LARGEST_FILES:
                if name != "notes.json" and (path := run.folder / name).exists():
                    archive.write(path, f"{run.run_id}/{name}")
            if (notes := read_notes(store, run)) != Notes():
                archive.writestr(f"{run.run_id}/notes.json", json.dumps(notes_to_json(notes), indent=1))
    except OSError as error:
        raise RequestError(f"run '{run.run_id}' cannot be read: {error.strerror}") from error
    if packed.tell() > LARGEST:
        raise RequestError(
            f"run '{run.run_id}' is larger than {LARGEST // 2**20} MiB: copy its folder '{run.folder}'"
        )
    return packed.getvalue()


def unpack(store: RunStore, data: bytes) -> str:
    """Put the run in an archive among the user's runs, whole or not at all, and return its id.

    A run of the same id that is there already stays, with its notes.

    Raises:
        RequestError: the data are no archive of a run, or the run cannot be opened; the message says why.
    """
    store.check_writable()
    files = _files(data)

    def fill(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        folder.chmod(0o755)  # as `write_run` leaves it
        _check(folder, files)

    try:
        return store.put(fill)
    except OSError as error:
        raise RequestError(f"the run cannot be written to '{store.user_dir}': {error.strerror}") from error


def _files(data: bytes) -> dict[str, bytes]:
    """Return the files of a run out of an archive."""
    if len(data) > LARGEST:
        raise RequestError(f"the archive has more than {LARGEST // 2**20} MiB: copy the run's folder instead")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: _read(archive, entry, name) for name, entry in _entries(archive).items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, NotImplementedError) as error:
        raise RequestError(f"the archive is no zip, or is damaged: {error}") from error


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the entries of an archive by file name; refuse archives with other files than a run's."""
    entries: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename)
        if entry.is_dir() and len(path.parts) == 1 and ".." not in path.parts:
            folders.add(str(path))
            continue
        kind = stat.S_IFMT(entry.external_attr >> 16)
        expected = path.name in _LARGEST_FILES and len(path.parts) <= 2 and not path.is_absolute()
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RequestError("the archive is packed in a way that is not read: make it anew as a plain zip")
        if (
            not expected
            or ".." in path.parts
            or kind not in (0, stat.S_IFREG)
            or entry.flag_bits & _ENCRYPTED
        ):
            raise RequestError(
                f"the archive has '{entry.filename[:80]}', which is no file of a run: "
                f"{', '.join(_LARGEST_FILES)} are expected, plain or in one folder"
            )
        if path.name in entries:
            raise RequestError(f"the archive has {path.name} twice: one run at a time")
        entries[path.name] = entry
        folders.add(str(path.parent))
    if len(folders) > 1:
        raise RequestError("the archive has more than one folder: one run at a time")
    if "request.json" not in entries:
        raise RequestError("the archive has no request.json: it is no run")
    return entries


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> bytes:
    most = _LARGEST_FILES[name]
    # What an entry says of its size may be a lie, so it is read up to the limit and no further.
    content = b""
    if entry.file_size <= most:
        with archive.open(entry) as file:
            content = file.read(most + 1)
    if entry.file_size > most or len(content) > most:
        raise RequestError(f"{name} in the archive is larger than {most // 2**20} MiB: it is not unpacked")
    return content


def _check(folder: Path, files: dict[str, bytes]) -> None:
    """Check what opening a run folder does not: names of edges, values of scores, and the notes."""
    try:
        run = open_folder(folder, shipped=False)
        if "notes.json" in files:
            parse_notes(parse_json(files["notes.json"]))
        if run.circuit is None:
            return
        circuit_from_json(run.circuit)
        scores, largest = run.tensors["scores"], run.result.curve[-1].edges_requested
        if np.isinf(scores).any() or np.isfinite(scores).sum() < largest:
            raise FaultError(f"'scores' has values that are no numbers, among the {largest} highest")
    except (FaultError, RequestError, ValueError) as fault:
        raise RequestError(f"the run in the archive cannot be opened: {fault}") from fault
