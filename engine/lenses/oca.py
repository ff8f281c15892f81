"""The OCA lens, optimal constant attention (Li & Janson 2024, 2409.09951, section 5).

    a_{l,·}  =  argmin  E KL( M(x) ‖ M from place l on with the constants a_{l,m} for attentions m ≥ l )

for every place by itself (`engine.lenses.without_attention`). Against the authors' code: constants start at
the means, not at normal noise, and learn from every position of a text, not from its last alone.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from engine.lenses.base import Basis, Lens, Parameters, Place, Recipe, lenses
from engine.lenses.settings import LensTraining
from engine.lenses.without_attention import carry_on
from engine.models.transformer import Transformer

RATE = 2e-3  # the authors'


@lenses.register("oca")
class OcaLens(Lens):
    """A constant for every place and every attention after it."""

    title = "OCA lens"
    description = "Every attention still to come writes a trained constant; the MLPs run."

    def start(self, basis: Basis) -> Parameters:
        """Return the means for every place, [P, L, D]."""
        return {"constants": basis.attention.expand(len(basis.places), -1, -1).clone()}

    def final(
        self, transformer: Transformer, parameters: Parameters, places: Sequence[Place], streams: Tensor
    ) -> Tensor:
        """Carry on with the constants; see the base class."""
        return carry_on(transformer, parameters["constants"], places, streams)

    def recipe(self, settings: LensTraining) -> Recipe:
        """Train by AdamW without weight decay."""
        return Recipe(settings.oca_steps, partial(torch.optim.AdamW, lr=RATE, weight_decay=0))

    def count(self, parameters: Parameters, places: Sequence[Place]) -> int:
        """Count the constants of the attentions after each place."""
        layers, d = parameters["constants"].shape[1:]
        return sum(layers - place.layer - place.middle for place in places) * d
