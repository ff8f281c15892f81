"""Training that keeps the best values on held-out data, group by group.

The trained values may fall into independent groups: a constant for every node ablated alone, or a lens for
every place. Each group has its own loss and keeps its own best values, so that on held-out data no group is
worse than its start.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

CHECK_EVERY = 20  # steps between two looks at the data held out

Batch = TypeVar("Batch")
Values = TypeVar("Values")
History = dict[str, list[float]]


def training_steps(
    optimiser: Optimizer, steps: int, shuffled: Callable[[], list[Batch]]
) -> Iterator[tuple[int, Batch]]:
    """Yield the number of every step, from 0 on, and its batch; lower the learning rates linearly to zero.

    Args:
        optimiser: has the learning rates of the first step.
        shuffled: returns all batches in a new order; called at the start of every epoch.
    """
    rates = [group["lr"] for group in optimiser.param_groups]
    batches: list[Batch] = []
    for step in range(steps):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * (1 - step / steps)
        batches = batches or shuffled()
        yield step, batches.pop()


def is_checked(done: int, steps: int) -> bool:
    """Return whether values are checked after `done` steps: every `CHECK_EVERY` steps and at the end."""
    return done % CHECK_EVERY == 0 or done == steps


class Best(Generic[Values]):
    """The best values so far, group by group, and the history of the training.

    Attributes:
        values: the best values.
        losses: their losses on held-out data, [groups].
        history: a row for the start and for every check: "step", the mean loss of the values checked (under
            the name `loss`), and the mean of the lowest losses so far ("best").
    """

    def __init__(
        self,
        start: Values,
        losses: Tensor,
        choose: Callable[[Tensor, Values, Values], Values],
        first_step: int = 0,
        loss: str = "validation",
        mean: Callable[[Tensor], Tensor] = torch.mean,
    ) -> None:
        """Begin with the values of the start and their losses.

        Args:
            start: values before the training.
            losses: their losses on held-out data, [groups].
            choose: choose(better, new, old) returns a copy of `new` for the groups where `better` (bool
                [groups]) holds, and of `old` for the others.
            first_step: number of the step of the start in the history.
            loss: name of the loss in the history.
            mean: mean over the losses of all groups.
        """
        self.values, self.losses = start, losses
        self.history: History = {"step": [], loss: [], "best": []}
        self._choose, self._mean = choose, mean
        self._note(first_step, losses)

    def keep(self, values: Values, losses: Tensor) -> None:
        """Keep those groups of `values` that are better than the best so far."""
        better = losses < self.losses
        self.values = self._choose(better, values, self.values)
        self.losses = torch.where(better, losses, self.losses)

    def check(self, step: int, values: Values, losses: Tensor) -> None:
        """Keep better groups of the values after `step` steps, and add a row to the history."""
        self.keep(values, losses)
        self._note(step, losses)

    def _note(self, step: int, losses: Tensor) -> None:
        row = (step, self._mean(losses), self._mean(self.losses))
        for name, value in zip(self.history, row, strict=True):
            self.history[name].append(float(value))


def rows_where(better: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Return a new tensor with the rows of `new` where `better` (bool [n]) holds, else those of `old`."""
    return torch.where(better.view(-1, *(1,) * (new.dim() - 1)), new, old)
