"""The request of the stability of a circuit."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.runs.request import OfACircuit, Seed


class StabilityPlan(BaseModel):
    """The repeats of a discovery: with each of `seeds`, and without each of `folds` parts of templates."""

    model_config = ConfigDict(extra="forbid")

    seeds: list[Seed] = Field(min_length=1, max_length=50)
    folds: int = Field(default=2, ge=0, le=10)

    @model_validator(mode="after")
    def _parts(self) -> "StabilityPlan":
        if self.folds == 1 or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                "no seed can be named twice, and templates are parted in 2 or more, or 0 for not"
            )
        return self


class Stability(OfACircuit, frozen=True):
    """Repeat a discovery.

    Attributes:
        circuit: id of the run of the discovery.
    """

    kind: Literal["stability"] = "stability"
    circuit: str
    stability: StabilityPlan

    @property
    def origin(self) -> str:
        """The id of the run of the discovery that is repeated."""
        return self.circuit
