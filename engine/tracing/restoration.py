"""The fast path of causal tracing: corrupted passes in which one clean state is restored.

A pass with a state restored at one position equals the corrupted pass before that position, and in every
layer before the first restored one. So all passes restored at one position are computed together from there
on, with the corrupted keys and values of earlier positions, and each joins at its own first layer.

Shapes: B corrupted prompts, P clean prompts, S positions, N passes, D = d_model, H heads, d = d_head.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.models.transformer import Transformer
from engine.tracing.names import State


@dataclass(frozen=True)
class States:
    """The states of a plain pass over prompts, as lists with an entry per layer.

    Outputs of heads, attentions and MLPs are stored only on request.
    """

    streams: list[Tensor]  # [B, S, D] before the layer
    keys: list[tuple[Tensor, Tensor]]  # keys and values, [H, B, S, d] each
    heads: list[Tensor]  # [H, B, S, d]
    attention: list[Tensor]  # [B, S, D], what the attention writes
    mlps: list[Tensor]  # [B, S, D]
    end: Tensor  # [B, S, D], the stream after the last layer


@dataclass(frozen=True)
class Passes:
    """Passes with a state restored at the same position, one entry per pass, in the order of `first`.

    Attributes:
        prompts: indices of the clean prompts, [N].
        bases: indices of the corrupted prompts, [N].
        first, last: first and last restored layer, [N].
        heads: the restored head, [N]; used for the state "head" alone.
    """

    prompts: Tensor
    bases: Tensor
    first: Tensor
    last: Tensor
    heads: Tensor

    def part(self, begin: int, end: int) -> "Passes":
        """Return the passes from `begin` up to `end`."""
        fields = (self.prompts, self.bases, self.first, self.last, self.heads)
        return Passes(*(field[begin:end] for field in fields))


def states(transformer: Transformer, stream: Tensor, written: bool = False) -> States:
    """Return the states of a plain pass from the stream [B, S, D] before layer 0; gradients flow.

    Args:
        written: whether to store the outputs of heads, attentions and MLPs.
    """
    passed = States([], [], [], [], [], stream)
    for layer in range(transformer.shape.n_layers):
        passed.streams.append(stream)
        heads, _, k, v = transformer.attend_stream(layer, stream)
        passed.keys.append((k, v))
        attention = transformer.written(layer, heads)
        between = stream + attention
        mlp = transformer.mlp(layer, stream if transformer.shape.parallel else between)
        if written:
            passed.heads.append(heads)
            passed.attention.append(attention)
            passed.mlps.append(mlp)
        stream = between + mlp
    return replace(passed, end=stream)


def restored(
    transformer: Transformer, clean: States, corrupted: States, position: int, passes: Passes, state: State
) -> Tensor:
    """Return the streams after the last layer, [N, S - position, D], of passes restored at `position`.

    Args:
        state: the state restored at the position: the stream before a layer, or the output of its attention,
            its MLP or one of its heads.
    """
    stream, joined = corrupted.end[:0, position:], 0
    for layer in range(transformer.shape.n_layers):
        begun = int((passes.first <= layer).sum())
        new = corrupted.streams[layer][passes.bases[joined:begun], position:]
        stream, joined = torch.cat([stream, new]), begun
        if not joined:
            continue
        here, bases = passes.part(0, joined), passes.bases[:joined]
        back = here.last >= layer
        k, v = corrupted.keys[layer]
        prefix = (k[:, bases, :position], v[:, bases, :position])
        if state == "residual":
            stream = _put(stream, clean.streams[layer][here.prompts, position], back)
        heads = transformer.attend_stream(layer, stream, position, prefix)[0]
        if state == "head" and bool(back.any()):
            heads = heads.clone()
            own = here.heads[back]
            heads[own, back.nonzero().squeeze(-1), 0] = clean.heads[layer][own, here.prompts[back], position]
        attention = transformer.written(layer, heads)
        if state == "attention":
            attention = _put(attention, clean.attention[layer][here.prompts, position], back)
        between = stream + attention
        mlp = transformer.mlp(layer, stream if transformer.shape.parallel else between)
        if state == "mlp":
            mlp = _put(mlp, clean.mlps[layer][here.prompts, position], back)
        stream = between + mlp
    return stream


def _put(values: Tensor, clean: Tensor, back: Tensor) -> Tensor:
    """Return values [N, S, D], at the first position replaced by `clean` [N, D] where `back` [N] holds."""
    if not bool(back.any()):
        return values
    first = torch.where(back.unsqueeze(-1), clean, values[:, 0])
    return torch.cat([first.unsqueeze(1), values[:, 1:]], 1)
