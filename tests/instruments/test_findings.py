"""What measurements, importance and imports find, against naive ways to the same numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import experiments
from engine.ablations.constants import FIRST_ABLATED
from engine.circuits.circuit import Circuit, prune_dangling, top_edges
from engine.circuits.graph import Graph
from engine.errors import RequestError
from engine.instruments.importance.nodes import direct_effects, direction
from engine.models import load_model
from engine.runs.combine import chosen_edges
from engine.runs.imports import keep_circuit
from engine.runs.request import Chosen, OwnPair, Part, Request
from engine.runs.store import RunStore
from engine.workbench.ready import prepare
from tests.app.fake_run import write_fake_run
from tests.reference import naive_logits, open_hooks, source_values
from tests.tiny import FAMILIES, save_tiny, save_ungrouped


def nothing(done: int, total: int, message: str) -> None:
    pass


def write_task(path: Path, n: int = 40) -> Path:
    """Pairs of two lengths; every third answer is one of two."""
    rows = [
        {
            "clean": f"w{i} w{i % 7 + 40} w3" + " w5" * (i % 2),
            "corrupt": f"w{i} w{i % 5 + 50} w3" + " w5" * (i % 2),
            "answers": [f" w{i % 3 + 6}"] + [" w9"] * (i % 3 == 0),
            "wrong_answers": [f" w{i % 3 + 10}"],
        }
        for i in range(n)
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_task(tmp_path_factory.mktemp("tasks") / "pairs.jsonl"))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs", tmp_path / "shipped")


def ask(model: Path, task: str, kind: str, **fields: Any) -> Request:
    common = {"kind": kind, "model": str(model), "task": task, "ablation": "counterfactual"}
    return Request.model_validate(common | fields)


def discovered(store: RunStore, model: Path, task: str, **settings: Any) -> str:
    chosen = {"steps": 20, "batch_size": 8} | settings
    request = ask(model, task, "discover", method="edge-pruning", settings=chosen, edges=60)
    return experiments.run(request, nothing, store)


@pytest.fixture
def two_runs(store: RunStore) -> tuple[Graph, str, str]:
    graph = Graph(4, 8)
    return graph, write_fake_run(store, graph), write_fake_run(store, graph, seed=1)


@pytest.mark.parametrize(
    ("join", "naive"),
    [("intersection", np.logical_and), ("union", np.logical_or), ("difference", lambda a, b: a & ~b)],
)
def test_circuits_are_joined_and_pruned(store, two_runs, join, naive):
    graph, first, second = two_runs
    a, b = (store.get(run).circuit_at(150).kept for run in (first, second))
    chosen = Chosen(name="x", join=join, parts=[Part(run=first, edges=150), Part(run=second, edges=150)])
    found = chosen_edges(chosen, graph, store)
    assert (found == prune_dangling(graph, naive(a, b))).all()
    assert 0 < found.sum() != a.sum()


def test_an_edge_or_a_node_is_taken_out_and_nothing_else(store, two_runs):
    graph, first, _ = two_runs
    whole = chosen_edges(Chosen(name="x"), graph, store)
    assert whole.all()
    part = Part(run=first, edges=150)
    circuit = chosen_edges(Chosen(name="x", parts=[part]), graph, store)
    edge = graph.edge_names[np.flatnonzero(circuit)[3]]
    less = chosen_edges(Chosen(name="x", parts=[part], without=[edge]), graph, store)
    assert circuit.sum() - less.sum() == 1
    assert not less[graph.edge_index[edge]]
    silent = chosen_edges(Chosen(name="x", without=["a1.h2"]), graph, store)
    gone = [graph.edge_names[i] for i in np.flatnonzero(~silent)]
    assert gone == [name for name in graph.edge_names if name.startswith("a1.h2->")]


def test_what_cannot_be_joined_is_said(store, two_runs):
    graph, first, _ = two_runs
    other = Chosen(name="x", parts=[Part(run=first, edges=10)])
    with pytest.raises(RequestError, match="another graph"):
        chosen_edges(other, Graph(2, 8), store)
    with pytest.raises(RequestError, match="no edge 'm9->m1'"):
        chosen_edges(Chosen(name="x", without=["m9->m1"]), graph, store)
    with pytest.raises(RequestError, match="unknown run"):
        chosen_edges(Chosen(name="x", parts=[Part(run="nothing", edges=10)]), graph, store)


def test_a_measurement_equals_evaluating_each_circuit(tiny_folder, task, store):
    first, second = (discovered(store, tiny_folder, task, mask_rate=rate) for rate in (0.1, 0.3))
    parts = [Part(run=first, edges=60), Part(run=second, edges=60)]
    circuits = [
        Chosen(name="both", join="intersection", parts=parts),
        Chosen(name="less", parts=parts[:1], without=["a0.h1"]),
        Chosen(name="model"),
    ]
    request = ask(tiny_folder, task, "measure", circuits=[one.model_dump() for one in circuits])
    run = store.get(experiments.run(request, nothing, store))
    assert [point["name"] for point in run.result["curve"]] == ["both", "less", "model"]
    graph = store.get(first).circuit_at(60).graph
    for chosen, point in zip(circuits, run.result["curve"], strict=True):
        circuit = Circuit(graph, chosen_edges(chosen, graph, store), np.full(graph.n_edges, np.nan))
        naive = experiments.evaluate_circuit(circuit, run.request, nothing)
        assert naive["kl"] == point["kl"]
        assert naive["n_edges"] == point["n_edges"]
        assert chosen.name in run.result["circuit_top"]
    assert run.result["curve"][2]["kl"]["mean"] == pytest.approx(0, abs=1e-5)
    assert run.circuit is None


def test_own_pairs_are_measured_with_the_ablation_of_the_task(tiny_folder, task, store):
    origin = discovered(store, tiny_folder, task)
    pair = OwnPair(clean="w1 w2 w3 w4 w5", corrupt="w1 w9 w3 w8 w5", answers=[" w6"], wrong_answers=[" w7"])
    request = ask(
        tiny_folder,
        task,
        "measure",
        ablation="mean",
        circuits=[{"name": "circuit", "parts": [{"run": origin, "edges": 60}]}, {"name": "model"}],
        pairs=[pair.model_dump()],
    )
    run = store.get(experiments.run(request, nothing, store))
    shown = run.result["prompts"]
    assert [prompt["clean"] for prompt in shown] == [pair.clean]
    assert run.tensors["attention.0"].shape[-1] == len(shown[0]["tokens"])
    assert run.result["summary"]["kl"]["n"] == 1
    assert run.result["circuit_top"]["model"][0][0][0] == shown[0]["model_top"][0][0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"corrupt": "w1 w2"}, "equally long"),
        ({"answers": ["w1 w2"]}, "not one token"),
        ({"clean": "w1 " * 40, "corrupt": "w1 " * 40}, "context"),
    ],
)
def test_a_wrong_pair_is_said(tiny_folder, task, store, change, said):
    pair = {"clean": "w1 w2 w3", "corrupt": "w1 w9 w3", "answers": [" w6"], "wrong_answers": [" w7"]}
    request = ask(tiny_folder, task, "measure", circuits=[{"name": "model"}], pairs=[pair | change])
    with pytest.raises(RequestError, match=f"pair 1.*{said}"):
        experiments.run(request, nothing, store)


@pytest.mark.parametrize("ablation", ["counterfactual", "zero"])
@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "mistral"])
def test_importance_equals_ablating_each_node_naively(tmp_path, task, store, family, ablation):
    folder = save_tiny(FAMILIES[family], tmp_path / "model")
    request = ask(folder, task, "importance", ablation=ablation)
    run = store.get(experiments.run(request, nothing, store))
    plain = save_ungrouped(folder, tmp_path / "plain") if family == "mistral" else folder
    model, item = load_model(str(plain), device="cpu"), run.result["prompts"][0]
    graph, bridge = model.shape.graph(), open_hooks(model.bridge)
    clean, corrupt = (torch.tensor([model.prompt_ids(item[name])]) for name in ("clean", "corrupt"))
    values = source_values(bridge, graph, corrupt)
    if ablation == "zero":  # constants stand from the first position that may differ on
        values = source_values(bridge, graph, clean)
        for value in values.values():
            value[:, FIRST_ABLATED:] = 0
    full = bridge(clean)[0, -1].log_softmax(-1).detach()
    assert list(run.result["nodes"]) == graph.sources
    for i, node in enumerate(graph.sources):
        mask = torch.tensor([not name.startswith(f"{node}->") for name in graph.edge_names]).float()
        naive = naive_logits(bridge, graph, clean, values, mask)[0].log_softmax(-1)
        expected = float((full.exp() * (full - naive.detach())).sum())
        assert run.tensors["kl"][i, 0] == pytest.approx(expected, abs=1e-4), node


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "qwen3"])
def test_direct_effects_and_biases_add_up_to_the_logits(tmp_path, family):
    folder = save_tiny(FAMILIES[family], tmp_path / "model")
    request = ask(folder, str(write_task(tmp_path / "pairs.jsonl")), "importance", weights_hash="0")
    bench = prepare(request)
    evaluator, transformer = bench.evaluator(request), bench.model.transformer
    for i, batch in enumerate(evaluator.batches):
        parts = direct_effects(evaluator, i).sum(0)
        stream = transformer.run(batch.clean.tokens).residual[-1][:, -1]
        scale = transformer.rms_reciprocal(stream)
        biases = torch.stack([block.out_bias for block in transformer.blocks]).sum(0)
        for row, asked in enumerate(zip(batch.answers, batch.wrong_answers, strict=True)):
            for column, tokens in enumerate(asked):
                rest = biases @ direction(transformer, tokens) * scale[row]
                if transformer.final_shift is not None:
                    rest = rest + transformer.final_shift @ transformer.unembedding[tokens].mean(0)
                logit = evaluator.model_logits[i][row, tokens].mean()
                assert parts[row, column] + float(rest) == pytest.approx(float(logit), abs=1e-3)


def imported(store: RunStore, folder: Path, task: str, circuit: Circuit) -> Any:
    digest = keep_circuit(store, circuit, 24)
    return store.get(experiments.run(ask(folder, task, "import", circuit=digest), nothing, store))


def tiny_circuit(scores: np.ndarray, k: int = 50) -> Circuit:
    graph = Graph(3, 4)
    return Circuit(graph, top_edges(graph, scores, k).kept, scores, {"method": "eap"})


def test_an_imported_circuit_is_measured_as_it_is(tiny_folder, task, store):
    graph = Graph(3, 4)
    scores = np.random.default_rng(0).normal(size=graph.n_edges).astype(np.float32)
    circuit = tiny_circuit(scores)
    run = imported(store, tiny_folder, task, circuit)
    naive = experiments.evaluate_circuit(circuit, run.request, nothing)
    assert run.result["summary"]["kl"] == naive["kl"]
    assert run.result["summary"]["n_edges"] == circuit.n_edges
    kept = np.flatnonzero(circuit.kept)
    assert run.tensors["scores"][kept] == pytest.approx(scores[kept])
    assert run.circuit["method"] == "eap"
    assert (run.circuit_at().kept == circuit.kept).all()


def test_signed_scores_rank_by_size_and_missing_ones_make_one_circuit(tiny_folder, task, store):
    graph = Graph(3, 4)
    scores = np.random.default_rng(1).normal(size=graph.n_edges)
    kept = tiny_circuit(np.abs(scores)).kept
    signed = imported(store, tiny_folder, task, Circuit(graph, kept, scores))
    assert "size of their scores" in signed.result["notes"][0]
    assert (signed.circuit_at().kept == kept).all()
    bare = imported(store, tiny_folder, task, Circuit(graph, kept, np.full(graph.n_edges, np.nan)))
    assert "one size" in bare.result["notes"][0]
    assert (bare.circuit_at().kept == kept).all()
    assert bare.result["summary"]["kl"] == signed.result["summary"]["kl"]


def test_an_import_of_another_graph_is_refused(tiny_folder, task, store):
    graph = Graph(2, 4)
    circuit = top_edges(graph, np.arange(graph.n_edges, dtype=float), 30)
    with pytest.raises(RequestError, match="does not fit"):
        imported(store, tiny_folder, task, circuit)
    with pytest.raises(RequestError, match="not there any more"):
        experiments.completed(ask(tiny_folder, task, "import", circuit="0" * 64), store)


def test_an_import_without_a_path_is_refused(tiny_folder, task, store):
    graph = Graph(3, 4)
    kept = np.arange(graph.n_edges) == 0
    with pytest.raises(RequestError, match="no path"):
        imported(store, tiny_folder, task, Circuit(graph, kept, np.where(kept, 1.0, np.nan)))


def test_a_model_or_task_that_has_changed_is_refused(tiny_folder, tmp_path, store):
    path = write_task(tmp_path / "pairs.jsonl")
    request = ask(tiny_folder, str(path), "importance")
    done = experiments.completed(request, store)
    assert experiments.completed(done, store) == done
    path.write_text(path.read_text() + "\n")
    with pytest.raises(RequestError, match=r"task .* has changed: discover again"):
        experiments.completed(done, store)
    other = done.model_copy(update={"weights_hash": "0" * 64, "task_hash": None})
    with pytest.raises(RequestError, match=r"model .* has changed: discover again"):
        experiments.completed(other, store)
