"""HCGS: the distribution of masks with a temperature of their own, and its gradients."""

import math

import pytest
import torch

from engine.discovery.hcgs import HardConcreteSampler


def sampler(log_alpha: list[float], temperature: list[float]) -> HardConcreteSampler:
    made = HardConcreteSampler(len(log_alpha), torch.device("cpu"))
    with torch.no_grad():
        made.parameters["log_alpha"].copy_(torch.tensor(log_alpha))
        made.parameters["temperature"].copy_(torch.tensor(temperature))
    return made


def test_the_distribution_is_hard_concrete_at_every_temperature() -> None:
    """P(z ≤ t) = σ(β logit((t - l) / (r - l)) - log α), at 0, below 1 and between."""
    log_alphas, temperatures = [-1.0, 0.5, 2.0], [0.3, 2 / 3, 1.5]
    made = sampler(log_alphas, temperatures)
    masks = made.sample(200_000, torch.Generator().manual_seed(0)).detach()
    for edge, (log_alpha, temperature) in enumerate(zip(log_alphas, temperatures, strict=True)):
        for t in (0.0, 0.2, 0.7, 0.999):
            stretched = (t + 0.1) / 1.2
            x = temperature * math.log(stretched / (1 - stretched)) - log_alpha
            share = float((masks[:, edge] <= t).float().mean())
            assert share == pytest.approx(1 / (1 + math.exp(-x)), abs=6e-3)
    kept = (masks > 0).float().mean(0)
    torch.testing.assert_close(kept, torch.sigmoid(made.keep_logit()).detach(), atol=6e-3, rtol=0)


def test_gradients_go_through_samples_that_are_in_between() -> None:
    """Compared with differences, at the same draws: to log α and to the temperature."""

    @torch.no_grad()
    def mean_square(log_alpha: float, temperature: float) -> torch.Tensor:
        made = sampler([log_alpha], [temperature])
        return made.sample(2000, torch.Generator().manual_seed(1)).double().square().mean()

    made = sampler([0.3], [0.6])
    made.sample(2000, torch.Generator().manual_seed(1)).double().square().mean().backward()
    step = 1e-2
    expected = {
        "log_alpha": (mean_square(0.3 + step, 0.6) - mean_square(0.3 - step, 0.6)) / (2 * step),
        "temperature": (mean_square(0.3, 0.6 + step) - mean_square(0.3, 0.6 - step)) / (2 * step),
    }
    for name, difference in expected.items():
        gradient = made.parameters[name].grad
        assert gradient is not None
        assert float(gradient) == pytest.approx(float(difference), abs=2e-3)
        assert abs(float(gradient)) > 5e-3


def test_a_temperature_cannot_fall_below_zero() -> None:
    masks = sampler([0.5], [-3.0]).sample(1000, torch.Generator().manual_seed(2))
    assert bool(torch.isfinite(masks).all())
    assert float(((masks > 0) & (masks < 1)).float().mean()) < 0.02
