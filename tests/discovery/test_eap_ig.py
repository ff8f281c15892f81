"""EAP-IG: every variant equal to its definition, with hooks and one product for every edge."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.circuits.graph import Graph, Qkv
from engine.discovery.base import methods
from engine.discovery.eap_ig import Settings
from engine.errors import Cancelled
from engine.settings import parse_settings
from engine.tasks.base import Metric
from tests.forward.attribution_reference import FAMILY_NAMES, Case, Hooks, definition, make_case, set_output
from tests.reference import source_values

STEPS = 3


@pytest.fixture(scope="module")
def case_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    root = tmp_path_factory.mktemp("families")
    return cache(lambda family: make_case(family, root))


def nothing(done: int, total: int, message: str) -> None:
    pass


def scores(case: Case, qkv: Qkv, metric: Metric, ranking: str = "signed", **more: Any) -> Tensor:
    settings = parse_settings(Settings, {"ranking": ranking, "steps": STEPS, **more})
    problem = case.problem(case.model.shape.graph(qkv), metric)
    return methods.get("eap-ig").discover(problem, settings, 0, nothing).scores


def points(case: Case, graph: Graph, variant: str) -> list[Hooks]:
    """Return the hooks of every pass that a variant takes a gradient at."""
    clean, corrupt = (source_values(case.hooked, graph, tokens) for tokens in (case.clean, case.corrupt))

    def between(share: float, *names: str) -> Tensor:
        both = [share * clean[name] + (1 - share) * corrupt[name] for name in names]
        return both[0] if len(both) == 1 else torch.stack(both, 2)

    def at_input(share: float) -> Hooks:
        return [set_output("blocks.0.hook_resid_pre", between(share, "input"))]

    if variant == "clean-corrupted":
        return [at_input(0), at_input(1)]
    if variant == "inputs":
        return [at_input(k / STEPS) for k in range(STEPS)]
    found = []
    for share in [k / STEPS for k in range(1, STEPS + 1)]:
        found.append(at_input(share))
        for layer in range(graph.n_layers):
            heads = [f"a{layer}.h{head}" for head in range(graph.n_heads)]
            found.append([set_output(f"blocks.{layer}.attn.hook_result", between(share, *heads))])
            found.append([set_output(f"blocks.{layer}.hook_mlp_out", between(share, f"m{layer}"))])
    return found


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("variant", ["inputs", "activations", "clean-corrupted"])
@pytest.mark.parametrize(
    ("qkv", "metric"), [("split", "logit_difference"), ("merged", "probability_difference")]
)
def test_scores_equal_the_definition(
    case_of: Callable[[str], Case], family: str, variant: str, qkv: Qkv, metric: Metric
) -> None:
    case = case_of(family)
    graph = case.model.shape.graph(qkv)
    values = source_values(case.hooked, graph, case.corrupt)
    expected = definition(case, graph, metric, values, points(case, graph, variant))
    found = scores(case, qkv, metric, variant=variant)
    assert (found - expected).norm() < 1e-4 * expected.norm()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_variants_differ_and_rank_by_magnitude(case_of: Callable[[str], Case]) -> None:
    case = case_of("gpt2")
    variants = ["inputs", "activations", "clean-corrupted"]
    found = [scores(case, "split", "logit_difference", variant=variant) for variant in variants]
    for one in range(3):
        other = found[(one + 1) % 3]
        assert (found[one] - other).norm() > 0.01 * other.norm()
    assert torch.equal(scores(case, "split", "logit_difference", ranking="magnitude"), found[0].abs())


@pytest.mark.parametrize("variant", ["inputs", "activations"])
def test_batch_size_changes_no_score(case_of: Callable[[str], Case], variant: str) -> None:
    case = case_of("gpt2")
    whole, small = (
        scores(case, "split", "probability_difference", variant=variant, batch_size=size) for size in (16, 2)
    )
    assert (small - whole).norm() < 1e-5 * whole.norm()


def test_cancelled_work_resumes_to_the_same_result(case_of: Callable[[str], Case], tmp_path: Path) -> None:
    """Stopped in the middle of a batch's path: 7 groups of 3 points, 8 points between two checkpoints."""
    case, method = case_of("gpt2"), methods.get("eap-ig")
    graph = case.model.shape.graph()
    asked = {"batch_size": 3, "ranking": "signed", "variant": "activations", "steps": STEPS}
    settings = parse_settings(Settings, asked)
    expected = method.discover(case.problem(graph, "logit_difference"), settings, 0, nothing).scores

    def stop(done: int, total: int, message: str) -> None:
        if done >= 21 + 8:
            raise Cancelled("stopped")

    problem = case.problem(graph, "logit_difference", tmp_path)
    with pytest.raises(Cancelled):
        method.discover(problem, settings, 0, stop)
    seen: list[int] = []
    resumed = method.discover(problem, settings, 0, lambda done, total, message: seen.append(done))
    assert seen[0] == 21 + 8
    assert torch.equal(resumed.scores, expected)
