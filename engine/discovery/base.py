"""The base class of discovery methods, which score every edge for a model, prompts and an ablation.

A method is one file in this folder with a class derived from `Method`, registered under its name:

    @methods.register("edge-pruning")
    class EdgePruning(Method[Settings]): ...
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from engine.ablations.constants import Constants
from engine.forward.batch import Batch
from engine.forward.masked import MaskedForward, Replacement
from engine.progress import Report
from engine.registry import Registry
from engine.settings import SettingsT, WithSettings
from engine.tasks.base import Metric


@dataclass(frozen=True)
class Problem:
    """The input of a discovery method.

    Attributes:
        forward: the masked forward of the model on its graph (`forward.graph`).
        prepare: returns the training prompts in batches of at most a given size.
        target_edges: requested number of edges of the circuit.
        warm_start: scores [n_edges] of the run that the settings name as a start, if any.
        checkpoint: folder to save progress in and resume from, or None.
        constants: constants to train along with the masks, if the ablation's constants are trained and the
            method has `trains_constants`; else None.
        metric: the task's metric, for methods that estimate effects on it.
    """

    forward: MaskedForward
    prepare: Callable[[int], list[Batch]]
    target_edges: int
    warm_start: Tensor | None = None
    checkpoint: Path | None = None
    constants: Constants | None = None
    metric: Metric = "logit_difference"

    def replacement(self, batch: Batch) -> Replacement:
        """Return the replacement values of a batch, with the present constants if these are trained."""
        return batch.replacement if self.constants is None else self.constants.of(batch.clean)


@dataclass(frozen=True)
class Step:
    """One circuit on a method's path of circuits from large to small.

    Attributes:
        penalty: the price of an edge at which this circuit was found, in nats of KL.
        kept: bool [n_edges], on the CPU.
    """

    penalty: float
    kept: Tensor


@dataclass(frozen=True)
class Discovery:
    """The result of a discovery method.

    Attributes:
        scores: [n_edges] on the CPU; edges with higher scores are kept first.
        history: columns of numbers of the training.
        notes: sentences for the user.
        path: the circuits that the method itself chose, if it finds several.
    """

    scores: Tensor
    history: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    notes: list[str] = field(default_factory=list[str])
    path: list[Step] = field(default_factory=list[Step])


class Method(WithSettings[SettingsT], ABC):
    """Base class of discovery methods.

    Attributes:
        title, description: for the page.
        signed: whether a score's sign is the sign of the edge's effect.
        trains_constants: whether the method trains the constants of an optimal ablation along with its masks
            (`Problem.constants`). Any other method gets the constants of every node ablated alone.
        Settings: class of its settings; a field `warm_start` takes the id of a finished run.
    """

    title: ClassVar[str]
    description: ClassVar[str]
    signed: ClassVar[bool] = False
    trains_constants: ClassVar[bool] = False

    @abstractmethod
    def discover(self, problem: Problem, settings: SettingsT, seed: int, report: Report) -> Discovery:
        """Return a score for every edge.

        Raises:
            Cancelled: `report` was told to stop; progress is in the checkpoint folder.
        """


methods: Registry[Method[Any]] = Registry("method", "engine.discovery")


def has_signed_scores(method: str | None) -> bool:
    """Return whether a method's scores are signed effects; False for an unknown method."""
    return method is not None and method in methods.names() and methods.get(method).signed
