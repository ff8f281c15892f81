"""Edge attribution the slow and obvious way: hooks at every reader, and one product for every edge."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.circuits.graph import Graph
from engine.discovery.base import Problem
from engine.forward.batch import Batch
from engine.forward.masked import MaskedForward, Replacement
from engine.models import Model, load_model
from engine.tasks.base import Metric
from tests.reference import open_hooks, source_values
from tests.tiny import FAMILIES, LENGTH, N_WORDS, save_tiny, save_ungrouped

START = 2  # clean and corrupt are equal before
PROMPTS = 5
FAMILY_NAMES = ["gpt2", "gpt_neox", "llama", "qwen3"]  # plain, parallel, grouped, norms on q and k
ANSWERS = [[3, 4], [5], [6, 7, 8], [9], [10, 11]]
WRONG = [[20], [21, 22], [23], [24, 25, 26], [27]]


@dataclass(frozen=True)
class Case:
    """A tiny model, its reference with hooks, and pairs of prompts."""

    model: Model
    hooked: Any
    clean: Tensor
    corrupt: Tensor

    def problem(self, graph: Graph, metric: Metric, checkpoint: Path | None = None) -> Problem:
        """Return the problem under interchange ablation, in batches of any size."""

        def prepare(size: int) -> list[Batch]:
            run = self.model.transformer.run
            return [
                Batch(
                    run(self.clean[i : i + size], START).without_sources(),
                    Replacement.from_run(run(self.corrupt[i : i + size], START)),
                    ANSWERS[i : i + size],
                    WRONG[i : i + size],
                )
                for i in range(0, PROMPTS, size)
            ]

        forward = MaskedForward(self.model.transformer, graph)
        return Problem(forward, prepare, 30, checkpoint=checkpoint, metric=metric)


def make_case(family: str, root: Path) -> Case:
    """Return the case of a family; a grouped model's reference has a key and value head per query head."""
    folder = save_tiny(FAMILIES[family], root / family)
    model = load_model(str(folder), device="cpu")
    if model.shape.n_kv_heads != model.shape.n_heads:
        hooked = load_model(str(save_ungrouped(folder, root / f"{family}-wide")), device="cpu")
    else:
        hooked = load_model(str(folder), device="cpu")
    generator = torch.Generator().manual_seed(1)
    clean = torch.randint(1, N_WORDS, (PROMPTS, LENGTH), generator=generator)
    corrupt = clean.clone()
    for position in (START, 4):
        corrupt[:, position] = torch.randint(1, N_WORDS, (PROMPTS,), generator=generator)
    return Case(model, open_hooks(hooked.bridge), clean, corrupt)


def mean_metric(logits: Tensor, metric: Metric) -> Tensor:
    """Return a metric's mean over the prompts, from logits [B, V]."""
    total = torch.zeros(())
    for row, answers, wrong in zip(logits, ANSWERS, WRONG, strict=True):
        if metric == "logit_difference":
            total = total + row[answers].mean() - row[wrong].mean()
        else:
            total = total + row.softmax(-1)[answers].sum() - row.softmax(-1)[wrong].sum()
    return total / len(logits)


Hooks = list[tuple[str, Callable[..., Tensor]]]


def definition(
    case: Case, graph: Graph, metric: Metric, values: dict[str, Tensor], points: list[Hooks]
) -> Tensor:
    """Return ⟨h_s - c_s, ∂m/∂x_r⟩ for every edge, the gradient averaged over passes with other hooks set.

    Args:
        values: c_s, name -> [B, S, D].
    """
    gradients = [_reader_gradients(case, graph, metric, hooks) for hooks in points]
    own = source_values(case.hooked, graph, case.clean)
    scores = []
    for source, reader in graph.edges.tolist():
        source, reader = graph.sources[source], graph.readers[reader]
        gradient = torch.stack([found[reader] for found in gradients]).mean(0)
        scores.append(((own[source] - values[source]) * gradient).sum())
    return torch.stack(scores).detach()


def set_output(name: str, value: Tensor) -> tuple[str, Callable[..., Tensor]]:
    """Return a hook that sets an activation whatever it was."""
    return name, lambda x, hook: value


def _reader_gradients(case: Case, graph: Graph, metric: Metric, hooks: Hooks) -> dict[str, Tensor]:
    """Return ∂m/∂x_r of every reader, name -> [B, S, D], on a pass with more hooks set."""
    nudges: dict[str, Tensor] = {}
    wide = (*case.clean.shape, graph.n_heads, case.model.shape.d_model)

    def nudge(name: str, *size: int) -> tuple[str, Callable[..., Tensor]]:
        nudges[name] = torch.zeros(size, requires_grad=True)
        return name, lambda x, hook: x + nudges[name]

    places = []
    for layer in range(graph.n_layers):
        places += [nudge(f"blocks.{layer}.hook_{kind}_input", *wide) for kind in "qkv"]
        places.append(nudge(f"blocks.{layer}.hook_mlp_in", *wide[:2], wide[3]))
    places.append(nudge("ln_final.hook_in", *wide[:2], wide[3]))
    logits = case.hooked.run_with_hooks(case.clean, fwd_hooks=hooks + places)[:, -1]
    found = torch.autograd.grad(mean_metric(logits, metric), list(nudges.values()), allow_unused=True)
    at = {
        name: torch.zeros_like(nudges[name]) if gradient is None else gradient
        for name, gradient in zip(nudges, found, strict=True)
    }
    readers = {"logits": at["ln_final.hook_in"]}
    for layer in range(graph.n_layers):
        readers[f"m{layer}"] = at[f"blocks.{layer}.hook_mlp_in"]
        for head in range(graph.n_heads):
            of_head = {kind: at[f"blocks.{layer}.hook_{kind}_input"][:, :, head] for kind in "qkv"}
            readers |= {f"a{layer}.h{head}<{kind}>": gradient for kind, gradient in of_head.items()}
            readers[f"a{layer}.h{head}"] = of_head["q"] + of_head["k"] + of_head["v"]
    return readers
