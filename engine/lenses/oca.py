"""The OCA lens, optimal constant attention (Li & Janson 2024, 2409.09951, section 5).

    a_{l,·}  =  argmin  E KL( M(x) ‖ M from place l on with the constants a_{l,m} for attentions m ≥ l )

for every place separately (`engine.lenses.without_attention`). In the middle of layer l, the lens first runs
the layer's own MLP on the model's stream. It then is the lens before layer l + 1, with the same later
attentions, so only the latter is trained. Differences from the authors' code: constants start at the means,
not at normal noise; they learn from every position of a text, not only from its last; their learning rate is
relative to their spread, which needs hundreds of steps, where the authors' rate of 2e-3 for every model needs
thousands.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.lenses.base import Basis, Lens, Parameters, Place, Recipe, lenses
from engine.lenses.settings import LensTraining
from engine.lenses.without_attention import carry_on
from engine.models.transformer import Transformer

RATE = 0.2  # of the first step, in the spread of the means


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
        """Run the remaining MLPs with the constants; see the base class."""
        return carry_on(transformer, parameters["constants"], places, streams)

    def owners(self, places: Sequence[Place]) -> list[int]:
        """Let the middle of a layer use the constants of the place before the next layer; see the module.

        The middle of the last layer has no later attention, so it uses no constants, whichever it gets.
        """
        layers = {place.layer: i for i, place in enumerate(places) if not place.middle}
        return [
            layers.get(place.layer + place.middle, layers.get(place.layer, i))
            for i, place in enumerate(places)
        ]

    def recipe(self, settings: LensTraining) -> Recipe:
        """Return the recipe: AdamW without weight decay."""

        def optimiser(values: list[Tensor]) -> torch.optim.Optimizer:
            spread = float(torch.cat([value.detach().flatten() for value in values]).std())
            return torch.optim.AdamW(values, lr=RATE * spread, weight_decay=0)

        return Recipe(settings.oca_steps, optimiser)

    def count(self, parameters: Parameters, places: Sequence[Place]) -> int:
        """Return the number of constants after each place, counted once for places that share them."""
        layers, d = parameters["constants"].shape[1:]
        owners = {places[i] for i in self.owners(places)}
        return sum(layers - place.layer - place.middle for place in owners) * d
