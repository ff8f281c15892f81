"""The masked forward: the model with every edge kept, ablated or anything between, and its gradient.

Every reader r reads, with mask m_sr (1 keeps, 0 ablates) and c_s what stands in for the output h_s of
source s (Edge Pruning, Bhaskar et al. 2024; the same for every ablation),

    x_r  =  Σ_s m_sr h_s + (1 - m_sr) c_s  =  C + Σ_s m_sr d_s ,     d_s = h_s - c_s ,   C = Σ_s c_s .

The differences d_s lie in one buffer, written in place as the sources are computed, so that all readers of
a layer are one matrix product. Positions before the first difference carry none and are left out; only the
last position is unembedded. The way back is written by hand across the graph (again one product per layer)
and left to autograd inside attention and MLP. Frozen weights get no gradient.

Shapes: as in `engine.models.transformer`; N = B·S flattened tokens, R = 3H + 1 readers of a layer, rows =
L·R + 1 readers in all.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.graph import Graph
from engine.models.transformer import Run, Transformer


@dataclass(frozen=True)
class Replacement:
    """What every ablated source is replaced by, at the stored positions of a batch.

    The dimensions b, s are prompts and positions, each of full size or 1 (the same for all): values from
    other prompts are [B, S, …], constants per position [1, S, …], shared ones [1, 1, …].
    """

    input: Tensor  # [b, s, D]
    heads: Tensor  # [L, H, b, s, d], before the output projection
    mlps: Tensor  # [L, b, s, D]
    residual: list[Tensor] | None = None  # L + 1 of [b, s, D] if known: the stream when all is replaced

    @staticmethod
    def from_run(run: Run) -> "Replacement":
        """Return the values of a plain run, for instance on the corrupt prompts (interchange)."""
        return Replacement(run.input, torch.stack(run.heads), torch.stack(run.mlps), run.residual)

    def streams(self, transformer: Transformer) -> tuple[list[Tensor], list[Tensor]]:
        """Return the stream when every source is replaced: before each layer and at the end (L + 1), and
        between attention and MLP of each layer (L), each [b, s, D]."""
        if self.residual is not None:
            return self.residual, [
                after - mlp for after, mlp in zip(self.residual[1:], self.mlps, strict=True)
            ]
        before, middle = [self.input], []
        for block, heads, mlp in zip(transformer.blocks, self.heads, self.mlps, strict=True):
            written = torch.bmm(heads.flatten(1, 2), block.out).sum(0) + block.out_bias
            middle.append(before[-1] + written.view(*heads.shape[1:3], -1))
            before.append(middle[-1] + mlp)
        return before, middle


class MaskedForward:
    """Masked forward passes of one model on one graph; keeps its large buffers between calls.

    The gradient of a call must be taken before the next call on the same object, which reuses them.
    """

    def __init__(self, transformer: Transformer, graph: Graph) -> None:
        self.transformer = transformer
        self.graph = graph
        self.calls = 0
        self._buffers: dict[str, Tensor] = {}
        self._edge_of = _edge_table(graph).to(transformer.embedding.device)

    def __call__(self, clean: Run, replacement: Replacement, mask: Tensor) -> Tensor:
        """Return the circuit's logits at the last position, [B, V].

        Args:
            clean: the plain run on the clean prompts; its input, stored start and prefix are used.
            replacement: what ablated sources are replaced by; its tensors may require gradients.
            mask: [n_edges], or [B, n_edges] for a mask per example; 1 keeps an edge, 0 ablates it.
        """
        padded = torch.cat([mask, mask.new_zeros((*mask.shape[:-1], 1))], -1)
        rows = padded[..., self._edge_of].to(self.transformer.embedding.dtype)
        values = (replacement.input, replacement.heads, replacement.mlps)
        return _Masked.apply(self, clean, replacement, rows, *values)  # type: ignore[return-value]

    def buffer(self, name: str, *shape: int) -> Tensor:
        """Return a buffer kept between calls: allocating it anew would cost a third of a step."""
        kept, size = self._buffers.get(name), math.prod(shape)
        if kept is None or len(kept) < size:
            like = self.transformer.embedding
            kept = self._buffers[name] = torch.empty(size, dtype=like.dtype, device=like.device)
        return kept[:size].view(shape)


def _edge_table(graph: Graph) -> Tensor:
    """Return which edge joins a source to a row, int64 [rows, n_sources]; n_edges where there is none.

    Rows are per layer all q, all k, all v, the MLP, and last the logits; the one input of a merged head is
    repeated for its q, k and v.
    """
    table = np.full((len(graph.readers), len(graph.sources)), graph.n_edges)
    table[graph.edges[:, 1], graph.edges[:, 0]] = np.arange(graph.n_edges)
    if graph.qkv == "merged":
        per_layer = table[:-1].reshape(graph.n_layers, graph.n_heads + 1, -1)
        heads = np.tile(per_layer[:, :-1], (1, 3, 1))
        table = np.vstack(
            [np.concatenate([heads, per_layer[:, -1:]], 1).reshape(-1, table.shape[1]), table[-1:]]
        )
    return torch.from_numpy(table)


class _Layer(NamedTuple):
    """What the way back needs of one layer."""

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
        ctx: Any, engine: MaskedForward, clean: Run, replacement: Replacement, rows: Tensor, *values: Tensor
    ) -> Tensor:
        t, graph = engine.transformer, engine.graph
        n_heads, d_model = graph.n_heads, t.shape.d_model
        (b, s), save = clean.input.shape[:2], any(ctx.needs_input_grad)
        before, middle = replacement.streams(t)
        differences = engine.buffer("differences", len(graph.sources), b * s, d_model)
        by_prompt = differences.view(-1, b, s, d_model)
        torch.sub(clean.input, replacement.input, out=by_prompt[0])
        layers: list[_Layer] = []
        for layer, block in enumerate(t.blocks):
            n, last = graph.sources_before(layer), layer == graph.n_layers - 1
            first = layer * (3 * n_heads + 1)
            read = engine.buffer(f"read {layer}" if save else "read", 3 * n_heads + 1, b * s, d_model)
            # The constant term is one more source with mask 1; the first head overwrites its row below.
            by_prompt[n] = before[layer]
            _mix(rows[..., first : first + 3 * n_heads + 1, :n], differences[: n + 1], read, b)

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
                _add_weighted(mlp_read, own, by_prompt[n : n + n_heads])
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
        _add_weighted(final.unsqueeze(1), rows[..., -1, :], by_prompt[:, :, -1:])
        with torch.set_grad_enabled(save):
            logits = t.unembed(final.requires_grad_(save))
        engine.calls += 1
        if save:
            ctx.call, ctx.engine, ctx.layers, ctx.rows = engine.calls, engine, layers, rows
            ctx.final, ctx.logits, ctx.shape = final, logits, (b, s)
            ctx.value_shapes = [value.shape for value in values]
        return logits.detach()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        engine, rows, (b, s) = ctx.engine, ctx.rows, ctx.shape
        if ctx.call != engine.calls:
            raise RuntimeError(
                "the gradient of a masked forward must be taken before the next masked forward"
            )
        t, graph = engine.transformer, engine.graph
        n_heads, d_model = graph.n_heads, t.shape.d_model
        need_constants = any(ctx.needs_input_grad[4:])
        differences = engine.buffer("differences", len(graph.sources), b * s, d_model)
        by_prompt = differences.view(-1, b, s, d_model)
        grad_rows = torch.zeros_like(rows)
        (grad_final,) = torch.autograd.grad(ctx.logits, ctx.final, grad_outputs[0])

        grad_differences = engine.buffer("gradients", len(graph.sources), b * s, d_model).zero_()
        grad_by_prompt = grad_differences.view(-1, b, s, d_model)
        _row_gradient(grad_rows[..., -1, :], by_prompt[:, :, -1:], grad_final.unsqueeze(1))
        _spread(grad_by_prompt[:, :, -1:], rows[..., -1, :], grad_final.unsqueeze(1))
        # Gradient for the constant term C of all readers seen so far, [B, S, D].
        grad_stream = torch.zeros_like(by_prompt[0])
        grad_stream[:, -1] = grad_final
        grad_heads, grad_mlps = [], []

        grad_read = engine.buffer("read gradients", 3 * n_heads + 1, b * s, d_model)
        for layer in reversed(range(graph.n_layers)):
            block, saved, n = t.blocks[layer], ctx.layers[layer], graph.sources_before(layer)
            first, last = layer * (3 * n_heads + 1), layer == graph.n_layers - 1
            tail = slice(-1, None) if last else slice(None)
            if need_constants:
                grad_mlps.append(grad_stream - grad_by_prompt[n + n_heads])
            (grad_mlp_read,) = torch.autograd.grad(
                saved.mlp, saved.mlp_read, grad_by_prompt[n + n_heads, :, tail]
            )
            grad_read[-1].zero_()
            grad_read[-1].view(b, s, d_model)[:, tail] = grad_mlp_read
            own_heads = grad_by_prompt[n : n + n_heads, :, tail]
            if not graph.parallel:
                own = slice(n, n + n_heads)
                _row_gradient(
                    grad_rows[..., first + 3 * n_heads, own], by_prompt[own, :, tail], grad_mlp_read
                )
                _spread(own_heads, rows[..., first + 3 * n_heads, own], grad_mlp_read)
                grad_stream[:, tail] += grad_mlp_read
            grad_attended = torch.bmm(grad_differences[n : n + n_heads], block.out.mT)
            if need_constants:
                stream = torch.matmul(grad_stream.view(b * s, d_model), block.out.mT)
                grad_heads.append((stream - grad_attended).view(n_heads, b, s, -1))
            (grad_qkv,) = torch.autograd.grad(saved.heads, saved.qkv, grad_attended.view_as(saved.heads))
            # y = (x W) r with r = 1 / sqrt(mean(x²) + eps):  dx = r dy Wᵀ - x r³ ⟨dy, x W⟩ / D
            grad_qkv = grad_qkv.reshape(saved.raw.shape)
            pull = torch.linalg.vecdot(grad_qkv, saved.raw) * saved.scale**3 / d_model
            torch.bmm(grad_qkv * saved.scale.unsqueeze(-1), block.qkv.mT, out=grad_read[:-1])
            grad_read[:-1].addcmul_(saved.read[:-1], pull.unsqueeze(-1), value=-1)
            if need_constants:
                grad_stream += grad_read[: None if graph.parallel else -1].sum(0).view_as(grad_stream)
            here = (..., slice(first, first + 3 * n_heads + 1), slice(0, n))
            _mix_gradient(rows[here], grad_rows[here], differences[:n], grad_differences[:n], grad_read, b)

        if not need_constants:
            return None, None, None, grad_rows, None, None, None
        gradients = (
            grad_stream - grad_by_prompt[0],
            torch.stack(grad_heads[::-1]),
            torch.stack(grad_mlps[::-1]),
        )
        reduced = [g.sum_to_size(shape) for g, shape in zip(gradients, ctx.value_shapes, strict=True)]
        return None, None, None, grad_rows, *reduced


def _positions(values: Tensor, which: slice) -> Tensor:
    """Return `values` [b, s, D] at some positions; values shared over positions are the same at all."""
    return values if values.shape[1] == 1 else values[:, which]


def _mix(rows: Tensor, differences: Tensor, out: Tensor, b: int) -> None:
    """Write Σ_s m_sr d_s + C for every reader; `differences` ends in C. With [B, …] rows prompt by prompt."""
    weights = torch.cat([rows, rows.new_ones((*rows.shape[:-1], 1))], -1)
    if rows.dim() == 2:
        torch.mm(weights, differences.flatten(1), out=out.flatten(1))
        return
    inputs, outputs = (x.view(x.shape[0], b, -1) for x in (differences, out))
    for i in range(b):
        torch.mm(weights[i], inputs[:, i], out=outputs[:, i])


def _mix_gradient(
    rows: Tensor, grad_rows: Tensor, differences: Tensor, grad_differences: Tensor, grad_read: Tensor, b: int
) -> None:
    """Take `_mix` back: write the gradient of the rows, add to that of the differences."""
    reads, inputs, grads = (x.view(x.shape[0], b, -1) for x in (grad_read, differences, grad_differences))
    # Prompt by prompt: one product over all tokens would have a reduction too long to be fast.
    products = torch.bmm(reads.transpose(0, 1), inputs.permute(1, 2, 0))
    if rows.dim() == 2:
        grad_rows.copy_(products.sum(0))
        grad_differences.flatten(1).addmm_(rows.T, grad_read.flatten(1))
        return
    grad_rows.copy_(products)
    for i in range(b):
        grads[:, i].addmm_(rows[i].T, reads[:, i])


def _add_weighted(out: Tensor, weights: Tensor, sources: Tensor) -> None:
    """Add Σ_s w_s d_s to `out` [B, S, D]; weights [n] or [B, n], sources [n, B, S, D]."""
    if weights.dim() == 1 and sources.is_contiguous() and out.is_contiguous():
        out.view(-1).addmv_(sources.flatten(1).T, weights)
    else:
        out += torch.einsum("nbsd,bn->bsd", sources, weights.expand(out.shape[0], -1))


def _row_gradient(out: Tensor, sources: Tensor, grad: Tensor) -> None:
    """Write ⟨d_s, grad⟩ to `out` [n] or [B, n]; sources [n, B, S, D], grad [B, S, D]."""
    products = torch.einsum("nbsd,bsd->bn", sources, grad)
    out.copy_(products if out.dim() == 2 else products.sum(0))


def _spread(out: Tensor, weights: Tensor, grad: Tensor) -> None:
    """Add w_s grad to `out` [n, B, S, D]; weights [n] or [B, n], grad [B, S, D]."""
    per_prompt = weights.T if weights.dim() == 2 else weights.unsqueeze(-1)
    out.addcmul_(per_prompt[:, :, None, None], grad)
