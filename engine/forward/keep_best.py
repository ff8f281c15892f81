"""Training by steps, where what was best on data held out is kept, group by group.

What is trained may fall into groups that have nothing to do with each other: the constants of every node
ablated alone, or a lens for every place. Each group has a loss of its own and keeps its own best, so that on
the data held out none is worse than its start.
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
    """Yield the number of every step, from 0 on, and its batch; the learning rates fall to zero meanwhile.

    Args:
        optimiser: with the learning rates of the first step, from which they fall in a straight line.
        shuffled: returns all batches in a new order, whenever those before are used up.
    """
    rates = [group["lr"] for group in optimiser.param_groups]
    batches: list[Batch] = []
    for step in range(steps):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * (1 - step / steps)
        batches = batches or shuffled()
        yield step, batches.pop()


def is_checked(done: int, steps: int) -> bool:
    """Return whether values are judged after so many steps: every `CHECK_EVERY`, and at the end."""
    return done % CHECK_EVERY == 0 or done == steps


class Best(Generic[Values]):
    """The best values so far, group by group, and how the training went.

    Attributes:
        values: the best values.
        losses: their losses on the data held out, [groups].
        history: a row for the start and for every check: "step", the mean loss of the values checked (under
            the name `loss`), and the mean loss of the best so far ("best").
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
        """Take the values of the start and their losses.

        Args:
            choose: returns values that are the second where the first, bool [groups], holds, and else the
                third; they must not change when training goes on.
            mean: over the losses of all groups.
        """
        self.values, self.losses = start, losses
        self.history: History = {"step": [], loss: [], "best": []}
        self._choose, self._mean = choose, mean
        self._note(first_step, losses)

    def keep(self, values: Values, losses: Tensor) -> None:
        """Keep the groups of some values that are better than the best so far."""
        better = losses < self.losses
        self.values = self._choose(better, values, self.values)
        self.losses = torch.where(better, losses, self.losses)

    def check(self, step: int, values: Values, losses: Tensor) -> None:
        """Keep what is better in the values after so many steps, and note how they are."""
        self.keep(values, losses)
        self._note(step, losses)

    def _note(self, step: int, losses: Tensor) -> None:
        row = (step, self._mean(losses), self._mean(self.losses))
        for name, value in zip(self.history, row, strict=True):
            self.history[name].append(float(value))


def rows_where(better: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Return a new tensor with the rows of `new` where they are better, bool [n], and else those of `old`."""
    return torch.where(better.view(-1, *(1,) * (new.dim() - 1)), new, old)
