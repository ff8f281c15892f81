"""The request of a measurement."""

from typing import Annotated, Literal

from pydantic import Field

from engine.runs.combine import Chosen
from engine.runs.request import OfAGraph
from engine.settings import Later
from engine.tasks.own_pair import OwnPair


class Measure(OfAGraph, frozen=True):
    """Measure circuits made of others, one by one.

    Attributes:
        circuits: the circuits, with distinct names.
        pairs: prompts typed by the user, to measure on instead of the task's prompts.
    """

    kind: Literal["measure"] = "measure"
    circuits: list[Chosen] = Field(min_length=1)
    pairs: Annotated[list[OwnPair], Later()] = Field(default=[], max_length=64)

    def measured_runs(self) -> list[str]:
        """Return the ids of the runs that the circuits are made of."""
        return [part.run for chosen in self.circuits for part in chosen.parts]
