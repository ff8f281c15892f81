"""Optimal ablation tracing (OAT, Li & Janson 2024, 2409.09951, section 4).

The embedding of every token of the subject is replaced by one constant, the same for all tokens and prompts
(positions stay), which is trained so that the answer suffers least. There is a constant for every class of
token and every layer around which a state of that class is restored, and one for restoring nothing:

    c*  =  argmin_c  E_x max(0, p(x) - p(x, c)) ,

p the probability of the answer. So an effect does not count what the corruption itself destroys on the way.

Each is judged by itself on prompts held out and its best kept. The one for restoring nothing is trained
first, from the mean embedding of the subjects' tokens, and all others start from it: so on those prompts no
effect comes from one constant having been trained better than another. Against the authors' code: the pass
with nothing restored is not patched in the last layers of a window, and layer 0 is not dropped.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from engine.discovery.base import Report, part_of
from engine.errors import RequestError
from engine.models.transformer import Transformer
from engine.tracing.base import Corrupter, Corruption, TraceProblem, corruptions
from engine.tracing.cells import Cell, Group, alike, answer_values, cell_values, make_group, most_passes
from engine.tracing.prompts import CLASSES, Traced
from engine.tracing.restoration import states

HELD_OUT = 0.2  # share of the training prompts on which constants are judged
FEWEST = 10  # prompts to train with
CHECK_EVERY = 20  # steps between two looks at the prompts held out


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
    """The constants, [n_versions, D]: by class and layer, last the one for restoring nothing."""

    def __init__(self, transformer: Transformer, values: Tensor) -> None:
        self.transformer, self.values, self.n_versions = transformer, values, len(values)

    def streams(self, prompts: Sequence[Traced], clean: Tensor) -> Tensor:
        """Return the prompts with every constant; gradients flow to them; see the base class."""
        found = []
        for row, prompt in zip(clean, prompts, strict=True):
            first, end = prompt.subject
            new = self.values.unsqueeze(1).expand(-1, end - first, -1)
            if self.transformer.positions is not None:
                new = new + self.transformer.positions[first:end]
            before, after = (part.expand(self.n_versions, *part.shape) for part in (row[:first], row[end:]))
            found.append(torch.cat([before, self.transformer.centre(new).to(row), after], 1))
        return torch.stack(found)

    def versions(self, token_class: int | None, layer: int | None) -> Sequence[int]:
        """Return the one constant; see the base class."""
        if token_class is None or layer is None:
            return [self.n_versions - 1]
        return [token_class * self.transformer.shape.n_layers + layer]

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the constants."""
        return {"constants": self.values.detach().float().cpu().numpy()}


@corruptions.register("optimal")
class Optimal(Corruption):
    """c*, one for every class of token and layer."""

    title = "Optimal ablation"
    description = "The subject's embeddings replaced by the constants that do the answer the least harm."
    Settings = Settings
    trained = True

    def prepare(
        self, problem: TraceProblem, settings: BaseModel, report: Report
    ) -> tuple[Corrupter, dict[str, list[float]]]:
        """Train the constants.

        Raises:
            RequestError: the model knows too few of the answers.
        """
        chosen = Settings.model_validate(settings, from_attributes=True)
        return _Training(problem, chosen).run(report)

    def kept(self, transformer: Transformer, tensors: Mapping[str, np.ndarray]) -> Corrupter:
        """Return the constants of a run; see the base class."""
        shape, found = (_n_versions(transformer), transformer.shape.d_model), tensors.get("constants")
        if found is None or found.shape != shape or found.dtype.kind != "f":
            raise RequestError(f"the run has no 'constants' of shape {list(shape)}: trace the task again")
        return Constants(transformer, torch.from_numpy(found).to(transformer.embedding))


def _n_versions(transformer: Transformer) -> int:
    return len(CLASSES) * transformer.shape.n_layers + 1


class _Training:
    """One training of all constants, which have nothing to do with each other."""

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

    def run(self, report: Report) -> tuple[Constants, dict[str, list[float]]]:
        """Train the constant for restoring nothing, then all."""
        ids = torch.tensor(self.problem.subject_tokens, device=self.transformer.embedding.device)
        embeddings = functional.embedding(ids, self.transformer.embedding).float()
        spread = float(embeddings.std())
        history: dict[str, list[float]] = {"step": [], "validation": [], "best": []}
        start = embeddings.mean(0, keepdim=True)
        none = self._train(start, spread, history, part_of(report, 0, 1, 4, "nothing restored: "))
        values = self._train(
            none.repeat(_n_versions(self.transformer), 1), spread, history, part_of(report, 1, 4, 4)
        )
        return Constants(self.transformer, values), history

    def _train(self, start: Tensor, spread: float, history: dict[str, list[float]], report: Report) -> Tensor:
        """Return trained constants, [1, D] for restoring nothing or [n_versions, D]."""
        s, values, order = self.settings, start.clone().requires_grad_(), []
        optimiser = torch.optim.AdamW([values], lr=s.rate * spread, weight_decay=0)
        best, least = start.clone(), self._validate(start)
        done = int(history["step"][-1]) if history["step"] else 0
        self._note(history, done, least, least)
        for step in range(s.steps):
            lost = history["best"][-1]
            report(step, s.steps, f"training constants: {lost:.3f} of probability lost on average")
            order = order or torch.randperm(len(self.training), generator=self.generator).tolist()
            for group in optimiser.param_groups:
                group["lr"] = s.rate * spread * (1 - step / s.steps)
            optimiser.zero_grad()
            some = self.training[order.pop()]
            cells = self._cells(some, self.generator) if len(values) > 1 else []
            self._lost(values, some, cells)
            optimiser.step()
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == s.steps:
                now = self._validate(values.detach())
                better = now < least
                best[better], least = values.detach()[better], torch.where(better, now, least)
                self._note(history, done + step + 1, now, least)
        return best

    @staticmethod
    def _note(history: dict[str, list[float]], step: int, now: Tensor, least: Tensor) -> None:
        for name, value in zip(history, (step, now.nanmean(), least.nanmean()), strict=True):
            history[name].append(float(value))

    def _cells(self, prompts: list[Traced], generator: torch.Generator) -> list[Cell]:
        """Return cells of all classes and layers of every prompt; of several tokens or heads one is drawn."""
        shape, found = self.transformer.shape, []
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
                    found.append(Cell(i, version, positions[position], layer, head))
        return found

    def _lost(self, values: Tensor, prompts: list[Traced], cells: list[Cell]) -> Tensor:
        """Return the mean loss of probability with every constant, [n]; nan where it has no cell.

        Constants go through the model some at a time, as many as fit into memory; where `values` takes
        gradients, those of each loss are added to it on the way.
        """
        group, found = make_group(self.transformer, prompts), torch.full_like(values[:, 0], torch.nan)
        passes = most_passes(
            self.transformer, group.length, group.answers.shape[1], gradient=values.requires_grad
        )
        most = max(1, passes // (2 * len(prompts)))  # a pass with nothing restored, and one with a state
        used = sorted({cell.version for cell in cells})
        for some in [[len(values) - 1], *(used[i : i + most] for i in range(0, len(used), most))]:
            place = {version: i for i, version in enumerate(some)}
            here = [cell._replace(version=place[cell.version]) for cell in cells if cell.version in place]
            lost = self._lost_of(values[some], group, here)
            if lost.requires_grad:
                lost.sum().backward()
            found[some] = lost.detach()
        return found

    def _lost_of(self, values: Tensor, group: Group, cells: list[Cell]) -> Tensor:
        """Return the mean loss with each of some constants, [n], in its cells; without any, with nothing
        restored."""
        n, p, clean = len(values), self.problem, group.values[:, 0]
        streams = Constants(self.transformer, values).streams(group.prompts, group.clean.streams[0])
        corrupted = states(self.transformer, streams.flatten(0, 1))
        if not cells:
            nothing = answer_values(self.transformer, corrupted.end, group.answers, group.wrong)
            return (clean - nothing[:, 0]).relu().mean(0, keepdim=True)
        found = cell_values(self.transformer, group, corrupted, cells, n, p.state, p.window)[:, 0]
        prompts, versions = torch.tensor(cells, device=found.device)[:, :2].unbind(1)
        nothings = torch.zeros(n, device=found.device)
        count = nothings.index_add(0, versions, torch.ones_like(found))
        return nothings.index_add(0, versions, (clean[prompts] - found).relu()) / count

    @torch.no_grad()
    def _validate(self, values: Tensor) -> Tensor:
        """Return the mean loss with every constant on the prompts held out, [n]."""
        looks = zip(self.held_out, self.looked_at, strict=True)
        lost = torch.stack([self._lost(values, some, cells * (len(values) > 1)) for some, cells in looks])
        weights = torch.tensor([len(some) for some in self.held_out], device=lost.device)
        there = weights.unsqueeze(1) * ~lost.isnan()
        return (lost.nan_to_num() * there).sum(0) / there.sum(0)
