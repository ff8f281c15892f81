"""What a corruption is: what stands in for the subject of a prompt, so that its answer is lost.

A corruption is one file in this folder with a class derived from `Corruption`, registered under its name:

    @corruptions.register("gaussian")
    class Gaussian(Corruption[Settings]): ...

A prompt is corrupted in several versions: one for every draw of noise, or one for every constant.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from engine.models.transformer import Transformer
from engine.progress import Report
from engine.registry import Registry
from engine.settings import SettingsT, WithSettings
from engine.tracing.names import State
from engine.tracing.prompts import Traced


class Corrupter(ABC):
    """A corruption made ready for a model, a state and a window.

    Attributes:
        n_versions: how many versions of a prompt there are.
    """

    n_versions: int

    @abstractmethod
    def streams(self, prompts: Sequence[Traced], clean: Tensor, versions: Sequence[int]) -> Tensor:
        """Return the streams before layer 0 of some versions, [P, versions, S, D], for clean ones [P, S, D];
        only the subject's tokens differ."""

    @abstractmethod
    def versions(self, token_class: int | None, layer: int | None) -> Sequence[int]:
        """Return the versions that go with restoring a token of this class around this layer; class and layer
        are None for restoring nothing. Every class and layer has equally many."""

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was trained, by name, to be kept with the run."""
        return {}


@dataclass(frozen=True)
class TraceProblem:
    """What a corruption is made ready for.

    Attributes:
        training: draws so many prompts of other wordings or relations than those traced, and returns those
            whose answers the model knows.
        subject_tokens: tokens of many subjects, one after the other.
        state: what is restored.
        window: in how many layers at once.
    """

    transformer: Transformer
    training: Callable[[int], list[Traced]]
    subject_tokens: list[int]
    state: State
    window: int
    seed: int


class Corruption(WithSettings[SettingsT], ABC):
    """One way to lose what a prompt is about.

    Attributes:
        title, description: for the page.
        trained: whether a corruption is trained on a task; a prompt then takes what the task's run has kept.
    """

    title: ClassVar[str]
    description: ClassVar[str]
    trained: ClassVar[bool] = False

    @abstractmethod
    def prepare(
        self, problem: TraceProblem, settings: SettingsT, report: Report
    ) -> tuple[Corrupter, dict[str, list[float]]]:
        """Return the corruption made ready, and the history of its training, empty without one."""

    def kept(self, transformer: Transformer, tensors: Mapping[str, np.ndarray]) -> Corrupter:
        """Return a `trained` corruption as a run has kept it.

        Raises:
            RequestError: the tensors do not fit the model: a run may come from anywhere.
        """
        raise NotImplementedError


corruptions: Registry[Corruption[Any]] = Registry("corruption", "engine.tracing")
