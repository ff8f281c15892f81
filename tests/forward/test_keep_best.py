"""Training by steps that keeps the best: order of batches, learning rates, and what each group keeps."""

import pytest
import torch

from engine.forward.keep_best import Best, is_checked, rows_where, training_steps


def test_every_batch_comes_once_before_any_comes_again_and_rates_fall_to_zero():
    value = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([{"params": [value], "lr": 1.0}, {"params": [], "lr": 0.5}])
    orders = iter([["a", "b", "c"], ["b", "c", "a"]])
    steps = training_steps(optimiser, 5, lambda: next(orders))
    rates, batches = [], []
    for step, batch in steps:
        assert step == len(batches)
        batches.append(batch)
        rates.append([group["lr"] for group in optimiser.param_groups])
    assert batches == ["c", "b", "a", "a", "c"]
    assert rates == [pytest.approx([1 - step / 5, (1 - step / 5) / 2]) for step in range(5)]


def test_checks_come_every_twenty_steps_and_at_the_end():
    assert [done for done in range(1, 46) if is_checked(done, 45)] == [20, 40, 45]


def test_each_group_keeps_its_own_best():
    start = torch.zeros(3, 2)
    best = Best(start, torch.tensor([1.0, 2.0, torch.nan]), rows_where, 10, "kl", torch.nanmean)
    best.keep(torch.full((3, 2), 5.0), torch.tensor([1.0, 1.5, torch.nan]))
    values = torch.ones(3, 2)
    best.check(30, values, torch.tensor([0.5, torch.nan, torch.nan]))
    values += 1
    assert best.values.tolist() == [[1, 1], [5, 5], [0, 0]]
    assert best.losses.tolist() == pytest.approx([0.5, 1.5, torch.nan], nan_ok=True)
    assert best.history == {"step": [10, 30], "kl": [1.5, 0.5], "best": [1.5, 1.0]}
    assert not start.any(), "the start is left as it was"
