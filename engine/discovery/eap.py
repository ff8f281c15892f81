"""Edge attribution patching (EAP; Syed, Rager & Conmy 2023, 2310.10348): one gradient for all edges.

The score of an edge is the first-order estimate, at the clean input, of how much the task's metric falls when
the edge is ablated,

    score_sr  =  mean over prompts of  Σ_positions ⟨ h_s - c_s , ∂m/∂x_r ⟩ .

Any ablation may give c_s, not only a corrupt run. The authors' code gives the change of a loss instead, with
the opposite sign, and sums over prompts rather than taking their mean. The ranking by magnitude is the same.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from engine.checkpoints import load_checkpoint, save_checkpoint
from engine.discovery.base import Discovery, Method, Problem, methods
from engine.forward.attribution import Attribution, Pass
from engine.forward.batch import Batch
from engine.progress import Report
from engine.tasks.base import Metric

CHUNK = 8  # passes between two checkpoints, multiplied out together

# The passes at which gradients are taken, each made when it is its turn.
Points = Sequence[Callable[[], Pass]]


class Settings(BaseModel):
    """Settings of EAP."""

    model_config = ConfigDict(extra="forbid")

    batch_size: int = Field(
        16, ge=1, le=4096, title="Batch size", description="Pairs of prompts at a time; changes no score."
    )
    ranking: Literal["magnitude", "signed"] = Field(
        "magnitude",
        title="Ranking",
        description="By the size of an edge's effect, or with its sign, so that edges that hurt come last.",
    )


@methods.register("eap")
class EdgeAttributionPatching(Method[Settings]):
    """The effect of every edge from one gradient at the clean input."""

    title = "EAP"
    description = "Edge attribution patching: the effect of ablating each edge, from one gradient."

    def discover(self, problem: Problem, settings: Settings, seed: int, report: Report) -> Discovery:
        """Return the estimated fall of the metric for every edge; see the base class."""
        return Discovery(ranked(attribute(problem, at_clean, settings.batch_size, report), settings.ranking))


def at_clean(attribution: Attribution) -> Points:
    """Return the single pass of EAP, at the clean input."""
    return [lambda: attribution.at_clean]


def ranked(scores: Tensor, ranking: Literal["magnitude", "signed"]) -> Tensor:
    """Convert signed effects to the scores that rank edges."""
    return scores.abs() if ranking == "magnitude" else scores


def attribute(
    problem: Problem, points: Callable[[Attribution], Points], batch_size: int, report: Report
) -> Tensor:
    """Return ⟨d_s, ∂m/∂x_r⟩ of every edge, averaged over points and prompts, [n_edges] on the CPU.

    Args:
        points: returns the passes of a batch, the same number for every batch.
        batch_size: number of prompts at a time.

    Raises:
        Cancelled: see `Method.discover`.
    """
    batches = problem.prepare(batch_size)
    n_prompts = sum(len(batch.answers) for batch in batches)
    saved = load_checkpoint(problem.checkpoint)
    numbers = {"batch": 0, "point": 0} if saved is None else saved[1]
    total = torch.zeros(problem.forward.graph.n_edges) if saved is None else saved[0]["scores"]
    for done in range(numbers["batch"], len(batches)):
        attribution = _attribution(problem, batches[done])
        passes = points(attribution)
        for first in range(numbers["point"], len(passes), CHUNK):
            work = done * len(passes) + first, len(batches) * len(passes)
            report(*work, f"gradients of batch {done + 1} of {len(batches)}")
            for make in passes[first : first + CHUNK]:
                attribution.add(make())
            total += attribution.scores().cpu() / (len(passes) * n_prompts)
            numbers = {"batch": done, "point": first + CHUNK}
            if problem.checkpoint is not None:
                save_checkpoint(problem.checkpoint, {"scores": total}, numbers)
        numbers["point"] = 0
    report(1, 1, "scored every edge")
    return total


def _attribution(problem: Problem, batch: Batch) -> Attribution:
    def metric(logits: Tensor) -> Tensor:
        return metric_sum(logits, batch.answers, batch.wrong_answers, problem.metric)

    with torch.no_grad():
        replacement = problem.replacement(batch)
    return Attribution(problem.forward, batch.clean, replacement, metric)


def metric_sum(
    logits: Tensor, answers: list[list[int]], wrong_answers: list[list[int]], metric: Metric
) -> Tensor:
    """Return the sum over prompts of the task's metric (`engine.metrics`), differentiable.

    Args:
        logits: [B, V] at the answer position.
        answers, wrong_answers: token ids of each prompt.
    """
    values = logits.float()
    if metric == "probability_difference":
        values = values.softmax(-1)
    rows: list[int] = []
    tokens: list[int] = []
    weights: list[float] = []
    for row, (right, wrong) in enumerate(zip(answers, wrong_answers, strict=True)):
        for ids, sign in ((right, 1.0), (wrong, -1.0)):
            rows += [row] * len(ids)
            tokens += ids
            share = sign if metric == "probability_difference" else sign / len(ids)
            weights += [share] * len(ids)
    return values[rows, tokens] @ values.new_tensor(weights)
