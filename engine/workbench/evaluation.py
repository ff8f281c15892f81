"""Measurement of circuits against the full model on the prompts of a split, under any ablation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from engine import metrics
from engine.ablations.constants import Constants
from engine.arrays import Flags, Numbers
from engine.circuits.circuit import Circuit, top_edges
from engine.circuits.graph import Graph
from engine.forward.batch import Batch
from engine.forward.masked import MaskedForward, Replacement
from engine.forward.sparse import CircuitForward
from engine.progress import Report, part_of, silent
from engine.tasks.dataset import Prompts

FEWEST = 5  # edges: the smallest circuit of a curve
GRID = 22  # sizes on a curve, at most
EVALUATION_BATCH = 64  # prompts
SPARSE = 0.05  # share of the edges kept up to which computing only what is live is faster
SHOWN = 8  # prompts whose predictions are kept
TOP = 5

Top = list[list[list[Any]]]  # for every prompt shown, its most probable tokens, each with its probability


def edge_grid(n_edges: int) -> list[int]:
    """Return the default sizes of a curve: a geometric grid up to all edges."""
    return np.geomspace(min(FEWEST, n_edges), n_edges, GRID).round().astype(int).tolist()


@dataclass
class Evaluator:
    """Evaluates circuits of one graph on prepared prompts.

    Args:
        forward: the masked forward.
        prompts: the prompts; `batches` cover them all, in the order of `order`.
        order: index of the prompt of each row of the concatenated batches.
        names: returns the texts of token ids.
        seed: seed of the bootstrap.
        fit: trains the constants of a circuit's ablated edges, under an ablation with trained constants; None
            takes the batches' replacement values.
    """

    forward: MaskedForward
    prompts: Prompts
    batches: list[Batch]
    order: list[int]
    names: Callable[[list[int]], list[str]]
    seed: int
    fit: Callable[[Flags, Report], Replacement] | None = None

    def __post_init__(self) -> None:
        self.model_logits = [batch.clean.logits for batch in self.batches]
        self.model = self.values(self.model_logits)

    @property
    def model_accuracy(self) -> float:
        """The share of the prompts that the full model answers right."""
        return float(self.model["accuracy"].mean())

    @property
    def model_line(self) -> str:
        """How many of the prompts the full model answers right, in words."""
        right = self.model["accuracy"]
        return f"the model itself answers {int(right.sum())} of {len(right)} prompts right"

    @cached_property
    def ablated(self) -> metrics.Values:
        """The per-prompt metrics with every edge ablated."""
        return self.ablate_all(silent)

    def ablate_all(self, report: Report) -> metrics.Values:
        """Compute and store `ablated`, the per-prompt metrics with every edge ablated."""
        if "ablated" not in self.__dict__:
            logits = self.logits(np.zeros(self.forward.graph.n_edges, dtype=bool), report)
            self.__dict__["ablated"] = self.values(logits)
        return self.__dict__["ablated"]

    def logits(self, kept: Flags, report: Report = silent) -> list[Tensor]:
        """Return the logits [B, V] of the circuit with the edges `kept` (bool [n_edges]) for every batch."""
        fitted = None
        if self.fit is not None and not kept.all():
            fitted = Constants(self.fit(kept, report))
        mask = torch.as_tensor(kept).to(self.forward.transformer.embedding)
        logits: list[Tensor] = []
        for batch in self.batches:
            with torch.no_grad():
                other = batch.replacement if fitted is None else fitted.of(batch.clean)
                if kept.mean() <= SPARSE:
                    logits.append(CircuitForward(self.forward)(batch.clean, other, kept))
                else:
                    logits.append(self.forward(batch.clean, other, mask))
        return logits

    def measure(self, circuit: Circuit, report: Report = silent) -> tuple[dict[str, Any], Top]:
        """Return the metrics of a circuit, and its top predictions on the prompts shown."""
        logits = self.logits(circuit.kept, report)
        point = {
            "n_edges": circuit.n_edges,
            "n_edges_total": circuit.graph.n_edges,
            "sparsity": circuit.sparsity,
        }
        return point | self.summary(self.values(logits)), self.top(logits)

    def summary(self, values: metrics.Values) -> dict[str, Any]:
        """Return the metrics of per-prompt values with their intervals."""
        return metrics.summarise(values, self.prompts.metric, self.model, self.ablated, self.seed)

    def top(self, logits: Sequence[Tensor]) -> Top:
        """Return the most probable tokens and their probabilities for the prompts shown."""
        rows = torch.cat([part.float() for part in logits])
        place = {prompt: row for row, prompt in enumerate(self.order)}
        shown = rows[[place[i] for i in range(min(SHOWN, len(self.order)))]].softmax(-1)
        best = shown.topk(min(TOP, shown.shape[-1]))
        tokens: list[list[int]] = cast("Any", best.indices).tolist()
        shares: list[list[float]] = cast("Any", best.values).tolist()
        return [
            [[name, round(p, 5)] for name, p in zip(self.names(ids), ps, strict=True)]
            for ids, ps in zip(tokens, shares, strict=True)
        ]

    def values(self, logits: Sequence[Tensor]) -> metrics.Values:
        """Return the per-prompt metrics of logits [B, V] for every batch, in the order of `order`."""
        return metrics.join([self.batch_values(i, part) for i, part in enumerate(logits)])

    def batch_values(self, batch: int, logits: Tensor) -> metrics.Values:
        """Return the per-prompt metrics of logits [B, V] for one batch."""
        answers, wrong = self.batches[batch].answers, self.batches[batch].wrong_answers
        return metrics.per_prompt(logits, self.model_logits[batch], answers, wrong)


def curve(
    evaluator: Evaluator,
    graph: Graph,
    scores: Numbers,
    sizes: Sequence[int],
    requested: int,
    report: Report,
    about: dict[str, Any],
) -> dict[str, Any]:
    """Return the part of `result.json` with the metrics of circuits of a ranking at every size.

    Args:
        scores: [n_edges], higher keeps first; an edge without a score (nan) is in no circuit.
        sizes: numbers of edges to measure at.
        requested: a further size to measure at, that of `summary`.
    """
    points: list[dict[str, Any]] = []
    tops: dict[str, Top] = {}
    summary: dict[str, Any] = {}
    measured: dict[bytes, tuple[dict[str, Any], Top]] = {}
    grid = sorted({*sizes, requested})
    evaluator.ablate_all(part_of(report, 0, 1, len(grid) + 1, "everything ablated: "))
    for done, k in enumerate(grid, 1):
        report(done, len(grid) + 1, f"evaluating {k} of {graph.n_edges} edges")
        circuit = top_edges(graph, scores, k, about)
        key = circuit.kept.tobytes()  # without dangling edges, several sizes can be the same circuit
        if key not in measured:
            within = part_of(report, done, done + 1, len(grid) + 1, f"{k} edges: ")
            measured[key] = evaluator.measure(circuit, within)
        point, top = measured[key]
        points.append({"edges_requested": k} | point)
        tops[str(k)] = top
        if k == requested:
            summary = point
    report(len(grid), len(grid), "evaluated")
    return {"summary": summary, **ends(evaluator), "curve": points, "circuit_top": tops}


def measured_curve(
    evaluator: Evaluator,
    scores: Numbers,
    sizes: Sequence[int],
    requested: int,
    report: Report,
    about: dict[str, Any],
) -> dict[str, Any]:
    """Measure the circuits of a ranking at the sizes of a request, or at those of the default grid."""
    grid = sizes or edge_grid(int(np.isfinite(scores).sum()))
    return curve(evaluator, evaluator.forward.graph, scores, grid, requested, report, about)


def ends(evaluator: Evaluator) -> dict[str, Any]:
    """Return the metrics of ablating nothing and of ablating everything, and the task's metric by name."""
    return {
        "model": evaluator.summary(evaluator.model),
        "ablated": evaluator.summary(evaluator.ablated),
        "metric": evaluator.prompts.metric,
    }
