"""GPT-2's forward pass for packed rows: block-diagonal attention, positions that restart per document.

The parameters are those of a Hugging Face `GPT2LMHeadModel`. Attention is computed by baddbmm, softmax and
bmm, which on a CPU are several times faster at this size than `scaled_dot_product_attention`.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention, GPT2Block
from transformers.pytorch_utils import Conv1D

from engine.demo.corpus import Rows

MASKED = -1e4


def attention_bias(owners: Tensor, n_heads: int) -> Tensor:
    """Return the bias [n_rows * n_heads, T, T]: 0 for earlier keys of the same document, else very low."""
    size = owners.shape[1]
    same = owners[:, :, None] == owners[:, None, :]
    allowed = same & torch.ones(size, size, dtype=torch.bool, device=owners.device).tril()
    bias = torch.where(allowed, 0.0, MASKED).to(torch.bfloat16)
    return bias.repeat_interleave(n_heads, dim=0)


def loss_of(model: GPT2LMHeadModel, rows: Rows) -> Tensor:
    """Return the weighted mean cross-entropy of the targets, a scalar; call this under bf16 autocast."""
    core = cast("Any", model.transformer)
    n_heads = model.config.n_head
    bias = attention_bias(rows.owners, n_heads)
    hidden: Tensor = core.wte(rows.ids) + core.wpe(rows.positions)
    for block in core.h:
        assert isinstance(block, GPT2Block)
        hidden = hidden + _attention(block.attn, block.ln_1(hidden), bias, n_heads)
        widened = _linear(block.mlp.c_fc, block.ln_2(hidden))
        hidden = hidden + _linear(block.mlp.c_proj, functional.gelu(widened, approximate="tanh"))
    wanted = rows.weights > 0
    logits = functional.linear(core.ln_f(hidden[wanted]), core.wte.weight)
    losses = functional.cross_entropy(logits.float(), rows.targets[wanted], reduction="none")
    weights = rows.weights[wanted]
    return (losses * weights).sum() / weights.sum()


def _linear(layer: Conv1D, x: Tensor) -> Tensor:
    # Conv1D holds its weight as [in, out].
    return functional.linear(x, layer.weight.t(), layer.bias)


def _attention(layer: GPT2Attention, x: Tensor, bias: Tensor, n_heads: int) -> Tensor:
    n_rows, size, width = x.shape
    d_head = width // n_heads
    joint = _linear(layer.c_attn, x).view(n_rows, size, 3, n_heads, d_head).permute(2, 0, 3, 1, 4)
    query, key, value = joint.reshape(3, n_rows * n_heads, size, d_head).unbind(0)
    scores = torch.baddbmm(bias.to(query.dtype), query, key.transpose(1, 2), alpha=d_head**-0.5)
    mixed = torch.bmm(scores.softmax(-1).to(value.dtype), value)
    merged = mixed.view(n_rows, n_heads, size, d_head).transpose(1, 2).reshape(n_rows, size, width)
    return _linear(layer.c_proj, merged)
