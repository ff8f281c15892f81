"""What a lens is: a map from the stream in the middle of a model to the stream at its end.

A lens is one file in this folder with a class derived from `Lens`, registered under its name:

    @lenses.register("logit")
    class LogitLens(Lens): ...

What it returns goes through the model's own final norm and unembedding, which stay as they are. A lens
looks from places: the stream before layer l, and the stream in the middle of layer l, after its attention and
before its MLP. At the model's output every lens is the model.

Shapes: P places, L layers, D = d_model; streams are centred where the model's norm centres (see
`engine.models.transformer`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from engine.errors import RequestError
from engine.lenses.settings import LensTraining
from engine.models.shape import ModelShape
from engine.models.transformer import Transformer
from engine.registry import Registry

# By name; the first dimension of each is places, or 1 where all places share it.
Parameters = dict[str, Tensor]


class Place(NamedTuple):
    """Where a lens looks from: before a layer, or in its middle."""

    layer: int
    middle: bool = False

    @property
    def name(self) -> str:
        """Return "3", or "3-mid"."""
        return f"{self.layer}-mid" if self.middle else str(self.layer)


def all_places(shape: ModelShape, middle: bool) -> list[Place]:
    """Return every place in the order of computation.

    Raises:
        RequestError: the middle of layers was asked for, and the model's blocks have none.
    """
    if middle and shape.parallel:
        raise RequestError(
            f"attention and MLP of this model ({shape.family}) read the same stream: its layers have "
            "no middle, ask for the stream before layers alone"
        )
    kinds = (False, True) if middle else (False,)
    return [Place(layer, kind) for layer in range(shape.n_layers) for kind in kinds]


def at(parameters: Parameters, rows: Sequence[int]) -> Parameters:
    """Return the parameters of some places, given by their number."""
    return {name: value if len(value) == 1 else value[list(rows)] for name, value in parameters.items()}


@dataclass(frozen=True)
class Basis:
    """What the parameters of a lens start from.

    Attributes:
        places: in order.
        attention: mean of what every attention writes, biases included, over texts and positions, [L, D].
    """

    transformer: Transformer
    places: list[Place]
    attention: Tensor


@dataclass(frozen=True)
class Recipe:
    """How a lens is trained.

    Attributes:
        steps: the learning rate falls to zero over these in a straight line.
        optimiser: returns the optimiser of leaf tensors.
        clip: largest norm of the gradient of all parameters together; None for any.
        teacher: the lens whose distribution is learnt; None learns the model's.
    """

    steps: int
    optimiser: Callable[[list[Tensor]], torch.optim.Optimizer]
    clip: float | None = None
    teacher: str | None = None


class Lens(ABC):
    """One lens.

    Attributes:
        title, description: for the page.
        has_parameters: whether the lens has parameters, trained or computed from texts.
    """

    title: ClassVar[str]
    description: ClassVar[str]
    has_parameters: ClassVar[bool] = True

    @abstractmethod
    def start(self, basis: Basis) -> Parameters:
        """Return the parameters before training, float32; an empty dictionary for a lens without any."""

    @abstractmethod
    def final(
        self, transformer: Transformer, parameters: Parameters, places: Sequence[Place], streams: Tensor
    ) -> Tensor:
        """Return the final streams, [P, ..., D], for the streams at `places`, [P, ..., D].

        Args:
            parameters: of these places (`at`); gradients flow to them.
            places: in the order of computation.
        """

    def owners(self, places: Sequence[Place]) -> list[int]:
        """Return, for every place, the number of the place whose trained parameters it takes: its own, unless
        two places see the same function."""
        return list(range(len(places)))

    def recipe(self, settings: LensTraining) -> Recipe | None:
        """Return how the lens is trained; None for a lens without training."""
        return None

    def count(self, parameters: Parameters, places: Sequence[Place]) -> int:
        """Return how many numbers the lens has for these places."""
        return sum(value.numel() for value in parameters.values())


lenses: Registry[Lens] = Registry("lens", "engine.lenses")
LENSES = ("logit", "mean", "tuned", "oca", "linear-oca")  # those that come with the program, simplest first
