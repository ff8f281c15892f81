"""Display texts: titles of tasks, ablations and methods, and short names of models."""

from pathlib import Path
from typing import Any

from engine.errors import CircuitExplorerError
from engine.registry import Registry
from engine.runs.record import Measured
from engine.runs.request import OfATask


def title_of(kind: str, name: str) -> str:
    """Return the title of a "task", an "ablation" or a "method"; for an unknown one, its name."""
    try:
        return _registry(kind).get(name).title
    except CircuitExplorerError:
        return Path(name).name


def model_name(model: str) -> str:
    """Return a model's short name: the last part of a folder or Hugging Face id."""
    return model.rstrip("/").split("/")[-1]


def task_line(asked: OfATask) -> str:
    """Return task, ablation and model of a request in one line."""
    return f"{title_of('task', asked.task)} · {asked.ablation} · {model_name(asked.model)}"


def circuit_size(circuit: Measured) -> str:
    """Return a circuit's number of edges, and that of its graph, as text."""
    return f"{circuit.n_edges} of {circuit.n_edges_total} edges"


def quoted(text: str, longest: int = 44) -> str:
    """Return a text in quotation marks and in one line, cut where it is longer."""
    line = " ".join(text.split())
    return f"“{line if len(line) <= longest else line[: longest - 1] + '…'}”"


def _registry(kind: str) -> Registry[Any]:
    if kind == "task":
        from engine.tasks.base import tasks

        return tasks
    if kind == "ablation":
        from engine.ablations.base import ablations

        return ablations
    from engine.discovery.base import methods

    return methods
