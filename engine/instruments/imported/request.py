"""The request of an import."""

from typing import Literal

from engine.runs.request import OfACircuit


class Import(OfACircuit, frozen=True):
    """Measure an imported circuit file at every size that its scores give.

    Attributes:
        circuit: sha256 of the circuit, which is kept among the imports (`engine.runs.imports`).
    """

    kind: Literal["import"] = "import"
    circuit: str
