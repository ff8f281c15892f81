"""The base class of corruptions, which replace the subject of a prompt so that its answer is lost.

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
    """A corruption prepared for a model, a state and a window.

    Attributes:
        n_versions: number of corrupted versions of a prompt.
    """

    n_versions: int

    @abstractmethod
    def streams(self, prompts: Sequence[Traced], clean: Tensor, versions: Sequence[int]) -> Tensor:
        """Return the corrupted streams before layer 0 of some versions, [P, versions, S, D].

        They differ from the clean ones, [P, S, D], only at the subject's tokens.
        """

    @abstractmethod
    def versions(self, token_class: int | None, layer: int | None) -> Sequence[int]:
        """Return the versions for restoring a state at a token of this class, around this layer.

        Class and layer are None for restoring nothing. Every class and layer has the same number of versions.
        """

    def tensors(self) -> dict[str, np.ndarray]:
        """Return trained tensors by name, to be stored with the run."""
        return {}


@dataclass(frozen=True)
class TraceProblem:
    """The input for preparing a corruption.

    Attributes:
        training: training(n) draws n prompts of other templates or relations than the traced ones, and
            returns those whose answers the model knows.
        subject_tokens: tokens of many subjects, concatenated.
        state: the state that is restored.
        window: number of layers restored at once.
    """

    transformer: Transformer
    training: Callable[[int], list[Traced]]
    subject_tokens: list[int]
    state: State
    window: int
    seed: int


class Corruption(WithSettings[SettingsT], ABC):
    """Base class of corruptions.

    Attributes:
        title, description: for the page.
        trained: whether the corruption is trained on a task; prompts then use the tensors of the task's run.
    """

    title: ClassVar[str]
    description: ClassVar[str]
    trained: ClassVar[bool] = False

    @abstractmethod
    def prepare(
        self, problem: TraceProblem, settings: SettingsT, report: Report
    ) -> tuple[Corrupter, dict[str, list[float]]]:
        """Return the prepared corruption, and the history of its training ({} without training)."""

    def kept(self, transformer: Transformer, tensors: Mapping[str, np.ndarray]) -> Corrupter:
        """Return a `trained` corruption from the tensors of a run.

        Raises:
            RequestError: the tensors do not fit the model.
        """
        raise NotImplementedError


corruptions: Registry[Corruption[Any]] = Registry("corruption", "engine.tracing")
