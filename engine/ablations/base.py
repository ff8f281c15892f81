"""The base class of ablations, which give values to replace the outputs of sources, for any batch of prompts.

An ablation is one file in this folder with a class derived from `Ablation`, registered under its name:

    @ablations.register("counterfactual")
    class Counterfactual(Ablation[NoSettings]): ...

Definitions: Li & Janson, "Optimal ablation for interpretability" (2409.09951).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from engine.forward.masked import Replacement
from engine.models.transformer import Transformer
from engine.registry import Registry
from engine.settings import SettingsT, WithSettings

Conditioning = Literal["per position", "shared", "none"]


@dataclass(frozen=True)
class Ablated:
    """Replacement values for one batch, stored from position `start` on.

    Positions before `start` are the same with and without ablation, so no computation needs them.
    """

    start: int
    replacement: Replacement


# (clean tokens [B, S], corrupt tokens [B, S]) -> values for that batch
Replacer = Callable[[Tensor, Tensor], Ablated]


@dataclass(frozen=True)
class Reference:
    """Tokens of the training prompts, from which an ablation may compute its values, grouped by length."""

    clean: list[Tensor]  # each [n, S]
    corrupt: list[Tensor]


class NoSettings(BaseModel):
    """The settings of an ablation that has none."""

    model_config = ConfigDict(extra="forbid")


class Ablation(WithSettings[SettingsT], ABC):
    """Base class of ablations.

    Attributes:
        title, description: for the page.
    """

    title: ClassVar[str]
    description: ClassVar[str]
    # Of an ablation with nothing between the brackets.
    Settings: type[SettingsT] = NoSettings  # pyright: ignore[reportAssignmentType]

    @abstractmethod
    def prepare(
        self, transformer: Transformer, reference: Reference, settings: SettingsT, seed: int
    ) -> Replacer:
        """Return the function that gives the replacement values of a batch.

        Raises:
            RequestError: the reference prompts do not allow this ablation.
        """

    def conditioning(self, settings: SettingsT) -> Conditioning:
        """Return whether constants are "per position" or "shared"; "none" if the values are no constants."""
        return "none"

    def notes(self, reference: Reference, prompts: list[Tensor]) -> list[str]:
        """Return notes on prompts that the ablation treats in another way than the rest.

        Args:
            reference: the training prompts.
            prompts: clean tokens of prompts that are measured on, each [n, S], grouped by length.
        """
        return []


ablations: Registry[Ablation[Any]] = Registry("ablation", "engine.ablations")


def first_difference(first: Tensor, second: Tensor) -> int:
    """Return the first position at which any prompt of two batches [B, S] differs; the last if none does."""
    differs = (first != second).any(0)
    return int(differs.int().argmax()) if bool(differs.any()) else first.shape[1] - 1
