"""Mean ablation: the source's mean output over clean training prompts."""

from torch import Tensor

from engine.ablations.base import Ablation, Conditioning, Reference, Replacer, ablations
from engine.ablations.constants import MeanSettings, constant_replacer, means
from engine.models.transformer import Transformer


@ablations.register("mean")
class Mean(Ablation[MeanSettings]):
    """a = E_x A(x), per position or shared."""

    title = "Mean"
    description = "The mean activation over clean prompts."

    def prepare(
        self, transformer: Transformer, reference: Reference, settings: MeanSettings, seed: int
    ) -> Replacer:
        """Return a replacer of means; see the base class."""
        groups = self.prompts(reference)
        return constant_replacer(means(transformer, groups, self.conditioning(settings)))

    def prompts(self, reference: Reference) -> list[Tensor]:
        """Return the prompts that the mean is taken over."""
        return reference.clean

    def conditioning(self, settings: MeanSettings) -> Conditioning:
        """Return the conditioning the settings ask for."""
        return settings.conditioning
