"""Planted models, whose circuits are known since their weights are made by hand.

Their prompts need the whole circuit. A planted edge carries one or more pieces of a prompt. In every pair of
prompts, the answer changes if the pieces of any one planted edge are taken from the corrupt prompt.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from engine.ablations.base import Reference, ablations
from engine.circuits.graph import Graph
from engine.discovery.base import Problem
from engine.errors import RequestError
from engine.forward.batch import Batch
from engine.forward.masked import MaskedForward
from engine.models.model import Model
from engine.planted.weights import Weights
from engine.tensors import integers

N_PAIRS = 32

Pieces = Mapping[str, Any]  # what a prompt says, by the name of the piece


@dataclass(frozen=True)
class Planted:
    """A planted model with its prompts.

    Attributes:
        model: the model; it has no tokenizer.
        circuit: names of the planted edges, in the graph with separate q, k and v.
        ablations: names of the ablations under which exactly these edges are the circuit.
        clean, corrupt: token ids [N_PAIRS, S] of pairs of prompts.
        answers, wrong_answers: token ids of the model's answers to the clean and to the corrupt prompts.
    """

    model: Model
    circuit: tuple[str, ...]
    ablations: tuple[str, ...]
    clean: Tensor
    corrupt: Tensor
    answers: list[list[int]]
    wrong_answers: list[list[int]]

    @property
    def graph(self) -> Graph:
        """The graph of the circuit."""
        return self.model.shape.graph()

    def problem(self, ablation: str, seed: int = 0) -> Problem:
        """Return the input of a discovery method, with the number of planted edges as the target.

        Args:
            ablation: name of the ablation, used with its default settings.
            seed: seed of the ablation.

        Raises:
            RequestError: the planted edges are not the circuit under this ablation.
        """
        if ablation not in self.ablations:
            raise RequestError(
                f"the planted circuit of '{self.model.id}' is not that of {ablation} ablation; "
                f"it is known for: {', '.join(self.ablations)}"
            )
        kind, transformer = ablations.get(ablation), self.model.transformer
        reference, settings = Reference([self.clean], [self.corrupt]), kind.Settings()
        replace = kind.prepare(transformer, reference, settings, seed)

        def prepare(size: int) -> list[Batch]:
            batches: list[Batch] = []
            for rows in torch.split(torch.arange(len(self.clean)), size):
                clean = self.clean[rows]
                ablated = replace(clean, self.corrupt[rows])
                run = transformer.run(clean, ablated.start).without_sources()
                chosen, options = integers(rows), (self.answers, self.wrong_answers)
                answers, wrong = ([ids[i] for i in chosen] for ids in options)
                batches.append(Batch(run, ablated.replacement, answers, wrong))
            return batches

        forward = MaskedForward(transformer, self.graph)
        return Problem(forward=forward, prepare=prepare, target_edges=len(self.circuit))


def plant(
    name: str,
    weights: Weights,
    carried: Mapping[str, Sequence[str]],
    known_under: tuple[str, ...],
    pairs: Sequence[tuple[Pieces, Pieces]],
    spell: Callable[[Pieces], list[str]],
    answer: Callable[..., str],
) -> Planted:
    """Return a planted model.

    Args:
        name: name of the model.
        weights: the finished weights.
        carried: names of the planted edges, with the pieces of a prompt that each carries.
        known_under: names of the ablations under which these edges are the circuit.
        pairs: pieces of the clean and the corrupt prompts.
        spell: returns the tokens of a prompt.
        answer: returns the answer token of a prompt.
    """
    clean, corrupt = zip(*pairs, strict=True)

    def ids(prompts: Sequence[Pieces]) -> Tensor:
        return torch.tensor([[weights.token_ids[token] for token in spell(pieces)] for pieces in prompts])

    def answered(prompts: Sequence[Pieces]) -> list[list[int]]:
        return [[weights.token_ids[answer(**pieces)]] for pieces in prompts]

    return Planted(
        model=weights.model(name),
        circuit=tuple(carried),
        ablations=known_under,
        clean=ids(clean),
        corrupt=ids(corrupt),
        answers=answered(clean),
        wrong_answers=answered(corrupt),
    )


def draw_pairs(
    draw: Callable[[Random], Pieces],
    answer: Callable[..., str],
    carried: Mapping[str, Sequence[str]],
    seed: int,
    n: int = N_PAIRS,
) -> list[tuple[Pieces, Pieces]]:
    """Return pairs of clean and corrupt prompts, as pieces, in which every planted edge decides the answer.

    Args:
        draw: draws the pieces of one prompt.
        answer, carried: as for `plant`.
        seed: seed of the drawing.
        n: number of pairs.
    """
    rng = Random(seed)
    pairs: list[tuple[Pieces, Pieces]] = []
    while len(pairs) < n:
        clean, corrupt = draw(rng), draw(rng)
        right = answer(**clean)
        cuts = ({**clean, **{name: corrupt[name] for name in names}} for names in carried.values())
        if all(answer(**cut) != right for cut in cuts):
            pairs.append((clean, corrupt))
    return pairs
