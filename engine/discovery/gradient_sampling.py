"""Learning masks from a price per edge: what UGS and HCGS share (Li & Janson 2024, 2409.09951).

Every edge has a random mask α; of every prompt several samples run. The loss is, with the keep probabilities
p, the price λ of an edge in nats, and t_h the sum of p over all edges into and out of head h,

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
divide it, for UGS by 5 under counterfactual ablation and by 2 under resampling; a method is not told the
ablation, so this is left to `mask_rate`.
"""

import math
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.discovery.base import Discovery, Method, Problem, Report
from engine.discovery.sampled_training import MaskSampler, SampledTraining

MOST_HEAD_PENALTY = 2e-4


class Settings(BaseModel):
    """Settings of UGS and HCGS."""

    model_config = ConfigDict(extra="forbid")

    highest: float = Field(
        0.02,
        gt=0,
        le=100,
        title="Highest penalty",
        description="Price of an edge at the last level, in nats.",
    )
    lowest: float = Field(
        5e-4,
        gt=0,
        le=100,
        title="Lowest penalty",
        description="Price of an edge at the first level, in nats.",
    )
    levels: int = Field(
        6,
        ge=1,
        le=100,
        title="Levels",
        description="Prices from the lowest to the highest, a circuit for each; 1 takes the highest alone.",
    )
    steps: int = Field(200, ge=1, le=100_000, title="Steps", description="Training steps at each level.")
    batch_size: int = Field(8, ge=1, le=4096, title="Batch size", description="Pairs of prompts in a step.")
    samples: int = Field(
        4, ge=1, le=1024, title="Samples", description="Masks drawn for every prompt in a step."
    )
    restart: bool = Field(
        False, title="Restart", description="Train anew at every level rather than go on from the last one."
    )
    mask_rate: float | None = Field(
        None,
        gt=0,
        le=10,
        title="Mask rate",
        description="Learning rate of the masks; by default 0.15 up to a price of 1e-4, 0.1 up to 5e-4, "
        "0.05 above.",
    )
    constants_rate: float = Field(
        5e-3, gt=0, le=10, title="Constants rate", description="Learning rate of trained constants."
    )
    head_penalty: float | None = Field(
        None,
        ge=0,
        le=100,
        title="Head penalty",
        description="Price of a head's edges, as long as it has few; by default half of an edge's, "
        "at most 2e-4.",
    )
    threshold: float = Field(
        0.0, ge=-20, le=20, title="Threshold", description="A level's circuit has the edges with θ above it."
    )

    @model_validator(mode="after")
    def _rising(self) -> "Settings":
        if self.levels > 1 and self.lowest > self.highest:
            raise ValueError("the lowest penalty is above the highest")
        return self

    def penalties(self) -> list[float]:
        """Return the price of an edge at every level."""
        if self.levels == 1:
            return [self.highest]
        ratio = math.log(self.highest / self.lowest) / (self.levels - 1)
        return [self.lowest * math.exp(ratio * level) for level in range(self.levels)]

    def rate(self, penalty: float) -> float:
        """Return the learning rate of the masks at the start of a level."""
        if self.mask_rate is not None:
            return self.mask_rate
        return 0.15 if penalty <= 1e-4 else 0.1 if penalty <= 5e-4 else 0.05

    def head_price(self, penalty: float) -> float:
        """Return ρ at a level."""
        return min(penalty / 2, MOST_HEAD_PENALTY) if self.head_penalty is None else self.head_penalty


class GradientSampling(Method):
    """A method that learns masks from a price per edge; `Sampler` says how they are drawn."""

    trains_constants = True
    Settings = Settings
    Sampler: ClassVar[type[MaskSampler]]

    def discover(self, problem: Problem, settings: BaseModel, seed: int, report: Report) -> Discovery:
        """Return the scores and a circuit for every level; see the base class."""
        assert isinstance(settings, Settings)
        training = SampledTraining(problem, settings, self.Sampler, seed)
        training.run(settings.levels * settings.steps, report)
        return Discovery(training.scores(), training.history, path=training.path())
