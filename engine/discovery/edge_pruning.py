"""Edge Pruning (Bhaskar, Wettig, Friedman & Chen 2024, 2406.16778): learn which edges to keep by gradient.

Every edge and every source has a hard concrete mask. The mask of an edge in the forward pass is the product
of its own and its source's mask. The loss is the KL divergence from the full model at the answer position
plus a Lagrangian that holds the sparsity s to a rising target t,

    L = KL(full ‖ circuit) + λ₁ (s - t) + λ₂ (s - t)² ,     λ₁, λ₂ by gradient ascent.

There are two recipes. "published" is that of the authors' code: a saturated start, one mask for the whole
batch, the sparsity of the sampled masks, and weight decay, without which the masks never move. "tracking"
(the default) starts where masks have a gradient, samples a mask for every prompt, and takes the expected
sparsity, in closed form, so that it follows its target closely.

Under an optimal ablation, the constants are trained along with the masks, by an AdamW of their own, and learn
only from edges that are fully off (Li & Janson 2024, 2409.09951).

Unlike in the authors' code, the teacher and corrupt passes are computed once, prompts are not padded, and
only edges that exist have masks.
"""

from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional

from engine.discovery import hard_concrete
from engine.discovery.base import Discovery, Method, Problem, methods
from engine.discovery.mask_training import (
    REPORT_EVERY,
    MaskTraining,
    answer_kl,
    constant_tensors,
    constants_optimiser,
)
from engine.errors import CircuitExplorerError
from engine.files import is_object
from engine.forward.batch import Batch
from engine.progress import Report
from engine.settings import Later

# From the reference's scripts for GPT-2; everything else as in the tracking recipe.
PUBLISHED: dict[str, Any] = {
    "steps": 3000,
    "batch_size": 32,
    "start": 10.0,
    "start_spread": 0.01,
    "mask_rate": 0.8,
    "multiplier_rate": 0.8,
    "weight_decay": 0.01,
    "sparsity_of": "samples",
    "target_reached": 5 / 6,
    "rate_warmup": 200,
    "rate_decay_from": 0.0,
    "clip": 1.0,
    "per_example": False,
}


class Settings(BaseModel):
    """Settings of Edge Pruning."""

    model_config = ConfigDict(extra="forbid")

    recipe: Literal["tracking", "published"] = Field(
        "tracking", title="Recipe", description="'published' takes the reference code's values for all below."
    )
    steps: int = Field(1500, ge=1, le=100_000, title="Steps", description="Training steps.")
    batch_size: int = Field(16, ge=1, le=4096, title="Batch size", description="Pairs of prompts in a step.")
    target_sparsity: float | None = Field(
        None,
        gt=0,
        le=1.5,
        title="Target sparsity",
        description="Where the Lagrangian pulls to; by default a little beyond the requested size.",
    )
    node_masks: bool = Field(True, title="Node masks", description="Masks on sources besides those on edges.")
    node_target: float | None = Field(
        None, gt=0, le=1.5, title="Node sparsity target", description="Also hold the share of sources pruned."
    )
    per_example: bool = Field(
        True,
        title="Masks per example",
        description="Sample a mask for every prompt rather than one for the whole batch: less noise.",
    )
    metric_weight: float = Field(
        0.0,
        ge=0,
        le=100,
        title="Metric weight",
        description="Adds this times the squared gap in logit difference to the model's, relative to it.",
    )
    start: float = Field(2.0, ge=-20, le=20, title="Start", description="log α at the first step.")
    start_spread: float = Field(0.0, ge=0, le=10, title="Start spread", description="Its standard deviation.")
    mask_rate: float = Field(0.1, gt=0, le=10, title="Mask rate", description="Learning rate of the masks.")
    multiplier_rate: float = Field(
        1.0, gt=0, le=100, title="Multiplier rate", description="Learning rate of the Lagrange multipliers."
    )
    constants_rate: Annotated[float, Later()] = Field(
        5e-3, gt=0, le=10, title="Constants rate", description="Learning rate of trained constants."
    )
    weight_decay: float = Field(
        0.0, ge=0, le=1, title="Weight decay", description="On masks and multipliers."
    )
    sparsity_of: Literal["expectation", "samples"] = Field(
        "expectation",
        title="Sparsity of",
        description="Expected sparsity in closed form, or the sampled masks'.",
    )
    target_reached: float = Field(
        0.8, gt=0, le=1, title="Target reached", description="Share of the steps over which the target rises."
    )
    rate_warmup: int = Field(
        0, ge=0, title="Rate warm-up", description="Steps over which the mask rate rises."
    )
    rate_decay_from: float = Field(
        0.5, ge=0, le=1, title="Rate decay from", description="Share of the steps after which it falls to 0."
    )
    clip: float | None = Field(None, gt=0, title="Clip", description="Largest norm of the masks' gradient.")
    warm_start: str | None = Field(
        None, title="Warm start", description="A finished run on the same graph whose ranking is the start."
    )

    @model_validator(mode="before")
    @classmethod
    def _published(cls, given: Any) -> Any:
        """Fill in settings of the published recipe that were not given."""
        if is_object(given) and given.get("recipe") == "published":
            return PUBLISHED | given
        return given

    @model_validator(mode="after")
    def _nodes_to_prune(self) -> "Settings":
        if self.node_target is not None and not self.node_masks:
            raise ValueError("a node sparsity target needs node masks")
        return self


@methods.register("edge-pruning")
class EdgePruning(Method[Settings]):
    """Masks learned by gradient; the score is the log-odds of keeping the edge."""

    title = "Edge Pruning"
    description = "Learns by gradient which edges to keep, at a sparsity that rises to its target."
    trains_constants = True

    def discover(self, problem: Problem, settings: Settings, seed: int, report: Report) -> Discovery:
        """Return the log-odds of every edge being kept; see the base class."""
        training = Training(problem, settings, seed)
        training.run(settings.steps, report)
        return Discovery(training.scores().cpu(), training.history)


class Training(MaskTraining):
    """The parameters, optimisers and random state of one training."""

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        super().__init__(problem, settings.batch_size, seed, ("step", "loss", "kl", "sparsity", "target"))
        self.settings = settings
        graph, like = problem.forward.graph, problem.forward.transformer.embedding
        self.target = settings.target_sparsity or 1 - 0.6 * problem.target_edges / graph.n_edges
        self.source = torch.as_tensor(graph.edges[:, 0].copy()).to(like.device)
        self.edges = self._start(graph.n_edges, problem.warm_start).to(like.device).requires_grad_()
        self.nodes = self._start(len(graph.sources), None).to(like.device).requires_grad_(settings.node_masks)
        self.multipliers = torch.zeros(4, device=like.device, requires_grad=True)
        masks = [self.edges, self.nodes] if settings.node_masks else [self.edges]
        decay = settings.weight_decay
        self.mask_optimiser = torch.optim.AdamW(masks, lr=settings.mask_rate, weight_decay=decay)
        self.multiplier_optimiser = torch.optim.AdamW(
            [self.multipliers], lr=settings.multiplier_rate, weight_decay=decay, maximize=True
        )
        self.constants_optimiser = (
            None
            if problem.constants is None
            else constants_optimiser(problem.constants, settings.constants_rate)
        )
        self.resume()

    def _start(self, n: int, warm_start: Tensor | None) -> Tensor:
        start = torch.full((n,), self.settings.start)
        if self.settings.start_spread:
            start += self.settings.start_spread * torch.randn(n, generator=self.generator)
        if warm_start is not None:
            # Other methods' scores have other scales; their ranking is what carries over.
            start += warm_start.argsort().argsort().float() / (n - 1) * 2 - 1
        return start

    def advance(self) -> None:
        """Take one step."""
        s = self.settings
        batch = self.next_batch()
        target = min(1.0, self.step / max(1, s.target_reached * s.steps)) * self.target
        samples = len(batch.answers) if s.per_example else 1
        mask = edges = hard_concrete.sample(self.edges.expand(samples, -1), self.generator)
        if s.node_masks:
            mask = (
                edges * hard_concrete.sample(self.nodes.expand(samples, -1), self.generator)[:, self.source]
            )
        mask = mask if s.per_example else mask[0]
        rule = "all" if self.constants_optimiser is None else "off"
        logits = self.forward(batch.clean, self.problem.replacement(batch), mask, rule).float()
        kl = answer_kl(logits, batch.clean.logits)
        sparsity = self._sparsity(edges)
        gap = sparsity - target
        loss = kl + self.multipliers[0] * gap + self.multipliers[1] * gap.square()
        if s.metric_weight:
            loss = loss + s.metric_weight * _metric_gap(logits, batch)
        if s.node_target is not None:
            node_gap = (
                1
                - torch.sigmoid(hard_concrete.keep_logit(self.nodes)).mean()
                - s.node_target * target / self.target
            )
            loss = loss + self.multipliers[2] * node_gap + self.multipliers[3] * node_gap.square()
        for group in self.mask_optimiser.param_groups:
            group["lr"] = s.mask_rate * self._rate()
        for optimiser in self.optimisers().values():
            optimiser.zero_grad()
        torch.autograd.backward(loss)
        if s.clip is not None:
            torch.nn.utils.clip_grad_norm_([self.edges, self.nodes], s.clip)
        for optimiser in self.optimisers().values():
            optimiser.step()
        if self.step % REPORT_EVERY == 0:
            if not torch.isfinite(loss):
                raise CircuitExplorerError(f"the loss is {loss.item()} at step {self.step}: lower mask_rate")
            self.note(self.step, loss.item(), kl.item(), sparsity.item(), target)
            self.state = f"KL {kl.item():.3f} nats, sparsity {sparsity.item():.3f} (target {target:.3f})"
        self.step += 1

    def scores(self) -> Tensor:
        """Return the log-odds that an edge and its source are both kept, [n_edges]."""
        logits = hard_concrete.keep_logit(self.edges.detach().cpu().double())
        if not self.settings.node_masks:
            return logits.float()
        nodes = hard_concrete.keep_logit(self.nodes.detach().cpu().double())[self.source.cpu()]
        log_kept = functional.logsigmoid(logits) + functional.logsigmoid(nodes)
        return (log_kept - torch.log(-torch.expm1(log_kept))).float()

    def _sparsity(self, sampled: Tensor) -> Tensor:
        """Return 1 minus the share of edges kept by their own masks, expected or of the sampled masks.

        As in the authors' code, the masks of sources do not count: otherwise the Lagrangian would prune whole
        sources first, which lowers the number of edges fastest and harms the circuit most.
        """
        if self.settings.sparsity_of == "samples":
            return 1 - sampled.mean()
        return 1 - torch.sigmoid(hard_concrete.keep_logit(self.edges)).mean()

    def _rate(self) -> float:
        """Return the factor of the masks' learning rate at this step: a rise, a plateau, a fall to 0."""
        s = self.settings
        rise = min(1.0, (self.step + 1) / (s.rate_warmup + 1))
        falling = s.rate_decay_from * s.steps
        fall = 1.0 if self.step < falling else (s.steps - self.step) / max(1.0, s.steps - falling)
        return rise * fall

    def tensors(self) -> dict[str, Tensor]:
        """Return the learned tensors; see the base class."""
        learned = {"edges": self.edges, "nodes": self.nodes, "multipliers": self.multipliers}
        return learned | constant_tensors(self.problem.constants)

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimisers; see the base class."""
        optimisers: dict[str, torch.optim.Optimizer] = {
            "mask": self.mask_optimiser,
            "multiplier": self.multiplier_optimiser,
        }
        if self.constants_optimiser is not None:
            optimisers["constants"] = self.constants_optimiser
        return optimisers


def _metric_gap(logits: Tensor, batch: Batch) -> Tensor:
    """Return the mean squared relative gap of the circuit's logit difference to the model's."""

    def difference(values: Tensor) -> Tensor:
        pairs = zip(values, batch.answers, batch.wrong_answers, strict=True)
        return torch.stack([row[a].mean() - row[w].mean() for row, a, w in pairs])

    model = difference(batch.clean.logits.float())
    return ((difference(logits) - model).square().mean()) / model.square().mean().clamp_min(1e-6)
