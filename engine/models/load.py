"""Load a model: one loader over TransformerBridge for shipped, local and Hugging Face models.

transformers and TransformerLens take seconds to import. So they are imported only inside the functions that
need them: the dashboard shows finished runs without them.
"""

import io
import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from engine.errors import CircuitExplorerError, RequestError, unknown_name
from engine.models.catalogue import find_model, weights_hash
from engine.models.families import build_transformer, family_of, shape_of
from engine.models.model import Model
from engine.models.shape import ModelShape
from engine.models.tokens import Tokens
from engine.models.transformer import Transformer

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

# Largest allowed difference between our logits and the model's own, relative to their spread.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.3}


def load_model(model: str, device: str | None = None, dtype: str | None = None) -> Model:
    """Load a model and check that our arithmetic reproduces its logits.

    Args:
        model: a shipped name, a folder in Hugging Face form, or a Hugging Face id.
        device: "cpu", "cuda", "mps", …; None takes `CIRCUIT_EXPLORER_DEVICE`, else an accelerator
            if there is one.
        dtype: "float32", "bfloat16" or "float16"; None takes float32, or bfloat16 for models of more than
            a billion parameters on an accelerator.

    Raises:
        RequestError: unknown model, device or dtype, refused family, pickled or broken weights.
        CircuitExplorerError: our arithmetic does not reproduce this model.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = find_model(model)
    shape_of_folder(folder)
    target = _device(device)
    precision = _dtype(dtype, folder, target)
    try:
        # The libraries print progress; standard output belongs to the command line's JSON.
        with redirect_stdout(io.StringIO()):
            network: PreTrainedModel = cast("Any", AutoModelForCausalLM).from_pretrained(
                folder, dtype=precision, use_safetensors=True, trust_remote_code=False
            )
            tokenizer = cast("Any", AutoTokenizer).from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # safetensors, tokenizers and transformers each raise their own kinds
        raise RequestError(
            f"model '{model}' cannot be loaded from '{folder}': {_first_line(error)}"
        ) from error
    _check_tokenizer(model, tokenizer, folder)
    return model_from_network(model, network, tokenizer, weights_hash(folder), target)


def load_tokens(model: str) -> Tokens:
    """Load only the tokenizer of a model on this machine, which takes milliseconds.

    Raises:
        RequestError: unknown model, refused family, broken tokenizer.
    """
    from transformers import AutoTokenizer

    folder = find_model(model, download=False)
    shape = shape_of_folder(folder)
    try:
        tokenizer = cast("Any", AutoTokenizer).from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # tokenizers raises kinds of its own
        raise RequestError(
            f"the tokenizer of '{model}' cannot be loaded from '{folder}': {_first_line(error)}"
        ) from error
    _check_tokenizer(model, tokenizer, folder)
    return Tokens(model, shape, tokenizer)


def _check_tokenizer(model: str, tokenizer: Any, folder: Path) -> None:
    """Check that a tokenizer has a vocabulary; without its files an empty one is made.

    Raises:
        RequestError: it has none.
    """
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise RequestError(
            f"no tokenizer lies in '{folder}': put that of '{model}' there, tokenizer.json or its other files"
        )


def shape_of_folder(folder: Path) -> ModelShape:
    """Return the sizes of the model in a folder without loading it.

    Raises:
        RequestError: its configuration cannot be read, or its family is refused.
    """
    from transformers import AutoConfig

    try:
        config: PretrainedConfig = cast("Any", AutoConfig).from_pretrained(folder, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        raise RequestError(f"'{folder / 'config.json'}' cannot be read: {_first_line(error)}") from error
    family_of(config)
    return shape_of(config)


def model_from_network(
    model: str, network: "PreTrainedModel", tokenizer: Any, digest: str, device: torch.device
) -> Model:
    """Wrap a Hugging Face network that is already in memory; it is moved to `device` and frozen.

    Raises:
        RequestError: refused family.
        CircuitExplorerError: our arithmetic does not reproduce this network.
    """
    from transformer_lens.model_bridge import TransformerBridge

    config = network.config
    family_of(config)
    nn.Module.to(network.eval().requires_grad_(False), device)
    dtype = next(network.parameters()).dtype
    rotary = _rotary_embedding(network)
    shape = shape_of(config)
    sample = torch.arange(min(8, shape.n_ctx), device=device).unsqueeze(0) % shape.d_vocab
    with torch.no_grad():
        expected = network(sample).logits[:, -1]
    with redirect_stdout(io.StringIO()):
        bridge = TransformerBridge.boot_transformers(
            model, hf_model=network, tokenizer=tokenizer, dtype=dtype
        )
    state: dict[str, torch.Tensor] = cast("nn.Module", bridge).state_dict()
    transformer = build_transformer(config, state, rotary)
    check_logits(transformer, sample, expected, config.model_type)
    return Model(
        id=model,
        weights_hash=digest,
        shape=shape,
        tokenizer=tokenizer,
        bridge=bridge,
        transformer=transformer,
        device=device,
        dtype=dtype,
    )


def check_logits(transformer: Transformer, sample: torch.Tensor, expected: torch.Tensor, family: str) -> None:
    """Compare our logits with the model's own, [B, V], on short sequences [B, S].

    Raises:
        CircuitExplorerError: they differ.
    """
    logits = transformer.run(sample).logits
    difference = (logits - expected).abs().max() / expected.float().std().clamp_min(1e-6)
    if not difference <= TOLERANCE[expected.dtype]:
        raise CircuitExplorerError(
            f"model family '{family}': our forward pass differs from this model's own by "
            f"{float(difference):.2g} of the logits' spread, so no circuit of it would be exact; "
            "an option in its config.json is not covered"
        )


def _device(name: str | None) -> torch.device:
    name = name or os.environ.get("CIRCUIT_EXPLORER_DEVICE")
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RequestError(
            f"device '{name}' cannot be used here: {_first_line(error)}; set CIRCUIT_EXPLORER_DEVICE=cpu"
        ) from error
    return device


def usual_dtype(folder: Path, device: torch.device) -> torch.dtype:
    """Return the default dtype of a model: float32, or bfloat16 for a large model on a GPU."""
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return torch.bfloat16 if device.type != "cpu" and size > 4e9 else torch.float32


def _dtype(name: str | None, folder: Path, device: torch.device) -> torch.dtype:
    if name is None:
        return usual_dtype(folder, device)
    if name not in DTYPES:
        raise unknown_name("dtype", name, DTYPES)
    return DTYPES[name]


def _rotary_embedding(network: nn.Module) -> nn.Module | None:
    """Return the module of the model's rotary embedding, before the bridge hides it."""
    modules = cast("Iterator[tuple[str, nn.Module]]", network.named_modules())
    return next((module for name, module in modules if name.endswith("rotary_emb")), None)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
