"""Checkpoints of long work: tensors and JSON values, written atomically and never pickled."""

import json
import os
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType] - its PathLike of nothing
from torch import Tensor

_FILE = "checkpoint.safetensors"


def save_checkpoint(folder: Path, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Replace the checkpoint in `folder` by these tensors and JSON values."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{_FILE}.{os.getpid()}"
    save_file({k: v.contiguous() for k, v in tensors.items()}, unfinished, {"numbers": json.dumps(numbers)})
    os.replace(unfinished, folder / _FILE)


def load_checkpoint(folder: Path | None) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and JSON values in `folder`; None if it has no readable checkpoint."""
    if folder is None or not (folder / _FILE).is_file():
        return None
    try:
        with cast("Any", safe_open(folder / _FILE, "pt")) as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            metadata: dict[str, str] = file.metadata() or {}
            return tensors, json.loads(metadata["numbers"])
    except (SafetensorError, KeyError, json.JSONDecodeError):
        return None  # a torn file: the work starts again from the beginning, to the same result
