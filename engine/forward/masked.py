"""The masked forward: the model with every edge kept, ablated or partly ablated, and its gradient.

With masks m_sr (1 keeps, 0 ablates) and c_s the replacement of the output h_s of source s, every reader r
reads (Edge Pruning, Bhaskar et al. 2024; the same for every ablation)

    x_r  =  Σ_s m_sr h_s + (1 - m_sr) c_s  =  C + Σ_s m_sr d_s ,     d_s = h_s - c_s ,   C = Σ_s c_s .

The differences d_s are in one buffer, written in place as the sources are computed, so that the inputs of all
readers of a layer are one matrix product. Positions before the first difference are left out, and only the
last position is unembedded. The backward pass is written by hand across the graph (again one product per
layer), and left to autograd inside attention and MLP. Frozen weights get no gradient.

Constants have their own rule in UGS (Li & Janson 2024, 2409.09951): they learn only from edges that are fully
off (mask below 1e-3), so the part of partly kept edges is subtracted from their gradient.

Shapes: as in `engine.models.transformer`; N = B·S flattened tokens, R = 3H + 1 readers of a layer, rows =
L·R + 1 readers in all.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.circuits.graph import Graph
from engine.forward.products import (
    ConstantsGradient,
    add_weighted,
    mix,
    mix_gradient,
    partial_weights,
    row_gradient,
    spread,
)
from engine.models.transformer import Run, Transformer
from engine.tensors import dot

ConstantsFrom = Literal["all", "off"]


@dataclass(frozen=True)
class Replacement:
    """Replacement values of all sources, at the stored positions of a batch.

    The dimensions b, s are prompts and positions, each of full size or 1 (the same for all): values from
    other prompts are [B, S, …], constants per position [1, S, …], shared ones [1, 1, …].
    """

    input: Tensor  # [b, s, D]
    heads: Tensor  # [L, H, b, s, d], before the output projection
    mlps: Tensor  # [L, b, s, D]
    residual: list[Tensor] | None = None  # L + 1 of [b, s, D] if known: the stream when all is replaced

    @staticmethod
    def from_run(run: Run) -> "Replacement":
        """Return the outputs of sources in a plain run, for instance on the corrupt prompts (interchange)."""
        return Replacement(run.input, torch.stack(run.heads), torch.stack(run.mlps), run.residual)

    def streams(self, transformer: Transformer) -> tuple[list[Tensor], list[Tensor]]:
        """Return the residual stream when every source is replaced.

        Returns:
            The streams before each layer and at the end (L + 1), and those between attention and MLP of each
            layer (L), each [b, s, D].
        """
        if self.residual is not None:
            return self.residual, [
                after - mlp for after, mlp in zip(self.residual[1:], self.mlps, strict=True)
            ]
        before = [self.input]
        middle: list[Tensor] = []
        for block, heads, mlp in zip(transformer.blocks, self.heads, self.mlps, strict=True):
            written = torch.bmm(heads.flatten(1, 2), block.out).sum(0) + block.out_bias
            middle.append(before[-1] + written.view(*heads.shape[1:3], -1))
            before.append(middle[-1] + mlp)
        return before, middle


def repeated(clean: Run, replacement: Replacement, times: int) -> tuple[Run, Replacement]:
    """Return a run and its replacement values with every prompt repeated, for several masks per prompt.

    Row b·times + i is prompt b. Only the values that a masked forward and its loss use are copied; constants,
    which all prompts share, are not.
    """

    def repeat(values: Tensor, dimension: int) -> Tensor:
        return values if values.shape[dimension] == 1 else values.repeat_interleave(times, dimension)

    rows = replace(
        clean.without_sources(),
        tokens=clean.tokens.repeat_interleave(times, 0),
        input=clean.input.repeat_interleave(times, 0),
        prefix=[(k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)) for k, v in clean.prefix],
        logits=clean.logits.repeat_interleave(times, 0),
        patterns=[],
    )
    streams = None if replacement.residual is None else [repeat(x, 0) for x in replacement.residual]
    values = repeat(replacement.input, 0), repeat(replacement.heads, 2), repeat(replacement.mlps, 1)
    return rows, Replacement(*values, streams)


class MaskedForward:
    """Masked forward passes of one model on one graph.

    Large buffers are kept between calls. So the gradient of a call must be computed before the next call on
    the same object.
    """

    def __init__(self, transformer: Transformer, graph: Graph) -> None:
        self.transformer = transformer
        self.graph = graph
        self.calls = 0
        self._buffers: dict[str, Tensor] = {}
        self._edge_of = _edge_table(graph).to(transformer.embedding.device)

    def __call__(
        self, clean: Run, replacement: Replacement, mask: Tensor, constants_from: ConstantsFrom = "all"
    ) -> Tensor:
        """Return the circuit's logits at the last position, [B, V].

        Args:
            clean: the plain run on the clean prompts; its input, stored start and prefix are used.
            replacement: replacement values of ablated sources; its tensors may require gradients.
            mask: [n_edges], or [B, n_edges] for a mask per prompt; 1 keeps an edge, 0 ablates it. If the
                mask requires no gradient, a gradient for the replacement costs less.
            constants_from: the edges from which the replacement gets its gradient: all, or only those that
                are fully off (for values that all prompts share). For masks of 0 and 1 both are the same.
        """
        if constants_from == "off" and len(replacement.input) != 1:
            raise ValueError("constants_from='off' is for constants, which all prompts share")
        padded = torch.cat([mask, mask.new_zeros((*mask.shape[:-1], 1))], -1)
        rows = padded[..., self._edge_of].to(self.transformer.embedding.dtype)
        values = (replacement.input, replacement.heads, replacement.mlps)
        return _Masked.apply(self, clean, replacement, constants_from, rows, *values)  # type: ignore[return-value]

    def buffer(self, name: str, *shape: int) -> Tensor:
        """Return a buffer that is kept between calls, since allocating it would cost a third of a step."""
        kept, size = self._buffers.get(name), math.prod(shape)
        if kept is None or len(kept) < size:
            like = self.transformer.embedding
            kept = self._buffers[name] = torch.empty(size, dtype=like.dtype, device=like.device)
        return kept[:size].view(shape)


def _edge_table(graph: Graph) -> Tensor:
    """Return the index of the edge from each source to each row, int64 [rows, n_sources]; n_edges if none.

    The rows are, per layer, all q, all k, all v and the MLP, and last the logits. The single input of a
    merged head is repeated for its q, k and v.
    """
    table = np.full((len(graph.readers), len(graph.sources)), graph.n_edges)
    table[graph.edges[:, 1], graph.edges[:, 0]] = np.arange(graph.n_edges)
    if graph.qkv == "merged":
        per_layer = table[:-1].reshape(graph.n_layers, graph.n_heads + 1, -1)
        heads = np.tile(per_layer[:, :-1], (1, 3, 1))
        table = np.vstack(
            [np.concatenate([heads, per_layer[:, -1:]], 1).reshape(-1, table.shape[1]), table[-1:]]
        )
    return torch.as_tensor(table)


class _Layer(NamedTuple):
    """Values of one layer for the backward pass."""

    read: Tensor  # [R, N, D] what every reader read
    scale: Tensor  # [3H, N] reciprocal root mean squares of what q, k, v read
    raw: Tensor  # [3H, N, d] projections before scale and bias
    qkv: Tensor  # [3, H, B, S, d] leaf
    heads: Tensor  # [H, B, S, d] computed from qkv
    mlp_read: Tensor  # [B, S, D] leaf; in the last layer [B, 1, D]
    mlp: Tensor  # computed from mlp_read


class _Masked(torch.autograd.Function):
    """Forward and backward of the masked model; gradients for the mask rows and the replacement values."""

    @staticmethod
    def forward(
        ctx: Any,
        masked: MaskedForward,
        clean: Run,
        replacement: Replacement,
        constants_from: ConstantsFrom,
        rows: Tensor,
        *values: Tensor,
    ) -> Tensor:
        t, graph = masked.transformer, masked.graph
        n_heads, d_model = graph.n_heads, t.shape.d_model
        (b, s), save = clean.input.shape[:2], any(ctx.needs_input_grad)
        before, middle = replacement.streams(t)
        differences = masked.buffer("differences", len(graph.sources), b * s, d_model)
        by_prompt = differences.view(-1, b, s, d_model)
        torch.sub(clean.input, replacement.input, out=by_prompt[0])
        layers: list[_Layer] = []
        for layer, block in enumerate(t.blocks):
            n, last = graph.sources_before(layer), layer == graph.n_layers - 1
            first = layer * (3 * n_heads + 1)
            read = masked.buffer(f"read {layer}" if save else "read", 3 * n_heads + 1, b * s, d_model)
            # The constant term is one more source with mask 1; the first head overwrites its row below.
            by_prompt[n] = before[layer]
            mix(rows[..., first : first + 3 * n_heads + 1, :n], differences[: n + 1], read, b)

            scale = t.rms_reciprocal(read[:-1])
            raw = torch.bmm(read[:-1], block.qkv)
            qkv = torch.addcmul(block.qkv_bias, raw, scale.unsqueeze(-1)).view(3, n_heads, b, s, -1)
            with torch.set_grad_enabled(save):
                qkv.requires_grad_(save)
                heads = t.attend(layer, qkv, clean.start, clean.prefix[layer])[0]
            changed = (heads.detach() - replacement.heads[layer]).flatten(1, 2)
            torch.bmm(changed, block.out, out=differences[n : n + n_heads])

            mlp_read = read[-1].view(b, s, d_model)
            if not graph.parallel:
                mlp_read += middle[layer] - before[layer]
                own = rows[..., first + 3 * n_heads, n : n + n_heads]
                add_weighted(mlp_read, own, by_prompt[n : n + n_heads])
            tail = slice(-1, None) if last else slice(None)  # the last MLP only matters at the last position
            mlp_read = mlp_read[:, tail].detach()
            with torch.set_grad_enabled(save):
                mlp = t.mlp(layer, mlp_read.requires_grad_(save))
            torch.sub(
                mlp.detach(), _positions(replacement.mlps[layer], tail), out=by_prompt[n + n_heads, :, tail]
            )
            if save:
                layers.append(_Layer(read, scale, raw, qkv, heads, mlp_read, mlp))

        final = before[-1][:, -1] + torch.zeros((b, d_model), dtype=rows.dtype, device=rows.device)
        add_weighted(final.unsqueeze(1), rows[..., -1, :], by_prompt[:, :, -1:])
        with torch.set_grad_enabled(save):
            logits = t.unembed(final.requires_grad_(save))
        masked.calls += 1
        if save:
            ctx.call, ctx.masked, ctx.layers, ctx.rows = masked.calls, masked, layers, rows
            ctx.final, ctx.logits, ctx.shape = final, logits, (b, s)
            ctx.value_shapes, ctx.constants_from = [value.shape for value in values], constants_from
        return logits.detach()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        masked: MaskedForward = ctx.masked
        rows: Tensor = ctx.rows
        final: Tensor = ctx.final
        logits: Tensor = ctx.logits
        layers: list[_Layer] = ctx.layers
        b, s = ctx.shape
        if ctx.call != masked.calls:
            raise RuntimeError(
                "the gradient of a masked forward must be taken before the next masked forward"
            )
        t, graph = masked.transformer, masked.graph
        n_heads, d_model = graph.n_heads, t.shape.d_model
        need_mask, need_constants = ctx.needs_input_grad[4], any(ctx.needs_input_grad[5:])
        constants = None
        if need_constants:
            partial = partial_weights(rows) if ctx.constants_from == "off" else None
            constants = ConstantsGradient(ctx.value_shapes, partial, len(graph.sources))
        differences = masked.buffer("differences", len(graph.sources), b * s, d_model)
        by_prompt = differences.view(-1, b, s, d_model)
        grad_rows = torch.zeros_like(rows) if need_mask else None
        (grad_final,) = torch.autograd.grad(logits, final, grad_outputs[0])

        grad_differences = masked.buffer("gradients", len(graph.sources), b * s, d_model).zero_()
        grad_by_prompt = grad_differences.view(-1, b, s, d_model)
        if grad_rows is not None:
            row_gradient(grad_rows[..., -1, :], by_prompt[:, :, -1:], grad_final.unsqueeze(1))
        spread(grad_by_prompt[:, :, -1:], rows[..., -1, :], grad_final.unsqueeze(1))
        if constants is not None:
            constants.read(slice(-1, None), slice(None), grad_final[None, :, None])
        # Gradient for the constant term C of all readers seen so far, [B, S, D].
        grad_stream = torch.zeros_like(by_prompt[0])
        grad_stream[:, -1] = grad_final

        grad_read = masked.buffer("read gradients", 3 * n_heads + 1, b * s, d_model)
        for layer in reversed(range(graph.n_layers)):
            block, saved, n = t.blocks[layer], layers[layer], graph.sources_before(layer)
            first, last = layer * (3 * n_heads + 1), layer == graph.n_layers - 1
            tail = slice(-1, None) if last else slice(None)
            if constants is not None:
                constants.mlp(n + n_heads, grad_stream, grad_by_prompt[n + n_heads])
            (grad_mlp_read,) = torch.autograd.grad(
                saved.mlp, saved.mlp_read, grad_by_prompt[n + n_heads, :, tail]
            )
            grad_read[-1].zero_()
            grad_read[-1].view(b, s, d_model)[:, tail] = grad_mlp_read
            if not graph.parallel:
                own, row = slice(n, n + n_heads), first + 3 * n_heads
                if grad_rows is not None:
                    row_gradient(grad_rows[..., row, own], by_prompt[own, :, tail], grad_mlp_read)
                spread(grad_by_prompt[own, :, tail], rows[..., row, own], grad_mlp_read)
                if constants is not None:
                    constants.read(slice(row, row + 1), own, grad_mlp_read[None])
                grad_stream[:, tail] += grad_mlp_read
            grad_attended = torch.bmm(grad_differences[n : n + n_heads], block.out.mT)
            grad_attended = grad_attended.view_as(saved.heads)
            if constants is not None:
                constants.heads(n, grad_stream, grad_attended, block.out)
            (grad_qkv,) = torch.autograd.grad(saved.heads, saved.qkv, grad_attended)
            # y = (x W) r with r = 1 / sqrt(mean(x²) + eps):  dx = r dy Wᵀ - x r³ ⟨dy, x W⟩ / D
            grad_qkv = grad_qkv.reshape(saved.raw.shape)
            pull = t.norm_pull(dot(grad_qkv, saved.raw), saved.scale)
            torch.bmm(grad_qkv * saved.scale.unsqueeze(-1), block.qkv.mT, out=grad_read[:-1])
            grad_read[:-1].addcmul_(saved.read[:-1], pull.unsqueeze(-1), value=-1)
            if constants is not None:
                constants.read(
                    slice(first, first + 3 * n_heads + 1), slice(n), grad_read.view(-1, b, s, d_model)
                )
                grad_stream += grad_read[: None if graph.parallel else -1].sum(0).view_as(grad_stream)
            here = (..., slice(first, first + 3 * n_heads + 1), slice(0, n))
            grad_here = None if grad_rows is None else grad_rows[here]
            mix_gradient(rows[here], grad_here, differences[:n], grad_differences[:n], grad_read, b)

        values = (None, None, None)
        if constants is not None:
            values = constants.all(grad_stream, grad_by_prompt[0])
        return None, None, None, None, grad_rows, *values


def _positions(values: Tensor, which: slice) -> Tensor:
    """Return `values` [b, s, D] at some positions; values shared over positions stay as they are."""
    return values if values.shape[1] == 1 else values[:, which]
