"""The logit lens (nostalgebraist 2020): the stream is unembedded as it is."""

from collections.abc import Sequence

from torch import Tensor

from engine.lenses.base import Basis, Lens, Parameters, Place, lenses
from engine.models.transformer import Transformer


@lenses.register("logit")
class LogitLens(Lens):
    """h itself."""

    title = "Logit lens"
    description = "The stream is unembedded as it is."
    has_parameters = False

    def start(self, basis: Basis) -> Parameters:
        """Return {}, since the lens has no parameters."""
        return {}

    def final(
        self, transformer: Transformer, parameters: Parameters, places: Sequence[Place], streams: Tensor
    ) -> Tensor:
        """Return the streams unchanged."""
        return streams
