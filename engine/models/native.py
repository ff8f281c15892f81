"""Conversion of models that TransformerLens builds itself (`TransformerBridge.boot_native`).

Such models are small, have no Hugging Face class, and may lack norms or MLPs. Without a norm, readers read
the stream as it is (`Transformer.eps` is None). A missing MLP becomes one without hidden units, which writes
zero: the graph has its node and edges all the same, without effect.
"""

import hashlib
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from engine.errors import RequestError
from engine.models.families import Family, activation_function, build_block
from engine.models.load import check_logits
from engine.models.model import Model
from engine.models.shape import ModelShape
from engine.models.transformer import Transformer

if TYPE_CHECKING:
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

FAMILY = "native"
_NORMS = (None, "LN", "LNPRE", "RMS", "RMSPRE")
_ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu", "swish")


def model_from_native(name: str, bridge: "TransformerBridge", tokenizer: Any = None) -> Model:
    """Wrap a native bridge as a model; its weights are shared and must not change any more.

    Args:
        name: name of the model.
        bridge: made by `TransformerBridge.boot_native`.
        tokenizer: a Hugging Face tokenizer, needed for texts but not for token ids.

    Raises:
        RequestError: an option of the configuration is not supported.
        CircuitExplorerError: our arithmetic does not give the bridge's logits.
    """
    shared: dict[str, Tensor] = cast("nn.Module", bridge).state_dict()
    config, state = bridge.cfg, {name: tensor.detach() for name, tensor in shared.items()}
    transformer = _transformer(config, state)
    embedding = transformer.embedding
    # Several prompts: weights made by hand may give every token the same logit on a prompt that says nothing.
    generator = torch.Generator().manual_seed(0)
    sample = torch.randint(config.d_vocab, (16, min(8, config.n_ctx)), generator=generator)
    sample = sample.to(embedding.device)
    with torch.no_grad():
        expected = bridge(sample)[:, -1]
    check_logits(transformer, sample, expected, FAMILY)
    return Model(
        id=name,
        weights_hash=_hash(state),
        shape=transformer.shape,
        tokenizer=tokenizer,
        bridge=bridge,
        transformer=transformer,
        device=embedding.device,
        dtype=embedding.dtype,
    )


def _transformer(config: "TransformerBridgeConfig", state: dict[str, Tensor]) -> Transformer:
    norm = None if config.normalization_type is None else config.normalization_type.upper()
    _refuse(config, norm)
    shape = ModelShape(
        family=FAMILY,
        n_layers=config.n_layers,
        n_heads=config.n_heads,
        n_kv_heads=config.n_key_value_heads or config.n_heads,
        d_model=config.d_model,
        d_head=config.d_head,
        d_vocab=config.d_vocab,
        n_ctx=config.n_ctx,
        parallel=False,
    )
    centred = norm in ("LN", "LNPRE")
    family = Family("layer" if centred else "rms", "learned")
    state = _absent(config, state["embed.weight"]) | state
    divisor = config.attn_scale if config.use_attn_scale and config.attn_scale > 0 else config.d_head**0.5
    blocks = [build_block(state, family, config, shape, layer) for layer in range(config.n_layers)]
    return Transformer(
        shape=shape,
        centred=centred,
        eps=None if norm is None else config.eps,
        attention_scale=1 / divisor,
        activation=activation_function(config.act_fn or "gelu"),
        embedding=state["embed.weight"],
        positions=state["pos_embed.weight"],
        rotary=None,
        blocks=blocks,
        final_gain=state["ln_final.weight"],
        final_shift=state.get("ln_final.bias"),
        unembedding=state["unembed.weight"],
        unembedding_bias=state.get("unembed.bias"),
    )


def _refuse(config: "TransformerBridgeConfig", norm: str | None) -> None:
    """Refuse options that our arithmetic lacks, also those that a sample of logits would hardly show."""
    refused = {
        f"normalization_type={norm}": norm not in _NORMS,
        "final_rms": config.final_rms and norm not in ("RMS", "RMSPRE"),
        "rotary positions": config.positional_embedding_type == "rotary",
        f"act_fn={config.act_fn}": (config.act_fn or "gelu") not in _ACTIVATIONS,
        "attention_dir=bidirectional": config.attention_dir != "causal",
        "attn_scores_soft_cap": config.attn_scores_soft_cap > 0,
        "output_logits_soft_cap": config.output_logits_soft_cap > 0,
    }
    for option, present in refused.items():
        if present:
            raise RequestError(f"a native model with {option} is refused: its forward would not be exact")


def _absent(config: "TransformerBridgeConfig", like: Tensor) -> dict[str, Tensor]:
    """Return neutral weights, for norms without gains and for missing MLPs."""
    weights = {"ln_final.weight": like.new_ones(config.d_model)}
    for layer in range(config.n_layers):
        weights |= {f"blocks.{layer}.{norm}.weight": like.new_ones(config.d_model) for norm in ("ln1", "ln2")}
        if config.attn_only:
            weights[f"blocks.{layer}.mlp.in.weight"] = like.new_zeros((0, config.d_model))
            weights[f"blocks.{layer}.mlp.out.weight"] = like.new_zeros((config.d_model, 0))
    return weights


def _hash(state: dict[str, Tensor]) -> str:
    """Return the sha256 over names, shapes and values, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.float().cpu().numpy().tobytes())
    return digest.hexdigest()
