"""Random scores: one for every edge, decided by the seed."""

import torch

from engine.discovery.base import methods
from engine.discovery.random_scores import Settings
from engine.models import Model
from engine.progress import silent
from tests.discovery.test_edge_pruning import problem


def test_the_seed_decides_the_scores(tiny_model: Model) -> None:
    task = problem(tiny_model)
    one, same, other = (
        methods.get("random").discover(task, Settings(), seed, silent).scores for seed in (0, 0, 1)
    )
    assert one.shape == (task.forward.graph.n_edges,)
    assert one.unique().numel() == one.numel()
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
