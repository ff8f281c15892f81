"""The arithmetic of a decoder-only transformer, block by block, on frozen weights.

One implementation covers GPT-2, GPT-NeoX, Llama, Mistral, Qwen2 and Qwen3; their differences are data: layer
norm or RMS norm, learned or rotary positions, serial or parallel blocks, plain or gated MLPs, grouped
key and value heads, sliding windows, norms on q and k.

Layer norm is split in two: the mean is subtracted where a source *writes* (the residual stream is kept
centred), so that every reader only divides by the root mean square, exactly as an RMS norm does. A reader can
then project first and divide afterwards, which makes many different inputs cheap.

Shapes: B prompts, S positions (from `start` on), D = d_model, H heads, d = d_head, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from engine.models.shape import ModelShape
from engine.tensors import norm


@dataclass(frozen=True)
class Block:
    """Frozen weights of one block; gains of the attention norm are folded into `qkv`."""

    qkv: Tensor  # [3H, D, d]: all q, all k, all v; every query head has its own k and v
    qkv_bias: Tensor  # [3H, 1, d]
    q_norm: Tensor | None  # [d] gain of the norm on q and k (Qwen3)
    k_norm: Tensor | None
    out: Tensor  # [H, d, D]
    out_bias: Tensor  # [D]
    mlp_gain: Tensor  # [D] gain of the norm before the MLP
    mlp_shift: Tensor | None  # [D]
    w_in: Tensor  # [D, F]
    b_in: Tensor | None
    w_gate: Tensor | None  # [D, F]
    b_gate: Tensor | None
    w_out: Tensor  # [F, D]
    b_out: Tensor | None
    window: int | None  # keys further back than this are not seen


@dataclass(frozen=True)
class Run:
    """Outputs of all sources in one plain run, from position `start` on, and the last position's logits."""

    tokens: Tensor  # [B, S_all]
    start: int  # first position that is stored; the earlier ones only as keys and values
    input: Tensor  # [B, S, D]
    heads: list[Tensor]  # per layer [H, B, S, d]: head outputs before the output projection
    mlps: list[Tensor]  # per layer [B, S, D]
    residual: list[Tensor]  # [B, S, D] before every layer, and before the final norm: L + 1
    prefix: list[tuple[Tensor, Tensor]]  # per layer keys and values [H, B, start, d] of earlier positions
    logits: Tensor  # [B, V] at the last position
    patterns: list[Tensor]  # per layer [H, B, S, S_all] if asked for, else empty

    def without_sources(self) -> "Run":
        """Return the run without the outputs of sources, which a masked forward does not need."""
        return replace(self, heads=[], mlps=[], residual=[])


@dataclass(frozen=True)
class Transformer:
    """A frozen model as a list of blocks; see the module's docstring."""

    shape: ModelShape
    centred: bool  # layer norm: what is written has its mean taken off
    eps: float | None  # None: there is no norm, readers read the stream as it is
    attention_scale: float
    activation: Callable[[Tensor], Tensor]
    embedding: Tensor  # [V, D]
    positions: Tensor | None  # [n_ctx, D] learned positions
    rotary: Callable[[int], tuple[Tensor, Tensor]] | None  # length -> cos, sin [length, rotary dimensions]
    blocks: list[Block]
    final_gain: Tensor  # [D]
    final_shift: Tensor | None
    unembedding: Tensor  # [V, D]
    unembedding_bias: Tensor | None

    def centre(self, written: Tensor) -> Tensor:
        """Subtract the mean from a source's output, if the model's norm is a layer norm."""
        return written - written.mean(-1, keepdim=True) if self.centred else written

    def embed(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Return the stream before layer 0, [B, S, D], for tokens [B, S_all] from position `start` on."""
        stream = functional.embedding(tokens[:, start:], self.embedding)
        if self.positions is not None:
            stream = stream + self.positions[start : tokens.shape[1]]
        return self.centre(stream)

    def rms_reciprocal(self, stream: Tensor) -> Tensor:
        """Return 1 / sqrt(mean(x²) + eps) over the last dimension, in float32 arithmetic; 1 if no norm."""
        if self.eps is None:
            return stream.new_ones(stream.shape[:-1])
        return torch.rsqrt(norm(stream).square() / stream.shape[-1] + self.eps).to(stream.dtype)

    def norm_pull(self, products: Tensor, scale: Tensor) -> Tensor:
        """Return the factor ρ³ ⟨g, x W⟩ / D by which the norm of a stream x subtracts x from its gradient.

        Args:
            products: ⟨g, x W⟩ of every token, for the gradient g of ρ x W.
            scale: ρ, its `rms_reciprocal`.
        """
        if self.eps is None:
            return torch.zeros_like(products)
        return products * scale**3 / self.shape.d_model

    def attend(
        self, layer: int, qkv: Tensor, start: int, prefix: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Let every head attend.

        Args:
            layer: index of the block.
            qkv: [3, H, B, S, d] projected inputs at positions `start` on, biases included.
            start: position of the first of them.
            prefix: keys and values [H, B, start, d] of the positions before.

        Returns:
            head outputs [H, B, S, d] before the output projection, pattern [H, B, S, start + S],
            and the keys and values [H, B, start + S, d] attended to.
        """
        block = self.blocks[layer]
        q, k, v = qkv
        if block.q_norm is not None and block.k_norm is not None:
            q = self._head_norm(q, block.q_norm)
            k = self._head_norm(k, block.k_norm)
        n = q.shape[2]
        if self.rotary is not None:
            cos, sin = (table[start:] for table in self.rotary(start + n))
            q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        if prefix is not None and start:
            k, v = torch.cat([prefix[0], k], 2), torch.cat([prefix[1], v], 2)
        hidden = _unseen(start, n, block.window, q)
        scores = torch.baddbmm(hidden, q.flatten(0, 1) * self.attention_scale, k.flatten(0, 1).mT)
        pattern = scores.softmax(-1)
        by_head = pattern.view(*q.shape[:2], *pattern.shape[1:])
        return torch.bmm(pattern, v.flatten(0, 1)).view_as(q), by_head, k, v

    def mlp(self, layer: int, stream: Tensor) -> Tensor:
        """Return the output of the MLP of `layer`, [..., D], for its input `stream`, [..., D]."""
        block = self.blocks[layer]
        normed = self._normed(stream, block.mlp_gain, block.mlp_shift)
        inner = _affine(normed, block.w_in, block.b_in)
        if block.w_gate is None:
            inner = self.activation(inner)
        else:
            inner = self.activation(_affine(normed, block.w_gate, block.b_gate)) * inner
        return self.centre(_affine(inner, block.w_out, block.b_out))

    def unembed(self, stream: Tensor) -> Tensor:
        """Return logits [..., V] for the stream [..., D] before the final norm."""
        normed = self._normed(stream, self.final_gain, self.final_shift)
        return functional.linear(normed, self.unembedding, self.unembedding_bias)

    @torch.no_grad()
    def run(self, tokens: Tensor, start: int = 0, patterns: bool = False) -> Run:
        """Run the plain model on tokens [B, S_all] and keep the outputs of all sources from `start` on."""
        stream = self.embed(tokens)
        kept = Run(tokens, start, stream[:, start:].clone(), [], [], [], [], stream, [])
        for layer in range(len(self.blocks)):
            kept.residual.append(stream[:, start:].clone())
            heads, pattern, k, v = self.attend_stream(layer, stream)
            kept.prefix.append((k[:, :, :start].clone(), v[:, :, :start].clone()))
            if patterns:
                kept.patterns.append(pattern)
            kept.heads.append(heads[:, :, start:].clone())
            after_attention = stream + self.written(layer, heads)
            mlp = self.mlp(layer, stream if self.shape.parallel else after_attention)
            kept.mlps.append(mlp[:, start:].clone())
            stream = after_attention + mlp
        kept.residual.append(stream[:, start:].clone())
        return replace(kept, logits=self.unembed(stream[:, -1]))

    def finish(
        self, stream: Tensor, layer: int, start: int = 0, prefix: Sequence[tuple[Tensor, Tensor]] = ()
    ) -> Tensor:
        """Return the logits [B, V] of a plain pass that continues from the stream before `layer`.

        Args:
            stream: [B, S, D] at positions `start` on.
            layer: the first block to run; n_layers goes straight to the logits.
            prefix: per layer keys and values [H, B, start, d] of the positions before, as in `Run`.
        """
        for i in range(layer, len(self.blocks)):
            heads = self.attend_stream(i, stream, start, prefix[i] if prefix else None)[0]
            after_attention = stream + self.written(i, heads)
            stream = after_attention + self.mlp(i, stream if self.shape.parallel else after_attention)
        return self.unembed(stream[:, -1])

    def attend_stream(
        self, layer: int, stream: Tensor, start: int = 0, prefix: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Let every head attend to one stream [B, S, D] at positions `start` on; see `attend`."""
        block = self.blocks[layer]
        raw = torch.matmul(stream.flatten(0, 1) * self.rms_reciprocal(stream).view(-1, 1), block.qkv)
        qkv = (raw + block.qkv_bias).view(3, self.shape.n_heads, *stream.shape[:2], self.shape.d_head)
        return self.attend(layer, qkv, start, prefix)

    def written(self, layer: int, heads: Tensor) -> Tensor:
        """Return the sum of what a layer's heads write, [B, S, D], for their outputs [H, B, S, d]."""
        block = self.blocks[layer]
        written = torch.bmm(heads.flatten(1, 2), block.out).sum(0) + block.out_bias
        return written.view(*heads.shape[1:3], -1)

    def _normed(self, stream: Tensor, gain: Tensor, shift: Tensor | None) -> Tensor:
        normed = stream * self.rms_reciprocal(stream).unsqueeze(-1) * gain
        return normed if shift is None else normed + shift

    def _head_norm(self, x: Tensor, gain: Tensor) -> Tensor:
        return x * self.rms_reciprocal(x).unsqueeze(-1) * gain


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x @ weight if bias is None else x @ weight + bias


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first r dimensions of x [..., S, d] by angles [S, r] (Su et al. 2021, halves convention)."""
    turned, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    first, second = turned.chunk(2, -1)
    turned = turned * cos + torch.cat([-second, first], -1) * sin
    return torch.cat([turned, rest], -1) if rest.shape[-1] else turned


def _unseen(start: int, n: int, window: int | None, like: Tensor) -> Tensor:
    """Return the attention mask, 0 or -inf, [1, n, start + n], for n queries at positions `start` on."""
    query = torch.arange(start, start + n, device=like.device).unsqueeze(-1)
    key = torch.arange(start + n, device=like.device)
    hidden = key > query
    if window is not None:
        hidden |= key <= query - window
    return torch.zeros((1, n, start + n), dtype=like.dtype, device=like.device).masked_fill_(
        hidden, -torch.inf
    )
