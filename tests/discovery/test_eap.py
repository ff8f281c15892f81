"""EAP: equal to the gradient of a mask on every edge; the same for any batch size; resumed to the same."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.circuits.graph import Qkv
from engine.discovery.base import methods
from engine.discovery.eap import Settings
from engine.errors import Cancelled
from engine.experiments import run
from engine.instruments.discover.request import Discover
from engine.runs.store import RunStore
from engine.settings import parse_settings
from engine.tasks.base import Metric
from engine.tasks.dataset import Prompts, load_prompts
from tests.forward.attribution_reference import FAMILY_NAMES, Case, make_case, mean_metric
from tests.reference import naive_logits, source_values


@pytest.fixture(scope="module")
def case_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    root = tmp_path_factory.mktemp("families")
    return cache(lambda family: make_case(family, root))


def nothing(done: int, total: int, message: str) -> None:
    pass


def scores(
    case: Case, metric: Metric = "logit_difference", qkv: Qkv = "split", ranking: str = "signed", **more: Any
) -> Tensor:
    settings = parse_settings(Settings, {"ranking": ranking, **more})
    problem = case.problem(case.model.shape.graph(qkv), metric)
    return methods.get("eap").discover(problem, settings, 0, nothing).scores


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("qkv", ["split", "merged"])
@pytest.mark.parametrize("metric", ["logit_difference", "probability_difference"])
def test_scores_are_the_gradient_of_the_masks(
    case_of: Callable[[str], Case], family: str, qkv: Qkv, metric: Metric
) -> None:
    case = case_of(family)
    graph = case.model.shape.graph(qkv)
    mask = torch.ones(graph.n_edges, requires_grad=True)
    values = source_values(case.hooked, graph, case.corrupt)
    logits = naive_logits(case.hooked, graph, case.clean, values, mask)
    (expected,) = torch.autograd.grad(mean_metric(logits, metric), mask)
    found = scores(case, metric, qkv)
    assert (found - expected).norm() < 1e-4 * expected.norm()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_by_default_edges_rank_by_the_size_of_their_effect(case_of: Callable[[str], Case]) -> None:
    signed = scores(case_of("gpt2"))
    assert (signed < 0).any()
    assert torch.equal(scores(case_of("gpt2"), ranking="magnitude"), signed.abs())
    assert parse_settings(Settings, {}).ranking == "magnitude"


@pytest.mark.parametrize("size", [1, 2, 4])
def test_batch_size_changes_no_score(case_of: Callable[[str], Case], size: int) -> None:
    whole = scores(case_of("gpt2"))
    assert (scores(case_of("gpt2"), batch_size=size) - whole).norm() < 1e-5 * whole.norm()


def test_cancelled_work_resumes_to_the_same_result(case_of: Callable[[str], Case], tmp_path: Path) -> None:
    case, method = case_of("gpt2"), methods.get("eap")
    problem = case.problem(case.model.shape.graph(), "logit_difference", tmp_path)
    settings = parse_settings(Settings, {"batch_size": 2, "ranking": "signed"})

    def stop(done: int, total: int, message: str) -> None:
        if done == 1:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        method.discover(problem, settings, 0, stop)
    seen: list[tuple[int, int]] = []
    resumed = method.discover(problem, settings, 0, lambda done, total, message: seen.append((done, total)))
    assert seen[0] == (1, 3), "it went on after the first of three batches"
    assert torch.equal(resumed.scores, scores(case, batch_size=2))


def test_a_request_has_its_task_s_metric(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores of one task in either metric are those of `attribute` in that metric, so they differ."""
    pairs = [
        {"clean": f"w{i} w7", "corrupt": f"w{i + 1} w7", "answers": [" w3"], "wrong_answers": [" w4"]}
        for i in range(10)
    ]
    task = tmp_path / "task.jsonl"
    task.write_text("\n".join(json.dumps(pair) for pair in pairs))
    request = Discover(model=str(tiny_folder), task=str(task), ablation="counterfactual", method="eap")
    found = []
    for metric in ("logit_difference", "probability_difference"):

        def load(*asked: Any, metric: Metric = metric) -> Prompts:
            return replace(load_prompts(*asked), metric=metric)

        monkeypatch.setattr("engine.workbench.ready.load_prompts", load)
        store = RunStore(tmp_path / metric)
        found.append(torch.from_numpy(store.get(run(request, nothing, store)).tensors["scores"]))
    ratio = found[0] / found[1].clamp_min(1e-9)
    assert (found[0] > 0).any()
    assert ratio.median() > 2, "a probability moves less than a logit"
