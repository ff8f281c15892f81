"""Cells of a trace (a state of a prompt that is restored), and the metrics of the answer in each.

A window of w layers around layer l has the layers l - w // 2 … l - w // 2 + w - 1, as far as they exist. This
is ROME's window for w = 10, and that of the optimal ablation paper for odd w.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.models.transformer import Transformer
from engine.progress import Report, silent
from engine.tracing.prompts import Traced
from engine.tracing.restoration import Passes, State, States, restored, states

METRICS = ("probability", "log_probability", "logit_difference")
MOST_ROWS = 512  # passes at once: more are no faster
MOST_BASES = 160  # corrupted passes held at once: more are no faster
MOST_BYTES = 2**30  # that passes hold at once, about, however long a prompt is


class Cell(NamedTuple):
    """One pass: a prompt of the group in one corrupted version, restored at one position around a layer."""

    prompt: int
    version: int
    position: int
    layer: int
    head: int = 0


@dataclass(frozen=True)
class Group:
    """Prompts of one length with answers of one length, appended to the prompts except for the last token.

    Attributes:
        answers: token ids, [P, k].
        wrong: token ids of the wrong answers, for logit differences to the answers' first tokens, [P].
        clean: the clean pass over all prompts.
        values: metrics of the answers in the clean pass, [P, 3] as in `METRICS`.
    """

    prompts: list[Traced]
    answers: Tensor
    wrong: Tensor
    clean: States
    values: Tensor

    @property
    def length(self) -> int:
        """Number of positions of each prompt that the model reads."""
        return self.prompts[0].length


def most_passes(transformer: Transformer, length: int, answer: int = 1, gradient: bool = False) -> int:
    """Return the number of passes over `length` tokens that fit into memory together, at least one.

    Args:
        answer: number of tokens of the answer, each of which needs logits.
        gradient: whether every layer is kept for the backward pass.
    """
    shape, width = transformer.shape, transformer.blocks[0].w_in.shape[1]
    heads = shape.n_heads * (10 * shape.d_head + 2 * length)  # queries, keys, values; scores and pattern
    layer = length * (4 * shape.d_model + heads + 2 * width)
    numbers = layer * (shape.n_layers if gradient else 1) + 3 * answer * shape.d_vocab
    return max(1, min(MOST_ROWS, MOST_BYTES // (numbers * transformer.embedding.element_size())))


def most_bases(transformer: Transformer, length: int) -> int:
    """Return the number of corrupted passes over `length` tokens that can be kept at once, at least one."""
    shape = transformer.shape
    kept = shape.n_layers * (shape.d_model + 2 * shape.n_heads * shape.d_head) + shape.d_model
    held = MOST_BYTES // (length * kept * transformer.embedding.element_size())
    return max(1, min(MOST_BASES, held, most_passes(transformer, length)))


def make_group(transformer: Transformer, prompts: list[Traced]) -> Group:
    """Run prompts of equal length, with answers of equal length, and return them as a group."""
    device = transformer.embedding.device
    tokens = torch.tensor([prompt.tokens + prompt.answer[:-1] for prompt in prompts], device=device)
    answers = torch.tensor([prompt.answer for prompt in prompts], device=device)
    wrong = torch.tensor([prompt.wrong for prompt in prompts], device=device)
    with torch.no_grad():
        clean = states(transformer, transformer.embed(tokens), written=True)
        values = answer_values(transformer, clean.end, answers, wrong)
    return Group(prompts, answers, wrong, clean, values)


def alike(prompts: Sequence[Traced], size: int) -> list[list[Traced]]:
    """Split prompts into parts of at most `size`, each with equal lengths of prompts and of answers."""
    of_length: dict[tuple[int, int], list[Traced]] = {}
    for prompt in prompts:
        of_length.setdefault((len(prompt.tokens), len(prompt.answer)), []).append(prompt)
    return [some[i : i + size] for _, some in sorted(of_length.items()) for i in range(0, len(some), size)]


def answer_values(transformer: Transformer, stream: Tensor, answers: Tensor, wrong: Tensor) -> Tensor:
    """Return the metrics of answers, [N, 3] as in `METRICS`.

    The probability of an answer of several tokens is the product of its tokens' conditional probabilities.
    The logit difference is that of its first token to the wrong token.

    Args:
        stream: the stream after the last layer, [N, S, D], up to the answer's last token but one.
        answers, wrong: token ids, [N, k] and [N].
    """
    logits = transformer.unembed(stream[:, -answers.shape[1] :]).float()
    first = logits[:, 0]
    difference = first.gather(1, answers[:, :1]) - first.gather(1, wrong.unsqueeze(1))
    log_p = logits.log_softmax(-1).gather(2, answers.unsqueeze(2)).sum(1)
    return torch.cat([log_p.exp(), log_p, difference], 1)


def cell_values(
    transformer: Transformer,
    group: Group,
    corrupted: States,
    cells: Tensor,
    n_versions: int,
    state: State,
    window: int,
    report: Report = silent,
) -> Tensor:
    """Return the metrics of the answers in every cell, [n_cells, 3]; gradients flow to the corrupted passes.

    Args:
        corrupted: passes over every version of every prompt of the group, [P · n_versions, …].
        cells: at least one, [n_cells, 5] with the fields of `Cell`.
    """
    cells, layers = cells.to(group.answers.device), transformer.shape.n_layers - 1
    order: list[Tensor] = []
    values: list[Tensor] = []
    done = 0
    most = most_passes(transformer, group.length, group.answers.shape[1])
    for position in np.unique(cells[:, 2].cpu().numpy()).tolist():
        here = (cells[:, 2] == position).nonzero().squeeze(1)
        for some in torch.split(here[cells[here, 3].argsort(stable=True)], most):
            report(done, len(cells), "restoring states")
            done += len(some)
            prompts, versions, _, layer, heads = cells[some].unbind(1)
            first = layer - window // 2
            passes = Passes(
                prompts,
                prompts * n_versions + versions,
                first.clamp(min=0),
                (first + window - 1).clamp(max=layers),
                heads,
            )
            stream = restored(transformer, group.clean, corrupted, position, passes, state)
            values.append(answer_values(transformer, stream, group.answers[prompts], group.wrong[prompts]))
            order.append(some)
    return torch.cat(values)[torch.cat(order).argsort()]
