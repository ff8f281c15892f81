"""The result of a measurement."""

from typing import Annotated

from pydantic import Field

from engine.instruments.measure.request import Measure
from engine.runs.record import MOST, Measured, MeasuredResult, Top, misfit_of_points


class NamedPoint(Measured):
    """The metrics of a circuit that the request names."""

    name: str


class MeasureResult(MeasuredResult):
    """The circuits that a measurement names, in the order of its request."""

    summary: Measured
    curve: Annotated[list[NamedPoint], Field(min_length=1, max_length=MOST)]
    circuit_top: dict[str, list[Top]]

    def misfit(self, request: Measure) -> str | None:
        """Return the first inconsistency; see the base class."""
        names = [chosen.name for chosen in request.circuits]
        if [point.name for point in self.curve] != names:
            return "the names on its curve are not those of its request"
        if missing := set(names) - self.circuit_top.keys():
            return f"'circuit_top' has nothing on '{missing.pop()}'"
        return misfit_of_points(self.summary, self.curve, self.circuit_top, len(self.prompts))

    def circuit(self) -> Measured:
        """Return the metrics of the first circuit."""
        return self.summary

    def named(self, name: str) -> NamedPoint:
        """Return the metrics of a circuit by its name; raise StopIteration if there is none."""
        return next(point for point in self.curve if point.name == name)
