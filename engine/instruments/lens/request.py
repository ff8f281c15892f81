"""The requests of lenses: to train them, and to read a text."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.circuits.graph import Qkv
from engine.lenses.settings import LensTraining
from engine.runs.combine import Part
from engine.runs.request import Name, Request

# What every request of these kinds has in schema 1: no task, no ablation.
NO_TASK: dict[str, Any] = {"task": "text", "ablation": "none"}


class Reading(BaseModel):
    """A text to be read by lenses, and the intervention on the model.

    Attributes:
        lenses: names of the lenses.
        words: words whose probabilities are followed through the layers; one token each.
        middle: read in the middle of layers, too.
        ablated: ablated nodes ("a2.h3", "m1"), which write a constant.
        ablation: the constants of ablated nodes, and of sources outside a circuit.
        circuit: a circuit through which the text runs; its output is the last row.
        trained: id of the run that trained the lenses; None takes that of the default settings.
    """

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=20_000, description="The text that is read.")
    lenses: list[Name] = Field(
        default=["logit", "mean", "tuned", "oca", "linear-oca"], min_length=1, max_length=20
    )
    words: list[Name] = Field(default=[], max_length=8)
    middle: bool = Field(
        default=False, description="Also in the middle of layers, l + 0.5, before their MLP."
    )
    ablated: list[Name] = Field(default=[], max_length=1000)
    ablation: Literal["mean", "zero"] = "mean"
    circuit: Part | None = None
    trained: Name | None = None

    @model_validator(mode="after")
    def _once(self) -> "Reading":
        for names in (self.lenses, self.words, self.ablated):
            if len(set(names)) < len(names):
                raise ValueError(f"named twice: {', '.join(names)}")
        if self.ablated and self.circuit:
            raise ValueError("a circuit says itself what is ablated: give nodes or a circuit, not both")
        return self


class TrainLenses(Request, frozen=True):
    """Train the lenses of a model, select their parameters on validation texts, then measure them."""

    fixed: ClassVar[dict[str, Any]] = NO_TASK

    kind: Literal["train-lenses"] = "train-lenses"
    lens_training: LensTraining


class ReadText(Request, frozen=True):
    """Read a text by lenses."""

    fixed: ClassVar[dict[str, Any]] = NO_TASK

    kind: Literal["lens"] = "lens"
    lens: Reading
    qkv: Qkv = "split"
