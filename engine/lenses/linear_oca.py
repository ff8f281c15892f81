"""The linear OCA lens (Li & Janson 2024, 2409.09951, section 5): affine maps that imitate the OCA lens.

There is one map for every place, trained on KL(OCA ‖ linear). Its aligned directions stand for those of the
OCA lens, which is not linear.

The training is the recipe of the tuned lens with another teacher; the authors' code uses AdamW for both.
"""

from collections.abc import Sequence

from torch import Tensor

from engine.lenses.base import Basis, Lens, Parameters, Place, Recipe, lenses
from engine.lenses.settings import LensTraining
from engine.lenses.tuned import official_recipe, translated
from engine.models.transformer import Transformer


@lenses.register("linear-oca")
class LinearOcaLens(Lens):
    """h + W h + b."""

    title = "Linear OCA lens"
    description = "An affine map for every place, trained to say what the OCA lens says."

    def start(self, basis: Basis) -> Parameters:
        """Return zeros: W [P, D, D] and b [P, D]."""
        return lenses.get("tuned").start(basis)

    def final(
        self, transformer: Transformer, parameters: Parameters, places: Sequence[Place], streams: Tensor
    ) -> Tensor:
        """Translate; see the base class."""
        return translated(transformer, parameters, streams)

    def recipe(self, settings: LensTraining) -> Recipe:
        """Return the recipe of the tuned lens with the OCA lens as the teacher."""
        return official_recipe(settings.linear_steps, teacher="oca")
