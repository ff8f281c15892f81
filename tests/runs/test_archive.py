"""Archives of runs: there and back, and nothing gets in that is no run."""

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from engine.errors import RequestError
from engine.runs import archive
from engine.runs.archive import pack, unpack
from engine.runs.notes import Notes, read_notes, write_notes
from engine.runs.request import SCHEMA_1
from engine.runs.store import Run, RunStore
from tests.app.fake_run import write_fake_run

SAID = Notes("for Ann", {"m0": "why?"})


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "user", tmp_path / "shipped")


@pytest.fixture
def other(tmp_path: Path) -> RunStore:
    """Somebody else's runs."""
    return RunStore(tmp_path / "other", tmp_path / "nothing")


@pytest.fixture
def run(store: RunStore) -> Run:
    return store.get(write_fake_run(store))


def files(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.folder.iterdir()}


def packed(content: dict[str, bytes], folder: str = "") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, part in content.items():
            zipped.writestr(folder + name, part)
    return data.getvalue()


def test_a_run_comes_back_with_its_notes(store: RunStore, other: RunStore, run: Run):
    write_notes(store, run, SAID)
    data = pack(store, run)
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        assert {Path(name).parts[0] for name in zipped.namelist()} == {run.run_id}
    assert unpack(other, data) == run.run_id
    back = other.get(run.run_id)
    assert (back.request, back.result, back.circuit) == (run.request, run.result, run.circuit)
    for name in run.tensors:
        np.testing.assert_array_equal(back.tensors[name], run.tensors[name])
    assert read_notes(other, back) == SAID
    assert stat.S_IMODE(back.folder.stat().st_mode) == 0o755


def test_an_evaluation_and_a_shipped_run_are_packed_too(store: RunStore, other: RunStore, tmp_path: Path):
    shipped = store.get(write_fake_run(RunStore(tmp_path / "shipped"), ablation="mean"))
    assert shipped.shipped
    write_notes(store, shipped, SAID)
    assert read_notes(other, other.get(unpack(other, pack(store, shipped)))) == SAID
    evaluation = write_fake_run(store, kind="evaluate", method=None, ablation="zero", circuit=shipped.run_id)
    assert other.get(unpack(other, pack(store, store.get(evaluation)))).request.circuit == shipped.run_id


def test_a_run_that_is_there_stays(store: RunStore, run: Run, tmp_path: Path):
    data = pack(store, run)
    write_notes(store, run, SAID)
    (run.folder / "mark").touch()
    assert unpack(store, data) == run.run_id
    assert (run.folder / "mark").exists()
    assert read_notes(store, run) == SAID
    reader = RunStore(tmp_path / "reader", store.user_dir)
    assert unpack(reader, data) == run.run_id
    assert list(reader.user_dir.iterdir()) == [], "a shipped run needs no copy"


def test_the_files_alone_are_an_archive_too(other: RunStore, run: Run):
    assert unpack(other, packed(files(run))) == run.run_id


def test_the_id_is_computed_anew(store: RunStore, other: RunStore, run: Run):
    request = json.loads(files(run)["request.json"]) | {"seed": 99}
    content = files(run) | {"request.json": json.dumps(request).encode()}
    found = unpack(other, packed(content, f"{run.run_id}/"))
    assert found != run.run_id
    assert other.get(found).request.run_id() == found


def result_with(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    def changed(content: dict[str, bytes]) -> dict[str, bytes]:
        result = json.loads(content["result.json"])
        change(result)
        return content | {"result.json": json.dumps(result).encode()}

    return changed


def circuit_with(**changes: Any) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda content: (
        content | {"circuit.json": json.dumps(json.loads(content["circuit.json"]) | changes).encode()}
    )


def scores_with(value: float, share: float) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    scores = np.linspace(0, 1, 1519, dtype=np.float32)
    scores[: int(share * 1519)] = value
    return lambda content: content | {"tensors.safetensors": save({"scores": scores})}


def importance_with(**changes: Any) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    """Fields that another kind of run has, and no importance."""
    request = SCHEMA_1 | {"kind": "importance", "model": "m", "task": "t", "ablation": "zero"} | changes
    return lambda content: content | {"request.json": json.dumps(request).encode()}


DAMAGED: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    "no request.json": lambda content: {k: v for k, v in content.items() if k != "request.json"},
    "result.json is missing": lambda content: {k: v for k, v in content.items() if k != "result.json"},
    "circuit.json is missing": lambda content: {k: v for k, v in content.items() if k != "circuit.json"},
    "has 'README.md', which is no file of a run": lambda content: content | {"README.md": b""},
    r"has '\.\./request.json'": lambda content: {"../request.json": b"{}"},
    r"has '/request.json'": lambda content: {"/request.json": b"{}"},
    r"has 'a/b/request.json'": lambda content: {"a/b/request.json": b"{}"},
    r"has '\.\./'": lambda content: content | {"../": b""},
    r"has 'a.request.json'": lambda content: {"a\\request.json": b"{}"},
    "more than one folder": lambda content: {f"{name[0]}/{name}": part for name, part in content.items()},
    "result.json twice": lambda content: content | {"x/result.json": b"{}"},
    "request.json is no JSON": lambda content: content | {"request.json": b"{"},
    "request.json: unknown kind of run .destroy.: ": lambda content: (
        content | {"request.json": b'{"schema": 1, "kind": "destroy"}'}
    ),
    "method: Input should be a valid string": importance_with(method=["x"]),
    "edges: Input should be a valid integer": importance_with(edges="many"),
    "circuit_top: Field required": result_with(lambda result: result.pop("circuit_top")),
    "notes: Field required": result_with(lambda result: result.pop("notes")),
    "prompts.0.answers: Field required": result_with(lambda result: result["prompts"][0].pop("answers")),
    "no edge 'm0->x'": circuit_with(edges={"m0->x": {"score": 1}}),
    "graph of 46 edges": circuit_with(model={"n_layers": 2, "n_heads": 2, "d_model": 8}),
    "values that are no numbers": scores_with(np.inf, 0.1),
    "among the 1519 highest": scores_with(np.nan, 0.1),
    "damaged or cut short": lambda content: content | {"tensors.safetensors": b"\x80\x04pickle"},
    "no notes: 'pins'": lambda content: content | {"notes.json": b'{"schema": 1, "pins": []}'},
    "title has 999 characters": lambda content: (
        content | {"notes.json": json.dumps({"schema": 1, "title": "x" * 999, "pins": {}}).encode()}
    ),
}


@pytest.mark.parametrize("problem", DAMAGED)
def test_a_damaged_run_is_refused_whole_in_one_line(other: RunStore, run: Run, problem: str):
    with pytest.raises(RequestError, match=problem) as caught:
        unpack(other, packed(DAMAGED[problem](files(run))))
    assert "\n" not in str(caught.value)
    assert str(other.user_dir) not in str(caught.value), "a temporary folder is nothing to the user"
    assert list(other.user_dir.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 1, 100, 0.5, 0.99])
def test_what_is_no_whole_zip_is_refused(store: RunStore, other: RunStore, run: Run, cut: float):
    data = pack(store, run)
    with pytest.raises(RequestError, match="no zip, or is damaged"):
        unpack(other, data[: int(cut * len(data)) if cut < 1 else int(cut)])


def test_a_flipped_bit_is_noticed(store: RunStore, other: RunStore, run: Run):
    data = bytearray(pack(store, run))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(RequestError, match="damaged"):
        unpack(other, bytes(data))


def test_a_link_is_refused(other: RunStore, run: Run):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as zipped:
        for name, part in files(run).items():
            entry = zipfile.ZipInfo(name)
            if name == "circuit.json":
                entry.external_attr, part = (stat.S_IFLNK | 0o777) << 16, b"/etc/passwd"
            zipped.writestr(entry, part)
    with pytest.raises(RequestError, match=r"'circuit.json', which is no file of a run"):
        unpack(other, data.getvalue())


def test_an_encrypted_entry_is_refused(other: RunStore, run: Run):
    data = bytearray(packed({"request.json": files(run)["request.json"]}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    with pytest.raises(RequestError, match="no file of a run"):
        unpack(other, bytes(data))


def test_a_bomb_is_not_unpacked(other: RunStore, run: Run):
    bomb = packed(files(run) | {"notes.json": b" " * (2**22 + 1)})
    assert len(bomb) < 2**18
    with pytest.raises(RequestError, match=r"notes.json in the archive is larger than 4 MiB"):
        unpack(other, bomb)


def test_a_bomb_that_lies_about_its_size_is_read_no_further(other: RunStore, run: Run):
    bomb = bytearray(packed({"request.json": b" " * 2**25}))
    for signature, size in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = bomb.index(signature) + size
        bomb[place : place + 4] = (100).to_bytes(4, "little")
    with pytest.raises(RequestError, match="archive"):
        unpack(other, bytes(bomb))


def test_archives_have_a_largest_size(
    store: RunStore, other: RunStore, run: Run, monkeypatch: pytest.MonkeyPatch
):
    data = pack(store, run)
    monkeypatch.setattr(archive, "LARGEST", len(data) - 1)
    with pytest.raises(RequestError, match=r"larger than .* copy its folder"):
        pack(store, run)
    with pytest.raises(RequestError, match="more than"):
        unpack(other, data)
