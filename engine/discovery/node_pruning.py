"""Node pruning: learn which heads and MLPs to keep, a baseline for methods that prune edges.

The method is Edge Pruning (Bhaskar et al. 2024, 2406.16778; the tracking recipe of
`engine.discovery.edge_pruning`) with masks on nodes alone: every head and MLP has a hard concrete mask z,
sampled for every prompt; the input and the logits are always kept. A pruned node writes its ablated value to
all readers, so its own inputs do not matter, and the mask of an edge is that of its source. The loss is the
KL divergence from the full model at the answer position plus a Lagrangian that holds the sparsity s to a
rising target t,

    L = KL(full ‖ circuit) + λ₁ (s - t) + λ₂ (s - t)² ,    s = 1 - mean over edges of P(z_s > 0) P(z_r > 0) .

An edge is left if neither its source nor its reader's node is pruned. So its score is the smaller of the two
nodes' log-odds of being kept: an edge enters a growing circuit together with the weaker of its two ends. No
two nodes have the same log-odds.
"""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.optim import AdamW, Optimizer

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
from engine.progress import Report

TARGET_REACHED = 0.8  # share of the steps over which the target rises
DECAY_FROM = 0.5  # share of the steps after which the mask rate falls to 0
APART = 1e-4  # log-odds between two nodes in order, at least


class Settings(BaseModel):
    """Settings of node pruning."""

    model_config = ConfigDict(extra="forbid")

    steps: int = Field(1000, ge=1, le=100_000, title="Steps", description="Training steps.")
    batch_size: int = Field(16, ge=1, le=4096, title="Batch size", description="Pairs of prompts in a step.")
    target_sparsity: float | None = Field(
        None,
        gt=0,
        le=1.5,
        title="Target sparsity",
        description="Share of edges pruned that is aimed at; by default that of the requested size.",
    )
    start: float = Field(2.0, ge=-20, le=20, title="Start", description="log α at the first step.")
    mask_rate: float = Field(0.1, gt=0, le=10, title="Mask rate", description="Learning rate of the masks.")
    multiplier_rate: float = Field(
        1.0, gt=0, le=100, title="Multiplier rate", description="Learning rate of the Lagrange multipliers."
    )
    constants_rate: float = Field(
        5e-3,
        gt=0,
        le=1,
        title="Constants rate",
        description="Learning rate of the constants of an optimal ablation.",
    )


@methods.register("node-pruning")
class NodePruning(Method[Settings]):
    """Masks on nodes learned by gradient; an edge is as good as the weaker of its two ends."""

    title = "Node Pruning"
    description = "Learns by gradient which heads and MLPs to keep, with all edges between them: a baseline."
    trains_constants = True

    def discover(self, problem: Problem, settings: Settings, seed: int, report: Report) -> Discovery:
        """Return for every edge the log-odds of the weaker of its two nodes; see the base class."""
        training = Training(problem, settings, seed)
        training.run(settings.steps, report)
        return Discovery(training.scores(), training.history)


class Training(MaskTraining):
    """The parameters, optimisers and random state of one training."""

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        super().__init__(problem, settings.batch_size, seed, ("step", "loss", "kl", "sparsity", "target"))
        graph, device = problem.forward.graph, problem.forward.transformer.embedding.device
        self.settings = settings
        self.target = settings.target_sparsity or 1 - problem.target_edges / graph.n_edges
        # Nodes are numbered as in the graph: the input first, the logits last; neither has a mask.
        edges = torch.as_tensor(graph.edges).to(device)
        self.source, self.reader = edges[:, 0], torch.as_tensor(graph.reader_nodes).to(device)[edges[:, 1]]
        self.nodes = torch.full((len(graph.nodes) - 2,), settings.start, device=device).requires_grad_()
        self.multipliers = torch.zeros(2, device=device, requires_grad=True)
        self._optimisers: dict[str, Optimizer] = {
            "mask": AdamW([self.nodes], lr=settings.mask_rate, weight_decay=0),
            "multiplier": AdamW(
                [self.multipliers], lr=settings.multiplier_rate, weight_decay=0, maximize=True
            ),
        }
        if problem.constants is not None:
            self._optimisers["constants"] = constants_optimiser(problem.constants, settings.constants_rate)
        self.resume()

    def advance(self) -> None:
        """Take one step."""
        steps, batch = self.settings.steps, self.next_batch()
        target = min(1.0, self.step / max(1.0, TARGET_REACHED * steps)) * self.target
        sampled = hard_concrete.sample(self.nodes.expand(len(batch.answers), -1), self.generator)
        mask = _with_ends(sampled)[:, self.source]
        rule = "all" if self.problem.constants is None else "off"
        logits = self.forward(batch.clean, self.problem.replacement(batch), mask, rule)
        kl = answer_kl(logits, batch.clean.logits)
        kept = _with_ends(torch.sigmoid(hard_concrete.keep_logit(self.nodes)))
        sparsity = 1 - (kept[self.source] * kept[self.reader]).mean()
        gap = sparsity - target
        loss = kl + self.multipliers[0] * gap + self.multipliers[1] * gap.square()
        falling = DECAY_FROM * steps
        fall = min(1.0, (steps - self.step) / max(1.0, steps - falling))
        self._optimisers["mask"].param_groups[0]["lr"] = self.settings.mask_rate * fall
        for optimiser in self._optimisers.values():
            optimiser.zero_grad()
        torch.autograd.backward(loss)
        for optimiser in self._optimisers.values():
            optimiser.step()
        if self.step % REPORT_EVERY == 0:
            if not torch.isfinite(loss):
                raise CircuitExplorerError(f"the loss is {loss.item()} at step {self.step}: lower mask_rate")
            self.note(self.step, loss.item(), kl.item(), sparsity.item(), target)
            self.state = f"KL {kl.item():.3f} nats, sparsity {sparsity.item():.3f} (target {target:.3f})"
        self.step += 1

    def scores(self) -> Tensor:
        """Return the smaller log-odds of being kept of an edge's two nodes, float32 [n_edges] on the CPU."""
        odds = hard_concrete.keep_logit(self.nodes.detach().cpu().double())
        ordered, order = odds.sort(stable=True)
        odds[order] = ordered + APART * torch.arange(len(odds))
        nodes = _with_ends(odds, float(odds.max()) + 1)
        return torch.minimum(nodes[self.source.cpu()], nodes[self.reader.cpu()]).float()

    def tensors(self) -> dict[str, Tensor]:
        """Return the learned tensors; see the base class."""
        return {"nodes": self.nodes, "multipliers": self.multipliers} | constant_tensors(
            self.problem.constants
        )

    def optimisers(self) -> dict[str, Optimizer]:
        """Return the optimisers; see the base class."""
        return self._optimisers


def _with_ends(nodes: Tensor, value: float = 1.0) -> Tensor:
    """Return values of heads and MLPs [..., n], with `value` added for the input in front, logits behind."""
    end = nodes.new_full((*nodes.shape[:-1], 1), value)
    return torch.cat([end, nodes, end], -1)
