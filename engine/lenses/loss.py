"""KL(teacher ‖ lens) over the whole vocabulary, with few tensors of its size.

With the logits z = U x + c of a normed stream x and the teacher's distribution p,

    KL  =  Σ p log p  -  ⟨x, Uᵀp⟩  -  ⟨c, p⟩  +  log Σ exp z ,

So of a teacher, only Uᵀp [D] and two numbers are stored. Of the lens, only log Σ exp z needs all logits; its
gradient with respect to x, Uᵀ softmax(z), is computed along with it. Frozen weights get no gradient.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from engine.models.transformer import Transformer

_ELEMENTS = 2**24  # logits at once


@dataclass(frozen=True)
class Teacher:
    """A teacher's distribution p at every position, in compact form.

    Attributes:
        pull: Uᵀp, [..., D], in float32: half precision would err by tenths of a nat.
        constant: Σ p log p - ⟨c, p⟩, [...].
    """

    pull: Tensor
    constant: Tensor


@torch.no_grad()
def make_teacher(transformer: Transformer, streams: Tensor) -> Teacher:
    """Return the teacher whose distribution is that of the final streams [..., D] of a model or a lens."""
    pulls: list[Tensor] = []
    constants: list[Tensor] = []
    for rows in torch.split(final_norm(transformer, streams).flatten(0, -2), _rows(transformer)):
        log_p = _logits(transformer, rows).log_softmax(-1)
        p = log_p.exp()
        if transformer.unembedding_bias is not None:
            log_p = log_p - transformer.unembedding_bias
        constants.append((p * log_p).sum(-1))
        pulls.append(p @ transformer.unembedding.float())
    shape = streams.shape
    return Teacher(torch.cat(pulls).view(shape), torch.cat(constants).view(shape[:-1]))


def kl_to(transformer: Transformer, teacher: Teacher, streams: Tensor) -> Tensor:
    """Return KL(teacher ‖ final streams' distribution) in nats, [...], for streams [..., D]; differentiable.

    The teacher's shapes broadcast: there may be one for all places, or one for each.
    """
    normed = final_norm(transformer, streams)
    log_sum: Tensor = cast("Any", _LogSum).apply(transformer, normed.flatten(0, -2))
    said = (normed.float() * teacher.pull).sum(-1)
    return teacher.constant - said + log_sum.view(normed.shape[:-1])


def final_norm(transformer: Transformer, streams: Tensor) -> Tensor:
    """Return streams [..., D] after the final norm."""
    normed = streams * transformer.rms_reciprocal(streams).unsqueeze(-1) * transformer.final_gain
    return normed if transformer.final_shift is None else normed + transformer.final_shift


class _LogSum(torch.autograd.Function):
    """log Σ exp of the logits of normed streams [R, D], [R]."""

    @staticmethod
    def forward(ctx: Any, transformer: Transformer, normed: Tensor) -> Tensor:
        log_sums: list[Tensor] = []
        pulls: list[Tensor] = []
        wanted = ctx.needs_input_grad[1]
        for rows in torch.split(normed, _rows(transformer)):
            logits = _logits(transformer, rows)
            top, where = logits.max(-1, keepdim=True)
            q = torch.softmax(logits, -1)
            # The most probable token's share is at least 1 / V, so its logarithm is exact.
            log_sums.append((top - q.gather(-1, where).log()).squeeze(-1))
            if wanted:
                pulls.append(q.to(rows) @ transformer.unembedding)
        if wanted:
            ctx.save_for_backward(torch.cat(pulls))
        return torch.cat(log_sums)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (pull,) = ctx.saved_tensors
        return None, gradients[0].unsqueeze(-1).to(pull) * pull


def _logits(transformer: Transformer, rows: Tensor) -> Tensor:
    return functional.linear(rows, transformer.unembedding, transformer.unembedding_bias).float()


def _rows(transformer: Transformer) -> int:
    return max(1, _ELEMENTS // len(transformer.unembedding))
