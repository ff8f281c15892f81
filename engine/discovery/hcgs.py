"""HCGS, hard concrete gradient sampling (Li & Janson 2024, 2409.09951).

The masks are hard concrete (see `engine.discovery.hard_concrete`), and their temperature β is learned for
every edge, besides log α. The price of an edge is multiplied by P(z > 0) = σ(log α - β log(-l / r)). The
gradient goes through the samples, which are not weighted as in UGS.

The stretch is s (r - l) + l as in the publication; the authors' code computes (s + l)(r - l), which shifts
it by 0.02. For the rest see `engine.discovery.gradient_sampling`.
"""

import torch
from torch import Tensor

from engine.discovery import hard_concrete
from engine.discovery.base import methods
from engine.discovery.gradient_sampling import GradientSampling, MaskSampler

START = 0.0
_COLDEST = 1e-3


class HardConcreteSampler(MaskSampler):
    """Hard concrete masks with a temperature for every edge."""

    betas = (0.9, 0.999)

    def __init__(self, n_edges: int, device: torch.device) -> None:
        starts = {"log_alpha": START, "temperature": hard_concrete.TEMPERATURE}
        self.parameters = {
            name: torch.full((n_edges,), start, device=device, requires_grad=True)
            for name, start in starts.items()
        }

    def sample(self, rows: int, generator: torch.Generator) -> Tensor:
        """Return masks; the gradient is zero where a mask is 0 or 1."""
        return hard_concrete.sample(self.theta.expand(rows, -1), generator, self._temperature())

    def keep_logit(self) -> Tensor:
        """Return the log-odds of a mask above 0; see the base class."""
        return hard_concrete.keep_logit(self.theta, self._temperature())

    @property
    def theta(self) -> Tensor:
        """log α, [n_edges]."""
        return self.parameters["log_alpha"]

    def _temperature(self) -> Tensor:
        return torch.relu(self.parameters["temperature"]) + _COLDEST


@methods.register("hcgs")
class Hcgs(GradientSampling):
    """HCGS: the score is the log-odds of the edge being kept, over all prices."""

    title = "HCGS"
    description = "As UGS, with hard concrete masks whose temperature is learned."
    Sampler = HardConcreteSampler
