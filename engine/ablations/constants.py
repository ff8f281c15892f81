"""Constants as replacement values: zero, and means over training prompts, shared or per position.

Constants never replace the first position (of a BOS token): there every prompt keeps its own values.
"""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from engine.ablations.base import Ablated, Conditioning, Replacer
from engine.forward.masked import Replacement
from engine.models.transformer import Run, Transformer

FIRST_ABLATED = 1


class MeanSettings(BaseModel):
    """Settings of the means."""

    model_config = ConfigDict(extra="forbid")

    conditioning: Literal["per position", "shared"] = Field(
        "per position",
        title="Conditioning",
        description="One mean for every position, or one mean over all positions.",
    )


def first_ablated(tokens: Tensor) -> int:
    """Return the first position of prompts [B, S] that is ablated."""
    return min(FIRST_ABLATED, tokens.shape[1] - 1)


def constant_replacer(constants: Replacement) -> Replacer:
    """Return a replacer for constants, given from position `FIRST_ABLATED` on or shared over positions.

    In a prompt longer than the constants, the last constant replaces all further positions.
    """

    def replace(clean: Tensor, corrupt: Tensor) -> Ablated:
        start = first_ablated(clean)
        n = clean.shape[1] - start
        return Ablated(start, _replacement([_fit(value, n) for value in _values(constants)]))

    return replace


class Constants:
    """Trainable constants that replace the outputs of sources, per position or shared.

    Attributes:
        values: leaf tensors that require gradients: input [1, s, D], heads [L, H, 1, s, d] and MLPs
            [L, 1, s, D], as in `Replacement`; s is 1 where they are shared over positions.
    """

    def __init__(self, start: Replacement) -> None:
        self.values = [value.detach().clone().requires_grad_() for value in _values(start)]

    def of(self, clean: Run) -> Replacement:
        """Return the replacement values at the stored positions of a batch; they are differentiable."""
        # Where no gradient is asked for, none may seem to be: a masked forward would keep all for it.
        values = self.values if torch.is_grad_enabled() else [value.detach() for value in self.values]
        return _replacement([_fit(value, clean.input.shape[1]) for value in values])

    def frozen(self) -> Replacement:
        """Return a copy of the present constants, without gradients."""
        return _replacement([value.detach().clone() for value in self.values])


def zeros(transformer: Transformer) -> Replacement:
    """Return zero for every source, shared over positions."""
    shape, like = transformer.shape, transformer.embedding
    return Replacement(
        like.new_zeros((1, 1, shape.d_model)),
        like.new_zeros((shape.n_layers, shape.n_heads, 1, 1, shape.d_head)),
        like.new_zeros((shape.n_layers, 1, 1, shape.d_model)),
    )


def means(transformer: Transformer, groups: list[Tensor], conditioning: Conditioning) -> Replacement:
    """Return the mean output of every source, over all prompts, from position `FIRST_ABLATED` on.

    Args:
        groups: tokens [n, S] of the prompts, a group for each length.
        conditioning: "per position" gives the mean at every position, over the prompts that reach it, and as
            the last entry the mean over all positions, for longer prompts. "shared" gives that entry alone.
    """
    like, (sums, counts) = transformer.embedding, totals(transformer, groups)
    pooled = [(total.sum(-2, keepdim=True) / counts.sum()).to(like) for total in sums]
    if conditioning == "shared":
        return _replacement(pooled)
    each = [(total / counts).to(like) for total in sums]
    return _replacement([torch.cat(pair, -2) for pair in zip(each, pooled, strict=True)])


def deviations(transformer: Transformer, groups: list[Tensor]) -> Replacement:
    """Return the standard deviation of every component of the sources' outputs, over prompts and positions.

    Shapes and `groups` are those of `means` with shared conditioning.
    """
    sums, counts = totals(transformer, groups)
    squares, _ = totals(transformer, groups, power=2)
    spread: list[Tensor] = []
    for total, square in zip(sums, squares, strict=True):
        mean, of_square = (x.sum(-2, keepdim=True) / counts.sum() for x in (total, square))
        spread.append((of_square - mean.square()).clamp_min(0).sqrt().to(transformer.embedding))
    return _replacement(spread)


@torch.no_grad()
def totals(transformer: Transformer, groups: list[Tensor], power: int = 1) -> tuple[list[Tensor], Tensor]:
    """Return sums over prompts of a power of the sources' outputs, and the number of prompts per position.

    Returns:
        Sums of input, heads and MLPs, float64 [..., 1, S, x] on the CPU, and the number of prompts that
        reach each position, [S, 1]; both from position `FIRST_ABLATED` on.
    """
    longest = max(tokens.shape[1] for tokens in groups) - FIRST_ABLATED
    sums = [
        x.cpu().double().expand(*x.shape[:-2], max(longest, 1), x.shape[-1]).clone()
        for x in _values(zeros(transformer))
    ]
    counts = torch.zeros(max(longest, 1), 1, dtype=torch.float64)
    for tokens in groups:
        for part in torch.split(tokens, 64):
            run = transformer.run(part, first_ablated(part))
            n = run.input.shape[1]
            counts[:n] += len(part)
            for total, value in zip(sums, _values(Replacement.from_run(run)), strict=True):
                total[..., :n, :] += value.cpu().double().pow(power).sum(-3, keepdim=True)
    return sums, counts


def _values(replacement: Replacement) -> tuple[Tensor, Tensor, Tensor]:
    return replacement.input, replacement.heads, replacement.mlps


def _replacement(values: list[Tensor]) -> Replacement:
    stream, heads, mlps = values
    return Replacement(stream, heads, mlps)


def _fit(constants: Tensor, n: int) -> Tensor:
    """Return constants [..., s, x] for n positions; the last one serves every position beyond the others."""
    s = constants.shape[-2]
    if s == 1:
        return constants
    return constants[..., torch.arange(n, device=constants.device).clamp_max(s - 1), :]
