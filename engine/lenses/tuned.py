"""The tuned lens (Belrose et al. 2023, 2303.08112): an affine translator for every place.

    T_l(h)  =  h + W_l h + b_l ,

W_l and b_l start at zero, as the logit lens, to which weight decay pulls them. They are trained on
KL(model ‖ lens) over all positions, summed over places, by the official recipe: SGD with Nesterov momentum
0.9, a rate of 1 · (1 - 0.9) that falls linearly to zero, weight decay 1e-3, gradients clipped to norm 1.
Differences: steps see fewer tokens (a setting; 2^18 officially); texts are the model's own instead of the
Pile, unless a file is given; nothing is in bfloat16; all places go backward together (the gradient is the
same); and the best parameters on validation texts are kept for each place.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from engine.lenses.base import Basis, Lens, Parameters, Place, Recipe, lenses
from engine.lenses.settings import LensTraining
from engine.models.transformer import Transformer

MOMENTUM = 0.9


@lenses.register("tuned")
class TunedLens(Lens):
    """h + W h + b."""

    title = "Tuned lens"
    description = "An affine map for every place, trained to say what the model says."

    def start(self, basis: Basis) -> Parameters:
        """Return zeros: W [P, D, D] and b [P, D]."""
        n, d, like = len(basis.places), basis.transformer.shape.d_model, basis.attention
        return {"weight": like.new_zeros((n, d, d)), "bias": like.new_zeros((n, d))}

    def final(
        self, transformer: Transformer, parameters: Parameters, places: Sequence[Place], streams: Tensor
    ) -> Tensor:
        """Translate; see the base class."""
        return translated(transformer, parameters, streams)

    def recipe(self, settings: LensTraining) -> Recipe:
        """Return the official recipe."""
        return official_recipe(settings.tuned_steps)


def official_recipe(steps: int, teacher: str | None = None) -> Recipe:
    """Return the recipe of the tuned-lens package (see the module), with another teacher if given."""
    rate = 1.0 * (1 - MOMENTUM)
    sgd = partial(torch.optim.SGD, lr=rate, momentum=MOMENTUM, nesterov=True, weight_decay=1e-3)
    return Recipe(steps, sgd, clip=1.0, teacher=teacher)


def translated(transformer: Transformer, parameters: Parameters, streams: Tensor) -> Tensor:
    """Return h + W h + b, [P, ..., D], centred where the model's streams are; h itself need not be."""
    weight, bias = parameters["weight"].to(streams), parameters["bias"].to(streams)
    moved = torch.baddbmm(bias.unsqueeze(1), streams.reshape(len(streams), -1, streams.shape[-1]), weight.mT)
    return transformer.centre(streams + moved.view_as(streams))
