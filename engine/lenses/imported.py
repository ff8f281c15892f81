"""Translators saved by the tuned-lens package, used in place of a tuned lens trained here.

A folder of that package holds config.json (d_model, num_hidden_layers, bias, …) and params.pt, a state dict
of "<layer>.weight" [D, D] and "<layer>.bias" [D], or the same as params.safetensors. Only tensors are
unpickled. The translator of layer l maps the stream before layer l, h ↦ h + W h + b, as here.

Translators read the stream of the original model, whose mean over dimensions a layer norm subtracts only
later. Here, streams are kept centred (`engine.models.transformer`). So for models with layer norm, the means
are added again for these translators; they are computed by a plain run of the original model.
"""

import json
import pickle
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType] - its PathLike of nothing
from torch import Tensor

from engine.errors import RequestError
from engine.lenses.base import Parameters, Place
from engine.lenses.settings import LensTraining
from engine.models import Model, ModelShape


def load_translators(folder: Path, shape: ModelShape) -> Parameters:
    """Return the translators of every layer: "weight" [L, D, D] and "bias" [L, D], float32.

    Raises:
        RequestError: files are missing or broken, or belong to a model of another shape.
    """
    config, state = _config(folder), _state(translators_file(folder))
    layers, d = shape.n_layers, shape.d_model
    if (config.get("num_hidden_layers"), config.get("d_model")) != (layers, d):
        raise RequestError(
            f"'{folder}' is for a model of {config.get('num_hidden_layers')} layers of width "
            f"{config.get('d_model')}; this one has {layers} of width {d}"
        )
    translators: Parameters = {}
    for name, size in (("weight", (d, d)), ("bias", (d,))):
        absent = name == "bias" and not config.get("bias", True)
        values = [torch.zeros(size) if absent else state.get(f"{layer}.{name}") for layer in range(layers)]
        for layer, value in enumerate(values):
            if not isinstance(value, Tensor) or value.shape != size or not value.isfinite().all():
                raise RequestError(f"'{folder}' has no '{layer}.{name}' of shape {list(size)}")
        translators[name] = torch.stack([value.float() for value in values if isinstance(value, Tensor)])
    return translators


def reads_uncentred(model: Model, settings: LensTraining, name: str) -> bool:
    """Return whether a lens has imported translators that need uncentred streams."""
    return name == "tuned" and settings.tuned_from is not None and model.transformer.centred


@torch.no_grad()
def stream_means(model: Model, tokens: Tensor, places: list[Place]) -> Tensor:
    """Return the mean over dimensions of the original model's stream before layers, [P, B, S, 1]."""
    means: list[Tensor] = []

    def keep(stream: Tensor, hook: Any) -> None:
        means.append(stream.mean(-1, keepdim=True))

    # Layers run in the order of places.
    hooks: list[Any] = [(f"blocks.{place.layer}.hook_resid_pre", keep) for place in places]
    cast("Any", model.bridge).run_with_hooks(tokens, fwd_hooks=hooks)
    return torch.stack(means)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"'{folder / 'config.json'}' cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise RequestError(f"'{folder / 'config.json'}' is no JSON object")
    return cast("dict[str, Any]", config)


def _state(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RequestError(f"translators '{path}' cannot be read: {first}") from error
    if not isinstance(state, dict):
        raise RequestError(f"translators '{path}' are no state dict")
    return cast("dict[str, Any]", state)


def translators_file(folder: Path) -> Path:
    """Return the weights file in a folder of the tuned-lens package, preferably safetensors.

    Raises:
        RequestError: the folder has none.
    """
    for name in ("params.safetensors", "params.pt"):
        if (folder / name).is_file():
            return folder / name
    raise RequestError(f"'{folder}' has no params.safetensors or params.pt, as the tuned-lens package saves")
