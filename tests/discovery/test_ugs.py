"""UGS: the distribution of masks and its gradient; levels, seeds, resuming, constants."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.ablations.constants import Constants, zeros
from engine.circuits.circuit import prune_dangling
from engine.circuits.graph import Graph
from engine.discovery.base import Discovery, methods
from engine.discovery.dangling import on_a_path
from engine.discovery.sampled_training import SampledTraining, Settings
from engine.discovery.ugs import UniformSampler
from engine.errors import Cancelled, RequestError
from engine.models import Model
from engine.progress import Report, silent
from engine.settings import parse_settings
from tests.discovery.test_edge_pruning import problem

SHORT = {"levels": 2, "steps": 20, "batch_size": 4, "samples": 2, "lowest": 1e-3}
DRAWS = 200_000


def sampler(*thetas: float) -> UniformSampler:
    made = UniformSampler(len(thetas), torch.device("cpu"))
    with torch.no_grad():
        made.theta.copy_(torch.tensor(thetas))
    return made


def discover(
    model: Model,
    method: str = "ugs",
    seed: int = 0,
    checkpoint: Path | None = None,
    report: Report = silent,
    constants: Constants | None = None,
    **settings: Any,
) -> Discovery:
    chosen = parse_settings(Settings, {**SHORT, **settings})
    task = problem(model, checkpoint, constants=constants)
    return methods.get(method).discover(task, chosen, seed, report)


def test_masses_at_both_ends_and_uniform_between() -> None:
    thetas = (-2.0, 0.0, 1.0, 3.0)
    masks = sampler(*thetas).sample(DRAWS, torch.Generator().manual_seed(0)).detach()
    for theta, alpha in zip(thetas, masks.T, strict=True):
        p = 1 / (1 + np.exp(-theta))
        window = p * (1 - p)
        assert float((alpha == 0).float().mean()) == pytest.approx(1 - p - window / 2, abs=4e-3)
        assert float((alpha == 1).float().mean()) == pytest.approx(p - window / 2, abs=4e-3)
        assert float(alpha.mean()) == pytest.approx(p, abs=4e-3)
        between = alpha[(alpha > 0) & (alpha < 1)]
        deciles = torch.quantile(between, torch.linspace(0.1, 0.9, 9))
        torch.testing.assert_close(deciles, torch.linspace(0.1, 0.9, 9), atol=0.02, rtol=0)


def test_the_gradient_is_that_of_the_bernoulli_objective_for_one_edge() -> None:
    """d/dθ of (1 - p) ℓ(0) + p ℓ(1), for a loss that is not linear in the mask."""

    def loss(alpha: torch.Tensor) -> torch.Tensor:
        return torch.exp(1.5 * alpha) - 2 * alpha.square()

    thetas = (-1.5, 0.0, 1.0)
    one = sampler(*thetas)
    # The mean over rows of each edge alone: its own samples in between, weighted by rows / their number.
    loss(one.sample(DRAWS, torch.Generator().manual_seed(1))).mean(0).sum().backward()
    p = torch.sigmoid(torch.tensor(thetas))
    ends = loss(torch.tensor(1.0)) - loss(torch.tensor(0.0))
    assert one.theta.grad is not None
    torch.testing.assert_close(one.theta.grad, p * (1 - p) * ends, atol=4e-3, rtol=0.02)


def test_the_gradient_is_the_mean_over_samples_in_between() -> None:
    """However few they are; an edge of which no sample is in between has a gradient of 0."""
    one = sampler(0.0, 0.0, 30.0)
    masks = one.sample(6, torch.Generator().manual_seed(2))
    slopes = torch.randn(masks.shape, generator=torch.Generator().manual_seed(3))
    (masks * slopes).sum(1).mean().backward()
    between = (masks > 1e-3) & (masks < 1 - 1e-3)
    assert one.theta.grad is not None
    for edge in range(3):
        chosen = slopes[between[:, edge], edge]
        expected = 0.25 * float(chosen.mean()) if len(chosen) else 0.0
        assert float(one.theta.grad[edge]) == pytest.approx(expected, abs=1e-6)
    assert between.any()
    assert not between[:, 2].any()


@pytest.mark.parametrize("qkv", ["split", "merged"])
@pytest.mark.parametrize("parallel", [False, True])
def test_dangling_edges_of_every_row_for_itself(qkv: Any, parallel: bool) -> None:
    graph = Graph(3, 3, qkv, parallel)
    generator = torch.Generator().manual_seed(0)
    shares = torch.linspace(0.02, 0.5, 60).unsqueeze(1)
    masks = torch.rand((60, graph.n_edges), generator=generator)
    masks *= torch.rand((60, graph.n_edges), generator=generator) < shares
    found = on_a_path(graph, masks)
    expected = [prune_dangling(graph, row.numpy() > 0) for row in masks]
    assert np.array_equal(found.numpy() == 1, np.stack(expected))
    assert set(found.unique().tolist()) == {0, 1}
    pruned = (masks > 0).sum(1) - found.sum(1)
    assert int((pruned > 0).sum()) > 20, "it must have something to prune"


def test_a_rising_price_makes_smaller_circuits(tiny_model: Model) -> None:
    found = discover(tiny_model, levels=3, steps=30, lowest=1e-3, highest=0.3, mask_rate=0.3)
    assert [step.penalty for step in found.path] == pytest.approx([1e-3, 0.3**0.5 * 1e-3**0.5, 0.3])
    sizes = [int(step.kept.sum()) for step in found.path]
    assert sizes[0] > sizes[1] > sizes[2]
    graph = tiny_model.shape.graph()
    for step in found.path:
        assert np.array_equal(prune_dangling(graph, step.kept.numpy()), step.kept.numpy())
    kept_longest = found.path[-1].kept if sizes[-1] else found.path[-2].kept
    assert found.scores[kept_longest].mean() > found.scores[found.path[0].kept].mean()
    columns = {"step", "kl", "edges_expected", "edges", "penalty"}
    assert set(found.history) == columns
    assert found.history["step"] == list(range(0, 90, 10))


def test_with_one_level_the_score_is_theta(tiny_model: Model) -> None:
    chosen = parse_settings(Settings, {**SHORT, "levels": 1, "highest": 0.01})
    training = SampledTraining(problem(tiny_model), chosen, UniformSampler, 0)
    training.run(chosen.steps, silent)
    torch.testing.assert_close(training.scores(), training.sampler.theta.detach())
    kept = (training.sampler.theta > 0).numpy()
    (step,) = training.path()
    assert step.penalty == 0.01
    assert np.array_equal(step.kept.numpy(), prune_dangling(tiny_model.shape.graph(), kept))


def test_the_score_is_the_log_odds_of_the_mean_keep_probability(tiny_model: Model) -> None:
    training = SampledTraining(problem(tiny_model), parse_settings(Settings, SHORT), UniformSampler, 0)
    training.by_level[:, 0] = torch.randn(
        training.by_level[:, 0].shape, generator=torch.Generator().manual_seed(0)
    )
    mean = torch.sigmoid(training.by_level[:, 0]).mean(0)
    torch.testing.assert_close(training.scores(), torch.logit(mean))


@pytest.mark.parametrize("method", ["ugs", "hcgs"])
def test_the_seed_decides_the_scores(tiny_model: Model, method: str) -> None:
    one, same, other = (discover(tiny_model, method, seed).scores for seed in (0, 0, 1))
    assert one.shape == (tiny_model.shape.graph().n_edges,)
    assert torch.equal(one, same), "bitwise"
    assert not torch.equal(one, other)


def test_a_restart_learns_every_level_from_the_beginning(tiny_model: Model) -> None:
    """At the first step of a level all edges are as likely as at the very start, and constants too."""
    sums = {
        restart: discover(tiny_model, restart=restart).history["edges_expected"] for restart in (False, True)
    }
    start = tiny_model.shape.graph().n_edges * float(torch.sigmoid(torch.tensor(1.0)))
    assert sums[True][2] == pytest.approx(start)
    assert sums[False][2] < 0.99 * start


def test_the_rate_depends_on_the_price_unless_it_is_given() -> None:
    settings = parse_settings(Settings, {})
    assert [settings.rate(price) for price in (1e-4, 5e-4, 6e-4)] == [0.15, 0.1, 0.05]
    assert parse_settings(Settings, {"mask_rate": 0.3}).rate(1e-4) == 0.3
    assert [settings.head_price(price) for price in (1e-4, 1e-2)] == [5e-5, 2e-4]
    assert parse_settings(Settings, {"head_penalty": 0}).head_price(1e-2) == 0


def test_the_price_of_heads_is_the_definition(tiny_model: Model) -> None:
    graph = tiny_model.shape.graph()
    training = SampledTraining(problem(tiny_model), parse_settings(Settings, SHORT), UniformSampler, 0)
    keep = torch.rand(graph.n_edges, generator=torch.Generator().manual_seed(0)) ** 4
    size, expected = graph.n_layers * graph.n_heads, 0.0
    for head in (name for name in graph.nodes if name.startswith("a")):
        ends = [edge.replace("<", "->").split("->")[:2] for edge in graph.edge_names]
        total = sum(float(p) for p, (source, node) in zip(keep, ends, strict=True) if head in (source, node))
        expected += np.tanh(2 * total / size) * size / 2
    assert float(training.head_cost(keep)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("method", "restart"), [("ugs", False), ("ugs", True), ("hcgs", False)])
def test_cancelled_work_resumes_to_the_same_result(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, restart: bool
) -> None:
    """Constants included, from the middle of the second level and from its very beginning."""
    start = zeros(tiny_model.transformer)

    def stop(done: int, total: int, message: str) -> None:
        if done >= 30:
            raise Cancelled("stopped")

    whole = Constants(start)
    expected = discover(tiny_model, method, constants=whole, restart=restart)
    assert all(float(value.detach().abs().max()) > 1e-3 for value in whole.values)
    for every in (7, 20):
        monkeypatch.setattr("engine.discovery.mask_training.CHECKPOINT_EVERY", every)
        folder, resumed = tmp_path / str(every), Constants(start)
        with pytest.raises(Cancelled):
            discover(
                tiny_model,
                method,
                checkpoint=folder,
                report=stop,
                constants=Constants(start),
                restart=restart,
            )
        seen: list[int] = []
        found = discover(
            tiny_model,
            method,
            checkpoint=folder,
            report=lambda done, total, message: seen.append(done),  # noqa: B023
            constants=resumed,
            restart=restart,
        )
        assert min(seen) >= 20, "it went on from the checkpoint"
        assert torch.equal(found.scores, expected.scores)
        assert found.history == expected.history
        assert [s.kept.tolist() for s in found.path] == [s.kept.tolist() for s in expected.path]
        assert all(torch.equal(a, b) for a, b in zip(resumed.values, whole.values, strict=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lowest": 1, "highest": 0.1}, "the lowest penalty is above the highest"),
        ({"levels": 0}, "levels=0"),
        ({"penalty": 1}, "unknown setting 'penalty'"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_settings(Settings, given)
