"""Repeated discoveries on a tiny model: over seeds and held-out templates."""

from pathlib import Path

import numpy as np
import pytest

from engine import experiments
from engine.errors import RequestError
from engine.experiments import completed
from engine.instruments.stability.parts import ORIGIN
from engine.instruments.stability.request import StabilityPlan
from engine.progress import silent
from engine.runs.store import RunStore
from engine.tasks.base import Pair, Split, Task, Words, tasks
from engine.tasks.dataset import load_prompts, templates
from tests.instruments.asking import ask


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


def test_stability_repeats_over_seeds_and_held_out_templates(tiny_folder: Path, store: RunStore, worded: str):
    settings = {"steps": 12, "batch_size": 8}
    origin = ask(
        tiny_folder, worded, "discover", method="edge-pruning", settings=settings, edges=60, n_prompts=12
    )
    run_id = experiments.run(origin, silent, store)
    plan = StabilityPlan(seeds=[0, 1, 2], folds=2)
    asked = ask(tiny_folder, worded, "stability", ablation="zero", circuit=run_id, stability=plan)
    found = store.get(experiments.run(asked, silent, store))
    result = found.result
    assert found.request.ablation == "counterfactual", "as the run's"
    assert [(repeat.seed, repeat.held_out) for repeat in result.repeats] == [
        (1, []),
        (2, []),
        (0, ["t0", "t2"]),
        (0, ["t1"]),
    ]
    assert [fold.held_out for fold in result.folds] == [["t0", "t2"], ["t1"]]
    assert result.circuits[0] == run_id
    kept = np.array([store.get(circuit).circuit_at().kept for circuit in result.circuits])
    np.testing.assert_allclose(found.tensors["frequency"], kept.mean(0))
    assert result.core == kept.all(0).sum()
    for i, one in enumerate(kept):
        for j, other in enumerate(kept):
            expected = (one & other).sum() / max((one | other).sum(), 1)
            assert result.jaccard[i][j] == pytest.approx(expected)
    for fold in result.folds:
        run = store.get(fold.run)
        assert run.request.circuits[0].name == ORIGIN
        assert first_words(run.result.prompts) == {f"w{name[1:]}" for name in fold.held_out}
    for repeat in result.repeats:
        names = repeat.held_out or ("t0", "t1", "t2")
        assert first_words(store.get(repeat.run).result.prompts) == {f"w{name[1:]}" for name in names}


def first_words(prompts) -> set[str]:
    return {prompt.clean.split()[0] for prompt in prompts}


def test_training_leaves_out_what_is_held_out(tiny_model, worded):
    assert templates(worded, tiny_model) == ["t0", "t1", "t2"]
    training = load_prompts(worded, tiny_model, "train", 10, 0, held_out=["t1"])
    assert {item.clean[:2] for item in training.items} == {"w0", "w2"}
    assert len(training.items) == 10
    test = load_prompts(worded, tiny_model, "test", 5, 0, held_out=["t1"])
    assert {item.clean[:2] for item in test.items} == {"w1"}


def test_a_task_file_has_no_templates_to_hold_out(tiny_model, task):
    assert templates(task, tiny_model) == []
    with pytest.raises(RequestError, match="names no templates"):
        load_prompts(task, tiny_model, "train", 10, 0, held_out=["t1"])


@pytest.mark.parametrize("plan", [{"seeds": [1], "folds": 1}, {"seeds": [1, 1]}])
def test_no_seed_is_named_twice_and_templates_are_parted_in_two_or_more(plan):
    with pytest.raises(ValueError, match="2 or more"):
        StabilityPlan(**plan)


def test_what_is_no_discovery_on_held_out_prompts_cannot_be_repeated(tiny_folder, store, worded):
    about = {"ablation": "zero", "n_prompts": 12}
    trained = ask(tiny_folder, worded, "discover", method="random", edges=60, split="train", **about)
    run_id = experiments.run(trained, silent, store)
    asked = ask(tiny_folder, worded, "stability", circuit=run_id, stability={"seeds": [1]}, **about)
    with pytest.raises(RequestError, match="measured on its training prompts"):
        completed(asked, store)
