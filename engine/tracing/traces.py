"""Traces of prompts: metrics of their answers in every cell, and the selection of prompts the model knows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from engine.arrays import Numbers
from engine.models.transformer import Transformer
from engine.progress import Report, part_of, silent
from engine.tensors import integers
from engine.tracing.base import Corrupter
from engine.tracing.cells import METRICS, Group, alike, answer_values, cell_values, make_group, most_bases
from engine.tracing.names import State
from engine.tracing.prompts import Traced
from engine.tracing.restoration import states


@dataclass(frozen=True)
class Traces:
    """Metrics (`METRICS`) of the answer of one prompt; the C columns are layers, or heads layer by layer.

    Attributes:
        restored: with a state restored, [S, C, versions of a cell, 3], for every token of the prompt.
        bare: with nothing restored, in the versions of the cell, [S, C, versions of a cell, 3].
        corrupted: with nothing restored, in the versions for restoring nothing, [versions, 3].
        clean: on the clean prompt, [3].
    """

    prompt: Traced
    restored: Numbers
    bare: Numbers
    corrupted: Numbers
    clean: Numbers

    @property
    def effects(self) -> Numbers:
        """Indirect effects, [S, C, versions, 3].

        They are differences under the same noise or constant, so that a state without influence has effect 0.
        """
        return self.restored - self.bare


@torch.no_grad()
def traces(
    transformer: Transformer,
    group: Group,
    corrupter: Corrupter,
    state: State,
    window: int,
    report: Report = silent,
) -> Iterator[Traces]:
    """Yield the traces of a group of prompts, with all cells.

    States at tokens before the subject are the same in the clean and the corrupted run, so their effects are
    0.
    """
    n, heads = corrupter.n_versions, transformer.shape.n_heads if state == "head" else 1
    grids = [
        _cells(i, prompt, corrupter, transformer.shape.n_layers, heads)
        for i, prompt in enumerate(group.prompts)
    ]
    cells = torch.cat([grid.flatten(0, -2) for grid in grids])
    bare = np.empty((len(group.prompts), n, len(METRICS)), np.float32)
    values = np.empty((len(cells), len(METRICS)), np.float32)
    # All versions at once, but for a prompt so long that its own do not fit.
    most = max(1, most_bases(transformer, group.length) // len(group.prompts))
    for begin in range(0, n, most):
        end = min(begin + most, n)
        streams = corrupter.streams(group.prompts, group.clean.streams[0], range(begin, end))
        corrupted = states(transformer, streams.flatten(0, 1))
        answers, wrong = (x.repeat_interleave(end - begin, 0) for x in (group.answers, group.wrong))
        unrestored = answer_values(transformer, corrupted.end, answers, wrong)
        bare[:, begin:end] = unrestored.view(-1, end - begin, len(METRICS)).cpu().numpy()
        in_range = (cells[:, 1] >= begin) & (cells[:, 1] < end)
        if not bool(in_range.any()):  # versions of classes that no prompt has, or of nothing restored
            continue
        chosen = cells[in_range]
        chosen[:, 1] -= begin
        within = part_of(report, begin, end, n)
        restored = cell_values(transformer, group, corrupted, chosen, end - begin, state, window, within)
        values[in_range.numpy()] = restored.cpu().numpy()
    bares, done = bare[cells[:, 0].numpy(), cells[:, 1].numpy()], 0
    for i, (prompt, grid) in enumerate(zip(group.prompts, grids, strict=True)):
        nothing, first = bare[i, list(corrupter.versions(None, None))], prompt.subject[0]
        here = slice(done, done + grid[..., 0].numel())
        done = here.stop
        whole: list[Numbers] = []
        for some in (values, bares):
            own = np.tile(nothing, (len(prompt.tokens), grid.shape[1] * heads, 1, 1))
            own[first:] = some[here].reshape(*own[first:].shape)
            whole.append(own)
        yield Traces(prompt, whole[0], whole[1], nothing, group.values[i].cpu().numpy())


def _cells(i: int, prompt: Traced, corrupter: Corrupter, n_layers: int, n_heads: int) -> Tensor:
    """Return the cells of a prompt of a group, [tokens from the subject on, L, H, versions of a cell, 5]."""
    positions = torch.arange(prompt.subject[0], len(prompt.tokens))
    versions = torch.tensor(
        [
            [list(corrupter.versions(prompt.token_class(position), layer)) for layer in range(n_layers)]
            for position in integers(positions)
        ]
    )
    shape = (len(positions), n_layers, n_heads, versions.shape[-1])
    fields = (
        torch.tensor(i),
        versions.unsqueeze(2),
        positions.view(-1, 1, 1, 1),
        torch.arange(n_layers).view(-1, 1, 1),
        torch.arange(n_heads).view(-1, 1),
    )
    return torch.stack([field.expand(shape) for field in fields], -1)


def known(transformer: Transformer, prompts: list[Traced]) -> list[Traced]:
    """Return the prompts whose answer the model predicts, token by token, in their order."""
    knows: set[int] = set()
    longest = max((prompt.length for prompt in prompts), default=1)
    for some in alike(prompts, most_bases(transformer, longest)):
        group = make_group(transformer, some)
        with torch.no_grad():
            predicted = transformer.unembed(group.clean.end[:, -group.answers.shape[1] :]).argmax(-1)
        right: list[bool] = cast("Any", (predicted == group.answers).all(1)).tolist()
        knows |= {id(prompt) for prompt, known in zip(some, right, strict=True) if known}
    return [prompt for prompt in prompts if id(prompt) in knows]
