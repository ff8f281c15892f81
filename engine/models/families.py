"""Supported model families, and the conversion of their weights to a `Transformer`.

The weights come from TransformerBridge's state dict, which has the same names for every family
(`blocks.3.attn.q.weight`); orientation, norms and options come from the Hugging Face configuration.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import RequestError
from engine.models.shape import ModelShape
from engine.models.transformer import Block, Transformer

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class Family:
    """Properties of a model family.

    Attributes:
        norm: "layer" norm or "rms" norm.
        positions: "learned" embeddings or "rotary".
        transposed: weights are stored [out, in] (linear layers) rather than [in, out] (GPT-2's Conv1D).
        refused_options: configuration values that are refused, since the model's arithmetic would differ from
            ours.
    """

    norm: Literal["layer", "rms"]
    positions: Literal["learned", "rotary"]
    transposed: bool = True
    refused_options: tuple[tuple[str, Any], ...] = ()


FAMILIES: dict[str, Family] = {
    "gpt2": Family(
        "layer",
        "learned",
        transposed=False,
        refused_options=(("scale_attn_by_inverse_layer_idx", True), ("add_cross_attention", True)),
    ),
    "gpt_neox": Family("layer", "rotary"),
    "llama": Family("rms", "rotary"),
    "mistral": Family("rms", "rotary"),
    "qwen2": Family("rms", "rotary"),
    "qwen3": Family("rms", "rotary"),
}

REFUSED = {
    "gemma2": "it norms what attention and MLP write and caps its logits",
    "gemma3_text": "it norms what attention and MLP write",
    "gpt_neo": "its attention is not scaled and alternates local layers",
    "opt": "its position embeddings and final projections differ",
    "bloom": "it norms its embeddings and uses ALiBi positions",
    "mixtral": "its MLPs are mixtures of experts",
    "mamba": "it has no attention",
    "t5": "it has an encoder",
    "bert": "it is not a decoder",
}


def family_of(config: "PretrainedConfig") -> Family:
    """Return the family of a Hugging Face configuration.

    Raises:
        RequestError: the masked forward would not be exact for it; the message names family and reason.
    """
    name = config.model_type
    if name not in FAMILIES:
        reason = REFUSED.get(name, "no exact masked forward is written for it")
        raise RequestError(
            f"model family '{name}' is refused: {reason}; supported: {', '.join(sorted(FAMILIES))}"
        )
    for option, value in FAMILIES[name].refused_options:
        if getattr(config, option, None) == value:
            raise RequestError(
                f"model family '{name}' with {option}={value} is refused: its forward would not be exact"
            )
    return FAMILIES[name]


def shape_of(config: "PretrainedConfig") -> ModelShape:
    """Return the sizes in a Hugging Face configuration of a supported family."""
    n_heads = config.num_attention_heads
    return ModelShape(
        family=config.model_type,
        n_layers=config.num_hidden_layers,
        n_heads=n_heads,
        n_kv_heads=getattr(config, "num_key_value_heads", None) or n_heads,
        d_model=config.hidden_size,
        d_head=getattr(config, "head_dim", None) or config.hidden_size // n_heads,
        d_vocab=config.vocab_size,
        n_ctx=config.max_position_embeddings,
        parallel=bool(getattr(config, "use_parallel_residual", False)),
    )


def build_transformer(
    config: "PretrainedConfig", state: dict[str, Tensor], rotary_embedding: nn.Module | None
) -> Transformer:
    """Return the frozen transformer of a supported family.

    Args:
        config: the model's Hugging Face configuration.
        state: TransformerBridge's state dict.
        rotary_embedding: the model's own module for cosines and sines, which handles every kind of rotary
            scaling; None for learned positions.
    """
    family, shape = family_of(config), shape_of(config)
    state = {name: tensor.detach() for name, tensor in state.items()}
    return Transformer(
        shape=shape,
        centred=family.norm == "layer",
        eps=_first(config, "layer_norm_epsilon", "layer_norm_eps", "rms_norm_eps"),
        attention_scale=shape.d_head**-0.5 if getattr(config, "scale_attn_weights", True) else 1.0,
        activation=activation_function(_first(config, "activation_function", "hidden_act")),
        embedding=state["embed.weight"],
        positions=state.get("pos_embed.weight"),
        rotary=None if rotary_embedding is None else _rotary_tables(rotary_embedding, state["embed.weight"]),
        blocks=[build_block(state, family, config, shape, layer) for layer in range(shape.n_layers)],
        final_gain=state["ln_final.weight"],
        final_shift=state.get("ln_final.bias"),
        unembedding=state["unembed.weight"],
        unembedding_bias=state.get("unembed.bias"),
    )


def build_block(
    state: dict[str, Tensor], family: Family, config: Any, shape: ModelShape, layer: int
) -> Block:
    """Return the frozen weights of one block.

    Args:
        state: as in `build_transformer`, without gradients.
        config: the configuration, with the sliding windows; see `_window`.
    """
    name = f"blocks.{layer}"

    def matrix(part: str) -> Tensor:
        weight = state[f"{name}.{part}.weight"]
        return weight.T if family.transposed else weight

    gain, shift = state[f"{name}.ln1.weight"], state.get(f"{name}.ln1.bias")
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    for kind in "qkv":
        # The bridge splits q, k and v into linear layers, [out, in], even where GPT-2 stores them joined.
        weight, bias = state[f"{name}.attn.{kind}.weight"].T, state.get(f"{name}.attn.{kind}.bias")
        bias = weight.new_zeros(weight.shape[1]) if bias is None else bias
        if shift is not None:
            bias = bias + shift @ weight
        heads = weight.shape[1] // shape.d_head
        per_head = (gain.unsqueeze(-1) * weight).view(-1, heads, shape.d_head).transpose(0, 1)
        weights.append(per_head.repeat_interleave(shape.n_heads // heads, 0))
        biases.append(bias.view(heads, 1, shape.d_head).repeat_interleave(shape.n_heads // heads, 0))
    out = matrix("attn.o").view(shape.n_heads, shape.d_head, -1)
    out_bias = state.get(f"{name}.attn.o.bias", out.new_zeros(shape.d_model))
    if family.norm == "layer":
        out, out_bias = out - out.mean(-1, keepdim=True), out_bias - out_bias.mean()
    return Block(
        qkv=torch.cat(weights).contiguous(),
        qkv_bias=torch.cat(biases),
        q_norm=state.get(f"{name}.attn.q_norm.weight"),
        k_norm=state.get(f"{name}.attn.k_norm.weight"),
        out=out.contiguous(),
        out_bias=out_bias,
        mlp_gain=state[f"{name}.ln2.weight"],
        mlp_shift=state.get(f"{name}.ln2.bias"),
        w_in=matrix("mlp.in"),
        b_in=state.get(f"{name}.mlp.in.bias"),
        w_gate=matrix("mlp.gate") if f"{name}.mlp.gate.weight" in state else None,
        b_gate=state.get(f"{name}.mlp.gate.bias"),
        w_out=matrix("mlp.out"),
        b_out=state.get(f"{name}.mlp.out.bias"),
        window=_window(config, layer),
    )


def _window(config: Any, layer: int) -> int | None:
    """Return the sliding window of `layer` in tokens; None without limit.

    Qwen lists the kind of every layer; Mistral has one setting for all layers.
    """
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and kinds[layer] != "sliding_attention":
        return None
    return getattr(config, "sliding_window", None)


def _rotary_tables(module: nn.Module, like: Tensor) -> Callable[[int], tuple[Tensor, Tensor]]:
    def tables(length: int) -> tuple[Tensor, Tensor]:
        positions = torch.arange(length, device=like.device).unsqueeze(0)
        cos, sin = module(like[:1], positions)
        return cos[0], sin[0]

    return tables


def activation_function(name: str) -> Callable[[Tensor], Tensor]:
    """Return Hugging Face's activation function of this name."""
    # The same function as Hugging Face's, which computes it in seven passes over memory instead of one.
    if name == "gelu_new":
        return partial(functional.gelu, approximate="tanh")
    from transformers.activations import ACT2FN  # takes a second to import; see engine.models.load

    return cast("Callable[[Tensor], Tensor]", ACT2FN[name])


def _first(config: "PretrainedConfig", *names: str) -> Any:
    """Return the value of the first of `names` that the configuration has."""
    for name in names:
        if getattr(config, name, None) is not None:
            return getattr(config, name)
    raise RequestError(f"the model's config.json has none of: {', '.join(names)}")
