"""Node pruning: edges come and go with their nodes; sparsity follows its target; resumed to the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.ablations.constants import Constants, means
from engine.circuits.graph import Graph
from engine.discovery import hard_concrete
from engine.discovery.base import Discovery, Problem, methods
from engine.discovery.node_pruning import Settings
from engine.errors import Cancelled
from engine.models import Model
from engine.progress import silent
from engine.settings import parse_settings
from tests.discovery.test_edge_pruning import problem

STEPS = 40


def discover(task: Problem, seed: int = 0, **settings: Any) -> Discovery:
    chosen = parse_settings(Settings, {"steps": STEPS, **settings})
    return methods.get("node-pruning").discover(task, chosen, seed, silent)


def whole_nodes(graph: Graph, kept: np.ndarray) -> set[int]:
    """Return the nodes of which every edge to each other is kept; fail if an edge of another node is."""
    ends = np.stack([graph.edges[:, 0], graph.reader_nodes[graph.edges[:, 1]]], 1)
    nodes = set(ends[kept].ravel().tolist())
    between = [bool({*pair} <= nodes) for pair in ends.tolist()]
    assert np.array_equal(kept, np.array(between))
    return nodes


@pytest.mark.parametrize("steps", [1, STEPS])
def test_a_growing_circuit_takes_node_after_node(tiny_model: Model, steps: int) -> None:
    """Also after one step, where many nodes are as good as level."""
    graph = tiny_model.shape.graph()
    scores = discover(problem(tiny_model), steps=steps).scores.numpy()
    levels = np.unique(scores)[::-1]
    assert len(levels) == len(graph.nodes) - 1, "the edge from input to logits, then one node after the other"
    sizes = [len(whole_nodes(graph, scores >= level)) for level in levels]
    assert sizes == list(range(2, len(graph.nodes) + 1))
    assert graph.edge_names[int(scores.argmax())] == "input->logits"


def test_the_score_is_the_log_odds_of_the_weaker_node(tiny_model: Model) -> None:
    scores = discover(problem(tiny_model), steps=1, mask_rate=1e-9, start=1.5).scores
    expected = hard_concrete.keep_logit(torch.tensor(1.5))
    inner = scores[scores < scores.max()]
    torch.testing.assert_close(inner, expected.expand_as(inner), atol=0.01, rtol=0)


def test_sparsity_follows_its_rising_target(tiny_model: Model) -> None:
    history = discover(problem(tiny_model), steps=250, target_sparsity=0.8).history
    assert history["target"][-1] == pytest.approx(0.8)
    gaps = [abs(s - t) for s, t in zip(history["sparsity"], history["target"], strict=True)]
    assert sum(gaps[12:]) / len(gaps[12:]) < 0.05


def test_a_node_that_matters_outlives_the_others(tiny_model: Model) -> None:
    """Under a mask rate that lets them apart, nodes rank as the KL of ablating each alone ranks them."""
    task = problem(tiny_model)
    graph, batch = task.forward.graph, task.prepare(4)[0]
    scores = discover(task, steps=150, target_sparsity=0.7).scores
    ends = torch.stack(
        [torch.from_numpy(graph.edges[:, 0]), torch.from_numpy(graph.reader_nodes[graph.edges[:, 1]])]
    )
    to_logits = scores[ends[1] == len(graph.nodes) - 1][1:]  # of every head and MLP
    effect = []
    for node in range(1, len(graph.sources)):
        mask = (ends[0] != node).float()
        logits = task.forward(batch.clean, batch.replacement, mask)
        model = batch.clean.logits.log_softmax(-1)
        effect.append(float((model.exp() * (model - logits.log_softmax(-1))).sum(-1).mean()))
    best = int(torch.tensor(effect).argmax())
    assert int(to_logits.argsort(descending=True).tolist().index(best)) < len(effect) // 3


def test_the_seed_decides(tiny_model: Model) -> None:
    one, same, other = (discover(problem(tiny_model), seed).scores for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def trained(model: Model, checkpoint: Path | None = None) -> Problem:
    """Return the problem under trained constants, which start at means."""
    task = problem(model, checkpoint)
    tokens = [batch.clean.tokens for batch in task.prepare(4)]
    constants = Constants(means(model.transformer, tokens, "shared"))
    return Problem(task.forward, task.prepare, 30, checkpoint=checkpoint, constants=constants)


def test_cancelled_work_resumes_to_the_same_result_and_constants(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.discovery.mask_training.CHECKPOINT_EVERY", 7)
    whole, again = trained(tiny_model), trained(tiny_model, tmp_path)
    assert whole.constants is not None
    assert again.constants is not None
    start = [value.detach().clone() for value in whole.constants.values]
    expected = discover(whole)
    assert not torch.equal(whole.constants.values[1], start[1]), "constants are trained"

    def stop(done: int, total: int, message: str) -> None:
        if done >= 20:
            raise Cancelled("stopped")

    method, settings = methods.get("node-pruning"), parse_settings(Settings, {"steps": STEPS})
    with pytest.raises(Cancelled):
        method.discover(again, settings, 0, stop)
    again = trained(tiny_model, tmp_path)
    assert again.constants is not None
    seen: list[int] = []
    resumed = method.discover(again, settings, 0, lambda done, total, message: seen.append(done))
    assert min(seen) >= 14, "it went on from the checkpoint"
    assert torch.equal(resumed.scores, expected.scores)
    assert resumed.history == expected.history
    for one, other in zip(again.constants.values, whole.constants.values, strict=True):
        assert torch.equal(one, other)
