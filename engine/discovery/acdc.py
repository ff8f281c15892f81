"""ACDC (Conmy et al. 2023, 2304.14997, algorithm 1): from the logits back, remove edges that hardly matter.

The search starts from all edges and goes through the readers in reverse order of computation: `logits` first,
then the layers from the last to the first. In a layer the MLP comes first, then the v inputs of all heads,
their k inputs and their q inputs (or the heads, where these are merged), each kind from the last head to the
first. The edges of a reader are tried from the last source to `input`. KL(full ‖ circuit) is taken at the
answer position, as a mean over all training prompts. An edge is removed for good if its removal raises the KL
by less than the threshold τ. A path of thresholds is one such sweep for every threshold, each from all edges.

The score of an edge lies between the smallest τ that removed the edge and the next smaller τ, which is 0 for
the smallest. The score of an edge that no τ removed lies between the largest τ and its double. Within these
bounds edges are ordered by how much the KL rose at their removal, or at the attempt. So the circuit of a τ
has the edges that score at least τ, except for edges that a smaller τ removed and this τ kept.

`engine.discovery.edge_removal` removes the same edges as tests one after the other would, faster. A test
starts at the reader. Edges into a node that leads nowhere in the circuit are removed without a test, as the
KL cannot change. Several edges of a reader are tested side by side, each removed on top of the ones before;
one by one the same would happen, up to the first edge that has to stay.

The authors' code offers several metrics and orders, this has one of each. The inputs of q, k and v have no
edge of their own to their head. The path is an idea of auto-circuit; here the order is fixed, and the prompts
of all batches count.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.arrays import Integers, Numbers
from engine.checkpoints import load_checkpoint, save_checkpoint
from engine.discovery.base import Discovery, Method, Problem, Step, methods
from engine.discovery.edge_removal import Greedy, Prompts, ReaderTests
from engine.forward.liveness import edge_matrix
from engine.progress import Report


class Settings(BaseModel):
    """Settings of ACDC."""

    model_config = ConfigDict(extra="forbid")

    threshold: float | None = Field(
        None,
        gt=0,
        le=1000,
        title="Threshold",
        description="Rise of the KL, in nats, below which an edge is removed; by default a path of several.",
    )
    lowest: float = Field(
        0.0001, gt=0, le=1000, title="Lowest threshold", description="Where the path begins, in nats."
    )
    highest: float = Field(
        0.1, gt=0, le=1000, title="Highest threshold", description="Where the path ends, in nats."
    )
    levels: int = Field(
        6, ge=1, le=30, title="Levels", description="Thresholds on the path, evenly spaced by their ratio."
    )
    batch_size: int = Field(32, ge=1, le=4096, title="Batch size", description="Pairs of prompts in a pass.")

    @model_validator(mode="after")
    def _rising(self) -> "Settings":
        if self.threshold is None and self.levels > 1 and self.highest <= self.lowest:
            raise ValueError(f"the highest threshold, {self.highest}, is not above the lowest, {self.lowest}")
        return self

    def thresholds(self) -> list[float]:
        """Return the thresholds, rising."""
        if self.threshold is not None:
            return [self.threshold]
        return [float(x) for x in np.geomspace(self.lowest, self.highest, self.levels)]


@methods.register("acdc")
class Acdc(Method[Settings]):
    """Edges removed greedily; the score is about the threshold at which an edge is removed."""

    title = "ACDC"
    description = "Removes, from the logits back, every edge whose removal costs less than a threshold."

    def discover(self, problem: Problem, settings: Settings, seed: int, report: Report) -> Discovery:
        """Return the threshold at which every edge is removed; see the base class."""
        search = Search(problem, settings)
        search.run(report)
        return search.discovery()


class Search:
    """The sweeps of ACDC over a path of thresholds.

    Attributes:
        removed_at: int64 [n_edges], the first level that removed the edge, or the number of levels.
        rise: float64 [n_edges], rise of the KL by the removal at that level, in nats. For an edge that no
            level removed, the rise that its removal would have caused at the last level.
    """

    def __init__(self, problem: Problem, settings: Settings) -> None:
        self.problem, self.thresholds = problem, settings.thresholds()
        graph = problem.forward.graph
        self.prompts = [Prompts(problem.forward, batch) for batch in problem.prepare(settings.batch_size)]
        self.bounds = np.searchsorted(graph.edges[:, 1], np.arange(len(graph.readers) + 1))
        self.removed_at = np.full(graph.n_edges, len(self.thresholds))
        self.rise = np.zeros(graph.n_edges)
        self.kept = np.ones((len(self.thresholds), graph.n_edges), dtype=bool)
        self.level, self.greedy = 0, Greedy()
        self.history: dict[str, list[float]] = {"threshold": [], "edges": [], "kl": []}
        self._begin()
        self._resume()

    def run(self, report: Report) -> None:
        """Sweep over the readers at every remaining threshold; `report` may raise `Cancelled`."""
        while self.level < len(self.thresholds):
            while self.reader >= 0:
                if self.sweep_reader(report) and self.problem.checkpoint is not None:
                    self._save()
            values = (self.thresholds[self.level], int(self.kept[self.level].sum()), self.greedy.kl)
            for name, value in zip(self.history, values, strict=True):
                self.history[name].append(value)
            self.level += 1
            self._begin()
        total = self.kept.size
        report(total, total, f"{len(self.thresholds)} thresholds done")

    def sweep_reader(self, report: Report) -> bool:
        """Test and remove edges of the next reader; return whether any edge had to be tested."""
        kept, graph = self.kept[self.level], self.problem.forward.graph
        first, end = int(self.bounds[self.reader]), int(self.bounds[self.reader + 1])
        tests = ReaderTests(self.problem.forward, self.prompts, edge_matrix(graph, kept), self.reader)
        edges = np.arange(end - 1, first - 1, -1)
        while len(edges):
            if tests.alive:
                self._report(report, first + len(edges))
                rises = self.greedy.advance(tests, edges - first, self.thresholds[self.level])
            else:
                rises = np.zeros(len(edges))
            self._note(edges[: len(rises)], rises)
            edges = edges[len(rises) :]
        self.reader -= 1
        return tests.alive

    def discovery(self) -> Discovery:
        """Return scores, path and history."""
        bounds = np.array([0.0, *self.thresholds, 2 * self.thresholds[-1]])
        scores = np.empty(len(self.rise))
        for level in range(len(bounds) - 1):
            of_level = np.flatnonzero(self.removed_at == level)
            place = self.rise[of_level].argsort(kind="stable").argsort() / max(1, len(of_level))
            scores[of_level] = bounds[level] + (bounds[level + 1] - bounds[level]) * place
        path = [Step(t, torch.as_tensor(k.copy())) for t, k in zip(self.thresholds, self.kept, strict=True)]
        return Discovery(torch.as_tensor(scores).float(), self.history, path=path)

    def _begin(self) -> None:
        """Start a sweep from all edges."""
        self.reader, self.greedy.kl = len(self.problem.forward.graph.readers) - 1, 0.0

    def _note(self, edges: Integers, rises: Numbers) -> None:
        """Record the rises of the KL by edges, and remove the edges whose rise is below the threshold."""
        small = rises < self.thresholds[self.level]
        self.kept[self.level, edges] = ~small
        new = self.removed_at[edges] == len(self.thresholds)
        self.rise[edges[new]] = rises[new]
        self.removed_at[edges[new & small]] = self.level

    def _report(self, report: Report, left: int) -> None:
        n, name = self.kept.shape[1], self.problem.forward.graph.readers[self.reader]
        done, threshold = self.level * n + n - left, self.thresholds[self.level]
        report(done, self.kept.size, f"threshold {threshold:.3g}: {left} edges left, at {name}")

    def _save(self) -> None:
        assert self.problem.checkpoint is not None
        arrays = {"removed_at": self.removed_at, "rise": self.rise, "kept": self.kept}
        numbers = {name: getattr(self, name) for name in ("level", "reader", "history")}
        tensors = {name: torch.as_tensor(array) for name, array in arrays.items()}
        save_checkpoint(self.problem.checkpoint, tensors, numbers | {"greedy": asdict(self.greedy)})

    def _resume(self) -> None:
        saved = load_checkpoint(self.problem.checkpoint)
        if saved is not None:
            values: dict[str, Any] = {name: x.numpy() for name, x in saved[0].items()} | saved[1]
            values["greedy"] = Greedy(**values["greedy"])
            for name, value in values.items():
                setattr(self, name, value)
