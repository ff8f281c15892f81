"""The mean lens: later attentions write their means (the start of the OCA lens; Li & Janson 2024)."""

from collections.abc import Sequence

from torch import Tensor

from engine.lenses.base import Basis, Lens, Parameters, Place, lenses
from engine.lenses.without_attention import carry_on
from engine.models.transformer import Transformer


@lenses.register("mean")
class MeanLens(Lens):
    """Means over texts and positions, shared by all places."""

    title = "Mean lens"
    description = "Every attention still to come writes its mean; the MLPs run."

    def start(self, basis: Basis) -> Parameters:
        """Return the means, [1, L, D]."""
        return {"constants": basis.attention.unsqueeze(0)}

    def final(
        self, transformer: Transformer, parameters: Parameters, places: Sequence[Place], streams: Tensor
    ) -> Tensor:
        """Run the remaining MLPs with the means; see the base class."""
        return carry_on(transformer, parameters["constants"], places, streams)
