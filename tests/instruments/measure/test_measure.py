"""What measurements find, against evaluating each circuit."""

import numpy as np
import pytest

from engine import experiments
from engine.circuits.circuit import Circuit
from engine.errors import RequestError
from engine.instruments.evaluate.find import evaluate_circuit
from engine.runs.combine import Chosen, Part, chosen_edges
from engine.runs.record import Estimate
from engine.tasks.own_pair import OwnPair
from tests.instruments.asking import ask, discovered, nothing


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
    assert [point.name for point in run.result.curve] == ["both", "less", "model"]
    graph = store.get(first).circuit_at(60).graph
    for chosen, point in zip(circuits, run.result.curve, strict=True):
        circuit = Circuit(graph, chosen_edges(chosen, graph, store), np.full(graph.n_edges, np.nan))
        naive = evaluate_circuit(circuit, run.request, nothing)
        assert Estimate.model_validate(naive["kl"]) == point.kl
        assert naive["n_edges"] == point.n_edges
        assert chosen.name in run.result.circuit_top
    assert run.result.curve[2].kl.mean == pytest.approx(0, abs=1e-5)
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
    shown = run.result.prompts
    assert [prompt.clean for prompt in shown] == [pair.clean]
    assert run.tensors["attention.0"].shape[-1] == len(shown[0].tokens)
    assert run.result.summary.kl.n == 1
    assert run.result.circuit_top["model"][0][0][0] == shown[0].model_top[0][0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"corrupt": "w1 w2"}, "equally long"),
        ({"answers": ["w1 w2"]}, "not one token"),
        ({"clean": "w1 " * 40, "corrupt": "w2 " * 40}, "context"),
        ({"corrupt": "w1 w2 w3"}, "are the same"),
    ],
)
def test_a_wrong_pair_is_said(tiny_folder, task, store, change, said):
    pair = {"clean": "w1 w2 w3", "corrupt": "w1 w9 w3", "answers": [" w6"], "wrong_answers": [" w7"]}
    request = ask(tiny_folder, task, "measure", circuits=[{"name": "model"}], pairs=[pair | change])
    with pytest.raises(RequestError, match=f"pair 1.*{said}"):
        experiments.run(request, nothing, store)
