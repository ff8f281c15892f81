"""The result of the stability of a circuit."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from engine.instruments.stability.request import Stability
from engine.runs.record import MOST, Count, Estimate, Form, Record, Share


class Repeat(Form):
    """A repeated discovery, or the circuit itself on held-out templates; without metrics if it failed."""

    seed: Count
    held_out: list[str]
    run: str
    error: str | None
    n_edges: Count | None = None
    kl: Estimate | None = None
    faithfulness: Share | None = None

    def estimate(self, metric: str) -> Estimate | Share:
        """Return the "kl" or the "faithfulness" of a repeat that did not fail."""
        estimate = self.kl if metric == "kl" else self.faithfulness
        assert estimate is not None
        return estimate


class StabilityResult(Record):
    """A discovery repeated; array "frequency" [n_edges], the share of the circuits that keeps each edge.

    Attributes:
        repeats: every repeated discovery, measured on its held-out templates, or on all if none is held out.
        folds: the circuit itself on the templates of each part.
        circuits: ids of the runs of the compared circuits, the circuit itself first.
        jaccard: Jaccard overlap of every pair of these circuits.
        expected: mean Jaccard overlap of random circuits of their sizes.
        core: number of edges that all of them keep.
    """

    repeats: Annotated[list[Repeat], Field(max_length=MOST)]
    folds: Annotated[list[Repeat], Field(max_length=MOST)]
    circuits: Annotated[list[str], Field(min_length=1, max_length=MOST)]
    jaccard: Annotated[list[list[FiniteFloat]], Field(min_length=1, max_length=MOST)]
    expected: FiniteFloat | None
    core: Count

    def misfit(self, request: Stability) -> str | None:
        """Return the first inconsistency; see the base class."""
        n = len(self.circuits)
        if len(self.jaccard) != n or any(len(row) != n for row in self.jaccard):
            return f"its overlaps are not those of {n} circuits"
        for repeat in (*self.repeats, *self.folds):
            if repeat.error is None and None in (repeat.n_edges, repeat.kl, repeat.faithfulness):
                return f"the repeat '{repeat.run}' has neither numbers nor an error"
        return None
