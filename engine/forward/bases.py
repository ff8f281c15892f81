"""Base values of a pass through a circuit; the pass computes differences from them.

To compute a circuit, the base is the model with every source replaced (`Ablated`). To compute a change of a
circuit, the base is that circuit (`Kept`).

Shapes: as in `engine.models.transformer`; b and s are B and S, or 1 where all prompts or positions are alike.
"""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from engine.arrays import Flags, Integers
from engine.circuits.graph import Graph
from engine.forward.masked import Replacement
from engine.models.transformer import Transformer

_OfHeads = dict[tuple[int, int], Tensor]  # (layer, head) -> values


class Values(Protocol):
    """Base values of readers and sources."""

    def stream(self, reader: int) -> int:
        """Return an id of the stream that a reader reads, the same for readers of the same stream."""
        ...

    def read(self, reader: int) -> Tensor:
        """Return the input of a reader, [b, s, D], or its last position alone if no other matters."""
        ...

    def projected(self, layer: int, kind: int, head: int) -> Tensor:
        """Return a head's q (kind 0), k (1) or v (2) with its bias, [b, s, d]."""
        ...

    def heads(self, layer: int, heads: Integers) -> Tensor:
        """Return the outputs of some heads before the output projection, [n, b, s, d]."""
        ...

    def mlp(self, layer: int) -> Tensor:
        """Return the output of an MLP, [b, s, D]."""
        ...


class Ablated:
    """The base in which every source is replaced."""

    def __init__(self, transformer: Transformer, graph: Graph, replacement: Replacement) -> None:
        self.transformer, self.graph, self.replacement = transformer, graph, replacement
        self.before, self.middle = replacement.streams(transformer)
        self._normed: tuple[int, Tensor] | None = None

    def stream(self, reader: int) -> int:
        """Return 0: all attention readers of a layer read one stream; not called for other readers."""
        return 0

    def read(self, reader: int) -> Tensor:
        """Return the ablated stream at the reader."""
        layer, place = divmod(reader, self.graph.attention_readers + 1)
        after_heads = place == self.graph.attention_readers and not self.graph.parallel
        return self.middle[layer] if after_heads else self.before[layer]

    def projected(self, layer: int, kind: int, head: int) -> Tensor:
        """Return the projection of the ablated stream, whose norm all heads of the layer share."""
        if self._normed is None or self._normed[0] != layer:
            stream = self.before[layer]
            self._normed = layer, stream * self.transformer.rms_reciprocal(stream).unsqueeze(-1)
        block, row = self.transformer.blocks[layer], kind * self.graph.n_heads + head
        return self._normed[1] @ block.qkv[row] + block.qkv_bias[row]

    def heads(self, layer: int, heads: Integers) -> Tensor:
        """Return the replacement values of the heads."""
        return self.replacement.heads[layer][torch.as_tensor(heads).to(self.before[0].device)]

    def mlp(self, layer: int) -> Tensor:
        """Return the replacement value of the MLP."""
        return self.replacement.mlps[layer]


@dataclass
class Kept:
    """The base of a circuit, filled by a pass: values of the sources `wanted` and of their readers.

    Attributes:
        wanted: bool [n_columns], the sources whose values are kept.
    """

    wanted: Flags
    reads: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    qkv: _OfHeads = field(default_factory=_OfHeads)  # [3, B, S, d]
    outputs: _OfHeads = field(default_factory=_OfHeads)
    mlps: dict[int, Tensor] = field(default_factory=dict[int, Tensor])

    def stream(self, reader: int) -> int:
        """Return the reader itself, since each reader has a stream of its own."""
        return reader

    def read(self, reader: int) -> Tensor:
        """Return the reader's input in the circuit."""
        return self.reads[reader]

    def projected(self, layer: int, kind: int, head: int) -> Tensor:
        """Return the head's q, k or v in the circuit."""
        return self.qkv[layer, head][kind]

    def heads(self, layer: int, heads: Integers) -> Tensor:
        """Return the heads' outputs in the circuit."""
        return torch.stack([self.outputs[layer, head] for head in heads.tolist()])

    def mlp(self, layer: int) -> Tensor:
        """Return the MLP's output in the circuit."""
        return self.mlps[layer]
