"""UGS, uniform gradient sampling (Li & Janson 2024, 2409.09951).

With p = σ(θ), a window w = p(1 - p) and u ~ U(0, 1), the mask of an edge is

    α = 1 - clamp((u - p)/w + ½, 0, 1) :     0 with 1 - p - w/2,   1 with p - w/2,   else uniform between.

The gradient is that of the Bernoulli objective, exact if one edge alone is strictly between 0 and 1,

    ∂L/∂θ  =  p(1 - p) · mean over the samples with 0 < α < 1 of ∂ℓ/∂α ,      as  ∫₀¹ ∂ℓ/∂α dα = ℓ(1) - ℓ(0).

The window does not change in training; the authors' code can also widen it for edges with noisy gradients,
which is off by default there and left out here. For the rest see `engine.discovery.gradient_sampling`.
"""

import torch
from torch import Tensor

from engine.discovery.base import methods
from engine.discovery.gradient_sampling import GradientSampling, MaskSampler

START = 1.0
_EDGE = 1e-3  # masks nearer to 0 or 1 count as 0 or 1
_NARROWEST = 1e-12


class UniformSampler(MaskSampler):
    """Masks that are 0, 1 or uniform in between; θ is the log-odds of the mean."""

    betas = (0.9, 0.995)

    def __init__(self, n_edges: int, device: torch.device) -> None:
        self.parameters = {"theta": torch.full((n_edges,), START, device=device, requires_grad=True)}

    def sample(self, rows: int, generator: torch.Generator) -> Tensor:
        """Return masks; the gradient of an edge is the mean over its samples strictly between 0 and 1."""
        u = torch.rand((rows, len(self.theta)), generator=generator).to(self.theta.device)
        p = torch.sigmoid(self.theta)
        with torch.no_grad():
            masks = (0.5 - (u - p) / (p * (1 - p)).clamp_min(_NARROWEST)).clamp_(0, 1)
            between = ((masks > _EDGE) & (masks < 1 - _EDGE)).to(masks)
            weights = between * (rows / between.sum(0).clamp_min(1))
        return masks + weights * (p - p.detach())

    def keep_logit(self) -> Tensor:
        """Return θ; see the base class."""
        return self.theta

    @property
    def theta(self) -> Tensor:
        """Log-odds of the mean of the mask, [n_edges]."""
        return self.parameters["theta"]


@methods.register("ugs")
class Ugs(GradientSampling):
    """UGS: the score is the log-odds of the edge's mean mask over all prices."""

    title = "UGS"
    description = "Learns by gradient which edges are worth their price, at a price that rises step by step."
    Sampler = UniformSampler
