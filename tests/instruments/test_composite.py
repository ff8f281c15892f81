"""Sweeps and stability, on a tiny model: their parts, what is gathered of them, what cannot be asked."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import experiments
from engine.completion import completed
from engine.errors import Cancelled, RequestError
from engine.progress import silent
from engine.runs.request import Request, Stability, Sweep
from engine.runs.store import RunStore
from engine.stability import ORIGIN
from engine.sweep import areas, sizes
from engine.tasks.base import Pair, Split, Task, Words, tasks

ABLATIONS = ["counterfactual", "optimal"]
SETTINGS = {"edge-pruning": {"steps": 12, "batch_size": 8}}


def write_task(path: Path, n: int = 30) -> str:
    rows = [
        {
            "clean": f"w{i} w{i % 7 + 40} w3",
            "corrupt": f"w{i} w{i % 5 + 50} w3",
            "answers": [f" w{i % 3 + 6}"],
            "wrong_answers": [f" w{i % 3 + 10}"],
        }
        for i in range(n)
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs", tmp_path / "shipped")


def sweep(model: Path, task: str, **plan: Any) -> Request:
    chosen = {
        "methods": ["edge-pruning", "random"],
        "ablations": ["counterfactual"],
        "tasks": [task],
        "seeds": [0, 1],
        "settings": SETTINGS,
    } | plan
    if "settings" not in plan:
        chosen["settings"] = {name: SETTINGS[name] for name in chosen["methods"] if name in SETTINGS}
    given = {"kind": "sweep", "model": str(model), "task": task, "ablation": "zero", "n_prompts": 20}
    return Request.model_validate(given | {"sizes": [10, 60, 200], "sweep": chosen})


def test_a_sweep_has_a_row_for_every_combination_with_the_numbers_of_its_run(tiny_folder, tmp_path, store):
    asked = sweep(tiny_folder, write_task(tmp_path / "pairs.jsonl"))
    found = store.get(experiments.run(asked, silent, store))
    rows = found.result["rows"]
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("edge-pruning", 0),
        ("edge-pruning", 1),
        # A band of random circuits belongs to every sweep.
        ("random", 0),
        ("random", 1),
        ("random", 2),
    ]
    for row in rows:
        run = store.get(row["run"])
        assert run.request.settings.get("steps") == (12 if row["method"] == "edge-pruning" else None)
        assert [point["edges_requested"] for point in row["points"]] == sorted(
            {10, 60, 200, run.request.edges}
        )
        for point, whole in zip(row["points"], run.result["curve"], strict=True):
            assert point["kl"] == whole["kl"]
        assert row["seconds"] == run.result["cost"]["seconds"]
        on_grid = [x for x in run.result["curve"] if x["edges_requested"] in (10, 60, 200)]
        assert row["cpr"] == areas(on_grid)["cpr"]
    assert found.request.task == asked.task
    assert found.request.ablation == "counterfactual", "the first of the sweep's, whatever was given"


def test_a_sweep_is_not_computed_again_and_goes_on_where_it_was_stopped(tiny_folder, tmp_path, store):
    asked = sweep(tiny_folder, write_task(tmp_path / "pairs.jsonl"), methods=["random"])
    seen: list[str] = []

    def stop(done: int, total: int, message: str) -> None:
        seen.append(message)
        if message.startswith("2 of 3") and "evaluating 60" in message:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        experiments.run(asked, stop, store, tmp_path / "checkpoints" / "whole")
    assert len(store.list()) == 1
    first = store.list()[0].result["created"], store.list()[0].run_id
    run_id = experiments.run(asked, silent, store)
    assert len(store.list()) == 4
    assert store.get(first[1]).result["created"] == first[0]
    assert experiments.run(asked, stop, store) == run_id


def test_under_optimal_ablation_methods_that_train_no_constants_take_those_of_each_node_alone(
    tiny_folder, tmp_path, store
):
    task = write_task(tmp_path / "pairs.jsonl")
    asked = sweep(tiny_folder, task, ablations=ABLATIONS, seeds=[0], methods=["eap", "edge-pruning"])
    parts = experiments.parts_of(completed(asked, store), store)
    assert [(part.kind, part.method) for part in parts] == [
        ("importance", None),
        ("discover", "edge-pruning"),
        ("discover", "edge-pruning"),
        ("discover", "eap"),
        ("discover", "eap"),
    ]
    rows = store.get(experiments.run(asked, silent, store)).result["rows"]
    assert [row["error"] for row in rows] == [None] * 4
    by = {(row["method"], row["ablation"]): row for row in rows}
    assert by["eap", "optimal"]["conditioning"] == "per position"
    first = store.get(by["eap", "optimal"]["run"]).tensors["scores"]
    # Without the importance run they are trained anew, to the same constants.
    store.delete(parts[0].run_id())
    store.delete(by["eap", "optimal"]["run"])
    experiments.run(parts[-1], silent, store)
    again = store.get(by["eap", "optimal"]["run"]).tensors["scores"]
    np.testing.assert_allclose(first, again, rtol=1e-4, atol=1e-6)


def test_a_part_that_cannot_be_done_is_told_and_the_others_are_there(tiny_folder, tmp_path, store):
    path = tmp_path / "pairs.jsonl"
    write_task(path, n=20)  # a file so small is used whole
    # One prompt of a length of its own leaves nothing to resample.
    odd = {"clean": "w1 w2", "corrupt": "w1 w5", "answers": [" w6"], "wrong_answers": [" w7"]}
    path.write_text(json.dumps(odd) + "\n" + path.read_text())
    asked = sweep(tiny_folder, str(path), methods=["random"], ablations=["resample", "zero"], seeds=[0])
    rows = store.get(experiments.run(asked, silent, store)).result["rows"]
    assert [row["ablation"] for row in rows] == ["resample"] * 3 + ["zero"] * 3
    for row in rows:
        assert bool(row["points"]) == (row["ablation"] == "zero")
        assert ("resample ablation needs two different prompts" in (row["error"] or "")) == (
            not row["points"]
        )


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"methods": ["edge-prunning"]}, "unknown method 'edge-prunning': did you mean 'edge-pruning'"),
        ({"ablations": ["men"]}, "unknown ablation 'men'"),
        (
            {"methods": ["random"], "settings": SETTINGS},
            "settings of 'edge-pruning', which is not among the methods",
        ),
    ],
)
def test_a_wrong_sweep_is_refused_at_once(tiny_folder, tmp_path, store, plan, said):
    with pytest.raises(RequestError, match=said):
        completed(sweep(tiny_folder, write_task(tmp_path / "pairs.jsonl"), **plan), store)


def test_mib_areas_by_hand():
    points = [
        {"edges_requested": k, "n_edges_total": 1000, "faithfulness": {"mean": f}}
        for k, f in ((1, 0.0), (100, 0.5), (1000, 1.2))
    ]
    found = areas(points)
    assert found["cpr"] == pytest.approx(0.099 * 0.25 + 0.9 * 0.85)
    assert found["cmd"] == pytest.approx(0.099 * 0.75 + 0.9 * 0.35)
    points[1]["faithfulness"]["mean"] = None
    assert areas(points) == {"cpr": None, "cmd": None}
    assert sizes(32491) == [32, 64, 162, 324, 649, 1624, 3249, 6498, 16245, 32491]


class Worded(Task):
    """Three wordings, each a different first word."""

    title, description = "Worded", "A task of the tests."

    def pairs(self, words: Words, split: Split, n: int, seed: int) -> list[Pair]:
        first = {"train": 0, "validation": 15, "test": 30}[split]
        return [
            Pair(
                f"w{i % 3} w{first + i // 3} w3",
                f"w{i % 3} w{first + i // 3 + 1} w3",
                (" w6",),
                (" w7",),
                f"t{i % 3}",
            )
            for i in range(min(n, 42))
        ]


@pytest.fixture
def worded() -> str:
    if "worded" not in tasks.names():
        tasks.register("worded")(Worded)
    return "worded"


def test_stability_repeats_over_seeds_and_held_out_templates(tiny_folder, store, worded):
    origin = Request.model_validate(
        {
            "model": str(tiny_folder),
            "task": worded,
            "ablation": "counterfactual",
            "method": "edge-pruning",
            "settings": SETTINGS["edge-pruning"],
            "edges": 60,
            "n_prompts": 12,
        }
    )
    run_id = experiments.run(origin, silent, store)
    asked = Request(
        kind="stability",
        model=str(tiny_folder),
        task=worded,
        ablation="zero",
        circuit=run_id,
        stability=Stability(seeds=[0, 1, 2], folds=2),
    )
    found = store.get(experiments.run(asked, silent, store))
    result = found.result
    assert found.request.ablation == "counterfactual", "as the run's"
    assert [(one["seed"], one["held_out"]) for one in result["repeats"]] == [
        (1, []),
        (2, []),
        (0, ["t0", "t2"]),
        (0, ["t1"]),
    ]
    assert [fold["held_out"] for fold in result["folds"]] == [["t0", "t2"], ["t1"]]
    assert result["circuits"][0] == run_id
    kept = np.array([store.get(one).circuit_at().kept for one in result["circuits"]])
    np.testing.assert_allclose(found.tensors["frequency"], kept.mean(0))
    assert result["core"] == kept.all(0).sum()
    for i, one in enumerate(kept):
        for j, other in enumerate(kept):
            expected = (one & other).sum() / max((one | other).sum(), 1)
            assert result["jaccard"][i][j] == pytest.approx(expected)
    for fold in result["folds"]:
        run = store.get(fold["run"])
        assert run.request.circuits[0].name == ORIGIN
        assert {prompt["clean"].split()[0] for prompt in run.result["prompts"]} == {
            f"w{name[1:]}" for name in fold["held_out"]
        }
    for repeat in result["repeats"]:
        shown = {prompt["clean"].split()[0] for prompt in store.get(repeat["run"]).result["prompts"]}
        assert shown == {f"w{name[1:]}" for name in repeat["held_out"] or ("t0", "t1", "t2")}


def test_training_leaves_out_what_is_held_out(tiny_model, worded):
    from engine.tasks.dataset import load_prompts, templates

    assert templates(worded, tiny_model) == ["t0", "t1", "t2"]
    training = load_prompts(worded, tiny_model, "train", 10, 0, held_out=["t1"])
    assert {item.clean[:2] for item in training.items} == {"w0", "w2"}
    assert len(training.items) == 10
    test = load_prompts(worded, tiny_model, "test", 5, 0, held_out=["t1"])
    assert {item.clean[:2] for item in test.items} == {"w1"}


def test_a_task_file_has_no_templates_to_hold_out(tiny_model, tmp_path):
    from engine.tasks.dataset import load_prompts, templates

    task = write_task(tmp_path / "pairs.jsonl")
    assert templates(task, tiny_model) == []
    with pytest.raises(RequestError, match="names no templates"):
        load_prompts(task, tiny_model, "train", 10, 0, held_out=["t1"])


@pytest.mark.parametrize("twice", [{"methods": ["random", "random"]}, {"seeds": [0, 0]}])
def test_nothing_is_named_twice(twice):
    with pytest.raises(ValueError, match="named twice"):
        Sweep(**{"methods": ["m"], "ablations": ["a"], "tasks": ["t"], "seeds": [0]} | twice)
    with pytest.raises(ValueError, match="2 or more"):
        Stability(seeds=[1], folds=1)


def test_another_task_file_of_the_same_name_is_another_sweep(tiny_folder, tmp_path, store):
    first, second = (write_task(tmp_path / name) for name in ("a.jsonl", "b.jsonl"))
    asked = sweep(tiny_folder, first, tasks=[first, second])
    before = completed(asked, store)
    write_task(tmp_path / "b.jsonl", n=29)
    assert completed(asked, store).run_id() != before.run_id()
    with pytest.raises(RequestError, match="has changed"):
        completed(before, store)


def test_what_is_no_discovery_cannot_be_repeated(tiny_folder, store, worded):
    given = {"model": str(tiny_folder), "task": worded, "ablation": "zero", "n_prompts": 12}
    evaluated = Request.model_validate(given | {"method": "random", "edges": 60, "split": "train"})
    run_id = experiments.run(evaluated, silent, store)
    asked = {"kind": "stability", "circuit": run_id, "stability": {"seeds": [1]}}
    with pytest.raises(RequestError, match="measured on its training prompts"):
        completed(Request.model_validate(given | asked), store)


def test_a_sweep_needs_a_plan():
    with pytest.raises(ValueError, match="a sweep needs methods"):
        Request(kind="sweep", model="m", task="t", ablation="a")
    assert Sweep(methods=["m"], ablations=["a"], tasks=["t"], seeds=[0]).settings == {}
