"""The catalogue of models: shipped in assets/models, in a local folder, or on the Hugging Face hub."""

import difflib
import hashlib
import re
from functools import lru_cache
from pathlib import Path

from engine.errors import RequestError
from engine.shipped import shipped

SHIPPED = shipped("assets") / "models"
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FILES = ["*.safetensors", "*.json", "*.txt", "*.model"]


def shipped_models() -> dict[str, Path]:
    """Return the shipped models: name -> folder."""
    return {folder.name: folder for folder in sorted(SHIPPED.glob("*")) if (folder / "config.json").is_file()}


def find_model(model: str, download: bool = True) -> Path:
    """Return the folder of a model: shipped name, local folder, or Hugging Face id.

    Args:
        model: the name that the user gave.
        download: whether to fetch the model from the hub if it is not on this machine.

    Raises:
        RequestError: there is no such model, its weights are not safetensors, or no hub can be reached.
    """
    if (folder := _without_hub(model)) is not None:
        return _checked(folder)
    shipped = shipped_models()
    nearest = difflib.get_close_matches(model, shipped, n=1, cutoff=0.5)
    hint = (
        f"did you mean '{nearest[0]}'? " if nearest else ""
    ) + f"shipped models: {', '.join(shipped) or 'none'}"
    if not _HUB_ID.fullmatch(model):
        raise RequestError(f"unknown model '{model}': no such folder, and no Hugging Face id; {hint}")
    # Few models are not here already.
    from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]

    try:
        return _checked(Path(snapshot_download(model, allow_patterns=_FILES, local_files_only=not download)))
    except RequestError:
        raise
    except Exception as error:  # the hub client raises many kinds: offline, no such repository, gated
        raise RequestError(
            f"unknown model '{model}': it is neither shipped nor a folder, and the Hugging Face hub "
            f"did not give it ({type(error).__name__}); {hint}"
        ) from error


def on_this_machine(model: str) -> bool:
    """Return whether a model needs no download: False for a Hugging Face id that is not in the local cache.

    Invalid names count as True; `find_model` raises the error for them.
    """
    try:
        if _without_hub(model) is not None or not _HUB_ID.fullmatch(model):
            return True
    except RequestError:
        return True
    try:
        find_model(model, download=False)
    except RequestError:
        return False
    return True


def _without_hub(model: str) -> Path | None:
    """Return the folder of a shipped name or of a local folder; None if it is neither.

    Raises:
        RequestError: the name is invalid.
    """
    shipped = shipped_models()
    if model in shipped:
        return shipped[model]
    try:
        folder = Path(model).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError) as error:  # too long a name, or the home of nobody
        raise RequestError(f"'{model[:80]}' is no model: {error}") from error


def _checked(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise RequestError(
            f"'{folder}' is no model: it has no config.json; a folder in Hugging Face form is needed"
        )
    if not any(folder.glob("*.safetensors")):
        pickled = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
        instead = f"only {pickled[0].name}, which is pickled and is never opened" if pickled else "none"
        raise RequestError(f"'{folder}' has no safetensors weights ({instead}); save it with save_pretrained")
    return folder


@lru_cache(maxsize=32)
def _hash_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def weights_hash(folder: Path) -> str:
    """Return the sha256 over the weight files and the configuration of a model folder, in hexadecimal."""
    paths = [*sorted(folder.glob("*.safetensors")), folder / "config.json"]
    # Size and time of change in the key: an unchanged model is hashed once in a process.
    return _hash_files(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths))
