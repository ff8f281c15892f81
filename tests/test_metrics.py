"""Metrics against their definitions, and the coverage of the intervals."""

import numpy as np
import pytest
import torch

from engine.metrics import Values, join, per_prompt, summarise


def test_metrics_are_their_definitions() -> None:
    full = torch.tensor([[2.0, 0.0, 1.0, -1.0], [0.0, 3.0, 0.5, 0.0]])
    circuit = torch.tensor([[1.0, 0.5, 0.0, 0.0], [2.0, 1.0, 0.0, 0.0]])
    values = per_prompt(circuit, full, answers=[[0], [1, 2]], wrong=[[1, 3], [0]])
    p, q = full.softmax(-1).numpy(), circuit.softmax(-1).numpy()
    np.testing.assert_allclose(values["kl"], (p * np.log(p / q)).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(values["logit_difference"], [1 - 0.25, 0.5 - 2])
    expected = [q[0, 0] - q[0, 1] - q[0, 3], q[1, 1] + q[1, 2] - q[1, 0]]
    np.testing.assert_allclose(values["probability_difference"], expected, rtol=1e-5)
    assert values["accuracy"].tolist() == [1, 0]
    assert values["agreement"].tolist() == [1, 0]


def test_the_model_itself_has_no_divergence_and_agrees() -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    values = per_prompt(logits, logits, [[0]] * 5, [[1]] * 5)
    assert np.abs(values["kl"]).max() < 1e-6
    assert values["agreement"].all()


def test_faithfulness_is_one_for_the_model_and_zero_for_everything_ablated() -> None:
    rng = np.random.default_rng(0)

    def drawn(mean: float) -> Values:
        return {"kl": rng.random(50), "logit_difference": rng.normal(mean, 1, 50)}

    model, ablated = drawn(4), drawn(-1)
    half: Values = {name: (model[name] + ablated[name]) / 2 for name in model}
    for values, expected in ((model, 1), (ablated, 0), (half, 0.5)):
        found = summarise(values, "logit_difference", model, ablated, seed=0)["faithfulness"]
        assert found["mean"] == pytest.approx(expected)
        assert found["ci95"] == pytest.approx([expected, expected])  # paired: the prompts' spread cancels


def test_intervals_cover_the_mean_about_95_times_of_100() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        values: Values = {"kl": rng.exponential(1.0, 60), "logit_difference": rng.normal(size=60)}
        low, high = summarise(values, "logit_difference", values, values, seed)["kl"]["ci95"]
        covered += low <= 1.0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_what_is_undefined_is_none() -> None:
    one = {"kl": np.array([0.5]), "logit_difference": np.array([1.0])}
    found = summarise(one, "logit_difference", one, one, seed=0)
    assert found["kl"] == {"mean": 0.5, "ci95": [None, None], "n": 1}
    assert found["faithfulness"]["mean"] is None


def test_same_seed_same_interval() -> None:
    values = {"kl": np.random.default_rng(2).random(30), "logit_difference": np.zeros(30)}
    one, other, third = (
        summarise(values, "logit_difference", values, values, seed)["kl"]["ci95"] for seed in (0, 0, 1)
    )
    assert one == other
    assert one != third


def test_join_keeps_the_order() -> None:
    assert join([{"kl": np.array([1, 2])}, {"kl": np.array([3])}])["kl"].tolist() == [1, 2, 3]
