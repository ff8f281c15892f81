"""Counterfactual ablation (interchange): the source's output on the paired corrupt prompt."""

from torch import Tensor

from engine.ablations.base import (
    Ablated,
    Ablation,
    NoSettings,
    Reference,
    Replacer,
    ablations,
    first_difference,
)
from engine.forward.masked import Replacement
from engine.models.transformer import Transformer


@ablations.register("counterfactual")
class Counterfactual(Ablation[NoSettings]):
    """a = A(x_cf) at the same position of the corrupt prompt."""

    title = "Counterfactual"
    description = "The activation on the paired corrupt prompt, at the same position (interchange)."

    def prepare(
        self, transformer: Transformer, reference: Reference, settings: NoSettings, seed: int
    ) -> Replacer:
        """Return a replacer that runs the corrupt prompts; see the base class."""

        def replace(clean: Tensor, corrupt: Tensor) -> Ablated:
            start = first_difference(clean, corrupt)
            return Ablated(start, Replacement.from_run(transformer.run(corrupt, start)))

        return replace
