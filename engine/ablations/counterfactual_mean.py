"""Counterfactual-mean ablation: the source's mean output over corrupt training prompts."""

from torch import Tensor

from engine.ablations.base import Reference, ablations
from engine.ablations.mean import Mean


@ablations.register("counterfactual-mean")
class CounterfactualMean(Mean):
    """a = E_x A(x_cf), per position or shared."""

    title = "Counterfactual mean"
    description = "The mean activation over corrupt prompts."

    def prompts(self, reference: Reference) -> list[Tensor]:
        """Return the corrupt prompts."""
        return reference.corrupt
