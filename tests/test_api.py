"""The Python door: names, functions, and what their results show themselves as."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pandas as pd
import plotly.graph_objects as go
import pytest

import engine
from app.requests import evaluation_request
from engine.demo.readme import README
from engine.errors import RequestError
from engine.instruments.base import instruments
from engine.runs.store import SHIPPED_RUNS, RunStore
from tests.instruments.asking import discovered, write_task

NAMES = {
    "Answer",
    "discover",
    "evaluate",
    "importance",
    "list_runs",
    "load_model",
    "load_task",
    "open_run",
    "read_lens",
    "trace",
}


@pytest.fixture(scope="module")
def task_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_task(tmp_path_factory.mktemp("task") / "pairs.jsonl"))


def test_its_names_are_these_and_each_is_explained():
    assert set(engine.__all__) == NAMES == set(dir(engine))
    for name in NAMES:
        assert inspect.getdoc(getattr(engine, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = engine.nonsense


def test_importing_it_imports_neither_torch_nor_pandas():
    code = "import sys, engine; print(sorted({'torch', 'pandas', 'streamlit'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


@pytest.mark.slow
def test_the_block_of_the_readme_goes_from_a_model_to_a_picture(tmp_path):
    [block] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    shown = subprocess.run(
        [sys.executable, "-c", block],
        cwd=tmp_path,
        env={"CIRCUIT_EXPLORER_RUNS": str(tmp_path / "runs"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert "faithfulness" in shown.stdout
    assert "%|" in shown.stderr, "no progress bar was drawn"
    assert "plotly" in (tmp_path / "circuit.html").read_text(encoding="utf-8")
    assert len(list((tmp_path / "runs").glob("*/result.json"))) == 3


def test_a_circuit_is_a_table_a_graph_and_a_picture(tmp_path):
    store = RunStore(tmp_path / "runs")
    shipped = next(run for run in store.list() if run.request.kind == "discover")
    answer = engine.open_run(shipped.run_id, runs_dir=tmp_path / "runs")
    frame, graph = answer.to_frame(), answer.to_networkx()
    assert list(frame["edge"]) == answer.circuit.graph.edge_names
    assert frame["in_graph"].sum() == answer.circuit.n_edges
    assert isinstance(graph, nx.DiGraph)
    assert graph.number_of_edges() == answer.circuit.n_edges
    assert isinstance(answer.figure(), go.Figure)
    assert answer.figure(dark=True).layout.font.color != answer.figure().layout.font.color
    assert shipped.run_id in repr(answer)


@pytest.mark.parametrize("kind", instruments.names())
def test_every_shipped_kind_has_a_table_and_a_picture(kind, tmp_path):
    store = RunStore(tmp_path / "runs")
    found = [run for run in store.list() if run.request.kind == kind]
    if not found:
        pytest.skip(f"no run of the kind {kind} is shipped")
    answer = engine.open_run(found[0].run_id)
    frame = answer.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame)
    assert answer.figure().data


def test_runs_lists_what_lies_there(tmp_path):
    shown = engine.list_runs(runs_dir=tmp_path)
    assert len(shown) == len(list(SHIPPED_RUNS.glob("*/request.json")))
    assert set(engine.list_runs("trace", runs_dir=str(tmp_path))["kind"]) == {"trace"}


def test_a_finished_run_is_found_not_computed_again(tiny_folder, task_file, tmp_path, monkeypatch):
    run_id = discovered(RunStore(tmp_path), tiny_folder, task_file)
    monkeypatch.setattr("engine.instruments.discover.instrument.DiscoverInstrument.find", None)
    asked = {"settings": {"steps": 20, "batch_size": 8}, "edges": 60, "runs_dir": tmp_path}
    assert engine.discover(str(tiny_folder), task_file, **asked).run_id == run_id
    model = engine.load_model(str(tiny_folder))
    assert engine.discover(model, engine.load_task(task_file, model), **asked).run_id == run_id


def test_loaded_models_and_tasks_say_what_is_asked(tiny_folder, task_file, tmp_path):
    model = engine.load_model(str(tiny_folder), dtype="bfloat16")
    task = engine.load_task(task_file, model, split="train", n_prompts=4, seed=3, bos=False)
    assert list(task.to_frame()) == ["clean", "corrupt", "answers", "wrong_answers"]
    asked = engine.importance(model, task, runs_dir=tmp_path).run.request.to_json()
    said = {name: asked[name] for name in ("dtype", "split", "n_prompts", "seed", "bos")}
    assert said == {"dtype": "bfloat16", "split": "train", "n_prompts": 4, "seed": 3, "bos": False}


def test_a_discovery_is_measured_under_another_ablation(tiny_folder, task_file, tmp_path):
    settings = {"steps": 20, "batch_size": 8}
    asked = {"settings": settings, "edges": 60, "n_prompts": 10, "runs_dir": tmp_path}
    found = engine.discover(str(tiny_folder), task_file, **asked)
    measured = engine.evaluate(found, "zero", runs_dir=tmp_path)
    assert measured.run.request.ablation == "zero"
    assert list(measured.to_frame()["n_edges"]) == [point.n_edges for point in found.run.result.curve]
    assert measured.run_id == evaluation_request(found.run, "zero").run_id(), "as the dashboard asks for it"
    with pytest.raises(RequestError, match="no scores of its own"):
        engine.evaluate(measured, "mean", runs_dir=tmp_path)
    with pytest.raises(RequestError, match="no circuit of its own"):
        _ = engine.importance(str(tiny_folder), task_file, runs_dir=tmp_path).to_networkx()


def test_mistakes_are_answered_in_words(tmp_path):
    with pytest.raises(RequestError, match="unknown ablation 'nonsense'"):
        engine.discover("explorer-4l", "ioi", ablation="nonsense", runs_dir=tmp_path)
    with pytest.raises(RequestError, match="colour"):
        engine.discover("explorer-4l", "ioi", colour="red", runs_dir=tmp_path)
    with pytest.raises(RequestError, match="unknown kind of run 'tracing'"):
        engine.list_runs("tracing", runs_dir=tmp_path)
    with pytest.raises(RequestError, match="has no scores of its own"):
        engine.evaluate(str(engine.list_runs("lens")["run"][0]), "mean", runs_dir=tmp_path)
    assert not list(Path(tmp_path).glob("*"))
