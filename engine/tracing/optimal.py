"""Optimal ablation tracing (OAT, Li & Janson 2024, 2409.09951, section 4).

The embedding of every token of the subject is replaced by one constant, the same for all tokens and prompts
(position embeddings stay), which is trained to lower the answer's probability least. There is a constant for
every class of token and every layer around which a state is restored, and one for restoring nothing:

    c*  =  argmin_c  E_x max(0, p(x) - p(x, c)) ,

where p is the probability of the answer. So an effect does not include damage by the corruption itself.

The best values of each constant on held-out prompts are kept (`engine.forward.keep_best`). The constant for
restoring nothing is trained first, from the mean embedding of the subjects' tokens, and all others start from
it. So on those prompts, no effect results from one constant being trained better than another. Differences
from the authors' code: the pass with nothing restored is not patched in the last layers of a window, and
layer 0 is not dropped.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from engine.errors import RequestError
from engine.forward.keep_best import Best, History, is_checked, rows_where, training_steps
from engine.models.transformer import Transformer
from engine.progress import Report, part_of
from engine.tracing.base import Corrupter, Corruption, TraceProblem, corruptions
from engine.tracing.cells import Cell, Group, alike, answer_values, cell_values, make_group, most_passes
from engine.tracing.names import CLASSES
from engine.tracing.prompts import Traced
from engine.tracing.restoration import states

HELD_OUT = 0.2  # share of the training prompts on which constants are judged
FEWEST = 10  # prompts to train with


class Settings(BaseModel):
    """Settings of optimal ablation tracing."""

    model_config = ConfigDict(extra="forbid")

    steps: int = Field(200, ge=1, le=100_000, title="Steps", description="Training steps of either stage.")
    rate: float = Field(
        0.1, gt=0, le=10, title="Rate", description="First learning rate, in the spread of embeddings."
    )
    batch_size: int = Field(16, ge=1, le=4096, title="Batch size", description="Prompts in a step.")
    prompts: int = Field(
        1000, ge=1, le=100_000, title="Prompts", description="Prompts drawn to train with, at most."
    )


class Constants(Corrupter):
    """A corrupter by constants [n_versions, D]: by class and layer, and last that for restoring nothing."""

    def __init__(self, transformer: Transformer, values: Tensor) -> None:
        self.transformer, self.values, self.n_versions = transformer, values, len(values)

    def streams(self, prompts: Sequence[Traced], clean: Tensor, versions: Sequence[int]) -> Tensor:
        """Return streams with some constants, to which gradients flow; see the base class."""
        values = self.values[list(versions)]
        streams: list[Tensor] = []
        for row, prompt in zip(clean, prompts, strict=True):
            first, end = prompt.subject
            new = values.unsqueeze(1).expand(-1, end - first, -1)
            if self.transformer.positions is not None:
                new = new + self.transformer.positions[first:end]
            before, after = (part.expand(len(values), *part.shape) for part in (row[:first], row[end:]))
            streams.append(torch.cat([before, self.transformer.centre(new).to(row), after], 1))
        return torch.stack(streams)

    def versions(self, token_class: int | None, layer: int | None) -> Sequence[int]:
        """Return the one constant; see the base class."""
        if token_class is None or layer is None:
            return [self.n_versions - 1]
        return [token_class * self.transformer.shape.n_layers + layer]

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the constants."""
        return {"constants": self.values.detach().float().cpu().numpy()}


@corruptions.register("optimal")
class Optimal(Corruption[Settings]):
    """c*, one for every class of token and layer."""

    title = "Optimal ablation"
    description = "The subject's embeddings replaced by the constants that do the answer the least harm."
    trained = True

    def prepare(
        self, problem: TraceProblem, settings: Settings, report: Report
    ) -> tuple[Corrupter, dict[str, list[float]]]:
        """Train the constants.

        Raises:
            RequestError: the model knows too few of the answers.
        """
        return _Training(problem, settings).run(report)

    def kept(self, transformer: Transformer, tensors: Mapping[str, np.ndarray]) -> Corrupter:
        """Return the corrupter with the constants of a run; see the base class."""
        shape, values = (_n_versions(transformer), transformer.shape.d_model), tensors.get("constants")
        if values is None or values.shape != shape or values.dtype.kind != "f":
            raise RequestError(f"the run has no 'constants' of shape {list(shape)}: trace the task again")
        return Constants(transformer, torch.as_tensor(values).to(transformer.embedding))


def _n_versions(transformer: Transformer) -> int:
    return len(CLASSES) * transformer.shape.n_layers + 1


class _Training:
    """The training of all constants, which are independent of each other."""

    def __init__(self, problem: TraceProblem, settings: Settings) -> None:
        self.problem, self.settings = problem, settings
        self.transformer = problem.transformer
        prompts = problem.training(settings.prompts)
        if len(prompts) < FEWEST:
            raise RequestError(
                f"constants are trained on facts that the model knows, and it knows {len(prompts)} of those "
                f"drawn; at least {FEWEST} are needed: take the corruption 'gaussian', or another model"
            )
        rest = round(HELD_OUT * len(prompts))
        self.training, self.held_out = (
            alike(part, settings.batch_size) for part in (prompts[:-rest], prompts[-rest:])
        )
        self.generator = torch.Generator().manual_seed(problem.seed)
        # The same cells at every look, so that looks can be compared.
        drawn = torch.Generator().manual_seed(problem.seed)
        self.looked_at = [self._cells(some, drawn) for some in self.held_out]

    def run(self, report: Report) -> tuple[Constants, History]:
        """Train the constant for restoring nothing, then all constants."""
        ids = torch.tensor(self.problem.subject_tokens, device=self.transformer.embedding.device)
        embeddings = functional.embedding(ids, self.transformer.embedding).float()
        rate = self.settings.rate * float(embeddings.std())
        start = embeddings.mean(0, keepdim=True)
        none = self._train(start, rate, 0, part_of(report, 0, 1, 4, "nothing restored: "))
        start = none.values.repeat(_n_versions(self.transformer), 1)
        done = self.settings.steps
        every = self._train(start, rate, done, part_of(report, 1, 4, 4))
        history = {name: [*row, *every.history[name]] for name, row in none.history.items()}
        return Constants(self.transformer, every.values), history

    def _train(self, start: Tensor, rate: float, done: int, report: Report) -> Best[Tensor]:
        """Train constants, [1, D] for restoring nothing or [n_versions, D], after `done` earlier steps."""
        steps, values = self.settings.steps, start.clone().requires_grad_()
        optimiser = torch.optim.AdamW([values], lr=rate, weight_decay=0)
        # Constants of classes that no prompt held out has are judged by nothing: their loss is nan.
        best = Best(start, self._validate(start), rows_where, first_step=done, mean=torch.nanmean)
        for step, prompts in training_steps(optimiser, steps, self._shuffled):
            lost = best.history["best"][-1]
            report(step, steps, f"training constants: {lost:.3f} of probability lost on average")
            self._advance(optimiser, values, prompts)
            if is_checked(step + 1, steps):
                now = values.detach()
                best.check(done + step + 1, now, self._validate(now))
        return best

    def _advance(self, optimiser: torch.optim.Optimizer, values: Tensor, prompts: list[Traced]) -> None:
        optimiser.zero_grad()
        cells = self._cells(prompts, self.generator)
        self._lost(values, prompts, cells if len(values) > 1 else cells[:0])
        optimiser.step()

    def _shuffled(self) -> list[list[Traced]]:
        order = torch.randperm(len(self.training), generator=self.generator)
        return [self.training[i] for i in order]

    def _cells(self, prompts: list[Traced], generator: torch.Generator) -> Tensor:
        """Return cells of all classes and layers of every prompt, [n_cells, 5].

        If a class has several tokens, or a layer several heads, one is drawn.
        """
        shape, cells = self.transformer.shape, list[Cell]()
        for i, prompt in enumerate(prompts):
            of_class: dict[int, list[int]] = {}
            for position in range(prompt.subject[0], len(prompt.tokens)):
                of_class.setdefault(prompt.token_class(position) or 0, []).append(position)
            for token_class, positions in of_class.items():
                for layer in range(shape.n_layers):
                    position, head = (
                        int(torch.randint(most, (1,), generator=generator))
                        for most in (len(positions), shape.n_heads)
                    )
                    version = token_class * shape.n_layers + layer
                    cells.append(Cell(i, version, positions[position], layer, head))
        return torch.tensor(cells, device=self.transformer.embedding.device)

    def _lost(self, values: Tensor, prompts: list[Traced], cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probability lost under every constant, summed over its cells, and the number of these.

        Both are [n]. As many prompts and constants are run at a time as fit into memory. If `values` requires
        gradients, those of the loss, averaged over a batch, are added to it.
        """
        n, like = len(values), prompts[0]  # all are alike
        passes = most_passes(self.transformer, like.length, len(like.answer), gradient=values.requires_grad)
        passes //= 2  # each with a state restored goes on from one with nothing restored
        most = max(1, min(len(prompts), passes))
        total, count = (torch.zeros(n, device=values.device) for _ in range(2))
        for begin in range(0, len(prompts), most):
            group = make_group(self.transformer, prompts[begin : begin + most])
            here = cells[(cells[:, 0] >= begin) & (cells[:, 0] < begin + most)].clone()
            here[:, 0] -= begin
            used = here[:, 1].bincount(minlength=n).nonzero().squeeze(1)
            parts = torch.split(used, max(1, passes // most)) if len(used) else ()
            for versions in (used.new_tensor([n - 1]), *parts):
                some = here[torch.isin(here[:, 1], versions)]
                lost, of = self._lost_of(values, group, versions, some)
                if lost.requires_grad:
                    torch.autograd.backward(lost.sum() / self.settings.batch_size)
                total.index_add_(0, of, lost.detach())
                count.index_add_(0, of, torch.ones_like(lost))
        return total, count

    def _lost_of(
        self, values: Tensor, group: Group, versions: Tensor, cells: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the probability lost in every cell, and the cell's version, one of `versions`.

        Without cells, it is the probability that every prompt loses with nothing restored.
        """
        n, p, clean = len(versions), self.problem, group.values[:, 0]
        corrupter = Constants(self.transformer, values[versions])
        streams = corrupter.streams(group.prompts, group.clean.streams[0], range(n))
        corrupted = states(self.transformer, streams.flatten(0, 1))
        if not len(cells):
            nothing = answer_values(self.transformer, corrupted.end, group.answers, group.wrong)[:, 0]
            return (clean - nothing).relu(), versions.expand(len(clean))
        own = cells.clone()
        own[:, 1] = torch.searchsorted(versions, cells[:, 1].contiguous())
        restored = cell_values(self.transformer, group, corrupted, own, n, p.state, p.window)[:, 0]
        return (clean[cells[:, 0]] - restored).relu(), cells[:, 1]

    @torch.no_grad()
    def _validate(self, values: Tensor) -> Tensor:
        """Return the mean loss of every constant on the held-out prompts, [n]; nan for one without cells."""
        total, count = (torch.zeros(len(values), device=values.device) for _ in range(2))
        for some, cells in zip(self.held_out, self.looked_at, strict=True):
            lost, n = self._lost(values, some, cells if len(values) > 1 else cells[:0])
            total, count = total + lost, count + n
        return total / count
