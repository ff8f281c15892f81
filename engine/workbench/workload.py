"""The workload of benches: a model with a batch of pairs, and samples that stand for a larger work."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.forward.batch import Batch
from engine.forward.masked import MaskedForward
from engine.models import Model


@dataclass(frozen=True)
class Workload:
    """A model and a prepared batch of pairs."""

    model: Model
    forward: MaskedForward
    batch: Batch
    prepare: Callable[[int], Batch]  # makes so many of its pairs anew, clean and corrupt run from tokens


@dataclass(frozen=True)
class Sample:
    """A part of the work of a bench; the whole work counts as `weight` times its duration."""

    work: Callable[[], object]
    weight: float

    def __call__(self) -> object:
        """Do the part."""
        return self.work()


# Makes a function ready that does once what the bench is about; only that function is timed.
Bench = Callable[[Workload], Callable[[], object]]
