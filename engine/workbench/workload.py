"""What a bench works on: a model with a batch of pairs, and a part of a work that stands for the whole."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.forward.batch import Batch
from engine.forward.masked import MaskedForward
from engine.models import Model


@dataclass(frozen=True)
class Workload:
    """The model and a batch of pairs, ready for a bench."""

    model: Model
    forward: MaskedForward
    batch: Batch
    prepare: Callable[[int], Batch]  # makes so many of its pairs anew, clean and corrupt run from tokens


@dataclass(frozen=True)
class Sample:
    """What a bench does once, a part of what it names: the time that counts is `weight` times its own."""

    work: Callable[[], object]
    weight: float

    def __call__(self) -> object:
        """Do the part."""
        return self.work()


# Makes a function ready that does once what the bench is about; only that function is timed.
Bench = Callable[[Workload], Callable[[], object]]
