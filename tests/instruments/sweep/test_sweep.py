"""Sweeps on a tiny model: their parts, what is gathered of them, what cannot be asked."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import experiments
from engine.errors import Cancelled, RequestError
from engine.experiments import completed
from engine.instruments.discover.request import Discover
from engine.instruments.importance.request import Importance
from engine.instruments.sweep.parts import areas, mib_sizes
from engine.instruments.sweep.request import Sweep, SweepPlan
from engine.progress import silent
from engine.runs.kinds import make_request
from engine.runs.record import Point, Share
from tests.made_up import made_up

ABLATIONS = ["counterfactual", "optimal"]
SETTINGS = {"edge-pruning": {"steps": 12, "batch_size": 8}}
SIZES = [10, 60, 200]


def write_pairs(path: Path, n: int = 30) -> str:
    """Write a task file of pairs of one length."""
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
def task(tmp_path: Path) -> str:
    return write_pairs(tmp_path / "pairs.jsonl")


def sweep(model: Path, task: str, **plan: Any) -> Sweep:
    chosen = {
        "methods": ["edge-pruning", "random"],
        "ablations": ["counterfactual"],
        "tasks": [task],
        "seeds": [0, 1],
    } | plan
    if "settings" not in plan:
        chosen["settings"] = {name: SETTINGS[name] for name in chosen["methods"] if name in SETTINGS}
    about = {"model": str(model), "task": task, "ablation": "zero", "n_prompts": 20}
    return make_request("sweep", **about, sizes=SIZES, sweep=chosen)


def test_a_sweep_has_a_row_for_every_combination_with_the_numbers_of_its_run(tiny_folder, task, store):
    asked = sweep(tiny_folder, task)
    found = store.get(experiments.run(asked, silent, store))
    rows = found.result.rows
    assert [(row.method, row.seed) for row in rows] == [
        ("edge-pruning", 0),
        ("edge-pruning", 1),
        # A band of random circuits belongs to every sweep.
        ("random", 0),
        ("random", 1),
        ("random", 2),
    ]
    for row in rows:
        run = store.get(row.run)
        assert run.request.settings.get("steps") == (12 if row.method == "edge-pruning" else None)
        assert [point.edges_requested for point in row.points] == sorted({*SIZES, run.request.edges})
        for point, whole in zip(row.points, run.result.curve, strict=True):
            assert point.kl == whole.kl
        assert row.seconds == run.result.cost.seconds
        on_grid = [point for point in run.result.curve if point.edges_requested in SIZES]
        assert row.cpr == areas(on_grid)["cpr"]
    assert found.request.task == asked.task
    assert found.request.ablation == "counterfactual", "the first of the sweep's, whatever was given"


def test_a_sweep_is_not_computed_again_and_goes_on_where_it_was_stopped(tiny_folder, task, tmp_path, store):
    asked = sweep(tiny_folder, task, methods=["random"])
    seen: list[str] = []

    def stop(done: int, total: int, message: str) -> None:
        seen.append(message)
        if message.startswith("2 of 3") and "evaluating 60" in message:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        experiments.run(asked, stop, store, tmp_path / "checkpoints" / "whole")
    (first,) = store.list()
    run_id = experiments.run(asked, silent, store)
    assert len(store.list()) == 4
    assert store.get(first.run_id).result.created == first.result.created
    assert experiments.run(asked, stop, store) == run_id


@pytest.mark.slow
def test_under_optimal_ablation_methods_that_train_no_constants_take_those_of_each_node_alone(
    tiny_folder, task, store
):
    asked = sweep(tiny_folder, task, ablations=ABLATIONS, seeds=[0], methods=["eap", "edge-pruning"])
    parts = experiments.parts_of(completed(asked, store), store)
    assert isinstance(parts[0], Importance)
    discoveries = [part for part in parts if isinstance(part, Discover)]
    assert len(discoveries) == len(parts) - 1
    assert [part.method for part in discoveries] == ["edge-pruning", "edge-pruning", "eap", "eap"]
    rows = store.get(experiments.run(asked, silent, store)).result.rows
    assert [row.error for row in rows] == [None] * 4
    optimal = next(row for row in rows if (row.method, row.ablation) == ("eap", "optimal"))
    assert optimal.conditioning == "per position"
    first = store.get(optimal.run).tensors["scores"]
    # Without the importance run they are trained anew, to the same constants.
    store.delete(parts[0].run_id())
    store.delete(optimal.run)
    experiments.run(parts[-1], silent, store)
    again = store.get(optimal.run).tensors["scores"]
    np.testing.assert_allclose(first, again, rtol=1e-4, atol=1e-6)


def test_a_part_that_cannot_be_done_is_told_and_the_others_are_there(
    tiny_folder, tmp_path, store, monkeypatch
):
    def refuse(*arguments: object) -> None:
        raise RequestError("these prompts cannot be resampled")

    monkeypatch.setattr("engine.ablations.resample.Resample.prepare", refuse)
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, n=20)  # a file so small is used whole
    asked = sweep(tiny_folder, str(path), methods=["random"], ablations=["resample", "zero"], seeds=[0])
    rows = store.get(experiments.run(asked, silent, store)).result.rows
    assert [row.ablation for row in rows] == ["resample"] * 3 + ["zero"] * 3
    for row in rows:
        assert bool(row.points) == (row.ablation == "zero")
        assert ("these prompts cannot be resampled" in (row.error or "")) == (not row.points)


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
def test_a_wrong_sweep_is_refused_at_once(tiny_folder, task, store, plan, said):
    with pytest.raises(RequestError, match=said):
        completed(sweep(tiny_folder, task, **plan), store)


def point_of(edges: int, faithfulness: float | None) -> Point:
    value = {"mean": faithfulness, "ci95": [None, None], "n": 1}
    sizes = {"edges_requested": edges, "n_edges_total": 1000}
    return Point.model_validate(made_up(Point, **sizes, faithfulness=value))


def test_mib_areas_by_hand():
    points = [point_of(1, 0.0), point_of(100, 0.5), point_of(1000, 1.2)]
    found = areas(points)
    assert found["cpr"] == pytest.approx(0.099 * 0.25 + 0.9 * 0.85)
    assert found["cmd"] == pytest.approx(0.099 * 0.75 + 0.9 * 0.35)
    points[1].faithfulness = Share(mean=None, ci95=[None, None], n=1)
    assert areas(points) == {"cpr": None, "cmd": None}
    assert mib_sizes(32491) == [32, 64, 162, 324, 649, 1624, 3249, 6498, 16245, 32491]


@pytest.mark.parametrize("twice", [{"methods": ["random", "random"]}, {"seeds": [0, 0]}])
def test_nothing_is_named_twice(twice):
    with pytest.raises(ValueError, match="named twice"):
        SweepPlan(**{"methods": ["m"], "ablations": ["a"], "tasks": ["t"], "seeds": [0]} | twice)


def test_another_task_file_of_the_same_name_is_another_sweep(tiny_folder, tmp_path, store):
    first, second = (write_pairs(tmp_path / name) for name in ("a.jsonl", "b.jsonl"))
    asked = sweep(tiny_folder, first, tasks=[first, second])
    before = completed(asked, store)
    write_pairs(tmp_path / "b.jsonl", n=29)
    assert completed(asked, store).run_id() != before.run_id()
    with pytest.raises(RequestError, match="has changed"):
        completed(before, store)


def test_a_sweep_needs_a_plan():
    with pytest.raises(RequestError, match="sweep: Field required"):
        make_request("sweep", model="m", task="t", ablation="a")
    assert SweepPlan(methods=["m"], ablations=["a"], tasks=["t"], seeds=[0]).settings == {}
