"""From a request to a run: the whole way on a tiny model and a small task file."""

import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from engine import experiments
from engine.circuits.circuit import circuit_from_json, top_edges
from engine.errors import Cancelled, OutOfMemoryError, RequestError
from engine.instruments.discover.request import Discover
from engine.instruments.evaluate.find import evaluate_circuit
from engine.instruments.evaluate.request import Evaluate
from engine.models import Model, shape_of_folder
from engine.runs.request import Request
from engine.runs.store import RunStore

EDGES = 60
RequestT = TypeVar("RequestT", bound=Request)


@pytest.fixture(scope="module")
def task_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pairs of two lengths."""
    rows = [
        {
            "clean": f"w{i} w{i % 7 + 40} w3" + " w5" * (i % 2),
            "corrupt": f"w{i} w{i % 5 + 50} w3" + " w5" * (i % 2),
            "answers": [f" w{i % 3 + 6}"],
            "wrong_answers": [f" w{i % 3 + 10}"],
        }
        for i in range(40)
    ]
    path = tmp_path_factory.mktemp("tasks") / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture
def asked(tiny_folder: Path, task_file: Path) -> Discover:
    return Discover(
        model=str(tiny_folder),
        task=str(task_file),
        ablation="counterfactual",
        method="edge-pruning",
        settings={"steps": 40, "batch_size": 8},
        edges=EDGES,
    )


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs", tmp_path / "shipped")


def nothing(done: int, total: int, message: str) -> None:
    pass


def change(request: RequestT, **fields: Any) -> RequestT:
    return request.model_copy(update=fields)


def test_a_run_has_everything(asked: Discover, store: RunStore, tiny_model: Model) -> None:
    run = store.get(experiments.run(asked, nothing, store))
    graph, result = tiny_model.shape.graph(), run.result
    assert run.request.weights_hash == tiny_model.weights_hash
    assert run.tensors["scores"].shape == (graph.n_edges,)
    assert result.curve[-1].n_edges == graph.n_edges
    assert result.curve[-1].kl.mean == pytest.approx(0, abs=1e-5)
    assert result.curve[-1].faithfulness.mean == pytest.approx(1, abs=1e-3)
    assert [point.edges_requested for point in result.curve] == sorted(
        point.edges_requested for point in result.curve
    )
    circuit = circuit_from_json(run.circuit)
    expected = top_edges(graph, run.tensors["scores"], EDGES)
    assert (circuit.kept == expected.kept).all()
    assert result.summary.n_edges == expected.n_edges
    assert set(result.circuit_top) == {str(point.edges_requested) for point in result.curve}
    prompt = result.prompts[0]
    pattern = run.tensors["attention.0"]
    assert pattern.shape == (3, 4, len(prompt.tokens), len(prompt.tokens))
    np.testing.assert_allclose(pattern.sum(-1), 1, atol=2e-3)
    assert len(prompt.model_top) == len(result.circuit_top[str(EDGES)][0]) == 5
    assert result.versions["torch"] == torch.__version__


def test_the_same_request_is_the_same_run_bit_for_bit(
    asked: Discover, store: RunStore, tmp_path: Path
) -> None:
    first = experiments.run(asked, nothing, store)
    other = RunStore(tmp_path / "elsewhere", tmp_path / "shipped")
    assert experiments.run(asked, nothing, other) == first
    assert (store.get(first).tensors["scores"] == other.get(first).tensors["scores"]).all()
    assert store.get(first).result.curve == other.get(first).result.curve

    def never(done: int, total: int, message: str) -> None:
        raise AssertionError("a finished run is not computed again")

    assert experiments.run(asked, never, store) == first


def test_what_decides_the_run_decides_its_name(asked: Discover, store: RunStore, task_file: Path) -> None:
    name = experiments.completed(asked, store).run_id()
    assert name.startswith("edge-pruning-tiny-pairs-counterfactual-")
    written_out = change(asked, settings={"steps": "40", "batch_size": 8, "node_masks": True})
    assert experiments.completed(written_out, store).run_id() == name
    sparsity = 1 - EDGES / shape_of_folder(Path(asked.model)).graph().n_edges
    assert experiments.completed(change(asked, edges=None, sparsity=sparsity), store).run_id() == name
    for other in ({"seed": 1}, {"ablation": "zero"}, {"settings": {"steps": 41}}, {"bos": True}):
        assert experiments.completed(change(asked, **other), store).run_id() != name
    task_file.write_text(task_file.read_text() + "\n")
    assert experiments.completed(asked, store).run_id() != name


def test_a_cancelled_run_leaves_nothing_and_resumes_to_the_same(
    asked: Discover, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.discovery.mask_training.CHECKPOINT_EVERY", 7)
    expected = store.get(experiments.run(asked, nothing, store)).tensors["scores"]
    fresh, checkpoint = RunStore(tmp_path / "fresh", tmp_path / "shipped"), tmp_path / "checkpoint"

    def stop(done: int, total: int, message: str) -> None:
        if done > 60:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        experiments.run(asked, stop, fresh, checkpoint)
    assert fresh.list() == []
    assert list(checkpoint.iterdir())
    resumed = fresh.get(experiments.run(asked, nothing, fresh, checkpoint))
    assert (resumed.tensors["scores"] == expected).all()


@pytest.mark.parametrize("ablation", ["zero", "mean", "resample", "counterfactual-mean"])
def test_a_circuit_under_another_ablation(asked: Discover, store: RunStore, ablation: str) -> None:
    origin = experiments.run(asked, nothing, store)
    request = Evaluate(model=asked.model, task=asked.task, ablation=ablation, circuit=origin)
    run = store.get(experiments.run(request, nothing, store))
    assert run.request.edges == EDGES
    assert run.result.summary.n_edges == store.get(origin).result.summary.n_edges
    assert run.result.curve[-1].kl.mean == pytest.approx(0, abs=1e-5)
    assert run.result.summary.kl.mean != store.get(origin).result.summary.kl.mean


@pytest.mark.parametrize("ablation", ["counterfactual", "resample", "mean"])
def test_evaluating_a_circuit_equals_the_run(asked: Discover, store: RunStore, ablation: str) -> None:
    run = store.get(experiments.run(change(asked, ablation=ablation), nothing, store))
    assert run.circuit is not None
    found = evaluate_circuit(circuit_from_json(run.circuit), run.request, nothing)
    for name, value in run.result.summary.model_dump().items():
        assert found[name] == value


def test_a_fault_in_the_prompts_evaluated_on_is_found_at_once(
    asked: Discover, store: RunStore, tmp_path: Path
) -> None:
    rows = Path(asked.task).read_text().splitlines()
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(row.replace('" w7"', '"no token"') for row in rows))

    def no_training(done: int, total: int, message: str) -> None:
        assert done < 2

    with pytest.raises(RequestError, match="'no token' is not one token"):
        experiments.run(change(asked, task=str(path)), no_training, store)


def test_a_folder_that_cannot_be_written_is_said_first(asked: Discover, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = RunStore(tmp_path / "file" / "runs", tmp_path / "shipped")
    with pytest.raises(RequestError, match="runs cannot be written to"):
        experiments.run(asked, nothing, store)


def test_an_evaluation_has_no_scores_to_start_from(asked: Discover, store: RunStore) -> None:
    origin = experiments.run(asked, nothing, store)
    request = Evaluate(model=asked.model, task=asked.task, ablation="zero", circuit=origin)
    evaluation = experiments.run(request, nothing, store)
    for wrong in (change(request, circuit=evaluation), change(asked, settings={"warm_start": evaluation})):
        with pytest.raises(
            RequestError, match=f"has no scores of its own; take the run it evaluates: '{origin}'"
        ):
            experiments.completed(wrong, store)


def test_a_changed_task_file_is_not_evaluated_as_the_old_one(
    asked: Discover, store: RunStore, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(Path(asked.task).read_text())
    origin = experiments.run(change(asked, task=str(path)), nothing, store)
    path.write_text(path.read_text() + "\n")
    request = Evaluate(model=asked.model, task=str(path), ablation="zero", circuit=origin)
    with pytest.raises(RequestError, match=r"pairs.jsonl' has changed since run"):
        experiments.completed(request, store)


def test_a_warm_start_from_another_run(asked: Discover, store: RunStore) -> None:
    first = experiments.run(asked, nothing, store)
    warm = change(asked, settings={"steps": 40, "batch_size": 8, "warm_start": first})
    second = store.get(experiments.run(warm, nothing, store))
    assert (second.tensors["scores"] != store.get(first).tensors["scores"]).any()
    with pytest.raises(RequestError, match="no warm start from it"):
        experiments.run(change(warm, qkv="merged"), nothing, store)
    with pytest.raises(RequestError, match="unknown run 'nothing-here'"):
        experiments.run(change(asked, settings={"warm_start": "nothing-here"}), nothing, store)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": "explorer-4"}, "unknown model 'explorer-4'"),
    ({"task": "ioy"}, "unknown task 'ioy': did you mean 'ioi'"),
    ({"method": "edge-prunning"}, "unknown method 'edge-prunning': did you mean 'edge-pruning'"),
    ({"ablation": "zeros"}, "unknown ablation 'zeros': did you mean 'zero'"),
    ({"edges": 10**6}, "1000000 edges were asked for, but the graph of .* has"),
    ({"settings": {"steps": -1}}, "setting steps=-1"),
    ({"ablation_settings": {"x": 1}}, "unknown setting 'x'"),
    ({"task": "no.jsonl"}, "'no.jsonl' does not exist"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_a_wrong_request_is_refused_before_anything_is_loaded(
    asked: Discover, store: RunStore, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        experiments.completed(change(asked, **fields), store)


def test_too_little_memory_is_said_before_and_during(
    asked: Discover, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("engine.workbench.memory._free", lambda device: 1000)
        with pytest.raises(OutOfMemoryError, match=r"about .* GB are needed on cpu.*lower --n-prompts"):
            experiments.run(asked, nothing, store)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("engine.forward.masked.MaskedForward.__call__", fail)
    with pytest.raises(OutOfMemoryError, match="out of memory while working on"):
        experiments.run(asked, nothing, store)
    assert store.list() == []


@pytest.mark.slow
def test_the_real_story_model_yields_a_gendered_pronoun_circuit(
    shared_data: Path, store: RunStore, tmp_path: Path
) -> None:
    """A pretrained Llama-family model from its folder, and a task file of the user's own."""
    girls = ["Lily", "Sue", "Mia", "Anna", "Amy", "Lucy", "Sara", "Emma", "Jane", "Mary", "Kate", "Ella"]
    boys = ["Tim", "Tom", "Ben", "Max", "Sam", "Jack", "Bob", "John", "Leo", "Dan", "Mike", "Joe"]
    templates = (
        "Once upon a time, there was a little {} named {}.",
        "One day, a {} named {} was sad.",
        "There was a {} named {} who liked to play.",
        "A {} named {} went to the park.",
    )
    kinds = {"girl": " She", "boy": " He"}
    rows = [
        {
            "clean": template.format(kind, name),
            "corrupt": template.format(other, name),
            "answers": [kinds[kind]],
            "wrong_answers": [kinds[other]],
        }
        for kind, other in (("girl", "boy"), ("boy", "girl"))
        for name in girls + boys
        for template in templates
    ]
    path = tmp_path / "pronouns.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    request = Discover(
        model=str(shared_data / "models" / "stories260K"),
        task=str(path),
        ablation="counterfactual",
        method="edge-pruning",
        settings={"steps": 600},
        edges=246,
    )
    result = store.get(experiments.run(request, nothing, store)).result
    assert result.model.logit_difference.mean > 2, "the model knows the pronouns"
    assert result.summary.n_edges <= 246
    assert result.summary.faithfulness.mean > 0.8
    assert result.summary.kl.mean < 0.3 * result.ablated.kl.mean
