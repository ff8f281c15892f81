"""The training of sampled masks through all levels; see `engine.discovery.gradient_sampling`."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from engine.circuits.circuit import prune_dangling
from engine.circuits.graph import Graph
from engine.discovery.base import Problem, Step
from engine.discovery.dangling import on_a_path
from engine.discovery.mask_training import (
    REPORT_EVERY,
    MaskTraining,
    answer_kl,
    constant_tensors,
    constants_optimiser,
)
from engine.errors import CircuitExplorerError
from engine.forward.masked import repeated

CLIP = 5.0  # largest norm of the gradient of one parameter
MOST_HEAD_PENALTY = 2e-4  # nats
FALLS_TO = 0.2  # of the learning rate, within a level


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
        """Return ρ, the price of a head's edges, at a level."""
        return min(penalty / 2, MOST_HEAD_PENALTY) if self.head_penalty is None else self.head_penalty


class MaskSampler(ABC):
    """The distribution of the masks, with trainable parameters for every edge.

    Attributes:
        betas: betas of the optimiser.
        parameters: leaf tensors [n_edges] by name.
    """

    betas: ClassVar[tuple[float, float]]
    parameters: dict[str, Tensor]

    @abstractmethod
    def __init__(self, n_edges: int, device: torch.device) -> None:
        """Initialise all edges alike."""

    @abstractmethod
    def sample(self, rows: int, generator: torch.Generator) -> Tensor:
        """Return masks [rows, n_edges] in [0, 1]."""

    @abstractmethod
    def keep_logit(self) -> Tensor:
        """Return the log-odds of the keep probability, which the price multiplies, [n_edges]."""

    @property
    @abstractmethod
    def theta(self) -> Tensor:
        """θ, which is compared with the threshold, [n_edges]."""


class SampledTraining(MaskTraining):
    """The training of a sampler's parameters through all levels."""

    def __init__(self, problem: Problem, settings: Settings, sampler: type[MaskSampler], seed: int) -> None:
        super().__init__(
            problem, settings.batch_size, seed, ("step", "kl", "edges_expected", "edges", "penalty")
        )
        self.settings, self.penalties = settings, settings.penalties()
        graph, like = self.forward.graph, self.forward.transformer.embedding
        self.sampler = sampler(graph.n_edges, like.device)
        self.head_edges = _head_edges(graph).to(like.device)
        # What is learned at the end of every level: log-odds of keeping, and what the threshold is for.
        self.by_level = torch.zeros((settings.levels, 2, graph.n_edges))
        self.start = {name: value.detach().clone() for name, value in self._learned().items()}
        self._new_optimisers()
        self.resume()

    def advance(self) -> None:
        """Take one step."""
        s, level = self.settings, self.step // self.settings.steps
        if self.step and self.step % s.steps == 0:
            self._new_level()
        penalty, batch, constants = self.penalties[level], self.next_batch(), self.problem.constants
        clean, replacement = repeated(batch.clean, self.problem.replacement(batch), s.samples)
        mask = self.sampler.sample(len(clean.tokens), self.generator)
        mask = mask * on_a_path(self.forward.graph, mask.detach())
        logits = self.forward(clean, replacement, mask, "all" if constants is None else "off")
        kl = answer_kl(logits, clean.logits)
        keep = torch.sigmoid(self.sampler.keep_logit())
        loss = kl + penalty * keep.sum() + s.head_price(penalty) * self.head_cost(keep)
        for group in self.mask_optimiser.param_groups:
            done = self.step % s.steps / s.steps
            fall = FALLS_TO + (1 - FALLS_TO) * (1 + math.cos(math.pi * done)) / 2
            group["lr"] = s.rate(penalty) * fall
        for optimiser in self.optimisers().values():
            optimiser.zero_grad()
        torch.autograd.backward(loss)
        for value in self._learned().values():
            if value.grad is not None:
                value.grad.nan_to_num_(0.0, 0.0, 0.0)
        for value in self.sampler.parameters.values():
            torch.nn.utils.clip_grad_norm_([value], CLIP)
        for optimiser in self.optimisers().values():
            optimiser.step()
        if self.step % REPORT_EVERY == 0:
            if not torch.isfinite(kl):
                raise CircuitExplorerError(f"the KL is {kl.item()} at step {self.step}: lower the rates")
            edges = int((self.sampler.theta > s.threshold).sum())
            self.note(self.step, kl.item(), keep.sum().item(), edges, penalty)
            self.state = (
                f"level {level + 1} of {s.levels} ({penalty:.2g} nats per edge): "
                f"KL {kl.item():.3f} nats, {edges} edges"
            )
        self.step += 1
        if self.step % s.steps == 0:
            learned = torch.stack([self.sampler.keep_logit(), self.sampler.theta])
            self.by_level[level] = learned.detach().cpu()

    def scores(self) -> Tensor:
        """Return the log-odds of every edge's keep probability, the mean over the levels, [n_edges]."""
        logits = self.by_level[:, 0].double()
        # By logarithms, so that edges that are hardly ever given up, or kept, are told apart.
        kept, lost = (functional.logsigmoid(x).logsumexp(0) for x in (logits, -logits))
        return (kept - lost).float()

    def path(self) -> list[Step]:
        """Return the circuit of every level."""
        graph, kept = self.forward.graph, self.by_level[:, 1] > self.settings.threshold
        return [
            Step(penalty, torch.as_tensor(prune_dangling(graph, edges.numpy())))
            for penalty, edges in zip(self.penalties, kept, strict=True)
        ]

    def tensors(self) -> dict[str, Tensor]:
        """Return the learned tensors; see the base class."""
        return self._learned() | {"found": self.by_level}

    def optimisers(self) -> dict[str, Optimizer]:
        """Return the optimisers; see the base class."""
        optimisers: dict[str, Optimizer] = {"masks": self.mask_optimiser}
        if self.constants_optimiser is not None:
            optimisers["constants"] = self.constants_optimiser
        return optimisers

    def _learned(self) -> dict[str, Tensor]:
        return self.sampler.parameters | constant_tensors(self.problem.constants)

    def _new_level(self) -> None:
        if self.settings.restart:
            with torch.no_grad():
                for name, value in self._learned().items():
                    value.copy_(self.start[name])
        self._new_optimisers()

    def _new_optimisers(self) -> None:
        masks, constants = list(self.sampler.parameters.values()), self.problem.constants
        self.mask_optimiser = AdamW(masks, betas=self.sampler.betas, weight_decay=0.0)
        self.constants_optimiser = (
            None if constants is None else constants_optimiser(constants, self.settings.constants_rate)
        )

    def head_cost(self, keep: Tensor) -> Tensor:
        """Return Σ_h tanh(2 t_h / LH) LH / 2, in which a head counts about t_h edges, and at most LH / 2."""
        half = self.forward.graph.n_layers * self.forward.graph.n_heads / 2
        return half * torch.tanh(self.head_edges @ keep / half).sum()


def _head_edges(graph: Graph) -> Tensor:
    """Return 1 where an edge leads into or out of a head, [L·H, n_edges]."""
    heads = [node for node, name in enumerate(graph.nodes) if name.startswith("a")]
    ends = torch.as_tensor(graph.edges[:, 0].copy()), torch.as_tensor(graph.reader_nodes[graph.edges[:, 1]])
    nodes = torch.tensor(heads).unsqueeze(-1)
    return sum((nodes == end).float() for end in ends)  # pyright: ignore[reportReturnType]
