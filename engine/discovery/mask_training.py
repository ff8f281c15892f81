"""The base class of trainings of masks by gradient: loss, order of batches, checkpoints."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from engine.ablations.constants import Constants
from engine.checkpoints import load_checkpoint, save_checkpoint
from engine.discovery.base import Problem
from engine.forward.batch import Batch
from engine.progress import Report
from engine.tensors import integers

REPORT_EVERY = 10
CHECKPOINT_EVERY = 100


def answer_kl(logits: Tensor, model_logits: Tensor) -> Tensor:
    """Return KL(model ‖ circuit) of logits [B, V], the mean over rows, in nats."""
    return functional.kl_div(
        logits.float().log_softmax(-1),
        model_logits.float().log_softmax(-1),
        reduction="batchmean",
        log_target=True,
    )


def constants_optimiser(constants: Constants, rate: float) -> AdamW:
    """Return the optimiser of constants that are trained along with masks (Li & Janson 2024)."""
    return AdamW(constants.values, lr=rate, weight_decay=0.0)


class MaskTraining(ABC):
    """A training that can be stopped at any step and resumed from its checkpoint with the same result.

    Attributes:
        step: number of steps taken.
        state: message for progress reports.
        history: columns of numbers, with a new row every `REPORT_EVERY` steps.
    """

    def __init__(self, problem: Problem, batch_size: int, seed: int, columns: tuple[str, ...]) -> None:
        self.problem, self.forward = problem, problem.forward
        self.batches = problem.prepare(batch_size)
        self.generator = torch.Generator().manual_seed(seed)
        self.step: int = 0
        self.order: list[int] = []
        self.state = "starting"
        self.history: dict[str, list[float]] = {name: [] for name in columns}

    @abstractmethod
    def advance(self) -> None:
        """Take one step."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return all learned tensors for the checkpoint, by name; `resume` writes into them."""

    @abstractmethod
    def optimisers(self) -> dict[str, Optimizer]:
        """Return the optimisers by name; names must not contain a dot."""

    def run(self, steps: int, report: Report) -> None:
        """Train up to step `steps`, with reports and checkpoints."""
        for step in range(self.step, steps):
            if step % REPORT_EVERY == 0:
                report(step, steps, self.state)
            self.advance()
            if self.problem.checkpoint is not None and self.step % CHECKPOINT_EVERY == 0:
                self.save()
        report(steps, steps, self.state)

    def next_batch(self) -> Batch:
        """Return the next batch; in every epoch, all batches come once, in random order."""
        if not self.order:
            self.order = integers(torch.randperm(len(self.batches), generator=self.generator))
        return self.batches[self.order.pop()]

    def note(self, *values: float) -> None:
        """Add a row to the history, in the order of its columns."""
        for name, value in zip(self.history, values, strict=True):
            self.history[name].append(value)

    def save(self) -> None:
        """Write the checkpoint."""
        assert self.problem.checkpoint is not None
        tensors = {name: value.detach() for name, value in self.tensors().items()}
        tensors["random"] = self.generator.get_state()
        for name, optimiser in self.optimisers().items():
            for index, values in optimiser.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{key}": value for key, value in values.items()}
        numbers = {"step": self.step, "order": self.order, "history": self.history}
        save_checkpoint(self.problem.checkpoint, tensors, numbers)

    def resume(self) -> None:
        """Load the checkpoint, if there is one; to be called at the end of the constructor."""
        saved = load_checkpoint(self.problem.checkpoint)
        if saved is None:
            return
        tensors, numbers = saved
        with torch.no_grad():
            for name, value in self.tensors().items():
                value.copy_(tensors[name])
        self.generator.set_state(tensors["random"])
        for name, optimiser in self.optimisers().items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                if key.startswith(f"{name}."):
                    _, index, field = key.split(".")
                    state.setdefault(int(index), {})[field] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        self.step, self.order, self.history = numbers["step"], numbers["order"], numbers["history"]


def constant_tensors(constants: Constants | None) -> dict[str, Tensor]:
    """Return trained constants by name, for a checkpoint; {} without constants."""
    return {} if constants is None else {f"constants {i}": x for i, x in enumerate(constants.values)}
