"""The result of a sweep."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from engine.instruments.sweep.request import Sweep
from engine.runs.record import MOST, Brief, Conditioning, Count, Form, Record


class SweepPoint(Brief):
    """A circuit of a sweep at one number of edges requested, including dangling ones."""

    edges_requested: Annotated[int, Field(ge=1)]


class SweepStep(Brief):
    """A circuit that the method itself chose; `penalty` is the price of an edge, in nats."""

    penalty: FiniteFloat


class SweepRow(Form):
    """One method under one ablation on one task with one seed; `error` says why there are no points.

    Attributes:
        cpr, cmd: areas over the share of edges kept (`engine.instruments.sweep.parts`).
    """

    method: str
    ablation: str
    task: str
    seed: Count
    run: str
    error: str | None
    conditioning: Conditioning | None
    seconds: FiniteFloat | None
    peak_mb: FiniteFloat | None
    cpr: FiniteFloat | None
    cmd: FiniteFloat | None
    points: Annotated[list[SweepPoint], Field(max_length=MOST)]
    path: Annotated[list[SweepStep], Field(max_length=MOST)]


class SweepResult(Record):
    """Methods side by side."""

    n_edges_total: Annotated[int, Field(ge=1)]
    rows: Annotated[list[SweepRow], Field(min_length=1, max_length=100_000)]

    def misfit(self, request: Sweep) -> str | None:
        """Return the first inconsistency; see the base class."""
        for row in self.rows:
            if bool(row.points) == (row.error is not None):
                return f"the row of '{row.run}' has both points and an error, or neither"
        return None
