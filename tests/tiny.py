"""Tiny random models of every family, as folders in Hugging Face form."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

N_WORDS = 60
LENGTH = 7

_SIZES: dict[str, Any] = {
    "vocab_size": N_WORDS + 1,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 32,
}
_GROUPED: dict[str, Any] = _SIZES | {"num_key_value_heads": 2}
_LLAMA3: dict[str, Any] = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}

# Name -> configuration; options that change the arithmetic are set to values that show.
FAMILIES: dict[str, PretrainedConfig] = {
    "gpt2": GPT2Config(vocab_size=N_WORDS + 1, n_embd=24, n_layer=3, n_head=4, n_inner=40, n_positions=32),
    "gpt_neox": GPTNeoXConfig(
        **_SIZES,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.67},
    ),
    "gpt_neox-serial": GPTNeoXConfig(**_SIZES, use_parallel_residual=False),
    "llama": LlamaConfig(**_GROUPED, attention_bias=True, mlp_bias=True),
    "llama-3": LlamaConfig(**_GROUPED, rope_parameters=_LLAMA3),
    "mistral": MistralConfig(**_GROUPED, sliding_window=3),
    "qwen2": Qwen2Config(**_GROUPED, use_sliding_window=True, sliding_window=3, max_window_layers=1),
    "qwen3": Qwen3Config(**_GROUPED, head_dim=10),
}


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of words: `<s>` and w0 … w59."""
    words = {"<s>": 0} | {f"w{i}": i + 1 for i in range(N_WORDS)}
    core = Tokenizer(models.WordLevel(words, unk_token="<s>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", unk_token="<s>")


def save_tiny(config: PretrainedConfig, folder: Path, seed: int = 0) -> Path:
    """Write a random model of this configuration; weights are large enough that every part matters."""
    torch.manual_seed(seed)
    network = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 1 and name.endswith("weight"):
                parameter.normal_(1.0, 0.2)
            else:
                parameter.normal_(0.0, 0.3)
    network.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def save_ungrouped(folder: Path, target: Path) -> Path:
    """Write the same model with a key and a value head for every query head."""
    network = AutoModelForCausalLM.from_pretrained(folder)
    config = network.config
    shared = config.num_attention_heads // config.num_key_value_heads
    state = network.state_dict()
    for name, tensor in state.items():
        if ".k_proj." in name or ".v_proj." in name:
            heads = tensor.unflatten(0, (config.num_key_value_heads, -1))
            state[name] = heads.repeat_interleave(shared, 0).flatten(0, 1)
    config.num_key_value_heads = config.num_attention_heads
    wide = AutoModelForCausalLM.from_config(config)
    wide.load_state_dict(state)
    wide.save_pretrained(target)
    tokenizer().save_pretrained(target)
    return target
