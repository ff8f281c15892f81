"""The base class of UGS and HCGS, which learn masks from a price per edge (Li & Janson 2024, 2409.09951).

Every edge has a random mask α, and every prompt runs with several samples of the masks. With the keep
probabilities p, the price λ of an edge in nats, and the sum t_h of p over all edges of head h, the loss is

    L = KL(full ‖ circuit) + λ Σ p + ρ Σ_h tanh(2 t_h / LH) LH / 2 ,     ρ = min(λ/2, 2e-4).

In every sample, edges on no path from `input` to `logits` are ablated. Constants of an optimal ablation are
trained along, only from edges that are fully off.

One run goes through several prices (levels), from the lowest to the highest, on a logarithmic scale. Every
level continues from the masks and constants of the one before, with new optimisers. The authors train anew
for every price, as does `restart`. A level's circuit has the edges with θ > τ, without dangling ones. An
edge's score is the log-odds of its keep probability, averaged over the levels: an edge that survives higher
prices ranks higher.

Differences from the authors' code: dangling edges are found for each sample separately, batches are shuffled
anew in every epoch, and the learning rate falls within a level by a cosine, to a fifth. The authors also
divide the learning rate, for UGS by 5 under counterfactual ablation and by 2 under resampling. A method does
not know the ablation here, so this is left to the setting `mask_rate`.
"""

from typing import ClassVar

from engine.discovery.base import Discovery, Method, Problem
from engine.discovery.sampled_training import MaskSampler, SampledTraining, Settings
from engine.progress import Report


class GradientSampling(Method[Settings]):
    """A method that learns masks from a price per edge; `Sampler` is the distribution of the masks."""

    trains_constants = True
    Sampler: ClassVar[type[MaskSampler]]

    def discover(self, problem: Problem, settings: Settings, seed: int, report: Report) -> Discovery:
        """Return the scores and a circuit for every level; see the base class."""
        training = SampledTraining(problem, settings, self.Sampler, seed)
        training.run(settings.levels * settings.steps, report)
        return Discovery(training.scores(), training.history, path=training.path())
