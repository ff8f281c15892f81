"""Fast forward pass of circuits of whole edges: only live sources are computed, at the positions that matter.

The result equals that of the masked forward with a mask of zeros and ones, under every ablation. Readers read
a base stream plus the differences of the sources they keep (see `engine.forward.masked`). Only the
differences of live sources are stored, close together, so that a reader's sum is one short gather.
`engine.forward.liveness` determines which sources are live, and at which positions. Heads are computed one by
one; readers of equal streams share the sum and its norm.

The base need not be the ablated model. With the values of a circuit as the base and a change of this circuit
as the differences, the same pass propagates the change from where it happens (`engine.forward.bases`).

Shapes: as in `engine.models.transformer`; K variants of the same B prompts are computed side by side.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.arrays import Flags, Integers
from engine.circuits.graph import Graph
from engine.forward.bases import Ablated, Kept, Values
from engine.forward.liveness import Liveness, edge_matrix, head_readers, liveness, mlp_reader
from engine.forward.masked import MaskedForward, Replacement
from engine.models.transformer import Run, Transformer

SPARSE = 5  # a gather is faster than a matrix product up to this share, one in so many, of what it could read


class CircuitForward:
    """Forward passes of circuits of whole edges, in the buffers of a masked forward."""

    def __init__(self, forward: MaskedForward) -> None:
        self.forward = forward

    @torch.no_grad()
    def __call__(self, clean: Run, replacement: Replacement, kept: Flags) -> Tensor:
        """Return the circuit's logits at the last position, [B, V].

        Args:
            clean: the plain run on the clean prompts; its input, stored start and prefix are used.
            replacement: replacement values of ablated sources.
            kept: bool [n_edges], the edges of the circuit.
        """
        t, graph = self.forward.transformer, self.forward.graph
        (b, s), matters = clean.input.shape[:2], liveness(graph, edge_matrix(graph, kept))
        differences = Differences(self.forward, matters, matters.live, (1, b, s))
        if matters.live[0]:
            differences.put(0, clean.input - replacement.input)
        compute = matters.live.copy()
        compute[0] = False
        return Pass(t, graph, clean, Ablated(t, graph, replacement), differences).logits(compute)[0]


class Differences:
    """Differences of sources' outputs from the base: [K, B, S, D], or at the last position alone.

    Args:
        forward: provides the buffers, which the next object of this class reuses.
        matters: the live sources of the circuit.
        stored: bool [n_columns], the sources whose differences will be stored.
        rows: K, B and S.
    """

    def __init__(
        self, forward: MaskedForward, matters: Liveness, stored: Flags, rows: tuple[int, int, int]
    ) -> None:
        self.matters, self.stored, self.rows = matters, stored, rows
        n_sources, (k, b, s) = len(forward.graph.sources), rows
        columns = np.flatnonzero(stored)
        # The caller's own sources come first, so that what is filled is always one piece from the start.
        columns = np.concatenate([columns[columns >= n_sources], columns[columns < n_sources]])
        wide = columns[matters.everywhere[columns]]
        self.place, self.wide_place = np.full((2, len(stored)), -1)
        self.place[columns], self.wide_place[wide] = np.arange(len(columns)), np.arange(len(wide))
        d = forward.transformer.shape.d_model
        self.last = forward.buffer("live sources, last position", len(columns), k, b, 1, d)
        self.wide = forward.buffer("live sources", len(wide), k, b, s, d)

    def put(self, source: int, difference: Tensor) -> None:
        """Store a source's difference, [..., S, D], or [..., 1, D] if no other position matters."""
        if self.matters.everywhere[source]:
            self.wide[self.wide_place[source]] = difference
        self.last[self.place[source]] = difference[..., -1:, :]

    def put_heads(self, heads: Integers, changed: Tensor, out: Tensor) -> None:
        """Store the differences of heads that all matter at all positions, or all at the last one alone.

        Args:
            heads: their columns, which are consecutive if the heads matter at all positions.
            changed: differences before the output projection, [n, K, B, S or 1, d].
            out: their output projections, [n, d, D].
        """
        n, flat = len(heads), changed.flatten(1, -2)
        if self.matters.everywhere[heads[0]]:
            start = self.wide_place[heads[0]]
            torch.bmm(flat, out, out=self.wide[start : start + n].view(n, flat.shape[1], -1))
            self.last[self.place[heads]] = self.wide[start : start + n, ..., -1:, :]
        else:
            self.last[self.place[heads]] = torch.bmm(flat, out).view(n, *self.last.shape[1:])

    def mix(self, rows: Flags, last: bool) -> Tensor:
        """Return the sums over the sources in `rows` (bool [n, n_columns]), [n, K, B, S or 1, D]."""
        stored, places = (self.last, self.place) if last else (self.wide, self.wide_place)
        chosen = [places[row] for row in rows]
        index, counts = np.concatenate(chosen), np.array([len(part) for part in chosen])
        flat = stored[: index.max() + 1].flatten(1)
        if len(index) * SPARSE > len(rows) * len(flat):
            weights = flat.new_zeros((len(rows), len(flat)))
            weights[np.repeat(np.arange(len(rows)), counts), index] = 1
            mixed = torch.mm(weights, flat)
        else:
            offsets = torch.as_tensor(np.cumsum(counts) - counts).to(flat.device)
            bags = torch.as_tensor(index).to(flat.device)
            mixed = functional.embedding_bag(bags, flat, offsets, mode="sum")
        return mixed.view(len(rows), *stored.shape[1:])


@dataclass(frozen=True)
class Pass:
    """One pass through the layers: computes sources in order and stores their differences from the base.

    Attributes:
        clean: the plain run that provides start and prefix.
        values: the base.
        differences: differences of sources; those stored before are the start of the pass.
        keep: if given, filled with the values that the pass computes; there must be one variant (K = 1).
    """

    transformer: Transformer
    graph: Graph
    clean: Run
    values: Values
    differences: Differences
    keep: Kept | None = None

    def logits(self, compute: Flags) -> Tensor:
        """Compute the sources `compute` (bool [n_columns]) and return the logits, [K, B, V]."""
        return self.transformer.unembed(self.final(compute)).expand(*self.differences.rows[:2], -1)

    def final(self, compute: Flags) -> Tensor:
        """Compute the sources `compute` (bool [n_columns]) and return the input of `logits`, [K, B, D]."""
        graph = self.graph
        for layer in range(graph.n_layers):
            first = graph.sources_before(layer)
            mlp = first + graph.n_heads
            heads, wide = np.flatnonzero(compute[first:mlp]), self.differences.matters.everywhere[first:mlp]
            if len(heads):
                self._heads(layer, np.concatenate([heads[wide[heads]], heads[~wide[heads]]]))
            if compute[mlp]:
                last = not self.differences.matters.everywhere[mlp]
                written = self.transformer.mlp(layer, self._read(mlp_reader(graph, layer), last))
                self.differences.put(mlp, written - _at(self.values.mlp(layer), last))
                if self.keep is not None and self.keep.wanted[mlp]:
                    self.keep.mlps[layer] = written[0]
        return self._read(len(graph.readers) - 1, last=True)[..., 0, :]

    def _row(self, reader: int) -> Flags:
        """Return the sources with stored differences whose edges to a reader are kept, bool [n_columns]."""
        return self.differences.matters.kept[reader] & self.differences.stored

    def _read(self, reader: int, last: bool) -> Tensor:
        """Return the input of a reader, [K, B, S, D] or a shape that broadcasts to it."""
        read, row = _at(self.values.read(reader), last).unsqueeze(0), self._row(reader)
        if row.any():
            read = self.differences.mix(row[None], last)[0].add_(read)
        self._note(reader, read)
        return read

    def _heads(self, layer: int, heads: Integers) -> None:
        """Compute some heads of a layer, first those that matter at all positions."""
        block, first = self.transformer.blocks[layer], self.graph.sources_before(layer)
        wide = self.differences.matters.everywhere[first + heads]
        (k, b, s), n, d = self.differences.rows, len(heads), block.qkv.shape[-1]
        qkv = block.qkv.new_zeros((3, n, k, b, s, d))
        self._project(
            layer, heads, qkv, [(kind, i) for kind in range(3) for i in range(n) if kind or wide[i]]
        )
        # Of a head that matters at the last position alone no other query does.
        at_last = [(0, i) for i in range(n) if not wide[i]]
        self._project(layer, heads, qkv[..., -1:, :], at_last, last=True)
        prefix = [
            x[heads].unsqueeze(1).expand(n, k, *x.shape[1:]).flatten(1, 2) for x in self.clean.prefix[layer]
        ]
        attended = self.transformer.attend(layer, qkv.flatten(2, 3), self.clean.start, (prefix[0], prefix[1]))
        outputs = attended[0].view(n, k, b, s, d)
        changed = outputs - self.values.heads(layer, heads).unsqueeze(1)
        for group, last in ((np.flatnonzero(wide), False), (np.flatnonzero(~wide), True)):
            if len(group):
                part = _at(changed[group[0] : group[-1] + 1], last)
                self.differences.put_heads(first + heads[group], part, block.out[heads[group]])
        if self.keep is not None:
            for i in np.flatnonzero(self.keep.wanted[first + heads]).tolist():
                self.keep.qkv[layer, int(heads[i])] = qkv[:, i, 0]
                self.keep.outputs[layer, int(heads[i])] = outputs[i, 0]

    def _project(
        self, layer: int, heads: Integers, qkv: Tensor, asked: list[tuple[int, int]], last: bool = False
    ) -> None:
        """Write to `qkv` the projections of every (kind, index in `heads`) in `asked`, biases included."""
        block, readers = self.transformer.blocks[layer], head_readers(self.graph, layer)
        alike: dict[tuple[int, bytes], list[tuple[int, int]]] = {}
        for kind, i in asked:
            reader = int(readers[kind, heads[i]])
            row = self._row(reader)
            if row.any():
                alike.setdefault((self.values.stream(reader), row.tobytes()), []).append((kind, i))
            else:
                qkv[kind, i] = _at(self.values.projected(layer, kind, int(heads[i])), last)
        if not alike:
            return
        read_by = [int(readers[kind, heads[i]]) for (kind, i), *_ in alike.values()]
        read = self.differences.mix(np.stack([self._row(reader) for reader in read_by]), last)
        for reader, stream in zip(read_by, read, strict=True):
            stream += _at(self.values.read(reader), last)
        scale = self.transformer.rms_reciprocal(read).unsqueeze(-1)
        for group, stream, factor in zip(alike.values(), read, scale, strict=True):
            for kind, i in group:
                row = kind * self.graph.n_heads + int(heads[i])
                self._note(int(readers[kind, heads[i]]), stream)
                torch.addcmul(block.qkv_bias[row], stream @ block.qkv[row], factor, out=qkv[kind, i])

    def _note(self, reader: int, read: Tensor) -> None:
        if self.keep is not None and (self.differences.matters.kept[reader] & self.keep.wanted).any():
            held = self.keep.reads.get(reader)
            # A merged reader is read at all positions by k and v, and perhaps at the last alone by q.
            if held is None or held.shape[-2] < read.shape[-2]:
                self.keep.reads[reader] = read[0]


def _at(values: Tensor, last: bool) -> Tensor:
    """Return values [..., s, x], or those of the last position alone."""
    return values[..., -1:, :] if last else values
