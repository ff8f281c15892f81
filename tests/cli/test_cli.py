"""The command line: what it prints, where, and how it exits."""

import csv
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from engine.circuits.circuit import circuit_from_json
from engine.circuits.graph import Graph
from engine.cli import main
from engine.runs.store import RunStore

ROOT = Path(__file__).parents[2]
STEPS, EDGES = 20, 150
METRICS = {"kl", "faithfulness", "logit_difference", "accuracy", "agreement"}


@pytest.fixture(scope="module")
def words(model: str, task: str) -> list[str]:
    """The arguments of a discovery that takes a second."""
    asked = {
        "model": model,
        "task": task,
        "method": "edge-pruning",
        "ablation": "counterfactual",
        "edges": EDGES,
    }
    given = [word for key, value in asked.items() for word in (f"--{key}", str(value))]
    return ["discover", *given, "--set", f"steps={STEPS}"]


@pytest.fixture(scope="module")
def found(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The JSON of that discovery, whose run lies in a folder of its own."""
    folder = tmp_path_factory.mktemp("found")
    command = [sys.executable, "-m", "engine.cli", *words, "--runs-dir", str(folder), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)
    return json.loads(done.stdout)


def refused(capfd: pytest.CaptureFixture[str], arguments: list[str], *parts: str) -> None:
    """Check that a command exits with 2, one line on standard error that has these parts, and no output."""
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("circuit-explorer: ")
    assert len(err.splitlines()) == 1, err
    for part in parts:
        assert part in err


def run_json(capfd: pytest.CaptureFixture[str], arguments: list[str]) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def test_discover_prints_one_object_and_leaves_a_run(found: dict[str, Any], model: str, task: str):
    assert found.keys() >= METRICS | {"run_id", "folder", "n_edges", "n_edges_total", "sparsity"}
    assert 0 < found["n_edges"] <= EDGES
    assert found["n_edges_total"] == Graph(n_layers=3, n_heads=4).n_edges
    assert found["kl"].keys() == {"mean", "ci95", "n"}
    run = RunStore().get(Path(found["folder"]))
    assert (run.request.model, run.request.task, run.request.edges) == (model, task, EDGES)
    assert run.request.settings["steps"] == STEPS
    assert run.result.summary.kl.model_dump() == found["kl"]
    assert circuit_from_json(run.circuit).n_edges == found["n_edges"]


def test_the_same_request_finds_its_run_and_out_copies_it(
    capfd: pytest.CaptureFixture[str], words: list[str], found: dict[str, Any], tmp_path: Path
):
    folder = Path(found["folder"])
    stamp = (folder / "result.json").stat().st_mtime_ns
    again = run_json(capfd, [*words, "--runs-dir", str(folder.parent), "--out", str(tmp_path / "out")])
    assert again | {"folder": ""} == found | {"folder": ""}
    assert again["folder"] == str(tmp_path / "out" / found["run_id"])
    assert RunStore().get(Path(again["folder"])).run_id == found["run_id"]
    assert (folder / "result.json").stat().st_mtime_ns == stamp
    assert [path.name for path in (tmp_path / "out").iterdir()] == [found["run_id"]]


def test_the_same_request_anew_gives_the_same_scores(
    capfd: pytest.CaptureFixture[str], words: list[str], found: dict[str, Any]
):
    anew = run_json(capfd, words)
    assert anew["run_id"] == found["run_id"]
    assert anew["folder"] != found["folder"]
    one, other = (RunStore().get(Path(run["folder"])).tensors["scores"] for run in (anew, found))
    np.testing.assert_array_equal(one, other)


def test_discover_for_a_person(capfd: pytest.CaptureFixture[str], words: list[str], found: dict[str, Any]):
    assert main([*words, "--runs-dir", str(Path(found["folder"]).parent)]) == 0
    out = capfd.readouterr().out
    assert f"{found['n_edges']} of {found['n_edges_total']}" in out
    assert found["folder"] in out


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"--model": "explorer-41"}, ["unknown model 'explorer-41'"]),
        ({"--task": "greaterthan"}, ["unknown task", "did you mean 'greater-than'"]),
        ({"--task": "nowhere.jsonl"}, ["task file 'nowhere.jsonl' does not exist"]),
        ({"--method": "edge-prunning"}, ["unknown method", "did you mean 'edge-pruning'"]),
        ({"--ablation": "counterfact"}, ["unknown ablation", "did you mean 'counterfactual'"]),
        ({"--edges": "100000"}, ["100000 edges were asked for, but the graph of"]),
        ({"--edges": "0"}, ["edges", "greater than or equal to 1"]),
        ({"--edges": "many"}, ["--edges"]),
        ({"--sparsity": "0.9"}, ["not both"]),
        ({"--set": "stepz=3"}, ["unknown setting 'stepz'", "did you mean 'steps'"]),
        ({"--set": "steps=0"}, ["steps", "greater than or equal to 1"]),
        ({"--set": "steps=few"}, ["steps", "'few'"]),
        ({"--set": "steps"}, ["KEY=VALUE"]),
        ({"--set": "warm_start=no-such-run"}, ["unknown run 'no-such-run'"]),
        ({"--set": "ablation.sigma=3"}, ["unknown setting 'sigma'"]),
        ({"--qkv": "both"}, ["qkv", "'split' or 'merged'"]),
        ({"--split": "all"}, ["split", "'train', 'validation' or 'test'"]),
        ({"--seed": "-1"}, ["seed"]),
        ({"--n-prompts": "0"}, ["n_prompts"]),
        ({"--dtype": "float8"}, ["dtype"]),
        ({"--colour": "red"}, ["No such option", "--colour"]),
    ],
    ids=str,
)
def test_a_wrong_discovery_is_refused_in_one_line(
    capfd: pytest.CaptureFixture[str], words: list[str], changes: dict[str, str], parts: list[str]
):
    arguments = words.copy()
    for option, value in changes.items():
        if option in arguments:
            arguments[arguments.index(option) + 1] = value
        else:
            arguments += [option, value]
    refused(capfd, arguments, *parts)


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ([], ["empty"]),
        (
            ['{"clean": "w1 w2", "corrupt": "w3 w2", "answers": [" w4"], "wrong_answers": [" w5"]}', "{"],
            ["line 2"],
        ),
        (
            ['{"clean": "w1 w2", "corrupt": "w3", "answers": [" w4"], "wrong_answers": [" w5"]}'],
            ["line 1", "2", "1"],
        ),
        (
            ['{"clean": "w1", "corrupt": "w3", "answers": [" w4 w5"], "wrong_answers": [" w5"]}'],
            ["line 1", "one token"],
        ),
        (['{"clean": "w1", "corrupt": "w3"}'], ["line 1", "answers"]),
    ],
    ids=["empty", "no JSON", "unequal length", "answer of two tokens", "no answers"],
)
def test_a_broken_task_file_is_refused_in_one_line(
    capfd: pytest.CaptureFixture[str], words: list[str], tmp_path: Path, lines: list[str], parts: list[str]
):
    path = tmp_path / "broken.jsonl"
    path.write_text("\n".join(lines))
    arguments = words.copy()
    arguments[arguments.index("--task") + 1] = str(path)
    refused(capfd, arguments, str(path), *parts)


def test_a_pickled_model_is_refused(
    capfd: pytest.CaptureFixture[str], words: list[str], model: str, tmp_path: Path
):
    import torch

    shutil.copytree(model, tmp_path / "pickled", ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save({}, tmp_path / "pickled" / "pytorch_model.bin")
    arguments = words.copy()
    arguments[arguments.index("--model") + 1] = str(tmp_path / "pickled")
    refused(capfd, arguments, "pytorch_model.bin", "pickled")


def test_out_of_memory_is_one_line_and_status_1(
    capfd: pytest.CaptureFixture[str], words: list[str], monkeypatch: pytest.MonkeyPatch, own_runs_dir: Path
):
    monkeypatch.setattr("engine.workbench.memory._free", lambda _: 1000)
    assert main(words) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "GB are needed" in err
    assert "--n-prompts" in err
    assert list(own_runs_dir.glob("*")) == []


WITH_SIGN = """
import sys
import engine.experiments
from engine.cli import main
print("ready", flush=True)
sys.exit(main())
"""


@pytest.mark.slow
def test_ctrl_c_exits_with_130_and_leaves_nothing(words: list[str], own_runs_dir: Path):
    arguments = words.copy()
    arguments[arguments.index(f"steps={STEPS}")] = "steps=100000"
    command = [sys.executable, "-c", WITH_SIGN, *arguments, "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err.strip().splitlines()[-1] == "circuit-explorer: cancelled"
    assert "Traceback" not in err
    assert list(own_runs_dir.iterdir()) == []


def test_nothing_but_the_object_is_on_standard_output(
    capfd: pytest.CaptureFixture[str], words: list[str], monkeypatch: pytest.MonkeyPatch
):
    import engine.experiments

    carry_out = engine.experiments.run

    def chatty(*arguments: Any) -> str:
        print("a library prints")
        os.write(1, b"another one writes\n")
        return carry_out(*arguments)

    monkeypatch.setattr(engine.experiments, "run", chatty)
    assert main([*words, "--json"]) == 0
    out, err = capfd.readouterr()
    json.loads(out)
    assert "a library prints" in err
    assert "another one writes" in err


@pytest.mark.parametrize("ablation", ["counterfactual", "zero"])
def test_evaluate_a_run_and_its_file(
    capfd: pytest.CaptureFixture[str], found: dict[str, Any], ablation: str, own_runs_dir: Path
):
    of_run = run_json(capfd, ["evaluate", "--circuit", found["folder"], "--ablation", ablation])
    assert of_run.keys() >= METRICS | {"n_edges", "n_edges_total", "sparsity"}
    assert (of_run["kl"] == found["kl"]) == (ablation == "counterfactual")
    file = f"{found['folder']}/circuit.json"
    of_file = run_json(capfd, ["evaluate", "--circuit", file, "--ablation", ablation])
    assert of_file | {"circuit": ""} == of_run | {"circuit": ""}
    whole = ["evaluate", "--circuit", found["folder"], "--edges", str(found["n_edges_total"])]
    assert run_json(capfd, [*whole, "--ablation", ablation])["kl"]["mean"] == pytest.approx(0, abs=1e-4)
    assert list(own_runs_dir.iterdir()) == [], "an evaluation is no run"


def test_evaluate_a_foreign_circuit(capfd: pytest.CaptureFixture[str], found: dict[str, Any], tmp_path: Path):
    circuit = json.loads((Path(found["folder"]) / "circuit.json").read_text())
    foreign = {"model": {"n_layers": 3, "n_heads": 4}, "edges": circuit["edges"]}
    file = tmp_path / "foreign.json"
    file.write_text(json.dumps(foreign))
    arguments = ["evaluate", "--circuit", str(file), "--ablation", "counterfactual"]
    refused(capfd, arguments, "does not say its model", "--model")
    arguments += ["--model", found["model"]]
    refused(capfd, arguments, "does not say its task", "--task")
    assert run_json(capfd, [*arguments, "--task", found["task"]])["kl"] == found["kl"]
    for n_layers, parts in ((2, ["2 layers"]), (0, ["n_layers"])):
        foreign["model"]["n_layers"] = n_layers
        foreign["edges"] = {"input->logits": {"score": 1, "in_graph": True}}
        file.write_text(json.dumps(foreign))
        refused(capfd, [*arguments, "--task", found["task"]], *parts)
    file.write_text("{")
    refused(capfd, arguments, "no JSON")
    file.write_text(json.dumps({"schema": 7, "edges": {}}))
    refused(capfd, arguments, "schema 7")


@pytest.mark.parametrize("form", ["graphml", "csv"])
def test_evaluate_an_exported_file(
    capfd: pytest.CaptureFixture[str], found: dict[str, Any], tmp_path: Path, form: str
):
    file = tmp_path / f"circuit.{form}"
    main(["export", found["folder"], "--format", form, "--out", str(file)])
    asked = ["--model", found["model"], "--task", found["task"], "--ablation", "counterfactual"]
    assert run_json(capfd, ["evaluate", "--circuit", str(file), *asked])["kl"] == found["kl"]
    few = tmp_path / "few.csv"
    few.write_text("edge\ninput->logits\nm0->logits\ninput->m0\n")
    refused(capfd, ["evaluate", "--circuit", str(few), *asked[2:]], "few.csv", "does not say its model")
    assert run_json(capfd, ["evaluate", "--circuit", str(few), *asked])["n_edges"] == 3


def test_export_every_format(capfd: pytest.CaptureFixture[str], found: dict[str, Any], tmp_path: Path):
    run = RunStore().get(Path(found["folder"]))
    assert run.circuit is not None
    graph = run.circuit_at().graph

    def export(name: str, *more: str) -> str:
        assert main(["export", found["folder"], "--format", name, *more]) == 0
        return capfd.readouterr().out

    assert json.loads(export("json")) == run.circuit
    rows = list(csv.DictReader(io.StringIO(export("csv"))))
    assert list(rows[0]) == ["edge", "score", "in_graph"]
    assert [row["edge"] for row in rows] == graph.edge_names
    np.testing.assert_allclose([float(row["score"]) for row in rows], run.tensors["scores"], rtol=1e-6)
    assert sum(row["in_graph"] == "True" for row in rows) == found["n_edges"]
    assert len(json.loads(export("json", "--edges", str(graph.n_edges)))["edges"]) == graph.n_edges

    assert export("graphml", "--out", str(tmp_path / "c.graphml")) == ""
    read = nx.read_graphml(tmp_path / "c.graphml", force_multigraph=True)
    assert read.number_of_edges() == found["n_edges"]
    assert {name for _, _, name in read.edges(data="name")} == set(run.circuit["edges"])

    page = export("html")
    assert "<html" in page
    assert "Plotly.newPlot" in page
    assert 'src="http' not in page, "opens offline"
    assert [path.name for path in tmp_path.iterdir()] == ["c.graphml"]


def test_a_wrong_export_is_refused(capfd: pytest.CaptureFixture[str], found: dict[str, Any], tmp_path: Path):
    folder = found["folder"]
    refused(capfd, ["export", folder, "--format", "grafml"], "unknown format", "did you mean 'graphml'")
    refused(capfd, ["export", folder, "--format", "csv", "--edges", "99999"], "99999 edges", "the graph has")
    refused(capfd, ["export", str(tmp_path / "none"), "--format", "csv"], "no run folder")
    refused(capfd, ["export", "no-such-run", "--format", "csv"], "unknown run 'no-such-run'")
    refused(capfd, ["export", "No Run", "--format", "csv"], "no run id")
    nowhere = str(tmp_path / "missing" / "c.csv")
    refused(capfd, ["export", folder, "--format", "csv", "--out", nowhere], "cannot write")
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    tensors = broken / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    refused(capfd, ["export", str(broken), "--format", "csv"], str(broken), "cut short")
    (broken / "request.json").write_text('{"schema": 99}')
    refused(capfd, ["export", str(broken), "--format", "csv"], str(broken), "schema 99")


@pytest.mark.parametrize(
    ("what", "name"),
    [("tasks", "ioi"), ("ablations", "zero"), ("methods", "edge-pruning")],
)
def test_list(capfd: pytest.CaptureFixture[str], what: str, name: str):
    rows = {row["name"]: row for row in run_json(capfd, ["list", what])[what]}
    assert rows[name]["description"]
    if what == "methods":
        assert rows[name]["settings"]["steps"]["minimum"] == 1
    assert main(["list", what]) == 0
    assert name in capfd.readouterr().out


def test_list_models(capfd: pytest.CaptureFixture[str], model: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("engine.models.catalogue.SHIPPED", Path(model).parent)
    (row,) = run_json(capfd, ["list", "models"])["models"]
    assert (row["name"], row["n_layers"], row["folder"]) == ("tiny", 3, model)


def test_list_runs_tells_of_broken_ones(
    capfd: pytest.CaptureFixture[str], found: dict[str, Any], own_runs_dir: Path
):
    shutil.copytree(found["folder"], own_runs_dir / found["run_id"])
    (own_runs_dir / "cut-short").mkdir()
    listed = run_json(capfd, ["list", "runs"])
    row = next(row for row in listed["runs"] if row["name"] == found["run_id"])
    assert (row["n_edges"], row["shipped"]) == (found["n_edges"], False)
    assert [Path(broken["folder"]).name for broken in listed["broken"]] == ["cut-short"]
    kinds = {row["kind"]: row for row in listed["runs"]}
    assert "n_edges" in kinds["evaluate"]
    assert kinds["importance"]["description"].startswith("every node")
    assert main(["list", "runs"]) == 0
    out, err = capfd.readouterr()
    assert found["run_id"] in out
    assert "request.json is missing" in err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["list", "method"], ["unknown listing 'method'", "did you mean 'methods'"]),
        (["list"], ["Missing argument"]),
        (["discovr"], ["No such command", "discover"]),
        (["discover", "--task", "ioi"], ["Missing option", "--model"]),
        (["serve", "--port", "0"], ["--port"]),
        (["serve", "--host", "no.such.host.invalid"], ["no host 'no.such.host.invalid'"]),
        (["bench", "--only", "masked-foward"], ["unknown bench", "did you mean 'masked-forward'"]),
    ],
)
def test_wrong_words_are_refused(capfd: pytest.CaptureFixture[str], arguments: list[str], parts: list[str]):
    refused(capfd, arguments, *parts)


def test_help(capfd: pytest.CaptureFixture[str]):
    assert main([]) == 0
    overview = capfd.readouterr().out
    for command in ("serve", "list", "discover", "evaluate", "export", "bench"):
        assert command in overview
        assert main([command, "--help"]) == 0
        assert "Usage" in capfd.readouterr().out


@pytest.mark.slow
def test_serve_takes_the_next_free_port_and_ends_on_ctrl_c():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "engine.cli", "serve", "--port", str(port)]
        server = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert server.stdout is not None
            assert f"Port {port} is busy" in server.stdout.readline()
            line = server.stdout.readline()
            address = line.split()[2]
            assert address.startswith("http://127.0.0.1:")
            assert not address.endswith(f":{port}")
            assert _answers(f"{address}/_stcore/health", server) == "ok"
            os.killpg(server.pid, signal.SIGINT)
            _, err = server.communicate(timeout=30)
            assert server.returncode == 0
            assert "Traceback" not in err
            assert "Aborted" not in err
            with pytest.raises(OSError, match="refused"):
                urllib.request.urlopen(address, timeout=5)
        finally:
            server.kill()
            server.communicate()


def _answers(address: str, server: subprocess.Popen[str]) -> str:
    """Return what the server answers, as soon as it does."""
    for _ in range(120):
        try:
            with urllib.request.urlopen(address, timeout=1) as answer:
                return answer.read().decode()
        except OSError:
            with pytest.raises(subprocess.TimeoutExpired):
                server.wait(timeout=0.5)
    raise AssertionError("no answer within a minute")


def test_a_file_of_signed_scores_gives_the_edges_that_an_import_gives(
    capfd: pytest.CaptureFixture[str], model: str, task: str, tmp_path: Path
):
    """Ranked by size; without kept edges, a number of edges is asked for."""
    graph = Graph(n_layers=3, n_heads=4)
    scores = np.random.default_rng(0).normal(size=graph.n_edges)
    kept = np.abs(scores) >= np.sort(np.abs(scores))[-50]
    about = ["--model", model, "--task", task, "--ablation", "zero"]
    measured = []
    for name, marked in (("signed", kept), ("scores", np.zeros_like(kept))):
        path = tmp_path / f"{name}.json"
        edges = {
            edge: {"score": float(score), "in_graph": bool(one)}
            for edge, score, one in zip(graph.edge_names, scores, marked, strict=True)
        }
        sizes = {"n_layers": 3, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 24}
        path.write_text(json.dumps({"cfg": sizes, "nodes": {}, "edges": edges}))
        assert main(["evaluate", "--circuit", str(path), *about, "--edges", "50", "--json"]) == 0
        out, err = capfd.readouterr()
        assert "note: the scores are signed: edges are ranked by the size of their scores" in err
        measured.append(json.loads(out))
    assert measured[0] | {"circuit": 0} == measured[1] | {"circuit": 0}
    expected = run_json(capfd, ["evaluate", "--circuit", str(tmp_path / "signed.json"), *about])
    assert expected["kl"]["mean"] == pytest.approx(measured[0]["kl"]["mean"], abs=1e-5)
    refused(
        capfd,
        ["evaluate", "--circuit", str(path), *about],
        str(path),
        "no edge is marked as kept",
        "--edges N",
    )


def test_fewer_edges_than_asked_for_are_explained(capfd: pytest.CaptureFixture[str], model: str, task: str):
    about = ["--model", model, "--task", task, "--method", "random", "--ablation", "zero", "--edges", "40"]
    assert main(["discover", *about]) == 0
    assert "of 40 asked for the others are on no path from the input to the logits" in capfd.readouterr().out
