"""The request of an evaluation."""

from typing import Literal

from engine.runs.request import OfACircuit


class Evaluate(OfACircuit, frozen=True):
    """Measure the circuits of a finished run under another ablation.

    Attributes:
        circuit: id of the run.
    """

    kind: Literal["evaluate"] = "evaluate"
    circuit: str

    @property
    def origin(self) -> str:
        """The id of the run that is evaluated."""
        return self.circuit
