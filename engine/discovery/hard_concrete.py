"""The hard concrete distribution (Louizos et al. 2018, 1712.01312): masks in [0, 1] with mass at both ends.

    s = σ((log u - log(1-u) + log α) / β),    z = clamp(s (r - l) + l, 0, 1),    u ~ U(0, 1)

with β = 2/3 unless it is learned, l = -0.1, r = 1.1, so that P(z > 0) = σ(log α - β log(-l / r)).
"""

import math

import torch
from torch import Tensor

TEMPERATURE = 2 / 3
LEFT, RIGHT = -0.1, 1.1
_EPSILON = 1e-6
_SHIFT = math.log(-LEFT / RIGHT)


def sample(
    log_alpha: Tensor, generator: torch.Generator, temperature: Tensor | float = TEMPERATURE
) -> Tensor:
    """Return one mask for every entry of `log_alpha`; the gradient is zero where a mask is 0 or 1."""
    u = torch.rand(log_alpha.shape, generator=generator).clamp_(_EPSILON, 1 - _EPSILON).to(log_alpha.device)
    stretched = torch.sigmoid((torch.logit(u) + log_alpha) / temperature) * (RIGHT - LEFT) + LEFT
    return stretched.clamp(0, 1)


def keep_logit(log_alpha: Tensor, temperature: Tensor | float = TEMPERATURE) -> Tensor:
    """Return the log-odds of z > 0; its sigmoid is the expected L0 norm."""
    return log_alpha - temperature * _SHIFT
