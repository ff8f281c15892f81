"""The request of a discovery."""

from typing import Any, Literal

from pydantic import Field

from engine.runs.request import OfACircuit


class Discover(OfACircuit, frozen=True):
    """Score every edge of a model for a task.

    Attributes:
        settings: of the method; in a run's request all of them, so that a later default changes nothing.
    """

    kind: Literal["discover"] = "discover"
    method: str = Field(description="How edges are scored; `list methods` names them.")
    settings: dict[str, Any] = Field(default_factory=dict)

    def title_part(self) -> str:
        """Return the method."""
        return self.method
