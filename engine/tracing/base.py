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
        n_versions: in which a prompt is corrupted.
    """

    n_versions: int

    @abstractmethod
    def streams(self, prompts: Sequence[Traced], clean: Tensor, versions: Sequence[int]) -> Tensor:
        """Return the streams before layer 0 of some versions, [P, versions, S, D], for clean ones [P, S, D];
        only the subject's tokens differ."""

    @abstractmethod
    def versions(self, token_class: int | None, layer: int | None) -> Sequence[int]:
        """Return the versions that go with restoring a token of this class around this layer; both are None
        for restoring nothing. There are equally many for every class and layer."""

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was trained, by name, to be kept with the run."""
        return {}


@dataclass(frozen=True)
class TraceProblem:
    """What a corruption is made ready for.

    Attributes:
        training: gives prompts of other wordings or relations than those traced, whose answers the model
            knows, out of so many drawn.
        subject_tokens: of many subjects, one after the other.
        state, window: what is restored, and in how many layers at once.
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
        trained: whether it is trained on a task; a prompt then takes what the task's own run has kept.
    """

    title: ClassVar[str]
    description: ClassVar[str]
    trained: ClassVar[bool] = False

    @abstractmethod
    def prepare(
        self, problem: TraceProblem, settings: SettingsT, report: Report
    ) -> tuple[Corrupter, dict[str, list[float]]]:
        """Return the corruption made ready, and how its training went if it has any."""

    def kept(self, transformer: Transformer, tensors: Mapping[str, np.ndarray]) -> Corrupter:
        """Return the corruption as a run has kept it, if it is `trained`.

        Raises:
            RequestError: the tensors do not fit the model: a run may come from anywhere.
        """
        raise NotImplementedError


corruptions: Registry[Corruption[Any]] = Registry("corruption", "engine.tracing")
