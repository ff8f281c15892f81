"""Learning masks from a price per edge: what UGS and HCGS share (Li & Janson 2024, 2409.09951).

Every edge has a random mask α, and every prompt runs with several samples of the masks. With the keep
probabilities p, the price λ of an edge in nats, and the sum t_h of p over all edges of head h, the loss is

    L = KL(full ‖ circuit) + λ Σ p + ρ Σ_h tanh(2 t_h / LH) LH / 2 ,     ρ = min(λ/2, 2e-4).

In every sample the edges on no path from `input` to `logits` are ablated. Constants of an optimal ablation
are trained along, from the edges that are fully off alone.

Here one run goes through several prices, from the lowest to the highest, on a logarithmic scale. Every level
goes on from the masks and constants of the one before, with new optimisers; the authors train anew for every
price, which `restart` does too. A level's circuit is that of the edges with θ > τ, without dangling ones. An
edge's score is the log-odds of the mean over the levels of its keep probability: an edge that survives higher
prices ranks higher, and with one level the score is the log-odds of its keep probability.

Differences from the authors' code: dangling edges are found in every sample for itself, batches are shuffled
anew in every epoch, and the learning rate falls within a level by a cosine, to a fifth. The authors also
divide the learning rate, for UGS by 5 under counterfactual ablation and by 2 under resampling. A method is
not told the ablation, so this is left to `mask_rate`.
"""

from typing import ClassVar

from engine.discovery.base import Discovery, Method, Problem
from engine.discovery.sampled_training import MaskSampler, SampledTraining, Settings
from engine.progress import Report


class GradientSampling(Method[Settings]):
    """A method that learns masks from a price per edge; `Sampler` says how they are drawn."""

    trains_constants = True
    Sampler: ClassVar[type[MaskSampler]]

    def discover(self, problem: Problem, settings: Settings, seed: int, report: Report) -> Discovery:
        """Return the scores and a circuit for every level; see the base class."""
        training = SampledTraining(problem, settings, self.Sampler, seed)
        training.run(settings.levels * settings.steps, report)
        return Discovery(training.scores(), training.history, path=training.path())
