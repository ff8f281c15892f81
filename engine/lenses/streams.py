"""Residual streams at the places of lenses, of a plain run or of one with nodes ablated."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.lenses.base import Place
from engine.models.transformer import Transformer


class Patch(Protocol):
    """Changes the outputs of nodes in a run."""

    def heads(self, layer: int, heads: Tensor) -> Tensor:
        """Return the changed outputs [H, B, S, d] of a layer's heads, before the output projection."""
        ...

    def mlp(self, layer: int, written: Tensor) -> Tensor:
        """Return the changed output of a layer's MLP, [B, S, D]."""
        ...


@dataclass(frozen=True)
class Streams:
    """Residual streams of one run.

    Attributes:
        at: streams at every place, [P, B, S, D].
        final: stream before the final norm, [B, S, D].
        attention: output of every attention, biases included, [L, B, S, D].
    """

    at: Tensor
    final: Tensor
    attention: Tensor

    def flat(self, counted: Tensor) -> tuple[Tensor, Tensor]:
        """Return streams at places, [P, N, D], and final ones, [N, D], at the N positions of a mask."""
        return self.at[:, counted], self.final[counted]


@torch.no_grad()
def read_streams(
    transformer: Transformer, tokens: Tensor, places: list[Place], patch: Patch | None = None
) -> Streams:
    """Run tokens [B, S] and return the streams at `places`, which are in the order of computation."""
    stream, wanted = transformer.embed(tokens), set(places)
    at: list[Tensor] = []
    written: list[Tensor] = []
    for layer in range(transformer.shape.n_layers):
        if Place(layer) in wanted:
            at.append(stream)
        heads = transformer.attend_stream(layer, stream)[0]
        attention = transformer.written(layer, heads if patch is None else patch.heads(layer, heads))
        between = stream + attention
        if Place(layer, True) in wanted:
            at.append(between)
        mlp = transformer.mlp(layer, stream if transformer.shape.parallel else between)
        stream = between + (mlp if patch is None else patch.mlp(layer, mlp))
        written.append(attention)
    return Streams(torch.stack(at), stream, torch.stack(written))
