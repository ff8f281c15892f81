"""Zero ablation: the source writes zero. Biases of attention outputs belong to no edge and are kept."""

from engine.ablations.base import Ablation, Conditioning, NoSettings, Reference, Replacer, ablations
from engine.ablations.constants import constant_replacer, zeros
from engine.models.transformer import Transformer


@ablations.register("zero")
class Zero(Ablation[NoSettings]):
    """a = 0."""

    title = "Zero"
    description = "Nothing is written at all."

    def prepare(
        self, transformer: Transformer, reference: Reference, settings: NoSettings, seed: int
    ) -> Replacer:
        """Return a replacer of zeros; see the base class."""
        return constant_replacer(zeros(transformer))

    def conditioning(self, settings: NoSettings) -> Conditioning:
        """Return "shared": the same zero everywhere."""
        return "shared"
