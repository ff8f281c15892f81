"""Gradient attribution: first-order effects on the task's metric of ablating each edge.

In the notation of `engine.forward.masked`, an edge from source s to reader r carries d_s = h_s - c_s, and
ablating it lowers the metric m, to first order at a pass of the model, by

    score_sr  =  Σ ⟨ d_s , ∂m/∂x_r ⟩    over prompts and positions

(edge attribution patching, Syed et al. 2023, 2310.10348). With every mask at 1 all readers of a layer
read the same stream x, so a plain pass and its backward pass give every gradient. A head's projection
y = ρ x W + b, with ρ = 1 / sqrt(mean(x²) + eps), of which g is the gradient, has

    ∂m/∂x_r  =  ρ g Wᵀ  -  x ρ³ ⟨g, x W⟩ / D .

The differences d_s are the same at every point of a path. So ρ g is summed over passes in the head's own d
dimensions, and the second term is kept as one number per token. A chunk of passes is then multiplied at once:
one product with Wᵀ and one with the differences.

Shapes: as in `engine.forward.masked`; N = B·S flattened tokens at positions `clean.start` on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from engine.forward.masked import MaskedForward, Replacement
from engine.models.transformer import Run
from engine.tensors import dot


@dataclass(frozen=True)
class Fixed:
    """A group of sources with a fixed output, independent of their inputs: all heads of a layer, or its MLP.

    Attributes:
        output: [H, B, S, d] of the heads before the output projection, or [B, S, D] of the MLP (in the last
            layer, only the last position is used).
    """

    group: Literal["heads", "mlp"]
    layer: int
    output: Tensor


class _Layer(NamedTuple):
    """Values of one layer for the backward pass; the output of a fixed group requires no gradient."""

    stream: Tensor  # [N, D] what q, k and v of all heads read
    scale: Tensor  # [N, 1] its reciprocal root mean square
    raw: Tensor  # [3H, N, d] projections before scale and bias
    qkv: Tensor  # [3, H, B, S, d] leaf
    heads: Tensor  # [H, B, S, d]
    mlp_read: Tensor  # [B, S, D] leaf; in the last layer [B, 1, D]
    mlp: Tensor  # like mlp_read


class Pass(NamedTuple):
    """One plain pass, ready for its backward pass."""

    layers: list[_Layer]
    final: Tensor  # [B, D] leaf: the stream before the final norm at the last position
    logits: Tensor  # [B, V]


class Attribution:
    """Scores of every edge on one batch of prompts.

    It uses the buffers of `forward`. So gradients of earlier masked forward passes become unavailable, and
    `scores` must be called before the next masked forward pass.

    Args:
        forward: provides model, graph and buffers.
        clean: the plain run on the clean prompts; its input, start and prefix are used.
        replacement: replacement values of ablated sources.
        metric: maps logits [B, V] to the sum of the metric over the prompts.

    Attributes:
        clean, replacement: the arguments, with the replacement expanded to full size.
        at_clean: the pass at the clean input.
    """

    @torch.no_grad()
    def __init__(
        self, forward: MaskedForward, clean: Run, replacement: Replacement, metric: Callable[[Tensor], Tensor]
    ) -> None:
        self.forward, self.clean, self.metric = forward, clean, metric
        size = clean.input.shape[:2]
        self.replacement = Replacement(
            replacement.input.expand(*size, -1),
            replacement.heads.expand(-1, -1, *size, -1),
            replacement.mlps.expand(-1, *size, -1),
        )
        self.at_clean = self.run(clean.input)
        self._differences = self._subtracted()
        self._gathered: list[_Gathered] = []
        self._final = torch.zeros_like(clean.input[:, -1])

    @torch.no_grad()
    def run(self, stream: Tensor, fixed: Fixed | None = None) -> Pass:
        """Return the plain pass from `stream` [B, S, D] on, optionally with one group's output fixed."""
        t, clean = self.forward.transformer, self.clean
        size, n_heads = stream.shape[:2], t.shape.n_heads
        layers: list[_Layer] = []
        for layer, block in enumerate(t.blocks):
            here = fixed if fixed is not None and fixed.layer == layer else None
            flat = stream.flatten(0, 1)
            scale, raw = t.rms_reciprocal(flat).unsqueeze(-1), torch.matmul(flat, block.qkv)
            qkv = torch.addcmul(block.qkv_bias, raw, scale).view(3, n_heads, *size, -1).requires_grad_()
            if here is not None and here.group == "heads":
                heads = here.output
            else:
                with torch.enable_grad():
                    heads = t.attend(layer, qkv, clean.start, clean.prefix[layer])[0]
            by_token = heads.detach().permute(1, 2, 0, 3).flatten(2).flatten(0, 1)
            written = torch.addmm(block.out_bias, by_token, block.out.flatten(0, 1))
            after_attention = stream + written.view_as(stream)
            # The last MLP only matters at the last position.
            tail = slice(-1 if layer == len(t.blocks) - 1 else None, None)
            mlp_read = (stream if t.shape.parallel else after_attention)[:, tail].detach().requires_grad_()
            if here is not None and here.group == "mlp":
                mlp = here.output[:, tail]
            else:
                with torch.enable_grad():
                    mlp = t.mlp(layer, mlp_read)
            layers.append(_Layer(flat, scale, raw, qkv, heads, mlp_read, mlp))
            stream = after_attention[:, tail] + mlp.detach()
        final = stream[:, -1].requires_grad_()
        with torch.enable_grad():
            return Pass(layers, final, t.unembed(final))

    @torch.no_grad()
    def add(self, passed: Pass) -> None:
        """Add the gradients of a pass by its backward pass; each pass can be added once."""
        t, size = self.forward.transformer, self.clean.input.shape[:2]
        with torch.enable_grad():
            (grad_final,) = torch.autograd.grad(self.metric(passed.logits), passed.final)
        if not self._gathered:
            self._gathered = [_Gathered.nothing(layer.raw, self.clean.input) for layer in passed.layers]
        self._final += grad_final
        grad = torch.zeros_like(self.clean.input)  # of what was written so far, [B, S, D]
        grad[:, -1] = grad_final
        for block, saved, gathered in reversed(
            list(zip(t.blocks, passed.layers, self._gathered, strict=True))
        ):
            grad_written = grad
            if saved.mlp.requires_grad:
                tail = slice(-saved.mlp.shape[1], None)  # the last layer's has one position
                (grad_mlp_read,) = torch.autograd.grad(saved.mlp, saved.mlp_read, grad[:, tail])
                gathered.mlp[:, tail] += grad_mlp_read
                grad = grad.clone()
                grad[:, tail] += grad_mlp_read
            if not t.shape.parallel:
                grad_written = grad
            if not saved.heads.requires_grad:
                continue
            by_token = grad_written.flatten(0, 1) @ block.out.flatten(0, 1).T
            grad_heads = by_token.view(*size, t.shape.n_heads, -1).permute(2, 0, 1, 3)
            (grad_qkv,) = torch.autograd.grad(saved.heads, saved.qkv, grad_heads)
            grad_qkv = grad_qkv.reshape(saved.raw.shape)
            pull = t.norm_pull(dot(grad_qkv, saved.raw), saved.scale.T)
            scaled = grad_qkv * saved.scale
            gathered.projected.add_(scaled)
            gathered.pulls.append((saved.stream, pull))
            through = torch.addbmm(grad.flatten(0, 1), scaled, block.qkv.mT)
            grad = through.addcmul_(saved.stream, pull.sum(0).unsqueeze(-1), value=-1).view_as(grad)

    @torch.no_grad()
    def scores(self) -> Tensor:
        """Return the sum of the scores of all passes added, float32 [n_edges], and clear these passes."""
        t, graph, (b, s, d_model) = self.forward.transformer, self.forward.graph, self.clean.input.shape
        n_heads, n_sources = graph.n_heads, len(graph.sources)
        rows = self._differences.new_zeros((graph.n_layers, 3 * n_heads + 1, n_sources), dtype=torch.float32)
        for layer, gathered in enumerate(self._gathered):
            read = self.forward.buffer("read", 3 * n_heads + 1, b * s, d_model)
            torch.bmm(gathered.projected, t.blocks[layer].qkv.mT, out=read[:-1])
            for stream, pull in gathered.pulls:
                read[:-1].addcmul_(stream, pull.unsqueeze(-1), value=-1)
            read[-1] = gathered.mlp.flatten(0, 1)
            seen = graph.sources_before(layer), graph.sources_before_mlp(layer)
            rows[layer, :, : seen[0]] = _products(read, self._differences[: seen[0]], b)
            if not graph.parallel:  # the MLP also reads the heads beside it
                own = slice(*seen)
                rows[layer, -1:, own] = _products(read[-1:], self._differences[own], b)
        at_end = self._differences.view(n_sources, b, s, d_model)[:, :, -1].flatten(1)
        logits = (at_end @ self._final.flatten()).float()
        self._gathered = []
        self._final.zero_()
        if graph.qkv == "merged":
            heads = rows[:, :-1].view(graph.n_layers, 3, n_heads, n_sources).sum(1)
            rows = torch.cat([heads, rows[:, -1:]], 1)
        by_reader = torch.cat([rows.flatten(0, 1), logits.unsqueeze(0)])
        source, reader = torch.as_tensor(graph.edges).T.to(by_reader.device)
        return by_reader[reader, source]

    def _subtracted(self) -> Tensor:
        """Return the differences d_s of all sources, [n_sources, N, D], in the masked forward's buffer."""
        forward, other, size = self.forward, self.replacement, self.clean.input.shape
        graph, n_heads = forward.graph, forward.graph.n_heads
        forward.calls += 1  # no gradient of an earlier masked forward: its buffer is gone
        differences = forward.buffer("differences", len(graph.sources), size[0] * size[1], size[2])
        by_prompt = differences.view(-1, *size)
        torch.sub(self.clean.input, other.input, out=by_prompt[0])
        for layer, (block, at) in enumerate(
            zip(forward.transformer.blocks, self.at_clean.layers, strict=True)
        ):
            n, tail = graph.sources_before(layer), slice(-at.mlp.shape[1], None)
            changed = (at.heads - other.heads[layer]).flatten(1, 2)
            torch.bmm(changed, block.out, out=differences[n : n + n_heads])
            torch.sub(at.mlp, other.mlps[layer][:, tail], out=by_prompt[n + n_heads, :, tail])
        return differences


class _Gathered(NamedTuple):
    """Gradients of one layer's readers, summed over passes."""

    projected: Tensor  # [3H, N, d] ρ g
    pulls: list[tuple[Tensor, Tensor]]  # of every pass x [N, D] and ρ³ ⟨g, x W⟩ / D [3H, N]
    mlp: Tensor  # [B, S, D]

    @staticmethod
    def nothing(projected: Tensor, stream: Tensor) -> "_Gathered":
        return _Gathered(torch.zeros_like(projected), [], torch.zeros_like(stream))


def _products(gradients: Tensor, differences: Tensor, b: int) -> Tensor:
    """Return ⟨gradient_r, d_s⟩ [R, n] over b prompts, for [R, N, D] and [n, N, D]."""
    # Prompt by prompt: one product over all tokens would have a reduction too long to be fast and exact.
    readers, sources = (x.view(x.shape[0], b, -1) for x in (gradients, differences))
    return torch.bmm(readers.transpose(0, 1), sources.permute(1, 2, 0)).float().sum(0)
