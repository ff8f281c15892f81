"""The base class of lenses: maps from the residual stream in the middle of a model to the final stream.

A lens is one file in this folder with a class derived from `Lens`, registered under its name:

    @lenses.register("logit")
    class LogitLens(Lens): ...

The stream that a lens returns goes through the model's own, frozen final norm and unembedding. A lens reads
the stream at places: before layer l, or in the middle of layer l, after its attention and before its MLP. At
the model's output, every lens equals the model.

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
    """A place of the residual stream: before a layer, or in its middle."""

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
    """Return the parameters of some places, given by their indices."""
    return {name: value if len(value) == 1 else value[list(rows)] for name, value in parameters.items()}


@dataclass(frozen=True)
class Basis:
    """The data from which the initial parameters of a lens are made.

    Attributes:
        places: the places, in the order of computation.
        attention: mean output of every attention, biases included, over texts and positions, [L, D].
    """

    transformer: Transformer
    places: list[Place]
    attention: Tensor


@dataclass(frozen=True)
class Recipe:
    """How a lens is trained.

    Attributes:
        steps: number of steps, over which the learning rate falls linearly to zero.
        optimiser: returns the optimiser of leaf tensors.
        clip: largest norm of the gradient of all parameters together; None does not clip.
        teacher: name of the lens whose distribution is learnt; None learns the model's.
    """

    steps: int
    optimiser: Callable[[list[Tensor]], torch.optim.Optimizer]
    clip: float | None = None
    teacher: str | None = None


class Lens(ABC):
    """Base class of lenses.

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
            parameters: parameters of these places (`at`); gradients flow to them.
            places: the places, in the order of computation.
        """

    def owners(self, places: Sequence[Place]) -> list[int]:
        """Return, for every place, the index of the place whose trained parameters it uses.

        That is its own, unless the lens is the same function at two places.
        """
        return list(range(len(places)))

    def recipe(self, settings: LensTraining) -> Recipe | None:
        """Return the recipe of the training; None for a lens without training."""
        return None

    def count(self, parameters: Parameters, places: Sequence[Place]) -> int:
        """Return the number of the lens's parameters for these places."""
        return sum(value.numel() for value in parameters.values())


lenses: Registry[Lens] = Registry("lens", "engine.lenses")
LENSES = ("logit", "mean", "tuned", "oca", "linear-oca")  # those that come with the program, simplest first
