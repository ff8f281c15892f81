"""The run store: whole or not at all, checked when opened, shipped runs read-only."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.circuits.graph import Graph
from engine.errors import RequestError
from engine.runs.kinds import make_request
from engine.runs.record import CurveResult
from engine.runs.request import Request
from engine.runs.store import Run, RunStore

GRAPH = Graph(n_layers=1, n_heads=2)


def request(**changes: Any) -> Request:
    """A discovery, or what `kind` says."""
    kind = changes.pop("kind", "discover")
    own = {"method": "edge-pruning"} if kind == "discover" else {}
    return make_request(kind, model="tiny", task="ioi", ablation="zero", **own, **changes)


def estimate(mean: float) -> dict[str, Any]:
    return {"mean": mean, "ci95": [mean - 0.1, mean + 0.1], "n": 20}


NAMES = ("kl", "logit_difference", "probability_difference", "accuracy", "agreement", "faithfulness")
EVERY = {name: estimate(0.5) for name in NAMES}


def point(edges: int) -> dict[str, Any]:
    counts = {"edges_requested": edges, "n_edges": edges, "n_edges_total": GRAPH.n_edges}
    return EVERY | counts | {"sparsity": 1 - edges / GRAPH.n_edges}


def prompt(**changes: Any) -> dict[str, Any]:
    fields = {
        "clean": "A B",
        "corrupt": "A C",
        "tokens": ["A", " B"],
        "corrupt_tokens": ["A", " C"],
        "answers": [" D"],
        "wrong_answers": [" E"],
        "model_top": [[" D", 0.9], [" E", 0.1]],
    }
    return fields | changes


def result(**changes: Any) -> dict[str, Any]:
    fields = {
        "schema": 1,
        "created": "2026-01-02T03:04:05+00:00",
        "summary": point(3),
        "model": EVERY,
        "ablated": EVERY,
        "curve": [point(3), point(5)],
        "circuit_top": {"3": [[[" D", 0.8]]], "5": [[[" D", 0.9]]]},
        "metric": "logit_difference",
        "prompts": [prompt()],
        "history": {"loss": [1.0, 0.5]},
        "timings": {"seconds": 3.0, "discovery_seconds": 2.0, "evaluation_seconds": 1.0},
        "versions": {"python": "3.11"},
        "device": "cpu",
        "dtype": "float32",
        "conditioning": "none",
        "notes": [],
    }
    return fields | changes


def tensors() -> dict[str, np.ndarray]:
    return {
        "scores": np.linspace(0, 1, GRAPH.n_edges, dtype=np.float32),
        "attention.0": np.ones((1, 2, 2, 2), dtype=np.float16),
    }


CIRCUIT = {
    "schema": 1,
    "model": {"id": "tiny", "n_layers": 1, "n_heads": 2, "d_model": 8},
    "task": "ioi",
    "qkv": "split",
    "edges": {},
}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "user", tmp_path / "shipped")


@pytest.fixture
def written(store: RunStore) -> Run:
    return store.get(store.write(request(), result(), tensors(), CIRCUIT))


def test_a_run_comes_back_as_it_was_written(store: RunStore, written: Run):
    assert written.request == request()
    assert json.loads((written.folder / "result.json").read_text()) == result()
    assert written.result == CurveResult.model_validate(result())
    assert written.circuit == CIRCUIT
    assert not written.shipped
    assert set(written.tensors) == {"scores", "attention.0"}
    np.testing.assert_array_equal(written.tensors["scores"], tensors()["scores"])
    assert written.tensors["attention.0"].dtype == np.float16
    assert [run.run_id for run in store.list()] == [request().run_id()]
    assert request().run_id() in store
    with pytest.raises(KeyError):
        written.tensors["nothing"]


def test_an_evaluation_needs_no_circuit_and_no_tensors(store: RunStore, written: Run):
    asked = request(kind="evaluate", circuit=written.run_id)
    run = store.get(store.write(asked, result()))
    assert run.circuit is None
    with pytest.raises(RequestError, match=written.run_id):
        run.circuit_at(3)
    assert len(run.tensors) == 0


def test_circuits_of_any_size(written: Run):
    everything = written.circuit_at(GRAPH.n_edges)
    assert everything.kept.all()
    assert everything.about["task"] == "ioi"
    assert written.circuit_at().n_edges <= round(0.05 * GRAPH.n_edges)
    with pytest.raises(RequestError, match=f"the graph has {GRAPH.n_edges}"):
        written.circuit_at(GRAPH.n_edges + 1)


def test_a_folder_anywhere_can_be_opened(store: RunStore, written: Run, tmp_path: Path):
    shutil.copytree(written.folder, tmp_path / "elsewhere")
    assert store.get(tmp_path / "elsewhere").request == request()
    with pytest.raises(RequestError, match="no run folder"):
        store.get(tmp_path / "nowhere")


def test_newest_first(store: RunStore):
    for day in (2, 3, 1):
        store.write(request(seed=day), result(created=f"2026-01-0{day}T00:00:00+00:00"), tensors(), CIRCUIT)
    assert [run.request.seed for run in store.list()] == [3, 2, 1]


def test_a_crashed_write_is_never_listed_and_cleared_after_a_day(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
):
    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.rename", crash)
        patched.setattr("shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            store.write(request(), result(), tensors(), CIRCUIT)
    (leftover,) = store.user_dir.iterdir()
    assert store.list() == store.list_broken() == []
    assert request().run_id() not in store

    store.write(request(seed=1), result(), tensors(), CIRCUIT)
    assert leftover.exists(), "another process may still be writing it"
    yesterday = time.time() - 2 * 24 * 3600
    os.utime(leftover, (yesterday, yesterday))
    store.write(request(seed=2), result(), tensors(), CIRCUIT)
    assert not leftover.exists()


def test_a_failed_write_leaves_nothing(store: RunStore):
    with pytest.raises(RequestError, match="scores"):
        store.write(request(), result(), {"scores": np.zeros(3, dtype=np.float32)}, CIRCUIT)
    assert list(store.user_dir.iterdir()) == []


def test_a_whole_run_is_kept_and_a_broken_one_replaced(store: RunStore, written: Run):
    store.write(request(), result(created="2027-01-01T00:00:00+00:00"), tensors(), CIRCUIT)
    assert store.get(written.run_id).result == CurveResult.model_validate(result())
    (written.folder / "result.json").unlink()
    store.write(request(), result(created="2027-01-01T00:00:00+00:00"), tensors(), CIRCUIT)
    assert store.get(written.run_id).result.created.startswith("2027")
    assert [path.name for path in store.user_dir.iterdir()] == [written.run_id]


def test_delete(store: RunStore, written: Run):
    store.delete(written.run_id)
    assert store.list() == []
    assert list(store.user_dir.iterdir()) == []
    with pytest.raises(RequestError, match="unknown run"):
        store.delete(written.run_id)


def test_shipped_runs_are_listed_and_cannot_be_deleted(written: Run, tmp_path: Path):
    store = RunStore(tmp_path / "other", written.folder.parent)
    assert store.get(written.run_id).shipped
    with pytest.raises(RequestError, match="shipped"):
        store.delete(written.run_id)
    assert written.folder.is_dir()


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("CIRCUIT_EXPLORER_RUNS", str(tmp_path / "mine"))
    assert RunStore().user_dir == tmp_path / "mine"
    assert RunStore(tmp_path / "given").user_dir == tmp_path / "given"


@pytest.mark.parametrize("run_id", ["../secret", "a/b", "..", "", "Run", "a" * 300, ".writing-x", "a\n"])
def test_only_run_ids_lead_to_folders(store: RunStore, written: Run, run_id: str):
    with pytest.raises(RequestError, match="no run id"):
        store.get(run_id)
    with pytest.raises(RequestError, match="no run id"):
        store.delete(run_id)


def test_a_link_that_leads_out_is_not_followed(store: RunStore, written: Run, tmp_path: Path):
    shutil.copytree(written.folder, tmp_path / "outside")
    (store.user_dir / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(RequestError, match="unknown run 'link'"):
        store.get("link")


def test_an_unknown_run_is_answered_with_the_nearest(store: RunStore, written: Run):
    with pytest.raises(RequestError, match=f"did you mean '{written.run_id}'"):
        store.get(written.run_id[:-1] + "x")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def drop(path: Path, name: str) -> None:
    content = json.loads(path.read_text())
    del content[name]
    path.write_text(json.dumps(content))


def save(run: Path, **arrays: np.ndarray) -> None:
    save_file(arrays, run / "tensors.safetensors")


BREAKAGES = {
    "request.json is missing": lambda run: (run / "request.json").unlink(),
    "result.json is missing": lambda run: (run / "result.json").unlink(),
    "circuit.json is missing": lambda run: (run / "circuit.json").unlink(),
    "tensors.safetensors is missing": lambda run: (run / "tensors.safetensors").unlink(),
    "request.json is no JSON": lambda run: cut_short(run / "request.json"),
    "result.json is no JSON": lambda run: cut_short(run / "result.json"),
    "circuit.json is no JSON": lambda run: (run / "circuit.json").write_bytes(b"\xff\xfe\x00"),
    "tensors.safetensors is damaged or cut short": lambda run: cut_short(run / "tensors.safetensors"),
    "result.json has schema 2, this version reads up to 1": lambda run: edit(run / "result.json", schema=2),
    "request.json has schema 9, this version reads": lambda run: edit(run / "request.json", schema=9),
    "circuit.json is no object with a schema": lambda run: (run / "circuit.json").write_text("[1]"),
    "request.json: ablation: ": lambda run: edit(run / "request.json", ablation=3),
    "request.json: colour: ": lambda run: edit(run / "request.json", colour="red"),
    "result.json: summary.kl: Field required": lambda run: edit(
        run / "result.json", summary={"n_edges": 3, "n_edges_total": GRAPH.n_edges, "sparsity": 0.5}
    ),
    "result.json: summary.kl.mean: ": lambda run: edit(
        run / "result.json", summary=point(3) | {"kl": {"mean": "low"}}
    ),
    "result.json: summary.n_edges: ": lambda run: edit(
        run / "result.json", summary=point(3) | {"n_edges": "3"}
    ),
    "result.json: curve: ": lambda run: edit(run / "result.json", curve=None),
    "result.json: curve: List should have at least 1": lambda run: edit(run / "result.json", curve=[]),
    "sizes on its curve do not ascend": lambda run: edit(run / "result.json", curve=[point(5), point(3)]),
    "or exceed the graph": lambda run: edit(run / "result.json", curve=[point(GRAPH.n_edges + 1)]),
    "points of its curve are of different graphs": lambda run: edit(
        run / "result.json", curve=[point(3) | {"n_edges_total": 7}]
    ),
    "'circuit_top' does not have predictions": lambda run: edit(run / "result.json", circuit_top={"3": []}),
    "result.json: circuit_top.3.0: ": lambda run: edit(run / "result.json", circuit_top={"3": [[]]}),
    "result.json: circuit_top: Field required": lambda run: drop(run / "result.json", "circuit_top"),
    "result.json: notes: Field required": lambda run: drop(run / "result.json", "notes"),
    "result.json: timings: Field required": lambda run: drop(run / "result.json", "timings"),
    "result.json: versions.torch: ": lambda run: edit(run / "result.json", versions={"torch": 2}),
    "result.json: history.loss.0: ": lambda run: edit(run / "result.json", history={"loss": ["low"]}),
    "result.json: metric: ": lambda run: edit(run / "result.json", metric="beauty"),
    "result.json: created: ": lambda run: edit(run / "result.json", created="yesterday"),
    "a time like 2026-01-31T12:00:00": lambda run: edit(run / "result.json", created="2026-01-01T00:00:00"),
    "result.json: model.kl.mean: ": lambda run: edit(
        run / "result.json", model=EVERY | {"kl": estimate(float("inf"))}
    ),
    "result.json: ablated.logit_difference.mean: ": lambda run: edit(
        run / "result.json", ablated=EVERY | {"logit_difference": estimate(0.1) | {"mean": None}}
    ),
    "result.json: prompts.0.answers: ": lambda run: edit(run / "result.json", prompts=[prompt(answers=[])]),
    "result.json: prompts.0.model_top.0.1: ": lambda run: edit(
        run / "result.json", prompts=[prompt(model_top=[["D", "much"]])]
    ),
    "result.json is no JSON .*surrogates": lambda run: edit(run / "result.json", notes=["\ud800"]),
    "circuit.json does not say the shape": lambda run: drop(run / "circuit.json", "model"),
    "circuit.json: no circuit: 'model' needs": lambda run: edit(run / "circuit.json", model={}),
    "circuit.json: a circuit of 10000 layers": lambda run: edit(
        run / "circuit.json", model={"n_layers": 10_000, "n_heads": 2, "d_model": 8}
    ),
    r"circuit.json does not say the shape\D+$": lambda run: edit(
        run / "circuit.json", model={"n_layers": 1, "n_heads": 2}
    ),
    "circuit.json is of a graph of 46 edges": lambda run: edit(
        run / "circuit.json", model={"n_layers": 2, "n_heads": 2, "d_model": 8}
    ),
    "with qkv=merged, not of one": lambda run: edit(run / "circuit.json", qkv="merged"),
    "tensors.safetensors has no 'scores'": lambda run: save(run, other=np.zeros(3)),
    "'scores' has shape": lambda run: save(run, scores=np.zeros(3, dtype=np.float32)),
    "'scores' is of type I64 where floats": lambda run: save(
        run, scores=np.zeros(GRAPH.n_edges, dtype=np.int64)
    ),
    "'attention.0' has shape": lambda run: edit(
        run / "result.json", prompts=[prompt(tokens=["A", "B", "C"])]
    ),
    r"'attention.0' has shape \[3, 2, 2, 2\]": lambda run: save(
        run, **tensors() | {"attention.0": np.ones((3, 2, 2, 2), np.float16)}
    ),
    "circuit.json is larger than": lambda run: os.truncate(run / "circuit.json", 2**28),
    "result.json is no JSON .*": lambda run: (run / "result.json").write_text("[" * 200_000),
}


@pytest.mark.parametrize("problem", BREAKAGES)
def test_a_broken_run_is_told_in_one_line(store: RunStore, written: Run, problem: str):
    BREAKAGES[problem](written.folder)
    with pytest.raises(RequestError, match=problem) as caught:
        store.get(written.run_id)
    assert str(written.folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert store.list() == []
    (broken,) = store.list_broken()
    assert broken.folder == written.folder
    assert broken.problem == str(caught.value)


def test_a_measurement_has_what_its_request_names(store: RunStore):
    asked = request(kind="measure", circuits=[{"name": "both"}, {"name": "one"}])
    points = [EVERY | point(3) | {"name": name} for name in ("both", "one")]
    tops = {"both": [[[" D", 0.8]]], "one": [[[" D", 0.9]]]}
    whole = result(summary=points[0], curve=points, circuit_top=tops)
    for change, problem in (
        ({"curve": points[::-1]}, "names on its curve are not those of its request"),
        ({"curve": [point(3)]}, "curve.0.name: Field required"),
        ({"circuit_top": {"both": tops["both"]}}, "'circuit_top' has nothing on 'one'"),
    ):
        with pytest.raises(RequestError, match=problem):
            store.write(asked, whole | change)
    assert store.get(store.write(asked, whole)).circuit is None


def test_importance_has_every_value_of_every_node(store: RunStore):
    asked = request(kind="importance")
    node = {name: estimate(0.1) for name in ("kl", "logit_difference", "answer", "wrong_answer")}
    with pytest.raises(RequestError, match="nodes: Field required"):
        store.write(asked, result())
    with pytest.raises(RequestError, match="node 'm0' has no 'answer'"):
        store.write(asked, result(nodes={"m0": {k: v for k, v in node.items() if k != "answer"}}))
    assert store.write(asked, result(nodes={"m0": node})) in store


def test_a_pickle_in_place_of_tensors_is_never_opened(store: RunStore, written: Run):
    import torch

    torch.save({"scores": torch.zeros(GRAPH.n_edges)}, written.folder / "tensors.safetensors")
    with pytest.raises(RequestError, match="damaged"):
        store.get(written.run_id)


def test_a_folder_is_read_once_until_a_file_of_it_changes(store: RunStore, written: Run):
    assert store.get(written.run_id) is store.list()[0] is written
    path = written.folder / "result.json"
    path.write_text(path.read_text() + "\n")
    assert store.get(written.run_id) is not written
